//! Failures on request, the same for the same seed.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::taken::Taken;

/// How a receiver fails.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Faults {
    /// Of the choices that are made at random.
    pub seed: u64,
    /// Share of requests that are answered 429 with `Retry-After: 1`.
    pub throttle: f64,
    /// Hashes of ids; a batch with any of them is answered 422.
    pub poison: Vec<u64>,
    /// Hashes of ids that are refused one by one, inside of an answer 207; if there are any, each batch is answered record by record.
    pub reject: Vec<u64>,
    /// After this many requests it is down …
    pub down_after: Option<u64>,
    /// … for this many seconds: every connection is cut.
    pub down_seconds: u64,
    /// So many requests are answered one after another, a second apart.
    pub slow: u64,
}

/// What becomes of a request.
pub(super) enum Verdict {
    Take,
    /// Takes the records that are `true`.
    TakeSome(Vec<bool>),
    Throttle(u64),
    Refuse,
    Cut,
}

/// [`Faults`] on their way.
#[derive(Default)]
pub(super) struct Plan {
    faults: Faults,
    poison: HashSet<u64>,
    reject: HashSet<u64>,
    random: fastrand::Rng,
    requests: u64,
    down_until: Option<Instant>,
    /// When the last slow answer is due.
    answered: Option<Instant>,
}

impl Plan {
    pub(super) fn new(faults: Faults) -> Self {
        let set = |ids: &[u64]| ids.iter().copied().collect();
        Self {
            random: fastrand::Rng::with_seed(faults.seed),
            poison: set(&faults.poison),
            reject: set(&faults.reject),
            faults,
            requests: 0,
            down_until: None,
            answered: None,
        }
    }

    /// When the request that comes now is answered, if not at once.
    pub(super) fn due(&mut self) -> Option<Instant> {
        self.faults.slow = self.faults.slow.checked_sub(1)?;
        let now = Instant::now();
        let due = self.answered.map_or(now, |last| last.max(now)) + Duration::from_secs(1);
        self.answered = Some(due);
        self.answered
    }

    pub(super) fn verdict(&mut self, batch: &[Taken]) -> Verdict {
        self.requests += 1;
        if self.faults.down_after == Some(self.requests) {
            self.down_until = Some(Instant::now() + Duration::from_secs(self.faults.down_seconds));
        }
        if self.down_until.is_some_and(|until| Instant::now() < until) {
            return Verdict::Cut;
        }
        if self.faults.throttle > 0.0 && self.random.f64() < self.faults.throttle {
            return Verdict::Throttle(1);
        }
        if !self.poison.is_empty() && batch.iter().any(|taken| self.poison.contains(&taken.id)) {
            return Verdict::Refuse;
        }
        if !self.reject.is_empty() {
            return Verdict::TakeSome(batch.iter().map(|taken| !self.reject.contains(&taken.id)).collect());
        }
        Verdict::Take
    }
}
