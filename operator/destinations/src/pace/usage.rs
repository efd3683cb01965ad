//! What the runs of a Destination have used of its rates, from run to run.
//!
//! A run is short and a day's requests are not: so what is spent of rates that hold for a minute or longer is written beside the states
//! of the Destination's Mappings, in buckets of a sixty-fourth of each rate's time, and read before the first request. While a run goes on
//! it adds what it spent since, and learns what others did, once a minute and at its end. A run that is killed forgets up to a minute of
//! its own. Shorter rates are over before the next pod has started.
//!
//! It is a courtesy and no lock: when the store is away, a run goes on by what it knows, and the destination's own word counts in any case.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use backflow_core::code::{Code, Failure};
use backflow_core::notes::{Note, Notes};
use serde::{Deserialize, Serialize};

use crate::clock;

/// Rates of this time or longer are kept.
const SHORTEST: Duration = Duration::from_secs(60);
/// Parts that a rate's time is counted in.
const BUCKETS: u32 = 64;
/// Attempts to write among others that do.
const ATTEMPTS: usize = 16;

/// A rate as it is kept.
pub(crate) struct Kept {
    /// Its place at the gate.
    pub(crate) place: usize,
    /// What it is called.
    pub(crate) id: String,
    pub(crate) per: Duration,
}

impl Kept {
    /// A rate, if it is one that outlives a run.
    pub(crate) fn of(place: usize, id: &str, per: Duration) -> Option<Self> {
        (per >= SHORTEST).then(|| Self { place, id: format!("{id}/{}s", per.as_secs()), per })
    }

    /// Seconds of a bucket.
    fn tick(&self) -> u64 {
        (self.per / BUCKETS).as_secs().max(1)
    }
}

/// What others have used.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Others {
    /// By place of the rate: how long until it comes back, and how much.
    pub(crate) used: Vec<(usize, Vec<(Duration, u64)>)>,
    /// How much longer the destination wants to be left alone.
    pub(crate) wait: Option<Duration>,
}

/// Amounts by rate (its place in the list of those that are kept) and bucket.
type Amounts = BTreeMap<(usize, u64), u64>;

/// What a run has used.
#[derive(Default)]
struct Book {
    /// And not written yet.
    pending: Amounts,
    /// Of what is written, this run's.
    own: Amounts,
    /// Until when the destination wants to be left alone, seconds since 1970.
    until: u64,
}

/// What is written.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Said {
    /// Of whom, for people.
    destination: String,
    /// By rate: number of the bucket since 1970, and how much was spent in it.
    used: BTreeMap<String, Vec<(u64, u64)>>,
    /// See [`Book::until`].
    #[serde(skip_serializing_if = "is_zero")]
    until: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The usage of one Destination.
pub(crate) struct Usage {
    notes: Arc<dyn Notes>,
    name: String,
    destination: String,
    rates: Vec<Kept>,
    book: Mutex<Book>,
}

impl Usage {
    /// `name`: of the note. `destination`: for people.
    pub(crate) fn new(notes: Arc<dyn Notes>, name: String, destination: String, rates: Vec<Kept>) -> Self {
        Self { notes, name, destination, rates, book: Mutex::default() }
    }

    /// A request takes so much of the rate at this place.
    pub(crate) fn spent(&self, place: usize, weight: u64) {
        let Some(at) = self.rates.iter().position(|rate| rate.place == place) else { return };
        let bucket = seconds(clock::now()) / self.rates[at].tick();
        *self.book().pending.entry((at, bucket)).or_default() += weight;
    }

    /// The destination wants to be left alone for so long.
    pub(crate) fn wait(&self, wait: Duration) {
        let until = seconds(clock::now() + wait);
        let mut book = self.book();
        book.until = book.until.max(until);
    }

    /// Writes what was spent since the last time, and gives what all others have.
    pub(crate) async fn exchange(&self) -> Result<Others, Failure> {
        for _ in 0..ATTEMPTS {
            let note = self.notes.read(&self.name).await?;
            let now = seconds(clock::now());
            let (mut all, said_until) = self.read(note.as_ref(), now);
            let (pending, until) = {
                let book = self.book();
                (book.pending.clone(), book.until)
            };
            if pending.is_empty() && until <= said_until.max(now) {
                return Ok(self.others(&all, said_until, now));
            }
            for (place, weight) in &pending {
                *all.entry(*place).or_default() += weight;
            }
            let until = until.max(said_until);
            if self.notes.write(&self.name, note.as_ref(), &self.text(&all, until)?).await?.is_some() {
                let mut book = self.book();
                for (place, weight) in pending {
                    *book.own.entry(place).or_default() += weight;
                    if let Some(left) = book.pending.get_mut(&place) {
                        *left -= weight;
                    }
                }
                book.pending.retain(|_, weight| *weight > 0);
                book.own.retain(|place, _| all.contains_key(place));
                drop(book);
                return Ok(self.others(&all, until, now));
            }
        }
        Err(Failure::new(
            Code::StateStoreUnavailable,
            "too many runs write down at once what they use of a destination's rates",
        ))
    }

    /// What is written, but for what has come back since. A text that is none of ours counts as nothing.
    fn read(&self, note: Option<&Note>, now: u64) -> (Amounts, u64) {
        let said = note.and_then(|note| serde_json::from_str::<Said>(&note.text).ok()).unwrap_or_default();
        let mut all = Amounts::new();
        for (at, rate) in self.rates.iter().enumerate() {
            for (bucket, weight) in said.used.get(&rate.id).into_iter().flatten() {
                // Nobody can have spent in the future; a clock that is wrong by a little may say so.
                let bucket = (*bucket).min(now / rate.tick());
                if back(rate, bucket) > now {
                    let amount = all.entry((at, bucket)).or_insert(0_u64);
                    *amount = amount.saturating_add(*weight);
                }
            }
        }
        (all, said.until)
    }

    fn text(&self, all: &Amounts, until: u64) -> Result<String, Failure> {
        let mut said = Said { destination: self.destination.clone(), used: BTreeMap::new(), until };
        for ((at, bucket), weight) in all {
            said.used.entry(self.rates[*at].id.clone()).or_default().push((*bucket, *weight));
        }
        serde_json::to_string(&said)
            .map_err(|_| Failure::new(Code::Internal, "the use of rates cannot be written down"))
    }

    fn others(&self, all: &Amounts, until: u64, now: u64) -> Others {
        let book = self.book();
        let mut used = Vec::new();
        for (at, rate) in self.rates.iter().enumerate() {
            let mut amounts = Vec::new();
            for ((_, bucket), weight) in all.range((at, 0)..=(at, u64::MAX)) {
                let theirs = weight.saturating_sub(book.own.get(&(at, *bucket)).copied().unwrap_or(0));
                if theirs > 0 {
                    amounts.push((Duration::from_secs(back(rate, *bucket).saturating_sub(now)), theirs));
                }
            }
            used.push((rate.place, amounts));
        }
        let wait = until.saturating_sub(now);
        Others { used, wait: (wait > 0).then(|| Duration::from_secs(wait)) }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When what was spent in a bucket comes back, seconds since 1970.
fn back(rate: &Kept, bucket: u64) -> u64 {
    (bucket + 1).saturating_mul(rate.tick()).saturating_add(rate.per.as_secs())
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::MemoryNotes;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn at(seconds: u64) {
        clock::set(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds));
    }

    fn run(notes: &Arc<MemoryNotes>) -> Usage {
        let rates = [(1, "daily", DAY), (3, "minute", SHORTEST)];
        let rates = rates.into_iter().filter_map(|(place, id, per)| Kept::of(place, id, per)).collect();
        Usage::new(Arc::clone(notes) as Arc<dyn Notes>, "rates/x".into(), "shop/crm".into(), rates)
    }

    fn used(others: &Others, place: usize) -> u64 {
        let of = others.used.iter().find(|(at, _)| *at == place);
        of.map_or(0, |(_, amounts)| amounts.iter().map(|(_, weight)| weight).sum())
    }

    #[tokio::test]
    async fn a_run_knows_what_others_used_and_not_its_own() {
        let notes = Arc::new(MemoryNotes::default());
        at(0);
        let first = run(&notes);
        first.spent(1, 100);
        first.spent(3, 7);
        first.spent(0, 1000);
        assert_eq!(used(&first.exchange().await.unwrap(), 1), 0, "its own");
        let second = run(&notes);
        assert_eq!((used(&second.exchange().await.unwrap(), 1), used(&second.exchange().await.unwrap(), 3)), (100, 7));
        second.spent(1, 20);
        first.spent(1, 3);
        assert_eq!(used(&first.exchange().await.unwrap(), 1), 0, "not written yet");
        assert_eq!(used(&second.exchange().await.unwrap(), 1), 103);
        assert_eq!(used(&first.exchange().await.unwrap(), 1), 20);
        // The minute is over, the day is not.
        at(200);
        let third = run(&notes).exchange().await.unwrap();
        assert_eq!((used(&third, 1), used(&third, 3)), (123, 0));
        at(2 * DAY.as_secs());
        assert_eq!(used(&run(&notes).exchange().await.unwrap(), 1), 0);
    }

    #[tokio::test]
    async fn what_was_spent_comes_back_after_its_time_and_not_before() {
        let notes = Arc::new(MemoryNotes::default());
        at(0);
        let first = run(&notes);
        first.spent(1, 5);
        first.exchange().await.unwrap();
        let others = run(&notes).exchange().await.unwrap();
        let back = others.used[0].1[0].0;
        assert!(back >= DAY && back <= DAY + DAY / BUCKETS, "{back:?}");
    }

    #[tokio::test]
    async fn runs_that_write_at_once_lose_nothing() {
        let notes = Arc::new(MemoryNotes::default());
        at(0);
        let runs: Vec<Usage> = (0..8).map(|_| run(&notes)).collect();
        for run in &runs {
            run.spent(1, 10);
        }
        for result in futures::future::join_all(runs.iter().map(Usage::exchange)).await {
            result.unwrap();
        }
        assert_eq!(used(&run(&notes).exchange().await.unwrap(), 1), 80);
    }

    #[tokio::test]
    async fn a_wait_that_was_asked_for_holds_for_the_next_run() {
        let notes = Arc::new(MemoryNotes::default());
        at(0);
        let first = run(&notes);
        first.wait(Duration::from_secs(3600));
        first.exchange().await.unwrap();
        at(600);
        assert_eq!(run(&notes).exchange().await.unwrap().wait, Some(Duration::from_secs(3000)));
        at(3600);
        assert_eq!(run(&notes).exchange().await.unwrap().wait, None);
    }

    #[tokio::test]
    async fn a_text_that_is_none_counts_as_nothing_and_is_replaced() {
        let notes = Arc::new(MemoryNotes::default());
        at(0);
        notes.write("rates/x", None, "[1]").await.unwrap();
        let first = run(&notes);
        first.spent(1, 5);
        first.exchange().await.unwrap();
        assert_eq!(used(&run(&notes).exchange().await.unwrap(), 1), 5);
    }

    #[tokio::test]
    async fn a_days_use_takes_little_room() {
        let notes = Arc::new(MemoryNotes::default());
        let first = run(&notes);
        for minute in 0..2 * 24 * 60 {
            at(minute * 60);
            first.spent(1, 1);
            first.spent(3, 1);
            first.exchange().await.unwrap();
        }
        assert!(notes.only().text.len() < 4096, "{}", notes.only().text.len());
    }
}
