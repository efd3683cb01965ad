//! A guard in front of Postgres: it speaks the same wire, and refuses what Redshift refuses, as far as it is known from Amazon's documents.
//!
//! What is refused is given to the server as a statement that raises the error, so that a transaction is broken off as Redshift would. What
//! Redshift has and Postgres has not (`SYSDATE`, `query_group`, its `version()`) is put in other words.

mod rules;
mod vocabulary;
mod wire;
mod words;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use backflow_core::plan::{
    Connection, DiffEngine, Redshift, RedshiftCredential, SourcePlan, StateLocation, Tls, TlsMode,
};
use backflow_core::secret::SecretRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub use self::rules::{VERSION, reworded};

/// Functions that Redshift has and Postgres has not, for a database behind the guard. Of NULL, which Amazon's documents are silent about,
/// they make what no statement may rely on.
pub const FUNCTIONS: &str = "
CREATE FUNCTION sha2(text, integer) RETURNS varchar LANGUAGE sql IMMUTABLE AS
    $$ SELECT coalesce(CASE $2 WHEN 256 THEN encode(sha256(convert_to($1, 'UTF8')), 'hex') END, '') $$;
CREATE FUNCTION fnv_hash(anyelement, bigint DEFAULT 0) RETURNS bigint LANGUAGE sql IMMUTABLE AS
    $$ SELECT hash_record_extended(ROW($1), $2) $$;
";

/// A running guard; it ends with this value.
pub struct RedshiftGuard {
    address: SocketAddr,
    refused: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl RedshiftGuard {
    /// Starts one in front of the Postgres at this port of loopback.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn start(postgres: u16) -> anyhow::Result<Self> {
        Self::start_at(IpAddr::V4(Ipv4Addr::LOCALHOST), postgres).await
    }

    /// Starts one at another address of this machine, in front of the Postgres at this port of the same.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn start_at(host: IpAddr, postgres: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((host, 0)).await.context("no free port")?;
        let address = listener.local_addr()?;
        let refused = Arc::<Mutex<Vec<String>>>::default();
        let said = Arc::clone(&refused);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let said = Arc::clone(&said);
                tokio::spawn(async move {
                    let server = TcpStream::connect((host, postgres)).await?;
                    wire::serve(client, server, &said).await
                });
            }
        });
        Ok(Self { address, refused, task })
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What was refused so far, each with its reason.
    #[must_use]
    pub fn refused(&self) -> Vec<String> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A Source that reads a database through it, with the password in the Secret of the user's name.
    #[must_use]
    pub fn source(&self, user: &str, database: &str) -> SourcePlan {
        let redshift = Redshift {
            host: self.address.ip().to_string(),
            port: self.address.port(),
            database: database.into(),
            user: user.into(),
            credential: RedshiftCredential::Password(SecretRef { name: user.into(), key: "password".into() }),
            tls: Tls { mode: TlsMode::Disable, ..Tls::default() },
            endpoint: None,
        };
        SourcePlan {
            name: "warehouse".into(),
            connection: Connection::Redshift(Box::new(redshift)),
            state: StateLocation::Schema("_backflow".into()),
            diff: DiffEngine::Streaming,
        }
    }
}

impl Drop for RedshiftGuard {
    fn drop(&mut self) {
        self.task.abort();
    }
}
