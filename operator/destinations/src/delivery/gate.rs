//! The one way to a destination, shared by all batches of a run: pauses, requests in any second, requests in flight.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backflow_core::code::Failure;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::stopper::Stopper;

/// In this span there are never more requests than the limit of a second. It is a little longer: requests that are sent evenly arrive
/// unevenly.
const WINDOW: Duration = Duration::from_millis(1020);

pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Notify,
    concurrency: usize,
    rate: Option<usize>,
}

struct State {
    in_flight: usize,
    /// Requests in flight that are allowed now: halved when the destination throttles, one more with each success.
    allowed: usize,
    paused_until: Option<Instant>,
    /// The same, as far as the destination asked for it.
    asked_until: Option<Instant>,
    /// When the last requests began, at most `rate` of them.
    began: VecDeque<Instant>,
}

/// Why there is no way yet.
enum Closed {
    Until(Instant),
    InFlight,
}

/// A request in flight; dropped when it has ended.
pub(crate) struct Permit<'a>(&'a Gate);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.lock().in_flight -= 1;
        self.0.changed.notify_waiters();
    }
}

impl Gate {
    /// `rate`: requests in any second.
    pub(crate) fn new(concurrency: usize, rate: Option<u32>) -> Self {
        let state =
            State { in_flight: 0, allowed: concurrency, paused_until: None, asked_until: None, began: VecDeque::new() };
        let rate = rate.map(|rate| rate.max(1) as usize);
        Self { state: Mutex::new(state), changed: Notify::new(), concurrency, rate }
    }

    /// Waits until a request may begin.
    pub(crate) async fn enter(&self, stopper: &Stopper) -> Result<Permit<'_>, Failure> {
        loop {
            if let Some(failure) = stopper.stopped() {
                return Err(failure);
            }
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            let until = match self.try_enter(Instant::now()) {
                Ok(permit) => return Ok(permit),
                Err(Closed::Until(until)) => Some(until),
                Err(Closed::InFlight) => None,
            };
            let opened = async {
                match until {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                failure = stopper.wait() => return Err(failure),
                () = changed => {}
                () = opened => {}
            }
        }
    }

    fn try_enter(&self, now: Instant) -> Result<Permit<'_>, Closed> {
        let mut state = self.lock();
        if let Some(until) = state.paused_until.filter(|until| *until > now) {
            return Err(Closed::Until(until));
        }
        if state.in_flight >= state.allowed {
            return Err(Closed::InFlight);
        }
        if let Some(rate) = self.rate {
            if state.began.len() >= rate
                && let Some(open) = state.began.front().map(|first| *first + WINDOW).filter(|open| *open > now)
            {
                return Err(Closed::Until(open));
            }
            if state.began.len() >= rate {
                state.began.pop_front();
            }
            state.began.push_back(now);
        }
        state.in_flight += 1;
        Ok(Permit(self))
    }

    /// The destination throttles: nothing begins before `until`, and then less at once. `asked`: it said itself until when.
    pub(crate) fn pause(&self, until: Instant, asked: bool) {
        let mut state = self.lock();
        if asked {
            state.asked_until = Some(state.asked_until.map_or(until, |paused| paused.max(until)));
        }
        state.paused_until = Some(state.paused_until.map_or(until, |paused| paused.max(until)));
        state.allowed = (state.allowed / 2).max(1);
    }

    /// How much longer the destination wants to be left alone.
    pub(crate) fn asked(&self) -> Option<Duration> {
        let left = self.lock().asked_until?.saturating_duration_since(Instant::now());
        Some(left).filter(|left| !left.is_zero())
    }

    /// A request succeeded.
    pub(crate) fn succeeded(&self) {
        let mut state = self.lock();
        state.allowed = (state.allowed + 1).min(self.concurrency);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
