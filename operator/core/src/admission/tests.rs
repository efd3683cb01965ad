use proptest::prelude::*;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_750_000_000 + second).expect("in range")
}

fn sync<'a>(name: &'a str, source: &'a str, destination: &'a str, second: i64) -> SyncSlot<'a> {
    SyncSlot {
        name,
        source: Some(source),
        destination: Some(destination),
        queues_for_destination: true,
        mapping: Some(name),
        state_key: Some(name),
        model_suspended: false,
        mapping_suspended: false,
        created_at: at(second),
    }
}

fn limits<'a>(list: &[(&'a str, usize)]) -> HashMap<&'a str, Limit> {
    list.iter().map(|(name, most)| (*name, Limit { max_concurrent: *most, suspended: false })).collect()
}

fn suspended(name: &str) -> HashMap<&str, Limit> {
    HashMap::from([(name, Limit { max_concurrent: 9, suspended: true })])
}

fn behind<'a>(admission: &'a Admission, name: &str) -> &'a str {
    admission.behind.iter().find(|(sync, _)| sync == name).map_or("", |(_, reason)| reason)
}

#[test]
fn oldest_first_up_to_the_limits() {
    let queued =
        [sync("c", "pg", "hub", 3), sync("a", "pg", "hub", 1), sync("d", "pg", "mail", 4), sync("b", "pg", "hub", 2)];
    let admission = admit(&queued, &[], &limits(&[("pg", 3)]), &limits(&[("hub", 2), ("mail", 1)]), at(5));
    assert_eq!(admission.start, ["a", "b", "d"]);
    assert_eq!(behind(&admission, "c"), "Destination hub (maxConcurrentSyncs 2)");
    let running = [sync("x", "pg", "other", 0), sync("y", "pg", "hub", 0)];
    let admission = admit(&queued, &running, &limits(&[("pg", 3)]), &limits(&[("hub", 2), ("mail", 1)]), at(5));
    assert_eq!(admission.start, ["a"]);
    assert_eq!(behind(&admission, "b"), "Source pg (maxConcurrentSyncs 3); Destination hub (maxConcurrentSyncs 2)");
    assert_eq!(behind(&admission, "d"), "Source pg (maxConcurrentSyncs 3)");
}

#[test]
fn same_second_is_decided_by_name() {
    let queued = [sync("b", "pg", "hub", 1), sync("a", "pg", "hub", 1)];
    assert_eq!(admit(&queued, &[], &limits(&[("pg", 1)]), &limits(&[("hub", 1)]), at(1)).start, ["a"]);
}

#[test]
fn who_waits_for_something_else_holds_nobody_back() {
    // "a" waits for its Destination; "b" needs only what is free.
    let running = [sync("x", "other", "hub", 0)];
    let queued = [sync("a", "pg", "hub", 1), sync("b", "pg", "mail", 2)];
    let destinations = limits(&[("hub", 1), ("mail", 1)]);
    let admission = admit(&queued, &running, &limits(&[("pg", 1), ("other", 1)]), &destinations, at(3));
    assert_eq!(admission.start, ["b"]);
}

#[test]
fn destination_is_kept_for_who_was_overtaken_long_enough() {
    let sources = limits(&[("pg", 1), ("other", 1)]);
    let running = [sync("x", "pg", "mail", 0)];
    let queued = [sync("a", "pg", "hub", 0), sync("b", "other", "hub", 2)];
    let destinations = limits(&[("hub", 1), ("mail", 1)]);
    let patience = i64::try_from(PATIENCE.as_secs()).expect("seconds");
    assert_eq!(admit(&queued, &running, &sources, &destinations, at(patience - 1)).start, ["b"]);
    let admission = admit(&queued, &running, &sources, &destinations, at(patience));
    assert!(admission.start.is_empty());
    assert_eq!(behind(&admission, "b"), "Destination hub (an older Sync is first)");
}

#[test]
fn never_two_of_one_mapping_or_one_state() {
    let (sources, destinations) = (limits(&[("pg", 9)]), limits(&[("hub", 9)]));
    let second = SyncSlot { mapping: Some("a"), state_key: Some("a"), ..sync("a2", "pg", "hub", 2) };
    let admission = admit(&[second.clone(), sync("a", "pg", "hub", 1)], &[], &sources, &destinations, at(3));
    assert_eq!(admission.start, ["a"]);
    assert_eq!(behind(&admission, "a2"), "Sync a of the same Mapping");
    let forget = SyncSlot { mapping: None, destination: None, state_key: Some("a"), ..sync("forget", "pg", "hub", 3) };
    let admission = admit(&[forget], &[sync("a", "pg", "hub", 1)], &sources, &destinations, at(4));
    assert_eq!(behind(&admission, "forget"), "Sync a with the same state");
    // An older Sync in the queue comes first at its own Mapping, whatever it waits for.
    let full = limits(&[("hub", 0), ("mail", 9)]);
    let other = SyncSlot { destination: Some("mail"), ..second };
    let admission = admit(&[other, sync("a", "pg", "hub", 1)], &[], &sources, &full, at(3));
    assert!(admission.start.is_empty());
}

#[test]
fn suspension_holds_back_and_keeps_no_place() {
    let open = (limits(&[("pg", 1)]), limits(&[("hub", 1)]));
    let queue = |held: SyncSlot<'static>| [held, SyncSlot { created_at: at(2), ..sync("z", "pg", "hub", 2) }];
    let held = queue(SyncSlot { model_suspended: true, ..sync("a", "pg", "hub", 1) });
    let admission = admit(&held, &[], &open.0, &open.1, at(3));
    assert_eq!(
        (admission.start.as_slice(), behind(&admission, "a")),
        (["z".to_owned()].as_slice(), "its Model is suspended")
    );
    let held = queue(SyncSlot { mapping_suspended: true, ..sync("a", "pg", "hub", 1) });
    let admission = admit(&held, &[], &open.0, &open.1, at(3));
    assert_eq!(
        (admission.start.as_slice(), behind(&admission, "a")),
        (["z".to_owned()].as_slice(), "Mapping a is suspended")
    );
    let one = [sync("a", "pg", "hub", 1)];
    assert_eq!(behind(&admit(&one, &[], &suspended("pg"), &open.1, at(3)), "a"), "Source pg is suspended");
    assert_eq!(behind(&admit(&one, &[], &open.0, &suspended("hub"), at(3)), "a"), "Destination hub is suspended");
    assert_eq!(behind(&admit(&one, &[], &HashMap::new(), &open.1, at(3)), "a"), "Source pg does not exist");
    // A manual Sync of a suspended Mapping goes ahead of the scheduled one that is held.
    let manual = SyncSlot { mapping: Some("a"), state_key: Some("a"), ..sync("manual", "pg", "hub", 2) };
    let admission = admit(
        &[SyncSlot { mapping_suspended: true, ..sync("a", "pg", "hub", 1) }, manual],
        &[],
        &open.0,
        &open.1,
        at(3),
    );
    assert_eq!(admission.start, ["manual"]);
}

#[test]
fn preview_and_test_take_no_place_at_the_destination() {
    let test = SyncSlot { queues_for_destination: false, ..sync("test", "pg", "hub", 1) };
    let queued = [test.clone(), sync("a", "pg", "hub", 2)];
    assert_eq!(admit(&queued, &[], &limits(&[("pg", 2)]), &limits(&[("hub", 1)]), at(3)).start, ["test", "a"]);
    assert_eq!(admit(&queued[1..], &[test], &limits(&[("pg", 1)]), &limits(&[("hub", 1)]), at(3)).start.len(), 0);
}

#[test]
fn ten_thousand_in_the_queue() {
    let names: Vec<String> = (0..10_000).map(|number| format!("sync-{number:05}")).collect();
    let places: Vec<String> = (0..100).map(|number| format!("place-{number}")).collect();
    let queued: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(index, name)| {
            sync(name, &places[index % 100], &places[index / 7 % 100], i64::try_from(index).expect("small"))
        })
        .collect();
    let all: Vec<(&str, usize)> = places.iter().map(|place| (place.as_str(), 4)).collect();
    let admission = admit(&queued, &[], &limits(&all), &limits(&all), at(20_000));
    assert_eq!(admission.start.len() + admission.behind.len(), 10_000);
    assert!(admission.start.len() <= 400);
}

/// Queue of random Syncs: (source, destination, mapping, takes a place at the Destination, created, runs for).
type Random = (usize, usize, usize, bool, i64, i64);

const PLACES: [&str; 4] = ["p0", "p1", "p2", "p3"];

fn random() -> impl Strategy<Value = Random> {
    (0usize..3, 0usize..4, 0usize..12, prop::bool::weighted(0.9), 0i64..4_000, 1i64..3_000)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// A whole day of a queue: limits hold at each moment, and everything runs in the end.
    #[test]
    fn limits_hold_and_everything_runs(syncs in prop::collection::vec(random(), 1..60), most in prop::collection::vec(1usize..4, 8)) {
        let names: Vec<String> = (0..syncs.len()).map(|number| format!("s{number}")).collect();
        let mappings: Vec<String> = (0..12).map(|number| format!("m{number}")).collect();
        let sources = limits(&PLACES.iter().zip(&most).map(|(name, most)| (*name, *most)).collect::<Vec<_>>());
        let destinations = limits(&PLACES.iter().zip(&most[4..]).map(|(name, most)| (*name, *most)).collect::<Vec<_>>());
        let slot = |index: usize| {
            let (source, destination, mapping, queues, created, _) = syncs[index];
            SyncSlot {
                mapping: Some(mappings[mapping].as_str()),
                state_key: Some(mappings[mapping].as_str()),
                queues_for_destination: queues,
                ..sync(&names[index], PLACES[source], PLACES[destination], created)
            }
        };
        let mut running: Vec<(i64, usize)> = Vec::new();
        let mut waiting: Vec<usize> = (0..syncs.len()).collect();
        let mut now = 0;
        while !waiting.is_empty() {
            running.retain(|(end, _)| *end > now);
            let queued: Vec<_> = waiting.iter().filter(|index| syncs[**index].4 <= now).map(|index| slot(*index)).collect();
            let active: Vec<_> = running.iter().map(|(_, index)| slot(*index)).collect();
            let admission = admit(&queued, &active, &sources, &destinations, at(now));
            prop_assert_eq!(admission.start.len() + admission.behind.len(), queued.len());
            prop_assert!(admission.behind.iter().all(|(_, reason)| !reason.is_empty()));
            for name in &admission.start {
                let index = names.iter().position(|other| other == name).expect("known");
                waiting.retain(|other| *other != index);
                running.push((now + syncs[index].5, index));
            }
            for place in PLACES {
                let at_source = running.iter().filter(|(_, index)| PLACES[syncs[*index].0] == place).count();
                let at_destination = running.iter().filter(|(_, index)| PLACES[syncs[*index].1] == place && syncs[*index].3).count();
                prop_assert!(at_source <= sources[place].max_concurrent && at_destination <= destinations[place].max_concurrent);
            }
            let mut active: Vec<usize> = running.iter().map(|(_, index)| syncs[*index].2).collect();
            active.sort_unstable();
            let all = active.len();
            active.dedup();
            prop_assert_eq!(active.len(), all, "two of one Mapping");
            // Once more without any change: nobody else may start, so the limits were used.
            let rest: Vec<_> = waiting.iter().filter(|index| syncs[**index].4 <= now).map(|index| slot(*index)).collect();
            let active: Vec<_> = running.iter().map(|(_, index)| slot(*index)).collect();
            prop_assert!(admit(&rest, &active, &sources, &destinations, at(now)).start.is_empty());
            let ends = running.iter().map(|(end, _)| *end).filter(|end| *end > now).min();
            let comes = waiting.iter().map(|index| syncs[*index].4).filter(|created| *created > now).min();
            match ends.into_iter().chain(comes).min() {
                Some(next) => now = next,
                None => prop_assert!(waiting.is_empty(), "stuck: {:?}", waiting),
            }
        }
    }

    /// A steady stream of younger Syncs does not keep an old one from running.
    #[test]
    fn nobody_starves(long in 600i64..2_000, period in 100i64..500) {
        prop_assert!(old_one_runs(long, period, false));
    }
}

#[test]
fn without_an_end_to_patience_somebody_starves() {
    assert!(!old_one_runs(1_000, 500, true), "the scenario of nobody_starves has to be able to fail");
    assert!(old_one_runs(1_000, 500, false));
}

/// "old" needs pg and hub; others come for ever to each of the two alone, and each of the two is free only while the other is taken.
/// Answers whether "old" ever runs, by a clock that stands still or not.
fn old_one_runs(long: i64, period: i64, stopped_clock: bool) -> bool {
    let names: Vec<String> = (0..800).map(|number| format!("s{number:05}")).collect();
    let sources = limits(&[("pg", 1), ("other", 9)]);
    let destinations = limits(&[("hub", 1), ("mail", 9)]);
    let mut fresh = names.iter();
    let mut running = vec![(long / 2, sync("s-first", "pg", "mail", 0)), (long, sync("s-second", "other", "hub", 0))];
    let mut queued = vec![sync("old", "pg", "hub", 10)];
    for step in 0..400 {
        let now = step * period;
        running.retain(|(end, _)| *end > now);
        for (source, destination) in [("pg", "mail"), ("other", "hub")] {
            queued.extend(fresh.next().map(|name| sync(name, source, destination, now.max(11))));
        }
        let active: Vec<_> = running.iter().map(|(_, sync)| sync.clone()).collect();
        let shown = if stopped_clock { 11 } else { now };
        let started = admit(&queued, &active, &sources, &destinations, at(shown)).start;
        if started.iter().any(|name| name == "old") {
            return true;
        }
        let (starting, rest): (Vec<_>, Vec<_>) =
            queued.into_iter().partition(|sync| started.iter().any(|name| name == sync.name));
        queued = rest;
        running.extend(starting.into_iter().map(|sync| (now + long, sync)));
    }
    false
}
