//! A namespace of a test's own.

use std::fmt::Debug;
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use futures::TryStreamExt as _;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Namespace as Object, Service};
use kube::api::{Api, ListParams, ObjectMeta, PostParams};
use kube::runtime::wait::await_condition;
use kube::runtime::{WatchStreamExt as _, reflector, watcher};
use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Cluster;
use crate::{PATIENCE, until};

/// A namespace. It is deleted when this is dropped; unless [`Namespace::end`] was called, its contents are printed before.
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// The cluster that it is in.
    pub cluster: Cluster,
    ended: bool,
}

/// An object of a namespace that tests look at.
pub trait Watched:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()>
    + Clone
    + Debug
    + DeserializeOwned
    + Serialize
    + Send
    + Sync
    + 'static
{
}

impl<K> Watched for K where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + Serialize
        + Send
        + Sync
        + 'static
{
}

impl Namespace {
    /// Creates one whose name begins with `prefix`.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn create(cluster: &Cluster, prefix: &str) -> anyhow::Result<Self> {
        let name = format!("{prefix}-{:05}", fastrand::u32(..100_000));
        let labels = [("backflow.dev/tests".to_owned(), "yes".to_owned())];
        // The strictest pod security: what the controller makes must fit.
        let enforce = [("pod-security.kubernetes.io/enforce".to_owned(), "restricted".to_owned())];
        let object = Object {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                labels: Some(labels.into_iter().chain(enforce).collect()),
                ..ObjectMeta::default()
            },
            ..Object::default()
        };
        Api::<Object>::all(cluster.client.clone()).create(&PostParams::default(), &object).await?;
        Ok(Self { name, cluster: cluster.clone(), ended: false })
    }

    /// The test passed: nothing is printed.
    pub fn end(mut self) {
        self.ended = true;
    }

    /// Objects of one kind.
    #[must_use]
    pub fn api<K: Watched>(&self) -> Api<K> {
        Api::namespaced(self.cluster.client.clone(), &self.name)
    }

    /// One object.
    ///
    /// # Errors
    /// It does not exist.
    pub async fn get<K: Watched>(&self, name: &str) -> anyhow::Result<K> {
        Ok(self.api::<K>().get(name).await?)
    }

    /// All objects of one kind.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn list<K: Watched>(&self) -> anyhow::Result<Vec<K>> {
        Ok(self.api::<K>().list(&ListParams::default()).await?.items)
    }

    /// Runs `kubectl` in this namespace; arguments are separated by blanks.
    ///
    /// # Errors
    /// It fails; its complaint.
    pub async fn kubectl(&self, arguments: &str) -> anyhow::Result<String> {
        self.cluster.kubectl(["-n", &self.name].into_iter().chain(arguments.split(' '))).await
    }

    /// `kubectl apply`, in this order.
    ///
    /// # Errors
    /// An object is refused.
    pub async fn apply(&self, manifests: &[Value]) -> anyhow::Result<String> {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": manifests}).to_string();
        self.cluster.kubectl_with(["-n", &self.name, "apply", "--server-side", "-f", "-"], &list).await
    }

    /// Makes the status of objects, given by their manifests, say that their check passed. Nobody checks them again, as after a restore
    /// from a backup; the controller must not have seen them before.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn say_checked(&self, manifests: &[Value]) -> anyhow::Result<String> {
        let now = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second())?.to_string();
        let ready = json!({
            "type": "Ready", "status": "True", "reason": "CheckSucceeded", "message": "", "observedGeneration": 1,
            "lastTransitionTime": now,
        });
        let status = json!({"observedGeneration": 1, "conditions": [ready], "lastCheckTime": now});
        // Of a whole manifest, which kubectl demands, the API server takes the status here.
        let checked = |manifest: &Value| {
            let mut checked = manifest.clone();
            checked["status"] = status.clone();
            checked
        };
        let items: Vec<Value> = manifests.iter().map(checked).collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
        let apply = ["-n", &self.name, "apply", "--server-side", "--subresource=status", "-f", "-"];
        self.cluster.kubectl_with(apply, &list).await
    }

    /// Waits until an object is as it should be.
    ///
    /// # Errors
    /// It is not within [`PATIENCE`]; the object as it is then.
    pub async fn until<K: Watched>(&self, name: &str, what: &str, right: impl Fn(&K) -> bool) -> anyhow::Result<K> {
        let waiting = await_condition(self.api::<K>(), name, |object: Option<&K>| object.is_some_and(&right));
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(found) => found?.context("a condition on an object needs the object"),
            Err(_) => {
                let now = self.api::<K>().get_opt(name).await?;
                let now = serde_json::to_string_pretty(&now)?;
                bail!("{} {name}: not {what} after {} s: {now}", K::kind(&()), PATIENCE.as_secs())
            }
        }
    }

    /// Waits until there is something to find in all objects of one kind.
    ///
    /// # Errors
    /// There is nothing within [`PATIENCE`]; the objects' names then.
    pub async fn until_all<K: Watched, T>(
        &self,
        what: &str,
        find: impl Fn(&[Arc<K>]) -> Option<T>,
    ) -> anyhow::Result<T> {
        let (objects, writer) = reflector::store::<K>();
        let mut changes =
            std::pin::pin!(reflector(writer, watcher(self.api::<K>(), watcher::Config::default())).default_backoff());
        let waiting = async {
            loop {
                let Some(event) = changes.try_next().await? else { bail!("the watch ended") };
                let initial = matches!(event, watcher::Event::Init | watcher::Event::InitApply(_));
                if !initial && let Some(found) = find(&objects.state()) {
                    return Ok(found);
                }
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(found) => found,
            Err(_) => {
                let names: Vec<String> = self.list::<K>().await?.iter().map(K::name_any).collect();
                bail!("{}: not {what} after {} s; there are {names:?}", K::plural(&()), PATIENCE.as_secs())
            }
        }
    }

    /// Waits until a Service leads somewhere: the node learns of it a moment after the API server.
    ///
    /// # Errors
    /// It does not within [`PATIENCE`].
    pub async fn until_reachable(&self, service: &str, port: u16) -> anyhow::Result<()> {
        let service = self.get::<Service>(service).await?;
        let address = service.spec.and_then(|spec| spec.cluster_ip).context("a Service without address")?;
        let answers = async || tokio::net::TcpStream::connect((address.as_str(), port)).await.is_ok();
        until(&format!("nothing answers at {address}:{port}"), answers).await
    }

    /// Waits until an object is gone.
    ///
    /// # Errors
    /// It still is there after [`PATIENCE`].
    pub async fn until_gone<K: Watched>(&self, name: &str) -> anyhow::Result<()> {
        let gone = await_condition(self.api::<K>(), name, |object: Option<&K>| object.is_none());
        tokio::time::timeout(PATIENCE, gone)
            .await
            .with_context(|| format!("{} {name} is still there", K::kind(&())))??;
        Ok(())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if !self.ended {
            super::dump::dump(&self.name);
        }
        let mut delete = Command::new(super::kubectl());
        delete.args(["delete", "namespace", &self.name, "--wait=false"]);
        // Nobody can be told any more.
        let _ = delete.stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}
