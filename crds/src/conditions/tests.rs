use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;

use super::*;

fn at(generation: i64, second: i64) -> Moment {
    Moment { generation, now: Time(Timestamp::from_second(second).unwrap()) }
}

fn condition(type_: ConditionType, status: &str) -> Condition {
    Condition {
        type_: type_.as_str().into(),
        status: status.into(),
        reason: "Succeeded".into(),
        message: "Fine.".into(),
        last_transition_time: at(1, 0).now,
        observed_generation: Some(1),
    }
}

fn readiness() -> impl Strategy<Value = Readiness> {
    let reason = prop::sample::select(Reason::ALL);
    (0..4, reason, prop::sample::select(vec!["", "Because.", "Because of ä."])).prop_map(|(kind, reason, message)| {
        let message = message.to_owned();
        match kind {
            0 => Readiness::Ready(reason, message),
            1 => Readiness::Reconciling(reason, message),
            2 => Readiness::NotReady(reason, message),
            _ => Readiness::Stalled(reason, message),
        }
    })
}

#[derive(Clone, Debug)]
enum Step {
    /// The spec is edited, and a reconcile follows.
    Edit(Readiness),
    /// A reconcile; the clock moves by so much, also back.
    Reconcile(Readiness, i64),
    /// A data outcome, followed by a reconcile.
    Outcome(ConditionType, ConditionStatus, Readiness),
    /// A run ends, well or not.
    End(bool, Reason),
}

fn step() -> impl Strategy<Value = Step> {
    use ConditionType::{DeletesWithheld, Healthy, LastSyncSucceeded, Succeeded};
    let type_ = prop::sample::select(vec![LastSyncSucceeded, Healthy, DeletesWithheld, Succeeded]);
    let status = prop::sample::select(vec![ConditionStatus::True, ConditionStatus::False, ConditionStatus::Unknown]);
    prop_oneof![
        readiness().prop_map(Step::Edit),
        (readiness(), -60..3600i64).prop_map(|(readiness, seconds)| Step::Reconcile(readiness, seconds)),
        (type_, status, readiness()).prop_map(|(type_, status, readiness)| Step::Outcome(type_, status, readiness)),
        (any::<bool>(), prop::sample::select(Reason::ALL)).prop_map(|(well, reason)| Step::End(well, reason)),
    ]
}

/// What `flux`, `helm --wait` and everything else that uses kstatus makes of a status: whether it goes on waiting, and else whether
/// it is content (sigs.k8s.io/cli-utils, `pkg/kstatus/status`).
#[derive(Debug, PartialEq, Eq)]
enum Kstatus {
    InProgress,
    Failed,
    Current,
}

fn kstatus(conditions: &[Condition], observed: Option<i64>, generation: i64) -> Kstatus {
    use ConditionStatus::True;
    if observed != Some(generation) || status(conditions, ConditionType::Reconciling) == Some(True) {
        return Kstatus::InProgress;
    }
    if status(conditions, ConditionType::Stalled) == Some(True) {
        return Kstatus::Failed;
    }
    match status(conditions, ConditionType::Ready) {
        Some(True) | None => Kstatus::Current,
        Some(_) => Kstatus::InProgress,
    }
}

proptest! {
    #[test]
    fn no_history_breaks_a_rule(steps in prop::collection::vec(step(), 1..40)) {
        let (mut generation, mut clock) = (1, 1_000_000);
        let (mut conditions, mut observed) = (Vec::new(), Some(-1));
        for step in steps {
            let before = (conditions.clone(), observed);
            let end = if let Step::End(well, _) = step { Some(well) } else { None };
            let complete = ConditionStatus::from(end.is_some());
            set(&mut conditions, ConditionType::Complete, complete, Reason::Running, "", &at(generation, clock));
            let readiness = match step {
                Step::End(well, reason) => Readiness::ended(well, reason, String::new()),
                Step::Edit(readiness) => {
                    generation += 1;
                    readiness
                }
                Step::Reconcile(readiness, seconds) => {
                    clock += seconds;
                    readiness
                }
                Step::Outcome(type_, status, readiness) => {
                    set(&mut conditions, type_, status, Reason::Succeeded, "", &at(generation, clock));
                    readiness
                }
            };
            readiness.set(&mut conditions, &at(generation, clock));
            observed = Some(generation);
            prop_assert_eq!(check(&conditions, observed, generation), Vec::<Violation>::new());
            // As of a Job: nobody waits for what has ended until their patience does.
            if let Some(well) = end {
                let expected = if well { Kstatus::Current } else { Kstatus::Failed };
                prop_assert_eq!(kstatus(&conditions, observed, generation), expected);
            }
            let step = check_step((&before.0, before.1), (&conditions, observed));
            prop_assert_eq!(step, Vec::<Violation>::new());
        }
    }
}

#[test]
fn every_rule_can_be_broken() {
    use ConditionType::{Complete, Ready, Reconciling, Stalled};
    let ready = || condition(Ready, "True");
    let cases: [(&str, Vec<Condition>, i64, i64); 14] = [
        ("FAIL0001", vec![ready(), condition(Stalled, "True")], 1, 1),
        ("FAIL0002", vec![condition(Reconciling, "True")], 1, 1),
        ("FAIL0003", vec![condition(Ready, "Unknown"), condition(Reconciling, "True")], 1, 1),
        ("FAIL0004", vec![condition(Ready, "Unknown"), condition(Stalled, "True")], 1, 1),
        ("FAIL0005", vec![condition(Ready, "False"), condition(Reconciling, "True"), condition(Stalled, "True")], 1, 1),
        ("FAIL0006", vec![ready()], 2, 1),
        ("FAIL0007", vec![ready()], 1, 2),
        ("FAIL0008", vec![ready()], 2, 2),
        ("FAIL0009", vec![ready()], 0, 1),
        ("FAIL0011", vec![condition(Ready, "Unknown")], 1, 1),
        ("waits on", vec![condition(Ready, "False"), condition(Complete, "True")], 1, 1),
        ("listed twice", vec![ready(), ready()], 1, 1),
        ("not true", vec![ready(), condition(Stalled, "False")], 1, 1),
        ("no reason", vec![Condition { reason: String::new(), ..ready() }], 1, 1),
    ];
    for (rule, conditions, observed, generation) in cases {
        let broken = check(&conditions, Some(observed), generation);
        assert!(broken.iter().any(|violation| violation.contains(rule)), "{rule}: {broken:?}");
    }
    assert!(check(&[ready()], Some(1), 1).is_empty());
}

#[test]
fn every_step_rule_can_be_broken() {
    let (early, late) = (condition(ConditionType::Ready, "True"), {
        let mut late = condition(ConditionType::Ready, "True");
        late.last_transition_time = at(1, 60).now;
        late
    });
    let flipped = Condition { status: "False".into(), ..early.clone() };
    let one = std::slice::from_ref;
    assert_eq!(check_step((one(&early), Some(2)), (one(&early), Some(1))), ["observedGeneration decreases"]);
    assert_eq!(check_step((one(&late), Some(1)), (one(&flipped), Some(1))), ["a transition time moves back"]);
    assert_eq!(
        check_step((one(&early), Some(1)), (one(&late), Some(1))),
        ["a transition time moves though the status does not"]
    );
}

#[test]
fn the_transition_time_moves_with_the_status_only() {
    let mut conditions = Vec::new();
    Readiness::NotReady(Reason::SourceNotFound, "No Source.".into()).set(&mut conditions, &at(1, 10));
    Readiness::NotReady(Reason::SourceNotReady, "Not yet.".into()).set(&mut conditions, &at(2, 20));
    assert_eq!(
        (conditions[0].last_transition_time.clone(), conditions[0].reason.as_str()),
        (at(1, 10).now, "SourceNotReady")
    );
    Readiness::Ready(Reason::Succeeded, String::new()).set(&mut conditions, &at(2, 30));
    assert_eq!(conditions[0].last_transition_time, at(1, 30).now);
    assert_eq!(conditions[0].message, Reason::Succeeded.meaning());
}

#[test]
fn messages_are_cut_between_characters() {
    let mut conditions = Vec::new();
    set(&mut conditions, ConditionType::Healthy, true.into(), Reason::Succeeded, &"€".repeat(500), &at(1, 1));
    assert_eq!(conditions[0].message.len(), 1023);
}

#[test]
fn the_reason_decides_whether_an_object_stalls() {
    assert!(matches!(Readiness::of(Reason::InvalidSpec, String::new()), Readiness::Stalled(..)));
    assert!(matches!(Readiness::of(Reason::SecretNotFound, String::new()), Readiness::NotReady(..)));
}
