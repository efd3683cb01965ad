//! What holds in every history.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Happens {
    /// So many seconds pass.
    Time(u32),
    /// The oldest queued Sync starts, if none runs.
    Starts,
    /// The running Sync ends.
    Ends,
    Suspends(u8),
    Resumes,
    Edits(u8),
    Requests(u8),
    /// The controller creates the Sync and dies before it writes the status.
    Crash,
    /// A finished Sync is pruned or deleted.
    Forgets,
    Upstream(bool),
    Runnable(bool),
    ByPerson,
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        8 => (1u32..5_000).prop_map(Happens::Time),
        1 => (100_000u32..3_000_000).prop_map(Happens::Time),
        5 => Just(Happens::Starts),
        5 => Just(Happens::Ends),
        1 => (0u8..4).prop_map(Happens::Suspends),
        2 => Just(Happens::Resumes),
        1 => (0u8..6).prop_map(Happens::Edits),
        2 => (0u8..50).prop_map(Happens::Requests),
        2 => Just(Happens::Crash),
        2 => Just(Happens::Forgets),
        2 => any::<bool>().prop_map(Happens::Upstream),
        1 => any::<bool>().prop_map(Happens::Runnable),
        1 => Just(Happens::ByPerson),
    ]
}

fn some_schedule(number: u8) -> Schedule {
    match number {
        0 => every("15m"),
        1 => every("1h"),
        2 => cron("*/10 * * * *"),
        3 => schedule(cron_form("0 * * * *"), Some("5m"), Some("20m")),
        4 => schedule(FormSpec::After { mapping: "companies".to_owned() }, None, None),
        _ => schedule(FormSpec::Manual, None, None),
    }
}

fn scheduled_unfinished(world: &World) -> usize {
    let active = |sync: &&Stored| !matches!(sync.phase, Phase::Finished { .. }) && sync.trigger != Trigger::Manual;
    world.syncs.iter().filter(active).count()
}

fn happen(world: &mut World, now: &mut Timestamp, what: &Happens) {
    match what {
        Happens::Time(seconds) => *now += Duration::from_secs(u64::from(*seconds)),
        Happens::Starts => {
            let running = world.syncs.iter().any(|sync| sync.phase == Phase::Running);
            if !running && let Some(sync) = world.syncs.iter_mut().find(|sync| sync.phase == Phase::Queued) {
                sync.phase = Phase::Running;
                sync.started_at = Some(*now);
            }
        }
        Happens::Ends => {
            if let Some(sync) = world.syncs.iter_mut().find(|sync| sync.phase == Phase::Running) {
                sync.phase = Phase::Finished { at: *now, succeeded: true };
            }
        }
        Happens::Suspends(0) => world.suspended.mapping = true,
        Happens::Suspends(1) => world.suspended.source = true,
        Happens::Suspends(2) => world.suspended.model = true,
        Happens::Suspends(_) => world.suspended.destination = true,
        Happens::Resumes => world.suspended = Suspended::default(),
        Happens::Edits(number) => world.schedule = Some(some_schedule(*number)),
        Happens::Requests(number) => world.requested_at = Some(number.to_string()),
        Happens::Crash => {
            if let Action::Start(new) = world.decide(*now).action {
                world.create(&new);
            }
        }
        Happens::Forgets => {
            if let Some(index) = world.syncs.iter().position(|sync| matches!(sync.phase, Phase::Finished { .. })) {
                // A Sync is only pruned after it is in the status.
                world.step(*now);
                world.syncs.remove(index);
            }
        }
        Happens::Upstream(good) => {
            let name = format!("companies-{}", world.upstream.len());
            world.upstream.push((name, *now, *good, false));
        }
        Happens::Runnable(runnable) => world.runnable = *runnable,
        Happens::ByPerson => {
            let name = format!("by-hand-{}", world.syncs.len());
            world.by_person(&name, Phase::Queued);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn laws_of_every_history(first in 0u8..6, history in prop::collection::vec(happens(), 1..120)) {
        let mut now = monday("10:00:07");
        let mut world = World::new(some_schedule(first), now);
        let mut newest_slot = None;
        for what in &history {
            happen(&mut world, &mut now, what);
            let before = world.status.clone();
            let decision = world.decide(now);
            prop_assert_eq!(&decision, &world.decide(now), "pure");
            if let Action::Start(new) = &decision.action {
                prop_assert!(world.runnable && !world.suspended.beyond_mapping());
                prop_assert!(world.syncs.iter().all(|sync| sync.phase != Phase::Running), "never two at once");
                if new.trigger == Trigger::Manual {
                    prop_assert_ne!(&before.last_handled_request, &world.requested_at);
                } else {
                    prop_assert!(!world.suspended.mapping);
                    prop_assert_eq!(scheduled_unfinished(&world), 0);
                    let slot = new.slot.expect("a slot");
                    prop_assert!(slot <= now && Some(slot) > newest_slot, "no slot twice: {} after {:?}", slot, newest_slot);
                    newest_slot = Some(slot);
                }
                // A crash before the status is written, then the same decision with the Sync in view: nothing more is started.
                let mut crashed = world.clone();
                crashed.create(new);
                let again = crashed.decide(now);
                prop_assert!(again.events.is_empty() && again.collision.is_none());
                let same_kind = matches!(&again.action, Action::Start(next) if next.trigger == new.trigger);
                prop_assert!(!same_kind, "started twice: {:?}", again.action);
            }
            world.step(now);
            prop_assert!(world.status.last_schedule_time >= before.last_schedule_time, "never backwards");
            prop_assert!(world.status.missed_slots >= before.missed_slots);
            if let Some(wake) = decision.wake_at {
                prop_assert!(wake > now && wake <= now + Duration::from_secs(6 * 3_600));
            }
            // Deciding again without any news neither starts nor writes anything.
            let again = world.decide(now);
            let requested_then_slot = matches!(&decision.action, Action::Start(new) if new.trigger == Trigger::Manual);
            if !requested_then_slot {
                prop_assert_eq!(&again.status, &world.status);
                prop_assert_eq!(again.action, Action::Wait);
            }
        }
    }

    /// After an edit or a resume at most one run follows, and not before a slot that lies after it.
    #[test]
    fn no_burst_after_edit_or_resume(first in 0u8..4, second in 0u8..4, edit in any::<bool>(), pause in 60u32..5_000_000, ends in 1u64..600) {
        let mut now = monday("10:00:07");
        let mut world = World::new(some_schedule(first), now);
        world.run_at_once(now);
        world.suspended.mapping = !edit;
        world.step(now);
        now += Duration::from_secs(u64::from(pause));
        // Resumed at once, or edited while nothing ran because the controller was away.
        world.suspended.mapping = false;
        if edit {
            prop_assume!(first != second);
            world.schedule = Some(some_schedule(second));
        }
        let turn = now;
        let decision = world.step(now);
        prop_assert_eq!(&decision.action, &Action::Wait);
        prop_assert!(decision.events.is_empty());
        let next = decision.status.next_schedule_time.expect("a slot");
        prop_assert!(next > turn);
        now = next;
        prop_assert!(world.run_at_once(now).is_some());
        now += Duration::from_secs(ends);
        let after = world.decide(now);
        if let Action::Start(new) = after.action {
            prop_assert!(new.slot > Some(next));
        }
    }
}
