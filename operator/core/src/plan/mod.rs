//! The frozen input of one run: everything that is needed, resolved, and no secret.

mod cloud;
mod destination;
mod mapping;
mod server;
mod source;

use serde::{Deserialize, Serialize};

pub use self::cloud::{
    BigQuery, Databricks, DatabricksCredential, Redshift, RedshiftCredential, RedshiftIam, RedshiftTarget, Snowflake,
    SnowflakeCredential,
};
pub use self::destination::{DestinationLimits, DestinationPlan};
pub use self::mapping::{Field, FieldSource, Include, Items, MappingPlan, OnMappingChange, OnNull, Parse, Retry};
pub use self::server::{AzureSql, AzureSqlCredential, Server};
pub use self::source::{
    AzureState, Connection, DiffEngine, DirectoryState, GcsState, ModelPlan, ModelQuery, Postgres, S3State, SourcePlan,
    Sqlite, StateLocation, StateStorePlan, Tls, TlsMode, VOLUME_PATH,
};
use crate::secret::SecretRef;

/// The version of [`Plan`] that this program reads and writes. Controller and worker come from one image, so it is exact.
pub const PLAN_VERSION: u32 = 1;

/// What a worker is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// [`PLAN_VERSION`].
    pub version: u32,
    /// Name of the run: of the Sync, the Job and the result.
    pub run: String,
    /// Namespace of the resources; for messages and logs.
    pub namespace: String,
    /// Random; the progress and cancel endpoint wants it.
    pub token: String,
    /// The cluster that owns the state: uid of `kube-system`, the chart's `clusterId`, or `local`.
    pub owner: String,
    /// Seconds from the Job's start to its deadline. The worker stops itself 60 s before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_seconds: Option<u64>,
    /// What to do.
    pub task: Task,
}

/// What a run is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Task {
    /// Send changes.
    Sync(Box<SyncPlan>),
    /// Try a Source: connect, grants, state schema.
    CheckSource(SourcePlan),
    /// Describe a Model's columns.
    CheckModel(SourcePlan, ModelPlan),
    /// Try a Destination.
    CheckDestination(DestinationPlan),
    /// Print the first rows of a Model.
    Preview(SourcePlan, ModelPlan, PreviewPlan),
    /// Remove the state of a Mapping.
    Forget(SourcePlan, ForgetPlan),
}

/// How many rows a Preview prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviewPlan {
    /// Rows.
    pub limit: u32,
}

/// Which state a Forget removes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForgetPlan {
    /// `namespace/name`, or the Mapping's own `stateKey`.
    pub state_key: String,
    /// Also if another cluster owns it.
    pub adopt_state: bool,
}

/// One run of a Mapping.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncPlan {
    /// What kind of run.
    pub mode: Mode,
    /// Where rows come from.
    pub source: SourcePlan,
    /// Which rows.
    pub model: ModelPlan,
    /// What becomes of them.
    pub mapping: MappingPlan,
    /// Where they go.
    pub destination: DestinationPlan,
    /// What a person allowed for this run.
    #[serde(default)]
    pub options: RunOptions,
}

/// `Sync.spec.mode`, of the modes that run a Mapping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// Only changes.
    Incremental,
    /// Every current row again, deletions still computed.
    Full,
    /// Forget, then as a first run.
    Reset,
    /// Chosen rows again, with their current content, and nothing else.
    Replay(Replay),
    /// Everything but sending: nothing moves, not even a claim.
    DryRun,
    /// One record, really sent; nothing moves.
    Test {
        /// The primary key's value as text; of a composite key, a JSON array.
        key: String,
    },
}

/// Which rows a Replay sends again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Replay {
    /// Those that this past run acknowledged, and no run after it.
    Run(String),
    /// Those with these primary keys, as [`crate::change::NamedKeys`] reads them.
    Keys(Vec<String>),
}

/// What a person allowed in the Sync.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RunOptions {
    /// Ceiling for deletions that the guard would withhold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approve_deletes: Option<u64>,
    /// Send again what was rejected before.
    pub retry_rejected: bool,
    /// Take over state of another cluster or identity.
    pub adopt_state: bool,
    /// A Reset of a Mirror is meant.
    pub confirm: bool,
}

impl Plan {
    /// The PersistentVolumeClaim that the pod mounts at [`VOLUME_PATH`]: a run moves the state, and a check proves that it could.
    #[must_use]
    pub fn state_claim(&self) -> Option<&str> {
        let source = match &self.task {
            Task::Sync(sync) => &sync.source,
            Task::CheckSource(source) | Task::Forget(source, _) => source,
            Task::CheckModel(..) | Task::CheckDestination(_) | Task::Preview(..) => return None,
        };
        match &source.state {
            StateLocation::Store(StateStorePlan::Directory(store)) => store.claim.as_deref(),
            _ => None,
        }
    }

    /// Every secret that the plan refers to, once: what the pod mounts.
    #[must_use]
    pub fn secrets(&self) -> Vec<SecretRef> {
        let mut all = Vec::new();
        match &self.task {
            Task::Sync(sync) => {
                sync.source.secrets(&mut all);
                all.extend(sync.destination.secrets.values().cloned());
            }
            Task::CheckSource(source)
            | Task::CheckModel(source, _)
            | Task::Preview(source, ..)
            | Task::Forget(source, _) => source.secrets(&mut all),
            Task::CheckDestination(destination) => all.extend(destination.secrets.values().cloned()),
        }
        all.sort();
        all.dedup();
        all
    }
}
