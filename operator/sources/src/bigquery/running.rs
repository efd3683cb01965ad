//! Queries that are cancelled when nobody waits for them any more.

use std::sync::Arc;

use backflow_core::code::{Code, Failure};
use tokio::sync::{OwnedRwLockReadGuard, oneshot};

use super::api::{Answer, Api, Page, Statement};
use super::errors::Failed;

impl Api {
    /// Runs a query that is cancelled when this future, or what it returns, is dropped before it has ended.
    pub(super) async fn start(self: &Arc<Self>, statement: Statement) -> Result<Running, Failed> {
        let (sender, receiver) = oneshot::channel();
        let api = Arc::clone(self);
        let guard = Arc::clone(&self.running).read_owned().await;
        tokio::spawn(async move {
            let submitted = api.submit(&statement).await;
            let running = submitted.map(|answer| Running { api, answer: Some(answer), guard: Some(guard) });
            // One that nobody hears of is dropped here, and cancelled by that.
            drop(sender.send(running));
        });
        receiver.await.unwrap_or_else(|_| {
            Err(Failure::new(Code::Internal, "a query ended without an answer; please report it").into())
        })
    }
}

/// A query that runs. Dropped before it has ended, it is cancelled.
pub(super) struct Running {
    api: Arc<Api>,
    /// `None` once it has ended.
    answer: Option<Answer>,
    guard: Option<OwnedRwLockReadGuard<()>>,
}

impl Running {
    /// Waits for its end.
    pub(super) async fn result(mut self) -> Result<Page, Failed> {
        let Some(answer) = self.answer.take() else {
            return Err(Failure::new(Code::Internal, "a query was waited for twice").into());
        };
        // Kept for a cancel, if this is dropped while it waits.
        self.answer = Some(Answer { status: answer.status, envelope: answer.envelope.clone(), rows: Vec::new() });
        let result = self.api.wait(answer).await;
        // Whatever else went wrong, it may still run.
        if !matches!(result, Err(Failed::Other(_))) {
            self.answer = None;
        }
        result
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let answer = self.answer.take().filter(|answer| answer.status == 200 && !answer.envelope.job_complete);
        let job = answer.and_then(|answer| self.api.job(&answer).ok());
        let (api, guard) = (Arc::clone(&self.api), self.guard.take());
        if let Some(job) = job {
            tokio::spawn(async move {
                api.cancel(&job).await;
                drop(guard);
            });
        }
    }
}
