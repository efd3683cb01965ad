//! What becomes of a Sync now. Pure: the clock is an argument.

use backflow_core::result::Phase;
use backflow_crds::conditions::Readiness;
use backflow_crds::reasons::Reason;
use backflow_crds::v1alpha1::{Finding, Sync, SyncPhase};
use backflow_plan::Ended;
use jiff::{SignedDuration, Timestamp};

use crate::admission::Verdict;
use crate::check::of_findings;
use crate::runs::PodView;
use crate::sync::dereference::JobView;
use crate::sync::outcome::{Ending, State, interpret};

/// A worker that was asked to stop has this long before its Job is deleted.
pub const CANCEL_PATIENCE: SignedDuration = SignedDuration::from_secs(90);

/// Everything that is known about a Sync.
#[derive(Clone, Debug)]
pub struct View<'a> {
    /// The Sync.
    pub sync: &'a Sync,
    /// What is wrong with its spec.
    pub findings: &'a [Finding],
    /// What the queue says.
    pub verdict: Option<&'a Verdict>,
    /// Its Job.
    pub job: &'a JobView,
    /// Its pods, the oldest first.
    pub pods: &'a [PodView],
    /// When its worker was first asked to stop.
    pub canceling_since: Option<Timestamp>,
    /// The time.
    pub now: Timestamp,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Nothing: it has ended.
    Nothing,
    /// It can never run.
    Refuse(Reason, String),
    /// It ends before it began.
    CancelQueued,
    /// Ask the queue: it has not seen this Sync yet.
    Ask,
    /// It waits: a reason, and behind what.
    Wait(Reason, String),
    /// Create its Job.
    Start,
    /// Its Job goes on: whether a container runs, and what it waits for otherwise.
    Follow(State),
    /// Ask the worker to stop.
    Cancel,
    /// Delete the Job: there is no worker that could be asked, or it does not answer.
    Stop,
    /// It has ended. Whether its Job must be deleted, because it would go on.
    End(Box<Ending>, bool),
}

/// Decides.
#[must_use]
pub fn decide(view: &View<'_>) -> Decision {
    let phase = view.sync.status.as_ref().and_then(|status| status.phase);
    match phase {
        Some(phase) if phase.is_finished() => Decision::Nothing,
        Some(SyncPhase::Running | SyncPhase::Canceling) => under_way(view),
        // A Job without the status that tells of it: a controller stopped between the two.
        None | Some(_) if matches!(view.job, JobView::Own(_)) => under_way(view),
        None | Some(_) => waiting(view),
    }
}

fn waiting(view: &View<'_>) -> Decision {
    if !view.findings.is_empty() {
        let (Readiness::Ready(reason, message)
        | Readiness::Reconciling(reason, message)
        | Readiness::NotReady(reason, message)
        | Readiness::Stalled(reason, message)) = of_findings(view.findings);
        return Decision::Refuse(reason, message);
    }
    if view.sync.spec.cancel {
        return Decision::CancelQueued;
    }
    match view.verdict {
        Some(Verdict::Start) if *view.job == JobView::Foreign => {
            let name = view.sync.metadata.name.as_deref().unwrap_or_default();
            Decision::Refuse(
                Reason::NameCollision,
                format!("a Job \"{name}\" exists and belongs to something else; delete it"),
            )
        }
        Some(Verdict::Start) => Decision::Start,
        Some(Verdict::Wait(reason, behind)) => Decision::Wait(*reason, behind.clone()),
        None => Decision::Ask,
    }
}

fn under_way(view: &View<'_>) -> Decision {
    let run = view.sync.metadata.name.as_deref().unwrap_or_default();
    let job = match view.job {
        JobView::Own(own) => Some(&own.state),
        JobView::None | JobView::Foreign => None,
    };
    let canceled = view.sync.spec.cancel;
    match interpret(run, job, view.pods, view.now) {
        State::Ended(mut ending) => {
            // Its Job was deleted because it did not hear.
            if canceled && ending.ended.failure.as_ref().is_some_and(|(reason, _)| *reason == Reason::JobDeleted) {
                ending.ended.phase = Phase::Canceled;
                ending.ended.failure = Some((Reason::Canceled, "a person stopped the run".into()));
            }
            Decision::End(ending, false)
        }
        State::Pending(_) if canceled => Decision::Stop,
        State::Running if canceled => match view.canceling_since {
            Some(since) if view.now.duration_since(since) >= CANCEL_PATIENCE => Decision::Stop,
            _ => Decision::Cancel,
        },
        State::Pending(Some(stuck)) if view.now >= stuck.until => {
            let failure = Some((stuck.reason, format!("{}; given up after 5m", stuck.message)));
            let ended = Ended { phase: Phase::Failed, failure, result: None };
            Decision::End(Box::new(Ending { ended, at: Some(view.now) }), true)
        }
        state => Decision::Follow(state),
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
