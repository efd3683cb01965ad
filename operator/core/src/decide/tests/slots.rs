use super::*;

#[test]
fn new_interval_runs_at_once_and_then_at_anchored_slots() {
    let mut world = World::new(every("15m"), monday("10:00:07"));
    assert_eq!(world.run_at_once(monday("10:00:09")), name_at(monday("10:00:07")));
    assert_eq!(world.status.last_schedule_time, Some(monday("10:00:07")));
    let decision = world.step(monday("10:03:00"));
    assert_eq!(decision.action, Action::Wait);
    assert_eq!(decision.status.next_schedule_time, Some(monday("10:15:07")));
    assert_eq!(decision.wake_at, soon_after(monday("10:15:07")));
    assert_eq!(decision.status.effective_schedule.as_deref(), Some("every 15m"));
    assert_eq!(world.step(monday("10:15:06.999")).action, Action::Wait);
    // A late start does not move the slots that follow.
    assert_eq!(world.run_at_once(monday("10:20:00")), name_at(monday("10:15:07")));
    assert_eq!(world.run_at_once(monday("10:30:07")), name_at(monday("10:30:07")));
}

#[test]
fn new_cron_waits_for_its_first_slot() {
    let mut world = World::new(cron("0 * * * *"), monday("10:30:00"));
    let decision = world.step(monday("10:30:01"));
    assert_eq!((decision.action, decision.status.next_schedule_time), (Action::Wait, Some(monday("11:00:00"))));
    assert_eq!(world.run_at_once(monday("11:00:00.100")), name_at(monday("11:00:00")));
    assert_eq!(name_at(monday("11:00:00")).as_deref(), Some("crm-29147700"));
}

#[test]
fn manual_never_starts_by_itself() {
    let mut world = World::new(schedule(FormSpec::Manual, None, None), monday("10:00:00"));
    let decision = world.step(monday("12:00:00"));
    assert_eq!((decision.action, decision.wake_at, decision.status.next_schedule_time), (Action::Wait, None, None));
}

#[test]
fn controller_down_over_one_slot() {
    let mut world = World::new(cron("0 * * * *"), monday("09:30:00"));
    world.step(monday("09:31:00"));
    let late = world.step(monday("10:45:00"));
    assert_eq!(started_name(&late), name_at(monday("10:00:00")));
    assert!(late.events.is_empty());
    assert_eq!(late.status.missed_slots, 0);
}

#[test]
fn more_than_100_missed() {
    let mut world = World::new(cron("* * * * *"), monday("09:30:00"));
    world.step(monday("09:30:01"));
    let late = world.step(at("2026-06-02T09:30:30Z"));
    assert_eq!(started_name(&late), name_at(at("2026-06-02T09:30:00Z")));
    let [ScheduleEvent::MissedSlots { count, exact: false }] = late.events.as_slice() else {
        panic!("{:?}", late.events)
    };
    assert!((520_000..530_000).contains(count), "{count}");
    assert_eq!(late.status.missed_slots, *count);
    assert!(late.events[0].to_string().starts_with("about "), "{}", late.events[0]);
    world.run(at("2026-06-02T09:30:31Z"));
    world.finish(at("2026-06-02T09:30:40Z"));
    assert_eq!(world.step(at("2026-06-02T09:30:50Z")).action, Action::Wait, "one run carries them all");
}

#[test]
fn starting_deadline_skips_a_slot_that_is_too_late() {
    let mut world = World::new(schedule(cron_form("0 * * * *"), None, Some("10m")), monday("09:30:00"));
    world.step(monday("09:31:00"));
    assert_eq!(started_name(&world.decide(monday("10:10:00"))), name_at(monday("10:00:00")));
    let late = world.step(monday("10:10:00.001"));
    assert_eq!(late.action, Action::Wait);
    assert_eq!(
        late.events,
        [ScheduleEvent::MissSchedule { slot: monday("10:00:00"), deadline: Duration::from_secs(600) }]
    );
    assert_eq!((late.status.missed_slots, late.status.last_schedule_time), (1, None));
    let again = world.step(monday("10:11:00"));
    assert!(again.events.is_empty(), "told once");
    assert_eq!(world.run_at_once(monday("11:00:01")), name_at(monday("11:00:00")));
}

#[test]
fn clock_of_controller_ahead() {
    let world = World::new(cron("0 * * * *"), monday("09:30:00"));
    assert_eq!(world.decide(monday("09:59:59.950")).wake_at, soon_after(monday("10:00:00")));
    // Two controllers whose clocks differ by minutes still come to one name.
    let (fast, slow) = (world.decide(monday("10:04:00")), world.decide(monday("10:00:00.100")));
    assert_eq!(started_name(&fast), started_name(&slow));
}

#[test]
fn clock_jumps_back() {
    let mut world = World::new(cron("0 * * * *"), monday("09:30:00"));
    world.step(monday("09:31:00"));
    assert!(world.run_at_once(monday("10:00:01")).is_some());
    let back = world.step(monday("09:50:00"));
    assert_eq!(back.status.last_schedule_time, Some(monday("10:00:00")), "never backwards");
    assert_eq!(back.status.next_schedule_time, Some(monday("11:00:00")));
    assert_eq!(world.step(monday("10:00:01")).action, Action::Wait);
    assert_eq!(world.run_at_once(monday("11:00:01")), name_at(monday("11:00:00")));
}

#[test]
fn clock_jumps_years_ahead_and_back() {
    let mut world = World::new(cron("0 * * * *"), monday("09:30:00"));
    world.step(monday("09:31:00"));
    assert!(world.run_at_once(at("2031-01-01T00:00:01Z")).is_some());
    world.syncs.clear();
    // The faulty time stays in the status, but it does not stop the Mapping for years, nor does it let a slot start twice.
    for hour in 10..15 {
        let slot = monday(&format!("{hour}:00:00"));
        assert_eq!(world.run_at_once(slot + Duration::from_secs(1)), name_at(slot));
        world.syncs.clear();
        assert_eq!(world.run_at_once(slot + Duration::from_secs(5)), None);
    }
    assert_eq!(world.status.last_schedule_time, Some(at("2031-01-01T00:00:00Z")));
}

#[test]
fn invalid_schedule_starts_nothing_and_its_correction_is_an_edit() {
    let mut world = World::new(cron("0 * * * *"), monday("09:30:00"));
    world.schedule = None;
    let decision = world.step(monday("09:31:00"));
    assert_eq!((decision.action, decision.wake_at), (Action::Wait, None));
    assert_eq!((decision.status.effective_schedule, decision.waiting), (None, Some(Waiting::NotRunnable)));
    world.step(monday("10:31:00"));
    world.schedule = Some(cron("0 * * * *"));
    assert_eq!(world.step(monday("10:40:00")).action, Action::Wait, "10:00 was never a slot");
    assert_eq!(world.step(monday("10:40:00")).status.next_schedule_time, Some(monday("11:00:00")));
    // An interval that is valid at last begins like a new one.
    let mut world = World::new(cron("0 * * * *"), monday("09:30:00"));
    world.schedule = None;
    world.step(monday("09:31:00"));
    world.schedule = Some(every("1d"));
    assert_eq!(world.run_at_once(monday("10:40:00")), name_at(monday("10:40:00")));
}

#[test]
fn schedule_edited() {
    let mut world = World::new(cron("0 8 * * *"), monday("07:00:00"));
    world.step(monday("07:00:01"));
    assert!(world.run_at_once(monday("08:00:01")).is_some());
    // The new schedule had slots all day: none of them counts.
    world.schedule = Some(cron("*/5 * * * *"));
    let edited = world.step(monday("12:02:00.5"));
    assert_eq!((edited.action, edited.events.len(), edited.status.missed_slots), (Action::Wait, 0, 0));
    assert_eq!(edited.status.next_schedule_time, Some(monday("12:05:00")));
    world.schedule = Some(every("1h"));
    let edited = world.step(monday("12:03:20.7"));
    assert_eq!((edited.action, edited.status.next_schedule_time), (Action::Wait, Some(monday("13:03:20"))));
    // The same schedule in other words is no edit.
    world.schedule = Some(every("60m"));
    assert_eq!(world.step(monday("12:30:00")).status.next_schedule_time, Some(monday("13:03:20")));
    assert_eq!(world.run_at_once(monday("13:03:21")), name_at(monday("13:03:20")));
}

#[test]
fn schedule_edited_during_a_run() {
    let mut world = World::new(cron("0 * * * *"), monday("09:30:00"));
    world.step(monday("09:31:00"));
    world.step(monday("10:00:01"));
    world.run(monday("10:00:02"));
    assert!(matches!(world.step(monday("11:00:01")).waiting, Some(Waiting::Active { .. })));
    world.schedule = Some(cron("30 * * * *"));
    world.step(monday("11:10:00"));
    world.finish(monday("11:20:00"));
    assert_eq!(world.step(monday("11:20:01")).action, Action::Wait, "the slot of the old schedule is gone");
    assert_eq!(world.run_at_once(monday("11:30:01")), name_at(monday("11:30:00")));
}

fn gates() -> [Suspended; 4] {
    let open = Suspended::default();
    [
        Suspended { mapping: true, ..open },
        Suspended { source: true, ..open },
        Suspended { model: true, ..open },
        Suspended { destination: true, ..open },
    ]
}

#[test]
fn suspend_then_resume() {
    for gate in gates() {
        let mut world = World::new(cron("0 * * * *"), monday("09:30:00"));
        world.step(monday("09:31:00"));
        world.suspended = gate;
        for time in ["09:40:00", "10:00:01", "11:00:01", "12:00:01"] {
            let decision = world.step(monday(time));
            assert_eq!((decision.action, decision.status.next_schedule_time), (Action::Wait, None), "{gate:?}");
        }
        world.suspended = Suspended::default();
        let resumed = world.step(monday("12:30:00"));
        assert_eq!((resumed.action, resumed.status.next_schedule_time), (Action::Wait, Some(monday("13:00:00"))));
        assert_eq!(world.run_at_once(monday("13:00:01")), name_at(monday("13:00:00")));
        assert_eq!(world.status.missed_slots, 0);
    }
}

#[test]
fn interval_keeps_its_rhythm_over_a_suspension() {
    let mut world = World::new(every("1h"), monday("09:10:00"));
    assert!(world.run_at_once(monday("09:10:01")).is_some());
    world.suspended = gates()[0];
    world.step(monday("09:40:00"));
    world.suspended = Suspended::default();
    let resumed = world.step(monday("12:30:00"));
    assert_eq!((resumed.action, resumed.status.next_schedule_time), (Action::Wait, Some(monday("13:10:00"))));
    // Made while suspended: its first slot passes like any other.
    let mut world = World::new(every("1h"), monday("09:10:00"));
    world.suspended = gates()[1];
    world.step(monday("09:10:01"));
    world.suspended = Suspended::default();
    let resumed = world.step(monday("09:20:00"));
    assert_eq!((resumed.action, resumed.status.next_schedule_time), (Action::Wait, Some(monday("10:10:00"))));
}

#[test]
fn run_longer_than_period() {
    let mut world = World::new(cron("*/15 * * * *"), monday("09:50:00"));
    world.step(monday("09:50:01"));
    world.step(monday("10:00:01"));
    world.run(monday("10:00:02"));
    for time in ["10:15:01", "10:30:01", "10:45:01"] {
        assert_eq!(world.step(monday(time)).waiting, Some(Waiting::Active { sync: "crm-29147640".to_owned() }));
    }
    world.finish(monday("10:50:00"));
    let catch_up = world.step(monday("10:50:01"));
    assert_eq!(started_name(&catch_up), name_at(monday("10:45:00")));
    assert_eq!(catch_up.events, [ScheduleEvent::MissedSlots { count: 2, exact: true }]);
    assert_eq!(catch_up.status.missed_slots, 2);
    world.run(monday("10:50:02"));
    world.finish(monday("10:50:03"));
    assert_eq!(world.step(monday("10:50:04")).action, Action::Wait, "once");
}

#[test]
fn queued_sync_absorbs_later_slots() {
    let mut world = World::new(cron("*/15 * * * *"), monday("09:50:00"));
    world.step(monday("09:50:01"));
    world.step(monday("10:00:01"));
    let waiting = world.step(monday("10:15:01"));
    assert_eq!((waiting.action, waiting.status.missed_slots), (Action::Wait, 1));
    // 10:30 comes while the controller looks away, and the run begins after it.
    world.run(monday("10:31:00"));
    world.finish(monday("10:40:00"));
    let finished = world.step(monday("10:40:01"));
    assert_eq!((finished.action, finished.status.missed_slots), (Action::Wait, 2));
    assert_eq!(finished.status.last_schedule_time, Some(monday("10:00:00")));
    assert_eq!(world.run_at_once(monday("10:45:01")), name_at(monday("10:45:00")));
}

#[test]
fn queued_sync_during_a_suspension_misses_nothing() {
    let mut world = World::new(cron("*/15 * * * *"), monday("09:50:00"));
    world.step(monday("09:50:01"));
    world.step(monday("10:00:01"));
    world.suspended = gates()[3];
    let held = world.step(monday("10:50:00"));
    assert_eq!((held.action, held.status.missed_slots), (Action::Wait, 0));
    world.suspended = Suspended::default();
    world.step(monday("11:05:00"));
    world.run(monday("11:05:01"));
    world.finish(monday("11:05:02"));
    assert_eq!(world.step(monday("11:05:03")).action, Action::Wait);
    assert_eq!(world.run_at_once(monday("11:15:01")), name_at(monday("11:15:00")));
    assert_eq!(world.status.missed_slots, 0);
}

#[test]
fn two_leaders() {
    let mut first = World::new(cron("0 * * * *"), monday("09:30:00"));
    first.step(monday("09:31:00"));
    let second = first.clone();
    let ours = first.step(monday("10:00:00.100"));
    let theirs = second.decide(monday("10:00:00.700"));
    assert_eq!(ours.action, theirs.action, "the second creation is refused by the API server");
    // It reads the Sync that is there and decides again.
    let mut second = World { syncs: first.syncs.clone(), ..second };
    let adopted = second.step(monday("10:00:00.800"));
    assert_eq!((adopted.action, adopted.events.len()), (Action::Wait, 0));
    assert_eq!(adopted.status.last_schedule_time, first.status.last_schedule_time);
}

#[test]
fn crash_between_create_and_status() {
    for slot_is_known in [true, false] {
        let mut world = World::new(every("1h"), monday("10:00:37"));
        world.step(monday("09:59:00"));
        let Action::Start(new) = world.decide(monday("10:00:38")).action else { panic!("starts") };
        world.create(&new);
        if !slot_is_known {
            world.syncs[0].slot = None;
        }
        let adopted = world.step(monday("10:00:50"));
        assert_eq!((adopted.action, adopted.events.len(), adopted.collision), (Action::Wait, 0, None));
        assert_eq!(adopted.status.last_schedule_time, Some(monday("10:00:37")));
        assert_eq!(adopted.status.missed_slots, 0);
    }
    // The controller comes back after the next slot: the run it had started is not counted as missed.
    let mut world = World::new(every("1h"), monday("10:00:37"));
    let Action::Start(new) = world.decide(monday("10:00:38")).action else { panic!("starts") };
    world.create(&new);
    world.run(monday("10:00:40"));
    world.finish(monday("10:05:00"));
    let next = world.step(monday("11:01:00"));
    assert_eq!((started_name(&next), next.status.missed_slots), (name_at(monday("11:00:37")), 0));
}

#[test]
fn sync_with_our_name_and_foreign_owner() {
    for person in [true, false] {
        let mut world = World::new(cron("0 * * * *"), monday("09:30:00"));
        world.step(monday("09:31:00"));
        let name = slot_name("crm", monday("10:00:00"));
        world.by_person(&name, Phase::Running);
        world.syncs[0].by_controller = !person;
        let skipped = world.step(monday("10:00:01"));
        assert_eq!(skipped.action, Action::Wait);
        assert_eq!(skipped.events, [ScheduleEvent::NameCollision { name: name.clone() }]);
        assert_eq!((skipped.collision, skipped.status.missed_slots), (Some(name), 1));
        assert_eq!(skipped.status.last_schedule_time, None);
        assert!(world.step(monday("10:01:00")).events.is_empty(), "told once");
        world.syncs.clear();
        assert_eq!(world.run_at_once(monday("11:00:01")), name_at(monday("11:00:00")));
    }
}

#[test]
fn mapping_deleted_and_recreated_with_the_same_name() {
    let mut old = World::new(every("1h"), monday("10:00:05"));
    old.step(monday("10:00:06"));
    old.run(monday("10:00:07"));
    // Made again in the same minute, while the old Sync is not collected yet.
    let mut new =
        World { uid: "uid-2".to_owned(), syncs: old.syncs.clone(), ..World::new(every("1h"), monday("10:00:50")) };
    let skipped = new.step(monday("10:00:51"));
    assert_eq!((skipped.action, skipped.events.len(), skipped.status.missed_slots), (Action::Wait, 1, 1));
    new.syncs.clear();
    assert_eq!(new.run_at_once(monday("11:00:51")), name_at(monday("11:00:50")));
    // Made again later, it waits for the old run to go away, and then runs at once.
    let mut new =
        World { uid: "uid-2".to_owned(), syncs: old.syncs.clone(), ..World::new(every("1h"), monday("10:20:00")) };
    assert!(matches!(new.step(monday("10:20:01")).waiting, Some(Waiting::Active { .. })));
    new.syncs.clear();
    assert_eq!(new.run_at_once(monday("10:21:00")), name_at(monday("10:20:00")));
}

#[test]
fn sync_deleted_by_a_user_is_not_started_again() {
    let mut world = World::new(cron("0 * * * *"), monday("09:30:00"));
    world.step(monday("09:31:00"));
    world.step(monday("10:00:01"));
    world.run(monday("10:00:02"));
    world.syncs.clear();
    assert_eq!(world.step(monday("10:05:00")).action, Action::Wait);
    assert_eq!(world.run_at_once(monday("11:00:01")), name_at(monday("11:00:00")));
}

#[test]
fn api_server_unreachable_at_slot() {
    let mut world = World::new(schedule(cron_form("0 * * * *"), None, Some("30m")), monday("09:30:00"));
    world.step(monday("09:31:00"));
    // No attempt succeeds, so nothing is written: each comes to the same Sync.
    let attempts: Vec<_> =
        ["10:00:01", "10:00:03", "10:10:00"].map(|time| started_name(&world.decide(monday(time)))).into();
    assert_eq!(attempts, [name_at(monday("10:00:00")), name_at(monday("10:00:00")), name_at(monday("10:00:00"))]);
    assert!(matches!(world.decide(monday("10:40:00")).events.as_slice(), [ScheduleEvent::MissSchedule { .. }]));
}

#[test]
fn mapping_that_cannot_run_yet_catches_up_once() {
    let mut world = World::new(every("15m"), monday("10:00:00"));
    world.runnable = false;
    let decision = world.step(monday("10:00:01"));
    assert_eq!((decision.action, decision.waiting), (Action::Wait, Some(Waiting::NotRunnable)));
    assert_eq!(decision.status.next_schedule_time, Some(monday("10:15:00")));
    world.runnable = true;
    assert_eq!(world.run_at_once(monday("10:50:00")), name_at(monday("10:45:00")));
    assert_eq!(world.step(monday("10:51:00")).action, Action::Wait);
}

#[test]
fn sleep_of_more_than_six_months() {
    let mut world = World::new(cron("0 0 29 2 *"), monday("09:30:00"));
    let decision = world.step(monday("10:00:00"));
    assert_eq!(decision.status.next_schedule_time, Some(at("2028-02-29T00:00:00Z")));
    assert_eq!(decision.wake_at, Some(monday("16:00:00")), "looks again long before");
}

#[test]
fn thousands_of_mappings_at_the_same_time() {
    let spread = schedule(cron_form("0 * * * *"), Some("10m"), None);
    let mut minutes: Vec<i64> = (0..200)
        .map(|number| {
            let world = World { uid: format!("uid-{number}"), ..World::new(spread.clone(), monday("09:30:00")) };
            let decision = world.decide(monday("09:55:00"));
            let slot = decision.status.next_schedule_time.expect("a slot");
            assert!(slot >= monday("09:00:00") && slot < monday("10:10:00"), "{slot}");
            slot.as_second() / 60
        })
        .collect();
    minutes.sort_unstable();
    minutes.dedup();
    assert_eq!(minutes.len(), 10, "each minute of the jitter is used");
    let mut world = World::new(spread, monday("09:30:00"));
    let slot = world.step(monday("09:55:00")).status.next_schedule_time.expect("a slot");
    assert!(world.status.effective_schedule.as_deref().is_some_and(|words| words.contains("(jitter)")));
    assert_eq!(world.step(slot - Duration::from_secs(1)).action, Action::Wait);
    assert_eq!(world.run_at_once(slot), name_at(slot));
}

#[test]
fn repeated_failures() {
    let mut world = World::new(cron("0 * * * *"), monday("00:30:00"));
    world.step(monday("00:31:00"));
    for hour in 1..24 {
        let now = monday(&format!("{hour:02}:00:01"));
        assert!(started_name(&world.step(now)).is_some(), "slot {hour}");
        world.run(now);
        world.syncs.last_mut().expect("a Sync").phase = Phase::Finished { at: now, succeeded: false };
    }
}
