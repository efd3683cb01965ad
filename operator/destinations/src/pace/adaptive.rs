//! How many requests may be in flight: more as long as that helps, fewer as soon as the destination shows that it is too many.

use std::time::Duration;

/// What a throttle and what another sign of overload leave of the limit.
const THROTTLED: f64 = 0.5;
const OVERLOADED: f64 = 0.9;
/// A round is slow if it takes so many times as long as the best one, and this much longer in seconds.
const SLOWER: f64 = 1.5;
const NOTICEABLE: f64 = 0.02;
/// The best round is forgotten by so much with each other one: destinations may become slower for good.
const FORGOTTEN: f64 = 1.01;

/// The bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Concurrency {
    /// Requests in flight, never more.
    pub(crate) max: usize,
    /// Requests in flight at first.
    pub(crate) initial: usize,
    /// Whether response times and errors change the limit. A throttle always does.
    pub(crate) adaptive: bool,
}

impl Concurrency {
    /// `max` from the first request on.
    #[cfg(test)]
    pub(crate) fn fixed(max: usize) -> Self {
        Self { max, initial: max, adaptive: true }
    }
}

/// Additive increase, multiplicative decrease, judged once a round: when as many requests have ended as were allowed.
pub(crate) struct Adaptive {
    bounds: Concurrency,
    allowed: f64,
    in_flight: usize,
    /// Of the round: requests that ended, the sum of their times in seconds, and whether all places were ever taken.
    ended: usize,
    seconds: f64,
    full: bool,
    /// Seconds of a request in the best round.
    best: f64,
}

impl Adaptive {
    pub(crate) fn new(bounds: Concurrency) -> Self {
        let bounds = Concurrency { max: bounds.max.max(1), ..bounds };
        let allowed = bounds.initial.clamp(1, bounds.max) as f64;
        Self { bounds, allowed, in_flight: 0, ended: 0, seconds: 0.0, full: false, best: f64::INFINITY }
    }

    /// Requests that may be in flight now.
    pub(crate) fn allowed(&self) -> usize {
        self.allowed as usize
    }

    /// Takes a place, if one is free.
    pub(crate) fn begin(&mut self) -> bool {
        if self.in_flight >= self.allowed() {
            return false;
        }
        self.in_flight += 1;
        self.full |= self.in_flight >= self.allowed();
        true
    }

    /// Gives a place back.
    pub(crate) fn end(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// A request was taken after this time.
    pub(crate) fn succeeded(&mut self, took: Duration) {
        self.ended += 1;
        self.seconds += took.as_secs_f64();
        if self.ended < self.allowed() {
            return;
        }
        let round = self.seconds / self.ended as f64;
        let full = std::mem::take(&mut self.full);
        (self.ended, self.seconds) = (0, 0.0);
        let slow = round > self.best * SLOWER && round - self.best > NOTICEABLE;
        self.best = round.min(self.best * FORGOTTEN);
        if slow && self.bounds.adaptive {
            self.shrink(OVERLOADED);
        } else if full {
            self.grow();
        }
    }

    /// The destination said that it is too much.
    pub(crate) fn throttled(&mut self) {
        self.shrink(THROTTLED);
    }

    /// No answer, or a server error.
    pub(crate) fn failed(&mut self) {
        if self.bounds.adaptive {
            self.shrink(OVERLOADED);
        }
    }

    fn grow(&mut self) {
        self.allowed = (self.allowed + 1.0).min(self.bounds.max as f64);
    }

    fn shrink(&mut self, factor: f64) {
        self.allowed = (self.allowed * factor).max(1.0);
        (self.ended, self.seconds, self.full) = (0, 0.0, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounds of requests that each take as long as `takes` says for so many in flight; the limit after each round.
    fn rounds(adaptive: &mut Adaptive, rounds: usize, takes: impl Fn(usize) -> u64) -> Vec<usize> {
        let round = |_| {
            let places = adaptive.allowed();
            (0..places).for_each(|_| assert!(adaptive.begin()));
            assert!(!adaptive.begin(), "no more than {places}");
            (0..places).for_each(|_| {
                adaptive.end();
                adaptive.succeeded(Duration::from_millis(takes(places)));
            });
            adaptive.allowed()
        };
        (0..rounds).map(round).collect()
    }

    fn from_one(max: usize) -> Adaptive {
        Adaptive::new(Concurrency { max, initial: 1, adaptive: true })
    }

    #[test]
    fn it_grows_by_one_a_round_up_to_its_bound() {
        assert_eq!(rounds(&mut from_one(4), 6, |_| 50), [2, 3, 4, 4, 4, 4]);
    }

    #[test]
    fn it_does_not_grow_while_places_are_free() {
        let mut adaptive = from_one(8);
        rounds(&mut adaptive, 3, |_| 50);
        let before = adaptive.allowed();
        for _ in 0..20 {
            assert!(adaptive.begin());
            adaptive.end();
            adaptive.succeeded(Duration::from_millis(50));
        }
        assert!(adaptive.allowed() <= before + 1, "one round may have been full before");
    }

    #[test]
    fn it_stays_where_more_makes_each_slower() {
        let mut adaptive = from_one(64);
        let limits = rounds(&mut adaptive, 200, |places| if places > 12 { 50 * (places as u64 - 11) } else { 50 });
        assert!(limits[100..].iter().all(|limit| (6..=24).contains(limit)), "{limits:?}");
    }

    #[test]
    fn a_throttle_halves_and_errors_take_a_tenth() {
        let mut adaptive = Adaptive::new(Concurrency::fixed(16));
        adaptive.throttled();
        assert_eq!(adaptive.allowed(), 8);
        adaptive.failed();
        assert_eq!(adaptive.allowed(), 7);
        (0..9).for_each(|_| adaptive.throttled());
        assert_eq!(adaptive.allowed(), 1, "one always may");
        let mut rigid = Adaptive::new(Concurrency { max: 8, initial: 8, adaptive: false });
        rigid.failed();
        assert_eq!(rigid.allowed(), 8);
        rigid.throttled();
        assert_eq!(rigid.allowed(), 4);
    }

    #[test]
    fn less_allowed_than_in_flight_lets_none_begin_until_enough_have_ended() {
        let mut adaptive = Adaptive::new(Concurrency::fixed(4));
        (0..4).for_each(|_| assert!(adaptive.begin()));
        adaptive.throttled();
        adaptive.end();
        adaptive.end();
        assert!(!adaptive.begin());
        adaptive.end();
        assert!(adaptive.begin());
    }
}
