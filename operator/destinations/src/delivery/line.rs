//! A batch's way to the destination: every request waits its turn, and is counted.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backflow_core::code::Failure;
use backflow_core::traffic::{Answered, Traffic};
use tokio::time::Instant;

use super::stopper::Stopper;
use crate::pace::{Gate, Hint, LONGEST, Permit, Spend};

/// Requests and bytes of a batch, and what came of them.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    requests: AtomicU64,
    bytes: AtomicU64,
    traffic: Mutex<Traffic>,
}

impl Tally {
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// What was answered, with the `breaks` of the run that nobody has counted yet.
    pub(crate) fn traffic(&self, breaks: u64) -> Traffic {
        Traffic { breaks, ..self.lock().clone() }
    }

    /// A request was answered, or not, after so long.
    pub(crate) fn answered(&self, answered: Answered, after: Duration) {
        let mut traffic = self.lock();
        traffic.count(answered);
        traffic.request_ms += milliseconds(after);
    }

    /// The batch waited because the destination allowed no more.
    pub(crate) fn waited(&self, wait: Duration) {
        self.lock().throttled_ms += milliseconds(wait);
    }

    /// The batch, or a part of it, is tried again.
    pub(crate) fn again(&self) {
        self.lock().retries += 1;
    }

    fn lock(&self) -> MutexGuard<'_, Traffic> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request goes out with so many bytes of body.
    pub(crate) fn count(&self, bytes: usize) {
        self.requests.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
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
        if !permit.waited.is_zero() {
            self.tally.waited(permit.waited);
        }
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
