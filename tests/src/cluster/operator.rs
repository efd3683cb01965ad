//! The operator, installed as a user would: by its charts.

use std::path::Path;

use anyhow::Context as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;
use tokio::sync::Mutex;

use super::Cluster;
use crate::until;

/// Where it runs: the namespace that README and demo name, so that there are never two that serve the same resources.
pub const NAMESPACE: &str = "backflow-system";
/// Name of its release and its Deployment.
pub const CONTROLLER: &str = "backflow";

/// Name of the second operator's release, of its Deployment and of its Lease.
pub const RIVAL: &str = "backflow-rival";

/// What this process has installed: the CRDs, and the controller.
static INSTALLED: Mutex<(bool, bool)> = Mutex::const_new((false, false));

/// The operator's release.
pub struct Operator;

impl Operator {
    /// Installs the CRDs, once in a process.
    ///
    /// # Errors
    /// Helm's.
    pub async fn ensure_crds(cluster: &Cluster) -> anyhow::Result<()> {
        let mut installed = INSTALLED.lock().await;
        if !installed.0 {
            Self::install_crds(cluster).await?;
            installed.0 = true;
        }
        Ok(())
    }

    /// Installs CRDs and controller, once in a process.
    ///
    /// # Errors
    /// Helm's, or the controller does not come up.
    pub async fn ensure(cluster: &Cluster) -> anyhow::Result<()> {
        Self::ensure_crds(cluster).await?;
        let mut installed = INSTALLED.lock().await;
        if !installed.1 {
            Self::install(cluster, &[]).await?;
            installed.1 = true;
        }
        Ok(())
    }

    /// Installs or upgrades the CRDs.
    ///
    /// # Errors
    /// Helm's.
    pub async fn install_crds(cluster: &Cluster) -> anyhow::Result<()> {
        Self::install_crds_of(cluster, Path::new("charts")).await
    }

    /// The same, from the chart `backflow-crds` in another folder.
    ///
    /// # Errors
    /// Helm's.
    pub async fn install_crds_of(cluster: &Cluster, charts: &Path) -> anyhow::Result<()> {
        let chart = charts.join("backflow-crds").display().to_string();
        let arguments = ["upgrade", "--install", "backflow-crds", &chart, "--take-ownership"];
        let place = ["--namespace", NAMESPACE, "--create-namespace"];
        cluster.helm(arguments.into_iter().chain(place)).await?;
        let established = ["wait", "--for=condition=Established"].map(str::to_owned);
        // Earlier charts have fewer.
        let templates = std::fs::read_dir(crate::cluster::root()?.join(&chart).join("templates"))?;
        let mut crds = Vec::new();
        for template in templates {
            let path = template?.path();
            let name = path.file_stem().context("a template's name")?.to_string_lossy().into_owned();
            crds.push(format!("crd/{name}.backflow.dev"));
        }
        cluster.kubectl(established.into_iter().chain(crds)).await?;
        Ok(())
    }

    /// Installs or upgrades the controller with the image under test, and waits until it is ready.
    ///
    /// # Errors
    /// Helm's, or no image is named.
    pub async fn install(cluster: &Cluster, values: &[&str]) -> anyhow::Result<()> {
        Self::install_of(cluster, Path::new("charts"), values).await
    }

    /// The same, from the chart `backflow` in another folder.
    ///
    /// # Errors
    /// As [`Operator::install`].
    pub async fn install_of(cluster: &Cluster, charts: &Path, values: &[&str]) -> anyhow::Result<()> {
        Self::upgrade(cluster, charts, (CONTROLLER, NAMESPACE), values, true).await
    }

    /// Installs the controller, and does not wait until it is ready.
    ///
    /// # Errors
    /// As [`Operator::install`].
    pub async fn begin(cluster: &Cluster) -> anyhow::Result<()> {
        Self::upgrade(cluster, Path::new("charts"), (CONTROLLER, NAMESPACE), &[], false).await
    }

    /// Stops the controller, if there is one: until the next installation nobody serves.
    ///
    /// # Errors
    /// It does not end.
    pub async fn stop(cluster: &Cluster) -> anyhow::Result<()> {
        let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), NAMESPACE);
        if deployments.get_opt(CONTROLLER).await?.is_none() {
            return Ok(());
        }
        let none = Patch::Merge(json!({"spec": {"replicas": 0}}));
        deployments.patch(CONTROLLER, &PatchParams::default(), &none).await?;
        let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), NAMESPACE);
        let own = ListParams::default().labels("app.kubernetes.io/component=controller");
        until("the controller still runs", async || pods.list(&own).await.is_ok_and(|pods| pods.items.is_empty())).await
    }

    /// Installs a second operator with a Lease of its own, which serves one namespace and lives in it: two lead there at once.
    /// Nothing of it is left when the namespace goes.
    ///
    /// # Errors
    /// As [`Operator::install`].
    pub async fn install_beside(cluster: &Cluster, namespace: &str) -> anyhow::Result<()> {
        let system = Api::<Namespace>::all(cluster.client.clone()).get("kube-system").await?;
        let cluster_id = system.metadata.uid.context("kube-system has no uid")?;
        let values = [
            &format!("watchNamespaces={{{namespace}}}"),
            &format!("clusterId={cluster_id}"),
            "rbac.aggregateToUserRoles=false",
        ];
        Self::upgrade(cluster, Path::new("charts"), (RIVAL, namespace), &values, true).await
    }

    async fn upgrade(
        cluster: &Cluster,
        charts: &Path,
        (release, namespace): (&str, &str),
        values: &[&str],
        wait: bool,
    ) -> anyhow::Result<()> {
        let (repository, tag) = image()?;
        let chart = charts.join("backflow").display().to_string();
        let mut arguments =
            ["upgrade", "--install", release, &chart, "--namespace", namespace].map(str::to_owned).to_vec();
        arguments.extend(["--create-namespace", "--take-ownership"].map(str::to_owned));
        if wait {
            arguments.extend(["--wait", "--timeout=2m"].map(str::to_owned));
        }
        arguments.extend([format!("--set=image.repository={repository}"), format!("--set=image.tag={tag}")]);
        arguments.extend(values.iter().map(|value| format!("--set={value}")));
        cluster.helm(arguments).await?;
        Ok(())
    }
}

/// Repository and tag of the image under test.
fn image() -> anyhow::Result<(String, String)> {
    let image = std::env::var("BACKFLOW_IMAGE").context("BACKFLOW_IMAGE names no image: cargo xtask image --load")?;
    let (repository, tag) = image.rsplit_once(':').context("BACKFLOW_IMAGE has no tag")?;
    Ok((repository.to_owned(), tag.to_owned()))
}
