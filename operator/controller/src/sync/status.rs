//! `Sync.status`, from what is known of its run.

use std::collections::BTreeMap;
use std::time::Duration;

use backflow_core::extraction::{Checkpoint, Resend};
use backflow_core::report::Progress;
use backflow_core::result::{Phase, RunResult};
use backflow_crds::conditions::{ConditionStatus, ConditionType, Readiness, remove, set};
use backflow_crds::reasons::Reason;
use backflow_crds::v1alpha1::{self as api, ErrorCount, Finding, Sync, SyncPhase, SyncStatus};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::labels;
use crate::status::moment;
use crate::sync::outcome::Ending;

/// Code under which records are counted that were rejected before and did not change.
pub const STILL_REJECTED: &str = "StillRejected";
/// Code under which rows without a whole key are counted.
pub const NULL_KEY: &str = "NULL_KEY";
/// Code under which rows are counted that share a key.
pub const DUPLICATE_KEY: &str = "DUPLICATE_KEY";
/// The longest message of a line of errors, in bytes.
const MESSAGE_MAX: usize = 1024;
/// The most lines of errors that a status has.
const ERRORS_MAX: usize = 10;

/// The longest text of what a Sync waits for, in bytes.
const BEHIND_MAX: usize = 512;

/// A status in the making.
#[derive(Debug)]
pub struct Draft {
    /// As it will be written.
    pub status: SyncStatus,
    /// Why rows that did not change were sent.
    pub resend: Option<Resend>,
    generation: Option<i64>,
    now: Timestamp,
}

impl Draft {
    /// Begins with what the Sync has.
    #[must_use]
    pub fn of(sync: &Sync, now: Timestamp) -> Self {
        let mut status = sync.status.clone().unwrap_or_default();
        status.observed_generation = sync.metadata.generation;
        Self { status, resend: None, generation: sync.metadata.generation, now }
    }

    /// It waits.
    pub fn waits(&mut self, reason: Reason, behind: &str) {
        self.status.phase = Some(SyncPhase::Queued);
        self.status.reason = Some(reason.to_string());
        self.status.queued_behind = Some(backflow_core::code::cut(behind.to_owned(), BEHIND_MAX));
        let message = format!("waits: {behind}");
        self.open(match reason {
            Reason::Queued => Readiness::Reconciling(reason, message),
            _ => Readiness::of(reason, message),
        });
    }

    /// Its Job exists.
    pub fn runs(&mut self, job: &str, since: Option<Timestamp>, canceling: bool) {
        let reason = if canceling { Reason::Canceling } else { Reason::Running };
        self.status.phase = Some(if canceling { SyncPhase::Canceling } else { SyncPhase::Running });
        self.status.reason = Some(reason.to_string());
        self.status.job_name = Some(job.to_owned());
        self.status.queued_behind = None;
        if self.status.started_at.is_none() {
            self.status.started_at = since.or(Some(self.now)).map(Time);
        }
        self.open(Readiness::Reconciling(reason, String::new()));
    }

    /// Its pod does not begin: says why, while there is hope.
    pub fn waits_for_pod(&mut self, reason: Reason, message: &str) {
        self.status.reason = Some(reason.to_string());
        self.open(Readiness::NotReady(reason, message.to_owned()));
    }

    /// How far it is.
    pub fn progress(&mut self, progress: &Progress) {
        self.status.progress = Some(api::Progress {
            stage: format!("{:?}", progress.stage),
            done: count(progress.done),
            total: Some(count(progress.total)).filter(|total| *total > 0),
            rows_per_second: Some(progress.rows_per_second.max(0.0).round() as i64),
        });
    }

    /// It can never run.
    pub fn refused(&mut self, reason: Reason, message: &str, findings: &[Finding]) {
        self.status.errors = findings.iter().take(ERRORS_MAX).map(error_of).collect();
        self.ends(SyncPhase::Failed, reason, message.to_owned(), None);
    }

    /// It was stopped before it began.
    pub fn canceled_in_queue(&mut self) {
        self.ends(SyncPhase::Canceled, Reason::Canceled, "it was canceled before it began".into(), None);
    }

    /// Its run has ended. `frozen`: what the Job's annotations say of the checkpoint.
    pub fn ended(&mut self, ending: &Ending, frozen: &BTreeMap<String, String>) {
        if let Some(result) = &ending.result {
            self.counts(result, frozen);
        }
        let (phase, fine) = match ending.phase {
            Phase::Succeeded => (SyncPhase::Succeeded, Reason::Succeeded),
            Phase::PartiallySucceeded => (SyncPhase::PartiallySucceeded, Reason::PartiallySucceeded),
            Phase::Canceled => (SyncPhase::Canceled, Reason::Canceled),
            Phase::Failed | Phase::Running => (SyncPhase::Failed, Reason::ResultLost),
        };
        let (reason, message) = ending.failure.clone().unwrap_or_else(|| (fine, self.summary()));
        if phase == SyncPhase::Failed && self.status.errors.is_empty() {
            // The cluster's own sentences have any length.
            let message = backflow_core::code::cut(message.clone(), MESSAGE_MAX);
            let error = ErrorCount { code: reason.to_string(), field: None, count: 0, message };
            self.status.errors = vec![error];
        }
        self.ends(phase, reason, message, ending.at);
        let withheld = self.status.withheld_deletes.unwrap_or_default();
        let at = moment(self.generation, self.now);
        let text =
            format!("{withheld} deletions wait; if they are meant, create a Sync with approveDeletes: {withheld}");
        set(
            &mut self.status.conditions,
            ConditionType::DeletesWithheld,
            (withheld > 0).into(),
            Reason::DeletesWithheld,
            &text,
            &at,
        );
    }

    fn ends(&mut self, phase: SyncPhase, reason: Reason, message: String, at: Option<Timestamp>) {
        let status = &mut self.status;
        status.phase = Some(phase);
        status.reason = Some(reason.to_string());
        status.queued_behind = None;
        status.progress = None;
        // The clocks of node and controller differ: it did not end before it began.
        let begin = status.started_at.as_ref().map(|start| start.0);
        let end = at.unwrap_or(self.now).max(begin.unwrap_or(Timestamp::MIN));
        status.finished_at = Some(Time(end));
        status.duration = begin.map(|begin| {
            let took = Duration::try_from(end.duration_since(begin)).unwrap_or_default();
            backflow_core::duration::format_duration(took)
        });
        let well = matches!(phase, SyncPhase::Succeeded | SyncPhase::PartiallySucceeded);
        let readiness =
            if well { Readiness::Ready(reason, message.clone()) } else { Readiness::of(reason, message.clone()) };
        let now = moment(self.generation, self.now);
        let conditions = &mut self.status.conditions;
        set(conditions, ConditionType::Complete, ConditionStatus::True, reason, &message, &now);
        set(conditions, ConditionType::Succeeded, (phase == SyncPhase::Succeeded).into(), reason, &message, &now);
        readiness.set(conditions, &now);
    }

    /// Conditions of a Sync that has not ended.
    fn open(&mut self, readiness: Readiness) {
        let (reason, message) = match &readiness {
            Readiness::Ready(reason, message)
            | Readiness::Reconciling(reason, message)
            | Readiness::NotReady(reason, message)
            | Readiness::Stalled(reason, message) => (*reason, message.clone()),
        };
        let now = moment(self.generation, self.now);
        let conditions = &mut self.status.conditions;
        remove(conditions, ConditionType::DeletesWithheld);
        set(conditions, ConditionType::Complete, ConditionStatus::False, reason, &message, &now);
        set(conditions, ConditionType::Succeeded, ConditionStatus::Unknown, reason, &message, &now);
        readiness.set(conditions, &now);
    }

    fn counts(&mut self, result: &RunResult, frozen: &BTreeMap<String, String>) {
        let (status, counters) = (&mut self.status, &result.counters);
        if let Some(found) = &result.findings {
            self.resend = found.resend;
            status.extracted = Some(api::Extracted {
                added: count(found.added),
                updated: count(found.updated),
                deleted: count(found.deleted),
                invalid: count(found.invalid()),
            });
        }
        status.delivered = Some(api::Delivered {
            inserted: count(counters.inserted),
            updated: count(counters.updated),
            upserted: count(counters.upserted),
            deleted: count(counters.deleted),
        });
        status.rejected = Some(count(counters.rejected));
        status.retrying = Some(count(counters.retrying));
        status.withheld_deletes = Some(count(counters.withheld));
        status.skipped = Some(count(counters.skipped()));
        status.requests = Some(count(counters.requests));
        status.bytes = Some(count(counters.bytes));
        status.checkpoint_before =
            result.checkpoint_before.as_ref().map(|checkpoint| self::checkpoint(checkpoint, frozen));
        status.checkpoint_after =
            result.checkpoint_after.as_ref().map(|checkpoint| self::checkpoint(checkpoint, frozen));
        status.errors = errors(result);
    }

    /// A run in one line.
    #[must_use]
    pub fn summary(&self) -> String {
        let found = self.status.extracted.unwrap_or_default();
        let sent = self.status.delivered.unwrap_or_default();
        let mut text = format!(
            "{} added, {} updated, {} deleted; {} delivered",
            found.added,
            found.updated,
            found.deleted,
            sent.inserted + sent.updated + sent.upserted + sent.deleted
        );
        for (count, what) in [
            (self.status.rejected, "rejected"),
            (self.status.retrying, "left for the next run"),
            (self.status.withheld_deletes, "deletions withheld"),
            (self.status.skipped, "skipped"),
            (Some(found.invalid), "without a key of their own"),
        ] {
            if let Some(count) = count.filter(|count| *count > 0) {
                text.push_str(&format!(", {count} {what}"));
            }
        }
        match self.resend {
            Some(Resend::MappingChanged) => text.push_str("; every row was sent again because the Mapping was edited"),
            Some(Resend::Full) => text.push_str("; every row was sent again because a Full run asked for it"),
            Some(Resend::Replay) => text.push_str("; the rows of a Replay were sent again"),
            None => {}
        }
        text
    }
}

fn errors(result: &RunResult) -> Vec<ErrorCount> {
    let found = result.findings.clone().unwrap_or_default();
    let ours = [
        (
            STILL_REJECTED,
            result.counters.still_rejected,
            "rejected before and unchanged since, so not sent again; mend the rows or the Mapping, or create a Sync with retryRejected",
        ),
        (NULL_KEY, found.invalid_null_key, "rows with a NULL in the primary key are not sent; give each row a key"),
        (DUPLICATE_KEY, found.invalid_duplicate_key, "rows that share a primary key are not sent; make the key unique"),
    ];
    let ours = ours
        .into_iter()
        .filter(|(code, count, _)| *count > 0 && !result.errors.iter().any(|error| error.code == *code));
    let ours = ours.map(|(code, number, message)| ErrorCount {
        code: code.into(),
        field: None,
        count: count(number),
        message: message.into(),
    });
    let theirs = result.errors.iter().map(|error| ErrorCount {
        code: error.code.clone(),
        field: error.field.clone(),
        count: count(error.count),
        message: error.message.clone(),
    });
    // Ours first: the Mapping's health is read from them.
    ours.chain(theirs).take(ERRORS_MAX).collect()
}

fn error_of(finding: &Finding) -> ErrorCount {
    let message = backflow_core::code::cut(finding.message.clone(), MESSAGE_MAX);
    let field = backflow_core::code::cut(finding.path.clone(), 512);
    ErrorCount { code: finding.code.clone(), field: Some(field), count: 0, message }
}

fn checkpoint(checkpoint: &Checkpoint, frozen: &BTreeMap<String, String>) -> api::Checkpoint {
    api::Checkpoint {
        rows: Some(count(checkpoint.rows)),
        committed_at: checkpoint.committed_at.as_ref().and_then(|at| at.parse().ok()).map(Time),
        sync_name: checkpoint.sync_name.clone(),
        fingerprint: frozen.get(labels::IDENTITY).cloned(),
        location: frozen.get(labels::LOCATION).cloned(),
    }
}

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
