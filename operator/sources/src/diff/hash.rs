//! The hashes that rows and keys are compared by.

use backflow_core::cell::Cell;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// The order of keys in the state and in a run: partitions and buckets are its first bits.
pub(super) fn key_hash(key: &[u8]) -> u128 {
    xxh3_128(key)
}

/// The first `bits` of a key hash.
pub(super) fn prefix(hash: u128, bits: u8) -> u32 {
    if bits == 0 { 0 } else { (hash >> (128 - u32::from(bits))) as u32 }
}

/// A row's encoded cells, and where each ends: hashes and keys are made of slices of it.
#[derive(Default)]
pub(super) struct EncodedRow {
    pub bytes: Vec<u8>,
    ends: Vec<usize>,
    gathered: Vec<u8>,
}

impl EncodedRow {
    /// Encodes the next row.
    pub(super) fn set(&mut self, cells: &[Cell]) {
        self.bytes.clear();
        self.ends.clear();
        for cell in cells {
            cell.encode(&mut self.bytes);
            self.ends.push(self.bytes.len());
        }
    }

    /// The encoding of one cell.
    pub(super) fn cell(&self, at: usize) -> &[u8] {
        let from = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.bytes[from..self.ends[at]]
    }

    /// The encodings of some cells, one after another.
    pub(super) fn gather(&mut self, cells: &[usize]) -> &[u8] {
        let mut gathered = std::mem::take(&mut self.gathered);
        gathered.clear();
        for &at in cells {
            gathered.extend_from_slice(self.cell(at));
        }
        self.gathered = gathered;
        &self.gathered
    }

    /// The row hash over some cells.
    pub(super) fn hash(&mut self, cells: &[usize]) -> u64 {
        #[cfg(test)]
        if fault!(NullIsEmpty) || fault!(NoSeparator) {
            return self.wrong_hash(cells);
        }
        xxh3_64(self.gather(cells))
    }
}

#[cfg(test)]
impl EncodedRow {
    /// The hash with a fault in it.
    fn wrong_hash(&self, cells: &[usize]) -> u64 {
        let mut bytes = Vec::new();
        for &at in cells {
            match self.cell(at) {
                [0] if fault!(NullIsEmpty) => Cell::Text("".into()).encode(&mut bytes),
                [6, _, _, _, _, text @ ..] if fault!(NoSeparator) => bytes.extend_from_slice(text),
                cell => bytes.extend_from_slice(cell),
            }
        }
        xxh3_64(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hashes_of_format_1_never_change() {
        let mut row = EncodedRow::default();
        row.set(&[Cell::Int(7), Cell::Null, Cell::Text("é".into())]);
        assert_eq!(row.hash(&[2, 0]), xxh3_64(b"\x06\x02\0\0\0\xc3\xa9\x03\x07\0\0\0\0\0\0\0"));
        assert_eq!(row.hash(&[0, 1, 2]), GOLDEN_ROW);
        assert_eq!(key_hash(row.cell(0)), GOLDEN_KEY);
    }

    const GOLDEN_ROW: u64 = 3_643_905_210_330_418_215;
    const GOLDEN_KEY: u128 = 185_491_618_671_766_412_084_801_041_914_993_499_309;

    #[test]
    fn a_prefix_is_the_first_bits() {
        let hash = 0b1011_u128 << 124;
        assert_eq!([0, 1, 2, 4].map(|bits| prefix(hash, bits)), [0, 1, 0b10, 0b1011]);
        assert_eq!(prefix(u128::MAX, 18), (1 << 18) - 1);
    }
}
