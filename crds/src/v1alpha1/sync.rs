//! Sync: one run of a Mapping.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LocalRef, SyncStatus, schema};

/// The longest name of a Sync: the Job has the same name, and its pods append a suffix.
pub const SYNC_NAME_MAX: usize = 59;

/// One run of a Mapping, one preview of a Model, or the removal of old state: exactly one of mappingRef, modelRef, forget.
/// Nothing but cancel can be changed later.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "backflow.dev",
    version = "v1alpha1",
    kind = "Sync",
    namespaced,
    status = "SyncStatus",
    derive = "PartialEq",
    doc = "One run of a Mapping. Made by the controller at each slot, and by people for anything else.",
    shortname = "bfsync",
    category = "backflow",
    selectable = ".spec.mappingRef.name",
    selectable = ".spec.modelRef.name",
    selectable = ".spec.forget.sourceRef.name",
    selectable = ".spec.replay.syncRef.name",
    selectable = ".status.phase",
    validation = Rule::new("self.metadata.name.size() <= 59").message("metadata.name must not be longer than 59 characters"),
    validation = Rule::new("self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name must be a DNS label: lower case letters, digits and dashes"),
    printcolumn(name = "Mapping", type_ = "string", json_path = ".spec.mappingRef.name"),
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Added", type_ = "integer", json_path = ".status.extracted.added"),
    printcolumn(name = "Updated", type_ = "integer", json_path = ".status.extracted.updated"),
    printcolumn(name = "Deleted", type_ = "integer", json_path = ".status.extracted.deleted"),
    printcolumn(name = "Rejected", type_ = "integer", json_path = ".status.rejected"),
    printcolumn(name = "Duration", type_ = "string", json_path = ".status.duration"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Model", type_ = "string", json_path = ".spec.modelRef.name", priority = 1),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.reason", priority = 1),
    printcolumn(name = "Queued Behind", type_ = "string", json_path = ".status.queuedBehind", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "[has(self.mappingRef), has(self.modelRef), has(self.forget)].exists_one(x, x)",
    "exactly one of mappingRef, modelRef, forget must be set"
))]
#[x_kube(validation = ("has(self.modelRef) == (self.mode == 'Preview')", "mode Preview takes modelRef, and no other mode does"))]
#[x_kube(validation = ("has(self.forget) == (self.mode == 'Forget')", "mode Forget takes forget, and no other mode does"))]
#[x_kube(validation = ("has(self.replay) == (self.mode == 'Replay')", "mode Replay takes replay, and no other mode does"))]
#[x_kube(validation = ("has(self.test) == (self.mode == 'Test')", "mode Test takes test, and no other mode does"))]
#[x_kube(validation = ("!has(self.limit) || self.mode == 'Preview'", "limit is for mode Preview only"))]
#[x_kube(validation = (
    "self.mode == oldSelf.mode && \
     self.trigger == oldSelf.trigger && \
     self.retryRejected == oldSelf.retryRejected && \
     self.adoptState == oldSelf.adoptState && \
     self.confirm == oldSelf.confirm && \
     (has(self.mappingRef) ? has(oldSelf.mappingRef) && self.mappingRef == oldSelf.mappingRef : !has(oldSelf.mappingRef)) && \
     (has(self.modelRef) ? has(oldSelf.modelRef) && self.modelRef == oldSelf.modelRef : !has(oldSelf.modelRef)) && \
     (has(self.forget) ? has(oldSelf.forget) && self.forget == oldSelf.forget : !has(oldSelf.forget)) && \
     (has(self.replay) ? has(oldSelf.replay) && self.replay == oldSelf.replay : !has(oldSelf.replay)) && \
     (has(self.test) ? has(oldSelf.test) && self.test == oldSelf.test : !has(oldSelf.test)) && \
     (has(self.limit) ? has(oldSelf.limit) && self.limit == oldSelf.limit : !has(oldSelf.limit)) && \
     (has(self.approveDeletes) ? has(oldSelf.approveDeletes) && self.approveDeletes == oldSelf.approveDeletes : !has(oldSelf.approveDeletes))",
    "a Sync cannot be changed, but for cancel: create another one"
))]
pub struct SyncSpec {
    /// The Mapping that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapping_ref: Option<LocalRef>,
    /// The Model that is previewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_ref: Option<LocalRef>,
    /// The state that is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forget: Option<Forget>,
    /// What kind of run it is. Incremental: the changes since the last one. Full: every row again. Reset: forget, then
    /// as a first run. Replay: chosen rows again. DryRun: everything but sending. Test: one record, really sent.
    /// Preview: the first rows of a Model, in the pod's log. Forget: remove old state. Default Incremental.
    #[serde(default)]
    pub mode: RunMode,
    /// What made it: for information. Default Manual.
    #[serde(default)]
    pub trigger: Trigger,
    /// Mode Replay: which rows are sent again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<Replay>,
    /// Mode Test: which record is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<Test>,
    /// Mode Preview: how many rows are shown; 10 when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub limit: Option<i32>,
    /// Sends withheld deletions, if there are no more than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub approve_deletes: Option<i64>,
    /// Sends again what was rejected before, though nothing changed.
    #[serde(default)]
    pub retry_rejected: bool,
    /// Takes over state of another cluster, or of another account or warehouse.
    #[serde(default)]
    pub adopt_state: bool,
    /// Needed for mode Reset of a Mapping with sync mode Mirror: what it sent before is no longer deleted.
    #[serde(default)]
    pub confirm: bool,
    /// Stops the run after the batch in flight; what was acknowledged is kept. Cannot be taken back.
    #[serde(default)]
    #[schemars(extend("x-kubernetes-validations" = [{
        "rule": "self || !oldSelf",
        "message": "a canceled Sync cannot be resumed: create another one",
    }]))]
    pub cancel: bool,
}

/// What kind of run a Sync is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum RunMode {
    #[default]
    Incremental,
    Full,
    Reset,
    Replay,
    DryRun,
    Test,
    Preview,
    Forget,
}

/// What made a Sync.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum Trigger {
    Schedule,
    #[default]
    Manual,
    After,
}

/// Which rows are sent again: exactly one of syncRef, keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("[has(self.syncRef), has(self.keys)].exists_one(x, x)", "exactly one of syncRef, keys must be set"))]
pub struct Replay {
    /// All records of this past Sync.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync_ref: Option<LocalRef>,
    /// The rows with these primary keys; a key of several columns is a JSON array, for example ["eu", 42].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1000), inner(length(min = 1, max = 1024)))]
    pub keys: Option<Vec<String>>,
}

/// Which record is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Test {
    /// Primary key of the row; a key of several columns is a JSON array, for example ["eu", 42].
    #[schemars(length(min = 1, max = 1024))]
    pub key: String,
}

/// State of a Mapping that is no longer needed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Forget {
    /// The Source that holds it.
    pub source_ref: LocalRef,
    /// Its name: the stateKey of the Mapping, namespace/name by default.
    #[schemars(schema_with = "schema::state_key")]
    pub state_key: String,
}
