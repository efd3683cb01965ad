//! Why a run is asked to end before it is done.

use std::sync::Arc;
use std::time::Duration;

use backflow_core::code::{Code, Failure};
use tokio::sync::watch;

/// A request to end that many tasks can see. The first one stays.
#[derive(Clone, Debug)]
pub struct Stop(Arc<watch::Sender<Option<Failure>>>);

impl Default for Stop {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }
}

impl Stop {
    /// A person cancels the Sync.
    pub fn cancel(&self) {
        tracing::info!("Canceled; the batch in flight ends first.");
        self.ask(Code::Canceled, "canceled; what was acknowledged is committed");
    }

    /// The pod is being taken away; a replacement goes on.
    pub fn terminate(&self) {
        self.ask(Code::Terminated, "the pod was asked to stop; what was acknowledged is committed");
    }

    /// Asks to end `margin` before `deadline`, counted from now.
    pub fn end_before(&self, deadline: Duration, margin: Duration) {
        let stop = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(deadline.saturating_sub(margin)).await;
            tracing::info!("The deadline is near; the batch in flight ends first.");
            stop.ask(
                Code::DeadlineExceeded,
                "stopped ahead of runs.deadline; the next run goes on, or allow more time",
            );
        });
    }

    fn ask(&self, code: Code, message: &str) {
        self.0.send_if_modified(|asked| asked.is_none() && asked.replace(Failure::new(code, message)).is_none());
    }

    /// Why the run is asked to end, if it is.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        self.0.borrow().clone()
    }

    /// Whether the run ends for this reason.
    #[must_use]
    pub fn is(&self, code: Code) -> bool {
        self.0.borrow().as_ref().is_some_and(|failure| failure.code == code)
    }

    /// Holds why the run is asked to end, as soon as it is.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Option<Failure>> {
        self.0.subscribe()
    }

    /// Returns when the run is asked to end.
    pub async fn asked(&self) -> Failure {
        let mut watched = self.0.subscribe();
        // The sender lives in `self`: the wait ends with a value only.
        match watched.wait_for(Option::is_some).await {
            Ok(failure) => failure.clone().unwrap_or_else(|| Failure::new(Code::Canceled, "canceled")),
            Err(_) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_reason_stays() {
        let stop = Stop::default();
        assert_eq!(stop.failure(), None);
        stop.terminate();
        stop.cancel();
        assert_eq!(stop.asked().await.code, Code::Terminated);
        assert!(stop.is(Code::Terminated) && !stop.is(Code::Canceled));
    }
}
