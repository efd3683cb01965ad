//! Warehouses that are a service of a cloud, reached by HTTPS.

use serde::{Deserialize, Serialize};

use super::Tls;
use crate::secret::SecretRef;

/// A Snowflake account. Names are as the service knows them: whoever made the plan has folded what was written without quotes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snowflake {
    /// Account identifier as the user wrote it: `organization-account`, or a locator with its region.
    pub account: String,
    /// User.
    pub user: String,
    /// The warehouse that runs the queries.
    pub warehouse: String,
    /// Database of the models, and of the state schema.
    pub database: String,
    /// Schema for names without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// Role; the user's default role when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// What proves the user.
    pub credential: SnowflakeCredential,
    /// Where the service is instead of at its own address. Only an address of this machine: tests set it, no manifest can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

/// A Google BigQuery project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BigQuery {
    /// The project that runs the queries, and has the dataset of the state.
    pub project: String,
    /// Location of the datasets.
    pub location: String,
    /// Dataset for names without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// JSON key of a service account; the worker's own identity when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_key: Option<SecretRef>,
    /// Service account to act as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impersonate: Option<String>,
    /// A query that would bill more bytes fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum_bytes_billed: Option<i64>,
    /// Where the services are instead of at their own addresses. Only an address of this machine: tests set it, no manifest can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

/// A Databricks SQL warehouse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Databricks {
    /// Host name of the workspace.
    pub host: String,
    /// Id of the SQL warehouse.
    pub warehouse_id: String,
    /// Catalog for names without one, and of the state schema; the workspace's default when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalog: Option<String>,
    /// Schema for names without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// What proves the worker.
    pub credential: DatabricksCredential,
    /// Whether a check of the Source may start the warehouse.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub start_for_checks: bool,
    /// Where the services are instead of at their own addresses. Only an address of this machine: tests set it, no manifest can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

/// What proves a worker to Databricks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DatabricksCredential {
    /// A personal access token.
    AccessToken(SecretRef),
    /// A service principal.
    #[serde(rename_all = "camelCase")]
    Client {
        /// Its application id.
        id: String,
        /// Its secret.
        secret: SecretRef,
        /// Tenant of Microsoft Entra that the principal and the secret are of; of the workspace itself when unset.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tenant: Option<String>,
    },
}

impl Databricks {
    pub(super) fn secret(&self) -> &SecretRef {
        match &self.credential {
            DatabricksCredential::AccessToken(secret) | DatabricksCredential::Client { secret, .. } => secret,
        }
    }
}

/// A database of Amazon Redshift.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Redshift {
    /// Host name of the cluster or workgroup.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Database.
    pub database: String,
    /// User.
    pub user: String,
    /// What proves the user.
    pub credential: RedshiftCredential,
    /// Encryption.
    pub tls: Tls,
    /// Where AWS's services are instead of at their own addresses. Only an address of this machine: tests set it, no manifest can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

/// What proves a user of Redshift.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RedshiftCredential {
    /// A password.
    Password(SecretRef),
    /// One that AWS makes for a while, for who may ask for it.
    Iam(RedshiftIam),
}

/// What AWS is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RedshiftIam {
    /// AWS region.
    pub region: String,
    /// Whose password.
    pub target: RedshiftTarget,
    /// Role to assume; the worker's own identity when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
}

/// Where a user of Redshift is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RedshiftTarget {
    /// Identifier of a provisioned cluster.
    Cluster(String),
    /// Name of a serverless workgroup.
    Workgroup(String),
}

impl Redshift {
    pub(super) fn secrets(&self) -> impl Iterator<Item = &SecretRef> {
        let password = match &self.credential {
            RedshiftCredential::Password(password) => Some(password),
            RedshiftCredential::Iam(_) => None,
        };
        password
            .into_iter()
            .chain([&self.tls.ca, &self.tls.client_certificate, &self.tls.client_key].into_iter().flatten())
    }
}

/// What proves a user of Snowflake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SnowflakeCredential {
    /// A private key whose public half the user has.
    #[serde(rename_all = "camelCase")]
    KeyPair {
        /// PEM of the key in PKCS#8.
        private_key: SecretRef,
        /// What it is encrypted with.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        passphrase: Option<SecretRef>,
    },
    /// A programmatic access token.
    AccessToken(SecretRef),
    /// An OAuth access token.
    OauthToken(SecretRef),
}

impl Snowflake {
    pub(super) fn secrets(&self) -> impl Iterator<Item = &SecretRef> {
        let (first, second) = match &self.credential {
            SnowflakeCredential::KeyPair { private_key, passphrase } => (private_key, passphrase.as_ref()),
            SnowflakeCredential::AccessToken(token) | SnowflakeCredential::OauthToken(token) => (token, None),
        };
        std::iter::once(first).chain(second)
    }
}
