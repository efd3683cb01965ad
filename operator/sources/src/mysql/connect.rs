//! Connections: from a plan, with a session that does not depend on how the server is set, and a slot that keeps one between steps.

use std::sync::Arc;
use std::time::Duration;

use backflow_core::code::{Code, Failure};
use backflow_core::plan::Server;
use backflow_core::secret::Secrets;
use rustls::pki_types::ServerName;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;

use super::client::{Client, Error, Login};
use super::errors;
use super::wire::Encryption;
use crate::stream;
use crate::tls::{self, Peer};

/// How long host name, TCP, TLS and authentication may take together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// The longest that a read of a model may take, and be silent: a sort says nothing until it is done.
pub(super) const LONGEST: Duration = Duration::from_secs(6 * 3600);

/// What every session begins with: text in UTF-8, instants in UTC, division by zero and values that do not fit as the standard has them,
/// backslashes in strings, and no wait without end.
const SESSION: &str = "SET NAMES utf8mb4, SESSION time_zone = '+00:00', \
     SESSION sql_mode = 'STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', SESSION autocommit = 1, \
     SESSION lock_wait_timeout = 90, SESSION innodb_lock_wait_timeout = 60, SESSION net_write_timeout = 600, SESSION wait_timeout = 28800";

/// One snapshot, in which nothing can be written.
const READ: [&str; 2] = [
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
];

/// Opens connections, and keeps an idle one.
pub(super) struct Connector {
    pub(super) plan: Server,
    pub(super) peer: Peer,
    password: Option<SecretString>,
    encryption: Option<Encryption>,
    program: String,
    idle: Mutex<Option<Client>>,
}

impl Connector {
    pub(super) fn new(plan: &Server, secrets: &dyn Secrets, program: &str) -> Result<Self, Failure> {
        let peer = Peer::new(format!("MySQL at {}:{}", plan.host, plan.port), &plan.host, &plan.tls);
        let config = tls::client(&plan.tls, &peer, secrets)?;
        let encryption = config
            .map(|config| {
                let name = ServerName::try_from(plan.host.clone())
                    .map_err(|_| Failure::new(Code::PlanInvalid, format!("{}: its host is no name", peer.address)))?;
                Ok::<_, Failure>(Encryption { connector: TlsConnector::from(Arc::new(config)), name })
            })
            .transpose()?;
        Ok(Self {
            password: plan.password.as_ref().map(|password| secrets.read(password)).transpose()?,
            plan: plan.clone(),
            peer,
            encryption,
            program: program.to_owned(),
            idle: Mutex::new(None),
        })
    }

    /// A new connection.
    pub(super) async fn connect(&self) -> Result<Client, Failure> {
        tokio::time::timeout(CONNECT_TIMEOUT, self.establish()).await.unwrap_or_else(|_| {
            let (address, seconds) = (&self.peer.address, CONNECT_TIMEOUT.as_secs());
            let message =
                format!("{address} did not answer within {seconds} s; check host, port, firewall and network policy");
            Err(Failure::new(Code::ConnectionFailed, message))
        })
    }

    async fn establish(&self) -> Result<Client, Failure> {
        let Server { host, port, user, database, .. } = &self.plan;
        let failed = |error: Error| errors::connect(&error, self);
        let stream = stream::connect(host, *port, |broken| failed(Error::Broken(broken))).await?;
        let password = self.password.as_ref().map(|password| password.expose_secret().as_bytes()).unwrap_or_default();
        let login = Login { user, password, database, program: &self.program };
        let mut client = Client::open(Box::new(stream), &login, self.encryption.as_ref()).await.map_err(failed)?;
        // What they call the limit of a query, and in what unit.
        let (limit, times) =
            if client.greeting.is_maria() { ("max_statement_time", 1) } else { ("max_execution_time", 1000) };
        let limit = format!("{SESSION}, SESSION {limit} = {}", LONGEST.as_secs() * times);
        client.run(limit.as_bytes()).await.map_err(failed)?;
        Ok(client)
    }

    /// The idle connection if it still answers, else a new one.
    pub(super) async fn take(&self) -> Result<Client, Failure> {
        let idle = self.idle.lock().await.take();
        if let Some(mut client) = idle
            && matches!(tokio::time::timeout(Duration::from_secs(5), client.run(b"DO 0")).await, Ok(Ok(_)))
        {
            return Ok(client);
        }
        self.connect().await
    }

    /// Keeps a connection that is outside of any transaction for the next step.
    pub(super) async fn give_back(&self, client: Client) {
        *self.idle.lock().await = Some(client);
    }
}

/// Begins to read in one snapshot. The caller ends it with [`end`], or drops the connection.
pub(super) async fn begin(client: &mut Client) -> Result<(), Error> {
    for statement in READ {
        client.run(statement.as_bytes()).await?;
    }
    Ok(())
}

/// Ends the snapshot.
pub(super) async fn end(client: &mut Client) -> Result<(), Error> {
    client.run(b"ROLLBACK").await.map(drop)
}
