//! BM10: the controller with thousands of Mappings, on a real API server.
//!
//! There is no kubelet and no Job controller: Jobs are created and stay as they are, so that what is measured is the controller alone.
//! Sources, Models and Destinations are said to have been checked before it starts.

mod api_server;
mod objects;
mod skew;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use backflow_bench_processes::{Cpu, resident};
use backflow_crds::v1alpha1::Mapping;
use backflow_tests::worker::IMAGE_VARIABLE;
use futures::future::BoxFuture;
use k8s_openapi::api::coordination::v1::Lease;
use kube::runtime::wait::await_condition;
use kube::{Api, Client};

use api_server::ApiServer;
use objects::Objects;

pub use skew::Skew;

/// What it needs beside the rest.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The folder of `etcd` and `kube-apiserver`.
    pub kubernetes: PathBuf,
    /// The program that is a controller.
    pub operator: PathBuf,
    /// The folder of the CRDs' manifests.
    pub crds: PathBuf,
}

/// The Lease by which controllers agree who works.
const LEASE: &str = "backflow";
/// The longest that anything may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// Quiet is a controller that uses less than this share of a processor …
const QUIET: f64 = 0.05;
/// … for so long.
const QUIET_FOR: Duration = Duration::from_secs(5);

/// What was measured.
#[derive(Clone, Debug)]
pub struct Found {
    /// Resident memory in MiB, by when.
    pub resident: Vec<(&'static str, f64)>,
    /// At most, in MiB, of the controller that began with all Mappings.
    pub peak: f64,
    /// By how many were due at once.
    pub skews: Vec<(usize, Skew)>,
}

impl Found {
    /// Resident memory at that time.
    #[must_use]
    pub fn resident(&self, when: &str) -> f64 {
        self.resident.iter().find(|(name, _)| *name == when).map_or(f64::NAN, |(_, mib)| *mib)
    }
}

/// Measures with a tenth of `mappings` (`few`), with `all` of them, `restarted` with all of them, and with as many `foreign` objects.
///
/// Boxed, so that the clients of Kubernetes are compiled here and not with what has to be fast.
///
/// # Errors
/// Something did not run at all.
pub fn measure(parts: Parts, mappings: usize) -> BoxFuture<'static, anyhow::Result<Found>> {
    Box::pin(async move { run(&parts, mappings).await })
}

async fn run(parts: &Parts, mappings: usize) -> anyhow::Result<Found> {
    let few = mappings / 10;
    let mut found = Found { resident: Vec::new(), peak: 0.0, skews: Vec::new() };
    let server = ApiServer::start(&parts.kubernetes).await?;
    let client = server.client().await?;
    let objects = Objects::new(client.clone());
    objects.prepare(&parts.crds).await?;

    let mut controller = Controller::start(parts, &server, &client, "first").await?;
    for (name, from, to) in [("few", 0, few), ("all", few, mappings)] {
        objects.mappings(from..to).await?;
        seen(&client, to).await?;
        found.resident.push((name, controller.quiet()?));
    }
    // What it takes to begin with all of them: lists are larger than what is kept.
    drop(controller);
    controller = Controller::start(parts, &server, &client, "second").await?;
    seen(&client, mappings).await?;
    found.resident.push(("restarted", controller.quiet()?));
    objects.foreign(mappings).await?;
    found.resident.push(("foreign", controller.quiet()?));

    for due in [mappings / 100, mappings / 10] {
        found.skews.push((due, skew::measure(&client, &objects, due).await?));
    }
    found.peak = controller.peak()?;
    Ok(found)
}

/// The controller's process; it ends with this.
struct Controller(Child);

impl Controller {
    /// Starts it and waits until it leads: the Lease of one that was killed has to expire.
    async fn start(parts: &Parts, server: &ApiServer, client: &Client, name: &str) -> anyhow::Result<Self> {
        let log = std::fs::File::create(server.path("controller.log"))?;
        let child = Command::new(&parts.operator)
            .arg("backflow-controller")
            .args(["--image", "localhost/backflow:bench", "--cluster-id", "bench", "--http-addr", "127.0.0.1:0"])
            .args(["--pod-namespace", objects::NAMESPACE, "--pod-name", name, "--log", "warn"])
            .env("KUBECONFIG", server.kubeconfig())
            .env(IMAGE_VARIABLE.0, IMAGE_VARIABLE.1)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("the controller does not start")?;
        let leases: Api<Lease> = Api::namespaced(client.clone(), objects::NAMESPACE);
        let leads = |lease: Option<&Lease>| {
            let holder = lease.and_then(|lease| lease.spec.as_ref()?.holder_identity.as_deref());
            holder.is_some_and(|holder| holder.starts_with(name))
        };
        let controller = Self(child);
        tokio::time::timeout(PATIENCE, await_condition(leases, LEASE, leads)).await.context("it does not lead")??;
        Ok(controller)
    }

    /// Waits until it has nothing more to do, and returns its resident memory in MiB.
    fn quiet(&mut self) -> anyhow::Result<f64> {
        let since = Instant::now();
        loop {
            let before = Cpu::of(self.0.id())?.own;
            tokio::task::block_in_place(|| std::thread::sleep(QUIET_FOR));
            ensure!(self.0.try_wait()?.is_none(), "the controller ended");
            if Cpu::of(self.0.id())?.own - before < QUIET * QUIET_FOR.as_secs_f64() {
                return Ok(resident(self.0.id())?.now_mib);
            }
            ensure!(since.elapsed() < PATIENCE, "the controller does not come to rest");
        }
    }

    fn peak(&self) -> anyhow::Result<f64> {
        Ok(resident(self.0.id())?.peak_mib)
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until the controller has looked at so many Mappings.
async fn seen(client: &Client, count: usize) -> anyhow::Result<()> {
    let api: Api<Mapping> = Api::namespaced(client.clone(), objects::NAMESPACE);
    let since = Instant::now();
    loop {
        let list = objects::all(&api).await?;
        let ready = list.iter().filter(|mapping| {
            let status = mapping.status.as_ref();
            status.is_some_and(|status| status.observed_generation == mapping.metadata.generation)
        });
        if ready.count() >= count {
            return Ok(());
        }
        ensure!(since.elapsed() < PATIENCE, "the controller does not look at all Mappings");
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}
