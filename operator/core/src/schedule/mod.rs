//! When a Mapping runs: the five forms of `spec.schedule`, and the slots that follow from them.
//!
//! A *slot* is a moment at which a run is wanted. Slots are computed from the schedule alone, never counted one by one: a controller
//! that was away for a year finds the latest missed slot as fast as one that was away for a minute.

mod describe;
mod parse;
mod wall_clock;
mod zone;

#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};

use wall_clock::WallClock;

/// Names of the days as manifests write them, Monday first.
pub const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// So many missed slots are counted one by one; beyond them the number is an estimate.
const COUNTED: u64 = 128;

/// A schedule as it stands in a manifest, not yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleSpec {
    /// Exactly one of the five forms.
    pub form: FormSpec,
    /// `jitter`, a duration.
    pub jitter: Option<String>,
    /// `startingDeadline`, a duration.
    pub starting_deadline: Option<String>,
}

/// The form of a schedule as it stands in a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormSpec {
    /// `interval`, a duration.
    Interval(String),
    /// `dayAndTime`.
    DayAndTime {
        /// `Mon` to `Sun`.
        days: Vec<String>,
        /// `HH:MM`, 24 hours.
        times: Vec<String>,
        /// IANA name; none means UTC.
        time_zone: Option<String>,
    },
    /// `cron`.
    Cron {
        /// Expressions of five fields.
        expressions: Vec<String>,
        /// IANA name; none means UTC.
        time_zone: Option<String>,
    },
    /// `after.mappingRef.name`.
    After {
        /// The Mapping that is followed.
        mapping: String,
    },
    /// `manual`.
    Manual,
}

/// What is wrong with a schedule. `path` is the field in the manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// A value that is no schedule.
    #[error("{path}: {message}")]
    InvalidSchedule {
        /// The field.
        path: String,
        /// What is wrong with it, and the cure.
        message: String,
    },
    /// A time zone that does not exist.
    #[error("{path}: time zone \"{name}\" is unknown; {}", .suggestion.as_ref().map_or_else(
        || "use an IANA name such as Europe/Berlin or UTC".to_owned(),
        |name| format!("did you mean {name}?")
    ))]
    UnknownTimeZone {
        /// The field.
        path: String,
        /// The name that was given.
        name: String,
        /// The name that was probably meant.
        suggestion: Option<String>,
    },
}

impl ScheduleError {
    /// The field in the manifest, such as `spec.schedule.cron.timeZone`.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::InvalidSchedule { path, .. } | Self::UnknownTimeZone { path, .. } => path,
        }
    }

    /// The reason code of conditions and findings.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidSchedule { .. } => "InvalidSchedule",
            Self::UnknownTimeZone { .. } => "UnknownTimeZone",
        }
    }
}

/// A checked schedule.
#[derive(Debug, Clone)]
pub struct Schedule {
    form: Form,
    /// UTC where the form has none.
    zone: TimeZone,
    jitter: Duration,
    starting_deadline: Option<Duration>,
    hash: String,
}

#[derive(Debug, Clone)]
enum Form {
    Interval(Duration),
    DayAndTime { days: [bool; 7], times: Vec<Time>, clock: WallClock },
    Cron { expressions: Vec<String>, clocks: Vec<WallClock> },
    After { mapping: String },
    Manual,
}

impl Schedule {
    /// Fingerprint of everything that moves slots. Two ways to write the same schedule (`60m`, `1h`) have the same one, and
    /// `startingDeadline` is no part of it.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// How late a missed slot may still start; none: no limit.
    #[must_use]
    pub fn starting_deadline(&self) -> Option<Duration> {
        self.starting_deadline
    }

    /// The Mapping that this schedule follows, for the form `after`.
    #[must_use]
    pub fn follows(&self) -> Option<&str> {
        if let Form::After { mapping } = &self.form { Some(mapping) } else { None }
    }

    /// By how much the slots of the Mapping with this uid are moved: at least nothing, less than `jitter`, whole seconds, and always
    /// the same.
    #[must_use]
    pub fn offset(&self, uid: &str) -> Duration {
        let seconds = self.jitter.as_secs();
        if seconds == 0 {
            return Duration::ZERO;
        }
        let digest = Sha256::digest(uid.as_bytes());
        let number = digest.iter().take(8).fold(0u64, |number, byte| (number << 8) | u64::from(*byte));
        Duration::from_secs(number % seconds)
    }

    /// From when on the slots of a Mapping count that is new at `at`: after the moment that is returned. An interval begins with a
    /// slot at once, so that moment lies one interval earlier.
    #[must_use]
    pub fn begin_new(&self, at: Timestamp, offset: Duration) -> Timestamp {
        match &self.form {
            Form::Interval(every) => earlier(later(at, offset), *every),
            _ => at,
        }
    }

    /// From when on the slots count after the schedule was edited at `at`: an edit by itself starts nothing, and intervals are counted
    /// from it.
    #[must_use]
    pub fn begin_edited(&self, at: Timestamp, offset: Duration) -> Timestamp {
        if matches!(self.form, Form::Interval(_)) { later(at, offset) } else { at }
    }

    /// From when on the slots count after a resume at `at`. Intervals keep their rhythm: the moment that is returned is one of their
    /// slots.
    #[must_use]
    pub fn begin_resumed(&self, since: Timestamp, at: Timestamp) -> Timestamp {
        match &self.form {
            Form::Interval(every) => interval_at_or_before(since, *every, at).unwrap_or(since),
            _ => at.max(since),
        }
    }

    /// The slots of one Mapping, for the forms that have any: not `after`, not `manual`.
    ///
    /// `since` is the moment after which slots count (for an interval, it is the slot from which the others are counted), `offset` the
    /// Mapping's share of the jitter.
    #[must_use]
    pub fn slots(&self, since: Timestamp, offset: Duration) -> Option<Slots<'_>> {
        match self.form {
            Form::After { .. } | Form::Manual => None,
            _ => Some(Slots { schedule: self, since, offset }),
        }
    }

    fn zone_name(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }
}

/// The slots of one Mapping.
#[derive(Debug, Clone, Copy)]
pub struct Slots<'a> {
    schedule: &'a Schedule,
    since: Timestamp,
    offset: Duration,
}

/// How many slots lie between two moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotCount {
    /// The number of slots.
    pub count: u64,
    /// Whether they were counted; otherwise the number is an estimate from the distance of the first ones.
    pub exact: bool,
}

impl Slots<'_> {
    /// The first slot after a moment; none only if the calendar ends before it.
    #[must_use]
    pub fn next_slot_after(&self, moment: Timestamp) -> Option<Timestamp> {
        match &self.schedule.form {
            Form::Interval(every) => match interval_at_or_before(self.since, *every, moment) {
                Some(slot) => slot.checked_add(*every).ok(),
                None => Some(self.since),
            },
            _ => {
                let moment = moment.checked_sub(self.offset).ok()?;
                let next = self.clocks().iter().filter_map(|clock| clock.next_after(self.zone(), moment)).min()?;
                next.checked_add(self.offset).ok()
            }
        }
    }

    /// The last slot that is not after a moment. For an interval none if the moment lies before its first slot.
    #[must_use]
    pub fn previous_slot_at_or_before(&self, moment: Timestamp) -> Option<Timestamp> {
        match &self.schedule.form {
            Form::Interval(every) => interval_at_or_before(self.since, *every, moment),
            _ => {
                let moment = moment.checked_sub(self.offset).ok()?;
                let clocks = self.clocks().iter();
                let last = clocks.filter_map(|clock| clock.previous_at_or_before(self.zone(), moment)).max()?;
                last.checked_add(self.offset).ok()
            }
        }
    }

    /// How many slots lie after `a` and not after `b`.
    #[must_use]
    pub fn missed_between(&self, a: Timestamp, b: Timestamp) -> SlotCount {
        if b <= a {
            return SlotCount { count: 0, exact: true };
        }
        if let Form::Interval(every) = &self.schedule.form {
            let until = |moment| interval_index(self.since, *every, moment).map_or(0, |index| index + 1);
            return SlotCount { count: until(b).saturating_sub(until(a)), exact: true };
        }
        let mut at = a;
        for count in 0..COUNTED {
            match self.next_slot_after(at) {
                Some(slot) if slot <= b => at = slot,
                _ => return SlotCount { count, exact: true },
            }
        }
        let counted = at.duration_since(a).as_secs().max(1).unsigned_abs();
        let all = b.duration_since(a).as_secs().unsigned_abs();
        SlotCount { count: (all.saturating_mul(COUNTED) / counted).max(COUNTED), exact: false }
    }

    fn clocks(&self) -> &[WallClock] {
        match &self.schedule.form {
            Form::DayAndTime { clock, .. } => std::slice::from_ref(clock),
            Form::Cron { clocks, .. } => clocks,
            _ => &[],
        }
    }

    fn zone(&self) -> &TimeZone {
        &self.schedule.zone
    }
}

/// Number of the last interval slot that is not after `moment`, beginning with 0 at `since`.
fn interval_index(since: Timestamp, every: Duration, moment: Timestamp) -> Option<u64> {
    let passed = u64::try_from(moment.duration_since(since).as_millis()).ok().filter(|_| moment >= since)?;
    passed.checked_div(u64::try_from(every.as_millis()).ok()?)
}

fn interval_at_or_before(since: Timestamp, every: Duration, moment: Timestamp) -> Option<Timestamp> {
    let index = interval_index(since, every, moment)?;
    let seconds = index.checked_mul(every.as_secs())?;
    since.checked_add(Duration::from_secs(seconds)).ok()
}

fn later(moment: Timestamp, by: Duration) -> Timestamp {
    moment.checked_add(by).unwrap_or(Timestamp::MAX)
}

fn earlier(moment: Timestamp, by: Duration) -> Timestamp {
    moment.checked_sub(by).unwrap_or(Timestamp::MIN)
}
