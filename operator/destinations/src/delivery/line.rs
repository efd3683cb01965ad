//! A batch's way to the destination: every request waits its turn, and is counted.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use backflow_core::code::Failure;
use tokio::time::Instant;

use super::stopper::Stopper;
use crate::pace::{Gate, Hint, LONGEST, Permit, Spend};

/// Requests and bytes of a batch.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    requests: AtomicU64,
    bytes: AtomicU64,
}

impl Tally {
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// A request goes out with so many bytes of body.
    pub(crate) fn count(&self, bytes: usize) {
        self.requests.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }
}

/// What requests go through.
pub(crate) struct Line<'a> {
    pub(crate) gate: &'a Gate,
    pub(crate) stopper: &'a Stopper,
    pub(crate) tally: &'a Tally,
    /// The longest that a rate which is used up is waited for.
    pub(crate) patience: Duration,
}

impl<'a> Line<'a> {
    /// Waits until a request may begin.
    ///
    /// # Errors
    /// The run is asked to stop, or a rate is used up for too long.
    pub(crate) async fn enter(&self, spend: Spend<'_>, bytes: usize) -> Result<Permit<'a>, Failure> {
        let permit = self.gate.enter(spend, self.patience, self.stopper).await?;
        self.tally.count(bytes);
        Ok(permit)
    }

    /// Heeds what an answer to a request that was taken says about the next ones.
    pub(crate) fn heed(&self, hint: &Hint) {
        if hint.used_up {
            self.gate.used_up(hint);
        }
    }

    /// Waits, unless the run is asked to stop.
    ///
    /// # Errors
    /// Why it should stop.
    pub(crate) async fn wait(&self, wait: Duration) -> Result<(), Failure> {
        tokio::select! {
            failure = self.stopper.wait() => Err(failure),
            () = tokio::time::sleep(wait.min(LONGEST)) => Ok(()),
        }
    }

    /// The destination throttles: the whole connection waits.
    pub(crate) fn pause(&self, wait: Duration, asked: bool) {
        self.gate.pause(Instant::now() + wait.min(LONGEST), asked);
    }
}
