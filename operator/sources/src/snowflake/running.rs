//! Statements that run by themselves, and are cancelled when nobody waits for them any more.

use std::sync::Arc;

use backflow_core::code::{Code, Failure};
use tokio::sync::{OwnedRwLockReadGuard, oneshot};

use super::api::{Answer, Api, ResultSet, Statement};
use super::errors::Failed;

impl Api {
    /// Runs a statement that is cancelled when this future, or what it returns, is dropped before it has ended.
    pub(super) async fn start(self: &Arc<Self>, statement: Statement) -> Result<Running, Failed> {
        let (sender, receiver) = oneshot::channel();
        let api = Arc::clone(self);
        let guard = Arc::clone(&self.running).read_owned().await;
        // Whether it was taken is known only with the answer: the task waits for it, whoever does not.
        tokio::spawn(async move {
            let submitted = api.submit(&statement).await;
            let running = submitted.map(|answer| Running { api, statement, answer: Some(answer), guard: Some(guard) });
            // One that nobody hears of is dropped here, and cancelled by that.
            drop(sender.send(running));
        });
        receiver.await.unwrap_or_else(|_| {
            Err(Failure::new(Code::Internal, "a statement ended without an answer; please report it").into())
        })
    }
}

/// A statement that runs by itself. Dropped before it has ended, it is cancelled.
pub(super) struct Running {
    api: Arc<Api>,
    statement: Statement,
    /// `None` once it has ended.
    answer: Option<Answer>,
    guard: Option<OwnedRwLockReadGuard<()>>,
}

impl Running {
    /// Waits for its end.
    pub(super) async fn result(mut self) -> Result<ResultSet, Failed> {
        let answer = self.answer.as_ref();
        let begun =
            answer.map(|answer| Answer { status: answer.status, envelope: answer.envelope.clone(), rows: None });
        let Some(begun) = begun else {
            return Err(Failure::new(Code::Internal, "a statement was waited for twice").into());
        };
        let result = self.api.wait(begun, &self.statement).await;
        // Whatever else went wrong, it may still run.
        if !matches!(result, Err(Failed::Other(_))) {
            self.answer = None;
        }
        result
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let handle = self.answer.as_ref().and_then(|answer| self.api.handle(answer).ok());
        let (api, guard) = (Arc::clone(&self.api), self.guard.take());
        if let Some(handle) = handle {
            tokio::spawn(async move {
                api.cancel(&handle).await;
                drop(guard);
            });
        }
    }
}
