//! Connections: options from a plan, and a place that keeps them alive between steps.

use std::net::IpAddr;
use std::time::Duration;

use backflow_core::code::{Code, Failure};
use backflow_core::plan::{Postgres, TlsMode};
use backflow_core::secret::{SecretRef, Secrets};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use tokio::sync::Mutex;

use super::errors;

/// How long host name, TCP, TLS and authentication may take together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// What every transaction begins with: formats that do not depend on role or database, so that hashes are stable, and no notices,
/// which the driver would log with whatever a function put in them. LOCAL, because behind a pooler the session is not ours.
const SETTINGS: &str = "SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO, YMD'; SET LOCAL IntervalStyle = 'iso_8601'; \
     SET LOCAL extra_float_digits = 1; SET LOCAL bytea_output = 'hex'; SET LOCAL standard_conforming_strings = on; \
     SET LOCAL client_min_messages = error";

/// The server looks for its client while it computes, so that the query of a killed pod ends. By `set_config`, because servers
/// before 14 do not have the setting.
const WATCH_CLIENT: &str = "SELECT set_config(name, '5s', true) FROM pg_catalog.pg_settings \
     WHERE name = 'client_connection_check_interval'";

/// A pod that freezes in the middle of a commit must not hold the state's row until its connection is given up, nor may one wait
/// for it without end.
const BOUND_LOCKS: &str = "SET LOCAL idle_in_transaction_session_timeout = '60s'; SET LOCAL lock_timeout = '90s'";

/// The entries are the hashed side of a join: with the usual 4 MiB they would go through files. Rows are hashed by a second process,
/// where the server has one to give: what that takes is much more than the server thinks, and the join alone keeps the first one busy, so
/// that a third would only be waited for. To compile the statement takes longer than it saves.
const COMPARE: &str = "SELECT set_config(name, '5s', true) FROM pg_catalog.pg_settings \
     WHERE name = 'client_connection_check_interval'; \
     SELECT set_config('work_mem', '96MB', true) WHERE pg_size_bytes(current_setting('work_mem')) < 100663296; \
     SELECT set_config('max_parallel_workers_per_gather', '1', true) \
     WHERE current_setting('max_parallel_workers_per_gather')::pg_catalog.int4 > 1; \
     SET LOCAL parallel_setup_cost = 0; SET LOCAL parallel_tuple_cost = 0; \
     SET LOCAL idle_in_transaction_session_timeout = '60s'; SET LOCAL jit = off";

/// Rows of others are never locked for longer than a statement takes. A limit that the role has already is kept: it may be shorter.
const DELIVER: &str = "SET LOCAL idle_in_transaction_session_timeout = '60s'; \
     SELECT set_config('lock_timeout', '30s', true) WHERE current_setting('lock_timeout') = '0'; \
     SELECT set_config('statement_timeout', '60s', true) WHERE current_setting('statement_timeout') = '0'; \
     SET LOCAL jit = off";

/// What a transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// One snapshot, nothing can be written.
    Read,
    /// State: short, and conditional on rows that it locks.
    Write,
    /// The warehouse compares: one snapshot, and long.
    Compare,
    /// Rows go into a table of the user's: one statement.
    Deliver,
}

/// What messages call the fields that the user can change.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    /// What speaks the protocol there: `Postgres`.
    pub product: &'static str,
    /// The kind of resource.
    pub kind: &'static str,
    /// The password.
    pub password: &'static str,
    /// What TLS proves.
    pub tls_mode: &'static str,
    /// The authorities that may sign the server's certificate.
    pub ca: &'static str,
    /// The client's certificate.
    pub certificate: &'static str,
    /// Its key.
    pub key: &'static str,
}

/// Which servers are connected to, and how many connections are kept.
#[derive(Clone, Copy)]
pub struct Reach {
    /// What messages call the settings.
    pub words: Words,
    /// Addresses that nothing may be sent to.
    pub forbidden: fn(IpAddr) -> bool,
    /// Idle connections, at most.
    pub idle: usize,
}

/// The server as the user names it, for messages.
#[derive(Clone, Debug)]
pub struct Target {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Database.
    pub database: String,
    /// Role.
    pub user: String,
    /// Encryption.
    pub tls: TlsMode,
    /// A password is given.
    pub has_password: bool,
    /// A client certificate is given.
    pub has_certificate: bool,
    /// An authority is given.
    pub has_ca: bool,
    /// What the settings are called.
    pub words: Words,
}

/// Opens connections, and keeps idle ones.
pub struct Connector {
    options: PgConnectOptions,
    forbidden: fn(IpAddr) -> bool,
    /// Where they lead.
    pub target: Target,
    idle: Mutex<Vec<PgConnection>>,
    kept: usize,
}

impl Connector {
    /// Reads secrets; connects to nothing yet. `application_name` is what the server shows of the connections.
    ///
    /// # Errors
    /// Secrets that are absent, or no certificates and keys.
    pub fn new(plan: &Postgres, secrets: &dyn Secrets, application_name: &str, reach: Reach) -> Result<Self, Failure> {
        let words = reach.words;
        let mut options = PgConnectOptions::new_without_pgpass()
            .host(&plan.host)
            .port(plan.port)
            .database(&plan.database)
            .username(&plan.user)
            .application_name(application_name)
            // Poolers refuse unknown startup parameters and do not know our prepared statements.
            .extra_float_digits(None)
            .statement_cache_capacity(0)
            .disable_statement_logging()
            .ssl_mode(match plan.tls.mode {
                TlsMode::Disable => PgSslMode::Disable,
                TlsMode::Require => PgSslMode::Require,
                TlsMode::VerifyCa => PgSslMode::VerifyCa,
                TlsMode::VerifyFull => PgSslMode::VerifyFull,
            });
        // Set in any case: the driver would take one from the environment.
        options = match &plan.password {
            Some(password) => options.password(secrets.read(password)?.expose_secret()),
            None => options.password(""),
        };
        if plan.tls.mode != TlsMode::Disable {
            if let Some(ca) = &plan.tls.ca {
                options = options.ssl_root_cert_from_pem(certificates(secrets, ca)?);
            }
            match (&plan.tls.client_certificate, &plan.tls.client_key) {
                (Some(certificate), Some(key)) => {
                    options = options
                        .ssl_client_cert_from_pem(certificates(secrets, certificate)?)
                        .ssl_client_key_from_pem(private_key(secrets, key)?);
                }
                (None, None) => {}
                _ => {
                    return Err(Failure::new(
                        Code::TlsFailed,
                        format!("{} and {} belong together; give both or none", words.certificate, words.key),
                    ));
                }
            }
        }
        let target = Target {
            host: plan.host.clone(),
            port: plan.port,
            database: plan.database.clone(),
            user: plan.user.clone(),
            tls: plan.tls.mode,
            has_password: plan.password.is_some(),
            has_certificate: plan.tls.client_certificate.is_some(),
            has_ca: plan.tls.ca.is_some(),
            words,
        };
        Ok(Self { options, forbidden: reach.forbidden, target, idle: Mutex::default(), kept: reach.idle })
    }

    /// Another one, with credentials that were made elsewhere.
    #[must_use]
    pub fn logged_in(&self, user: &str, password: &SecretString) -> Self {
        Self {
            options: self.options.clone().username(user).password(password.expose_secret()),
            forbidden: self.forbidden,
            target: Target { user: user.to_owned(), has_password: true, ..self.target.clone() },
            idle: Mutex::default(),
            kept: self.kept,
        }
    }

    /// A new connection.
    ///
    /// # Errors
    /// `HostNotFound`, `AddressForbidden`, `ConnectionFailed`, `TlsFailed`, `AuthenticationFailed`, `DatabaseNotFound`,
    /// `PermissionDenied`, `WarehouseUnavailable`.
    pub async fn connect(&self) -> Result<PgConnection, Failure> {
        tokio::time::timeout(CONNECT_TIMEOUT, self.establish()).await.unwrap_or_else(|_| {
            Err(Failure::new(
                Code::ConnectionFailed,
                format!(
                    "{} did not answer within {} s; check host, port, firewall and network policy",
                    self.target.address(),
                    CONNECT_TIMEOUT.as_secs()
                ),
            ))
        })
    }

    async fn establish(&self) -> Result<PgConnection, Failure> {
        let Target { host, port, .. } = &self.target;
        if !host.starts_with('/') {
            let found = tokio::net::lookup_host((host.as_str(), *port)).await;
            let found: Vec<IpAddr> = found.into_iter().flatten().map(|address| address.ip()).collect();
            if found.is_empty() {
                return Err(Failure::new(
                    Code::HostNotFound,
                    format!(
                        "host \"{host}\" cannot be resolved; check the name, and that it is known inside the cluster"
                    ),
                ));
            }
            // The driver takes any of them.
            if found.into_iter().any(self.forbidden) {
                return Err(Failure::new(
                    Code::AddressForbidden,
                    format!(
                        "host \"{host}\" is an address of the pod or of the node, where nothing may be sent; name another host"
                    ),
                ));
            }
        }
        PgConnection::connect_with(&self.options).await.map_err(|error| errors::connect(&error, &self.target))
    }

    /// An idle connection that still answers, else a new one.
    ///
    /// # Errors
    /// As [`Connector::connect`].
    pub async fn take(&self) -> Result<PgConnection, Failure> {
        loop {
            let Some(mut connection) = self.idle.lock().await.pop() else { return self.connect().await };
            if matches!(tokio::time::timeout(Duration::from_secs(5), connection.ping()).await, Ok(Ok(()))) {
                return Ok(connection);
            }
        }
    }

    /// Keeps a connection that is outside of any transaction for the next step.
    pub async fn give_back(&self, connection: PgConnection) {
        let mut idle = self.idle.lock().await;
        if !idle.is_empty() && idle.len() >= self.kept {
            idle.remove(0);
        }
        idle.push(connection);
    }
}

impl Target {
    /// `Postgres at host:port`, for messages.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{} at {}:{}", self.words.product, self.host, self.port)
    }
}

/// Begins a transaction with our settings. The caller ends it with [`end`], or drops the connection.
///
/// # Errors
/// Of the connection.
pub async fn begin(connection: &mut PgConnection, purpose: Purpose) -> Result<(), sqlx::Error> {
    let (mode, more) = match purpose {
        Purpose::Read => ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", WATCH_CLIENT),
        Purpose::Write => ("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", BOUND_LOCKS),
        Purpose::Compare => ("BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE", COMPARE),
        // A standby refuses to begin to write by another error than the one for a write.
        Purpose::Deliver => ("BEGIN ISOLATION LEVEL READ COMMITTED", DELIVER),
    };
    run(connection, format!("{mode}; {SETTINGS}; {more}")).await
}

/// Ends a transaction: `COMMIT` or `ROLLBACK`.
///
/// # Errors
/// Of the connection, and of constraints that are looked at last.
pub async fn end(connection: &mut PgConnection, how: &'static str) -> Result<(), sqlx::Error> {
    run(connection, how.to_owned()).await
}

/// Runs text of our own by the simple protocol.
///
/// # Errors
/// What the server says.
pub async fn run(connection: &mut PgConnection, sql: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop)
}

fn certificates(secrets: &dyn Secrets, reference: &SecretRef) -> Result<Vec<u8>, Failure> {
    let pem = secrets.read(reference)?.expose_secret().as_bytes().to_vec();
    let mut found = CertificateDer::pem_slice_iter(&pem).peekable();
    if found.peek().is_none() || found.any(|certificate| certificate.is_err()) {
        return Err(not_pem(reference, "certificate"));
    }
    Ok(pem)
}

fn private_key(secrets: &dyn Secrets, reference: &SecretRef) -> Result<Vec<u8>, Failure> {
    let pem = secrets.read(reference)?.expose_secret().as_bytes().to_vec();
    if PrivateKeyDer::from_pem_slice(&pem).is_err() {
        return Err(not_pem(reference, "private key"));
    }
    Ok(pem)
}

fn not_pem(reference: &SecretRef, what: &str) -> Failure {
    Failure::new(
        Code::TlsFailed,
        format!("key \"{}\" of Secret \"{}\" is not a PEM {what}", reference.key, reference.name),
    )
}
