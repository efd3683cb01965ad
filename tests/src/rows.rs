//! A database of its own as a Destination, and Mappings that write into its tables.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};

use backflow_core::change::Memory;
use backflow_core::code::Failure;
use backflow_core::guard::Deletes;
use backflow_core::plan::{DestinationLimits, DestinationPlan, MappingPlan, OnMappingChange, Retry};
use backflow_core::record::Record;
use backflow_core::secret::{SecretRef, Secrets};
use backflow_core::selection::{Operation, Selection, SyncMode};
use backflow_core::sink::Sink;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::postgres::PostgresServer;
use crate::webhook::Stopping;

/// One server for the tests that run at the same time; it ends with the last of them.
static SERVER: tokio::sync::Mutex<Weak<PostgresServer>> = tokio::sync::Mutex::const_new(Weak::new());

async fn server() -> anyhow::Result<Arc<PostgresServer>> {
    let mut shared = SERVER.lock().await;
    if let Some(running) = shared.upgrade() {
        return Ok(running);
    }
    let started = Arc::new(PostgresServer::start().await?);
    *shared = Arc::downgrade(&started);
    Ok(started)
}

/// A database with a role that owns it, the Destination that names it, and a Mapping.
pub struct Rows {
    /// The server that the database is on.
    pub server: Arc<PostgresServer>,
    /// Database, and the role that owns it.
    pub database: String,
    /// As a run is given it.
    pub destination: DestinationPlan,
    /// As a run is given it.
    pub mapping: MappingPlan,
    /// Passwords that are not those of the server's roles.
    pub wrong: Mutex<BTreeMap<String, String>>,
}

impl Secrets for Rows {
    fn read(&self, reference: &SecretRef) -> Result<SecretString, Failure> {
        let wrong = self.wrong.lock().ok().and_then(|wrong| wrong.get(&reference.key).cloned());
        wrong.map_or_else(|| self.server.read(reference), |value| Ok(value.into()))
    }
}

impl Rows {
    /// On the server that tests share, with the table that `sql` makes.
    ///
    /// # Errors
    /// What the server says.
    pub async fn with(sql: &str) -> anyhow::Result<Self> {
        Self::on(server().await?, sql).await
    }

    /// On a server of its own.
    ///
    /// # Errors
    /// What the server says.
    pub async fn on(server: Arc<PostgresServer>, sql: &str) -> anyhow::Result<Self> {
        let database = format!("d{:016x}", fastrand::u64(..));
        server.role(&database).await?;
        server.exec("postgres", &format!("CREATE DATABASE {database} OWNER {database}")).await?;
        server.exec(&database, &format!("ALTER SCHEMA public OWNER TO {database}")).await?;
        let definition = backflow_definitions::builtin("postgres").map_or(1, |definition| definition.version);
        let settings = json!({
            "host": "127.0.0.1", "port": server.port(), "database": database, "user": database, "tlsMode": "Disable",
        });
        let destination = DestinationPlan {
            name: "shop-db".into(),
            kind: "postgres".into(),
            definition_version: definition,
            auth: "password".into(),
            settings: serde_json::from_value(settings)?,
            secrets: BTreeMap::from([(
                "password".to_owned(),
                SecretRef { name: database.clone(), key: "password".into() },
            )]),
            limits: DestinationLimits::default(),
            allow_loopback: true,
            definition: None,
        };
        let mapping = MappingPlan {
            name: "people".into(),
            state_key: "shop/people".into(),
            action: "upsertRow".into(),
            selection: Selection::SyncMode(SyncMode::Mirror),
            config: serde_json::from_value(json!({"table": "people", "keyColumns": ["id"]}))?,
            fields: BTreeMap::new(),
            match_by: None,
            group_by: None,
            include: None,
            filter: None,
            fingerprint: "fields-1".into(),
            on_change: OnMappingChange::Resend,
            identity: BTreeMap::new(),
            deletes: Deletes::default(),
            retry: Retry { max_attempts: 4, window_seconds: 60 },
            scratch_bytes: 1 << 30,
        };
        let rows = Self { server, database, destination, mapping, wrong: Mutex::default() };
        rows.sql(sql).await?;
        Ok(rows)
    }

    /// Changes the Mapping.
    #[must_use]
    pub fn mapped(mut self, action: &str, config: Value, mode: SyncMode) -> Self {
        self.mapping.action = action.to_owned();
        self.mapping.config = serde_json::from_value(config).unwrap_or_default();
        self.mapping.match_by = self.mapping.config.get("matchBy").and_then(Value::as_str).map(str::to_owned);
        self.mapping.selection = Selection::SyncMode(mode);
        self
    }

    /// Changes a setting.
    #[must_use]
    pub fn setting(mut self, name: &str, value: Value) -> Self {
        self.destination.settings.insert(name.to_owned(), value);
        self
    }

    /// Bounds retries.
    #[must_use]
    pub const fn attempts(mut self, most: u32) -> Self {
        self.mapping.retry.max_attempts = most;
        self
    }

    /// Opens the sink, and what stops it.
    ///
    /// # Errors
    /// As [`backflow_destinations::open`].
    pub fn open(&self) -> Result<(Arc<dyn Sink>, Stopping), Failure> {
        let (stop, asked) = watch::channel(None);
        Ok((backflow_destinations::open(&self.destination, &self.mapping, self, None, asked)?, stop))
    }

    /// Opens the sink and makes it ready for these fields.
    ///
    /// # Errors
    /// What the table does not have.
    pub async fn ready(&self, fields: &[&str]) -> Result<Option<String>, Failure> {
        let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
        self.open()?.0.ready(&fields).await
    }

    /// Runs SQL as the role.
    ///
    /// # Errors
    /// What the server says.
    pub async fn sql(&self, sql: &str) -> anyhow::Result<()> {
        self.server.exec(&self.database, &format!("SET ROLE {}; {sql}", self.database)).await
    }

    /// The rows of a query, the columns of each with a blank between; NULL is `-`.
    ///
    /// # Errors
    /// What the server says.
    pub async fn seen(&self, sql: &str) -> anyhow::Result<Vec<String>> {
        let rows = self.server.query(&self.database, sql).await?;
        let shown = |cell: Option<String>| cell.unwrap_or_else(|| "-".to_owned());
        Ok(rows.into_iter().map(|row| row.into_iter().map(shown).collect::<Vec<_>>().join(" ")).collect())
    }
}

/// A record with this primary key, as JSON, and these fields.
#[must_use]
pub fn record(id: &Value, op: Operation, data: &Value) -> Record {
    let key: String = (0..22).map(|_| fastrand::alphanumeric()).collect();
    Record { id: id.to_string(), op, memory: Memory::default(), data: data.to_string(), key }
}
