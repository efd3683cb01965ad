//! What the runs did: a table and the sentences of what went wrong, or JSON.

use std::time::Duration;

use backflow_core::plan::Plan;
use backflow_core::result::RunResult;
use backflow_crds::v1alpha1::{Estimate, SyncPhase, SyncStatus};
use serde::Serialize;

use crate::args::Mode;
use crate::console::Console;
use crate::exit;
use crate::manifests::Resource;

/// One run that ended.
pub(crate) struct Ran {
    line: Line,
    took: Duration,
}

/// A run as JSON: what it was, and the fields of a Sync's status.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Line {
    name: String,
    namespace: String,
    mapping: String,
    mode: String,
    #[serde(flatten)]
    status: SyncStatus,
}

impl Ran {
    pub(crate) fn new(mapping: &Resource, plan: &Plan, mode: Mode, took: Duration, result: RunResult) -> Self {
        let line = Line {
            name: plan.run.clone(),
            namespace: mapping.namespace.clone(),
            mapping: mapping.name.clone(),
            mode: format!("{mode:?}"),
            status: backflow_plan::sync_status(&result.into()),
        };
        Self { line, took }
    }

    pub(crate) fn line(&self) -> &Line {
        &self.line
    }

    pub(crate) fn mapping(&self) -> &str {
        &self.line.mapping
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.line.namespace
    }

    pub(crate) fn phase(&self) -> SyncPhase {
        self.line.status.phase.unwrap_or(SyncPhase::Failed)
    }

    /// Whether those that follow it run: it delivered something, or had nothing to do.
    pub(crate) fn went_on(&self) -> bool {
        matches!(self.phase(), SyncPhase::Succeeded | SyncPhase::PartiallySucceeded)
    }

    /// In a pipe, when it ends.
    pub(crate) fn sentence(&self) -> String {
        let delivered = self.line.status.delivered.unwrap_or_default();
        let records = delivered.inserted + delivered.updated + delivered.upserted + delivered.deleted;
        format!("{:?}, {records} delivered in {}", self.phase(), seconds(self.took))
    }

    fn row(&self) -> [String; 8] {
        let status = &self.line.status;
        let extracted = status.extracted;
        let count = |count: Option<i64>| count.map_or_else(|| "-".to_owned(), |count| count.to_string());
        [
            self.line.mapping.clone(),
            self.line.mode.clone(),
            format!("{:?}", self.phase()),
            count(extracted.map(|extracted| extracted.added)),
            count(extracted.map(|extracted| extracted.updated)),
            count(extracted.map(|extracted| extracted.deleted)),
            count(status.rejected),
            seconds(self.took),
        ]
    }

    /// What a person should know beside the numbers: each problem with its cure, in the words of this command.
    fn remarks(&self) -> Vec<String> {
        let (status, name) = (&self.line.status, &self.line.mapping);
        let mut lines: Vec<String> = status
            .errors
            .iter()
            .map(|error| {
                let field = error.field.as_ref().map(|field| format!(" field {field}:")).unwrap_or_default();
                let count = if error.count > 0 { format!(" {} ×", error.count) } else { String::new() };
                format!("{name}:{count} {}:{field} {}", error.code, error.message)
            })
            .collect();
        if let Some(withheld) = status.withheld_deletes.filter(|withheld| *withheld > 0) {
            lines.push(format!(
                "{name}: {withheld} deletions are withheld, because more rows are gone than spec.deletes allows; \
                 approve them if they are meant to be gone"
            ));
        }
        if let Some(estimate) = &status.estimate {
            lines.push(format!("{name}: {}", estimated(estimate)));
        }
        let withheld = status.withheld_deletes.unwrap_or_default();
        let flag = match status.reason.as_deref() {
            Some("DeletesRefused") => {
                Some(format!("--approve-deletes {}", status.extracted.unwrap_or_default().deleted))
            }
            Some("ConfirmRequired") => Some("--mode Reset --confirm".to_owned()),
            Some("StateOwnedElsewhere") => Some("--adopt-state".to_owned()),
            Some("IdentityChanged") => Some("--adopt-state (or --mode Reset)".to_owned()),
            Some("PrimaryKeyChanged" | "DiffChanged") => Some("--mode Reset".to_owned()),
            Some("RowNotFound") => Some("--mode Test --key KEY".to_owned()),
            Some("RunNotFound") => Some("--mode Replay --key KEY".to_owned()),
            Some("RowsRejected") => Some("--retry-rejected".to_owned()),
            _ if withheld > 0 => Some(format!("--approve-deletes {withheld}")),
            _ => None,
        };
        if let Some(flag) = flag {
            lines.push(format!("  backflow run -f … --mapping {name} {flag}"));
        }
        lines
    }
}

/// What a run would do, as a sentence.
fn estimated(estimate: &Estimate) -> String {
    let counts = [
        (estimate.inserts, "insert"),
        (estimate.updates, "update"),
        (estimate.upserts, "upsert"),
        (estimate.deletes, "delete"),
    ];
    let records: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, verb)| format!("{verb} {count}")).collect();
    if records.is_empty() {
        return "a run would send nothing".to_owned();
    }
    let minutes = estimate.minutes.map(|minutes| format!(", {minutes} min")).unwrap_or_default();
    format!(
        "a run would {} in {} requests, {} KiB{minutes}",
        records.join(", "),
        estimate.requests,
        estimate.bytes.max(0).cast_unsigned().div_ceil(1024)
    )
}

/// Prints the table and all remarks.
pub(super) fn show(ran: &[Ran], console: &Console) {
    if ran.is_empty() {
        return console.print("No Mapping was run.");
    }
    let head = ["MAPPING", "MODE", "PHASE", "ADDED", "UPDATED", "DELETED", "REJECTED", "DURATION"].map(str::to_owned);
    console.print(table(&head, &ran.iter().map(Ran::row).map(Vec::from).collect::<Vec<_>>()));
    for line in ran.iter().flat_map(Ran::remarks) {
        console.print(line);
    }
}

/// A table as `kubectl get` prints it.
pub(crate) fn table(head: &[String], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        rows.iter().map(|row| &row[column]).chain([&head[column]]).map(|text| text.chars().count()).max()
    };
    let widths: Vec<usize> = (0..head.len()).map(|column| width(column).unwrap_or_default()).collect();
    let line = |cells: &[String]| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect::<Vec<_>>();
        padded.join("   ").trim_end().to_owned()
    };
    let rows = rows.iter().map(|row| line(row));
    std::iter::once(line(head)).chain(rows).collect::<Vec<_>>().join("\n")
}

/// 1 if one failed, 2 if some succeeded only partially.
pub(super) fn exit_code(ran: &[Ran]) -> u8 {
    let any = |phase: SyncPhase| ran.iter().any(|run| run.phase() == phase);
    if any(SyncPhase::Failed) {
        exit::FAILED
    } else if any(SyncPhase::Canceled) {
        exit::INTERRUPTED
    } else if any(SyncPhase::PartiallySucceeded) {
        exit::PARTIAL
    } else {
        exit::OK
    }
}

/// `AuthenticationFailed: …`, for a check.
pub(crate) fn line_of_failure(result: &RunResult) -> String {
    result.failure.as_ref().map(ToString::to_string).unwrap_or_default()
}

/// Short times with a fraction, long ones as Kubernetes writes them.
fn seconds(took: Duration) -> String {
    if took < Duration::from_secs(60) {
        format!("{:.1}s", took.as_secs_f64())
    } else {
        backflow_core::duration::format_duration(took)
    }
}
