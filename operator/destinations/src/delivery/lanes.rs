//! Order by key: what is about the same record at the destination is never in flight twice.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use backflow_core::record::Record;
use backflow_definitions::Ordering;
use tokio::sync::Notify;

/// What no two requests in flight may both be about: hashes of the keys that the destination finds these records by.
pub(crate) fn lanes_of(ordering: Ordering, records: &[Record]) -> Vec<u64> {
    match ordering {
        Ordering::None => Vec::new(),
        Ordering::Serial => vec![0],
        // A row is in a run once: only where rows are known by something else can two be about one record.
        Ordering::PerKey => {
            let hasher = BuildHasherDefault::<DefaultHasher>::default();
            let keys = records.iter().filter_map(|record| record.memory.match_key.as_deref());
            keys.map(|key| hasher.hash_one(key)).collect()
        }
    }
}

/// The keys that are in flight.
#[derive(Default)]
pub(crate) struct Lanes {
    taken: Mutex<HashSet<u64>>,
    freed: Notify,
}

/// Keys that are in flight until this is dropped.
pub(crate) struct Held<'a> {
    lanes: &'a Lanes,
    keys: Vec<u64>,
}

impl Lanes {
    /// Waits until none of the keys is in flight, and takes them all at once.
    pub(crate) async fn enter(&self, mut keys: Vec<u64>) -> Held<'_> {
        keys.sort_unstable();
        keys.dedup();
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            // From here on nothing that is freed is missed.
            freed.as_mut().enable();
            {
                let mut taken = self.lock();
                if keys.iter().all(|key| !taken.contains(key)) {
                    taken.extend(&keys);
                    return Held { lanes: self, keys };
                }
            }
            freed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if self.keys.is_empty() {
            return;
        }
        let mut taken = self.lanes.lock();
        for key in &self.keys {
            taken.remove(key);
        }
        drop(taken);
        self.lanes.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn one_key_is_in_flight_once_and_others_pass() {
        let lanes = Lanes::default();
        let first = lanes.enter(vec![1, 2, 2]).await;
        let other = lanes.enter(vec![3]).await;
        let mut second = Box::pin(lanes.enter(vec![2, 4]));
        assert!((&mut second).now_or_never().is_none());
        assert!(lanes.enter(vec![4]).now_or_never().is_some(), "what waits holds nothing");
        drop(other);
        assert!((&mut second).now_or_never().is_none());
        drop(first);
        drop(second.now_or_never().expect("free"));
        assert!(lanes.enter(vec![1, 2, 3, 4]).now_or_never().is_some());
    }
}
