//! A Mapping from a real Postgres to a real receiver, run by the worker's program as a pod would start it.

mod pod;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Weak};

use anyhow::{Context as _, bail, ensure};
use backflow_core::plan::{Include, Mode, ModelPlan, ModelQuery, Retry, SyncPlan};
use backflow_core::result::RunResult;
use backflow_core::secret::{SecretRef, Secrets as _};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::postgres::PostgresServer;
use crate::receiver::{Expect, Item, Receiver};
use crate::webhook::{Webhook, random_secret};

pub use pod::{Ended, Pod, Worker};

/// Id (JSON), operation and data of a record.
pub type Sent = (String, String, Value);

/// What the image sets for its program: memory that is free goes back at once.
pub const IMAGE_VARIABLE: (&str, &str) = ("MIMALLOC_PURGE_DELAY", "0");

/// Where a run of the streaming engine can be made to die, in the order in which it gets there.
pub const FAILPOINTS: [&str; 13] = [
    "after-extract",
    "after-mark",
    "after-send",
    "after-send:9",
    "after-acknowledge",
    "after-acknowledge:9",
    "inside-commit",
    "inside-commit:2",
    "after-commit",
    "after-commit:2",
    "before-fold",
    "inside-fold",
    "before-result",
];

/// The same of the pushdown engine.
pub const PUSHDOWN_FAILPOINTS: [&str; 11] = [
    "after-delta",
    "after-extract",
    "after-send:9",
    "after-acknowledge",
    "inside-commit",
    "inside-apply",
    "inside-apply:2",
    "after-commit",
    "before-fold",
    "inside-apply:3",
    "before-result",
];

/// One server for the tests that run at the same time; it ends with the last of them.
static SERVER: Mutex<Weak<PostgresServer>> = Mutex::const_new(Weak::new());

async fn server() -> anyhow::Result<Arc<PostgresServer>> {
    let mut shared = SERVER.lock().await;
    if let Some(running) = shared.upgrade() {
        return Ok(running);
    }
    let started = Arc::new(PostgresServer::start().await?);
    *shared = Arc::downgrade(&started);
    Ok(started)
}

/// A Mapping of the table `customers` in a database of its own, with a receiver of its own.
pub struct Scenario {
    /// The server that the database is on.
    pub server: Arc<PostgresServer>,
    /// Database, and the role that owns it.
    pub database: String,
    /// Where records go.
    pub receiver: Receiver,
    /// What the next run is given.
    pub sync: SyncPlan,
    /// The cluster that the next run belongs to.
    pub owner: String,
    token: String,
    folder: TempDir,
    pods: AtomicUsize,
    read: AtomicUsize,
    requests: AtomicUsize,
}

impl Scenario {
    /// A Mirror of all columns of `customers`, which does not exist yet, with the primary key `id`.
    ///
    /// # Errors
    /// If server or receiver do not start.
    pub async fn start() -> anyhow::Result<Self> {
        let server = server().await?;
        let database = format!("d{:016x}", fastrand::u64(..));
        server.role(&database).await?;
        server.exec("postgres", &format!("CREATE DATABASE {database} OWNER {database}")).await?;
        let expect = Expect {
            token: Some(random_secret("token-")),
            signing_key: Some(random_secret("signing-")),
            ..Expect::default()
        };
        let receiver = Receiver::start(expect.clone()).await?;
        let Webhook { destination, mut mapping, secrets } = Webhook::new(&receiver.url()).expected(&expect);
        mapping.include = Some(Include { columns: vec!["*".into()], except: Vec::new(), into: None });
        mapping.fingerprint = "fields-1".into();
        mapping.identity = BTreeMap::from([
            ("destination.settings.url".to_owned(), receiver.url()),
            ("source.database".to_owned(), database.clone()),
        ]);
        mapping.scratch_bytes = 1 << 30;
        mapping.retry = Retry { max_attempts: 1, window_seconds: 60 };
        let folder = tempfile::Builder::new().prefix("backflow-worker-").tempdir()?;
        std::fs::create_dir(folder.path().join("scratch"))?;
        let sync = SyncPlan {
            mode: Mode::Incremental,
            source: server.source(&database, &database),
            model: ModelPlan {
                name: "customers".into(),
                query: ModelQuery::Table("customers".into()),
                primary_key: vec!["id".into()],
            },
            mapping,
            destination,
            options: backflow_core::plan::RunOptions::default(),
        };
        let scenario = Self {
            server,
            database,
            receiver,
            sync,
            owner: "cluster-a".into(),
            token: expect.token.unwrap_or_default(),
            folder,
            pods: AtomicUsize::new(0),
            read: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
        };
        for (key, value) in secrets {
            scenario.put_secret("hook", &key, &value)?;
        }
        scenario.restore_password()?;
        Ok(scenario)
    }

    /// [`Scenario::start`] with `rows` customers, numbered from 1.
    ///
    /// # Errors
    /// As there.
    pub async fn with_customers(rows: u32) -> anyhow::Result<Self> {
        let scenario = Self::start().await?;
        scenario
            .sql("CREATE TABLE customers (id bigint, name text, email text, plan text, score int, active bool)")
            .await?;
        scenario.add_customers(1, rows).await?;
        Ok(scenario)
    }

    /// Inserts the customers `first..=last`.
    ///
    /// # Errors
    /// What the server says.
    pub async fn add_customers(&self, first: u32, last: u32) -> anyhow::Result<()> {
        let insert = format!(
            "INSERT INTO customers SELECT n, 'name ' || n, 'c' || n || '@example.com', CASE n % 3 WHEN 0 THEN NULL ELSE 'pro' END, \
             n % 1000, n % 2 = 0 FROM generate_series({first}, {last}) AS n"
        );
        self.sql(&insert).await
    }

    /// Runs SQL as the Source's role.
    ///
    /// # Errors
    /// What the server says.
    pub async fn sql(&self, sql: &str) -> anyhow::Result<()> {
        self.server.exec(&self.database, &format!("SET ROLE {}; {sql}", self.database)).await
    }

    /// The first value of a query, as text.
    ///
    /// # Errors
    /// What the server says; no row; NULL.
    pub async fn value(&self, sql: &str) -> anyhow::Result<String> {
        let rows = self.server.query(&self.database, sql).await?;
        rows.into_iter().flatten().flatten().next().context("the query has no value")
    }

    /// What should arrive for the customers that `condition` selects, as the server makes JSON of them.
    ///
    /// # Errors
    /// What the server says.
    pub async fn expected(&self, op: &str, condition: &str) -> anyhow::Result<Vec<Sent>> {
        let sql = format!(
            "SELECT to_json(c.id)::text, row_to_json(c)::text FROM customers AS c WHERE {condition} ORDER BY 1"
        );
        let mut sent = Vec::new();
        for row in self.server.query(&self.database, &sql).await? {
            let [Some(id), Some(data)] = row.as_slice() else { bail!("a customer without id") };
            sent.push((id.clone(), op.to_owned(), serde_json::from_str(data)?));
        }
        sent.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(sent)
    }

    /// The records that the receiver took since the last call.
    pub fn items(&self) -> Vec<Item> {
        let mut items = self.receiver.ledger().items;
        let from = self.read.swap(items.len(), SeqCst);
        items.split_off(from)
    }

    /// The same, without keys and in the order of ids and operations.
    pub fn taken(&self) -> Vec<Sent> {
        sorted(&self.items())
    }

    /// How many requests with batches came since the last call.
    pub fn requests(&self) -> usize {
        let all = self.receiver.ledger().requests.len();
        all - self.requests.swap(all, SeqCst)
    }

    /// Stores a value where the worker finds it.
    ///
    /// # Errors
    /// Of the disk.
    pub fn put_secret(&self, name: &str, key: &str, value: &str) -> anyhow::Result<()> {
        let folder = self.secrets().join(name);
        std::fs::create_dir_all(&folder)?;
        Ok(std::fs::write(folder.join(key), value)?)
    }

    /// Puts the right password of the warehouse's role into its Secret.
    ///
    /// # Errors
    /// Of the disk.
    pub fn restore_password(&self) -> anyhow::Result<()> {
        let reference = SecretRef { name: self.database.clone(), key: "password".into() };
        let password = self.server.read(&reference)?;
        self.put_secret(&self.database, "password", password.expose_secret())
    }

    /// Puts the right token of the destination into its Secret.
    ///
    /// # Errors
    /// Of the disk.
    pub fn restore_token(&self) -> anyhow::Result<()> {
        self.put_secret("hook", "authToken", &self.token)
    }

    /// The folder of Secrets.
    #[must_use]
    pub fn secrets(&self) -> PathBuf {
        self.folder.path().join("secrets")
    }

    /// A pod for the run of this name, with the plan as it is now.
    #[must_use]
    pub fn pod(&self, run: &str) -> Pod<'_> {
        Pod::new(self, run)
    }

    /// Runs a pod to its end.
    ///
    /// # Errors
    /// If it cannot be started.
    pub async fn run(&self, run: &str) -> anyhow::Result<Ended> {
        self.pod(run).start()?.ended().await
    }

    /// Runs a pod, which must succeed.
    ///
    /// # Errors
    /// If it does not.
    pub async fn succeed(&self, run: &str) -> anyhow::Result<RunResult> {
        let ended = self.run(run).await?;
        ensure!(ended.phase()? == "Succeeded" && ended.code == Some(0), "{run} did not succeed: {ended:?}");
        ended.result()
    }
}

/// Id, operation and data of items, in the order of ids and operations.
#[must_use]
pub fn sorted(items: &[Item]) -> Vec<Sent> {
    let mut sent: Vec<Sent> =
        items.iter().map(|item| (item.id.to_string(), item.op.clone(), item.data.clone())).collect();
    sent.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    sent
}

/// Whether every change that a run found has exactly one outcome.
#[must_use]
pub fn balanced(result: &RunResult) -> bool {
    let Some(found) = &result.findings else { return false };
    let counters = &result.counters;
    found.added + found.updated + found.deleted + counters.still_rejected
        == counters.delivered() + counters.rejected + counters.retrying + counters.withheld + counters.skipped()
}
