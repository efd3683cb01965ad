//! Source: a warehouse with credentials.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    AzureSql, BigQuery, ClickHouse, Databricks, Finding, MySql, Postgres, Redshift, Snowflake, Sqlite, State,
    WorkerTemplate, schema,
};

/// A warehouse with credentials: exactly one of postgres, redshift, snowflake, bigquery, databricks, azureSql, mysql, clickhouse, sqlite.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "backflow.dev",
    version = "v1alpha1",
    kind = "Source",
    namespaced,
    status = "SourceStatus",
    derive = "PartialEq",
    doc = "A warehouse that rows are read from, with the credentials to do so.",
    shortname = "bfsource",
    category = "backflow",
    printcolumn(name = "Type", type_ = "string", json_path = ".status.type"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Active", type_ = "integer", json_path = ".status.activeSyncs"),
    printcolumn(name = "Queued", type_ = "integer", json_path = ".status.queuedSyncs"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Server", type_ = "string", json_path = ".status.server", priority = 1),
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
#[x_kube(validation = (
    "[has(self.postgres), has(self.redshift), has(self.snowflake), has(self.bigquery), \
     has(self.databricks), has(self.azureSql), has(self.mysql), has(self.clickhouse), has(self.sqlite)].exists_one(x, x)",
    "exactly one of postgres, redshift, snowflake, bigquery, databricks, azureSql, mysql, clickhouse, sqlite must be set"
))]
pub struct SourceSpec {
    /// A PostgreSQL server, or one that speaks its protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<Postgres>,
    /// An Amazon Redshift cluster or workgroup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redshift: Option<Redshift>,
    /// A Snowflake account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snowflake: Option<Snowflake>,
    /// A Google BigQuery project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bigquery: Option<BigQuery>,
    /// A Databricks SQL warehouse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub databricks: Option<Databricks>,
    /// Azure SQL, an Azure Synapse dedicated pool, or Microsoft Fabric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub azure_sql: Option<AzureSql>,
    /// A MySQL or MariaDB server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mysql: Option<MySql>,
    /// A ClickHouse server or service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clickhouse: Option<ClickHouse>,
    /// A SQLite file, for runs without a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sqlite: Option<Sqlite>,
    /// Where checkpoints live; default: schema _backflow of the warehouse.
    #[serde(default)]
    pub state: State,
    /// How changes are found. Auto: as fits the warehouse. Pushdown: by the warehouse itself. Streaming: by the worker.
    /// Default Auto.
    #[serde(default)]
    pub diff: Diff,
    /// How many Syncs may read from this warehouse at once; the rest queue. Default 4.
    #[serde(default = "max_concurrent_syncs")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_concurrent_syncs: i32,
    /// Pod settings of checks and previews, and defaults for the Mappings of this Source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerTemplate>,
    /// While true, no new run of this Source's Mappings starts.
    #[serde(default)]
    pub suspend: bool,
}

/// How changes are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum Diff {
    #[default]
    Auto,
    Pushdown,
    Streaming,
}

/// The one warehouse that a Source names.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Warehouse<'a> {
    Postgres(&'a Postgres),
    Redshift(&'a Redshift),
    Snowflake(&'a Snowflake),
    BigQuery(&'a BigQuery),
    Databricks(&'a Databricks),
    AzureSql(&'a AzureSql),
    MySql(&'a MySql),
    ClickHouse(&'a ClickHouse),
    Sqlite(&'a Sqlite),
}

impl SourceSpec {
    /// Its one warehouse; `None` when it names none that this version knows, or several.
    #[must_use]
    pub fn warehouse(&self) -> Option<Warehouse<'_>> {
        let mut warehouses = [
            self.postgres.as_ref().map(Warehouse::Postgres),
            self.redshift.as_ref().map(Warehouse::Redshift),
            self.snowflake.as_ref().map(Warehouse::Snowflake),
            self.bigquery.as_ref().map(Warehouse::BigQuery),
            self.databricks.as_ref().map(Warehouse::Databricks),
            self.azure_sql.as_ref().map(Warehouse::AzureSql),
            self.mysql.as_ref().map(Warehouse::MySql),
            self.clickhouse.as_ref().map(Warehouse::ClickHouse),
            self.sqlite.as_ref().map(Warehouse::Sqlite),
        ]
        .into_iter()
        .flatten();
        warehouses.next().filter(|_| warehouses.next().is_none())
    }
}

impl Warehouse<'_> {
    /// The member of the Source's spec that names it, which is also `status.type`.
    #[must_use]
    pub fn member(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "postgres",
            Self::Redshift(_) => "redshift",
            Self::Snowflake(_) => "snowflake",
            Self::BigQuery(_) => "bigquery",
            Self::Databricks(_) => "databricks",
            Self::AzureSql(_) => "azureSql",
            Self::MySql(_) => "mysql",
            Self::ClickHouse(_) => "clickhouse",
            Self::Sqlite(_) => "sqlite",
        }
    }
}

fn max_concurrent_syncs() -> i32 {
    4
}

/// What the controller last saw of a Source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceStatus {
    /// Generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, and Reconciling or Stalled while true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// Which member of the spec is set, for example postgres.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "type")]
    #[schemars(length(max = 63))]
    pub type_: Option<String>,
    /// Product and version of the server, as the last check saw them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub server: Option<String>,
    /// When the last check ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_check_time: Option<Time>,
    /// Digest of what the last check that passed was of. An edit that leaves it, like a suspension, needs no new check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub last_check_digest: Option<String>,
    /// Syncs that read from it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub active_syncs: Option<i32>,
    /// Syncs that wait for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub queued_syncs: Option<i32>,
    /// Everything that is wrong with the manifest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub errors: Vec<Finding>,
}
