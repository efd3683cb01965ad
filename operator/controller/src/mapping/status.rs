//! `Mapping.status`: the schedule's part, and what ended Syncs say.

use backflow_core::decide::{Baseline, ScheduleStatus};
use backflow_crds::conditions::{ConditionStatus, ConditionType, set};
use backflow_crds::reasons::Reason;
use backflow_crds::v1alpha1::{
    ActiveSync, Finding, LastSync, Mapping, MappingStatus, RunMode, ScheduleBaseline, Sync, SyncPhase, SyncStatus,
};
use backflow_plan::STILL_REJECTED;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;

use crate::status::{condition, moment};
use crate::sync::is_by_controller;

/// Mark behind the hash of a baseline that was written while somebody was suspended: the next decision sees the resume, also after
/// a restart.
const SUSPENDED: &str = "-suspended";
/// The longest token of a request that a status holds.
const TOKEN_MAX: usize = 256;

/// What only a person can decide: scheduled runs would end the same way until then.
#[must_use]
pub fn awaits_a_person(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::IdentityChanged
            | Reason::PrimaryKeyChanged
            | Reason::DiffChanged
            | Reason::StateOwnedElsewhere
            | Reason::StateTooNew
            | Reason::StateDamaged
    )
}

/// Why no scheduled run starts since the last one, unless somebody has acted: edited the Mapping, or something that it refers to,
/// which shows as a newer check; or decided by a Sync of their own, which shows as a last run that ended otherwise.
#[must_use]
pub fn held(
    status: &MappingStatus,
    generation: Option<i64>,
    last_check: Option<Timestamp>,
) -> Option<(Reason, String)> {
    let stalled = condition(&status.conditions, ConditionType::Stalled)?;
    let reason = stalled.reason.parse().ok().filter(|reason| awaits_a_person(*reason))?;
    let last = condition(&status.conditions, ConditionType::LastSyncSucceeded)?;
    last.reason.parse().ok().filter(|reason| awaits_a_person(*reason))?;
    let edited = stalled.observed_generation != generation;
    let ended = status.last_sync.as_ref().and_then(|last| last.finished_at.as_ref()).map(|time| time.0);
    (!edited && last_check <= ended).then(|| (reason, stalled.message.clone()))
}

/// Whether a field names a column that the Model was not seen to have. The table may get it.
#[must_use]
pub fn lacks_a_column(mapping: &Mapping) -> bool {
    let Some(status) = &mapping.status else { return false };
    let unknown = |finding: &Finding| finding.code == Reason::UnknownColumn.as_str();
    status.observed_generation == mapping.metadata.generation && status.errors.iter().any(unknown)
}

/// The schedule's part of a status.
#[must_use]
pub fn recorded(status: Option<&MappingStatus>) -> ScheduleStatus {
    let Some(status) = status else { return ScheduleStatus::default() };
    let baseline = status.schedule_baseline.as_ref();
    ScheduleStatus {
        last_schedule_time: status.last_schedule_time.as_ref().map(|time| time.0),
        next_schedule_time: status.next_schedule_time.as_ref().map(|time| time.0),
        suspended: baseline.is_some_and(|baseline| baseline.hash.ends_with(SUSPENDED)),
        baseline: baseline.and_then(|baseline| {
            let hash = baseline.hash.strip_suffix(SUSPENDED).unwrap_or(&baseline.hash).to_owned();
            Some(Baseline { hash, since: baseline.since.as_ref()?.0 })
        }),
        last_handled_request: status.last_handled_request.clone(),
        missed_slots: status.missed_slots.and_then(|slots| u64::try_from(slots).ok()).unwrap_or_default(),
        effective_schedule: status.effective_schedule.clone(),
    }
}

/// Writes the schedule's part.
pub fn record(status: &mut MappingStatus, schedule: &ScheduleStatus) {
    status.last_schedule_time = schedule.last_schedule_time.map(Time);
    status.next_schedule_time = schedule.next_schedule_time.map(Time);
    status.schedule_baseline = schedule.baseline.as_ref().map(|baseline| ScheduleBaseline {
        hash: format!("{}{}", baseline.hash, if schedule.suspended { SUSPENDED } else { "" }),
        since: Some(Time(baseline.since)),
    });
    status.last_handled_request.clone_from(&schedule.last_handled_request);
    status.missed_slots = Some(i64::try_from(schedule.missed_slots).unwrap_or(i64::MAX)).filter(|slots| *slots > 0);
    status.effective_schedule = schedule.effective_schedule.clone().map(|words| backflow_core::code::cut(words, 256));
}

/// The value of the annotation that asks for a run, as long as a status can echo.
#[must_use]
pub fn token(value: &str) -> &str {
    &value[..value.floor_char_boundary(TOKEN_MAX)]
}

/// The Sync that runs, or else the one that waits longest.
pub fn active(status: &mut MappingStatus, open: &[std::sync::Arc<Sync>]) {
    let rank = |sync: &Sync| {
        let running = sync.status.as_ref().is_some_and(|status| status.started_at.is_some());
        (!running, sync.creation_timestamp(), sync.name_any())
    };
    let sync = open.iter().min_by_key(|sync| rank(sync));
    status.active = sync.map(|sync| ActiveSync { name: sync.name_any(), since: sync.creation_timestamp() });
}

/// Whether a Sync is part of the Mapping's history: it was meant to move the checkpoint, and it ran. One of the schedule's own also
/// counts if the cluster refused its Job: a Mapping whose runs cannot start must not look healthy.
#[must_use]
pub fn counts(sync: &Sync) -> bool {
    let moves = matches!(sync.spec.mode, RunMode::Incremental | RunMode::Full | RunMode::Reset | RunMode::Replay);
    let Some(status) = sync.status.as_ref().filter(|status| status.is_finished()) else { return false };
    let refused = status.phase == Some(SyncPhase::Failed) && is_by_controller(sync);
    moves && (status.started_at.is_some() || refused)
}

/// Takes over what ended Syncs say that the status does not have yet, the oldest first. Returns those that were new.
pub fn fold<'a>(mapping: &Mapping, status: &mut MappingStatus, syncs: &'a [Sync], now: Timestamp) -> Vec<&'a Sync> {
    let end = |sync: &Sync| sync.status.as_ref().and_then(|status| status.finished_at.as_ref()).map(|time| time.0);
    let last = status.last_sync.as_ref();
    let known = last.map(|last| (last.finished_at.as_ref().map(|time| time.0), last.name.clone()));
    let mut new: Vec<&Sync> = syncs
        .iter()
        .filter(|sync| counts(sync))
        .filter(|sync| known.as_ref().is_none_or(|known| (end(sync), sync.name_any()) > *known))
        .collect();
    new.sort_by_key(|sync| (end(sync), sync.name_any()));
    for sync in &new {
        if let Some(ended) = &sync.status {
            fold_one(mapping, status, sync, ended, now);
        }
    }
    new
}

fn fold_one(mapping: &Mapping, status: &mut MappingStatus, sync: &Sync, ended: &SyncStatus, now: Timestamp) {
    let name = sync.name_any();
    status.last_sync = Some(LastSync {
        name: name.clone(),
        mode: Some(sync.spec.mode),
        phase: ended.phase,
        started_at: ended.started_at.clone(),
        finished_at: ended.finished_at.clone(),
        extracted: ended.extracted,
        delivered: ended.delivered,
        rejected: ended.rejected,
        withheld: ended.withheld_deletes,
    });
    let reason = ended.reason.as_deref().and_then(|reason| reason.parse::<Reason>().ok()).unwrap_or(Reason::Internal);
    // A run that was refused by the state read it, and moved nothing.
    if !awaits_a_person(reason)
        && let Some(checkpoint) = &ended.checkpoint_after
    {
        status.checkpoint = Some(checkpoint.clone());
    }
    match ended.phase {
        Some(SyncPhase::Failed) => {
            status.consecutive_failures = Some(status.consecutive_failures.unwrap_or_default().saturating_add(1));
        }
        Some(SyncPhase::Succeeded | SyncPhase::PartiallySucceeded) => {
            status.consecutive_failures = Some(0);
        }
        _ => {}
    }
    if ended.phase == Some(SyncPhase::Succeeded) {
        status.last_successful_time = ended.finished_at.clone();
    }
    data_conditions(mapping, status, &name, ended, reason, now);
}

fn data_conditions(
    mapping: &Mapping,
    status: &mut MappingStatus,
    name: &str,
    ended: &SyncStatus,
    reason: Reason,
    now: Timestamp,
) {
    let at = moment(mapping.metadata.generation, now);
    let said = condition(&ended.conditions, ConditionType::Complete)
        .map(|complete| complete.message.clone())
        .unwrap_or_default();
    let message = format!("Sync {name}: {said}");
    let succeeded = ended.phase == Some(SyncPhase::Succeeded);
    set(&mut status.conditions, ConditionType::LastSyncSucceeded, succeeded.into(), reason, &message, &at);
    // A run that ended before it had compared says nothing about rows.
    let Some(found) = ended.extracted else { return };
    let still = ended.errors.iter().find(|error| error.code == STILL_REJECTED).map_or(0, |error| error.count);
    let rejected = ended.rejected.unwrap_or_default() + still;
    let healthy = rejected + found.invalid == 0;
    let message = match (rejected, found.invalid) {
        (0, 0) => String::new(),
        (rejected, 0) => format!("{rejected} records are rejected; status.errors of Sync {name} says why"),
        (0, invalid) => {
            format!("{invalid} rows have no key of their own and are not sent; status.errors of Sync {name} says why")
        }
        (rejected, invalid) => format!(
            "{rejected} records are rejected, and {invalid} rows have no key of their own; status.errors of Sync {name} says why"
        ),
    };
    let reason = if healthy { Reason::AllDelivered } else { Reason::RowsRejected };
    set(&mut status.conditions, ConditionType::Healthy, healthy.into(), reason, &message, &at);
    let withheld = ended.withheld_deletes.unwrap_or_default();
    let message = format!(
        "{withheld} deletions of Sync {name} wait; if they are meant, create a Sync of this Mapping with approveDeletes: {withheld}"
    );
    set(
        &mut status.conditions,
        ConditionType::DeletesWithheld,
        (withheld > 0).into(),
        Reason::DeletesWithheld,
        &message,
        &at,
    );
}

/// Conditions of a Mapping that has not run yet.
pub fn before_the_first_run(status: &mut MappingStatus, generation: Option<i64>, now: Timestamp) {
    if condition(&status.conditions, ConditionType::LastSyncSucceeded).is_none() {
        let at = moment(generation, now);
        set(
            &mut status.conditions,
            ConditionType::LastSyncSucceeded,
            ConditionStatus::Unknown,
            Reason::NoRunYet,
            "",
            &at,
        );
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
