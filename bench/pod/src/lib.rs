//! A Mapping on a real cluster, its operator installed by the chart, whose runs are pods with a limit of memory.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use backflow_crds::conditions::ConditionType;
use backflow_crds::v1alpha1::{Mapping, Sync, SyncPhase};
use backflow_tests::cluster::manifests::{self, MAPPING, MODEL, SOURCE, key_of, object, secret};
use backflow_tests::cluster::scene::{conditions, is_true, status};
use backflow_tests::cluster::{Cluster, Namespace, Operator};
use futures::future::BoxFuture;
use kube::runtime::wait::await_condition;
use serde_json::json;

/// The longest that a run may take.
const PATIENCE: Duration = Duration::from_secs(1800);

/// An address of this machine that pods reach.
///
/// Boxed, so that the clients of Kubernetes are compiled here and not with what has to be fast.
///
/// # Errors
/// There is no cluster, or its node is another machine.
pub fn host() -> BoxFuture<'static, anyhow::Result<IpAddr>> {
    Box::pin(async { Ok(Cluster::connect().await?.host) })
}

/// What a Mapping is between.
#[derive(Clone, Debug)]
pub struct Between {
    /// Port of the Postgres on this machine.
    pub port: u16,
    /// Its database.
    pub database: String,
    /// The role that reads.
    pub role: String,
    /// The role's password.
    pub password: String,
    /// The table, with the key `id`.
    pub table: String,
    /// Where batches go.
    pub url: String,
}

/// A Mapping of all columns, a Mirror; its namespace goes with this.
pub struct Mapped {
    namespace: Namespace,
    runs: u32,
}

/// A run that has ended.
#[derive(Clone, Debug)]
pub struct Ran {
    /// From the request until it was known to have ended.
    pub seconds: f64,
    /// The most memory that the worker had resident, in MiB.
    pub peak_mib: f64,
    /// What is wrong with it.
    pub fault: Option<String>,
}

impl Mapped {
    /// Applies the manifests and waits until the Mapping is Ready. `limit_mib`: the memory that its pods may use.
    ///
    /// # Errors
    /// It does not become Ready.
    pub fn apply(between: Between, limit_mib: u64) -> BoxFuture<'static, anyhow::Result<Self>> {
        Box::pin(async move {
            let cluster = Cluster::connect().await?;
            Operator::ensure(&cluster).await?;
            let namespace = Namespace::create(&cluster, "bench").await?;
            namespace.apply(&manifests(&between, cluster.host, limit_mib)).await?;
            namespace
                .until(MAPPING, "Ready", |mapping: &Mapping| is_true(&conditions(mapping), ConditionType::Ready))
                .await?;
            Ok(Self { namespace, runs: 0 })
        })
    }

    /// Runs it once.
    ///
    /// # Errors
    /// The run does not end.
    pub fn run(&mut self) -> BoxFuture<'_, anyhow::Result<Ran>> {
        self.runs += 1;
        let name = format!("run-{}", self.runs);
        Box::pin(async move {
            let since = Instant::now();
            self.namespace.apply(&[manifests::sync(&name, json!({}))]).await?;
            let ended = |sync: Option<&Sync>| sync.is_some_and(|sync| status(sync).is_finished());
            let waiting = await_condition(self.namespace.api::<Sync>(), &name, ended);
            let sync = tokio::time::timeout(PATIENCE, waiting).await.context("the run does not end")??;
            let seconds = since.elapsed().as_secs_f64();
            let status = status(&sync.context("the Sync is gone")?);
            let right = status.phase == Some(SyncPhase::Succeeded);
            let log = self.namespace.kubectl(&format!("logs --tail=20 -l backflow.dev/run={name}")).await?;
            let field = log.rsplit("\"peak_memory_kib\":").next().and_then(|rest| rest.split([',', '}']).next());
            let kib: Option<f64> = field.and_then(|text| text.trim().parse().ok());
            ensure!(!right || kib.is_some(), "{name} does not say how much memory it used: {log}");
            Ok(Ran {
                seconds,
                peak_mib: kib.unwrap_or(f64::NAN) / 1024.0,
                fault: (!right).then(|| format!("{name}: {status:?}")),
            })
        })
    }

    /// What was measured is right: nothing is printed when its namespace goes.
    pub fn end(self) {
        self.namespace.end();
    }
}

fn manifests(between: &Between, host: IpAddr, limit_mib: u64) -> Vec<serde_json::Value> {
    let Between { port, database, role, password, table, url } = between;
    let postgres = json!({
        "host": host.to_string(), "port": port, "database": database, "user": role,
        "password": key_of("warehouse", "password"), "tls": {"mode": "Disable"},
    });
    let memory = format!("{limit_mib}Mi");
    let resources = json!({"requests": {"memory": memory}, "limits": {"memory": memory}});
    let mapping = json!({
        "modelRef": {"name": MODEL}, "destinationRef": {"name": "hook"}, "action": "send", "syncMode": "Mirror",
        "include": {"columns": ["*"]}, "schedule": {"manual": {}}, "worker": {"resources": resources},
    });
    vec![
        secret("warehouse", &[("password", password)]),
        object("Source", SOURCE, json!({"postgres": postgres})),
        object("Model", MODEL, json!({"sourceRef": {"name": SOURCE}, "table": table, "primaryKey": ["id"]})),
        object("Destination", "hook", json!({"type": "webhook", "settings": {"url": url}})),
        object("Mapping", MAPPING, mapping),
    ]
}
