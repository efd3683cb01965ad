//! Leaving a destination alone that fails one request after the other.
//!
//! Each batch waits longer after each of its failures, but many batches at once would still ask a destination that is down many times a
//! second. So after some failures in a row, of whatever batch, nothing begins for a while; then one request tries, and if that fails,
//! nothing begins for twice as long. Any answer but a fault of the destination closes the breaker.

use tokio::time::Instant;

use crate::delivery::Backoff;

/// Failures in a row that open it.
const FAILURES: u32 = 5;

/// Whether requests may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Open,
    /// Not before then.
    Shut(Instant),
    /// Another request tries just now.
    Trying,
}

pub(crate) struct Breaker {
    backoff: Backoff,
    failures: u32,
    /// Until when nothing begins; afterwards, one request at a time.
    until: Option<Instant>,
    trying: bool,
}

impl Breaker {
    pub(crate) fn new(backoff: Backoff) -> Self {
        Self { backoff, failures: 0, until: None, trying: false }
    }

    pub(crate) fn way(&self, now: Instant) -> Way {
        match self.until {
            None => Way::Open,
            Some(until) if until > now => Way::Shut(until),
            Some(_) if self.trying => Way::Trying,
            Some(_) => Way::Open,
        }
    }

    /// A request begins.
    pub(crate) fn begin(&mut self) {
        self.trying = self.until.is_some();
    }

    /// A request has ended. Whether this opened the breaker.
    pub(crate) fn end(&mut self, failed: bool, now: Instant) -> bool {
        self.trying = false;
        if !failed {
            (self.failures, self.until) = (0, None);
            return false;
        }
        self.failures = self.failures.saturating_add(1);
        let Some(more) = self.failures.checked_sub(FAILURES) else { return false };
        // The shorter half of what the batch itself waits after as many tries: one batch alone is never held up by it.
        let until = now + self.backoff.after(more + 1, 0.0);
        self.until = Some(self.until.map_or(until, |before| before.max(until)));
        more == 0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn breaker() -> Breaker {
        Breaker::new(Backoff::default())
    }

    #[test]
    fn failures_in_a_row_shut_the_way_longer_each_time() {
        let (mut breaker, mut now) = (breaker(), Instant::now());
        for n in 1..FAILURES {
            breaker.begin();
            assert!(!breaker.end(true, now), "{n}");
            assert_eq!(breaker.way(now), Way::Open);
        }
        breaker.begin();
        assert!(breaker.end(true, now));
        for wait in [500, 1_000, 2_000, 4_000] {
            let until = now + Duration::from_millis(wait);
            assert_eq!(breaker.way(now), Way::Shut(until));
            now = until;
            assert_eq!(breaker.way(now), Way::Open);
            breaker.begin();
            assert_eq!(breaker.way(now), Way::Trying, "one at a time");
            assert!(!breaker.end(true, now), "it is one break");
        }
    }

    #[test]
    fn any_answer_opens_the_way_for_all() {
        let (mut breaker, now) = (breaker(), Instant::now());
        (0..FAILURES).for_each(|_| _ = breaker.end(true, now));
        let later = now + Duration::from_secs(1);
        breaker.begin();
        breaker.end(false, later);
        breaker.begin();
        assert_eq!(breaker.way(later), Way::Open);
        (1..FAILURES).for_each(|_| _ = breaker.end(true, later));
        assert_eq!(breaker.way(later), Way::Open, "counted from the beginning");
    }

    #[test]
    fn requests_that_were_on_their_way_do_not_shorten_it() {
        let (mut breaker, now) = (breaker(), Instant::now());
        let breaks = (0..FAILURES + 3).filter(|_| breaker.end(true, now)).count();
        assert_eq!(breaker.way(now), Way::Shut(now + Duration::from_secs(4)));
        assert_eq!(breaks, 1);
    }
}
