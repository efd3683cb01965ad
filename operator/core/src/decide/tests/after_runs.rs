use super::*;

fn follower() -> World {
    let form = FormSpec::After { mapping: "companies".to_owned() };
    World::new(schedule(form, None, None), monday("09:00:00"))
}

fn ended(world: &mut World, name: &str, time: &str, delivered: bool, nothing_to_do: bool) {
    world.upstream.push((name.to_owned(), monday(time), delivered, nothing_to_do));
}

#[test]
fn follows_each_run_once() {
    let mut world = follower();
    let decision = world.step(monday("09:00:01"));
    assert_eq!((decision.action, decision.wake_at, decision.status.next_schedule_time), (Action::Wait, None, None));
    ended(&mut world, "companies-1", "10:00:00", true, false);
    let started = world.step(monday("10:00:01"));
    let Action::Start(new) = &started.action else { panic!("starts") };
    assert_eq!((new.trigger, new.slot), (Trigger::After, Some(monday("10:00:00"))));
    assert_eq!(new.name, after_name("crm", "uid-1", "companies-1", monday("10:00:00")));
    world.run(monday("10:00:02"));
    world.finish(monday("10:00:03"));
    assert_eq!(world.step(monday("10:00:04")).action, Action::Wait);
    ended(&mut world, "companies-2", "11:00:00", true, false);
    assert!(world.run_at_once(monday("11:00:01")).is_some());
}

#[test]
fn follows_what_delivered_or_had_nothing_to_do() {
    for (delivered, nothing_to_do, follows) in [(true, false, true), (false, true, true), (false, false, false)] {
        let mut world = follower();
        ended(&mut world, "companies-1", "10:00:00", delivered, nothing_to_do);
        assert_eq!(world.run_at_once(monday("10:00:01")).is_some(), follows, "{delivered} {nothing_to_do}");
    }
}

#[test]
fn runs_that_ended_before_the_mapping_existed_do_not_count() {
    let mut world = follower();
    ended(&mut world, "companies-1", "08:59:00", true, false);
    assert_eq!(world.step(monday("09:00:01")).action, Action::Wait);
}

#[test]
fn upstream_runs_during_a_run_make_one_run() {
    let mut world = follower();
    ended(&mut world, "companies-1", "10:00:00", true, false);
    world.step(monday("10:00:01"));
    world.run(monday("10:00:02"));
    ended(&mut world, "companies-2", "10:10:00", true, false);
    ended(&mut world, "companies-3", "10:20:00", false, true);
    // A failed run after them does not hide them.
    ended(&mut world, "companies-4", "10:30:00", false, false);
    assert!(matches!(world.step(monday("10:30:01")).waiting, Some(Waiting::Active { .. })));
    world.finish(monday("10:40:00"));
    let started = world.step(monday("10:40:01"));
    assert_eq!(started_name(&started), Some(after_name("crm", "uid-1", "companies-3", monday("10:20:00"))));
    assert_eq!(started.status.missed_slots, 1);
    world.run(monday("10:40:02"));
    world.finish(monday("10:40:03"));
    assert_eq!(world.step(monday("10:40:04")).action, Action::Wait);
}

#[test]
fn suspended_follower_does_not_catch_up() {
    let mut world = follower();
    world.step(monday("09:00:01"));
    world.suspended.mapping = true;
    world.step(monday("09:30:00"));
    ended(&mut world, "companies-1", "10:00:00", true, false);
    assert_eq!(world.step(monday("10:00:01")).action, Action::Wait);
    world.suspended.mapping = false;
    assert_eq!(world.step(monday("10:30:00")).action, Action::Wait);
    ended(&mut world, "companies-2", "11:00:00", true, false);
    assert!(world.run_at_once(monday("11:00:01")).is_some());
}

#[test]
fn jitter_delays_the_follower() {
    let form = FormSpec::After { mapping: "companies".to_owned() };
    let spread = schedule(form, Some("10m"), None);
    let offset = spread.offset("uid-1");
    let mut world = World::new(spread, monday("09:00:00"));
    ended(&mut world, "companies-1", "10:00:00", true, false);
    let due = monday("10:00:00") + offset;
    let decision = world.step(monday("10:00:00"));
    assert_eq!((decision.action, decision.wake_at), (Action::Wait, soon_after(due)));
    assert!(world.run_at_once(due).is_some());
    assert_eq!(world.step(due + Duration::from_secs(5)).action, Action::Wait);
}

#[test]
fn circles_are_found() {
    assert!(after_cycles(&[("b", "a"), ("c", "b"), ("d", "b")]).is_empty());
    assert_eq!(after_cycles(&[("a", "a")]), [["a"]]);
    assert_eq!(
        after_cycles(&[("x", "c"), ("c", "b"), ("b", "a"), ("a", "c"), ("q", "p"), ("p", "q"), ("r", "gone")]),
        [vec!["a", "c", "b"], vec!["p", "q"]]
    );
    let names: Vec<String> = (0..20_000).map(|number| format!("m{number}")).collect();
    let mut chain: Vec<(&str, &str)> = names.windows(2).map(|pair| (pair[1].as_str(), pair[0].as_str())).collect();
    assert!(after_cycles(&chain).is_empty());
    chain.push(("m0", "m19999"));
    assert_eq!(after_cycles(&chain)[0].len(), 20_000);
}
