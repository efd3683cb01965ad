//! What the controller that leads does.

use std::sync::Arc;
use std::time::Duration;

use backflow_crds::v1alpha1::{Destination, DestinationDefinition, Mapping, Model, Source};
use jiff::Timestamp;
use kube::{Client, Resource};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

use crate::args::Args;
use crate::context::{Context, Marks, Queues, Stores};
use crate::events::{Events, publish};
use crate::metrics::{Kind, Metrics};
use crate::server::Readiness;
use crate::signal::Stop;
use crate::status::is_ready;
use crate::store::Store;
use crate::sync::job::Image;
use crate::watch::Scope;
use crate::{
    admission, check, definition, destination, discovery, ending, mapping, model, progress, reconcile, runs, source,
    sync, watch,
};

/// Reconciles of one kind at once.
const CHECKED: usize = 4;
/// A slot may belong to many Mappings.
const MAPPINGS: usize = 16;
const SYNCS: usize = 24;
/// What was begun when the controller is asked to stop has this long to end.
const GRACE: Duration = Duration::from_secs(20);
const COUNT_EVERY: Duration = Duration::from_secs(15);
/// The longest that the list of all Syncs may take: the client has no limit of its own.
const LIST: Duration = Duration::from_secs(120);
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// What leading needs.
#[allow(missing_debug_implementations, reason = "a Client has none")]
pub struct Leader {
    /// The API server.
    pub client: Client,
    /// Flags.
    pub args: Args,
    /// Who this controller is, for events.
    pub identity: String,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// What stands in the way of being ready.
    pub readiness: Readiness,
}

impl Leader {
    /// Does the work until it is asked to stop. Dropping the future drops all of it.
    pub async fn lead(&self, stop: &Stop) {
        // Dropping a set ends its tasks. Reconciles end by themselves, when what they have begun is done.
        let (mut watches, mut work) = (JoinSet::new(), JoinSet::new());
        tokio::select! {
            () = stop.requested() => {}
            () = self.begin(&mut watches, &mut work, stop) => stop.requested().await,
        }
        let ended = timeout(GRACE, async {
            while let Some(ended) = work.join_next().await {
                if let Err(error) = ended {
                    tracing::error!(%error, "A task broke.");
                }
            }
        });
        if ended.await.is_err() {
            tracing::warn!("Not everything that was begun could be ended in time; the next leader repeats it.");
        }
    }

    fn scope(&self) -> Scope {
        match self.args.namespaces() {
            names if names.is_empty() => Scope::All,
            names => Scope::Namespaces(names),
        }
    }

    async fn begin(&self, watches: &mut JoinSet<()>, work: &mut JoinSet<()>, stop: &Stop) {
        let definitions = self.args.destination_definitions;
        discovery::kinds(&self.client, definitions, &self.readiness).await;
        let owner = discovery::owner(&self.client, self.args.cluster_id.as_deref(), &self.readiness).await;
        let (events, receiver) = Events::channel();
        watches.spawn(publish(self.client.clone(), self.identity.clone(), receiver));
        let context = Arc::new(Context {
            client: self.client.clone(),
            image: Image {
                name: self.args.image.clone(),
                pull_policy: self.args.image_pull_policy.clone(),
                pull_secrets: self.args.pull_secrets(),
            },
            worker: self.args.worker.clone(),
            log: self.args.log.clone(),
            owner,
            stores: Stores::default(),
            shelf: definition::Shelf::default(),
            runs: runs::Runs::default(),
            ending: ending::Ending::default(),
            queues: Queues::default(),
            desk: admission::Desk::default(),
            attempts: check::Attempts::default(),
            throttled: destination::status::Throttled::default(),
            board: progress::Board::default(),
            unfolded: Marks::default(),
            deleted: Marks::default(),
            metrics: self.metrics.clone(),
            events,
            clock: Timestamp::now,
        });
        let scope = self.scope();
        watch::start(&context, &scope, definitions, &self.readiness, watches).await;
        loop {
            match timeout(LIST, watch::find_unfolded(&context, &scope)).await {
                Ok(Ok(())) => break,
                Ok(Err(error)) => tracing::warn!(%error, "Syncs cannot be listed; tried again."),
                Err(_) => tracing::warn!("The list of Syncs does not end; tried again."),
            }
            sleep(TRY_AGAIN).await;
        }
        reconcile::spawn(work, &context, Kind::Source, CHECKED, stop, source::reconcile);
        reconcile::spawn(work, &context, Kind::Model, CHECKED, stop, model::reconcile);
        reconcile::spawn(work, &context, Kind::DestinationDefinition, 1, stop, definition::reconcile);
        reconcile::spawn(work, &context, Kind::Destination, CHECKED, stop, destination::reconcile);
        reconcile::spawn(work, &context, Kind::Mapping, MAPPINGS, stop, mapping::reconcile);
        reconcile::spawn(work, &context, Kind::Sync, SYNCS, stop, sync::reconcile);
        work.spawn(reconcile::admit(context.clone(), stop.clone()));
        watches.spawn(progress::poll(context.clone()));
        watches.spawn(count(context));
        tracing::info!("Everything is listed; work begins.");
    }
}

/// Brings the gauges up to date, again and again.
async fn count(context: Arc<Context>) {
    let mut ticks = interval(COUNT_EVERY);
    loop {
        ticks.tick().await;
        let stores = &context.stores;
        let metrics = &context.metrics;
        count_kind(metrics, Kind::Source, &stores.sources, |source: &Source| {
            source.status.as_ref().is_some_and(|status| {
                is_ready(&status.conditions, status.observed_generation, source.metadata.generation)
            })
        });
        count_kind(metrics, Kind::Model, &stores.models, |model: &Model| {
            model.status.as_ref().is_some_and(|status| {
                is_ready(&status.conditions, status.observed_generation, model.metadata.generation)
            })
        });
        count_kind(metrics, Kind::DestinationDefinition, &stores.definitions, |definition: &DestinationDefinition| {
            definition.status.as_ref().is_some_and(|status| {
                is_ready(&status.conditions, status.observed_generation, definition.metadata.generation)
            })
        });
        count_kind(metrics, Kind::Destination, &stores.destinations, |destination: &Destination| {
            destination.status.as_ref().is_some_and(|status| {
                is_ready(&status.conditions, status.observed_generation, destination.metadata.generation)
            })
        });
        count_kind(metrics, Kind::Mapping, &stores.mappings, |mapping: &Mapping| {
            mapping.status.as_ref().is_some_and(|status| {
                is_ready(&status.conditions, status.observed_generation, mapping.metadata.generation)
            })
        });
        // A Sync that has not ended is neither: what waits or runs is work in progress.
        metrics.objects(Kind::Sync, 0, 0);
    }
}

fn count_kind<K: Resource>(metrics: &Metrics, kind: Kind, store: &Store<K>, ready: impl Fn(&K) -> bool) {
    let (mut fit, mut others) = (0, 0);
    for object in store.all() {
        if ready(&object) {
            fit += 1;
        } else {
            others += 1;
        }
    }
    metrics.objects(kind, fit, others);
}
