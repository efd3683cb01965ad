//! Sync: one run. It waits for its turn, creates a Job of its own name, follows it, and reads the result.

pub mod apply;
mod authorities;
pub mod decide;
pub mod dereference;
pub mod job;
pub mod outcome;
pub mod status;

use std::sync::Arc;
use std::time::Duration;

use backflow_core::extraction::Resend;
use backflow_core::traffic::Traffic;
use backflow_crds::reasons::Reason;
use backflow_crds::v1alpha1::{Sync, SyncPhase};
use kube::ResourceExt as _;

use crate::context::Context;
use crate::error::Error;
use crate::events::Happening;
use crate::labels;
use crate::progress::Line;
use crate::queue::Next;
use crate::store::Key;
use crate::sync::apply::Started;
use crate::sync::decide::{Decision, View, decide};
use crate::sync::dereference::{JobView, NotReady, OwnJob};
use crate::sync::outcome::{Ending, State};
use crate::sync::status::Draft;
use crate::triggers::{self, Origin};

/// Scratch of runs that need none: 64 MiB.
pub const SMALL_SCRATCH: u64 = 64 << 20;
/// A Job is looked at this often though nothing was seen: watches may lose events.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// A worker that does not stop is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// A cluster that refuses a Job is asked again, and for so long.
const REFUSED_AGAIN: Duration = Duration::from_secs(30);

/// Whether the controller made this Sync: only its own are pruned or take part in the schedule.
#[must_use]
pub fn is_by_controller(sync: &Sync) -> bool {
    sync.labels().get(labels::MANAGED_BY).is_some_and(|by| by == labels::BACKFLOW)
        && sync.owner_references().iter().any(|owner| owner.kind == "Mapping" && owner.controller == Some(true))
}

/// Looks at one Sync.
///
/// # Errors
/// If the API server does not do what it is asked.
pub async fn reconcile(context: Arc<Context>, key: Key) -> Result<Next, Error> {
    let Some(sync) = context.stores.syncs.get(&key) else { return Ok(Next::Wait) };
    if sync.metadata.deletion_timestamp.is_some() {
        return Ok(Next::Wait);
    }
    let uid = sync.uid().unwrap_or_default();
    let phase = sync.status.as_ref().and_then(|status| status.phase);
    let expected = matches!(phase, Some(SyncPhase::Running | SyncPhase::Canceling));
    let job = dereference::job(&context, &key, &uid, expected).await?;
    let pods = dereference::pods(&context, &key, &job);
    let findings = backflow_plan::check_sync(&sync.spec);
    let now = context.now();
    let verdict = context.desk.verdict(&key);
    let view = View {
        sync: &sync,
        findings: &findings,
        verdict: verdict.as_ref(),
        job: &job,
        pods: &pods,
        canceling_since: context.board.canceling_since(&key),
        now,
    };
    let decision = decide(&view);
    let mut step =
        Step { context: &context, key: &key, sync: &sync, draft: Draft::of(&sync, now), traffic: Traffic::default() };
    let next = match decision {
        Decision::Nothing => return Ok(Next::Wait),
        Decision::Refuse(reason, message) => {
            step.draft.refused(reason, &message, &findings);
            Next::Wait
        }
        Decision::CancelQueued => {
            step.draft.canceled_in_queue();
            Next::Wait
        }
        Decision::Ask => {
            context.admit(&key.namespace);
            return Ok(Next::Wait);
        }
        Decision::Wait(reason, behind) => {
            step.draft.waits(reason, &behind);
            Next::Wait
        }
        Decision::Start => match step.start().await? {
            Some(next) => next,
            // The next look is due already, and has the status say that it runs: others that wait to start come before that.
            None => return Ok(Next::After(LOOK_AGAIN)),
        },
        Decision::Follow(state) => step.follow(&job, &state),
        Decision::Cancel => {
            step.cancel(&pods).await;
            step.running(&job, true);
            Next::After(ASK_AGAIN)
        }
        Decision::Stop => {
            step.delete(&job).await?;
            step.running(&job, true);
            Next::After(ASK_AGAIN)
        }
        Decision::End(ending, delete) => {
            if delete {
                step.delete(&job).await?;
            }
            let frozen = if let JobView::Own(own) = &job { own.annotations.clone() } else { Default::default() };
            step.draft.ended(&ending, &frozen);
            step.throttled(&ending);
            step.traffic = ending.ended.result.map(|result| result.counters.traffic).unwrap_or_default();
            Next::Wait
        }
    };
    step.write().await?;
    Ok(next)
}

/// One look at one Sync.
struct Step<'a> {
    context: &'a Context,
    key: &'a Key,
    sync: &'a Sync,
    draft: Draft,
    /// What a run that has ended saw of its destination.
    traffic: Traffic,
}

impl Step<'_> {
    /// `None`: its Job was created now.
    async fn start(&mut self) -> Result<Option<Next>, Error> {
        let ready = match dereference::plan(self.context, self.sync) {
            Ok(ready) => ready,
            Err(not_ready) => {
                // Changed since its turn came: the turn goes to the next, and this one is asked again when it fits.
                self.context.desk.decline(self.key);
                let (reason, behind) = match not_ready {
                    NotReady::Missing(reason, behind) => (reason, behind),
                    NotReady::Findings(findings) => {
                        let first = findings.first().map(|finding| format!("{}: {}", finding.path, finding.message));
                        (Reason::MappingNotReady, first.unwrap_or_default())
                    }
                };
                self.draft.waits(reason, &behind);
                return Ok(Some(Next::After(ASK_AGAIN)));
            }
        };
        match apply::start(self.context, self.sync, ready).await? {
            Started::Job { job, new: true } => {
                self.started(&job);
                Ok(None)
            }
            Started::Job { job, new: false } => {
                self.draft.runs(&self.key.name, job.created_at, self.sync.spec.cancel);
                Ok(Some(Next::After(LOOK_AGAIN)))
            }
            Started::Refused(reason, message) => {
                self.draft.refused(reason, &message, &[]);
                Ok(Some(Next::Wait))
            }
            Started::NotNow(reason, message) => {
                let since = self.context.desk.refused(self.key, self.context.now());
                let waited = Duration::try_from(self.context.now().duration_since(since)).unwrap_or_default();
                if waited > outcome::PATIENCE {
                    self.draft.refused(reason, &message, &[]);
                    return Ok(Some(Next::Wait));
                }
                self.draft.waits(reason, &message);
                Ok(Some(Next::After(REFUSED_AGAIN)))
            }
        }
    }

    fn started(&self, job: &OwnJob) {
        let slot = self.sync.annotations().get(labels::SLOT).and_then(|slot| slot.parse::<jiff::Timestamp>().ok());
        if let Some(slot) = slot {
            let skew = (self.context.clock)().duration_since(slot);
            self.context.metrics.started(Duration::try_from(skew).unwrap_or_default());
        }
        tracing::info!(job = self.key.name, uid = job.uid, "Created a Job.");
    }

    fn follow(&mut self, job: &JobView, state: &State) -> Next {
        self.running(job, false);
        if let Some(progress) = self.context.board.due(self.key) {
            self.draft.progress(&progress);
            self.context.board.said(self.key);
        }
        match state {
            State::Pending(Some(stuck)) => {
                self.draft.waits_for_pod(stuck.reason, &stuck.message);
                let left = Duration::try_from(stuck.until.duration_since(self.context.now())).unwrap_or_default();
                Next::After(left.clamp(Duration::from_secs(1), LOOK_AGAIN))
            }
            _ => Next::After(LOOK_AGAIN),
        }
    }

    fn running(&mut self, job: &JobView, canceling: bool) {
        let since = if let JobView::Own(own) = job { own.created_at } else { None };
        self.draft.runs(&self.key.name, since, canceling);
    }

    async fn cancel(&self, pods: &[crate::runs::PodView]) {
        self.context.board.canceling(self.key, self.context.now());
        let line = Line::default();
        for pod in pods.iter().filter(|pod| pod.running && !pod.gone) {
            if !line.cancel(pod).await {
                tracing::info!(
                    pod = pod.name,
                    "The worker did not hear that it should stop; its Job is deleted if that lasts."
                );
            }
        }
    }

    async fn delete(&self, job: &JobView) -> Result<(), Error> {
        match job {
            JobView::Own(own) => apply::delete_job(self.context, &self.key.namespace, &self.key.name, &own.uid).await,
            JobView::None | JobView::Foreign => Ok(()),
        }
    }

    /// Tells the Destination if it asked to be left alone. It looks by itself as soon as the Sync's end is written.
    fn throttled(&self, ending: &Ending) {
        let until = ending.ended.result.as_ref().and_then(|result| result.throttled_until.as_ref()?.parse().ok());
        let destination = dereference::needs(self.context, self.sync).destination;
        if let (Some(until), Some(destination)) = (until, destination) {
            self.context.throttled.set(Key::new(&self.key.namespace, destination), until);
        }
    }

    async fn write(self) -> Result<(), Error> {
        let before = self.sync.status.as_ref();
        let phase = before.and_then(|status| status.phase);
        let after = self.draft.status.clone();
        if let Some(written) = crate::status::patch(self.context, self.sync, &self.sync.status, &after).await? {
            if phase != after.phase || before.and_then(|status| status.queued_behind.clone()) != after.queued_behind {
                self.tell(&after);
            }
            if after.is_finished() {
                self.context.metrics.sync_ended(self.sync.spec.mode, &after);
                self.context.metrics.delivered(&self.traffic);
                tracing::info!(
                    phase = after.phase.map(|phase| format!("{phase:?}")),
                    reason = after.reason,
                    duration = after.duration,
                    summary = self.draft.summary(),
                    "A Sync ended."
                );
            }
            if after.is_finished() && self.draft.resend == Some(Resend::MappingChanged) {
                let note = "the Mapping was edited, so every row was sent again; onMappingChange: Keep avoids that";
                self.context.events.tell(self.sync, Happening::Resending, note);
            }
            triggers::saw(self.context, written, Origin::Own);
        }
        Ok(())
    }

    fn tell(&self, after: &backflow_crds::v1alpha1::SyncStatus) {
        let message = crate::status::condition(&after.conditions, backflow_crds::conditions::ConditionType::Ready);
        let message = message.map(|ready| ready.message.clone()).unwrap_or_default();
        let (happening, note) = match after.phase {
            None => return,
            Some(SyncPhase::Queued) if after.queued_behind.is_none() => return,
            Some(SyncPhase::Queued) => (Happening::SyncQueued, message),
            Some(SyncPhase::Running) => (Happening::SyncStarted, format!("created Job {}", self.key.name)),
            Some(SyncPhase::Canceling) => {
                (Happening::SyncCanceling, "asked the worker to stop after the batch in flight".into())
            }
            Some(SyncPhase::Succeeded) => (Happening::SyncSucceeded, self.draft.summary()),
            Some(SyncPhase::PartiallySucceeded) => (Happening::SyncPartiallySucceeded, self.draft.summary()),
            Some(SyncPhase::Failed) => {
                (Happening::SyncFailed, format!("{}: {message}", after.reason.as_deref().unwrap_or_default()))
            }
            Some(SyncPhase::Canceled) => (Happening::SyncCanceled, message),
        };
        self.context.events.tell(self.sync, happening, note);
    }
}
