//! Mapping: creates a Sync at each slot, keeps account of those that ended, and forgets the oldest.

pub mod apply;
pub mod decide;
pub mod dereference;
pub mod status;

use std::sync::Arc;
use std::time::Duration;

use backflow_core::decide::{Action, Decision, ScheduleEvent, SyncView, Trigger, View};
use backflow_crds::conditions::Readiness;
use backflow_crds::reasons::Reason;
use backflow_crds::v1alpha1::{Mapping, MappingStatus, REQUESTED_AT, Sync, SyncPhase};
use kube::ResourceExt as _;

use crate::check::tell;
use crate::context::Context;
use crate::error::Error;
use crate::events::Happening;
use crate::mapping::decide::{Standing, judge, upstream, view};
use crate::queue::Next;
use crate::status::moment;
use crate::store::Key;
use crate::triggers::{self, Origin};

/// Names that are found taken in one look; more are left for the next.
const COLLISIONS: usize = 3;
/// So long a Sync may take to be looked at, before its Mapping's status says that it is there.
const STARTS: Duration = Duration::from_secs(10);

/// Looks at one Mapping.
///
/// # Errors
/// If the API server does not do what it is asked.
pub async fn reconcile(context: Arc<Context>, key: Key) -> Result<Next, Error> {
    let Some(mapping) = context.stores.mappings.get(&key) else { return deleted(&context, &key).await };
    if mapping.metadata.deletion_timestamp.is_some() {
        return Ok(Next::Wait);
    }
    let marked = context.unfolded.take(&key);
    let result = look(&context, &mapping, marked).await;
    if result.is_err() && marked {
        context.unfolded.set(key);
    }
    result
}

async fn look(context: &Context, mapping: &Mapping, marked: bool) -> Result<Next, Error> {
    let references = dereference::references(context, mapping);
    let open = dereference::open_syncs(context, mapping);
    let namespace = mapping.namespace().unwrap_or_default();
    let name = mapping.name_any();
    let now = context.now();
    let mut status = mapping.status.clone().unwrap_or_default();
    let ended = if marked || must_list(mapping, &open) {
        let all = dereference::all_syncs(context, &namespace, &name).await?;
        all.into_iter().filter(|sync| sync.status.as_ref().is_some_and(|status| status.is_finished())).collect()
    } else {
        Vec::new()
    };
    let folded = status::fold(mapping, &mut status, &ended, now);
    // Judged with what has just been learned: the checkpoint may have another identity now.
    let judged = Mapping { status: Some(status.clone()), ..mapping.clone() };
    let mut standing = judge(&judged, &references);
    stall(&mut standing, &folded);
    let recorded = status::recorded(Some(&status));
    let upstream = upstream(references.upstream.as_ref().and_then(|upstream| upstream.status.as_ref()));
    let mut others: Vec<Sync> = Vec::new();
    let decision = loop {
        let known = open.iter().map(|sync| &**sync).chain(&ended).chain(&others);
        let syncs: Vec<SyncView<'_>> = known.map(|sync| view(mapping, sync)).collect();
        let uid = mapping.uid().unwrap_or_default();
        let decision = backflow_core::decide::decide(
            &View {
                mapping: &name,
                uid: &uid,
                created_at: mapping.creation_timestamp().map(|time| time.0).unwrap_or(now),
                schedule: standing.schedule.as_ref(),
                runnable: standing.is_fit(),
                suspended: standing.suspended,
                requested_at: mapping.annotations().get(REQUESTED_AT).map(|value| status::token(value)),
                recorded: &recorded,
                syncs: &syncs,
                upstream: upstream.as_slice(),
            },
            (context.clock)(),
        );
        let Action::Start(new) = &decision.action else { break decision };
        match apply::create(context, mapping, new).await? {
            Some(created) => {
                let because = match new.trigger {
                    Trigger::Schedule => "for its slot",
                    Trigger::Manual => "as was asked",
                    Trigger::After => "after the run of the Mapping that it follows",
                };
                context.events.tell(mapping, Happening::SyncCreated, format!("created Sync {} {because}", new.name));
                // As a watch would: it is new to everybody.
                triggers::saw(context, created, Origin::Watch);
                break decision;
            }
            None if others.len() >= COLLISIONS => return Err(Error::Conflict(format!("Sync {}", new.name))),
            None => match apply::present(context, &namespace, &new.name).await? {
                Some(present) => others.push(present),
                None => return Err(Error::Conflict(format!("Sync {}", new.name))),
            },
        }
    };
    let open = dereference::open_syncs(context, mapping);
    let quiet = ended.is_empty() && !marked && decision.events.is_empty();
    if quiet && open.iter().any(|sync| starts(context, sync)) {
        return Ok(Next::After(STARTS));
    }
    status::active(&mut status, &open);
    let next = next(context, &decision);
    write(context, mapping, status, standing, decision, &folded).await?;
    // Only what the status has taken over may go.
    prune(context, mapping, &ended).await?;
    Ok(next)
}

/// It was created a moment ago, and nobody has looked at it yet. Of many that are due in the same second, each starts before a status
/// says so of any.
fn starts(context: &Context, sync: &Sync) -> bool {
    let created = sync.creation_timestamp().map(|time| context.now().duration_since(time.0).unsigned_abs());
    sync.status.as_ref().is_none_or(|status| status.phase.is_none()) && created.is_some_and(|age| age < STARTS)
}

/// The status may not know of everything that has ended, or the limits of what is kept may have changed.
fn must_list(mapping: &Mapping, open: &[Arc<Sync>]) -> bool {
    let Some(status) = &mapping.status else { return true };
    let active = status.active.as_ref();
    status.observed_generation != mapping.metadata.generation
        || active.is_some_and(|active| open.iter().all(|sync| sync.name_any() != active.name))
}

/// What the newest ended run says that only a person can mend.
fn stall(standing: &mut Standing, folded: &[&Sync]) {
    let Some(ended) = folded.last().and_then(|sync| sync.status.as_ref()) else { return };
    let reason = ended.reason.as_deref().and_then(|reason| reason.parse::<Reason>().ok());
    let Some(reason) = reason.filter(|reason| status::awaits_a_person(*reason)) else {
        return;
    };
    if standing.is_fit() {
        let message = ended.errors.first().map(|error| error.message.clone()).unwrap_or_default();
        standing.readiness = Readiness::Stalled(reason, message);
    }
}

async fn prune(context: &Context, mapping: &Mapping, ended: &[Sync]) -> Result<(), Error> {
    let views: Vec<SyncView<'_>> = ended.iter().map(|sync| view(mapping, sync)).collect();
    let limit = |limit: i32| usize::try_from(limit).unwrap_or_default();
    let runs = &mapping.spec.runs;
    let doomed = backflow_core::decide::prune(&views, limit(runs.successful_limit), limit(runs.failed_limit));
    for name in doomed {
        if let Some(sync) = ended.iter().find(|sync| sync.name_any() == name) {
            apply::delete(context, sync).await?;
        }
    }
    Ok(())
}

fn next(context: &Context, decision: &Decision) -> Next {
    match decision.wake_at {
        None => Next::Wait,
        Some(at) => {
            let left = at.duration_since((context.clock)());
            Next::After(Duration::try_from(left).unwrap_or_default())
        }
    }
}

async fn write(
    context: &Context,
    mapping: &Mapping,
    mut status: MappingStatus,
    standing: Standing,
    decision: Decision,
    folded: &[&Sync],
) -> Result<(), Error> {
    let generation = mapping.metadata.generation;
    let before = mapping.status.clone().unwrap_or_default();
    let missed = decision.status.missed_slots.saturating_sub(status::recorded(Some(&before)).missed_slots);
    status::record(&mut status, &decision.status);
    status::before_the_first_run(&mut status, generation, context.now());
    status.errors = standing.findings;
    status.observed_generation = generation;
    let readiness = match &decision.collision {
        Some(name) if matches!(standing.readiness, Readiness::Ready(..)) => {
            let message = format!("a Sync \"{name}\" exists and is not this Mapping's; delete it");
            Readiness::NotReady(Reason::NameCollision, message)
        }
        _ => standing.readiness,
    };
    readiness.set(&mut status.conditions, &moment(generation, context.now()));
    let Some(written) = crate::status::patch(context, mapping, &mapping.status, &status).await? else { return Ok(()) };
    context.metrics.missed(missed);
    tell(context, mapping, &before.conditions, &status.conditions);
    for event in &decision.events {
        let happening = match event {
            ScheduleEvent::NameCollision { .. } => Happening::Because(Reason::NameCollision),
            ScheduleEvent::MissedSlots { .. } => Happening::MissedSlots,
            ScheduleEvent::MissSchedule { .. } => Happening::MissSchedule,
        };
        context.events.tell(mapping, happening, event.to_string());
    }
    for sync in folded {
        tell_of(context, mapping, sync);
    }
    triggers::saw(context, written, Origin::Own);
    Ok(())
}

/// What a Mapping's owner should not have to look for in its Syncs.
fn tell_of(context: &Context, mapping: &Mapping, sync: &Sync) {
    let Some(ended) = &sync.status else { return };
    let name = sync.name_any();
    let said = crate::status::condition(&ended.conditions, backflow_crds::conditions::ConditionType::Complete);
    let said = said.map(|complete| complete.message.clone()).unwrap_or_default();
    let happening = match ended.phase {
        Some(SyncPhase::Failed) => Happening::SyncFailed,
        Some(SyncPhase::PartiallySucceeded) => Happening::SyncPartiallySucceeded,
        Some(SyncPhase::Canceled) => Happening::SyncCanceled,
        _ => Happening::SyncSucceeded,
    };
    context.events.tell(mapping, happening, format!("Sync {name}: {said}"));
    let withheld = ended.withheld_deletes.unwrap_or_default();
    if withheld > 0 {
        let note =
            format!("Sync {name} held back {withheld} deletions; a Sync with approveDeletes: {withheld} sends them");
        context.events.tell(mapping, Happening::Because(Reason::DeletesWithheld), note);
    }
}

/// A Mapping is gone. Its own Syncs go by their owner reference; those that people made have none.
async fn deleted(context: &Context, key: &Key) -> Result<Next, Error> {
    if !context.deleted.take(key) {
        // Syncs may name a Mapping that never was; when it comes, its Syncs are listed anyway.
        context.unfolded.take(key);
        return Ok(Next::Wait);
    }
    let result = async {
        let api = context.api::<Mapping>(&key.namespace);
        if api.get_metadata_opt(&key.name).await.map_err(Error::api("get of a Mapping"))?.is_some() {
            return Ok(());
        }
        for sync in dereference::all_syncs(context, &key.namespace, &key.name).await? {
            if sync.metadata.deletion_timestamp.is_none() {
                apply::delete(context, &sync).await?;
            }
        }
        Ok(())
    };
    let result: Result<(), Error> = result.await;
    if result.is_err() {
        context.deleted.set(key.clone());
    }
    result.map(|()| Next::Wait)
}
