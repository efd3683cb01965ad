//! From `spec.schedule` to a [`Schedule`], with everything that is wrong at once.

use std::time::Duration;

use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};

use crate::duration::{format_duration, parse_duration};

use super::wall_clock::WallClock;
use super::zone::zone;
use super::{DAYS, Form, FormSpec, Schedule, ScheduleError, ScheduleSpec};

const SHORTEST_INTERVAL: Duration = Duration::from_secs(60);
const LONGEST_JITTER: Duration = Duration::from_secs(86_400);
const MOST_TIMES: usize = 24;
const MOST_EXPRESSIONS: usize = 10;

/// Collects findings while the rest is still read.
#[derive(Default)]
struct Findings(Vec<ScheduleError>);

impl Findings {
    fn invalid(&mut self, path: &str, message: impl Into<String>) {
        self.0.push(ScheduleError::InvalidSchedule { path: format!("spec.schedule.{path}"), message: message.into() });
    }

    fn duration(&mut self, path: &str, text: &str) -> Option<Duration> {
        parse_duration(text).map_err(|error| self.invalid(path, error.to_string())).ok()
    }

    fn zone(&mut self, path: &str, name: Option<&str>) -> Option<TimeZone> {
        zone(&format!("spec.schedule.{path}"), name).map_err(|error| self.0.push(error)).ok()
    }
}

impl Schedule {
    /// Checks a schedule.
    ///
    /// # Errors
    ///
    /// All findings, at least one.
    pub fn parse(spec: &ScheduleSpec) -> Result<Self, Vec<ScheduleError>> {
        let mut findings = Findings::default();
        let zone = match &spec.form {
            FormSpec::DayAndTime { time_zone, .. } => findings.zone("dayAndTime.timeZone", time_zone.as_deref()),
            FormSpec::Cron { time_zone, .. } => findings.zone("cron.timeZone", time_zone.as_deref()),
            _ => Some(TimeZone::UTC),
        };
        let form = form(&spec.form, &mut findings);
        let jitter = spec.jitter.as_deref().and_then(|text| findings.duration("jitter", text)).unwrap_or_default();
        if jitter > LONGEST_JITTER {
            findings.invalid("jitter", "jitter is at most 1d");
        }
        if let Some(Form::Interval(every)) = &form
            && jitter >= *every
        {
            findings
                .invalid("jitter", format!("jitter must be shorter than the interval ({})", format_duration(*every)));
        }
        let starting_deadline =
            spec.starting_deadline.as_deref().and_then(|text| findings.duration("startingDeadline", text));
        if starting_deadline == Some(Duration::ZERO) {
            findings.invalid("startingDeadline", "startingDeadline must be at least 1s; leave it out for no limit");
        }
        match form.zip(zone) {
            Some((form, zone)) if findings.0.is_empty() => {
                let hash = hash(&form, &zone, jitter);
                Ok(Self { form, zone, jitter, starting_deadline, hash })
            }
            _ => Err(findings.0),
        }
    }
}

fn form(spec: &FormSpec, findings: &mut Findings) -> Option<Form> {
    match spec {
        FormSpec::Manual => Some(Form::Manual),
        FormSpec::After { mapping } => {
            if mapping.is_empty() {
                findings.invalid("after.mappingRef.name", "name the Mapping to follow");
                return None;
            }
            Some(Form::After { mapping: mapping.clone() })
        }
        FormSpec::Interval(text) => {
            let every = findings.duration("interval", text)?;
            if every < SHORTEST_INTERVAL {
                findings.invalid("interval", format!("interval {text} is too short; the shortest is 1m"));
                return None;
            }
            Some(Form::Interval(every))
        }
        FormSpec::DayAndTime { days, times, .. } => {
            let days = read_days(days, findings);
            let times = read_times(times, findings);
            let (days, times) = (days?, times?);
            let clock = WallClock::DayAndTime { days, times: times.clone() };
            Some(Form::DayAndTime { days, times, clock })
        }
        FormSpec::Cron { expressions, .. } => {
            let (expressions, clocks) = read_expressions(expressions, findings)?;
            Some(Form::Cron { expressions, clocks })
        }
    }
}

fn read_days(names: &[String], findings: &mut Findings) -> Option<[bool; 7]> {
    let before = findings.0.len();
    if names.is_empty() {
        findings.invalid("dayAndTime.days", "name at least one day: Mon, Tue, Wed, Thu, Fri, Sat, Sun");
    }
    let mut days = [false; 7];
    for (index, name) in names.iter().enumerate() {
        match days.iter_mut().zip(DAYS).find(|(_, day)| day == name) {
            Some((on, _)) => *on = true,
            None => findings.invalid(
                &format!("dayAndTime.days[{index}]"),
                format!("\"{}\" is not a day; use Mon, Tue, Wed, Thu, Fri, Sat or Sun", shortened(name)),
            ),
        }
    }
    (findings.0.len() == before).then_some(days)
}

fn read_times(texts: &[String], findings: &mut Findings) -> Option<Vec<Time>> {
    let before = findings.0.len();
    if texts.is_empty() || texts.len() > MOST_TIMES {
        findings.invalid("dayAndTime.times", format!("1 to {MOST_TIMES} times are needed, not {}", texts.len()));
        return None;
    }
    let mut times = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        match read_time(text) {
            Some(time) => times.push(time),
            None => findings.invalid(
                &format!("dayAndTime.times[{index}]"),
                format!("\"{}\" is not a time of day; write HH:MM from 00:00 to 23:59", shortened(text)),
            ),
        }
    }
    times.sort_unstable();
    times.dedup();
    (findings.0.len() == before).then_some(times)
}

fn read_time(text: &str) -> Option<Time> {
    let bytes = text.as_bytes();
    let shape =
        bytes.len() == 5 && bytes.iter().enumerate().all(|(i, b)| if i == 2 { *b == b':' } else { b.is_ascii_digit() });
    if !shape {
        return None;
    }
    Time::new(text[..2].parse().ok()?, text[3..].parse().ok()?, 0, 0).ok()
}

fn read_expressions(texts: &[String], findings: &mut Findings) -> Option<(Vec<String>, Vec<WallClock>)> {
    let before = findings.0.len();
    if texts.is_empty() || texts.len() > MOST_EXPRESSIONS {
        findings.invalid(
            "cron.expressions",
            format!("1 to {MOST_EXPRESSIONS} expressions are needed, not {}", texts.len()),
        );
        return None;
    }
    let mut read = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        match read_expression(text) {
            Ok(expression) => read.push(expression),
            Err(message) => findings.invalid(&format!("cron.expressions[{index}]"), message),
        }
    }
    read.sort_by(|a, b| a.0.cmp(&b.0));
    read.dedup_by(|a, b| a.0 == b.0);
    (findings.0.len() == before).then(|| read.into_iter().unzip())
}

/// One expression in its normal form, and its clock.
fn read_expression(text: &str) -> Result<(String, WallClock), String> {
    let fields: Vec<String> = text.split_ascii_whitespace().map(str::to_ascii_uppercase).collect();
    if text.contains('=') {
        return Err("a time zone inside the expression is not possible; say it in timeZone".to_owned());
    }
    if text.contains('@') {
        return Err("names such as @daily are not possible; write five fields, such as 0 0 * * *".to_owned());
    }
    let [minute, hour, ..] = fields.as_slice() else { return Err(wrong_number_of_fields(fields.len())) };
    if fields.len() != 5 {
        return Err(wrong_number_of_fields(fields.len()));
    }
    let fixed = [minute, hour].iter().all(|field| field.bytes().all(|byte| byte.is_ascii_digit() || byte == b','));
    let normal = fields.join(" ");
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let cron = parser.parse(&normal).map_err(|_| {
        format!(
            "\"{}\" is not a cron expression; write minute (0-59), hour (0-23), day of month (1-31), month (1-12) and weekday (0-7 or SUN-SAT)",
            shortened(text)
        )
    })?;
    let clock = WallClock::Cron { cron: Box::new(cron), fixed };
    // A date that never comes (31 February) is found here, not by a run that never starts. The search begins at a fixed moment, so
    // that the answer does not depend on the day.
    if clock.next_after(&TimeZone::UTC, Timestamp::UNIX_EPOCH).is_none() {
        return Err(format!("\"{}\" never matches; no month has that date", shortened(text)));
    }
    Ok((normal, clock))
}

fn wrong_number_of_fields(count: usize) -> String {
    format!(
        "a cron expression has five fields (minute, hour, day of month, month, weekday), not {count}; there are no seconds and no years"
    )
}

fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}

/// Fingerprint of the normal form.
fn hash(form: &Form, zone: &TimeZone, jitter: Duration) -> String {
    let normal = match form {
        Form::Interval(every) => format!("interval {}", every.as_secs()),
        Form::DayAndTime { days, times, .. } => format!("dayAndTime {days:?} {times:?} {:?}", zone.iana_name()),
        Form::Cron { expressions, .. } => format!("cron {expressions:?} {:?}", zone.iana_name()),
        Form::After { mapping } => format!("after {mapping}"),
        Form::Manual => "manual".to_owned(),
    };
    let digest = Sha256::digest(format!("{normal} jitter {}", jitter.as_secs()).as_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
