use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time stamp")
}

fn spec(form: FormSpec) -> ScheduleSpec {
    ScheduleSpec { form, jitter: None, starting_deadline: None }
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn cron_form(expressions: &[&str], zone: &str) -> FormSpec {
    FormSpec::Cron { expressions: strings(expressions), time_zone: Some(zone.to_owned()) }
}

fn cron(expressions: &[&str], zone: &str) -> Schedule {
    Schedule::parse(&spec(cron_form(expressions, zone))).expect("a valid schedule")
}

fn day_form(days: &[&str], times: &[&str], zone: &str) -> FormSpec {
    FormSpec::DayAndTime { days: strings(days), times: strings(times), time_zone: Some(zone.to_owned()) }
}

fn days(days: &[&str], times: &[&str], zone: &str) -> Schedule {
    Schedule::parse(&spec(day_form(days, times, zone))).expect("a valid schedule")
}

fn interval(every: &str) -> Schedule {
    Schedule::parse(&spec(FormSpec::Interval(every.to_owned()))).expect("a valid schedule")
}

fn findings(form: FormSpec) -> Vec<(String, &'static str, String)> {
    let errors = Schedule::parse(&spec(form)).expect_err("an invalid schedule");
    errors.iter().map(|error| (error.path().to_owned(), error.code(), error.to_string())).collect()
}

/// The slots after `from` up to `to`, as UTC times.
fn between(schedule: &Schedule, from: &str, to: &str) -> Vec<String> {
    let slots = schedule.slots(at(from), Duration::ZERO).expect("a schedule with slots");
    let next = |slot: &Timestamp| slots.next_slot_after(*slot);
    let forward: Vec<_> = std::iter::successors(next(&at(from)), next).take_while(|slot| *slot <= at(to)).collect();
    // Whatever a test looks at forwards, it also looks at backwards.
    let previous = |slot: &Timestamp| slots.previous_slot_at_or_before(*slot - Duration::from_secs(1));
    let mut backward: Vec<_> = std::iter::successors(slots.previous_slot_at_or_before(at(to)), previous)
        .take_while(|slot| *slot > at(from))
        .collect();
    backward.reverse();
    assert_eq!(forward, backward, "both directions see the same slots");
    forward.iter().map(ToString::to_string).collect()
}

#[test]
fn dst_gap_fixed_time_runs_once_when_the_gap_ends() {
    // Berlin, 30 March 2025: 02:00 is followed by 03:00 (01:00 UTC).
    let expected = ["2025-03-29T01:30:00Z", "2025-03-30T01:00:00Z", "2025-03-31T00:30:00Z"];
    let span = ("2025-03-29T00:00:00Z", "2025-03-31T12:00:00Z");
    assert_eq!(between(&cron(&["30 2 * * *"], "Europe/Berlin"), span.0, span.1), expected);
    assert_eq!(between(&days(&DAYS, &["02:30"], "Europe/Berlin"), span.0, span.1), expected);
    // Several times in one gap make one slot, also with the time at which the gap ends.
    let crowded = days(&["Sun"], &["02:10", "02:50", "03:00"], "Europe/Berlin");
    assert_eq!(between(&crowded, span.0, span.1), ["2025-03-30T01:00:00Z"]);
    assert_eq!(
        between(
            &cron(&["10 2 * * *", "0,50 2 * * *", "0 3 * * *"], "Europe/Berlin"),
            "2025-03-30T00:00:00Z",
            "2025-03-30T06:00:00Z"
        ),
        ["2025-03-30T01:00:00Z"]
    );
}

#[test]
fn dst_gap_periodic_leaves_out_what_the_clock_leaves_out() {
    assert_eq!(
        between(&cron(&["*/30 * * * *"], "Europe/Berlin"), "2025-03-30T00:00:00Z", "2025-03-30T02:00:00Z"),
        ["2025-03-30T00:30:00Z", "2025-03-30T01:00:00Z", "2025-03-30T01:30:00Z", "2025-03-30T02:00:00Z"]
    );
    // Every second hour of the clock: 02:00 does not exist.
    assert_eq!(
        between(&cron(&["0 */2 * * *"], "Europe/Berlin"), "2025-03-29T22:00:00Z", "2025-03-30T03:00:00Z"),
        ["2025-03-29T23:00:00Z", "2025-03-30T02:00:00Z"]
    );
}

#[test]
fn dst_overlap_fixed_time_runs_once() {
    // New York, 2 November 2025: 01:00-02:00 comes twice, from 05:00 UTC and from 06:00 UTC.
    let expected = ["2025-11-01T05:30:00Z", "2025-11-02T05:30:00Z", "2025-11-03T06:30:00Z"];
    let span = ("2025-11-01T00:00:00Z", "2025-11-03T12:00:00Z");
    assert_eq!(between(&cron(&["30 1 * * *"], "America/New_York"), span.0, span.1), expected);
    assert_eq!(between(&days(&DAYS, &["01:30"], "America/New_York"), span.0, span.1), expected);
    // In the second pass all of the first is behind.
    let schedule = cron(&["45 1 * * *"], "America/New_York");
    let slots = schedule.slots(at(span.0), Duration::ZERO).expect("slots");
    assert_eq!(slots.previous_slot_at_or_before(at("2025-11-02T06:10:00Z")), Some(at("2025-11-02T05:45:00Z")));
    assert_eq!(slots.next_slot_after(at("2025-11-02T06:10:00Z")), Some(at("2025-11-03T06:45:00Z")));
}

#[test]
fn dst_overlap_periodic_runs_in_each_pass_with_names_that_differ() {
    let slots = between(&cron(&["*/30 1 * * *"], "America/New_York"), "2025-11-02T04:00:00Z", "2025-11-02T08:00:00Z");
    assert_eq!(slots, ["2025-11-02T05:00:00Z", "2025-11-02T05:30:00Z", "2025-11-02T06:00:00Z", "2025-11-02T06:30:00Z"]);
    let mut minutes: Vec<i64> = slots.iter().map(|slot| at(slot).as_second() / 60).collect();
    minutes.dedup();
    assert_eq!(minutes.len(), 4);
}

#[test]
fn a_day_that_a_zone_left_out_and_half_hour_changes() {
    // Samoa had no 30 December 2011.
    assert_eq!(
        between(&days(&DAYS, &["08:00"], "Pacific/Apia"), "2011-12-29T00:00:00Z", "2012-01-01T00:00:00Z"),
        ["2011-12-29T18:00:00Z", "2011-12-30T10:00:00Z", "2011-12-30T18:00:00Z", "2011-12-31T18:00:00Z"]
    );
    // Lord Howe repeats half an hour: 01:30-02:00 on 6 April 2025.
    assert_eq!(
        between(&cron(&["45 1 * * *"], "Australia/Lord_Howe"), "2025-04-05T00:00:00Z", "2025-04-06T12:00:00Z"),
        ["2025-04-05T14:45:00Z"]
    );
    assert_eq!(
        between(&cron(&["*/15 1 * * *"], "Australia/Lord_Howe"), "2025-04-05T00:00:00Z", "2025-04-06T12:00:00Z").len(),
        6
    );
}

#[test]
fn impossible_date_is_an_invalid_schedule() {
    for expression in ["0 0 31 2 *", "0 0 30 2 *", "0 0 31 4,6,9,11 *"] {
        let found = findings(cron_form(&["0 0 * * *", expression], "UTC"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].0.as_str(), found[0].1), ("spec.schedule.cron.expressions[1]", "InvalidSchedule"));
        assert!(found[0].2.contains("never matches"), "{}", found[0].2);
    }
    assert_eq!(
        between(&cron(&["0 0 29 2 *"], "UTC"), "2025-01-01T00:00:00Z", "2029-01-01T00:00:00Z"),
        ["2028-02-29T00:00:00Z"]
    );
}

#[test]
fn unknown_zone_is_refused_with_a_suggestion() {
    for (wrong, meant) in [
        ("Europe/Berln", Some("Europe/Berlin")),
        ("Berlin", Some("Europe/Berlin")),
        ("Germany/Berlin", Some("Europe/Berlin")),
        ("America/New York", Some("America/New_York")),
        ("US/Estern", Some("US/Eastern")),
        ("PST", None),
        ("Etc/Unknown", None),
        ("Middle-earth/Shire", None),
        ("+02:00", None),
        ("", None),
    ] {
        for form in [cron_form(&["0 0 * * *"], wrong), day_form(&["Mon"], &["08:00"], wrong)] {
            let found = findings(form);
            assert_eq!(found.len(), 1);
            assert!(found[0].0.ends_with(".timeZone"), "{}", found[0].0);
            assert_eq!(found[0].1, "UnknownTimeZone");
            match meant {
                Some(name) => assert!(found[0].2.contains(&format!("did you mean {name}?")), "{wrong}: {}", found[0].2),
                None if wrong == "Etc/Unknown" => {}
                None => assert!(found[0].2.contains("use an IANA name"), "{wrong}: {}", found[0].2),
            }
        }
    }
}

#[test]
fn time_zone_prefix_is_refused() {
    for expression in ["TZ=Europe/Berlin 0 0 * * *", "CRON_TZ=UTC 0 0 * * *", "TZ=UTC 0 0 * *"] {
        let found = findings(cron_form(&[expression], "UTC"));
        assert_eq!(found[0].1, "InvalidSchedule");
        assert!(found[0].2.contains("timeZone"), "{}", found[0].2);
    }
}

#[test]
fn seconds_years_and_names_are_refused() {
    for expression in ["0 0 0 * * *", "0 0 0 * * * 2030", "0 0 * *", "", "   ", "@daily", "@every 5m"] {
        let found = findings(cron_form(&[expression], "UTC"));
        assert_eq!(found[0].1, "InvalidSchedule", "{expression}");
        assert!(found[0].2.contains("five fields"), "{expression}: {}", found[0].2);
    }
}

#[test]
fn every_cron_expression_that_is_none_is_found_at_once() {
    let found = findings(cron_form(
        &["61 * * * *", "0 0 * * *", "* 24 * * *", "a b c d e", "*/0 * * * *", "5-1 * * * *"],
        "UTC",
    ));
    let paths: Vec<&str> = found.iter().map(|finding| finding.0.as_str()).collect();
    let expected = [0, 2, 3, 4, 5].map(|index| format!("spec.schedule.cron.expressions[{index}]"));
    assert_eq!(paths, expected);
    assert_eq!(findings(cron_form(&[], "UTC"))[0].0, "spec.schedule.cron.expressions");
    assert_eq!(findings(cron_form(&["0 0 * * *"; 11], "UTC"))[0].0, "spec.schedule.cron.expressions");
    assert!(Schedule::parse(&spec(cron_form(&["0 0 * * *"; 10], "UTC"))).is_ok());
}

#[test]
fn cron_has_the_usual_meaning() {
    // Sunday is 0 and 7; day of month or weekday, when both are given.
    let sundays = between(&cron(&["0 0 * * 7"], "UTC"), "2025-06-01T12:00:00Z", "2025-06-09T00:00:00Z");
    assert_eq!(sundays, ["2025-06-08T00:00:00Z"]);
    assert_eq!(sundays, between(&cron(&["0 0 * * sun"], "UTC"), "2025-06-01T12:00:00Z", "2025-06-09T00:00:00Z"));
    assert_eq!(
        between(&cron(&["0 0 3 * MON"], "UTC"), "2025-06-01T12:00:00Z", "2025-06-09T00:00:00Z"),
        ["2025-06-02T00:00:00Z", "2025-06-03T00:00:00Z", "2025-06-09T00:00:00Z"]
    );
    // Several expressions are one schedule; a moment that two of them name is one slot.
    assert_eq!(
        between(&cron(&["0 8 * * *", "0 8,9 * * 1-5"], "UTC"), "2025-06-02T00:00:00Z", "2025-06-03T00:00:00Z"),
        ["2025-06-02T08:00:00Z", "2025-06-02T09:00:00Z"]
    );
}

#[test]
fn interval_is_at_least_a_minute() {
    assert_eq!(interval("1m").describe(Duration::ZERO), "every 1m");
    assert_eq!(interval("1d12h").describe(Duration::ZERO), "every 1d12h");
    for text in ["0s", "59s", "", "15", "99999999999999999999m", "1w"] {
        let found = findings(FormSpec::Interval(text.to_owned()));
        assert_eq!(
            (found.len(), found[0].0.as_str(), found[0].1),
            (1, "spec.schedule.interval", "InvalidSchedule"),
            "{text}"
        );
    }
}

#[test]
fn days_and_times_are_checked_all_at_once() {
    let found = findings(day_form(
        &["Mon", "monday", "Tuesday"],
        &["8:00", "24:00", "08:60", "08:00", "08:00:00", "1é:0"],
        "Mars/Base",
    ));
    let paths: Vec<&str> =
        found.iter().map(|finding| finding.0.trim_start_matches("spec.schedule.dayAndTime.")).collect();
    assert_eq!(paths, ["timeZone", "days[1]", "days[2]", "times[0]", "times[1]", "times[2]", "times[4]", "times[5]"]);
    assert_eq!(findings(day_form(&[], &["08:00"], "UTC"))[0].0, "spec.schedule.dayAndTime.days");
    assert_eq!(findings(day_form(&["Mon"], &[], "UTC"))[0].0, "spec.schedule.dayAndTime.times");
    assert_eq!(findings(day_form(&["Mon"], &["08:00"; 25], "UTC"))[0].0, "spec.schedule.dayAndTime.times");
}

#[test]
fn jitter_and_deadline_are_checked() {
    let with = |form: FormSpec, jitter: &str, deadline: &str| {
        Schedule::parse(&ScheduleSpec {
            form,
            jitter: Some(jitter.to_owned()),
            starting_deadline: Some(deadline.to_owned()),
        })
    };
    let paths = |result: Result<Schedule, Vec<ScheduleError>>| -> Vec<String> {
        result.expect_err("findings").iter().map(|error| error.path().to_owned()).collect()
    };
    assert!(with(FormSpec::Interval("15m".to_owned()), "14m59s", "6h").is_ok());
    assert!(with(FormSpec::Manual, "0s", "1s").is_ok());
    assert_eq!(paths(with(FormSpec::Interval("15m".to_owned()), "15m", "6h")), ["spec.schedule.jitter"]);
    assert_eq!(paths(with(FormSpec::Manual, "1d1s", "0s")), ["spec.schedule.jitter", "spec.schedule.startingDeadline"]);
    assert_eq!(paths(with(FormSpec::Manual, "x", "y")), ["spec.schedule.jitter", "spec.schedule.startingDeadline"]);
    assert_eq!(
        paths(with(FormSpec::After { mapping: String::new() }, "0s", "1s")),
        ["spec.schedule.after.mappingRef.name"]
    );
}

#[test]
fn jitter_is_stable_and_spreads() {
    let spec = ScheduleSpec {
        form: cron_form(&["0 * * * *"], "UTC"),
        jitter: Some("10m".to_owned()),
        starting_deadline: None,
    };
    let schedule = Schedule::parse(&spec).expect("a valid schedule");
    let offsets: Vec<Duration> = (0..1000).map(|number| schedule.offset(&format!("uid-{number}"))).collect();
    assert!(offsets.iter().all(|offset| *offset < Duration::from_secs(600)));
    assert_eq!(offsets[7], schedule.offset("uid-7"));
    // No minute of the ten has more than twice its share.
    let fullest = (0..10).map(|minute| offsets.iter().filter(|offset| offset.as_secs() / 60 == minute).count()).max();
    assert!(fullest < Some(200), "{fullest:?}");
    let slots = schedule.slots(at("2025-06-01T00:00:00Z"), offsets[7]).expect("slots");
    let expected = at("2025-06-01T09:00:00Z") + offsets[7];
    assert_eq!(slots.next_slot_after(at("2025-06-01T09:00:00Z")), Some(expected));
    assert_eq!(slots.previous_slot_at_or_before(expected), Some(expected));
    assert_eq!(cron(&["0 * * * *"], "UTC").offset("uid-7"), Duration::ZERO);
}

#[test]
fn described_in_words() {
    for (schedule, words) in [
        (
            days(&["Fri", "Mon", "Wed"], &["17:00", "08:00"], "Europe/Berlin"),
            "Mon, Wed, Fri at 08:00 and 17:00 Europe/Berlin",
        ),
        (days(&DAYS, &["08:00"], "utc"), "daily at 08:00 UTC"),
        (cron(&["0 */2 * * *"], "America/Denver"), "cron \"0 */2 * * *\" America/Denver"),
        (cron(&["0 9  * * mon-fri", "0 12 * * 6"], "UTC"), "cron \"0 12 * * 6\" and \"0 9 * * MON-FRI\" UTC"),
        (interval("90m"), "every 1h30m"),
    ] {
        assert_eq!(schedule.describe(Duration::ZERO), words);
    }
    assert_eq!(
        days(&["Mon"], &["08:00"], "UTC").describe(Duration::from_secs(72)),
        "Mon at 08:00 UTC, 1m12s later (jitter)"
    );
    let after = Schedule::parse(&spec(FormSpec::After { mapping: "companies".to_owned() })).expect("valid");
    assert_eq!((after.describe(Duration::ZERO).as_str(), after.follows()), ("after companies", Some("companies")));
    assert_eq!(Schedule::parse(&spec(FormSpec::Manual)).expect("valid").describe(Duration::ZERO), "manual");
}

#[test]
fn the_hash_follows_the_meaning() {
    assert_eq!(interval("60m").hash(), interval("1h").hash());
    assert_eq!(cron(&["0  0 * * mon", "1 1 * * *"], "UTC").hash(), cron(&["1 1 * * *", "0 0 * * MON"], "utc").hash());
    assert_eq!(
        days(&["Mon", "Tue"], &["08:00"], "UTC").hash(),
        days(&["Tue", "Mon"], &["08:00", "08:00"], "UTC").hash()
    );
    let different = [
        interval("1h"),
        interval("2h"),
        cron(&["0 0 * * *"], "UTC"),
        cron(&["0 0 * * *"], "Europe/Berlin"),
        days(&DAYS, &["00:00"], "UTC"),
    ];
    let hashes: std::collections::BTreeSet<&str> = different.iter().map(Schedule::hash).collect();
    assert_eq!(hashes.len(), different.len());
    let with = |deadline: Option<&str>, jitter: Option<&str>| {
        let spec = ScheduleSpec {
            form: FormSpec::Interval("1h".to_owned()),
            jitter: jitter.map(str::to_owned),
            starting_deadline: deadline.map(str::to_owned),
        };
        Schedule::parse(&spec).expect("valid").hash().to_owned()
    };
    assert_eq!(with(Some("6h"), None), with(None, Some("0s")));
    assert_ne!(with(None, Some("30s")), with(None, None));
}

#[test]
fn missed_slots_are_estimated_not_counted() {
    let count = |schedule: &Schedule, from: &str, to: &str| {
        schedule.slots(at("2020-01-01T00:00:00Z"), Duration::ZERO).expect("slots").missed_between(at(from), at(to))
    };
    let exact = |count| SlotCount { count, exact: true };
    assert_eq!(count(&interval("1m"), "2020-01-01T00:00:00Z", "2029-12-29T00:00:00Z"), exact(3650 * 1440));
    assert_eq!(count(&interval("1h"), "2020-01-01T00:30:00Z", "2020-01-01T02:00:00Z"), exact(2));
    let nightly = cron(&["0 0 * * *"], "UTC");
    assert_eq!(count(&nightly, "2025-01-01T00:00:00Z", "2025-01-11T00:00:00Z"), exact(10));
    assert_eq!(count(&nightly, "2025-01-11T00:00:00Z", "2025-01-01T00:00:00Z"), exact(0));
    let estimate = count(&cron(&["* * * * *"], "UTC"), "2020-01-01T00:00:00Z", "2030-01-01T00:00:00Z");
    assert!(!estimate.exact);
    assert!((5_200_000..5_300_000).contains(&estimate.count), "{estimate:?}");
}

fn any_schedule() -> impl Strategy<Value = Schedule> {
    let zones = prop::sample::select(vec![
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Asia/Kathmandu",
    ]);
    let expressions = prop::sample::select(vec![
        "30 2 * * *",
        "30 1 * * *",
        "*/30 * * * *",
        "*/7 1-3 * * *",
        "0 */2 * * *",
        "0 0 1 * *",
        "0,30 0,1,2,3 * * *",
        "5 4 29 2 *",
        "0 12 L * *",
        "15 3 * * 1#2",
    ]);
    let times = prop::collection::vec((0u8..24, 0u8..60), 1..5);
    let days_on = prop::collection::vec(prop::sample::select(DAYS.to_vec()), 1..7);
    prop_oneof![
        (60u64..200_000).prop_map(|seconds| interval(&format!("{seconds}s"))),
        (prop::collection::vec(expressions, 1..4), zones.clone()).prop_map(|(list, zone)| cron(&list, zone)),
        (days_on, times, zones).prop_map(|(on, times, zone)| {
            let texts: Vec<String> = times.iter().map(|(h, m)| format!("{h:02}:{m:02}")).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            days(&on, &texts, zone)
        }),
    ]
}

proptest! {
    /// Forwards and backwards agree, and nothing lies between two neighbours.
    #[test]
    fn next_and_previous_agree(schedule in any_schedule(), second in 1_300_000_000i64..2_000_000_000, milli in 0i32..1000, offset in 0u64..3600) {
        let moment = Timestamp::new(second, milli * 1_000_000).expect("in range");
        let slots = schedule.slots(at("2011-01-01T00:00:07Z"), Duration::from_secs(offset)).expect("slots");
        let next = slots.next_slot_after(moment).expect("a next slot");
        let previous = slots.previous_slot_at_or_before(moment).expect("a previous slot");
        prop_assert!(previous <= moment && moment < next, "{previous} {moment} {next}");
        prop_assert_eq!(slots.next_slot_after(previous), Some(next));
        prop_assert_eq!(slots.previous_slot_at_or_before(next), Some(next));
        prop_assert_eq!(slots.previous_slot_at_or_before(next - Duration::from_secs(1)), Some(previous));
        prop_assert_eq!(slots.missed_between(previous, next), SlotCount { count: 1, exact: true });
        prop_assert_eq!(slots.missed_between(previous, moment), SlotCount { count: 0, exact: true });
        // Names of slots differ by minute.
        prop_assert!(next.as_second() / 60 > previous.as_second() / 60);
    }

    /// Each day has each fixed time once, in every zone, on every day.
    #[test]
    fn a_daily_time_comes_once_a_day(hour in 0u8..24, minute in 0u8..60, start in 1_400_000_000i64..1_900_000_000) {
        let schedule = days(&DAYS, &[&format!("{hour:02}:{minute:02}")], "America/New_York");
        let from = Timestamp::from_second(start).expect("in range");
        let slots = schedule.slots(from, Duration::ZERO).expect("slots");
        let mut slot = slots.next_slot_after(from).expect("a slot");
        let zone = TimeZone::get("America/New_York").expect("a zone");
        for _ in 0..400 {
            let next = slots.next_slot_after(slot).expect("a slot");
            let tomorrow = zone.to_datetime(slot).date().tomorrow().expect("in range");
            prop_assert_eq!(zone.to_datetime(next).date(), tomorrow);
            slot = next;
        }
    }

    #[test]
    fn no_expression_makes_it_panic(text in "[0-9*/,#LW?+ -]{0,20}|\\PC{0,20}|([0-9*,/-]{1,4} ){4}[0-9*,/-]{1,4}") {
        let _ = Schedule::parse(&spec(cron_form(&[&text], "UTC")));
    }
}
