//! Statements that run by themselves, and are cancelled when nobody waits for them any more.

use std::sync::Arc;

use async_trait::async_trait;
use backflow_core::code::{Code, Failure};
use tokio::sync::{OwnedRwLockReadGuard, RwLock, oneshot};

/// Why a statement has no result. `E`: an error of SQL, as the service tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failed<E> {
    /// The service refused or could not run it.
    Sql(E),
    /// Anything else.
    Other(Failure),
}

impl<E> Failed<E> {
    /// The failure, where `tell` knows what the service's own error means.
    pub(crate) fn or_tell(self, tell: impl FnOnce(&E) -> Failure) -> Failure {
        match self {
            Self::Sql(error) => tell(&error),
            Self::Other(failure) => failure,
        }
    }
}

impl<E> From<Failure> for Failed<E> {
    fn from(failure: Failure) -> Self {
        Self::Other(failure)
    }
}

/// A service that runs statements.
#[async_trait]
pub(crate) trait Jobs: Send + Sync + 'static {
    /// A statement.
    type Statement: Send + Sync + 'static;
    /// What the service says to a submission.
    type Answer: Send + 'static;
    /// Names a statement that runs.
    type Job: Send + Sync + 'static;
    /// What has ended, or sends its rows.
    type Output: Send + 'static;
    /// An error of SQL, as the service tells it.
    type Error: Send + 'static;

    /// Whether a statement runs until its last row is read.
    const STREAMS: bool = false;

    /// Submits a statement.
    async fn submit(&self, statement: &Self::Statement) -> Result<Self::Answer, Failed<Self::Error>>;

    /// The statement that an answer tells of, if it has not ended.
    fn job(&self, answer: &Self::Answer) -> Option<Self::Job>;

    /// Waits for the end of what a submission was answered with, or for its first rows.
    async fn wait(
        &self,
        answer: Self::Answer,
        statement: &Self::Statement,
    ) -> Result<Self::Output, Failed<Self::Error>>;

    /// Cancels a statement; that it cannot be is logged.
    async fn cancel(&self, job: &Self::Job);

    /// Read-locked by every statement that is to be cancelled when it is dropped.
    fn running(&self) -> &Arc<RwLock<()>>;
}

/// A statement that runs by itself. Dropped before it has ended, it is cancelled.
pub(crate) struct Running<J: Jobs> {
    jobs: Arc<J>,
    statement: J::Statement,
    answer: Option<J::Answer>,
    /// `None` once it has ended.
    job: Option<J::Job>,
    guard: Option<OwnedRwLockReadGuard<()>>,
}

impl<J: Jobs> Running<J> {
    /// Runs a statement that is cancelled when this future, or what it returns, is dropped before it has ended.
    pub(crate) async fn start(jobs: &Arc<J>, statement: J::Statement) -> Result<Self, Failed<J::Error>> {
        let (sender, receiver) = oneshot::channel();
        let guard = Arc::clone(jobs.running()).read_owned().await;
        let jobs = Arc::clone(jobs);
        // Whether it was taken is known only with the answer: the task waits for it, whoever does not.
        tokio::spawn(async move {
            let submitted = jobs.submit(&statement).await;
            let running = submitted.map(|answer| {
                let job = jobs.job(&answer);
                Self { jobs, statement, answer: Some(answer), job, guard: Some(guard) }
            });
            // One that nobody hears of is dropped here, and cancelled by that.
            drop(sender.send(running));
        });
        receiver.await.unwrap_or_else(|_| {
            Err(Failure::new(Code::Internal, "a statement ended without an answer; please report it").into())
        })
    }

    /// Waits for its end; one that streams ends with its rows.
    pub(crate) async fn output(&mut self) -> Result<J::Output, Failed<J::Error>> {
        let Some(answer) = self.answer.take() else {
            return Err(Failure::new(Code::Internal, "a statement was waited for twice; please report it").into());
        };
        let output = self.jobs.wait(answer, &self.statement).await;
        if output.is_err() || !J::STREAMS {
            self.ended(&output);
        }
        output
    }

    /// Takes note of how it ended, so that it is not cancelled when it is dropped.
    pub(crate) fn ended<T>(&mut self, result: &Result<T, Failed<J::Error>>) {
        // Whatever else went wrong, it may still run.
        if !matches!(result, Err(Failed::Other(_))) {
            (self.job, self.guard) = (None, None);
        }
    }
}

impl<J: Jobs> Drop for Running<J> {
    fn drop(&mut self) {
        let (jobs, guard) = (Arc::clone(&self.jobs), self.guard.take());
        if let Some(job) = self.job.take() {
            tokio::spawn(async move {
                jobs.cancel(&job).await;
                drop(guard);
            });
        }
    }
}
