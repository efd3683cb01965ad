//! The frozen input of one run: everything that is needed, resolved, and no secret.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::guard::Deletes;
use crate::secret::SecretRef;
use crate::selection::Selection;

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

/// A warehouse.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourcePlan {
    /// Name of the Source, for messages.
    pub name: String,
    /// How to reach it.
    pub connection: Connection,
    /// Where state lives.
    pub state: StateLocation,
    /// Where changes are found.
    #[serde(default)]
    pub diff: DiffEngine,
}

/// Where changes are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DiffEngine {
    /// In the worker, through which the model streams once.
    #[default]
    Streaming,
    /// In the warehouse, by one statement; only changes leave it.
    Pushdown,
}

/// How to reach a warehouse.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Connection {
    /// A Postgres server.
    Postgres(Box<Postgres>),
    /// A SQLite file: local runs only.
    Sqlite(Sqlite),
}

/// A Postgres server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Postgres {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Database.
    pub database: String,
    /// Role.
    pub user: String,
    /// Its password; absent with a client certificate or trust authentication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretRef>,
    /// Encryption.
    pub tls: Tls,
}

/// Encryption of a connection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// What is proven.
    pub mode: TlsMode,
    /// PEM of the authorities that may sign the server's certificate; without it the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<SecretRef>,
    /// PEM of the client's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<SecretRef>,
    /// PEM of its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_key: Option<SecretRef>,
}

/// What TLS proves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TlsMode {
    /// No encryption.
    Disable,
    /// Encrypted, the server is not proven.
    Require,
    /// The certificate is signed by the CA.
    VerifyCa,
    /// The certificate is signed by the CA and names the host.
    #[default]
    VerifyFull,
}

/// A SQLite file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sqlite {
    /// Path of the file, resolved by whoever made the plan.
    pub path: String,
}

/// Where state lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StateLocation {
    /// A schema in the warehouse (a table-name prefix where there are no schemas).
    Schema(String),
    /// Outside of the warehouse, for a role that may only read.
    Store(StateStorePlan),
}

/// A store outside of the warehouse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StateStorePlan {
    /// A bucket of Amazon S3, or of what speaks its protocol.
    S3(S3State),
    /// A bucket of Google Cloud Storage.
    Gcs(GcsState),
    /// A container of Azure Blob Storage.
    Azure(AzureState),
    /// A folder.
    Directory(DirectoryState),
}

/// A bucket of Amazon S3. Without keys, the worker's own identity is used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct S3State {
    /// Its name.
    pub bucket: String,
    /// Put before the name of every object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Its region; unset: the environment's, else `us-east-1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// URL of a server other than Amazon's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Key id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<SecretRef>,
    /// Its secret key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_access_key: Option<SecretRef>,
}

/// A bucket of Google Cloud Storage. Without a key, the worker's own identity is used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GcsState {
    /// Its name.
    pub bucket: String,
    /// Put before the name of every object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// URL of a server other than Google's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// JSON key of a service account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account_key: Option<SecretRef>,
}

/// A container of Azure Blob Storage. Without a key, the worker's own identity is used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AzureState {
    /// The storage account.
    pub account: String,
    /// The container.
    pub container: String,
    /// Put before the name of every object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// URL of a server other than Azure's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Key of the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_key: Option<SecretRef>,
}

/// A folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DirectoryState {
    /// Its path, where the run takes place.
    pub path: String,
    /// The PersistentVolumeClaim that the pod mounts at [`VOLUME_PATH`]; unset: a folder of this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
}

/// Where a pod mounts the volume of [`DirectoryState::claim`].
pub const VOLUME_PATH: &str = "/state";

impl StateLocation {
    /// Where it is, for people: `schema _backflow of Source warehouse`, `s3://bucket/prefix`.
    #[must_use]
    pub fn place(&self, source: &str) -> String {
        let url = |scheme: &str, bucket: &str, prefix: Option<&String>| match prefix {
            Some(prefix) => format!("{scheme}://{bucket}/{}", prefix.trim_matches('/')),
            None => format!("{scheme}://{bucket}"),
        };
        match self {
            Self::Schema(schema) => format!("schema {schema} of Source {source}"),
            Self::Store(StateStorePlan::S3(store)) => url("s3", &store.bucket, store.prefix.as_ref()),
            Self::Store(StateStorePlan::Gcs(store)) => url("gs", &store.bucket, store.prefix.as_ref()),
            Self::Store(StateStorePlan::Azure(store)) => {
                url("az", &format!("{}/{}", store.account, store.container), store.prefix.as_ref())
            }
            Self::Store(StateStorePlan::Directory(store)) => match &store.claim {
                Some(claim) => format!("volume claim {claim}"),
                None => format!("folder {}", store.path),
            },
        }
    }

    fn secrets(&self) -> Vec<SecretRef> {
        let references = match self {
            Self::Schema(_) | Self::Store(StateStorePlan::Directory(_)) => Vec::new(),
            Self::Store(StateStorePlan::S3(store)) => vec![&store.access_key_id, &store.secret_access_key],
            Self::Store(StateStorePlan::Gcs(store)) => vec![&store.service_account_key],
            Self::Store(StateStorePlan::Azure(store)) => vec![&store.account_key],
        };
        references.into_iter().flatten().cloned().collect()
    }
}

/// One SELECT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelPlan {
    /// Name of the Model, for messages.
    pub name: String,
    /// What is read.
    pub query: ModelQuery,
    /// Columns that identify a row, in order.
    pub primary_key: Vec<String>,
}

/// What a Model reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ModelQuery {
    /// One SELECT statement.
    Sql(String),
    /// A table or view, `schema.table` as the user wrote it.
    Table(String),
}

/// A Mapping, ready to run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MappingPlan {
    /// Name of the Mapping, for messages.
    pub name: String,
    /// What its state is filed under.
    pub state_key: String,
    /// The definition's action.
    pub action: String,
    /// Which changes are sent.
    pub selection: Selection,
    /// The action's constants.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, Value>,
    /// Destination field (dotted path) → where its value comes from.
    pub fields: BTreeMap<String, Field>,
    /// The field that the destination finds a record by, if it is not the primary key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub match_by: Option<String>,
    /// The field that records are grouped by at the destination (a list, an audience).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_by: Option<String>,
    /// "Sync all columns".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include: Option<Include>,
    /// SQL over the model's columns.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "where")]
    pub filter: Option<String>,
    /// Hash of what a record is made by: fields, include, config, where. A new one is a mapping change.
    pub fingerprint: String,
    /// What a mapping change does.
    pub on_change: OnMappingChange,
    /// What the state is bound to, by name (`destination.type`, `source.database` …): a difference stops the Mapping.
    pub identity: BTreeMap<String, String>,
    /// The mass-delete guard.
    pub deletes: Deletes,
    /// Retries within a run.
    pub retry: Retry,
    /// The scratch volume in bytes.
    pub scratch_bytes: u64,
}

/// Where a destination field's value comes from, and what becomes of it on the way: `parse`, then `map`, then `default`, then `on_null`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Field {
    /// Exactly one source.
    pub from: FieldSource,
    /// What NULL becomes.
    #[serde(default)]
    pub on_null: OnNull,
    /// What the value is read as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parse: Option<Parse>,
    /// The value as text → what is sent instead. Others stay as they are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub map: BTreeMap<String, Value>,
    /// What is sent in place of NULL; never JSON null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
}

impl From<FieldSource> for Field {
    fn from(from: FieldSource) -> Self {
        Self { from, on_null: OnNull::Send, parse: None, map: BTreeMap::new(), default: None }
    }
}

/// The source of a field's value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FieldSource {
    /// A column of the model; inside of [`Items::each`] a member of the item.
    Column(String),
    /// A constant, any JSON.
    Value(Value),
    /// A text with expressions in it, in the language of Jinja.
    Template(String),
    /// An expression of the Common Expression Language.
    Cel(String),
    /// An object: its fields, by dotted paths.
    Object(BTreeMap<String, Field>),
    /// A list of objects.
    Items(Box<Items>),
}

/// A list of objects, made of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Items {
    /// The list.
    pub of: Field,
    /// The fields of each item's object, by dotted paths.
    pub each: BTreeMap<String, Field>,
}

/// What a value is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Parse {
    /// A JSON document.
    Json,
    /// A number, with all its digits.
    Number,
    /// A truth value, as Postgres spells them.
    Boolean,
    /// An instant, in UTC.
    Timestamp,
}

/// What a field does with NULL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnNull {
    /// Send JSON null.
    #[default]
    Send,
    /// Leave the field out.
    Omit,
    /// Reject the record.
    Reject,
}

/// `Mapping.spec.include`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Include {
    /// Column names; `*` for all.
    pub columns: Vec<String>,
    /// Columns to leave out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
    /// Dotted path of the object they go into; the record itself if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into: Option<String>,
}

/// What a change of the Mapping does to rows that did not change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnMappingChange {
    /// All current rows are sent again as updated.
    #[default]
    Resend,
    /// Only real row changes are sent.
    Keep,
}

/// `Mapping.spec.retry`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// Tries of one batch, the first included.
    pub max_attempts: u32,
    /// From the first failure of a batch to the last try.
    pub window_seconds: u64,
}

impl Retry {
    /// [`Retry::window_seconds`] as a duration.
    #[must_use]
    pub const fn window(&self) -> Duration {
        Duration::from_secs(self.window_seconds)
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self { max_attempts: 8, window_seconds: 15 * 60 }
    }
}

/// An account in a business tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DestinationPlan {
    /// Name of the Destination, for messages.
    pub name: String,
    /// The definition.
    #[serde(rename = "type")]
    pub kind: String,
    /// The definition's version that was validated against.
    pub definition_version: u32,
    /// The definition's authentication scheme.
    pub auth: String,
    /// Plain settings, checked against the definition.
    pub settings: BTreeMap<String, Value>,
    /// Secret settings.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, SecretRef>,
    /// The account's limits.
    #[serde(default)]
    pub limits: DestinationLimits,
    /// Loopback and link-local addresses may be called: in local runs. In a cluster they are the pod itself and the cloud's metadata.
    pub allow_loopback: bool,
}

/// `Destination.spec.limits`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DestinationLimits {
    /// Requests in any second; unset: the definition's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<u32>,
    /// Requests in flight; unset: the definition's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
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

impl SourcePlan {
    fn secrets(&self, all: &mut Vec<SecretRef>) {
        match &self.connection {
            Connection::Postgres(postgres) => {
                let tls = &postgres.tls;
                let references = [&postgres.password, &tls.ca, &tls.client_certificate, &tls.client_key];
                all.extend(references.into_iter().flatten().cloned());
            }
            Connection::Sqlite(_) => {}
        }
        all.extend(self.state.secrets());
    }
}
