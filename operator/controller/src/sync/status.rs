//! `Sync.status`, from what is known of its run.

use std::collections::BTreeMap;
use std::time::Duration;

use backflow_core::extraction::Resend;
use backflow_core::report::Progress;
use backflow_crds::conditions::{ConditionStatus, ConditionType, Readiness, remove, set};
use backflow_crds::reasons::Reason;
use backflow_crds::v1alpha1::{self as api, ErrorCount, Finding, Sync, SyncPhase, SyncStatus};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::labels;
use crate::status::moment;
use crate::sync::outcome::Ending;

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
        self.status.errors = findings.iter().take(backflow_plan::ERRORS_MAX).map(error_of).collect();
        self.ends(SyncPhase::Failed, reason, message.to_owned(), None);
    }

    /// It was stopped before it began.
    pub fn canceled_in_queue(&mut self) {
        self.ends(SyncPhase::Canceled, Reason::Canceled, "it was canceled before it began".into(), None);
    }

    /// Its run has ended. `frozen`: what the Job's annotations say of the checkpoint.
    pub fn ended(&mut self, ending: &Ending, frozen: &BTreeMap<String, String>) {
        let result = ending.ended.result.as_ref();
        self.resend = result.and_then(|result| result.findings.as_ref()).and_then(|found| found.resend);
        let said = backflow_plan::sync_status(&ending.ended);
        let kept = std::mem::take(&mut self.status);
        let placed = |checkpoint: api::Checkpoint| api::Checkpoint {
            fingerprint: frozen.get(labels::IDENTITY).cloned(),
            location: frozen.get(labels::LOCATION).cloned(),
            ..checkpoint
        };
        self.status = SyncStatus {
            observed_generation: kept.observed_generation,
            conditions: kept.conditions,
            job_name: kept.job_name,
            started_at: kept.started_at,
            checkpoint_before: said.checkpoint_before.map(placed),
            checkpoint_after: said.checkpoint_after.map(placed),
            ..said
        };
        let phase = self.status.phase.filter(|phase| phase.is_finished()).unwrap_or(SyncPhase::Failed);
        let reason = self.status.reason.as_deref().and_then(|reason| reason.parse().ok()).unwrap_or(Reason::Internal);
        let message = ending.ended.failure.as_ref().map_or_else(|| self.summary(), |(_, message)| message.clone());
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
        // Of a run that succeeded in part, the rest is the Mapping's next one: no deployment fails for a row that is rejected.
        let well = matches!(phase, SyncPhase::Succeeded | SyncPhase::PartiallySucceeded);
        let readiness = Readiness::ended(well, reason, message.clone());
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

fn error_of(finding: &Finding) -> ErrorCount {
    let message = backflow_core::code::cut(finding.message.clone(), backflow_plan::MESSAGE_MAX);
    let field = backflow_core::code::cut(finding.path.clone(), backflow_plan::FIELD_MAX);
    ErrorCount { code: finding.code.clone(), field: Some(field), count: 0, message }
}

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
