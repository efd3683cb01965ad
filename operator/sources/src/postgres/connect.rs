//! Connections: options from a plan, and a slot that keeps one alive between steps.

use std::time::Duration;

use backflow_core::code::{Code, Failure};
use backflow_core::plan::{Postgres, TlsMode};
use backflow_core::secret::Secrets;
use secrecy::ExposeSecret;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use tokio::sync::Mutex;

use super::errors;
use crate::tls::{self, Peer};

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

/// The entries are the hashed side of a join: with the usual 4 MiB they would go through files. To compile the statement takes longer
/// than it saves.
const COMPARE: &str = "SELECT set_config(name, '5s', true) FROM pg_catalog.pg_settings \
     WHERE name = 'client_connection_check_interval'; \
     SELECT set_config('work_mem', '64MB', true) WHERE pg_size_bytes(current_setting('work_mem')) < 67108864; \
     SET LOCAL idle_in_transaction_session_timeout = '60s'; SET LOCAL jit = off";

/// What a transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// One snapshot, nothing can be written.
    Read,
    /// State: short, and conditional on rows that it locks.
    Write,
    /// The warehouse compares: one snapshot, and long.
    Compare,
}

/// The server as the user names it, for messages.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) database: String,
    pub(crate) user: String,
    pub(crate) tls: TlsMode,
    pub(crate) has_password: bool,
    pub(crate) has_certificate: bool,
    pub(crate) has_ca: bool,
}

/// Opens connections, and keeps an idle one.
pub(crate) struct Connector {
    options: PgConnectOptions,
    pub(crate) target: Target,
    idle: Mutex<Option<PgConnection>>,
}

impl Connector {
    pub(crate) fn new(plan: &Postgres, secrets: &dyn Secrets, application_name: &str) -> Result<Self, Failure> {
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
                options = options.ssl_root_cert_from_pem(tls::pem_certificates(secrets, ca)?);
            }
            match (&plan.tls.client_certificate, &plan.tls.client_key) {
                (Some(certificate), Some(key)) => {
                    options = options
                        .ssl_client_cert_from_pem(tls::pem_certificates(secrets, certificate)?)
                        .ssl_client_key_from_pem(tls::pem_key(secrets, key)?);
                }
                (None, None) => {}
                _ => return Err(tls::not_a_pair()),
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
        };
        Ok(Self { options, target, idle: Mutex::new(None) })
    }

    /// A new connection.
    pub(crate) async fn connect(&self) -> Result<PgConnection, Failure> {
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
        if !host.starts_with('/')
            && tokio::net::lookup_host((host.as_str(), *port)).await.map_or(true, |mut all| all.next().is_none())
        {
            return Err(Failure::new(
                Code::HostNotFound,
                format!("host \"{host}\" cannot be resolved; check the name, and that it is known inside the cluster"),
            ));
        }
        PgConnection::connect_with(&self.options).await.map_err(|error| errors::connect(&error, &self.target))
    }

    /// The idle connection if it still answers, else a new one.
    pub(crate) async fn take(&self) -> Result<PgConnection, Failure> {
        let idle = self.idle.lock().await.take();
        if let Some(mut connection) = idle
            && matches!(tokio::time::timeout(Duration::from_secs(5), connection.ping()).await, Ok(Ok(())))
        {
            return Ok(connection);
        }
        self.connect().await
    }

    /// Keeps a connection that is outside of any transaction for the next step.
    pub(crate) async fn give_back(&self, connection: PgConnection) {
        *self.idle.lock().await = Some(connection);
    }
}

impl Target {
    /// `host:port`, for messages.
    pub(crate) fn address(&self) -> String {
        format!("Postgres at {}:{}", self.host, self.port)
    }

    /// The server, for messages about its TLS.
    pub(crate) fn peer(&self) -> Peer {
        Peer {
            address: self.address(),
            host: self.host.clone(),
            mode: self.tls,
            has_certificate: self.has_certificate,
            has_ca: self.has_ca,
        }
    }
}

/// Begins a transaction with our settings. The caller ends it with [`end`], or drops the connection.
pub(crate) async fn begin(connection: &mut PgConnection, purpose: Purpose) -> Result<(), sqlx::Error> {
    let (mode, more) = match purpose {
        Purpose::Read => ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", WATCH_CLIENT),
        Purpose::Write => ("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", BOUND_LOCKS),
        Purpose::Compare => ("BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE", COMPARE),
    };
    run(connection, format!("{mode}; {SETTINGS}; {more}")).await
}

/// Ends a transaction: `COMMIT` or `ROLLBACK`.
pub(crate) async fn end(connection: &mut PgConnection, how: &'static str) -> Result<(), sqlx::Error> {
    run(connection, how.to_owned()).await
}

/// Runs text of our own by the simple protocol.
pub(crate) async fn run(connection: &mut PgConnection, sql: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop)
}
