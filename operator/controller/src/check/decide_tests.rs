use backflow_core::code::{Code, Failure};
use backflow_core::result::{RESULT_VERSION, RunResult};

use super::*;
use crate::runs::{JobState, Terminated};
use crate::sync::dereference::OwnJob;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn job(state: JobState, attempt: u32) -> JobView {
    JobView::Own(OwnJob {
        state,
        uid: "job".into(),
        annotations: labels::map([(labels::INPUTS, "inputs"), (labels::ATTEMPT, &attempt.to_string())]),
        ..OwnJob::default()
    })
}

fn failed(attempt: u32) -> JobView {
    job(
        JobState { failed: Some("PodFailurePolicy".into()), finished_at: Some(at(1_000)), ..JobState::default() },
        attempt,
    )
}

fn pod(phase: Phase, code: Option<Code>) -> PodView {
    let result = RunResult {
        v: RESULT_VERSION,
        run: "source-1".into(),
        phase,
        failure: code.map(|code| Failure::new(code, "why")),
        check: Some(CheckResult { server: Some("PostgreSQL 15".into()), ..CheckResult::default() }),
        ..RunResult::default()
    };
    let message = String::from_utf8(result.to_message()).unwrap();
    let exit_code = if code.is_some() { 10 } else { 0 };
    let end = Terminated { exit_code, message: Some(message), ..Terminated::default() };
    PodView { name: "pod".into(), terminated: Some(end), ..PodView::default() }
}

fn decision(job: &JobView, pods: &[PodView], settled: bool, now: i64) -> Decision {
    decide(&View { name: "source-1", inputs: "inputs", job, pods, settled, now: at(now) })
}

#[test]
fn one_check_for_each_spec() {
    assert_eq!(decision(&JobView::None, &[], false, 0), Decision::Create(0));
    assert_eq!(decision(&JobView::None, &[], true, 0), Decision::Settled);
}

#[test]
fn a_check_of_something_else_is_replaced() {
    let mut other = job(JobState::default(), 1);
    if let JobView::Own(own) = &mut other {
        own.annotations.insert(labels::INPUTS.into(), "older".into());
    }
    assert_eq!(decision(&other, &[], true, 0), Decision::Replace("job".into()));
    // Two controllers that disagree replace each other's Job twice a minute, not as fast as they can.
    if let JobView::Own(own) = &mut other {
        own.created_at = Some(at(100));
    }
    assert_eq!(decision(&other, &[], true, 129), Decision::Hold(at(130)));
    assert_eq!(decision(&other, &[], true, 130), Decision::Replace("job".into()));
}

#[test]
fn a_check_that_is_being_deleted_is_waited_for() {
    let mut going = failed(1);
    if let JobView::Own(own) = &mut going {
        own.deleting = true;
    }
    assert_eq!(decision(&going, &[], false, 9_999), Decision::Follow(State::Pending(None)));
}

#[test]
fn success_carries_what_was_found() {
    let done = job(JobState { complete: true, finished_at: Some(at(7)), ..JobState::default() }, 1);
    let Decision::Passed { found, at: when } = decision(&done, &[pod(Phase::Succeeded, None)], false, 10) else {
        panic!()
    };
    assert_eq!((found.server.as_deref(), when), (Some("PostgreSQL 15"), Some(at(7))));
}

#[test]
fn failures_are_tried_again_after_30_seconds_doubling_to_10_minutes() {
    let pods = [pod(Phase::Failed, Some(Code::AuthenticationFailed))];
    for (attempt, pause) in [(1, 30), (2, 60), (3, 120), (4, 240), (5, 480), (6, 600), (60, 600)] {
        let Decision::Failed { reason, again, .. } = decision(&failed(attempt), &pods, false, 1_001) else { panic!() };
        assert_eq!((reason, again), (Reason::AuthenticationFailed, at(1_000 + pause)));
        assert_eq!(decision(&failed(attempt), &pods, false, 1_000 + pause), Decision::Replace("job".into()));
    }
}

#[test]
fn a_result_that_can_no_longer_be_read_does_not_undo_a_success() {
    let done = job(JobState { complete: true, finished_at: Some(at(7)), ..JobState::default() }, 1);
    assert_eq!(decision(&done, &[], true, 10), Decision::Settled);
    let Decision::Failed { reason, .. } = decision(&done, &[], false, 30) else { panic!() };
    assert_eq!(reason, Reason::CheckFailed);
}
