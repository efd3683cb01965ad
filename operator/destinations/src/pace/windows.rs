//! Requests in sliding windows: never more than a limit in any span of its length, wherever that span begins.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Entries of a window's memory, about: requests that begin closer together than this part of the window are remembered as one, which is
/// forgotten with its last. A window of a day so takes as little memory as one of a second, and loses a thousandth of its use.
const TICKS: u32 = 1024;
/// A window is watched a little longer than it is: requests that are sent evenly arrive unevenly.
const SLACK: u32 = 50;
const MOST_SLACK: Duration = Duration::from_millis(250);

/// A limit: so much in any span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Requests, or whatever a request weighs.
    pub(crate) limit: u64,
    /// The span.
    pub(crate) per: Duration,
}

/// A limit, and what of it is used.
pub(crate) struct Window {
    limit: u64,
    per: Duration,
    /// `per` and the slack.
    span: Duration,
    tick: Duration,
    spent: VecDeque<Spent>,
    used: u64,
    /// What other runs have used: when it comes back, in that order, and how much.
    others: VecDeque<(Instant, u64)>,
    others_used: u64,
}

/// What was spent within one tick.
struct Spent {
    first: Instant,
    last: Instant,
    weight: u64,
}

impl Window {
    pub(crate) fn new(rate: Rate) -> Self {
        let span = rate.per + (rate.per / SLACK).min(MOST_SLACK);
        Self {
            limit: rate.limit.max(1),
            per: rate.per,
            span,
            tick: rate.per / TICKS,
            spent: VecDeque::new(),
            used: 0,
            others: VecDeque::new(),
            others_used: 0,
        }
    }

    /// When `weight` more may be spent; nothing if it may now. What weighs more than the limit counts as the limit: it would never go.
    pub(crate) fn opens(&mut self, weight: u64, now: Instant) -> Option<Instant> {
        while let Some(oldest) = self.spent.front().filter(|oldest| oldest.last + self.span <= now) {
            self.used -= oldest.weight;
            self.spent.pop_front();
        }
        while let Some((_, weight)) = self.others.front().filter(|(back, _)| *back <= now) {
            self.others_used -= weight;
            self.others.pop_front();
        }
        let room = self.limit - weight.min(self.limit);
        let mut used = self.used.saturating_add(self.others_used);
        let mut opens = None;
        let own = self.spent.iter().map(|entry| (entry.last + self.span, entry.weight));
        let (mut own, mut others) = (own.peekable(), self.others.iter().copied().peekable());
        while used > room {
            let first = match (own.peek(), others.peek()) {
                (Some((mine, _)), Some((theirs, _))) if theirs < mine => others.next(),
                (None, _) => others.next(),
                _ => own.next(),
            };
            let Some((back, weight)) = first else { break };
            used = used.saturating_sub(weight);
            opens = Some(back);
        }
        opens
    }

    /// Other runs have used this much: how long until it comes back, and how much; in place of what was known of them.
    pub(crate) fn learn(&mut self, others: &[(Duration, u64)], now: Instant) {
        let mut all: Vec<(Instant, u64)> = others.iter().map(|(back, weight)| (now + *back, *weight)).collect();
        all.sort_unstable();
        self.others_used = all.iter().fold(0, |sum, (_, weight)| sum.saturating_add(*weight));
        self.others = all.into();
    }

    /// Spends what [`Window::opens`] allowed.
    pub(crate) fn spend(&mut self, weight: u64, now: Instant) {
        let weight = weight.min(self.limit);
        self.used += weight;
        match self.spent.back_mut().filter(|entry| now.saturating_duration_since(entry.first) < self.tick) {
            Some(entry) => {
                entry.last = entry.last.max(now);
                entry.weight += weight;
            }
            None => self.spent.push_back(Spent { first: now, last: now, weight }),
        }
    }

    /// When the first of what is spent comes back: the earliest that a destination which says "none left" can have one again.
    pub(crate) fn next_back(&self) -> Option<Instant> {
        let own = self.spent.front().map(|oldest| oldest.last + self.span);
        own.into_iter().chain(self.others.front().map(|(back, _)| *back)).min()
    }

    /// The limit in words.
    pub(crate) fn shown(&self) -> String {
        format!("{} requests in {} s", self.limit, self.per.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sends as fast as the windows allow, waiting `pauses` (ms) in between, and says what was sent when.
    fn run(rates: &[Rate], weights: &[u64], pauses: &[u64], requests: usize) -> Vec<(Duration, u64)> {
        let begin = Instant::now();
        let mut now = begin;
        let mut windows: Vec<Window> = rates.iter().map(|rate| Window::new(*rate)).collect();
        let mut sent = Vec::new();
        for at in 0..requests {
            now += Duration::from_millis(pauses.get(at % pauses.len().max(1)).copied().unwrap_or(0));
            let weight = weights[at % weights.len()];
            while let Some(until) = windows.iter_mut().filter_map(|window| window.opens(weight, now)).max() {
                assert!(until > now, "a window that is shut opens later");
                now = until;
            }
            windows.iter_mut().for_each(|window| window.spend(weight, now));
            sent.push((now - begin, weight));
        }
        sent
    }

    /// The most that any span of `rate.per` holds.
    fn most(sent: &[(Duration, u64)], rate: Rate) -> u64 {
        let within = |from: usize| {
            sent[from..].iter().take_while(|(at, _)| *at - sent[from].0 < rate.per).map(|(_, weight)| weight).sum()
        };
        (0..sent.len()).map(within).max().unwrap_or(0)
    }

    proptest! {
        #[test]
        fn no_span_ever_holds_more_than_its_limit(
            limits in prop::collection::vec((1_u64..60, 1_u64..30_000), 1..4),
            weights in prop::collection::vec(1_u64..4, 1..4),
            pauses in prop::collection::vec(0_u64..700, 1..6),
        ) {
            let rates: Vec<Rate> = limits
                .iter()
                .map(|(limit, per)| Rate { limit: (*limit).max(4), per: Duration::from_millis(*per) })
                .collect();
            let sent = run(&rates, &weights, &pauses, 400);
            for rate in rates {
                let most = most(&sent, rate);
                prop_assert!(most <= rate.limit, "{most} of {rate:?}");
            }
        }
    }

    #[test]
    fn a_limit_is_used_to_more_than_95_percent() {
        for (limit, per) in [(100, 10_000), (1, 1_000), (3_000, 3_000), (50, 1_000), (150, 60_000), (7, 250)] {
            let rate = Rate { limit, per: Duration::from_millis(per) };
            let windows = 20;
            let sent = run(&[rate], &[1], &[], (limit * windows) as usize + 1);
            let took = sent.last().map_or(Duration::ZERO, |(at, _)| *at);
            let used = (rate.per * windows as u32).as_secs_f64() / took.as_secs_f64();
            assert!((0.95..=1.0).contains(&used), "{used} of {rate:?}");
            assert!(most(&sent, rate) <= limit);
        }
    }

    #[test]
    fn the_tightest_of_several_limits_holds() {
        let burst = Rate { limit: 10, per: Duration::from_secs(1) };
        let steady = Rate { limit: 150, per: Duration::from_secs(60) };
        let sent = run(&[burst, steady], &[1], &[], 600);
        assert_eq!(most(&sent, burst), 10);
        assert_eq!(most(&sent, steady), 150);
    }

    #[test]
    fn a_window_of_a_day_takes_little_memory() {
        let mut window = Window::new(Rate { limit: 250_000, per: Duration::from_secs(24 * 3600) });
        let begin = Instant::now();
        for n in 0..250_000_u32 {
            let now = begin + Duration::from_millis(300) * n;
            assert_eq!(window.opens(1, now), None);
            window.spend(1, now);
        }
        assert!(window.spent.len() <= TICKS as usize + 1, "{}", window.spent.len());
        assert!(window.opens(1, begin + Duration::from_secs(75_100)).is_some(), "used up");
    }

    #[test]
    fn what_other_runs_used_is_not_there_until_it_comes_back() {
        let mut window = Window::new(Rate { limit: 10, per: Duration::from_secs(3600) });
        let now = Instant::now();
        let seconds = Duration::from_secs;
        window.learn(&[(seconds(900), 3), (seconds(600), 4)], now);
        (0..3).for_each(|_| {
            assert_eq!(window.opens(1, now), None);
            window.spend(1, now);
        });
        assert_eq!(window.opens(1, now), Some(now + seconds(600)));
        assert_eq!(window.opens(5, now), Some(now + seconds(900)));
        assert_eq!(window.next_back(), Some(now + seconds(600)));
        assert!(window.opens(8, now).is_some_and(|opens| opens >= now + seconds(3600)), "its own too");
        assert_eq!(window.opens(4, now + seconds(601)), None);
        // They used more than there is: it opens as soon as enough of it is back.
        window.learn(&[(seconds(60), 8), (seconds(120), 8)], now);
        assert_eq!(window.opens(1, now), Some(now + seconds(120)));
        window.learn(&[], now);
        assert_eq!(window.opens(7, now), None);
    }

    #[test]
    fn what_weighs_more_than_the_limit_still_goes() {
        let rate = Rate { limit: 5, per: Duration::from_secs(1) };
        let sent = run(&[rate], &[50, 1], &[], 6);
        assert!(sent.windows(2).all(|pair| pair[1].0 - pair[0].0 >= rate.per), "each fills the window: {sent:?}");
    }
}
