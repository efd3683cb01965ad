//! What becomes of a check now. Pure: the clock is an argument.

use std::time::Duration;

use backflow_core::result::{CheckResult, Phase};
use backflow_crds::reasons::Reason;
use jiff::Timestamp;

use crate::labels;
use crate::runs::PodView;
use crate::sync::dereference::JobView;
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
    /// The time.
    pub now: Timestamp,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Nothing: it has passed before.
    Settled,
    /// Create the Job, after so many tries.
    Create(u32),
    /// Delete the Job with this uid: what it checks is out of date, or its pause is over. The next one follows when it is gone.
    Replace(String),
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
        JobView::None | JobView::Foreign if view.settled => return Decision::Settled,
        JobView::None | JobView::Foreign => return Decision::Create(0),
    };
    if job.deleting {
        return Decision::Follow(State::Pending(None));
    }
    if job.annotations.get(labels::INPUTS).is_none_or(|inputs| inputs != view.inputs) {
        // Two controllers of different versions, which see one manifest differently, must not chase each other.
        let until = job.created_at.and_then(|created| created.checked_add(FIRST_PAUSE).ok());
        return match until.filter(|until| view.now < *until) {
            Some(until) => Decision::Hold(until),
            None => Decision::Replace(job.uid.clone()),
        };
    }
    // What passed is not in doubt because its pod is gone.
    if view.settled && job.state.is_finished() && view.pods.is_empty() {
        return Decision::Settled;
    }
    let ending = match interpret(view.name, Some(&job.state), view.pods, view.now) {
        State::Ended(ending) => ending,
        state => return Decision::Follow(state),
    };
    if ending.phase == Phase::Succeeded {
        let found = ending.result.and_then(|result| result.check).unwrap_or_default();
        return Decision::Passed { found: Box::new(found), at: ending.at };
    }
    // Pods are deleted before their Jobs: a result that can no longer be read is no failure of what was said to have passed.
    let (reason, message) = ending.failure.unwrap_or_else(|| (Reason::CheckFailed, String::new()));
    if reason == Reason::ResultLost && view.settled {
        return Decision::Settled;
    }
    let attempt = job.annotations.get(labels::ATTEMPT).and_then(|attempt| attempt.parse().ok()).unwrap_or(1);
    let again = ending.at.unwrap_or(view.now).checked_add(pause(attempt)).unwrap_or(view.now);
    if again <= view.now {
        return Decision::Replace(job.uid.clone());
    }
    let reason = if reason == Reason::ResultLost { Reason::CheckFailed } else { reason };
    Decision::Failed { reason, message, at: ending.at, again }
}

/// The pause after so many failures in a row.
#[must_use]
pub fn pause(attempt: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << attempt.saturating_sub(1).min(10)).min(LONGEST_PAUSE)
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
