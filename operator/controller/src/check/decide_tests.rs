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

fn view<'a>(job: &'a JobView, pods: &'a [PodView], settled: bool, now: i64) -> View<'a> {
    View { name: "source-1", inputs: "inputs", job, pods, settled, falls_short: false, now: at(now) }
}

fn decision(job: &JobView, pods: &[PodView], settled: bool, now: i64) -> Decision {
    decide(&view(job, pods, settled, now))
}

/// The same of a check that did not find what somebody needs.
fn wanting(job: &JobView, pods: &[PodView], settled: bool, now: i64) -> Decision {
    decide(&View { falls_short: true, ..view(job, pods, settled, now) })
}

fn replaced(tried: u32) -> Decision {
    Decision::Replace { uid: "job".into(), tried }
}

fn passed(attempt: u32) -> JobView {
    job(JobState { complete: true, finished_at: Some(at(1_000)), ..JobState::default() }, attempt)
}

#[test]
fn one_check_for_each_spec() {
    assert_eq!(decision(&JobView::None, &[], false, 0), Decision::Create);
    assert_eq!(decision(&JobView::None, &[], true, 0), Decision::Settled(None));
}

#[test]
fn a_check_of_something_else_is_replaced() {
    let mut other = job(JobState::default(), 1);
    if let JobView::Own(own) = &mut other {
        own.annotations.insert(labels::INPUTS.into(), "older".into());
    }
    assert_eq!(decision(&other, &[], true, 0), replaced(0));
    // Two controllers that disagree replace each other's Job twice a minute, not as fast as they can.
    if let JobView::Own(own) = &mut other {
        own.created_at = Some(at(100));
    }
    assert_eq!(decision(&other, &[], true, 129), Decision::Hold(at(130)));
    assert_eq!(decision(&other, &[], true, 130), replaced(0));
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
    let Decision::Passed { found, at: when, again } =
        decision(&passed(1), &[pod(Phase::Succeeded, None)], false, 1_010)
    else {
        panic!()
    };
    assert_eq!((found.server.as_deref(), when, again), (Some("PostgreSQL 15"), Some(at(1_000)), None));
}

#[test]
fn a_check_that_falls_short_is_repeated_as_one_that_fails() {
    // Its Job may have gone long ago.
    assert_eq!(wanting(&JobView::None, &[], true, 0), Decision::Create);
    for (attempt, pause) in [(1, 30), (2, 60), (5, 480), (6, 600), (60, 600)] {
        // Before it has been learned from, and after; while its pod is there, and when that is gone.
        for settled in [false, true] {
            let Decision::Passed { again, .. } =
                wanting(&passed(attempt), &[pod(Phase::Succeeded, None)], settled, 1_001)
            else {
                panic!()
            };
            assert_eq!(again, Some(at(1_000 + pause)));
            let due = wanting(&passed(attempt), &[pod(Phase::Succeeded, None)], settled, 1_000 + pause);
            assert_eq!(due, replaced(attempt));
        }
        assert_eq!(wanting(&passed(attempt), &[], true, 1_001), Decision::Settled(Some(at(1_000 + pause))));
        assert_eq!(wanting(&passed(attempt), &[], true, 1_000 + pause), replaced(attempt));
    }
    // Nobody needs more any longer.
    assert_eq!(decision(&passed(9), &[], true, 9_999), Decision::Settled(None));
}

#[test]
fn a_repeated_check_that_fails_takes_nothing_away() {
    let pods = [pod(Phase::Failed, Some(Code::ConnectionFailed))];
    assert_eq!(wanting(&failed(2), &pods, true, 1_001), Decision::Settled(Some(at(1_060))));
    assert_eq!(wanting(&failed(2), &pods, true, 1_060), replaced(2));
    assert_eq!(decision(&failed(2), &pods, true, 1_001), Decision::Settled(None));
}

#[test]
fn failures_are_tried_again_after_30_seconds_doubling_to_10_minutes() {
    let pods = [pod(Phase::Failed, Some(Code::AuthenticationFailed))];
    for (attempt, pause) in [(1, 30), (2, 60), (3, 120), (4, 240), (5, 480), (6, 600), (60, 600)] {
        let Decision::Failed { reason, again, .. } = decision(&failed(attempt), &pods, false, 1_001) else { panic!() };
        assert_eq!((reason, again), (Reason::AuthenticationFailed, at(1_000 + pause)));
        assert_eq!(decision(&failed(attempt), &pods, false, 1_000 + pause), replaced(attempt));
    }
}

#[test]
fn a_result_that_can_no_longer_be_read_does_not_undo_a_success() {
    assert_eq!(decision(&passed(1), &[], true, 1_010), Decision::Settled(None));
    let Decision::Failed { reason, .. } = decision(&passed(1), &[], false, 1_020) else { panic!() };
    assert_eq!(reason, Reason::CheckFailed);
}
