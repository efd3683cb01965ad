//! What a Job and its pods say of a run. Pure: the clock is an argument.
//!
//! The exit code goes before the kubelet's reason: a child that was killed for memory leaves exit code 0 and reason `OOMKilled`.

use std::time::Duration;

use backflow_core::result::{Phase, RunResult, exit};
use backflow_crds::reasons::Reason;
use backflow_plan::{Ended, reason};
use jiff::Timestamp;

use crate::runs::{JobState, PodView};

/// A pod that cannot be scheduled, or whose image cannot be pulled, holds its place for this long.
pub const PATIENCE: Duration = Duration::from_secs(5 * 60);
/// The last message of a pod is waited for so long after its Job has ended.
pub const RESULT_PATIENCE: Duration = Duration::from_secs(15);
/// Reasons of a container that waits and will not start by itself.
const PULL_FAILURES: [&str; 5] =
    ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"];
/// The same for reasons that a pod's own settings cause.
const CONFIG_FAILURES: [&str; 4] =
    ["CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError"];

/// How far a run is.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// Its pod has not begun. Says what it waits for, and when the wait is over at the latest.
    Pending(Option<Stuck>),
    /// It runs.
    Running,
    /// It has ended.
    Ended(Box<Ending>),
}

/// Why a pod does not begin.
#[derive(Clone, Debug, PartialEq)]
pub struct Stuck {
    /// The reason that the run fails with when the wait is over.
    pub reason: Reason,
    /// In a sentence.
    pub message: String,
    /// When the wait is over.
    pub until: Timestamp,
}

/// How a run ended, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Ending {
    /// How: Succeeded, `PartiallySucceeded`, Failed or Canceled.
    pub ended: Ended,
    /// When, if that is known.
    pub at: Option<Timestamp>,
}

/// Reads a run's Job and pods. `job`: none if the Job does not exist (any more).
#[must_use]
pub fn interpret(run: &str, job: Option<&JobState>, pods: &[PodView], now: Timestamp) -> State {
    match job {
        Some(job) if !job.is_finished() => under_way(pods, now),
        Some(job) if is_on_its_way(job, pods, now) => State::Running,
        Some(job) => State::Ended(Box::new(ended(run, Some(job), pods))),
        // The Job is gone, its pod not yet: it may still send, so the run is not over.
        None if pods.iter().any(|pod| !pod.gone && pod.terminated.is_none()) => State::Running,
        None => State::Ended(Box::new(ended(run, None, pods))),
    }
}

/// Jobs and pods are watched apart: that a Job has ended may be heard before its pod's last message.
fn is_on_its_way(job: &JobState, pods: &[PodView], now: Timestamp) -> bool {
    let unheard = pods.last().is_none_or(|pod| pod.terminated.is_none() && !pod.ended && !pod.gone);
    let until = job.finished_at.and_then(|finished| finished.checked_add(RESULT_PATIENCE).ok());
    unheard && until.is_some_and(|until| now < until)
}

fn under_way(pods: &[PodView], now: Timestamp) -> State {
    // A replacement may wait while its predecessor is gone: the newest counts.
    match pods.last() {
        Some(pod) if pod.running || pod.terminated.is_some() => State::Running,
        Some(pod) => State::Pending(stuck(pod, now)),
        None => State::Pending(None),
    }
}

fn stuck(pod: &PodView, now: Timestamp) -> Option<Stuck> {
    let created = pod.created_at.unwrap_or(now);
    let until = |since: Timestamp| since.checked_add(PATIENCE).unwrap_or(now);
    if let Some((since, message)) = &pod.unschedulable {
        let message = format!("no node takes the pod: {message}");
        return Some(Stuck { reason: Reason::PodUnschedulable, message, until: until((*since).max(created)) });
    }
    let (waits, message) = pod.waiting.as_ref()?;
    let reason = match waits.as_str() {
        waits if PULL_FAILURES.contains(&waits) => Reason::ImagePullFailed,
        waits if CONFIG_FAILURES.contains(&waits) => Reason::PodRefused,
        _ => return None,
    };
    let message = if message.is_empty() { waits.clone() } else { format!("{waits}: {message}") };
    Some(Stuck { reason, message, until: until(created) })
}

fn written(run: &str, pod: &PodView) -> Option<RunResult> {
    RunResult::from_message(pod.terminated.as_ref()?.message.as_deref()?, run)
}

fn ended(run: &str, job: Option<&JobState>, pods: &[PodView]) -> Ending {
    let newest = pods.last();
    let end = newest.and_then(|pod| pod.terminated.as_ref());
    let exit_code = end.map(|end| end.exit_code);
    let own = newest.and_then(|pod| written(run, pod));
    let at = job.and_then(|job| job.finished_at).or_else(|| end.and_then(|end| end.finished_at));
    // A final result says it all, unless the worker only says that it was asked to stop: then it matters who asked.
    if let Some(own) =
        own.as_ref().filter(|own| own.phase != Phase::Running && exit_code != Some(i32::from(exit::TERMINATED)))
    {
        return Ending { ended: own.clone().into(), at };
    }
    let failure = why(job, newest, own.as_ref());
    // What a predecessor committed counts, too: a replacement goes on from there.
    let result = own.or_else(|| pods.iter().rev().find_map(|pod| written(run, pod)));
    Ending { ended: Ended { phase: Phase::Failed, failure: Some(failure), result }, at }
}

/// Why a run failed whose worker did not say so itself.
fn why(job: Option<&JobState>, newest: Option<&PodView>, own: Option<&RunResult>) -> (Reason, String) {
    let Some(job) = job else {
        let message = "the Job was deleted before the run ended; the next run repeats what is missing";
        return (Reason::JobDeleted, message.into());
    };
    if job.failed.as_deref() == Some("DeadlineExceeded") {
        let message = "the Job reached its deadline before the worker could end; raise runs.deadline";
        return (Reason::DeadlineExceeded, message.into());
    }
    let end = newest.and_then(|pod| pod.terminated.as_ref()).filter(|end| end.exit_code != 0);
    if end.is_some_and(|end| end.reason.as_deref() == Some("OOMKilled")) {
        let message = "the worker used more memory than its limit; raise worker.resources.limits.memory";
        return (Reason::OutOfMemory, message.into());
    }
    if newest.and_then(|pod| pod.reason.as_deref()) == Some("Evicted") {
        let message = "the pod was evicted; raise worker.scratch or worker.resources, or free the node";
        return (Reason::PodFailed, message.into());
    }
    if let Some(failure) = own.and_then(|own| own.failure.as_ref()) {
        return (reason(failure.code), failure.message.clone());
    }
    match end {
        Some(end) => (
            Reason::PodFailed,
            format!("the worker's pod ended with exit code {} and no result; see its log", end.exit_code),
        ),
        None => {
            let message = "the run ended, but nobody could read its result; the next run finds out what was delivered";
            (Reason::ResultLost, message.into())
        }
    }
}

#[cfg(test)]
#[path = "outcome_tests.rs"]
mod tests;
