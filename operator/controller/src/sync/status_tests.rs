use backflow_core::code::{Code, Failure};
use backflow_core::extraction::Findings;
use backflow_core::result::{Counters, ErrorCounts, Phase, RESULT_VERSION, RunResult};
use backflow_crds::conditions::{check, check_step};
use backflow_crds::v1alpha1::SyncSpec;
use backflow_plan::Ended;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn sync(status: Option<SyncStatus>) -> Sync {
    let mut sync = Sync::new("crm-1", SyncSpec::default());
    sync.metadata.generation = Some(1);
    sync.status = status;
    sync
}

fn ending(phase: Phase, failure: Option<(Reason, String)>, result: Option<RunResult>) -> Ending {
    Ending { ended: Ended { phase, failure, result }, at: Some(at(200)) }
}

/// A result with everything in it, as large as a worker writes it.
fn full() -> RunResult {
    let mut errors = ErrorCounts::default();
    for kind in 0..40 {
        errors.count(&format!("CODE_{kind:060}"), Some(&"f".repeat(200)), &"m".repeat(600));
    }
    let result = RunResult {
        v: RESULT_VERSION,
        run: "crm-1".into(),
        phase: Phase::Failed,
        failure: Some(Failure::new(Code::SqlError, "x".repeat(900))),
        findings: Some(Findings { added: 1, invalid_null_key: 2, invalid_duplicate_key: 3, ..Findings::default() }),
        counters: Counters { rejected: 4, withheld: 5, still_rejected: 6, ..Counters::default() },
        errors: errors.to_vec(),
        ..RunResult::default()
    };
    RunResult::from_message(std::str::from_utf8(&result.to_message()).unwrap(), "crm-1").unwrap()
}

#[test]
fn whatever_becomes_of_a_sync_its_conditions_do_not_contradict_each_other() {
    let steps: [fn(&mut Draft); 9] = [
        |draft| draft.waits(Reason::Queued, "Destination hook (maxConcurrentSyncs 1)"),
        |draft| draft.waits(Reason::MappingNotReady, "Mapping crm is not Ready"),
        |draft| draft.runs("crm-1", Some(at(100)), false),
        |draft| {
            draft.runs("crm-1", Some(at(100)), false);
            draft.waits_for_pod(Reason::PodUnschedulable, "no node takes the pod");
        },
        |draft| draft.runs("crm-1", Some(at(100)), true),
        |draft| draft.refused(Reason::NotSupported, "no", &[]),
        |draft| draft.canceled_in_queue(),
        |draft| {
            draft.ended(&ending(Phase::Failed, Some((Reason::SqlError, "no".into())), Some(full())), &BTreeMap::new())
        },
        |draft| draft.ended(&ending(Phase::PartiallySucceeded, None, Some(full())), &BTreeMap::new()),
    ];
    for before in steps {
        let mut draft = Draft::of(&sync(None), at(150));
        before(&mut draft);
        let before = draft.status;
        assert_eq!(check(&before.conditions, before.observed_generation, 1), Vec::<&str>::new());
        for after in steps {
            let mut draft = Draft::of(&sync(Some(before.clone())), at(300));
            after(&mut draft);
            let after = draft.status;
            assert_eq!(check(&after.conditions, after.observed_generation, 1), Vec::<&str>::new());
            let (old, new) = (before.observed_generation, after.observed_generation);
            assert_eq!(check_step((&before.conditions, old), (&after.conditions, new)), Vec::<&str>::new());
        }
    }
}

#[test]
fn whoever_waits_for_a_sync_learns_its_end_at_once() {
    type End = fn(&mut Draft);
    let ends: [(End, &str, &str); 5] = [
        (|draft| draft.ended(&ending(Phase::Succeeded, None, None), &BTreeMap::new()), "Ready", "Succeeded"),
        (
            |draft| draft.ended(&ending(Phase::PartiallySucceeded, None, None), &BTreeMap::new()),
            "Ready",
            "PartiallySucceeded",
        ),
        // The reason is one of a wrong world, which other kinds try again by themselves.
        (
            |draft| {
                let failure = Some((Reason::ConnectionFailed, "no".into()));
                draft.ended(&ending(Phase::Failed, failure, None), &BTreeMap::new());
            },
            "Stalled",
            "ConnectionFailed",
        ),
        (|draft| draft.refused(Reason::PodRefused, "no", &[]), "Stalled", "PodRefused"),
        (|draft| draft.canceled_in_queue(), "Stalled", "Canceled"),
    ];
    for (end, type_, reason) in ends {
        let mut draft = Draft::of(&sync(None), at(300));
        draft.runs("crm-1", Some(at(100)), false);
        end(&mut draft);
        let said = |type_: &str| {
            let of = |condition: &&Condition| condition.type_ == type_;
            draft.status.conditions.iter().find(of).map(|found| (found.status.as_str(), found.reason.as_str()))
        };
        assert_eq!(said(type_), Some(("True", reason)));
        assert_eq!(said("Complete"), Some(("True", reason)));
        assert_eq!(said("Reconciling"), None);
    }
}

#[test]
fn a_sentence_of_the_cluster_is_cut_to_what_the_schema_takes() {
    // A scheduler names every kind of node, and a registry every mirror that it tried.
    let long = format!("no node takes the pod: {}", "0/900 nodes are available; ".repeat(200));
    let mut draft = Draft::of(&sync(None), at(300));
    draft.runs("crm-1", Some(at(100)), false);
    draft.waits_for_pod(Reason::PodUnschedulable, &long);
    draft.ended(&ending(Phase::Failed, Some((Reason::PodUnschedulable, long)), None), &BTreeMap::new());
    assert_eq!(draft.status.errors.len(), 1);
    assert!(draft.status.errors[0].message.len() <= 1024);
    assert!(draft.status.conditions.iter().all(|condition| condition.message.len() <= 1024));
    let finding =
        Finding { path: format!("spec.{}", "p".repeat(900)), code: "NotSupported".into(), message: "é".repeat(2_000) };
    let mut draft = Draft::of(&sync(None), at(300));
    draft.refused(Reason::NotSupported, "no", &vec![finding; 40]);
    assert_eq!(draft.status.errors.len(), 10);
    let fits = |error: &ErrorCount| {
        error.message.len() <= 1024 && error.field.as_ref().is_some_and(|field| field.len() <= 512)
    };
    assert!(draft.status.errors.iter().all(fits));
}

#[test]
fn the_largest_status_is_small_enough() {
    for phase in [Phase::Failed, Phase::PartiallySucceeded] {
        let mut draft = Draft::of(&sync(None), at(300));
        draft.runs("crm-1", Some(at(100)), false);
        let failure = Some((Reason::PodRefused, "x".repeat(5_000)));
        draft.ended(&ending(phase, failure, Some(full())), &labels::map([(labels::LOCATION, &"l".repeat(200))]));
        let bytes = serde_json::to_vec(&draft.status).unwrap().len();
        assert!(bytes <= 16 * 1024, "{bytes}");
    }
}

#[test]
fn a_run_never_ends_before_it_began() {
    let mut draft = Draft::of(&sync(None), at(300));
    draft.runs("crm-1", Some(at(250)), false);
    draft.ended(&ending(Phase::Succeeded, None, None), &BTreeMap::new());
    assert_eq!(draft.status.finished_at, Some(Time(at(250))));
    assert_eq!(draft.status.duration.as_deref(), Some("0s"));
}
