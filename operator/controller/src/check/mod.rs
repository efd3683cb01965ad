//! Checks: a short Job that tries a Source, a Model or a Destination, because the controller has neither drivers nor credentials.
//!
//! One for each spec (of the object, or of what it refers to), and while it fails again and again, with pauses. Never by the clock:
//! every run is a check, too.

pub mod apply;
pub mod decide;
#[cfg(test)]
mod scenarios;

use std::sync::Arc;
use std::time::Duration;

use backflow_core::plan::Task;
use backflow_core::result::CheckResult;
use backflow_crds::conditions::{ConditionType, Readiness};
use backflow_crds::reasons::Reason;
use backflow_crds::v1alpha1::{Finding, WorkerTemplate};
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::check::decide::{Decision, View, decide};
use crate::context::Context;
use crate::error::Error;
use crate::events::Happening;
use crate::metrics::Kind;
use crate::queue::Next;
use crate::status::{condition, is_ready, moment};
use crate::store::Key;
use crate::sync::dereference as run;
use crate::sync::outcome::State;
use crate::triggers::{self, Observed, Origin};

/// A check that runs is looked at this often though nothing was seen.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// A kind that is checked.
pub trait Checked: Observed + Resource<Scope = NamespaceResourceScope> + DeserializeOwned {
    /// Its status.
    type Status: Clone + Default + PartialEq + Serialize + Send + std::marker::Sync;

    /// What is checked, and in what kind of pod.
    ///
    /// # Errors
    /// [`Blocked`].
    fn task(&self, context: &Context) -> Result<(Task, WorkerTemplate), Blocked>;

    /// Its status.
    fn status(&self) -> Option<&Self::Status>;

    /// The parts of the status that all checked kinds have.
    fn parts(status: &mut Self::Status) -> Parts<'_>;

    /// When what it refers to was last checked: a check of it that ended before then may be of something else.
    fn valid_since(&self, _context: &Context) -> Option<Timestamp> {
        None
    }

    /// What the last check found is not enough for somebody who needs it.
    fn falls_short(&self, _context: &Context) -> bool {
        false
    }

    /// Keeps what a check found. Returns what the condition says.
    fn learn(&self, status: &mut Self::Status, found: &CheckResult) -> String;

    /// Everything that needs no check. Returns until when it holds, if time makes it untrue.
    fn complete(&self, _context: &Context, _status: &mut Self::Status) -> Option<Timestamp> {
        None
    }
}

/// The parts of a status that all checked kinds have.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Parts<'a> {
    pub observed_generation: &'a mut Option<i64>,
    pub conditions: &'a mut Vec<Condition>,
    pub last_check_time: &'a mut Option<Time>,
    pub last_check_digest: &'a mut Option<String>,
    pub errors: &'a mut Vec<Finding>,
}

/// Why there is nothing to check yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// The manifest is wrong.
    Findings(Vec<Finding>),
    /// What it refers to is absent or not fit.
    Waits(Reason, String),
}

/// Looks at one object.
///
/// # Errors
/// If the API server does not do what it is asked.
pub async fn reconcile<K: Checked>(context: Arc<Context>, key: Key) -> Result<Next, Error> {
    let Some(object) = K::store(&context).get(&key) else {
        context.attempts.forget(K::KIND, &key);
        return Ok(Next::Wait);
    };
    if object.meta().deletion_timestamp.is_some() {
        return Ok(Next::Wait);
    }
    let mut status = object.status().cloned().unwrap_or_default();
    let (readiness, next) = match object.task(&context) {
        Err(Blocked::Findings(findings)) => {
            let readiness = of_findings(&findings);
            *K::parts(&mut status).errors = backflow_plan::fit(findings);
            (Some(readiness), Next::Wait)
        }
        Err(Blocked::Waits(reason, message)) => {
            K::parts(&mut status).errors.clear();
            (Some(Readiness::of(reason, message)), Next::Wait)
        }
        Ok((task, template)) => {
            K::parts(&mut status).errors.clear();
            check(&context, &*object, task, template, &mut status).await?
        }
    };
    let holds_until = object.complete(&context, &mut status);
    let parts = K::parts(&mut status);
    if let Some(readiness) = readiness {
        readiness.set(parts.conditions, &moment(object.meta().generation, context.now()));
        *parts.observed_generation = object.meta().generation;
    }
    write(&context, &*object, status).await?;
    Ok(match (next, until(&context, holds_until)) {
        (Next::After(one), Next::After(other)) => Next::After(one.min(other)),
        (Next::Wait, other) => other,
        (next, Next::Wait) => next,
    })
}

/// Every finding in the status, the first in the condition.
#[must_use]
pub fn of_findings(findings: &[Finding]) -> Readiness {
    let Some(first) = findings.first() else { return Readiness::Stalled(Reason::InvalidSpec, String::new()) };
    let reason = first.code.parse().ok();
    let same = findings.iter().all(|finding| finding.code == first.code);
    let more = match findings.len() {
        1 => String::new(),
        all => format!(" (and {} more in status.errors)", all - 1),
    };
    let reason = reason.filter(|_| same).unwrap_or(Reason::InvalidSpec);
    // Some sentences name their field themselves.
    let field = first.path.strip_prefix("spec.").unwrap_or(&first.path);
    let names_it = [field, &first.path].iter().any(|path| first.message.starts_with(*path));
    let message = if names_it { first.message.clone() } else { format!("{}: {}", first.path, first.message) };
    Readiness::of(reason, message + &more)
}

/// Whether others can use it: its spec has passed its check, or an older spec has that is no other to a check.
#[must_use]
pub fn stands<K: Checked>(context: &Context, object: &K) -> bool {
    let mut status = object.status().cloned().unwrap_or_default();
    let parts = K::parts(&mut status);
    if is_ready(parts.conditions, *parts.observed_generation, object.meta().generation) {
        return true;
    }
    let inputs = || object.task(context).map(|(task, template)| apply::inputs(&task, &template));
    parts.last_check_digest.is_some() && inputs().is_ok_and(|inputs| passed_before(&parts, &inputs).is_some())
}

/// What the condition says of an object that was Ready by a check of the same.
fn passed_before(parts: &Parts<'_>, inputs: &str) -> Option<String> {
    let ready = condition(parts.conditions, ConditionType::Ready).filter(|ready| ready.status == "True")?;
    (parts.last_check_digest.as_deref() == Some(inputs)).then(|| ready.message.clone())
}

async fn check<K: Checked>(
    context: &Context,
    object: &K,
    task: Task,
    template: WorkerTemplate,
    status: &mut K::Status,
) -> Result<(Option<Readiness>, Next), Error> {
    let (namespace, uid) = (object.namespace().unwrap_or_default(), object.uid().unwrap_or_default());
    let generation = object.meta().generation;
    let name = apply::name(K::KIND, &object.name_any(), &uid, generation.unwrap_or_default());
    let inputs = apply::inputs(&task, &template);
    let known = context.runs.jobs_of(&namespace, &uid);
    let key = Key::new(&namespace, &name);
    let expected = known.iter().any(|(job, _)| *job == key);
    let job = run::job(context, &key, &uid, expected).await?;
    let pods = run::pods(context, &key, &job);
    let parts = K::parts(status);
    let was_ready = is_ready(parts.conditions, *parts.observed_generation, generation);
    let begun = *parts.observed_generation == generation;
    let last = parts.last_check_time.clone();
    let passed_before = passed_before(&parts, &inputs);
    let holds = was_ready || passed_before.is_some();
    let settled = holds && last.as_ref().map(|last| last.0) >= object.valid_since(context);
    let view = View {
        name: &name,
        inputs: &inputs,
        job: &job,
        pods: &pods,
        settled,
        falls_short: object.falls_short(context),
        now: context.now(),
    };
    for (old, meta) in known.iter().filter(|(job, meta)| *job != key && !meta.deleting) {
        crate::sync::apply::delete_job(context, &namespace, &old.name, &meta.uid).await?;
    }
    // A failing object keeps saying why, while it is tried again; a new spec is work in progress.
    let in_progress = || {
        let failing = begun && !was_ready && last.is_some();
        (!failing).then(|| Readiness::Reconciling(Reason::CheckInProgress, String::new()))
    };
    let object_key = Key::of(object);
    let (readiness, next) = match decide(&view) {
        Decision::Settled(again) => {
            if again.is_none() {
                context.attempts.forget(K::KIND, &object_key);
            }
            (None, until(context, again))
        }
        Decision::Create => {
            let attempt = context.attempts.next(K::KIND, &object_key, &name);
            let job = apply::Check { name, inputs, attempt, task, template };
            match apply::create(context, object, job).await? {
                None => (in_progress(), Next::After(LOOK_AGAIN)),
                Some((reason, message)) => {
                    (Some(Readiness::NotReady(reason, message)), Next::After(decide::FIRST_PAUSE))
                }
            }
        }
        Decision::Replace { uid, tried } => {
            context.attempts.set(K::KIND, &object_key, &name, tried);
            crate::sync::apply::delete_job(context, &namespace, &name, &uid).await?;
            (in_progress(), Next::After(LOOK_AGAIN))
        }
        Decision::Hold(again) => (in_progress(), until(context, Some(again))),
        Decision::Follow(State::Pending(Some(stuck))) => {
            (Some(Readiness::NotReady(stuck.reason, stuck.message)), Next::After(LOOK_AGAIN))
        }
        Decision::Follow(_) => (in_progress(), Next::After(LOOK_AGAIN)),
        Decision::Failed { reason, message, at, again } => {
            *K::parts(status).last_check_time = at.map(Time);
            (Some(Readiness::of(reason, message)), until(context, Some(again)))
        }
        Decision::Passed { found, at, again } => {
            if again.is_none() {
                context.attempts.forget(K::KIND, &object_key);
            }
            let mut learned = status.clone();
            let message = object.learn(&mut learned, &found);
            // A repeated check that finds the same has checked nothing new: whoever waits for a newer one goes on waiting.
            if !settled || learned != *status {
                *status = learned;
                *K::parts(status).last_check_time = at.map(Time);
            }
            *K::parts(status).last_check_digest = Some(inputs);
            return Ok((Some(Readiness::Ready(Reason::CheckSucceeded, message)), until(context, again)));
        }
    };
    // Others go on using what has passed while its check is repeated.
    let readiness = match (settled, passed_before) {
        (false, _) => readiness,
        (true, Some(message)) if !was_ready => Some(Readiness::Ready(Reason::CheckSucceeded, message)),
        (true, _) => None,
    };
    Ok((readiness, next))
}

/// Looks again at this moment, if there is one.
fn until(context: &Context, again: Option<Timestamp>) -> Next {
    let Some(again) = again else { return Next::Wait };
    let left = Duration::try_from(again.duration_since(context.now())).unwrap_or_default();
    Next::After(left.max(Duration::from_secs(1)))
}

async fn write<K: Checked>(context: &Context, object: &K, mut status: K::Status) -> Result<(), Error> {
    let before = object.status().cloned();
    let Some(written) = crate::status::patch(context, object, &before, &status).await? else { return Ok(()) };
    let mut before = before.unwrap_or_default();
    tell(context, object, K::parts(&mut before).conditions, K::parts(&mut status).conditions);
    triggers::saw(context, written, Origin::Own);
    Ok(())
}

/// Tells people when an object became Ready, and when it did not for a reason of its own.
pub fn tell<K: Observed>(context: &Context, object: &K, before: &[Condition], after: &[Condition]) {
    let (Some(ready), was) = (condition(after, ConditionType::Ready), condition(before, ConditionType::Ready)) else {
        return;
    };
    if was.is_some_and(|was| was.status == ready.status && was.reason == ready.reason) {
        return;
    }
    if ready.status == "True" {
        if was.is_none_or(|was| was.status != "True") {
            context.events.tell(object, Happening::Ready, ready.message.clone());
        }
        return;
    }
    let reason = ready.reason.parse::<Reason>().ok().filter(|_| condition(after, ConditionType::Reconciling).is_none());
    match reason {
        // The order of creation does not matter, so nobody is told about it.
        None
        | Some(
            Reason::SourceNotReady | Reason::ModelNotReady | Reason::DestinationNotReady | Reason::DefinitionNotReady,
        ) => {}
        Some(
            Reason::SourceNotFound | Reason::ModelNotFound | Reason::DestinationNotFound | Reason::MappingNotFound,
        ) => {}
        Some(reason) => context.events.tell(object, Happening::Because(reason), ready.message.clone()),
    }
}

/// How often the check of each object was tried in a row: the name of its Job, and the tries of that.
#[derive(Debug, Default)]
pub struct Attempts(std::sync::Mutex<std::collections::BTreeMap<(Kind, Key), (String, u32)>>);

impl Attempts {
    /// The number of the next attempt.
    fn next(&self, kind: Kind, object: &Key, check: &str) -> u32 {
        let mut attempts = self.lock();
        let (name, attempt) = attempts.entry((kind, object.clone())).or_default();
        if name != check {
            (*name, *attempt) = (check.to_owned(), 0);
        }
        *attempt = attempt.saturating_add(1);
        *attempt
    }

    /// The Job that is taken away says how many there were: more than a controller knows that has just begun.
    fn set(&self, kind: Kind, object: &Key, check: &str, tried: u32) {
        self.lock().insert((kind, object.clone()), (check.to_owned(), tried));
    }

    fn forget(&self, kind: Kind, object: &Key) {
        self.lock().remove(&(kind, object.clone()));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, std::collections::BTreeMap<(Kind, Key), (String, u32)>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The Syncs that run and wait at a Source or Destination.
#[must_use]
pub fn counts(
    context: &Context,
    namespace: &str,
    concerns: impl Fn(&crate::sync::dereference::Needs) -> bool,
) -> (i32, i32) {
    use backflow_crds::v1alpha1::SyncPhase::{Canceling, Queued, Running};
    let (mut active, mut queued) = (0, 0);
    for sync in context.stores.syncs.in_namespace(namespace) {
        if concerns(&crate::sync::dereference::needs(context, &sync)) {
            match sync.status.as_ref().and_then(|status| status.phase) {
                Some(Running | Canceling) => active += 1,
                None | Some(Queued) => queued += 1,
                Some(_) => {}
            }
        }
    }
    (active, queued)
}
