//! Running workers, asked how far they are; and told to stop.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backflow_core::report::Progress;
use futures::StreamExt as _;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::context::Context;
use crate::runs::PodView;
use crate::store::Key;
use crate::sync::job::PORT;

/// How often a running pod is asked.
const EVERY: Duration = Duration::from_secs(3);
/// How often a status says so, at most.
pub const STATUS_EVERY: Duration = Duration::from_secs(10);
/// How long an answer may take. A mesh or policy in the way costs the progress, nothing else.
const PATIENCE: Duration = Duration::from_secs(2);
/// An answer is a few numbers.
const ANSWER_MAX: usize = 4_096;
/// Pods asked at once.
const AT_ONCE: usize = 16;

/// The last answer of each run, and since when it has been asked to stop.
#[derive(Debug, Default)]
pub struct Board {
    answers: Mutex<BTreeMap<Key, Entry>>,
    canceling: Mutex<BTreeMap<Key, Timestamp>>,
}

#[derive(Debug)]
struct Entry {
    progress: Progress,
    /// When a status last said it.
    said: Option<Instant>,
}

impl Board {
    /// The progress to write into a status, if it is time to write one.
    #[must_use]
    pub fn due(&self, run: &Key) -> Option<Progress> {
        let board = self.lock();
        let entry = board.get(run)?;
        entry.said.is_none_or(|said| said.elapsed() >= STATUS_EVERY).then_some(entry.progress)
    }

    /// It was written.
    pub fn said(&self, run: &Key) {
        if let Some(entry) = self.lock().get_mut(run) {
            entry.said = Some(Instant::now());
        }
    }

    /// A pod answered. Says whether a status should be written.
    pub fn heard(&self, run: &Key, progress: Progress) -> bool {
        let mut board = self.lock();
        let entry = board.entry(run.clone()).or_insert(Entry { progress, said: None });
        let changed = entry.progress != progress || entry.said.is_none();
        entry.progress = progress;
        changed && entry.said.is_none_or(|said| said.elapsed() >= STATUS_EVERY)
    }

    /// The run is asked to stop: remembers since when.
    pub fn canceling(&self, run: &Key, now: Timestamp) {
        self.canceling.lock().unwrap_or_else(PoisonError::into_inner).entry(run.clone()).or_insert(now);
    }

    /// Since when the run has been asked to stop.
    #[must_use]
    pub fn canceling_since(&self, run: &Key) -> Option<Timestamp> {
        self.canceling.lock().unwrap_or_else(PoisonError::into_inner).get(run).copied()
    }

    /// The run is over.
    pub fn forget(&self, run: &Key) {
        self.lock().remove(run);
        self.canceling.lock().unwrap_or_else(PoisonError::into_inner).remove(run);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Key, Entry>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Speaks to workers.
#[derive(Clone, Debug)]
pub struct Line(Client<HttpConnector, Empty<hyper::body::Bytes>>);

impl Default for Line {
    fn default() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(PATIENCE));
        // A pod's connection is not worth keeping: many pods, few questions.
        Self(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector))
    }
}

impl Line {
    /// How far the worker is; none if it does not say.
    pub async fn progress(&self, pod: &PodView) -> Option<Progress> {
        let body = self.call("GET", "/progress", pod).await?;
        serde_json::from_slice(&body).ok()
    }

    /// Asks the worker to stop after the batch in flight. Says whether it heard.
    pub async fn cancel(&self, pod: &PodView) -> bool {
        self.call("POST", "/cancel", pod).await.is_some()
    }

    async fn call(&self, method: &str, path: &str, pod: &PodView) -> Option<Vec<u8>> {
        let (ip, token) = (pod.ip.as_ref()?, pod.token.as_ref()?);
        let host = if ip.contains(':') { format!("[{ip}]") } else { ip.clone() };
        let request = hyper::Request::builder()
            .method(method)
            .uri(format!("http://{host}:{PORT}{path}"))
            .header("authorization", format!("Bearer {token}"))
            .body(Empty::new())
            .ok()?;
        let answer = timeout(PATIENCE, async {
            let answer = self.0.request(request).await.ok()?;
            let fine = answer.status().is_success();
            let body = Limited::new(answer.into_body(), ANSWER_MAX).collect().await.ok()?;
            fine.then(|| body.to_bytes().to_vec())
        });
        answer.await.ok().flatten()
    }
}

/// Asks all running pods, again and again.
pub async fn poll(context: Arc<Context>) {
    let line = Line::default();
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let pods = context.runs.running().into_iter().filter(|(run, _)| context.stores.syncs.get(run).is_some());
        let line = &line;
        let answers = futures::stream::iter(pods)
            .map(|(run, pod)| async move { Some((run, line.progress(&pod).await?)) })
            .buffer_unordered(AT_ONCE);
        let mut answers = std::pin::pin!(answers);
        while let Some(answer) = answers.next().await {
            if let Some((run, progress)) = answer
                && context.stores.syncs.get(&run).is_some()
                && context.board.heard(&run, progress)
            {
                context.queues.syncs.add(run);
            }
        }
    }
}
