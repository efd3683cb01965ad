//! A real Kubernetes for suites: the one that `KUBECONFIG` names, with the image under test loaded.
//!
//! `cargo xtask test` brings the cluster up and says where everything is: `KUBECONFIG`, `BACKFLOW_IMAGE`, `BACKFLOW_KUBECTL` and
//! `BACKFLOW_HELM`. Postgres and receivers run on this machine, so the cluster's node must be this machine, too.
//!
//! Waiting is always watching: nothing here sleeps. What a test leaves when it fails is printed before its namespace goes.

mod dump;
pub mod manifests;
mod namespace;
mod operator;
mod pods;
mod process;
pub mod scene;

use std::ffi::OsStr;
use std::fs::File;
use std::net::{IpAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client};

pub use namespace::{Namespace, Watched};
pub use operator::{CONTROLLER, NAMESPACE as OPERATOR_NAMESPACE, Operator, RIVAL};
pub use pods::{is_running, kill_worker};
pub use process::{processes, until_gone, worker_processes};
pub use scene::Scene;

use crate::PATIENCE;

/// A cluster, and how to talk to it.
#[derive(Clone)]
pub struct Cluster {
    /// A client with all rights. It belongs to the test's runtime.
    pub client: Client,
    /// An address of this machine that pods reach.
    pub host: IpAddr,
}

impl Cluster {
    /// Connects to the cluster.
    ///
    /// # Errors
    /// There is none, or its node is another machine.
    pub async fn connect() -> anyhow::Result<Self> {
        // Installed already by another test of this process: the same.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = Client::try_default().await.context("KUBECONFIG names no cluster: cargo xtask cluster up")?;
        let nodes = Api::<Node>::all(client.clone()).list(&kube::api::ListParams::default()).await?;
        let addresses = nodes.items.iter().flat_map(|node| {
            let status = node.status.as_ref();
            status.and_then(|status| status.addresses.clone()).unwrap_or_default()
        });
        let mut own = addresses
            .filter_map(|address| address.address.parse::<IpAddr>().ok())
            .filter(|address| TcpListener::bind((*address, 0)).is_ok());
        let host =
            own.next().context("no node of the cluster is this machine, so pods cannot reach what tests start")?;
        Ok(Self { client, host })
    }

    /// Runs `kubectl` and returns what it says.
    ///
    /// # Errors
    /// It fails; its complaint.
    pub async fn kubectl<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> anyhow::Result<String> {
        run(kubectl(), arguments, "").await
    }

    /// Runs `kubectl` with something on its standard input.
    ///
    /// # Errors
    /// It fails; its complaint.
    pub async fn kubectl_with<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
        input: &str,
    ) -> anyhow::Result<String> {
        run(kubectl(), arguments, input).await
    }

    /// Runs `helm` in the project's folder and returns what it says. Of all test programs one at a time does: helm refuses a release
    /// that another one changes.
    ///
    /// # Errors
    /// It fails; its complaint.
    pub async fn helm<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> anyhow::Result<String> {
        let lock = File::create(std::env::temp_dir().join("backflow-helm.lock"))?;
        let _locked = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await??;
        run(named("BACKFLOW_HELM", "helm"), arguments, "").await
    }
}

/// The project's folder.
///
/// # Errors
/// This package is nowhere.
pub fn root() -> anyhow::Result<PathBuf> {
    Ok(Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the package is in a workspace")?.to_owned())
}

fn kubectl() -> PathBuf {
    named("BACKFLOW_KUBECTL", "kubectl")
}

fn named(variable: &str, default: &str) -> PathBuf {
    std::env::var_os(variable).map_or_else(|| default.into(), PathBuf::from)
}

async fn run<S: AsRef<OsStr>>(
    program: PathBuf,
    arguments: impl IntoIterator<Item = S>,
    input: &str,
) -> anyhow::Result<String> {
    use std::process::Stdio;
    use tokio::io::AsyncWriteExt as _;

    let mut command = tokio::process::Command::new(&program);
    command.args(arguments).current_dir(root()?).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("{} cannot be started", program.display()))?;
    let mut stdin = child.stdin.take().context("no stdin")?;
    stdin.write_all(input.as_bytes()).await?;
    drop(stdin);
    let ended = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
    let output =
        ended.with_context(|| format!("{:?} is not done after {} s", command.as_std(), PATIENCE.as_secs()))??;
    if !output.status.success() {
        bail!("{:?} failed: {}", command.as_std(), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}
