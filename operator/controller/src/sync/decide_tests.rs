use backflow_crds::v1alpha1::SyncStatus;

use super::*;
use crate::mapping::decide::incremental;
use crate::runs::{JobState, Terminated};
use crate::sync::dereference::OwnJob;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn sync(phase: Option<SyncPhase>, cancel: bool) -> Sync {
    let mut spec = incremental("crm", backflow_crds::v1alpha1::Trigger::Schedule);
    spec.cancel = cancel;
    let mut sync = Sync::new("crm-1", spec);
    sync.status = Some(SyncStatus { phase, ..SyncStatus::default() });
    sync
}

fn own() -> JobView {
    JobView::Own(OwnJob { uid: "job".into(), ..OwnJob::default() })
}

fn running() -> PodView {
    PodView { name: "pod".into(), running: true, created_at: Some(at(0)), ..PodView::default() }
}

struct Case<'a> {
    phase: Option<SyncPhase>,
    cancel: bool,
    verdict: Option<Verdict>,
    job: JobView,
    pods: &'a [PodView],
    canceling_since: Option<i64>,
}

impl Default for Case<'_> {
    fn default() -> Self {
        Self { phase: None, cancel: false, verdict: None, job: JobView::None, pods: &[], canceling_since: None }
    }
}

impl Case<'_> {
    fn decide(&self) -> Decision {
        self.decide_at(at(1_000))
    }

    fn decide_at(&self, now: Timestamp) -> Decision {
        decide(&View {
            sync: &sync(self.phase, self.cancel),
            findings: &[],
            verdict: self.verdict.as_ref(),
            job: &self.job,
            pods: self.pods,
            canceling_since: self.canceling_since.map(at),
            now,
        })
    }
}

#[test]
fn it_starts_when_its_turn_has_come_and_not_before() {
    let wait = Verdict::Wait(Reason::Queued, "Source shop".into());
    assert_eq!(Case { verdict: Some(Verdict::Start), ..Case::default() }.decide(), Decision::Start);
    let expected = Decision::Wait(Reason::Queued, "Source shop".into());
    assert_eq!(Case { verdict: Some(wait), ..Case::default() }.decide(), expected);
    assert_eq!(Case::default().decide(), Decision::Ask);
}

#[test]
fn a_job_without_the_status_that_tells_of_it_is_adopted() {
    let case = Case { phase: Some(SyncPhase::Queued), job: own(), pods: &[running()], ..Case::default() };
    assert_eq!(case.decide(), Decision::Follow(State::Running));
}

#[test]
fn a_job_of_somebody_else_is_a_collision() {
    let case = Case { verdict: Some(Verdict::Start), job: JobView::Foreign, ..Case::default() };
    assert!(matches!(case.decide(), Decision::Refuse(Reason::NameCollision, _)));
}

#[test]
fn what_has_ended_stays_as_it_is() {
    for phase in [SyncPhase::Succeeded, SyncPhase::PartiallySucceeded, SyncPhase::Failed, SyncPhase::Canceled] {
        let case = Case { phase: Some(phase), cancel: true, verdict: Some(Verdict::Start), ..Case::default() };
        assert_eq!(case.decide(), Decision::Nothing);
    }
}

#[test]
fn a_wrong_spec_is_refused_even_if_its_turn_has_come() {
    let finding = Finding { path: "spec.mode".into(), code: "NotSupported".into(), message: "no".into() };
    let decision = decide(&View {
        sync: &sync(None, false),
        findings: &[finding],
        verdict: Some(&Verdict::Start),
        job: &JobView::None,
        pods: &[],
        canceling_since: None,
        now: at(0),
    });
    assert_eq!(decision, Decision::Refuse(Reason::NotSupported, "spec.mode: no".into()));
}

#[test]
fn cancel_in_the_queue_needs_no_job() {
    let case = Case { cancel: true, verdict: Some(Verdict::Start), ..Case::default() };
    assert_eq!(case.decide(), Decision::CancelQueued);
}

#[test]
fn cancel_asks_the_worker_and_deletes_the_job_after_90_seconds() {
    let pods = [running()];
    let case = |canceling_since| Case {
        phase: Some(SyncPhase::Running),
        cancel: true,
        job: own(),
        pods: &pods,
        canceling_since,
        ..Case::default()
    };
    assert_eq!(case(None).decide(), Decision::Cancel);
    assert_eq!(case(Some(911)).decide(), Decision::Cancel);
    assert_eq!(case(Some(910)).decide(), Decision::Stop);
}

#[test]
fn cancel_before_a_worker_runs_deletes_the_job() {
    let case = Case { phase: Some(SyncPhase::Running), cancel: true, job: own(), ..Case::default() };
    assert_eq!(case.decide(), Decision::Stop);
}

#[test]
fn a_job_that_was_deleted_to_cancel_ends_as_canceled() {
    let pod = PodView {
        running: false,
        gone: true,
        terminated: Some(Terminated { exit_code: 137, ..Terminated::default() }),
        ..running()
    };
    let case = Case { phase: Some(SyncPhase::Canceling), cancel: true, pods: &[pod], ..Case::default() };
    let Decision::End(ending, false) = case.decide() else { panic!() };
    assert_eq!((ending.ended.phase, ending.ended.failure.unwrap().0), (Phase::Canceled, Reason::Canceled));
}

#[test]
fn a_pod_that_does_not_begin_for_five_minutes_frees_its_place() {
    let pods = [PodView { unschedulable: Some((at(0), "0/1 nodes".into())), running: false, ..running() }];
    let case = Case { phase: Some(SyncPhase::Running), job: own(), pods: &pods, ..Case::default() };
    assert!(matches!(case.decide_at(at(299)), Decision::Follow(State::Pending(Some(_)))));
    let Decision::End(ending, true) = case.decide_at(at(300)) else { panic!() };
    assert_eq!((ending.ended.phase, ending.ended.failure.unwrap().0), (Phase::Failed, Reason::PodUnschedulable));
}

#[test]
fn a_job_that_is_gone_ends_the_run() {
    let case = Case { phase: Some(SyncPhase::Running), ..Case::default() };
    let Decision::End(ending, false) = case.decide() else { panic!() };
    assert_eq!(ending.ended.failure.unwrap().0, Reason::JobDeleted);
    let ended = JobView::Own(OwnJob { state: JobState { complete: true, ..JobState::default() }, ..OwnJob::default() });
    let case = Case { phase: Some(SyncPhase::Running), job: ended, ..Case::default() };
    let Decision::End(ending, false) = case.decide() else { panic!() };
    assert_eq!(ending.ended.failure.unwrap().0, Reason::ResultLost);
}
