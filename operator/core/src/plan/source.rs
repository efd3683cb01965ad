//! Where rows come from, and where the state is.

use serde::{Deserialize, Serialize};

use super::{AzureSql, BigQuery, Databricks, Redshift, Server, Snowflake};
use crate::secret::SecretRef;

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
    /// A database of Amazon Redshift.
    Redshift(Box<Redshift>),
    /// A Snowflake account.
    Snowflake(Box<Snowflake>),
    /// A Google BigQuery project.
    #[serde(rename = "bigquery")]
    BigQuery(Box<BigQuery>),
    /// A Databricks SQL warehouse.
    Databricks(Box<Databricks>),
    /// A database of Azure SQL, Synapse, Fabric or SQL Server.
    AzureSql(Box<AzureSql>),
    /// A ClickHouse server.
    #[serde(rename = "clickhouse")]
    ClickHouse(Box<Server>),
    /// A server of MySQL or MariaDB.
    #[serde(rename = "mysql")]
    MySql(Box<Server>),
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

impl Tls {
    pub(super) fn secrets(&self) -> impl Iterator<Item = &SecretRef> {
        [&self.ca, &self.client_certificate, &self.client_key].into_iter().flatten()
    }
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

impl SourcePlan {
    pub(super) fn secrets(&self, all: &mut Vec<SecretRef>) {
        match &self.connection {
            Connection::Postgres(postgres) => {
                all.extend(postgres.password.iter().chain(postgres.tls.secrets()).cloned());
            }
            Connection::Redshift(redshift) => all.extend(redshift.secrets().cloned()),
            Connection::Snowflake(snowflake) => all.extend(snowflake.secrets().cloned()),
            Connection::BigQuery(bigquery) => all.extend(bigquery.service_account_key.clone()),
            Connection::Databricks(databricks) => all.push(databricks.secret().clone()),
            Connection::AzureSql(database) => all.extend(database.secrets().cloned()),
            Connection::ClickHouse(server) | Connection::MySql(server) => all.extend(server.secrets().cloned()),
            Connection::Sqlite(_) => {}
        }
        all.extend(self.state.secrets());
    }
}
