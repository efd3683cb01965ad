//! What every reconcile is given.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use backflow_crds::v1alpha1::{Destination, DestinationDefinition, Mapping, Model, Source, Sync, WorkerTemplate};
use jiff::Timestamp;
use kube::Client;
use kube::api::Api;

use crate::admission::Desk;
use crate::check::Attempts;
use crate::definition::Shelf;
use crate::destination::status::Throttled;
use crate::ending::Ending;
use crate::events::Events;
use crate::metrics::{Kind, Metrics};
use crate::progress::Board;
use crate::queue::Queue;
use crate::runs::Runs;
use crate::store::{Key, Store};
use crate::sync::job::Image;

/// What every reconcile is given.
pub struct Context {
    /// The API server. Only the stages dereference, apply and status of a kind use it.
    pub client: Client,
    /// What workers run.
    pub image: Image,
    /// Settings of every worker's pod, under what a Mapping and a Source say.
    pub worker: WorkerTemplate,
    /// The workers' log filter.
    pub log: String,
    /// The cluster, as the owner of state.
    pub owner: String,
    /// The kinds as the watches see them. Syncs: only those that have not ended.
    pub stores: Stores,
    /// The definitions that users supply, read.
    pub shelf: Shelf,
    /// Jobs and pods of runs that have not ended.
    pub runs: Runs,
    /// Pods whose Sync has gone before them.
    pub ending: Ending,
    /// What is to be reconciled.
    pub queues: Queues,
    /// Who may start.
    pub desk: Desk,
    /// How often each check has failed in a row.
    pub attempts: Attempts,
    /// Destinations that asked to be left alone, and until when.
    pub throttled: Throttled,
    /// Progress of running Syncs.
    pub board: Board,
    /// Mappings whose ended Syncs must be listed: something ended, and the status may not say it yet.
    pub unfolded: Marks,
    /// Mappings that were deleted, whose Syncs must go.
    pub deleted: Marks,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Events for people.
    pub events: Events,
    /// The clock.
    pub clock: fn() -> Timestamp,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("owner", &self.owner).field("image", &self.image).finish_non_exhaustive()
    }
}

/// The kinds.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Stores {
    pub sources: Store<Source>,
    pub models: Store<Model>,
    pub definitions: Store<DestinationDefinition>,
    pub destinations: Store<Destination>,
    pub mappings: Store<Mapping>,
    pub syncs: Store<Sync>,
}

/// A queue for each kind, and one of namespaces whose waiting Syncs are gone through.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Queues {
    pub sources: Queue,
    pub models: Queue,
    pub definitions: Queue,
    pub destinations: Queue,
    pub mappings: Queue,
    pub syncs: Queue,
    pub admission: Queue,
}

/// A set of keys.
#[derive(Debug, Default)]
pub struct Marks(Mutex<BTreeSet<Key>>);

impl Marks {
    /// Marks a key.
    pub fn set(&self, key: Key) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
    }

    /// Whether it is marked.
    #[must_use]
    pub fn has(&self, key: &Key) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(key)
    }

    /// Takes the mark away. Says whether it was there.
    pub fn take(&self, key: &Key) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key)
    }
}

impl Context {
    /// The objects of one kind in a namespace.
    #[must_use]
    pub fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// The settings of a worker's pod: the first of `own` that says something goes before the others, and all before the operator's.
    #[must_use]
    pub fn worker<'a>(&self, own: impl IntoIterator<Item = Option<&'a WorkerTemplate>>) -> WorkerTemplate {
        let said = own.into_iter().flatten().fold(WorkerTemplate::default(), |over, under| over.over(under));
        said.over(&self.worker)
    }

    /// Now, in whole seconds: moments in a status have no others.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let now = (self.clock)();
        Timestamp::from_second(now.as_second()).unwrap_or(now)
    }

    /// The queue of a kind.
    #[must_use]
    pub fn queue(&self, kind: Kind) -> &Queue {
        match kind {
            Kind::Source => &self.queues.sources,
            Kind::Model => &self.queues.models,
            Kind::DestinationDefinition => &self.queues.definitions,
            Kind::Destination => &self.queues.destinations,
            Kind::Mapping => &self.queues.mappings,
            Kind::Sync => &self.queues.syncs,
        }
    }

    /// Goes through the waiting Syncs of a namespace.
    pub fn admit(&self, namespace: &str) {
        self.queues.admission.add(Key::new(namespace, ""));
    }
}
