//! Folding: the journal becomes part of the partitions that it touches; the others stay as they are.

use backflow_core::code::Failure;
use backflow_core::state::{PartitionId, StateStore};

use super::compare::expired;
use super::document::{Document, MAX_BITS};
use super::entry::Kind;
use super::hash::prefix;
use super::packed::{Content, Packer};
use super::stored::{Overlay, StateReader};

/// Entries that a partition should have: about a megabyte.
const ENTRIES: u64 = 16 * 1024;

/// What a fold needs to know of its state.
pub(super) struct Fold<'a> {
    pub store: &'a dyn StateStore,
    pub state_key: &'a str,
    pub epoch: u64,
    /// The generation to write: none that is current.
    pub generation: u64,
    /// Entries, about: it decides how many partitions there are.
    pub entries: u64,
    /// Drops tombstones that have served their time now (Unix seconds).
    pub prune: Option<u64>,
}

impl Fold<'_> {
    /// Writes the touched partitions and says in `document` where the partitions are. Nothing is current before a commit of it.
    pub(super) async fn write(&self, document: &mut Document, overlay: &Overlay) -> Result<(), Failure> {
        let old = document.clone();
        let bits = bits(old.bits, !old.partitions.is_empty(), self.entries);
        let keep = bits == old.bits && !old.partitions.is_empty();
        let mut partitions = vec![0; 1 << bits];
        if keep {
            for (index, touched) in overlay.touched().iter().enumerate() {
                partitions[index] = if *touched { 0 } else { old.partitions[index] };
            }
        }
        let mut entries = if keep {
            StateReader::touched(self.store, self.state_key, &old, overlay)
        } else {
            StateReader::all(self.store, self.state_key, &old, overlay)
        };
        let mut open: Option<(u32, Packer)> = None;
        while let Some((hash, entry)) = entries.next().await? {
            if let (Kind::Tombstone(at), None, Some(now)) = (entry.kind, &entry.doubt, self.prune)
                && entry.left.is_empty()
                && expired(at, now)
            {
                document.rev_floor = document.rev_floor.max(entry.rev);
                continue;
            }
            let index = prefix(hash, if fault!(WrongPartitionAfterResize) { old.bits } else { bits });
            if open.as_ref().is_none_or(|(at, _)| *at != index) {
                self.close(open.take(), &mut partitions).await?;
                open = Some((index, Packer::new(Content::Partition { index, bits })?));
            }
            if let Some((_, packer)) = &mut open {
                packer.push(&entry)?;
            }
        }
        self.close(open, &mut partitions).await?;
        document.bits = bits;
        document.partitions = partitions;
        Ok(())
    }

    async fn close(&self, open: Option<(u32, Packer)>, partitions: &mut [u64]) -> Result<(), Failure> {
        let Some((index, packer)) = open else { return Ok(()) };
        let id = PartitionId { generation: self.generation, index };
        self.store.put_partition(self.state_key, self.epoch, id, &packer.finish()?).await?;
        partitions[index as usize] = self.generation;
        Ok(())
    }
}

/// How many bits name a partition. Between a quarter and one and a half of what it should have, partitions stay as they are.
fn bits(now: u8, any: bool, entries: u64) -> u8 {
    let each = entries >> now;
    let fits = each <= ENTRIES + ENTRIES / 2 && (now == 0 || each >= ENTRIES / 4);
    if any && fits {
        return now;
    }
    let wanted = entries.div_ceil(ENTRIES).max(1);
    (wanted.next_power_of_two().ilog2() as u8).min(MAX_BITS)
}

#[cfg(test)]
mod tests {
    use super::bits;

    #[test]
    fn partitions_are_as_many_as_entries_need_and_do_not_flap() {
        assert_eq!(bits(0, false, 0), 0);
        assert_eq!(bits(0, false, 16_384), 0);
        assert_eq!(bits(0, false, 16_385), 1);
        assert_eq!(bits(0, false, 10_000_000), 10);
        assert_eq!(bits(0, true, 24_576), 0);
        assert_eq!(bits(0, true, 24_577), 1);
        assert_eq!(bits(1, true, 16_384), 1);
        assert_eq!(bits(1, true, 8_190), 0);
        assert_eq!(bits(6, true, 0), 0);
        assert_eq!(bits(0, false, u64::MAX), 18);
    }
}
