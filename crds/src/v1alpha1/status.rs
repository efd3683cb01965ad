//! Parts of a status: findings, counters, checkpoints; and the status of a Mapping.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{RunMode, SyncPhase, schema};

/// What the controller last saw of a Mapping.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MappingStatus {
    /// Generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready (accepted, resolved, schedulable), LastSyncSucceeded and Healthy (its data); DeletesWithheld, Reconciling and
    /// Stalled while true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// The Sync that runs or waits now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<ActiveSync>,
    /// The newest slot that was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_schedule_time: Option<Time>,
    /// The next slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_schedule_time: Option<Time>,
    /// Slots before this moment do not count: the last edit of the schedule, or the last resume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_baseline: Option<ScheduleBaseline>,
    /// The value of annotation backflow.dev/requestedAt that last started a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub last_handled_request: Option<String>,
    /// When a run last succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_successful_time: Option<Time>,
    /// The last run that ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_sync: Option<LastSync>,
    /// What was delivered so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Checkpoint>,
    /// Runs that failed since the last success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub consecutive_failures: Option<i32>,
    /// Slots that were not started in time, since the Mapping was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub missed_slots: Option<i64>,
    /// The schedule in words, for example every 15m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub effective_schedule: Option<String>,
    /// Everything that is wrong with the manifest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub errors: Vec<Finding>,
}

/// A Sync that runs or waits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActiveSync {
    /// Name of the Sync.
    #[schemars(length(max = 253))]
    pub name: String,
    /// When it was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

/// From when on slots count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleBaseline {
    /// Hash of the schedule that the moment belongs to.
    #[schemars(length(max = 64))]
    pub hash: String,
    /// The moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

/// A run that ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastSync {
    /// Name of the Sync.
    #[schemars(length(max = 253))]
    pub name: String,
    /// What kind of run it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<RunMode>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<SyncPhase>,
    /// When it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
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
    /// Deletions that wait for approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub withheld: Option<i64>,
}

/// What was delivered so far, and where that is written down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Checkpoint {
    /// Rows that were delivered and still exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub rows: Option<i64>,
    /// When it last moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed_at: Option<Time>,
    /// The Sync that last moved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub sync_name: Option<String>,
    /// Hash of the Mapping that it was made with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub fingerprint: Option<String>,
    /// Where it lives, for example schema _backflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub location: Option<String>,
}

/// Changes that a run found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Extracted {
    /// Rows that were not there before.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub added: i64,
    /// Rows that changed.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub updated: i64,
    /// Rows that are gone.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub deleted: i64,
    /// Rows with a NULL key, and rows that share a key.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub invalid: i64,
}

/// Records that the destination acknowledged, by operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Delivered {
    /// Inserted.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub inserted: i64,
    /// Updated.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub updated: i64,
    /// Inserted or updated.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub upserted: i64,
    /// Deleted.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub deleted: i64,
}

/// One thing that is wrong with a manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Where, for example spec.fields.id.
    #[schemars(length(max = 1024))]
    pub path: String,
    /// What, for example UnknownColumn.
    #[schemars(length(max = 63))]
    pub code: String,
    /// What, where, and what to do about it.
    #[schemars(length(max = 2048))]
    pub message: String,
}
