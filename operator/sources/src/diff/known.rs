//! Rows that are as they were delivered, recognised while they are read: neither they nor what the state has of them need be looked
//! at again.

use backflow_core::code::Failure;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::document::Document;
use super::entry::{Entry, Kind, Plain};
use super::hash::prefix;
use super::matches::{self, bucket};
use super::replay::Chosen;
use super::spool::Spool;
use super::stored::StateReader;

/// The most rows that are remembered: 24 MiB. Of more, the others go to scratch and are compared. In tests, both happens.
const MAX_ROWS: usize = if cfg!(test) { 20_000 } else { 1 << 20 };

/// How often the state goes through the table if all rows are remembered: more than once, because how many rows there are is an estimate.
const ROUNDS: u64 = 4;

/// Fingerprints of (key, row hash), in a table with open addressing.
///
/// A fingerprint has 96 bits: that a changed row is taken for one of a million known rows happens once in 10^22 times, which is rarer
/// by far than that its hash is as before.
///
/// The state, which is in the order of key hashes, goes through the table from front to back, some times: see `home`.
pub(super) struct Known {
    slots: Vec<Print>,
    /// How often.
    rounds: u64,
    /// A bit for each slot: its row was met.
    met: Vec<u64>,
    partitions: Vec<Tally>,
    /// There are two to the power of so many partitions.
    bits: u8,
    salt: u64,
}

/// A fingerprint; an empty slot's is all 0, which no row's is.
type Print = [u32; 3];

const EMPTY: Print = [0; 3];

/// Where a row is remembered.
#[derive(Clone, Copy)]
pub(super) struct Slot(usize);

/// What was met of a partition.
#[derive(Clone, Copy, Default)]
struct Tally {
    /// Entries that say nothing but what a row was when it was delivered, or seen.
    plain: u32,
    /// Other entries.
    others: u32,
    /// Plain entries whose rows were met.
    met: u32,
    /// Rows that were not, or more than once.
    listed: u32,
}

impl Tally {
    /// Nothing changed: every entry's row was met once, and no other row.
    fn is_quiet(&self) -> bool {
        self.plain > 0 && self.met == self.plain && self.others == 0 && self.listed == 0
    }
}

impl Known {
    /// Reads the state's rows that need not be sent while they stay as they are. Those of `overwritten` keys have to be: their records
    /// hold another row's content.
    pub(super) async fn read(
        document: &Document,
        mut state: StateReader<'_>,
        chosen: Option<&Chosen>,
        overwritten: Option<&Spool>,
        salt: u64,
    ) -> Result<Self, Failure> {
        let mut known = Self::with_room(document.rows, document.bits, salt);
        let mut room = known.slots.len() * 2 / 3;
        let mut partitions = vec![Tally::default(); 1 << document.bits];
        let mut others = (usize::MAX, Vec::new());
        let below = document.resend_below();
        let all = chosen.is_none() && overwritten.is_none();
        loop {
            let plain = |key: u128, entry: &Plain<'_>| {
                if !all || room == 0 || entry.spec != document.spec || entry.rev < below {
                    return false;
                }
                known.remember(key, entry.hash);
                room -= 1;
                partitions[prefix(key, document.bits) as usize].plain += 1;
                true
            };
            let Some((key, entry)) = state.next_but(plain).await? else { break };
            let tally = &mut partitions[prefix(key, document.bits) as usize];
            let (Kind::Delivered(hash) | Kind::Seen(hash)) = entry.kind else {
                tally.others += 1;
                continue;
            };
            let sent_again = match chosen {
                Some(chosen) => chosen.entry(&entry)?,
                None => {
                    if let Some(overwritten) = overwritten.filter(|_| bucket(key) != others.0) {
                        others = (bucket(key), matches::hashes(overwritten, bucket(key))?);
                    }
                    entry.rev < below
                        || entry.in_doubt()
                        || entry.is_duplicate()
                        || others.1.binary_search(&key).is_ok()
                }
            };
            let remembered = entry.spec == document.spec && !sent_again && room > 0;
            if remembered {
                known.remember(key, hash);
                room -= 1;
            }
            match remembered && entry.rejected.is_none() && entry.doubt.is_none() && entry.left.is_empty() {
                true => tally.plain += 1,
                false => tally.others += 1,
            }
            if room == 0 && !remembered {
                break;
            }
        }
        Ok(Self { partitions, ..known })
    }

    fn with_room(rows: u64, bits: u8, salt: u64) -> Self {
        let kept = usize::try_from(rows).unwrap_or(MAX_ROWS).min(MAX_ROWS);
        let slots = (kept * 3 / 2 + 2).next_power_of_two();
        Self {
            slots: vec![EMPTY; slots],
            rounds: ROUNDS * rows.div_ceil(MAX_ROWS as u64).max(1),
            met: vec![0; slots.div_ceil(64)],
            partitions: Vec::new(),
            bits,
            salt,
        }
    }

    fn remember(&mut self, key: u128, row: u64) {
        let print = fingerprint(key, row, self.salt);
        let at = self.place(key, print);
        self.slots[at] = print;
    }

    /// Where a row is remembered, if it is as it was delivered.
    pub(super) fn find(&self, key: u128, row: u64) -> Option<Slot> {
        let print = fingerprint(key, row, self.salt);
        let at = self.place(key, print);
        (self.slots[at] == print).then_some(Slot(at))
    }

    /// Notes that a row was met that is as it was delivered. Whether it was the first time.
    pub(super) fn meet(&mut self, Slot(at): Slot, key: u128) -> bool {
        let first = !self.is_met(at);
        self.met[at / 64] |= 1 << (at % 64);
        self.partitions[prefix(key, self.bits) as usize].met += u32::from(first);
        first
    }

    /// Notes that a row goes to scratch, to be compared.
    pub(super) fn lists(&mut self, key: u128) {
        self.partitions[prefix(key, self.bits) as usize].listed += 1;
    }

    /// Whether the row of an entry was met as it was delivered.
    pub(super) fn has_met(&self, key: u128, entry: &Entry) -> bool {
        let (Kind::Delivered(hash) | Kind::Seen(hash)) = entry.kind else { return false };
        self.has_met_row(key, hash)
    }

    /// Whether a row with this hash was met as it was delivered.
    pub(super) fn has_met_row(&self, key: u128, row: u64) -> bool {
        self.find(key, row).is_some_and(|Slot(at)| self.is_met(at))
    }

    /// The partitions of which nothing needs to be looked at.
    pub(super) fn quiet(&self) -> Vec<bool> {
        self.partitions.iter().map(Tally::is_quiet).collect()
    }

    /// How many entries a partition has of which nothing needs to be looked at.
    pub(super) fn entries(&self, partition: usize) -> u64 {
        self.partitions[partition].plain.into()
    }

    fn is_met(&self, at: usize) -> bool {
        self.met[at / 64] >> (at % 64) & 1 == 1
    }

    /// The slot where a key's row belongs if it is free. If there are more rows than room, those of the first key hashes are remembered:
    /// they go round as often as the others would, so that they do not crowd at the front.
    fn home(&self, key: u128) -> usize {
        let turned = ((key >> 64) as u64).wrapping_mul(self.rounds);
        ((u128::from(turned) * self.slots.len() as u128) >> 64) as usize
    }

    /// The slot that has the fingerprint, or the empty one where it belongs. There always is one.
    fn place(&self, key: u128, print: Print) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = self.home(key);
        while self.slots[at] != EMPTY && self.slots[at] != print {
            at = (at + 1) & mask;
        }
        at
    }
}

fn fingerprint(key: u128, row: u64, salt: u64) -> Print {
    let mut bytes = [0; 24];
    bytes[..16].copy_from_slice(&key.to_le_bytes());
    bytes[16..].copy_from_slice(&row.to_le_bytes());
    let print = xxh3_128_with_seed(&bytes, salt);
    [(print as u32).max(1), (print >> 32) as u32, (print >> 64) as u32]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::hash::key_hash;

    #[test]
    fn rows_do_not_crowd_however_many_are_not_remembered() {
        for times in [1, 3, 10, 100] {
            let mut known = Known::with_room(times * MAX_ROWS as u64, 0, 7);
            let room = known.slots.len() * 2 / 3;
            let all = times as usize * MAX_ROWS;
            let mut keys: Vec<u128> = (0..all).map(|at| key_hash(&at.to_le_bytes())).collect();
            keys.sort_unstable();
            let mut most = 0;
            for key in keys.into_iter().take(room) {
                let at = known.place(key, fingerprint(key, 1, 7));
                most = most.max(at.wrapping_sub(known.home(key)) & (known.slots.len() - 1));
                known.remember(key, 1);
            }
            assert!(most < 200, "{times} times as many: one is {most} slots from home");
        }
    }
}
