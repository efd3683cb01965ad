//! The objects that the controller is shown.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use backflow_crds::v1alpha1::{Destination, Mapping, Model, Source, Sync};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Everything is in one namespace.
pub(super) const NAMESPACE: &str = "bench";
/// Requests of ours at once.
const AT_ONCE: usize = 16;
/// A moment in the past, when everything was checked and every run ended.
const PAST: &str = "2026-01-01T00:00:00Z";
/// Sources: each may have so many runs at once as are ever due in the same second.
pub(super) const SOURCES: usize = 10;

/// Creates them.
pub(super) struct Objects {
    client: Client,
}

/// All objects, as the server has them in memory: to ask again and again must not be what it is busy with.
pub(super) async fn all<K>(api: &Api<K>) -> anyhow::Result<Vec<K>>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    Ok(api.list(&ListParams::default().match_any()).await?.items)
}

/// The name of a Mapping.
pub(super) fn mapping_name(at: usize) -> String {
    format!("mapping-{at:05}")
}

impl Objects {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    async fn create<K>(&self, kind: &str, name: &str, body: Value) -> anyhow::Result<()>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned
            + Serialize,
    {
        let mut all = json!({"apiVersion": K::api_version(&()), "kind": kind, "metadata": {"name": name}});
        if let (Some(all), Value::Object(body)) = (all.as_object_mut(), body) {
            all.extend(body);
        }
        self.api::<K>()
            .create(&PostParams::default(), &serde_json::from_value(all)?)
            .await
            .with_context(|| format!("{kind} {name} is refused"))?;
        Ok(())
    }

    async fn status<K>(&self, name: &str, status: Value) -> anyhow::Result<()>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
    {
        let patch = Patch::Merge(json!({"status": status}));
        self.api::<K>().patch_status(name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// The kinds, the namespace, and what Mappings refer to, checked.
    pub(super) async fn prepare(&self, crds: &Path) -> anyhow::Result<()> {
        let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let mut names = Vec::new();
        for file in std::fs::read_dir(crds)? {
            let crd: CustomResourceDefinition = serde_saphyr::from_str(&std::fs::read_to_string(file?.path())?)?;
            names.extend(crd.metadata.name.clone());
            api.create(&PostParams::default(), &crd).await?;
        }
        for name in names {
            let established = kube::runtime::wait::conditions::is_crd_established();
            kube::runtime::wait::await_condition(api.clone(), &name, established).await?;
        }
        let namespace = serde_json::from_value(json!({"metadata": {"name": NAMESPACE}}))?;
        Api::<Namespace>::all(self.client.clone()).create(&PostParams::default(), &namespace).await?;
        // The server says that a kind is established a moment before it serves it everywhere.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let ready = json!({
            "observedGeneration": 1, "lastCheckTime": PAST,
            "conditions": [{"type": "Ready", "status": "True", "reason": "Checked", "message": "", "lastTransitionTime": PAST,
                            "observedGeneration": 1}],
        });
        for at in 0..SOURCES {
            let (source, model, destination) = (format!("source-{at}"), format!("model-{at}"), format!("hook-{at}"));
            let postgres = json!({"host": "db.internal", "database": "shop", "user": "backflow"});
            let spec = json!({"spec": {"postgres": postgres, "maxConcurrentSyncs": 1000}});
            self.create::<Source>("Source", &source, spec).await?;
            self.status::<Source>(&source, ready.clone()).await?;
            let spec = json!({"sourceRef": {"name": source}, "table": "customers", "primaryKey": ["id"]});
            self.create::<Model>("Model", &model, json!({"spec": spec})).await?;
            let mut described = ready.clone();
            described["columns"] = json!([{"name": "id", "type": "int8"}, {"name": "email", "type": "text"}]);
            described["primaryKey"] = json!(["id"]);
            self.status::<Model>(&model, described).await?;
            let settings = json!({"url": format!("https://crm.example.com/{at}")});
            let spec = json!({"type": "webhook", "settings": settings, "maxConcurrentSyncs": 1000});
            self.create::<Destination>("Destination", &destination, json!({"spec": spec})).await?;
            self.status::<Destination>(&destination, ready.clone()).await?;
        }
        Ok(())
    }

    /// Mappings that run when they are asked to, each with its last three runs.
    pub(super) async fn mappings(&self, range: Range<usize>) -> anyhow::Result<()> {
        futures::stream::iter(range).map(|at| self.mapping(at)).buffer_unordered(AT_ONCE).try_collect::<()>().await
    }

    async fn mapping(&self, at: usize) -> anyhow::Result<()> {
        let name = mapping_name(at);
        let number = at % SOURCES;
        let spec = json!({
            "modelRef": {"name": format!("model-{number}")}, "destinationRef": {"name": format!("hook-{number}")},
            "action": "send", "syncMode": "Mirror",
            "fields": {"id": {"column": "id"}, "traits.email": {"column": "email"}, "source": {"value": "warehouse"}},
            "schedule": {"manual": {}},
        });
        self.create::<Mapping>("Mapping", &name, json!({"spec": spec})).await?;
        for run in 0..3 {
            let sync = format!("{name}-{}", 29_450_000 + run);
            let spec = json!({"mappingRef": {"name": name}, "mode": "Incremental", "trigger": "Schedule"});
            self.create::<Sync>("Sync", &sync, json!({"spec": spec})).await?;
            let status = json!({
                "phase": "Succeeded", "startedAt": PAST, "finishedAt": PAST, "observedGeneration": 1,
                "extracted": {"added": 3, "updated": 5, "deleted": 2, "invalid": 0},
                "conditions": [
                    {"type": "Complete", "status": "True", "reason": "Succeeded", "message": "", "lastTransitionTime": PAST},
                    {"type": "Succeeded", "status": "True", "reason": "Succeeded", "message": "", "lastTransitionTime": PAST},
                ],
            });
            self.status::<Sync>(&sync, status).await?;
        }
        Ok(())
    }

    /// Secrets of 1 KiB and suspended Jobs that are none of the controller's business.
    pub(super) async fn foreign(&self, count: usize) -> anyhow::Result<()> {
        let one = async |at: usize| {
            let name = format!("foreign-{at:05}");
            self.create::<Secret>("Secret", &name, json!({"stringData": {"value": "x".repeat(1024)}})).await?;
            let container = json!({"name": "main", "image": "localhost/none", "env": [{"name": "VALUE", "value": "x".repeat(1024)}]});
            let template = json!({"spec": {"restartPolicy": "Never", "containers": [container]}});
            self.create::<Job>("Job", &name, json!({"spec": {"suspend": true, "template": template}})).await
        };
        futures::stream::iter(0..count).map(one).buffer_unordered(AT_ONCE).try_collect::<()>().await
    }

    /// Gives Mappings a schedule.
    pub(super) async fn schedule(&self, range: Range<usize>, cron: &str) -> anyhow::Result<()> {
        let api: Api<Mapping> = self.api();
        let patch = json!({"spec": {"schedule": {"manual": null, "cron": {"expressions": [cron]}}}});
        let one = async |at: usize| {
            api.patch(&mapping_name(at), &PatchParams::default(), &Patch::Merge(&patch)).await?;
            Ok(())
        };
        futures::stream::iter(range).map(one).buffer_unordered(AT_ONCE).try_collect::<()>().await
    }
}
