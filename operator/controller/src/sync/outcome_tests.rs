use backflow_core::code::{Code, Failure};
use backflow_core::result::{Counters, RESULT_VERSION};

use super::*;
use crate::runs::Terminated;

const RUN: &str = "crm-1";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn message(phase: Phase, code: Option<Code>, delivered: u64) -> String {
    let result = RunResult {
        v: RESULT_VERSION,
        run: RUN.into(),
        phase,
        failure: code.map(|code| Failure::new(code, "a sentence")),
        counters: Counters { upserted: delivered, ..Counters::default() },
        ..RunResult::default()
    };
    String::from_utf8(result.to_message()).unwrap()
}

fn pod(second: i64, exit_code: i32, reason: &str, message: Option<String>) -> PodView {
    PodView {
        name: format!("pod-{second}"),
        created_at: Some(at(second)),
        terminated: Some(Terminated {
            exit_code,
            reason: Some(reason.to_owned()),
            message,
            finished_at: Some(at(second + 5)),
        }),
        ..PodView::default()
    }
}

fn complete() -> JobState {
    JobState { complete: true, failed: None, finished_at: Some(at(100)) }
}

fn failed(reason: &str) -> JobState {
    JobState { complete: false, failed: Some(reason.into()), finished_at: Some(at(100)) }
}

fn ending(job: Option<&JobState>, pods: &[PodView]) -> Ending {
    match interpret(RUN, job, pods, at(200)) {
        State::Ended(ending) => *ending,
        other => panic!("{other:?}"),
    }
}

fn verdict(job: Option<&JobState>, pods: &[PodView]) -> (Phase, Option<Reason>, Option<u64>) {
    let ending = ending(job, pods);
    let delivered = ending.ended.result.map(|result| result.counters.upserted);
    (ending.ended.phase, ending.ended.failure.map(|(reason, _)| reason), delivered)
}

#[test]
fn a_final_result_says_it_all() {
    for (phase, code) in [
        (Phase::Succeeded, None),
        (Phase::PartiallySucceeded, Some(Code::ScratchFull)),
        (Phase::Canceled, Some(Code::Canceled)),
    ] {
        let pods = [pod(1, 0, "Completed", Some(message(phase, code, 7)))];
        assert_eq!(verdict(Some(&complete()), &pods), (phase, code.map(reason), Some(7)));
    }
}

#[test]
fn the_exit_code_goes_before_the_reason() {
    let pods = [pod(1, 0, "OOMKilled", Some(message(Phase::Succeeded, None, 7)))];
    assert_eq!(verdict(Some(&complete()), &pods), (Phase::Succeeded, None, Some(7)));
}

#[test]
fn permanent_and_transient_failures_have_the_workers_reason() {
    for (exit_code, job, code) in [
        (10, "PodFailurePolicy", Code::AuthenticationFailed),
        (11, "PodFailurePolicy", Code::SqlError),
        (20, "BackoffLimitExceeded", Code::DestinationUnreachable),
    ] {
        let pods = [pod(1, exit_code, "Error", Some(message(Phase::Failed, Some(code), 3)))];
        assert_eq!(verdict(Some(&failed(job)), &pods), (Phase::Failed, Some(reason(code)), Some(3)));
    }
}

#[test]
fn a_worker_killed_for_memory_keeps_what_it_committed() {
    let pods = [pod(1, 137, "OOMKilled", Some(message(Phase::Running, None, 4_000)))];
    let expected = (Phase::Failed, Some(Reason::OutOfMemory), Some(4_000));
    assert_eq!(verdict(Some(&failed("BackoffLimitExceeded")), &pods), expected);
}

#[test]
fn the_newest_pod_decides_and_its_predecessors_count() {
    let first = pod(1, 20, "Error", Some(message(Phase::Failed, Some(Code::ConnectionFailed), 3)));
    let second = pod(9, 137, "OOMKilled", None);
    let expected = (Phase::Failed, Some(Reason::OutOfMemory), Some(3));
    assert_eq!(verdict(Some(&failed("BackoffLimitExceeded")), &[first.clone(), second]), expected);
    let second = pod(9, 0, "Completed", Some(message(Phase::Succeeded, None, 8)));
    assert_eq!(verdict(Some(&complete()), &[first, second]), (Phase::Succeeded, None, Some(8)));
}

#[test]
fn a_deadline_is_named_even_if_the_worker_says_that_it_was_stopped() {
    let pods = [pod(1, 143, "Error", Some(message(Phase::Failed, Some(Code::Terminated), 5)))];
    let expected = (Phase::Failed, Some(Reason::DeadlineExceeded), Some(5));
    assert_eq!(verdict(Some(&failed("DeadlineExceeded")), &pods), expected);
    assert_eq!(verdict(Some(&failed("DeadlineExceeded")), &[]), (Phase::Failed, Some(Reason::DeadlineExceeded), None));
}

#[test]
fn a_deleted_job_fails_the_run_unless_its_pod_had_ended_it() {
    let stopped = [pod(1, 143, "Error", Some(message(Phase::Failed, Some(Code::Terminated), 5)))];
    assert_eq!(verdict(None, &stopped), (Phase::Failed, Some(Reason::JobDeleted), Some(5)));
    assert_eq!(verdict(None, &[]), (Phase::Failed, Some(Reason::JobDeleted), None));
    let done = [pod(1, 0, "Completed", Some(message(Phase::Succeeded, None, 5)))];
    assert_eq!(verdict(None, &done), (Phase::Succeeded, None, Some(5)));
}

#[test]
fn a_deleted_job_whose_pod_still_runs_holds_its_place() {
    let pod = PodView { name: "pod".into(), running: true, ..PodView::default() };
    assert_eq!(interpret(RUN, None, std::slice::from_ref(&pod), at(1)), State::Running);
    let gone = PodView { gone: true, ..pod };
    assert_eq!(verdict(None, &[gone]), (Phase::Failed, Some(Reason::JobDeleted), None));
}

#[test]
fn results_that_nobody_can_read_are_lost() {
    let foreign = message(Phase::Succeeded, None, 7).replace(RUN, "other");
    for text in
        [None, Some(foreign), Some("log text".to_owned()), Some(message(Phase::Running, None, 7)[5..].to_owned())]
    {
        let pods = [pod(1, 0, "Completed", text)];
        assert_eq!(verdict(Some(&complete()), &pods), (Phase::Failed, Some(Reason::ResultLost), None));
    }
    assert_eq!(verdict(Some(&complete()), &[]), (Phase::Failed, Some(Reason::ResultLost), None));
}

#[test]
fn a_pods_last_message_is_waited_for_after_its_job_has_ended() {
    let unheard = PodView { name: "pod".into(), running: true, ..PodView::default() };
    for pods in [vec![], vec![unheard.clone()]] {
        assert_eq!(interpret(RUN, Some(&complete()), &pods, at(114)), State::Running, "{pods:?}");
        assert_eq!(verdict(Some(&complete()), &pods), (Phase::Failed, Some(Reason::ResultLost), None));
    }
    // Nothing more comes of a pod that is over or gone.
    for over in [PodView { gone: true, ..unheard.clone() }, PodView { ended: true, running: false, ..unheard }] {
        assert!(matches!(interpret(RUN, Some(&complete()), &[over], at(101)), State::Ended(_)));
    }
    let heard = [pod(1, 0, "Completed", Some(message(Phase::Succeeded, None, 7)))];
    assert!(matches!(interpret(RUN, Some(&complete()), &heard, at(101)), State::Ended(_)));
}

#[test]
fn a_job_that_is_about_to_fail_goes_on() {
    let pods = [pod(1, 10, "Error", Some(message(Phase::Failed, Some(Code::SqlError), 0)))];
    assert_eq!(interpret(RUN, Some(&JobState::default()), &pods, at(1)), State::Running);
}

#[test]
fn a_pod_that_cannot_begin_says_why_and_until_when() {
    let pod = PodView { created_at: Some(at(100)), ..PodView::default() };
    let waiting = |reason: &str| Some((reason.to_owned(), "no such image".to_owned()));
    let unschedulable = PodView { unschedulable: Some((at(110), "0/1 nodes".into())), ..pod.clone() };
    for (pod, expected, until) in [
        (PodView { waiting: waiting("ImagePullBackOff"), ..pod.clone() }, Some(Reason::ImagePullFailed), 400),
        (PodView { waiting: waiting("ErrImageNeverPull"), ..pod.clone() }, Some(Reason::ImagePullFailed), 400),
        (PodView { waiting: waiting("CreateContainerConfigError"), ..pod.clone() }, Some(Reason::PodRefused), 400),
        (PodView { waiting: waiting("ContainerCreating"), ..pod.clone() }, None, 0),
        (unschedulable, Some(Reason::PodUnschedulable), 410),
    ] {
        let state = interpret(RUN, Some(&JobState::default()), &[pod], at(120));
        let State::Pending(stuck) = state else { panic!("{state:?}") };
        assert_eq!(stuck.map(|stuck| (stuck.reason, stuck.until)), expected.map(|reason| (reason, at(until))));
    }
}

#[test]
fn every_code_of_a_worker_is_a_reason() {
    for code in Code::ALL {
        assert_eq!(reason(*code).as_str(), code.as_str());
    }
}
