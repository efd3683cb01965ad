//! The queue: goes through the waiting Syncs of a namespace and says which may start. The rules are `backflow_core::admission`'s.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use backflow_core::admission::{Limit, SyncSlot, admit};
use backflow_crds::reasons::Reason;
use backflow_crds::v1alpha1::{Sync, Trigger};
use jiff::Timestamp;
use kube::ResourceExt as _;

use crate::context::Context;
use crate::store::Key;
use crate::sync::dereference::{Needs, needs};
use crate::sync::is_by_controller;

/// What a waiting Sync is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its turn has come.
    Start,
    /// It waits: the reason of its condition, and behind what in words.
    Wait(Reason, String),
}

/// Who may start, and who has been told so.
///
/// A Sync whose turn has come counts as running from that moment: the watch may show it as queued for a while, and a place must not
/// be given away twice.
#[derive(Debug, Default)]
pub struct Desk(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    verdicts: BTreeMap<Key, Verdict>,
    /// Uids of Syncs that have a place.
    placed: HashSet<(Key, String)>,
    /// Since when the cluster has refused the Job of a Sync.
    refused: BTreeMap<Key, Timestamp>,
}

impl Desk {
    /// What the Sync was told last.
    #[must_use]
    pub fn verdict(&self, sync: &Key) -> Option<Verdict> {
        self.lock().verdicts.get(sync).cloned()
    }

    /// The Sync did not take its place: it is given to the next.
    pub fn decline(&self, sync: &Key) {
        let mut book = self.lock();
        book.placed.retain(|(key, _)| key != sync);
        book.verdicts.remove(sync);
    }

    /// The Sync is gone or has ended.
    pub fn forget(&self, sync: &Key) {
        self.decline(sync);
        self.lock().refused.remove(sync);
    }

    /// The cluster refuses the Sync's Job. Returns since when.
    pub fn refused(&self, sync: &Key, now: Timestamp) -> Timestamp {
        *self.lock().refused.entry(sync.clone()).or_insert(now)
    }

    fn is_placed(&self, sync: &Key, uid: &str) -> bool {
        self.lock().placed.contains(&(sync.clone(), uid.to_owned()))
    }

    /// Notes a verdict. Says whether it is new.
    fn tell(&self, sync: &Key, uid: &str, verdict: Verdict) -> bool {
        let mut book = self.lock();
        if verdict == Verdict::Start {
            book.placed.insert((sync.clone(), uid.to_owned()));
        }
        book.verdicts.insert(sync.clone(), verdict.clone()) != Some(verdict)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Goes through the Syncs of a namespace. Only one task may do so at a time. Says whether some wait in line.
pub fn pass(context: &Context, namespace: &str) -> bool {
    let syncs = context.stores.syncs.in_namespace(namespace);
    let (mut queued, mut running) = (Vec::new(), Vec::new());
    let mut held = false;
    let needs: Vec<(&Sync, Needs)> = syncs.iter().map(|sync| (&**sync, needs(context, sync))).collect();
    for (sync, needs) in &needs {
        let key = Key::of(*sync);
        if has_place(context, sync, &key) {
            running.push(slot(sync, needs));
        } else if let Some((reason, behind)) = &needs.missing {
            tell(context, sync, Verdict::Wait(*reason, behind.clone()));
        } else if let Some(pod) = of_another(context, namespace, sync) {
            held = true;
            tell(
                context,
                sync,
                Verdict::Wait(Reason::Queued, format!("pod {pod} of an earlier Sync, which still ends")),
            );
        } else if !sync.spec.cancel {
            queued.push(slot(sync, needs));
        }
    }
    let sources = context.stores.sources.in_namespace(namespace);
    let destinations = context.stores.destinations.in_namespace(namespace);
    let source_names: Vec<(String, Limit)> = sources
        .iter()
        .map(|source| (source.name_any(), limit(source.spec.max_concurrent_syncs, source.spec.suspend)))
        .collect();
    let destination_names: Vec<(String, Limit)> = destinations
        .iter()
        .map(|destination| {
            (destination.name_any(), limit(destination.spec.max_concurrent_syncs, destination.spec.suspend))
        })
        .collect();
    let source_limits: HashMap<&str, Limit> =
        source_names.iter().map(|(name, limit)| (name.as_str(), *limit)).collect();
    let destination_limits: HashMap<&str, Limit> =
        destination_names.iter().map(|(name, limit)| (name.as_str(), *limit)).collect();
    let admission = admit(&queued, &running, &source_limits, &destination_limits, context.now());
    let waiting = held || !admission.behind.is_empty();
    let named: HashMap<&str, &Sync> =
        syncs.iter().filter_map(|sync| Some((sync.metadata.name.as_deref()?, &**sync))).collect();
    for name in admission.start {
        if let Some(sync) = named.get(name.as_str()) {
            tell(context, sync, Verdict::Start);
        }
    }
    for (name, behind) in admission.behind {
        if let Some(sync) = named.get(name.as_str()) {
            tell(context, sync, Verdict::Wait(Reason::Queued, behind));
        }
    }
    waiting
}

/// A pod that still runs for the Mapping of this Sync, though its own Sync is gone.
fn of_another(context: &Context, namespace: &str, sync: &Sync) -> Option<String> {
    context.ending.of(namespace, &sync.spec.mapping_ref.as_ref()?.name)
}

fn limit(max: i32, suspended: bool) -> Limit {
    Limit { max_concurrent: usize::try_from(max).unwrap_or_default(), suspended }
}

/// Whether it runs, as far as anybody knows: by its status, by its Job, or because it was told to.
fn has_place(context: &Context, sync: &Sync, key: &Key) -> bool {
    use backflow_crds::v1alpha1::SyncPhase::{Canceling, Running};
    let phase = sync.status.as_ref().and_then(|status| status.phase);
    let uid = sync.uid().unwrap_or_default();
    let job = || context.runs.job(key).and_then(|job| job.owner.clone()).is_some_and(|owner| owner.uid == uid);
    matches!(phase, Some(Running | Canceling)) || context.desk.is_placed(key, &uid) || job()
}

fn tell(context: &Context, sync: &Sync, verdict: Verdict) {
    let key = Key::of(sync);
    if context.desk.tell(&key, &sync.uid().unwrap_or_default(), verdict) {
        context.queues.syncs.add(key);
    }
}

fn slot<'a>(sync: &'a Sync, needs: &'a Needs) -> SyncSlot<'a> {
    use backflow_crds::v1alpha1::RunMode::{Forget, Preview, Test};
    SyncSlot {
        name: sync.metadata.name.as_deref().unwrap_or_default(),
        source: needs.source.as_deref(),
        destination: needs.destination.as_deref(),
        queues_for_destination: !matches!(sync.spec.mode, Preview | Test | Forget),
        mapping: sync.spec.mapping_ref.as_ref().map(|mapping| mapping.name.as_str()),
        state_key: needs.state_key.as_deref(),
        model_suspended: needs.model_suspended,
        // A person's word on what made it is for information only.
        mapping_suspended: needs.mapping_suspended && is_by_controller(sync) && sync.spec.trigger != Trigger::Manual,
        created_at: sync.metadata.creation_timestamp.as_ref().map(|time| time.0).unwrap_or_default(),
    }
}
