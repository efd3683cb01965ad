//! The hashes that rows and keys are compared by.

use std::ops::Range;

#[cfg(test)]
use backflow_core::encode::Encoder;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::spool::BUCKETS;
use crate::batch::Row;

/// The order of keys in the state and in a run: partitions and buckets are its first bits.
pub(super) fn key_hash(key: &[u8]) -> u128 {
    xxh3_128(key)
}

/// The first `bits` of a key hash.
pub(super) fn prefix(hash: u128, bits: u8) -> u32 {
    if bits == 0 { 0 } else { (hash >> (128 - u32::from(bits))) as u32 }
}

/// The part of its bucket that a key hash, or a record's, belongs to, of a power of two.
pub(super) fn part(hash: u128, parts: usize) -> usize {
    prefix(hash << BUCKETS.ilog2(), parts.ilog2() as u8) as usize
}

/// Columns that make a key or a hash, in their order: as runs of columns that lie together, so that little has to be copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Columns(Vec<Range<usize>>);

impl Columns {
    pub(super) fn new(places: &[usize]) -> Self {
        let mut runs: Vec<Range<usize>> = Vec::new();
        for &at in places {
            match runs.last_mut() {
                Some(run) if run.end == at => run.end += 1,
                _ => runs.push(at..at + 1),
            }
        }
        Self(runs)
    }

    #[cfg(test)]
    fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().cloned().flatten()
    }

    /// Their encodings in this row, one after another. `room` is for those that do not lie together.
    pub(super) fn of<'a>(&self, row: &Row<'a>, room: &'a mut Vec<u8>) -> &'a [u8] {
        if let [run] = self.0.as_slice() {
            return row.run(run.start, run.end);
        }
        room.clear();
        for run in &self.0 {
            room.extend_from_slice(row.run(run.start, run.end));
        }
        room
    }

    /// The row hash over them.
    pub(super) fn hash(&self, row: &Row<'_>, room: &mut Vec<u8>) -> u64 {
        #[cfg(test)]
        if fault!(NullIsEmpty) || fault!(NoSeparator) {
            return self.wrong_hash(row);
        }
        xxh3_64(self.of(row, room))
    }
}

#[cfg(test)]
impl Columns {
    /// The hash with a fault in it.
    fn wrong_hash(&self, row: &Row<'_>) -> u64 {
        let mut bytes = Vec::new();
        for at in self.iter() {
            match row.cell(at) {
                [0] if fault!(NullIsEmpty) => Encoder::new(&mut bytes).text(""),
                [6, _, _, _, _, text @ ..] if fault!(NoSeparator) => bytes.extend_from_slice(text),
                cell => bytes.extend_from_slice(cell),
            }
        }
        xxh3_64(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use backflow_core::cell::Cell;

    use super::*;
    use crate::batch::Batch;

    #[test]
    fn the_hashes_of_format_1_never_change() {
        let batch: Batch = [vec![Cell::Int(7), Cell::Null, Cell::Text("é".into())]].into_iter().collect();
        let row = batch.rows().next().unwrap();
        let hash = |places: &[usize]| Columns::new(places).hash(&row, &mut Vec::new());
        assert_eq!(hash(&[2, 0]), xxh3_64(b"\x06\x02\0\0\0\xc3\xa9\x03\x07\0\0\0\0\0\0\0"));
        assert_eq!(hash(&[0, 1, 2]), GOLDEN_ROW);
        assert_eq!(key_hash(row.cell(0)), GOLDEN_KEY);
    }

    const GOLDEN_ROW: u64 = 3_643_905_210_330_418_215;
    const GOLDEN_KEY: u128 = 185_491_618_671_766_412_084_801_041_914_993_499_309;

    #[test]
    fn columns_are_taken_in_their_order_however_they_lie() {
        let batch: Batch = [(0..4).map(Cell::Int).collect::<Vec<_>>()].into_iter().collect();
        let row = batch.rows().next().unwrap();
        for places in [&[0, 1, 2, 3][..], &[1, 2], &[2, 1], &[3, 0, 1], &[1, 1], &[]] {
            let wanted: Vec<u8> = places.iter().flat_map(|at| row.cell(*at)).copied().collect();
            let columns = Columns::new(places);
            assert_eq!(columns.of(&row, &mut vec![7]), wanted, "{places:?}");
            assert!(columns.iter().eq(places.iter().copied()));
        }
    }

    #[test]
    fn a_prefix_is_the_first_bits() {
        let hash = 0b1011_u128 << 124;
        assert_eq!([0, 1, 2, 4].map(|bits| prefix(hash, bits)), [0, 1, 0b10, 0b1011]);
        assert_eq!(prefix(u128::MAX, 18), (1 << 18) - 1);
    }
}
