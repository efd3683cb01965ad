use backflow_crds::conditions::{Readiness, check, check_step};
use backflow_crds::v1alpha1::{Checkpoint, Extracted, RunMode};
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn mapping() -> Mapping {
    let mut mapping: Mapping = serde_json::from_value(json!({
        "apiVersion": "backflow.dev/v1alpha1", "kind": "Mapping", "metadata": {"name": "crm", "generation": 1},
        "spec": {"modelRef": {"name": "m"}, "destinationRef": {"name": "d"}, "action": "send", "schedule": {"manual": {}}},
    }))
    .unwrap();
    mapping.metadata.generation = Some(1);
    mapping
}

#[derive(Clone, Debug)]
struct Run {
    mode: RunMode,
    phase: SyncPhase,
    reason: Reason,
    rejected: i64,
    withheld: i64,
    compared: bool,
}

fn succeeded() -> Run {
    Run {
        mode: RunMode::Incremental,
        phase: SyncPhase::Succeeded,
        reason: Reason::Succeeded,
        rejected: 0,
        withheld: 0,
        compared: true,
    }
}

fn sync(second: i64, run: &Run) -> Sync {
    let mut sync = Sync::new(&format!("crm-{second}"), crate::mapping::decide::incremental("crm", Default::default()));
    sync.spec.mode = run.mode;
    sync.status = Some(SyncStatus {
        phase: Some(run.phase),
        reason: Some(run.reason.to_string()),
        started_at: Some(Time(at(second))),
        finished_at: Some(Time(at(second + 5))),
        extracted: run.compared.then(Extracted::default),
        rejected: Some(run.rejected),
        withheld_deletes: Some(run.withheld),
        checkpoint_after: Some(Checkpoint {
            rows: Some(second),
            fingerprint: Some("f".into()),
            ..Checkpoint::default()
        }),
        ..SyncStatus::default()
    });
    sync
}

fn folded(runs: &[Sync]) -> MappingStatus {
    let mut status = MappingStatus::default();
    fold(&mapping(), &mut status, runs, at(1_000));
    status
}

fn of(status: &MappingStatus, type_: ConditionType) -> Option<(String, String)> {
    condition(&status.conditions, type_).map(|condition| (condition.status.clone(), condition.reason.clone()))
}

fn pair(status: &str, reason: &str) -> Option<(String, String)> {
    Some((status.into(), reason.into()))
}

#[test]
fn ended_syncs_are_folded_once_and_in_their_order() {
    let failed = Run { phase: SyncPhase::Failed, reason: Reason::ConnectionFailed, compared: false, ..succeeded() };
    let runs = [sync(20, &failed), sync(10, &succeeded()), sync(30, &failed)];
    let mut status = folded(&runs);
    assert_eq!(status.consecutive_failures, Some(2));
    assert_eq!(status.last_sync.as_ref().unwrap().name, "crm-30");
    assert_eq!(status.last_successful_time, Some(Time(at(15))));
    assert_eq!(of(&status, ConditionType::LastSyncSucceeded), pair("False", "ConnectionFailed"));
    assert!(fold(&mapping(), &mut status, &runs, at(1_000)).is_empty());
    assert_eq!(status.consecutive_failures, Some(2));
}

#[test]
fn runs_that_move_nothing_are_no_history() {
    for mode in [RunMode::Test, RunMode::DryRun] {
        assert!(folded(&[sync(10, &Run { mode, ..succeeded() })]).last_sync.is_none());
    }
    let mut refused = sync(10, &succeeded());
    refused.status.as_mut().unwrap().started_at = None;
    assert!(folded(&[refused]).last_sync.is_none());
}

#[test]
fn health_is_what_the_last_comparison_said() {
    let rejecting =
        Run { rejected: 3, phase: SyncPhase::PartiallySucceeded, reason: Reason::PartiallySucceeded, ..succeeded() };
    let broken = Run { compared: false, phase: SyncPhase::Failed, reason: Reason::ConnectionFailed, ..succeeded() };
    let status = folded(&[sync(10, &rejecting), sync(20, &broken)]);
    assert_eq!(of(&status, ConditionType::Healthy), pair("False", "RowsRejected"));
    let status = folded(&[sync(10, &rejecting), sync(20, &succeeded())]);
    assert_eq!(of(&status, ConditionType::Healthy), pair("True", "AllDelivered"));
}

#[test]
fn rows_that_stay_rejected_keep_it_unhealthy() {
    let mut still = sync(10, &succeeded());
    still.status.as_mut().unwrap().errors =
        vec![backflow_crds::v1alpha1::ErrorCount { code: STILL_REJECTED.into(), count: 2, ..Default::default() }];
    assert_eq!(of(&folded(&[still]), ConditionType::Healthy), pair("False", "RowsRejected"));
}

#[test]
fn withheld_deletions_are_shown_until_a_run_has_none() {
    let withholding =
        Run { withheld: 9, phase: SyncPhase::PartiallySucceeded, reason: Reason::DeletesWithheld, ..succeeded() };
    assert_eq!(of(&folded(&[sync(10, &withholding)]), ConditionType::DeletesWithheld), pair("True", "DeletesWithheld"));
    assert_eq!(of(&folded(&[sync(10, &withholding), sync(20, &succeeded())]), ConditionType::DeletesWithheld), None);
}

#[test]
fn a_run_that_the_state_refused_does_not_move_the_checkpoint() {
    let refused = Run { phase: SyncPhase::Failed, reason: Reason::StateOwnedElsewhere, compared: false, ..succeeded() };
    let status = folded(&[sync(10, &succeeded()), sync(20, &refused)]);
    assert_eq!(status.checkpoint.unwrap().rows, Some(10));
}

#[test]
fn a_stall_lasts_until_a_person_acts() {
    let refused = Run { phase: SyncPhase::Failed, reason: Reason::PrimaryKeyChanged, compared: false, ..succeeded() };
    let mut status = folded(&[sync(10, &refused)]);
    Readiness::Stalled(Reason::PrimaryKeyChanged, "why".into()).set(&mut status.conditions, &moment(Some(1), at(20)));
    let expected = Some((Reason::PrimaryKeyChanged, "why".to_owned()));
    assert_eq!(held(&status, Some(1), Some(at(15))), expected);
    assert_eq!(held(&status, Some(2), Some(at(15))), None, "the Mapping was edited");
    assert_eq!(held(&status, Some(1), Some(at(16))), None, "something that it refers to was edited");
}

#[test]
fn the_schedules_part_survives_the_status() {
    let recorded = ScheduleStatus {
        last_schedule_time: Some(at(60)),
        next_schedule_time: Some(at(120)),
        baseline: Some(Baseline { hash: "cafe".into(), since: at(0) }),
        last_handled_request: Some("token".into()),
        missed_slots: 3,
        effective_schedule: Some("every 1m".into()),
        suspended: true,
    };
    for suspended in [true, false] {
        let recorded = ScheduleStatus { suspended, ..recorded.clone() };
        let mut status = MappingStatus::default();
        record(&mut status, &recorded);
        assert_eq!(self::recorded(Some(&status)), recorded);
    }
}

#[test]
fn a_long_token_is_echoed_as_far_as_a_status_holds() {
    assert_eq!(token(&"é".repeat(200)).len(), 256);
    assert_eq!(token("short"), "short");
}

fn run() -> impl Strategy<Value = Run> {
    let phases = prop::sample::select(vec![
        (SyncPhase::Succeeded, Reason::Succeeded),
        (SyncPhase::PartiallySucceeded, Reason::PartiallySucceeded),
        (SyncPhase::Failed, Reason::IdentityChanged),
        (SyncPhase::Canceled, Reason::Canceled),
    ]);
    (phases, 0..3i64, 0..3i64, any::<bool>()).prop_map(|((phase, reason), rejected, withheld, compared)| Run {
        phase,
        reason,
        rejected,
        withheld,
        compared,
        ..succeeded()
    })
}

proptest! {
    #[test]
    fn no_history_breaks_the_rules_of_conditions(runs in prop::collection::vec(run(), 1..20)) {
        let mut status = MappingStatus::default();
        for (number, run) in (1..).zip(&runs) {
            let before = (status.conditions.clone(), status.observed_generation);
            let now = at(number * 100);
            fold(&mapping(), &mut status, &[sync(number * 100 - 10, run)], now);
            before_the_first_run(&mut status, Some(1), now);
            Readiness::Ready(Reason::Accepted, String::new()).set(&mut status.conditions, &moment(Some(1), now));
            status.observed_generation = Some(1);
            prop_assert!(check(&status.conditions, status.observed_generation, 1).is_empty());
            prop_assert!(check_step((&before.0, before.1), (&status.conditions, status.observed_generation)).is_empty());
        }
    }
}
