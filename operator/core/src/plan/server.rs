//! Warehouses that are a server, reached with a user and a password.

use serde::{Deserialize, Serialize};

use super::Tls;
use crate::secret::SecretRef;

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
