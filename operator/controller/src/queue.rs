//! The work queue of one kind: every key at most once, now or at a time, and never twice at the same moment.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::store::Key;

/// First pause after a conflict: enough for a watch to catch up.
const SOON: Duration = Duration::from_millis(50);
/// First pause after an error. It doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause after an error.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A queue of keys.
#[derive(Debug, Default)]
pub struct Queue {
    state: Mutex<State>,
    /// Something became due earlier than anybody waits for.
    earlier: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// What waits, by time.
    due: BTreeSet<(Instant, Key)>,
    /// When each key is due.
    times: HashMap<Key, Instant>,
    /// What is being worked on.
    busy: HashSet<Key>,
    /// What became due meanwhile.
    again: HashMap<Key, Instant>,
    /// Errors in a row.
    failures: HashMap<Key, u32>,
}

/// What comes after a piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing until something happens.
    Wait,
    /// The same again after this long, or when something happens.
    After(Duration),
}

impl Queue {
    /// Work on `key` now.
    pub fn add(&self, key: Key) {
        self.add_at(key, Instant::now());
    }

    /// Work on `key` after `delay` at the latest.
    pub fn add_after(&self, key: Key, delay: Duration) {
        self.add_at(key, later(delay));
    }

    fn add_at(&self, key: Key, at: Instant) {
        let mut state = self.lock();
        if state.busy.contains(&key) {
            let again = state.again.entry(key).or_insert(at);
            *again = (*again).min(at);
            return;
        }
        state.schedule(key, at);
        drop(state);
        self.earlier.notify_one();
    }

    /// The next key that is due. It is not given out again before [`Queue::done`] or [`Queue::failed`].
    pub async fn next(&self) -> Key {
        loop {
            let wait = {
                let mut state = self.lock();
                match state.due.first().cloned() {
                    Some((at, key)) if at <= Instant::now() => {
                        state.due.remove(&(at, key.clone()));
                        state.times.remove(&key);
                        state.busy.insert(key.clone());
                        if !state.due.is_empty() {
                            // Another worker may take the next one.
                            self.earlier.notify_one();
                        }
                        return key;
                    }
                    Some((at, _)) => Some(at),
                    None => None,
                }
            };
            match wait {
                Some(at) => tokio::select! { () = sleep_until(at) => {}, () = self.earlier.notified() => {} },
                None => self.earlier.notified().await,
            }
        }
    }

    /// The work on `key` is done.
    pub fn done(&self, key: &Key, next: Next) {
        let mut state = self.lock();
        state.failures.remove(key);
        state.finish(
            key,
            match next {
                Next::Wait => None,
                Next::After(delay) => Some(later(delay)),
            },
        );
        drop(state);
        self.earlier.notify_one();
    }

    /// The work on `key` met a newer version of its object: again soon, and later with each such end in a row, for a watch may lag.
    /// What happened meanwhile is looked at once.
    pub fn outdated(&self, key: &Key) {
        let mut state = self.lock();
        let failures = state.failures.entry(key.clone()).or_default();
        let pause = SOON.saturating_mul(1 << (*failures).min(10)).min(LONGEST_PAUSE);
        *failures = failures.saturating_add(1);
        state.finish(key, Some(later(pause)));
        drop(state);
        self.earlier.notify_one();
    }

    /// The work on `key` failed: again after a pause that doubles with each failure in a row. Returns the pause.
    pub fn failed(&self, key: &Key) -> Duration {
        let mut state = self.lock();
        let failures = state.failures.entry(key.clone()).or_default();
        let pause = FIRST_PAUSE.saturating_mul(1 << (*failures).min(10)).min(LONGEST_PAUSE);
        *failures = failures.saturating_add(1);
        // What happened meanwhile does not shorten the pause: an object whose every write is refused would spin.
        state.again.remove(key);
        state.finish(key, Some(later(pause)));
        drop(state);
        self.earlier.notify_one();
        pause
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Due at `at`, or earlier if it already is.
    fn schedule(&mut self, key: Key, at: Instant) {
        if let Some(present) = self.times.get(&key).copied() {
            if present <= at {
                return;
            }
            self.due.remove(&(present, key.clone()));
        }
        self.times.insert(key.clone(), at);
        self.due.insert((at, key));
    }

    fn finish(&mut self, key: &Key, at: Option<Instant>) {
        self.busy.remove(key);
        let at = [self.again.remove(key), at].into_iter().flatten().min();
        if let Some(at) = at {
            self.schedule(key.clone(), at);
        }
    }
}

fn later(delay: Duration) -> Instant {
    // Far beyond any schedule, and far from the end of time.
    Instant::now() + delay.min(Duration::from_secs(366 * 86_400))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::new("ns", name)
    }

    #[tokio::test(start_paused = true)]
    async fn keys_come_out_once_and_in_time() {
        let queue = Queue::default();
        queue.add_after(key("later"), Duration::from_secs(10));
        queue.add(key("now"));
        queue.add(key("now"));
        let start = Instant::now();
        assert_eq!(queue.next().await, key("now"));
        assert_eq!(queue.next().await, key("later"));
        assert_eq!(start.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_key_comes_again_when_it_is_done_and_not_before() {
        let queue = Queue::default();
        queue.add(key("a"));
        assert_eq!(queue.next().await, key("a"));
        queue.add(key("a"));
        queue.add(key("b"));
        assert_eq!(queue.next().await, key("b"));
        queue.done(&key("a"), Next::After(Duration::from_secs(60)));
        let start = Instant::now();
        assert_eq!(queue.next().await, key("a"));
        assert_eq!(start.elapsed().as_secs(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_earlier_time_wins() {
        let queue = Queue::default();
        queue.add_after(key("a"), Duration::from_secs(100));
        queue.add_after(key("a"), Duration::from_secs(5));
        queue.add_after(key("a"), Duration::from_secs(50));
        let start = Instant::now();
        queue.next().await;
        assert_eq!(start.elapsed().as_secs(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_and_end() {
        let queue = Queue::default();
        let mut pauses = Vec::new();
        for _ in 0..9 {
            queue.add(key("a"));
            queue.next().await;
            pauses.push(queue.failed(&key("a")).as_millis());
        }
        assert_eq!(pauses, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
        queue.next().await;
        queue.done(&key("a"), Next::Wait);
        queue.add(key("a"));
        queue.next().await;
        assert_eq!(queue.failed(&key("a")), FIRST_PAUSE);
    }

    #[tokio::test(start_paused = true)]
    async fn conflicts_are_looked_at_later_and_later_unless_something_is_seen() {
        let queue = Queue::default();
        let mut pauses = Vec::new();
        queue.add(key("a"));
        for _ in 0..12 {
            let start = Instant::now();
            queue.next().await;
            pauses.push(start.elapsed().as_millis());
            queue.outdated(&key("a"));
        }
        assert_eq!(pauses[..4], [0, 50, 100, 200]);
        assert_eq!(pauses[11], 30_000);
        queue.next().await;
        queue.add(key("a"));
        queue.outdated(&key("a"));
        let start = Instant::now();
        queue.next().await;
        assert_eq!(start.elapsed().as_millis(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn events_do_not_shorten_the_pause_after_an_error() {
        let queue = Queue::default();
        queue.add(key("a"));
        queue.next().await;
        queue.add(key("a"));
        queue.failed(&key("a"));
        let start = Instant::now();
        queue.next().await;
        assert_eq!(start.elapsed(), FIRST_PAUSE);
    }
}
