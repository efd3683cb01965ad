use super::*;

fn manual() -> World {
    World::new(schedule(FormSpec::Manual, None, None), monday("09:00:00"))
}

#[test]
fn requested_run_starts_once_for_each_token() {
    let mut world = manual();
    world.requested_at = Some("2025-06-02T10:00:00Z".to_owned());
    let first = world.step(monday("10:00:01"));
    let Action::Start(new) = &first.action else { panic!("starts") };
    assert_eq!((new.trigger, new.slot), (Trigger::Manual, None));
    assert_eq!(new.name, requested_name("crm", "uid-1", "2025-06-02T10:00:00Z"));
    assert_eq!(first.status.last_handled_request.as_deref(), Some("2025-06-02T10:00:00Z"));
    assert_eq!(first.status.last_schedule_time, None, "a request is no slot");
    assert_eq!(world.step(monday("10:00:02")).action, Action::Wait);
    // The next token waits for the run of the first.
    world.requested_at = Some("again".to_owned());
    assert!(matches!(world.step(monday("10:00:03")).waiting, Some(Waiting::Active { .. })));
    assert_ne!(world.status.last_handled_request.as_deref(), Some("again"));
    world.run(monday("10:00:04"));
    world.finish(monday("10:00:05"));
    assert_eq!(world.run_at_once(monday("10:00:06")), Some(requested_name("crm", "uid-1", "again")));
    world.requested_at = Some(String::new());
    assert_eq!(world.step(monday("10:00:07")).action, Action::Wait, "an empty annotation asks for nothing");
}

#[test]
fn requested_run_crash_between_create_and_status() {
    let mut world = manual();
    world.requested_at = Some("now".to_owned());
    let Action::Start(new) = world.decide(monday("10:00:01")).action else { panic!("starts") };
    world.create(&new);
    let adopted = world.step(monday("10:00:02"));
    assert_eq!((adopted.action, adopted.events.len()), (Action::Wait, 0));
    assert_eq!(adopted.status.last_handled_request.as_deref(), Some("now"));
}

#[test]
fn requested_run_works_although_the_mapping_is_suspended() {
    let mut world = World::new(cron("0 * * * *"), monday("09:30:00"));
    world.step(monday("09:31:00"));
    // Even a scheduled Sync that the suspension holds in the queue does not keep it back.
    world.step(monday("10:00:01"));
    world.suspended.mapping = true;
    world.requested_at = Some("now".to_owned());
    let decision = world.step(monday("11:00:01"));
    assert_eq!(started_name(&decision), Some(requested_name("crm", "uid-1", "now")));
}

#[test]
fn requested_run_waits_while_source_model_or_destination_is_suspended() {
    let open = Suspended::default();
    for gate in [
        Suspended { source: true, ..open },
        Suspended { model: true, ..open },
        Suspended { destination: true, mapping: true, ..open },
    ] {
        let mut world = manual();
        world.suspended = gate;
        world.requested_at = Some("now".to_owned());
        let held = world.step(monday("10:00:00"));
        assert_eq!((held.action, held.waiting), (Action::Wait, Some(Waiting::Suspended)));
        assert_eq!(held.status.last_handled_request, None);
        world.suspended = open;
        assert!(started_name(&world.step(monday("10:05:00"))).is_some());
    }
}

#[test]
fn requested_run_of_a_mapping_that_cannot_run_waits_for_its_correction() {
    let mut world = manual();
    world.requested_at = Some("now".to_owned());
    world.runnable = false;
    assert_eq!(world.step(monday("10:00:00")).waiting, Some(Waiting::NotRunnable));
    world.runnable = true;
    assert!(started_name(&world.step(monday("10:01:00"))).is_some());
}

#[test]
fn requested_run_with_a_name_that_is_taken() {
    let mut world = manual();
    world.requested_at = Some("now".to_owned());
    let name = requested_name("crm", "uid-1", "now");
    world.by_person(&name, Phase::Running);
    let skipped = world.step(monday("10:00:00"));
    assert_eq!((skipped.action, skipped.events), (Action::Wait, vec![ScheduleEvent::NameCollision { name }]));
}

#[test]
fn manual_and_scheduled_at_the_same_time() {
    // By annotation: the person goes first, the slot follows.
    let mut world = World::new(cron("0 * * * *"), monday("09:30:00"));
    world.step(monday("09:31:00"));
    world.requested_at = Some("now".to_owned());
    assert_eq!(world.run_at_once(monday("10:00:01")), Some(requested_name("crm", "uid-1", "now")));
    assert_eq!(world.run_at_once(monday("10:00:03")), name_at(monday("10:00:00")));
    // By a Sync of their own, queued or running: the slot waits for its end, and starts right after it, once.
    for phase in [Phase::Queued, Phase::Running] {
        let mut world = World::new(cron("0 * * * *"), monday("09:30:00"));
        world.step(monday("09:31:00"));
        world.by_person("by-hand", phase);
        let waits = world.step(monday("10:00:01"));
        assert_eq!(waits.waiting, Some(Waiting::Active { sync: "by-hand".to_owned() }));
        world.finish(monday("10:10:00"));
        assert_eq!(world.run_at_once(monday("10:10:01")), name_at(monday("10:00:00")));
        assert_eq!(world.step(monday("10:10:02")).action, Action::Wait);
    }
}

#[test]
fn names_fit_and_differ() {
    let mapping = "m".repeat(50);
    let names = [
        slot_name(&mapping, at("2125-01-01T00:00:00Z")),
        requested_name(&mapping, "uid", "a"),
        requested_name(&mapping, "uid", "b"),
        requested_name(&mapping, "uid-2", "a"),
        after_name(&mapping, "uid", "a", monday("10:00:00")),
        after_name(&mapping, "uid", "a", monday("10:00:01")),
        after_name(&mapping, "uid", "b", monday("10:00:00")),
    ];
    for name in &names {
        assert!(name.len() <= 59, "{name}");
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'), "{name}");
    }
    assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), names.len());
}
