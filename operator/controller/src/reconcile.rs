//! The loop around every reconcile: takes a key, looks at its object within a time limit, counts, and decides when to look again.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tracing::Instrument as _;

use crate::context::Context;
use crate::error::Error;
use crate::metrics::{Kind, Outcome};
use crate::queue::Next;
use crate::signal::Stop;
use crate::store::Key;

/// The longest that one reconcile may take. The client has no limit of its own, and retries.
const LIMIT: Duration = Duration::from_secs(30);

/// Between two looks at the line there are so many times as long as the last one took.
const REST: u32 = 4;

/// While Syncs wait, the line is looked at this often without any other cause: who was overtaken for long is served first.
const OVERTAKEN: Duration = Duration::from_secs(60);

/// Starts `workers` tasks that reconcile objects of one kind, each until it is asked to stop; what they have begun, they finish.
pub fn spawn<F, R>(
    tasks: &mut JoinSet<()>,
    context: &Arc<Context>,
    kind: Kind,
    workers: usize,
    stop: &Stop,
    reconcile: F,
) where
    F: Fn(Arc<Context>, Key) -> R + Clone + Send + 'static,
    R: Future<Output = Result<Next, Error>> + Send,
{
    for _ in 0..workers {
        let (context, stop, reconcile) = (context.clone(), stop.clone(), reconcile.clone());
        tasks.spawn(async move {
            loop {
                let key = tokio::select! {
                    biased;
                    () = stop.requested() => return,
                    key = context.queue(kind).next() => key,
                };
                let span =
                    tracing::info_span!("reconcile", kind = kind.as_str(), namespace = key.namespace, name = key.name);
                one(&context, kind, &key, reconcile(context.clone(), key.clone())).instrument(span).await;
            }
        });
    }
}

async fn one<R: Future<Output = Result<Next, Error>>>(context: &Context, kind: Kind, key: &Key, reconcile: R) {
    let begin = Instant::now();
    let result = timeout(LIMIT, reconcile).await.unwrap_or(Err(Error::Timeout(LIMIT)));
    let outcome = match result {
        Ok(next) => {
            context.queue(kind).done(key, next);
            Outcome::ok
        }
        Err(error) if error.is_conflict() => {
            context.queue(kind).outdated(key);
            Outcome::conflict
        }
        Err(error) => {
            let pause = context.queue(kind).failed(key);
            tracing::warn!(%error, pause_ms = pause.as_millis(), "A reconcile failed; it is tried again.");
            if matches!(error, Error::Timeout(_)) { Outcome::timeout } else { Outcome::error }
        }
    };
    context.metrics.reconciled(kind, outcome, begin.elapsed());
}

/// Goes through the waiting Syncs, one namespace after the other.
pub async fn admit(context: Arc<Context>, stop: Stop) {
    loop {
        let key = tokio::select! {
            biased;
            () = stop.requested() => return,
            key = context.queues.admission.next() => key,
        };
        let begin = Instant::now();
        let waiting = crate::admission::pass(&context, &key.namespace);
        context.queues.admission.done(&key, if waiting { Next::After(OVERTAKEN) } else { Next::Wait });
        // Every start of a Sync asks for a look at all of them: what happens meanwhile is looked at once.
        tokio::time::sleep(begin.elapsed() * REST).await;
    }
}
