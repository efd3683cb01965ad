//! Watches: from the API server into the stores, and from there into the queues.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;

use backflow_crds::v1alpha1::{Destination, DestinationDefinition, Mapping, Model, Source, Sync};
use futures::StreamExt as _;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, PartialObjectMeta};
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::context::Context;
use crate::labels;
use crate::runs::{JobMeta, PodView, Seen};
use crate::server::Readiness;
use crate::store::Key;
use crate::triggers::{self, Observed, Origin};

/// Objects in one answer of a list: bounds what is held while a watch starts.
const PAGE: u32 = 250;
/// Syncs that have not ended. Their number is bounded by work, not by history.
pub const NOT_ENDED: &str =
    "status.phase!=Succeeded,status.phase!=PartiallySucceeded,status.phase!=Failed,status.phase!=Canceled";

/// What a watch does with what it sees.
pub trait Sink<K>: Send {
    /// An object is there.
    fn present(&mut self, object: K);
    /// An object is gone, or no longer selected.
    fn gone(&mut self, object: K);
    /// These are all that are there.
    fn listed(&mut self, keys: &BTreeSet<Key>);
}

/// Which namespaces are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All.
    All,
    /// These.
    Namespaces(Vec<String>),
}

impl Scope {
    /// Each namespace with a watch of its own; `None` is all.
    #[must_use]
    pub fn parts(&self) -> Vec<Option<String>> {
        match self {
            Self::All => vec![None],
            Self::Namespaces(names) => names.iter().cloned().map(Some).collect(),
        }
    }
}

/// The API of a kind in one part of a scope.
pub fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    match namespace {
        None => Api::all(client.clone()),
        Some(namespace) => Api::namespaced(client.clone(), namespace),
    }
}

/// Starts the watches of the kinds, waits until each has listed what there is, then starts those of Jobs and pods, which are
/// kept only where a run waits for them. `definitions`: also of the DestinationDefinitions, which belong to the whole cluster.
pub async fn start(
    context: &Arc<Context>,
    scope: &Scope,
    definitions: bool,
    readiness: &Readiness,
    tasks: &mut JoinSet<()>,
) {
    let mut waits = Vec::new();
    if definitions {
        let objects = Api::<DeserializeGuard<DestinationDefinition>>::all(context.client.clone());
        waits.push(kind(context, objects, watcher::Config::default(), &None, tasks));
    }
    for part in scope.parts() {
        waits.push(of_namespace::<Source>(context, watcher::Config::default(), &part, tasks));
        waits.push(of_namespace::<Model>(context, watcher::Config::default(), &part, tasks));
        waits.push(of_namespace::<Destination>(context, watcher::Config::default(), &part, tasks));
        waits.push(of_namespace::<Mapping>(context, watcher::Config::default(), &part, tasks));
        waits.push(of_namespace::<Sync>(context, watcher::Config::default().fields(NOT_ENDED), &part, tasks));
    }
    all_listed(waits, readiness).await;
    let mut waits = Vec::new();
    let ours = || watcher::Config::default().labels(&labels::selector());
    for part in scope.parts() {
        let jobs: Api<PartialObjectMeta<Job>> = api(&context.client, part.as_deref());
        waits.push(spawn("Job", jobs, ours(), part.clone(), Jobs(context.clone(), part.clone()), tasks));
        let pods: Api<Pod> = api(&context.client, part.as_deref());
        waits.push(spawn("Pod", pods, ours(), part.clone(), Pods(context.clone(), part.clone()), tasks));
    }
    all_listed(waits, readiness).await;
}

type Listed = (String, watch::Receiver<bool>);

async fn all_listed(waits: Vec<Listed>, readiness: &Readiness) {
    for (what, _) in &waits {
        readiness.wait_for(what.clone());
    }
    for (what, mut listed) in waits {
        // The sender lives as long as the watch, which never ends by itself.
        let _ = listed.wait_for(|listed| *listed).await;
        readiness.done(&what);
    }
}

fn of_namespace<K>(
    context: &Arc<Context>,
    config: watcher::Config,
    part: &Option<String>,
    tasks: &mut JoinSet<()>,
) -> Listed
where
    K: Observed + Resource<Scope = NamespaceResourceScope> + DeserializeOwned,
{
    kind::<K>(context, api(&context.client, part.as_deref()), config, part, tasks)
}

/// One object that does not fit must not stop the others: that is what the guard is for.
fn kind<K>(
    context: &Arc<Context>,
    objects: Api<DeserializeGuard<K>>,
    config: watcher::Config,
    part: &Option<String>,
    tasks: &mut JoinSet<()>,
) -> Listed
where
    K: Observed + DeserializeOwned,
{
    let sink = Kinds::<K> { context: context.clone(), namespace: part.clone(), kind: PhantomData };
    spawn(K::KIND.as_str(), objects, config, part.clone(), sink, tasks)
}

fn spawn<K, S>(
    kind: &'static str,
    api: Api<K>,
    config: watcher::Config,
    part: Option<String>,
    sink: S,
    tasks: &mut JoinSet<()>,
) -> Listed
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    S: Sink<K> + 'static,
{
    let (sender, listed) = watch::channel(false);
    let what = match &part {
        None => format!("the list of {kind}s"),
        Some(namespace) => format!("the list of {kind}s in {namespace}"),
    };
    tasks.spawn(follow(kind, api, config.page_size(PAGE), sink, sender));
    (what, listed)
}

async fn follow<K, S>(
    kind: &'static str,
    api: Api<K>,
    config: watcher::Config,
    mut sink: S,
    listed: watch::Sender<bool>,
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    S: Sink<K>,
{
    let mut events = std::pin::pin!(watcher(api, config).default_backoff());
    let mut keys = BTreeSet::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Apply(object)) => sink.present(object),
            Ok(Event::Delete(object)) => sink.gone(object),
            Ok(Event::Init) => keys.clear(),
            Ok(Event::InitApply(object)) => {
                keys.insert(key(&object));
                sink.present(object);
            }
            Ok(Event::InitDone) => {
                sink.listed(&keys);
                keys.clear();
                listed.send_replace(true);
            }
            Err(error) => tracing::warn!(kind, %error, "A watch broke; it starts again."),
        }
    }
}

fn key<K: Resource>(object: &K) -> Key {
    Key::new(object.meta().namespace.clone().unwrap_or_default(), object.meta().name.clone().unwrap_or_default())
}

/// One of the kinds.
struct Kinds<K> {
    context: Arc<Context>,
    namespace: Option<String>,
    kind: PhantomData<fn() -> K>,
}

impl<K: Observed> Sink<DeserializeGuard<K>> for Kinds<K> {
    fn present(&mut self, object: DeserializeGuard<K>) {
        match object.0 {
            Ok(object) => triggers::saw(&self.context, object, Origin::Watch),
            // Its text may quote the manifest, so it is not logged.
            Err(invalid) => {
                let key =
                    Key::new(invalid.metadata.namespace.unwrap_or_default(), invalid.metadata.name.unwrap_or_default());
                tracing::warn!(kind = K::KIND.as_str(), object = %key, "An object does not fit this version's schema and is left alone.");
                triggers::lost::<K>(&self.context, &key);
            }
        }
    }

    fn gone(&mut self, object: DeserializeGuard<K>) {
        triggers::lost::<K>(&self.context, &key(&object));
    }

    fn listed(&mut self, keys: &BTreeSet<Key>) {
        for key in K::store(&self.context).not_in(self.namespace.as_deref(), keys) {
            triggers::lost::<K>(&self.context, &key);
        }
    }
}

struct Jobs(Arc<Context>, Option<String>);

impl Sink<PartialObjectMeta<Job>> for Jobs {
    fn present(&mut self, job: PartialObjectMeta<Job>) {
        triggers::job(&self.0, &key(&job), JobMeta::of(&job), Seen::Present);
    }

    fn gone(&mut self, job: PartialObjectMeta<Job>) {
        triggers::job(&self.0, &key(&job), JobMeta::of(&job), Seen::Deleted);
    }

    fn listed(&mut self, keys: &BTreeSet<Key>) {
        for (run, job) in self.0.runs.jobs_not_in(self.1.as_deref(), keys) {
            triggers::job(&self.0, &run, (*job).clone(), Seen::Deleted);
        }
    }
}

struct Pods(Arc<Context>, Option<String>);

impl Pods {
    fn saw(&self, pod: &Pod, seen: Seen) {
        let Some(run) = pod.labels().get(labels::RUN) else { return };
        let run = Key::new(pod.namespace().unwrap_or_default(), run);
        let of_sync = pod.labels().get(labels::KIND).is_some_and(|kind| kind == "Sync");
        triggers::pod(&self.0, &run, of_sync, PodView::of(pod), seen);
    }
}

impl Sink<Pod> for Pods {
    fn present(&mut self, pod: Pod) {
        self.saw(&pod, Seen::Present);
    }

    fn gone(&mut self, pod: Pod) {
        self.saw(&pod, Seen::Deleted);
    }

    fn listed(&mut self, keys: &BTreeSet<Key>) {
        for run in self.0.runs.retain_pods(self.1.as_deref(), keys) {
            triggers::run(&self.0, &run);
        }
        for namespace in self.0.ending.retain(self.1.as_deref(), keys) {
            self.0.admit(&namespace);
        }
    }
}

/// Goes once through the Syncs that have ended, page by page: a Mapping whose newest one is not in its status is marked. What ended
/// while no controller ran is found by this.
///
/// # Errors
/// If a list fails: begin again.
pub async fn find_unfolded(context: &Arc<Context>, scope: &Scope) -> Result<(), kube::Error> {
    for part in scope.parts() {
        let api: Api<DeserializeGuard<Sync>> = api(&context.client, part.as_deref());
        let mut params = ListParams::default().limit(PAGE);
        loop {
            let page = api.list(&params).await?;
            for sync in page.items.iter().filter_map(|sync| sync.0.as_ref().ok()) {
                triggers::found(context, sync);
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => break,
            }
        }
    }
    Ok(())
}
