//! The warehouses that a Source can name, and how each is reached.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{SecretValue, Tls};

// A rule on the host itself would quote a URL with a password in it; the API server quotes no objects.
const HOST: &str = "self.host.matches('^[A-Za-z0-9._:%-]+$')";
const HOST_MESSAGE: &str = "host must be a name or an address, without scheme, port or path";

/// A PostgreSQL server, or one that speaks its protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (HOST, HOST_MESSAGE))]
pub struct Postgres {
    /// Host name or address of the server, without a scheme.
    #[schemars(length(min = 1, max = 253))]
    pub host: String,
    /// Port of the server.
    #[serde(default = "postgres_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// Name of the database.
    #[schemars(length(min = 1, max = 128))]
    pub database: String,
    /// User (role) to log in as.
    #[schemars(length(min = 1, max = 128))]
    pub user: String,
    /// Password of the user; unset when a client certificate is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretValue>,
    /// How the connection is secured.
    #[serde(default)]
    pub tls: Tls,
}

/// An Amazon Redshift cluster or workgroup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (HOST, HOST_MESSAGE))]
#[x_kube(validation = (
    "[has(self.password), has(self.iam)].exists_one(x, x)",
    "exactly one of password, iam must be set"
))]
pub struct Redshift {
    /// Host name or address of the server, without a scheme.
    #[schemars(length(min = 1, max = 253))]
    pub host: String,
    /// Port of the server.
    #[serde(default = "redshift_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// Name of the database.
    #[schemars(length(min = 1, max = 128))]
    pub database: String,
    /// User (role) to log in as.
    #[schemars(length(min = 1, max = 128))]
    pub user: String,
    /// Password of the user; IAM is used when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretValue>,
    /// Temporary credentials of AWS IAM, in place of a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iam: Option<RedshiftIam>,
    /// How the connection is secured.
    #[serde(default)]
    pub tls: Tls,
}

/// What temporary credentials are asked for: a cluster's, or a serverless workgroup's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "[has(self.clusterIdentifier), has(self.workgroup)].exists_one(x, x)",
    "exactly one of clusterIdentifier, workgroup must be set"
))]
pub struct RedshiftIam {
    /// AWS region.
    #[schemars(length(min = 1, max = 63))]
    pub region: String,
    /// Name of a provisioned cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub cluster_identifier: Option<String>,
    /// Name of a serverless workgroup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub workgroup: Option<String>,
    /// Role to assume; the worker's own identity when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 20, max = 2048))]
    pub role_arn: Option<String>,
}

/// A Snowflake account, reached by its SQL API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "[has(self.privateKey), has(self.accessToken), has(self.oauthToken)].exists_one(x, x)",
    "exactly one of privateKey, accessToken, oauthToken must be set"
))]
#[x_kube(validation = (
    "!has(self.privateKeyPassphrase) || has(self.privateKey)",
    "privateKeyPassphrase needs privateKey"
))]
pub struct Snowflake {
    /// Account identifier, without region: organization-account.
    #[schemars(length(min = 1, max = 255))]
    pub account: String,
    /// User (role) to log in as.
    #[schemars(length(min = 1, max = 128))]
    pub user: String,
    /// Warehouse that runs the queries.
    #[schemars(length(min = 1, max = 255))]
    pub warehouse: String,
    /// Database of the models.
    #[schemars(length(min = 1, max = 255))]
    pub database: String,
    /// Schema for names without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub schema: Option<String>,
    /// Role to use; the user's default when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub role: Option<String>,
    /// PEM private key (PKCS#8) of the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_key: Option<SecretValue>,
    /// Passphrase of privateKey.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_key_passphrase: Option<SecretValue>,
    /// Programmatic access token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_token: Option<SecretValue>,
    /// OAuth access token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oauth_token: Option<SecretValue>,
}

/// A Google BigQuery project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BigQuery {
    /// Project that runs (and pays for) the queries.
    #[schemars(length(min = 1, max = 63))]
    pub project: String,
    /// Location of the datasets, for example EU.
    #[schemars(length(min = 1, max = 63))]
    pub location: String,
    /// Dataset for names without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub dataset: Option<String>,
    /// JSON key of a service account; the worker's own identity when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_key: Option<SecretValue>,
    /// Service account to act as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 6, max = 254))]
    pub impersonate: Option<String>,
    /// A query that would bill more bytes fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub maximum_bytes_billed: Option<i64>,
}

/// A Databricks SQL warehouse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (HOST, HOST_MESSAGE))]
#[x_kube(validation = (
    "[has(self.clientSecret), has(self.accessToken)].exists_one(x, x)",
    "exactly one of clientSecret, accessToken must be set"
))]
#[x_kube(validation = (
    "has(self.clientId) == has(self.clientSecret)",
    "clientId and clientSecret must be set together"
))]
#[x_kube(validation = ("!has(self.tenantId) || has(self.clientSecret)", "tenantId needs clientId and clientSecret"))]
pub struct Databricks {
    /// Host name or address of the server, without a scheme.
    #[schemars(length(min = 1, max = 253))]
    pub host: String,
    /// HTTP path of the SQL warehouse, for example /sql/1.0/warehouses/abc.
    #[schemars(length(min = 1, max = 512))]
    pub http_path: String,
    /// Catalog for names without one; the workspace's default when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub catalog: Option<String>,
    /// Schema for names without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub schema: Option<String>,
    /// Client id of a service principal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub client_id: Option<String>,
    /// OAuth secret of the service principal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<SecretValue>,
    /// Tenant of Microsoft Entra, when clientId and clientSecret are those of an Entra application; of the workspace when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub tenant_id: Option<String>,
    /// Personal access token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_token: Option<SecretValue>,
    /// Whether the check of the Source may start a stopped warehouse, to prove the grants. Default false.
    #[serde(default)]
    pub start_for_checks: bool,
}

/// Azure SQL, an Azure Synapse dedicated pool, or Microsoft Fabric.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (HOST, HOST_MESSAGE))]
#[x_kube(validation = (
    "[has(self.password), has(self.entra)].exists_one(x, x)",
    "exactly one of password, entra must be set"
))]
#[x_kube(validation = (
    "has(self.user) == has(self.password)",
    "user and password must be set together"
))]
pub struct AzureSql {
    /// Host name or address of the server, without a scheme.
    #[schemars(length(min = 1, max = 253))]
    pub host: String,
    /// Port of the server.
    #[serde(default = "azure_sql_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// Name of the database.
    #[schemars(length(min = 1, max = 128))]
    pub database: String,
    /// SQL login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub user: Option<String>,
    /// Password of the SQL login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretValue>,
    /// An identity of Microsoft Entra, in place of a SQL login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entra: Option<EntraIdentity>,
    /// How the connection is secured.
    #[serde(default)]
    pub tls: Tls,
}

/// An identity of Microsoft Entra.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "!has(self.clientSecret) || (has(self.tenantId) && has(self.clientId))",
    "clientSecret needs tenantId and clientId"
))]
pub struct EntraIdentity {
    /// Tenant; the pod's own workload identity when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub tenant_id: Option<String>,
    /// Application; the pod's own workload identity when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub client_id: Option<String>,
    /// Secret of the application; workload identity when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<SecretValue>,
}

/// A MySQL or MariaDB server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (HOST, HOST_MESSAGE))]
pub struct MySql {
    /// Host name or address of the server, without a scheme.
    #[schemars(length(min = 1, max = 253))]
    pub host: String,
    /// Port of the server.
    #[serde(default = "mysql_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// Name of the database.
    #[schemars(length(min = 1, max = 128))]
    pub database: String,
    /// User (role) to log in as.
    #[schemars(length(min = 1, max = 128))]
    pub user: String,
    /// Password of the user; unset when a client certificate is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretValue>,
    /// How the connection is secured.
    #[serde(default)]
    pub tls: Tls,
}

/// A ClickHouse server or service, reached by its HTTP interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (HOST, HOST_MESSAGE))]
pub struct ClickHouse {
    /// Host name or address of the server, without a scheme.
    #[schemars(length(min = 1, max = 253))]
    pub host: String,
    /// Port of the HTTP interface: usually 8443 with TLS, 8123 without.
    #[serde(default = "clickhouse_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// Database for names without one.
    #[schemars(length(min = 1, max = 255))]
    pub database: String,
    /// User to log in as.
    #[schemars(length(min = 1, max = 128))]
    pub user: String,
    /// Password of the user; unset when the server asks for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretValue>,
    /// How the connection is secured.
    #[serde(default)]
    pub tls: Tls,
}

/// A SQLite file, for runs without a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sqlite {
    /// Path of the file; relative to the manifest's folder.
    #[schemars(length(min = 1, max = 4096))]
    pub path: String,
}

fn postgres_port() -> i32 {
    5432
}

fn redshift_port() -> i32 {
    5439
}

fn azure_sql_port() -> i32 {
    1433
}

fn clickhouse_port() -> i32 {
    8443
}

fn mysql_port() -> i32 {
    3306
}
