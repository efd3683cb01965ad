//! The one way to a destination, shared by all batches of a run: pauses, rates, requests in flight.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backflow_core::code::{Code, Failure};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::adaptive::{Adaptive, Concurrency};
use super::breaker::{Breaker, Way};
use super::hints::{Hint, LONGEST};
use super::usage::Usage;
use super::windows::{Rate, Window};
use crate::delivery::{Backoff, Stopper};

/// How long nothing is sent when a destination says "none left", not until when, and no rate of ours tells either.
const NONE_LEFT: Duration = Duration::from_secs(1);

/// What a request takes of the rates: which of them (by their order in [`Gate::new`]), and how much.
pub(crate) type Spend<'a> = &'a [(usize, u64)];

/// How often a run says what it used, and learns what others did.
const SHARED: Duration = Duration::from_secs(60);
/// How long that may take.
const SHARING: Duration = Duration::from_secs(10);

pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Notify,
    /// What runs before and beside this one use of the same rates.
    usage: Option<Usage>,
    /// When that was looked at last.
    shared: tokio::sync::Mutex<Option<Instant>>,
    /// It was looked at.
    known: AtomicBool,
    /// How often the breaker opened, and nobody has been told yet.
    breaks: AtomicU64,
}

struct State {
    in_flight: Adaptive,
    windows: Vec<Window>,
    breaker: Breaker,
    paused_until: Option<Instant>,
    /// The same, as far as the destination asked for it.
    asked_until: Option<Instant>,
}

/// Why there is no way yet.
enum Closed {
    Paused(Instant),
    /// Until then a rate is used up: it in words.
    Rate(Instant, String),
    /// One request after the other failed.
    Broken(Instant),
    InFlight,
}

/// A request in flight; dropped when it has ended.
pub(crate) struct Permit<'a> {
    gate: &'a Gate,
    begun: Instant,
    failed: AtomicBool,
    /// How long a pause, a rate or failures before it kept it from beginning.
    pub(crate) waited: Duration,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        state.in_flight.end();
        let broke = state.breaker.end(self.failed.load(Relaxed), Instant::now());
        drop(state);
        if broke {
            self.gate.breaks.fetch_add(1, Relaxed);
            tracing::warn!(
                "one request after the other fails; the destination is left alone for a while, and then tried by one at a time"
            );
        }
        self.gate.changed.notify_waiters();
    }
}

impl Permit<'_> {
    /// The request was taken.
    pub(crate) fn succeeded(&self) {
        self.gate.lock().in_flight.succeeded(self.begun.elapsed());
    }

    /// No answer, or a server error.
    pub(crate) fn failed(&self) {
        self.failed.store(true, Relaxed);
        self.gate.lock().in_flight.failed();
    }
}

impl Gate {
    pub(crate) fn new(concurrency: Concurrency, rates: &[Rate], backoff: Backoff, usage: Option<Usage>) -> Self {
        let state = State {
            in_flight: Adaptive::new(concurrency),
            windows: rates.iter().map(|rate| Window::new(*rate)).collect(),
            breaker: Breaker::new(backoff),
            paused_until: None,
            asked_until: None,
        };
        Self {
            state: Mutex::new(state),
            changed: Notify::new(),
            usage,
            shared: tokio::sync::Mutex::default(),
            known: AtomicBool::new(false),
            breaks: AtomicU64::new(0),
        }
    }

    /// Says what this run used, and learns what others did: before its first request, then once a minute, and at its `end`.
    pub(crate) async fn share(&self, end: bool) {
        let Some(usage) = &self.usage else { return };
        let mut shared = match self.shared.try_lock() {
            Ok(shared) => shared,
            // Another batch does it, and this one knows enough to go on.
            Err(_) if self.known.load(Relaxed) => return,
            Err(_) => self.shared.lock().await,
        };
        if !end && shared.is_some_and(|at| at.elapsed() < SHARED) {
            return;
        }
        // Also if it fails: not each batch is to wait for a store that is away.
        *shared = Some(Instant::now());
        match tokio::time::timeout(SHARING, usage.exchange()).await {
            Ok(Ok(others)) => {
                let mut state = self.lock();
                let now = Instant::now();
                for (place, used) in &others.used {
                    if let Some(window) = state.windows.get_mut(*place) {
                        window.learn(used, now);
                    }
                }
                if let Some(wait) = others.wait {
                    state.pause(now + wait.min(LONGEST), true);
                }
                drop(state);
                self.changed.notify_waiters();
            }
            Ok(Err(failure)) => {
                tracing::warn!(code = %failure.code, message = failure.message, "what other runs use of the destination's rates is not known");
            }
            Err(_) => {
                tracing::warn!("the state does not answer: what other runs use of the destination's rates is not known")
            }
        }
        self.known.store(true, Relaxed);
    }

    /// Waits until a request may begin. A rate that is used up for longer than `patience` is not waited for: a day's requests are not
    /// there again within a run.
    pub(crate) async fn enter(
        &self,
        spend: Spend<'_>,
        patience: Duration,
        stopper: &Stopper,
    ) -> Result<Permit<'_>, Failure> {
        let mut waited = Duration::ZERO;
        loop {
            if let Some(failure) = stopper.stopped() {
                return Err(failure);
            }
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            let now = Instant::now();
            let until = match self.try_enter(spend, now) {
                Ok(()) => return Ok(Permit { gate: self, begun: now, failed: AtomicBool::new(false), waited }),
                Err(Closed::Rate(until, rate)) if until - now > patience => {
                    self.lock().asked(until);
                    return Err(used_up(&rate, until - now, patience));
                }
                Err(Closed::Paused(until)) if until - now > patience => return Err(left_alone(until - now, patience)),
                Err(Closed::Paused(until) | Closed::Rate(until, _) | Closed::Broken(until)) => Some(until),
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
            if until.is_some() {
                waited += now.elapsed();
            }
        }
    }

    fn try_enter(&self, spend: Spend<'_>, now: Instant) -> Result<(), Closed> {
        let mut state = self.lock();
        if let Some(until) = state.paused_until.filter(|until| *until > now) {
            return Err(Closed::Paused(until));
        }
        let mut closed: Option<(Instant, usize)> = None;
        for (at, weight) in spend {
            let until = state.windows.get_mut(*at).and_then(|window| window.opens(*weight, now));
            closed = closed.max(until.map(|until| (until, *at)));
        }
        if let Some((until, at)) = closed {
            return Err(Closed::Rate(until, state.windows[at].shown()));
        }
        match state.breaker.way(now) {
            Way::Open => {}
            Way::Shut(until) => return Err(Closed::Broken(until)),
            Way::Trying => return Err(Closed::InFlight),
        }
        if !state.in_flight.begin() {
            return Err(Closed::InFlight);
        }
        state.breaker.begin();
        for (at, weight) in spend {
            if let Some(window) = state.windows.get_mut(*at) {
                window.spend(*weight, now);
            }
            if let Some(usage) = &self.usage {
                usage.spent(*at, *weight);
            }
        }
        Ok(())
    }

    /// How often the breaker has opened since this was asked.
    pub(crate) fn breaks(&self) -> u64 {
        self.breaks.swap(0, Relaxed)
    }

    /// The destination throttles: nothing begins before `until`, and then less at once. `asked`: it said itself until when.
    pub(crate) fn pause(&self, until: Instant, asked: bool) {
        let mut state = self.lock();
        state.pause(until, asked);
        state.in_flight.throttled();
        drop(state);
        self.remember(until, asked);
    }

    /// A destination that says when it may be asked again says it to the next run, too.
    fn remember(&self, until: Instant, asked: bool) {
        if let Some(usage) = self.usage.as_ref().filter(|_| asked) {
            usage.wait(until.saturating_duration_since(Instant::now()));
        }
    }

    /// A request was taken, and its answer says that the next one would not be.
    pub(crate) fn used_up(&self, hint: &Hint) {
        let mut state = self.lock();
        let now = Instant::now();
        let back = || state.windows.iter().filter_map(Window::next_back).filter(|back| *back > now).min();
        let until = match hint.reset {
            Some(reset) => now + reset,
            None => back().unwrap_or(now + NONE_LEFT),
        };
        state.pause(until, hint.reset.is_some());
        drop(state);
        self.remember(until, hint.reset.is_some());
    }

    /// How much longer the destination wants to be left alone.
    pub(crate) fn asked(&self) -> Option<Duration> {
        let left = self.lock().asked_until?.saturating_duration_since(Instant::now());
        Some(left).filter(|left| !left.is_zero())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn asked(&mut self, until: Instant) {
        self.asked_until = Some(self.asked_until.map_or(until, |paused| paused.max(until)));
    }

    fn pause(&mut self, until: Instant, asked: bool) {
        if asked {
            self.asked(until);
        }
        self.paused_until = Some(self.paused_until.map_or(until, |paused| paused.max(until)));
    }
}

fn left_alone(wait: Duration, patience: Duration) -> Failure {
    let message = format!(
        "the destination asked to be left alone for another {:.0} s, longer than the {} s of retry.window; the next run after that goes on",
        wait.as_secs_f64(),
        patience.as_secs()
    );
    Failure::new(Code::RetriesExhausted, message)
}

fn used_up(rate: &str, wait: Duration, patience: Duration) -> Failure {
    let message = format!(
        "the limit of {rate} is used up for another {:.0} s, longer than the {} s of retry.window; the next run goes on",
        wait.as_secs_f64(),
        patience.as_secs()
    );
    Failure::new(Code::RetriesExhausted, message)
}
