//! Whether to go on: the run may be asked to stop, and one batch's failure stops the others.

use backflow_core::code::Failure;
use tokio::sync::watch;

use crate::Stop;

pub(crate) struct Stopper {
    asked: Stop,
    halted: watch::Sender<Option<Failure>>,
}

impl Stopper {
    pub(crate) fn new(asked: Stop) -> Self {
        Self { asked, halted: watch::Sender::new(None) }
    }

    /// Ends the run for every batch. The first failure stays.
    pub(crate) fn halt(&self, failure: &Failure) {
        self.halted.send_if_modified(|halted| {
            let first = halted.is_none();
            if first {
                *halted = Some(failure.clone());
            }
            first
        });
    }

    /// Why nothing new may begin.
    pub(crate) fn stopped(&self) -> Option<Failure> {
        self.halted.borrow().clone().or_else(|| self.asked.borrow().clone())
    }

    /// Returns as soon as nothing new may begin.
    pub(crate) async fn wait(&self) -> Failure {
        tokio::select! {
            failure = filled(self.asked.clone()) => failure,
            failure = filled(self.halted.subscribe()) => failure,
        }
    }
}

async fn filled(mut receiver: Stop) -> Failure {
    let found = receiver.wait_for(Option::is_some).await.ok().and_then(|failure| failure.clone());
    match found {
        Some(failure) => failure,
        // Whoever could have asked is gone.
        None => std::future::pending().await,
    }
}
