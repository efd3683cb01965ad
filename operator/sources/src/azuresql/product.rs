//! Which of Microsoft's products a server is: they share the protocol, and not all of the statements.

use super::client::{Client, Error};
use crate::stream::Broken;

/// A server, and the user that it has let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Product {
    pub(super) kind: Kind,
    /// Name and version.
    pub(super) name: String,
    /// The user's name in the database.
    pub(super) user: String,
}

/// What makes a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// SQL Server, Azure SQL Database and Managed Instance, a SQL database in Fabric.
    Server,
    /// A dedicated SQL pool of Synapse Analytics.
    Pool,
    /// A warehouse of Microsoft Fabric, or the serverless pool of Synapse, which has the same number.
    Fabric,
}

/// The number of the edition, per the documentation of `SERVERPROPERTY`.
const ASK: &str = "SELECT CAST(SERVERPROPERTY('EngineEdition') AS int) AS edition, \
                   CAST(SERVERPROPERTY('ProductVersion') AS varchar(128)) AS version, USER_NAME() AS name";
/// No wait for a lock without end; a transaction in which something fails is rolled back whole.
const SESSION: &str = "SET LOCK_TIMEOUT 60000; SET XACT_ABORT ON";

impl Product {
    /// Asks a new connection, and sets its session.
    pub(super) async fn ask(client: &mut Client) -> Result<Self, Error> {
        let row = client.rows(ASK).await?.into_iter().next().unwrap_or_default();
        let [Some(edition), Some(version), Some(user)] = &row[..] else { return Err(Broken::Malformed.into()) };
        let (kind, name) = match edition.as_str() {
            "5" => (Kind::Server, "Azure SQL Database"),
            "6" => (Kind::Pool, "Synapse dedicated SQL pool"),
            "8" => (Kind::Server, "Azure SQL Managed Instance"),
            "11" => (Kind::Fabric, "Fabric warehouse"),
            "12" => (Kind::Server, "SQL database in Fabric"),
            _ => (Kind::Server, "SQL Server"),
        };
        if kind == Kind::Server {
            client.run(SESSION).await?;
        }
        Ok(Self { kind, name: format!("{name} {version}"), user: user.clone() })
    }
}
