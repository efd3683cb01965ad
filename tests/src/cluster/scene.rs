//! A Mapping from a real Postgres to a real receiver, in a namespace of its own.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Weak};

use anyhow::{Context as _, bail, ensure};
use backflow_crds::conditions::ConditionType;
use backflow_crds::v1alpha1::{Mapping, REQUESTED_AT, Sync, SyncPhase, SyncStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::manifests::{self, MAPPING};
use super::{Cluster, Namespace, Operator};
use crate::postgres::{PostgresServer, ServerTls};
use crate::receiver::{Expect, Item, Receiver};
use crate::webhook::random_secret;
use crate::worker::{Sent, sorted};

/// One server for the tests that run at the same time; it ends with the last of them.
static SERVER: Mutex<Weak<PostgresServer>> = Mutex::const_new(Weak::new());

async fn server(cluster: &Cluster) -> anyhow::Result<Arc<PostgresServer>> {
    let mut shared = SERVER.lock().await;
    if let Some(running) = shared.upgrade() {
        return Ok(running);
    }
    let started = Arc::new(PostgresServer::start_at(cluster.host, ServerTls::Off).await?);
    *shared = Arc::downgrade(&started);
    Ok(started)
}

/// A namespace with credentials, a database with customers, and a receiver. Nothing of Backflow's is applied yet.
pub struct Scene {
    /// Where the manifests go.
    pub namespace: Namespace,
    /// The server that the database is on.
    pub server: Arc<PostgresServer>,
    /// Database, and the role that owns it.
    pub database: String,
    /// Where records go.
    pub receiver: Receiver,
    expect: Expect,
    read: AtomicUsize,
    requests: AtomicUsize,
    syncs: AtomicUsize,
}

impl Scene {
    /// Sets the scene, with customers numbered from 1; the operator serves it.
    ///
    /// # Errors
    /// Something does not start.
    pub async fn with_customers(name: &str, rows: u32) -> anyhow::Result<Self> {
        let cluster = Cluster::connect().await?;
        Operator::ensure(&cluster).await?;
        let server = server(&cluster).await?;
        Self::on(server, &cluster, name, rows).await
    }

    /// The same on a server of the test's own.
    ///
    /// # Errors
    /// Something does not start.
    pub async fn on(server: Arc<PostgresServer>, cluster: &Cluster, name: &str, rows: u32) -> anyhow::Result<Self> {
        let database = format!("d{:016x}", fastrand::u64(..));
        server.role(&database).await?;
        server.exec("postgres", &format!("CREATE DATABASE {database} OWNER {database}")).await?;
        let expect = Expect {
            token: Some(random_secret("token-")),
            signing_key: Some(random_secret("signing-")),
            ..Expect::default()
        };
        let receiver = Receiver::bind(SocketAddr::from((cluster.host, 0)), expect.clone()).await?;
        let namespace = Namespace::create(cluster, name).await?;
        let (read, requests, syncs) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        let scene = Self { namespace, server, database, receiver, expect, read, requests, syncs };
        scene.restore_secrets().await?;
        scene
            .sql("CREATE TABLE customers (id bigint, name text, email text, plan text, score int, active bool)")
            .await?;
        scene.add_customers(1, rows).await?;
        Ok(scene)
    }

    /// The test passed.
    pub fn end(self) {
        self.namespace.end();
    }

    /// Puts the right credentials into the Secrets.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn restore_secrets(&self) -> anyhow::Result<()> {
        let values: Vec<String> = self.credentials()?.into_iter().map(|(_, value)| value).collect();
        let [password, token, key] = values.as_slice() else { bail!("three credentials") };
        let warehouse = manifests::secret("warehouse", &[("password", password)]);
        let hook = manifests::secret("hook", &[("token", token), ("signing-key", key)]);
        self.namespace.apply(&[warehouse, hook]).await.map(drop)
    }

    /// What its receiver expects.
    #[must_use]
    pub const fn expect(&self) -> &Expect {
        &self.expect
    }

    /// Every credential of the scene, by what it is.
    ///
    /// # Errors
    /// The role has no password.
    pub fn credentials(&self) -> anyhow::Result<Vec<(&'static str, String)>> {
        let password = self.server.password(&self.database).context("the role has no password")?;
        let Expect { token, signing_key, .. } = self.expect.clone();
        Ok(vec![
            ("password", password),
            ("token", token.context("no token")?),
            ("signing key", signing_key.context("no signing key")?),
        ])
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

    /// Applies the four manifests and waits until the Mapping is Ready.
    ///
    /// # Errors
    /// It is not.
    pub async fn ready(&self) -> anyhow::Result<Mapping> {
        self.namespace.apply(&self.all()).await?;
        self.mapping_is("Ready", |mapping| is_true(&conditions(mapping), ConditionType::Ready)).await
    }

    /// Waits for something about the Mapping, as it is described by its newest generation.
    ///
    /// # Errors
    /// It does not become so.
    pub async fn mapping_is(&self, what: &str, right: impl Fn(&Mapping) -> bool) -> anyhow::Result<Mapping> {
        self.namespace
            .until(MAPPING, what, |mapping: &Mapping| {
                let observed = mapping.status.as_ref().and_then(|status| status.observed_generation);
                observed == mapping.metadata.generation && right(mapping)
            })
            .await
    }

    /// Asks for a run by annotation, and waits for its end.
    ///
    /// # Errors
    /// It does not start, or does not end.
    pub async fn request(&self) -> anyhow::Result<Sync> {
        let token = format!("request-{}", fastrand::u64(..));
        let patch = json!({"metadata": {"annotations": {REQUESTED_AT: token}}});
        let api = self.namespace.api::<Mapping>();
        api.patch(MAPPING, &PatchParams::default(), &Patch::Merge(patch)).await?;
        let mapping = self
            .mapping_is("done with the request", |mapping| {
                let Some(status) = &mapping.status else { return false };
                status.last_handled_request.as_ref() == Some(&token)
                    && status.active.is_none()
                    && status.last_sync.is_some()
            })
            .await?;
        let last = mapping.status.and_then(|status| status.last_sync).context("a Mapping without runs")?;
        self.namespace.get(&last.name).await
    }

    /// Creates a Sync of the Mapping, under a name of its own.
    ///
    /// # Errors
    /// It is refused.
    pub async fn create(&self, spec: Value) -> anyhow::Result<String> {
        let name = format!("by-hand-{}", self.syncs.fetch_add(1, SeqCst));
        self.namespace.apply(&[manifests::sync(&name, spec)]).await?;
        Ok(name)
    }

    /// Waits for the end of a Sync.
    ///
    /// # Errors
    /// It does not end.
    pub async fn ended(&self, name: &str) -> anyhow::Result<Sync> {
        self.namespace.until(name, "ended", |sync: &Sync| status(sync).is_finished()).await
    }

    /// Creates a Sync of the Mapping, and waits for its end.
    ///
    /// # Errors
    /// It does not end.
    pub async fn run(&self, spec: Value) -> anyhow::Result<Sync> {
        let name = self.create(spec).await?;
        self.ended(&name).await
    }

    /// The same; it must succeed.
    ///
    /// # Errors
    /// It does not.
    pub async fn succeed(&self, spec: Value) -> anyhow::Result<SyncStatus> {
        let sync = self.run(spec).await?;
        let status = status(&sync);
        ensure!(status.phase == Some(SyncPhase::Succeeded), "{} did not succeed: {status:?}", sync.name_any());
        Ok(status)
    }

    /// Notes of the events about an object, with their reasons.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn events(&self, kind: &str, name: &str) -> anyhow::Result<Vec<(String, String)>> {
        let events = self.namespace.list::<k8s_openapi::api::events::v1::Event>().await?;
        Ok(events
            .into_iter()
            .filter(|event| {
                let about = event.regarding.clone().unwrap_or_default();
                about.kind.as_deref() == Some(kind) && about.name.as_deref() == Some(name)
            })
            .map(|event| (event.reason.unwrap_or_default(), event.note.unwrap_or_default()))
            .collect())
    }
}

/// The status of a Sync.
#[must_use]
pub fn status(sync: &Sync) -> SyncStatus {
    sync.status.clone().unwrap_or_default()
}

/// The conditions of a Mapping.
#[must_use]
pub fn conditions(mapping: &Mapping) -> Vec<Condition> {
    mapping.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default()
}

/// Whether a condition is there and true.
#[must_use]
pub fn is_true(conditions: &[Condition], kind: ConditionType) -> bool {
    conditions.iter().any(|condition| condition.type_ == kind.as_str() && condition.status == "True")
}
