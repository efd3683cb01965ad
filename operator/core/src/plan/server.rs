//! Warehouses that are a server, reached with a user and a password.

use serde::{Deserialize, Serialize};

use super::Tls;
use crate::secret::SecretRef;

/// A database of Azure SQL, Synapse, Fabric or SQL Server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AzureSql {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Database.
    pub database: String,
    /// Who logs in.
    pub credential: AzureSqlCredential,
    /// Encryption.
    pub tls: Tls,
    /// Where tokens are made, if not at Microsoft's; an address of this machine: for tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
}

/// Who logs in to such a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum AzureSqlCredential {
    /// A SQL login.
    Login {
        /// Its name.
        user: String,
        /// Its password.
        password: SecretRef,
    },
    /// An application of Microsoft Entra. What is absent, the pod's workload identity says.
    Entra {
        /// Its tenant.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tenant_id: Option<String>,
        /// Its id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client_id: Option<String>,
        /// Its secret; without it the token of the pod's service account proves it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client_secret: Option<SecretRef>,
    },
}

impl AzureSql {
    pub(super) fn secrets(&self) -> impl Iterator<Item = &SecretRef> {
        let credential = match &self.credential {
            AzureSqlCredential::Login { password, .. } => Some(password),
            AzureSqlCredential::Entra { client_secret, .. } => client_secret.as_ref(),
        };
        credential.into_iter().chain(self.tls.secrets())
    }
}

/// A server of ClickHouse, MySQL or MariaDB.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Server {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Database for names without one.
    pub database: String,
    /// User.
    pub user: String,
    /// The user's password; absent where none is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretRef>,
    /// Encryption.
    pub tls: Tls,
}

impl Server {
    pub(super) fn secrets(&self) -> impl Iterator<Item = &SecretRef> {
        self.password.iter().chain(self.tls.secrets())
    }
}
