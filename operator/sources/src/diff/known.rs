//! Rows that are as they were delivered, recognised while they are read: their content need not go to scratch.

use backflow_core::code::Failure;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::document::Document;
use super::entry::Kind;
use super::matches::{self, bucket};
use super::replay::Chosen;
use super::spool::Spool;
use super::stored::StateReader;

/// The most rows that are remembered: 16 MiB. Of more, the others' content goes to scratch although it is not needed.
const MAX_ROWS: usize = 1 << 20;

/// Fingerprints of (key, row hash), in a table with open addressing.
///
/// A fingerprint has 64 bits: a changed row is taken for one of a million known rows once in 10^13 times. The comparison that follows
/// goes by full keys and finds it out.
pub(super) struct Known {
    slots: Vec<u64>,
    salt: u64,
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
        let mut prints = Vec::new();
        let mut others = (usize::MAX, Vec::new());
        while let Some((key, entry)) = state.next().await? {
            let (Kind::Delivered(hash) | Kind::Seen(hash)) = entry.kind else { continue };
            let sent_again = match chosen {
                Some(chosen) => chosen.entry(&entry)?,
                None => {
                    if let Some(overwritten) = overwritten.filter(|_| bucket(key) != others.0) {
                        others = (bucket(key), matches::hashes(overwritten, bucket(key))?);
                    }
                    entry.rev < document.resend_below()
                        || entry.in_doubt()
                        || entry.is_duplicate()
                        || others.1.binary_search(&key).is_ok()
                }
            };
            if entry.spec == document.spec && !sent_again {
                prints.push(fingerprint(key, hash, salt));
                if prints.len() == MAX_ROWS {
                    break;
                }
            }
        }
        let mut known = Self { slots: vec![0; (prints.len() * 3 / 2 + 1).next_power_of_two()], salt };
        for print in prints {
            let slot = known.find(print);
            known.slots[slot] = print;
        }
        Ok(known)
    }

    /// Whether a row is as it was delivered.
    pub(super) fn contains(&self, key: u128, row: u64) -> bool {
        let print = fingerprint(key, row, self.salt);
        self.slots[self.find(print)] == print
    }

    /// The slot that has the fingerprint, or the empty one where it belongs. There always is one.
    fn find(&self, print: u64) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = print as usize & mask;
        while self.slots[at] != 0 && self.slots[at] != print {
            at = (at + 1) & mask;
        }
        at
    }
}

/// Never 0: that is an empty slot.
fn fingerprint(key: u128, row: u64, salt: u64) -> u64 {
    let mut bytes = [0; 24];
    bytes[..16].copy_from_slice(&key.to_le_bytes());
    bytes[16..].copy_from_slice(&row.to_le_bytes());
    xxh3_64_with_seed(&bytes, salt).max(1)
}
