//! Mapping: a Model, an action of a Destination, the fields between them, and when it runs.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Duration, FieldMapping, LocalRef, MappingStatus, Schedule, WorkerTemplate, schema};

/// The longest name of a Mapping: its runs append the minute of their slot, and a Job's name has at most 63 characters.
pub const MAPPING_NAME_MAX: usize = 50;

/// A Model, an action of a Destination, the fields between them, and when it runs.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "backflow.dev",
    version = "v1alpha1",
    kind = "Mapping",
    namespaced,
    status = "MappingStatus",
    derive = "PartialEq",
    doc = "Sends the changes of a Model to a Destination: action, fields, sync mode and schedule.",
    shortname = "bfmap",
    category = "backflow",
    selectable = ".spec.modelRef.name",
    selectable = ".spec.destinationRef.name",
    selectable = ".spec.schedule.after.mappingRef.name",
    validation = Rule::new("self.metadata.name.size() <= 50").message("metadata.name must not be longer than 50 characters"),
    validation = Rule::new("self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name must be a DNS label: lower case letters, digits and dashes"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Model", type_ = "string", json_path = ".spec.modelRef.name"),
    printcolumn(name = "Destination", type_ = "string", json_path = ".spec.destinationRef.name"),
    printcolumn(name = "Schedule", type_ = "string", json_path = ".status.effectiveSchedule"),
    printcolumn(name = "Last", type_ = "string", json_path = ".status.lastSync.phase"),
    printcolumn(name = "Rows", type_ = "integer", json_path = ".status.checkpoint.rows"),
    printcolumn(name = "Rejected", type_ = "integer", json_path = ".status.lastSync.rejected"),
    printcolumn(name = "Next", type_ = "string", json_path = ".status.nextScheduleTime"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Suspend", type_ = "boolean", json_path = ".spec.suspend", priority = 1),
    printcolumn(name = "Active", type_ = "string", json_path = ".status.active.name", priority = 1),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("!(has(self.syncMode) && has(self.records))", "at most one of syncMode, records must be set"))]
pub struct MappingSpec {
    /// The Model whose changes are sent.
    pub model_ref: LocalRef,
    /// The Destination that they are sent to.
    pub destination_ref: LocalRef,
    /// What the Destination does with a record: one of its definition's actions, for example upsertContact.
    #[schemars(length(min = 1, max = 63))]
    pub action: String,
    /// What happens to added, updated and deleted rows. Mirror: the Destination holds what the Model holds. For actions
    /// that have sync modes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync_mode: Option<SyncMode>,
    /// Which changes are sent, for actions without sync modes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 3), extend("x-kubernetes-list-type" = "set"))]
    pub records: Option<Vec<RecordKind>>,
    /// The action's constants.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::any_map")]
    pub config: BTreeMap<String, Value>,
    /// Fields of the destination, by name or dotted path, and how each gets its value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend(
        "maxProperties" = 512,
        "x-kubernetes-validations" = [{
            "rule": "self.all(name, name.size() > 0 && name.size() <= 512)",
            "message": "names of fields must have 1 to 512 characters",
        }]
    ))]
    pub fields: BTreeMap<String, Box<FieldMapping>>,
    /// Sends columns under their own names, beside `fields`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include: Option<Include>,
    /// SQL condition over the Model's columns. A row that stops matching counts as deleted.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16384))]
    pub where_: Option<String>,
    /// When it runs.
    pub schedule: Schedule,
    /// While true, no scheduled run starts; a Sync made by hand does.
    #[serde(default)]
    pub suspend: bool,
    /// How many deletions one run may send.
    #[serde(default)]
    pub deletes: DeleteGuard,
    /// What an edit of fields, config or where does to rows that did not change. Resend: all rows are sent again as
    /// updates. Keep: only rows that change are sent. Default: Resend, but Keep for actions that record events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_mapping_change: Option<OnMappingChange>,
    /// Name of its state; default: namespace/name. Two Mappings must not share it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::state_key")]
    pub state_key: Option<String>,
    /// How a run retries what a Destination refuses for now.
    #[serde(default)]
    pub retry: Retry,
    /// How long runs last, and how many are kept.
    #[serde(default)]
    pub runs: Runs,
    /// Pod settings of its runs; before those of the Source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerTemplate>,
}

/// What happens to added, updated and deleted rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum SyncMode {
    Insert,
    Update,
    Upsert,
    Delete,
    Mirror,
}

/// A kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum RecordKind {
    Added,
    Updated,
    Deleted,
}

/// What an edit of the Mapping does to rows that did not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum OnMappingChange {
    Resend,
    Keep,
}

/// Columns that are sent under their own names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Include {
    /// Names of columns; * is all of them.
    #[schemars(length(min = 1, max = 512), inner(length(min = 1, max = 255)))]
    pub columns: Vec<String>,
    /// Columns to leave out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512), inner(length(min = 1, max = 255)))]
    pub except: Vec<String>,
    /// Dotted path of the object that gets them; the record itself when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub into: Option<String>,
}

/// How many deletions one run may send. Above a limit, all deletions of the run are held back until they are approved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DeleteGuard {
    /// Limit in percent of the rows delivered before. Default 20.
    #[schemars(range(min = 0, max = 100))]
    pub max_percent: i32,
    /// Limit in rows; none when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub max_rows: Option<i64>,
    /// Up to this many deletions the limits do not apply. Default 100.
    #[schemars(range(min = 0))]
    pub ignore_below: i64,
    /// Withhold: deletions wait for approval, the rest is sent. Fail: the run fails and sends nothing. Default Withhold.
    pub action: DeleteGuardAction,
}

impl Default for DeleteGuard {
    fn default() -> Self {
        Self { max_percent: 20, max_rows: None, ignore_below: 100, action: DeleteGuardAction::Withhold }
    }
}

/// What happens above a limit of deletions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum DeleteGuardAction {
    #[default]
    Withhold,
    Fail,
}

/// How a run retries what a Destination refuses for now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Retry {
    /// How often one request is tried in a run. Default 8.
    #[schemars(range(min = 1, max = 100))]
    pub max_attempts: i32,
    /// How long one request is tried in a run; what is left comes again with the next run. Default 15m.
    pub window: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { max_attempts: 8, window: "15m".into() }
    }
}

/// How long runs last, and how many are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Runs {
    /// Successful Syncs that are kept. Default 3.
    #[schemars(range(min = 0, max = 100))]
    pub successful_limit: i32,
    /// Failed Syncs that are kept. Default 3.
    #[schemars(range(min = 0, max = 100))]
    pub failed_limit: i32,
    /// A run that lasts longer is stopped; what was acknowledged is kept. Default 6h.
    pub deadline: Duration,
    /// How often a failed pod is replaced within a run. Default 2.
    #[schemars(range(min = 0, max = 20))]
    pub backoff_limit: i32,
}

impl Default for Runs {
    fn default() -> Self {
        Self { successful_limit: 3, failed_limit: 3, deadline: "6h".into(), backoff_limit: 2 }
    }
}
