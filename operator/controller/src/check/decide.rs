//! What becomes of a check now. Pure: the clock is an argument.

use std::time::Duration;

use backflow_core::result::{CheckResult, Phase};
use backflow_crds::reasons::Reason;
use jiff::Timestamp;

use crate::labels;
use crate::runs::PodView;
use crate::sync::dereference::{JobView, OwnJob};
use crate::sync::outcome::{State, interpret};

/// Pause after the first failure. It doubles with each further one.
pub const FIRST_PAUSE: Duration = Duration::from_secs(30);
/// Longest pause between two tries.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(10 * 60);

/// Everything that is known about a check.
#[derive(Clone, Debug)]
pub struct View<'a> {
    /// Name of its Job.
    pub name: &'a str,
    /// Hash of what is checked now.
    pub inputs: &'a str,
    /// Its Job.
    pub job: &'a JobView,
    /// Its pods.
    pub pods: &'a [PodView],
    /// The status already says that this spec passed.
    pub settled: bool,
    /// Somebody needs more than was found: the check is repeated, as one that fails.
    pub falls_short: bool,
    /// The time.
    pub now: Timestamp,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Nothing: it has passed before. If that is not enough for somebody: when it is repeated.
    Settled(Option<Timestamp>),
    /// Create the Job.
    Create,
    /// Delete the Job: what it checks is out of date, or its pause is over. The next one follows when it is gone.
    Replace {
        /// The Job's uid.
        uid: String,
        /// The tries in a row that it ends: none if it checks something else.
        tried: u32,
    },
    /// The Job is out of date, but too new to be replaced before this moment.
    Hold(Timestamp),
    /// It goes on.
    Follow(State),
    /// It passed.
    Passed {
        /// What was found.
        found: Box<CheckResult>,
        /// When.
        at: Option<Timestamp>,
        /// When it is repeated, if it is not enough for somebody.
        again: Option<Timestamp>,
    },
    /// It failed.
    Failed {
        /// Why.
        reason: Reason,
        /// In a sentence.
        message: String,
        /// When.
        at: Option<Timestamp>,
        /// When it is tried again.
        again: Timestamp,
    },
}

/// Decides.
#[must_use]
pub fn decide(view: &View<'_>) -> Decision {
    let job = match view.job {
        JobView::Own(job) => job,
        JobView::None | JobView::Foreign if view.settled && !view.falls_short => return Decision::Settled(None),
        JobView::None | JobView::Foreign => return Decision::Create,
    };
    if job.deleting {
        return Decision::Follow(State::Pending(None));
    }
    if job.annotations.get(labels::INPUTS).is_none_or(|inputs| inputs != view.inputs) {
        // Two controllers of different versions, which see one manifest differently, must not chase each other.
        let until = job.created_at.and_then(|created| created.checked_add(FIRST_PAUSE).ok());
        return match until.filter(|until| view.now < *until) {
            Some(until) => Decision::Hold(until),
            None => Decision::Replace { uid: job.uid.clone(), tried: 0 },
        };
    }
    // What passed is not in doubt because its pod is gone.
    if view.settled && job.state.is_finished() && view.pods.is_empty() {
        return settled(view, job, job.state.finished_at);
    }
    let ending = match interpret(view.name, Some(&job.state), view.pods, view.now) {
        State::Ended(ending) => ending,
        state => return Decision::Follow(state),
    };
    if ending.ended.phase == Phase::Succeeded {
        let again = again(view, job, ending.at);
        if view.falls_short && again <= view.now {
            return replace(job);
        }
        let found = ending.ended.result.and_then(|result| result.check).unwrap_or_default();
        let again = view.falls_short.then_some(again);
        return Decision::Passed { found: Box::new(found), at: ending.at, again };
    }
    // Pods are deleted before their Jobs: a result that can no longer be read is no failure of what was said to have passed. Nor is
    // one of a check that was only repeated: what passed is used by others, and their runs say what is wrong now.
    if view.settled {
        return settled(view, job, ending.at);
    }
    let again = again(view, job, ending.at);
    if again <= view.now {
        return replace(job);
    }
    let (reason, message) = ending.ended.failure.unwrap_or_else(|| (Reason::CheckFailed, String::new()));
    let reason = if reason == Reason::ResultLost { Reason::CheckFailed } else { reason };
    Decision::Failed { reason, message, at: ending.at, again }
}

/// What has passed before stays, whatever became of this Job.
fn settled(view: &View<'_>, job: &OwnJob, ended_at: Option<Timestamp>) -> Decision {
    if !view.falls_short {
        return Decision::Settled(None);
    }
    let again = again(view, job, ended_at);
    if again <= view.now { replace(job) } else { Decision::Settled(Some(again)) }
}

/// When a check that ended then is tried again.
fn again(view: &View<'_>, job: &OwnJob, ended_at: Option<Timestamp>) -> Timestamp {
    ended_at.unwrap_or(view.now).checked_add(pause(attempt(job))).unwrap_or(view.now)
}

fn replace(job: &OwnJob) -> Decision {
    Decision::Replace { uid: job.uid.clone(), tried: attempt(job) }
}

/// Which try in a row a Job is.
fn attempt(job: &OwnJob) -> u32 {
    job.annotations.get(labels::ATTEMPT).and_then(|attempt| attempt.parse().ok()).unwrap_or(1)
}

/// The pause after so many failures in a row.
#[must_use]
pub fn pause(attempt: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << attempt.saturating_sub(1).min(10)).min(LONGEST_PAUSE)
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
