//! How far a Sync is, and what became of it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Checkpoint, Delivered, Extracted, schema};

/// How far a Sync is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum SyncPhase {
    Queued,
    Running,
    Canceling,
    Succeeded,
    PartiallySucceeded,
    Failed,
    Canceled,
}

impl SyncPhase {
    /// Whether a Sync in this phase has ended.
    #[must_use]
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Succeeded | Self::PartiallySucceeded | Self::Failed | Self::Canceled)
    }
}

/// What the controller last saw of a Sync.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SyncStatus {
    /// Generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Complete (ended), Succeeded; Reconciling or Stalled while true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// How far it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<SyncPhase>,
    /// Why it is in this phase: one of the documented reasons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub reason: Option<String>,
    /// Name of its Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub job_name: Option<String>,
    /// What it waits for, for example destination hubspot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub queued_behind: Option<String>,
    /// When its Job was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// How long it ran, for example 3m12s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub duration: Option<String>,
    /// How far its current stage is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// Changes that it found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extracted: Option<Extracted>,
    /// Records that were acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered: Option<Delivered>,
    /// Records that were refused for their content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub rejected: Option<i64>,
    /// Records that were refused for now; the next run sends them again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub retrying: Option<i64>,
    /// Deletions that wait for approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub withheld_deletes: Option<i64>,
    /// Records that were not sent: rejected before and unchanged, or not selected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub skipped: Option<i64>,
    /// Requests that were sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub requests: Option<i64>,
    /// Bytes that were sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub bytes: Option<i64>,
    /// The checkpoint that it started from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_before: Option<Checkpoint>,
    /// The checkpoint that it left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_after: Option<Checkpoint>,
    /// The most frequent errors, counted. The text is ours: a destination's own may hold a row's content.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub errors: Vec<ErrorCount>,
    /// Mode DryRun: what a real run would do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Estimate>,
}

impl SyncStatus {
    /// Whether the run has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.phase.is_some_and(SyncPhase::is_finished)
    }
}

/// How far a stage of a run is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Name of the stage, for example Extracting.
    #[schemars(length(max = 32))]
    pub stage: String,
    /// Rows or records that are done.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub done: i64,
    /// Of how many, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub total: Option<i64>,
    /// Current speed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub rows_per_second: Option<i64>,
}

/// An error, and how many records it hit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorCount {
    /// What happened.
    #[schemars(length(max = 63))]
    pub code: String,
    /// The field that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub field: Option<String>,
    /// Records that it hit; 0 when it is about the run itself.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub count: i64,
    /// What happened, where, and what to do about it.
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// What a real run would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Estimate {
    /// Records to insert.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub inserts: i64,
    /// Records to update.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub updates: i64,
    /// Records to insert or update.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub upserts: i64,
    /// Records to delete.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub deletes: i64,
    /// Requests to send.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub requests: i64,
    /// Bytes of the records' data.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub bytes: i64,
    /// Minutes that the requests take at the Destination's requestsPerSecond; without that limit only the run itself can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub minutes: Option<i64>,
}
