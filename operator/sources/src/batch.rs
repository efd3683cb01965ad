//! Batches of rows, bounded by count and bytes.

use backflow_core::cell::Cell;
use backflow_core::encode::Encoder;

/// Rows in a batch.
const MAX_ROWS: usize = 1000;
/// Bytes in a batch, but for the row that goes beyond.
const MAX_BYTES: usize = 1 << 20;

/// Rows as they travel: the encodings of their values one after another, in one buffer. Most rows of most runs did not change, and of
/// those nothing but their hash is ever looked at.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    /// Where each value ends.
    ends: Vec<u32>,
    /// Values of a row.
    columns: usize,
}

impl Batch {
    /// For rows of so many columns.
    #[must_use]
    pub fn new(columns: usize) -> Self {
        Self { bytes: Vec::new(), ends: Vec::new(), columns }
    }

    /// Appends a row.
    pub fn push(&mut self, cells: &[Cell]) {
        let mut row = self.row();
        cells.iter().for_each(|cell| row.push(|out| cell.encode(out)));
        row.finish();
    }

    /// Begins a row, which is not there until it is finished.
    pub fn row(&mut self) -> Filling<'_> {
        let (bytes, ends) = (self.bytes.len(), self.ends.len());
        Filling { batch: self, bytes, ends, finished: false }
    }

    /// Whether it has as much as it should.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.len() >= MAX_ROWS || self.bytes.len() >= MAX_BYTES
    }

    /// What there is; it goes on empty.
    #[must_use]
    pub fn take(&mut self) -> Self {
        let next = Self {
            bytes: Vec::with_capacity(self.bytes.capacity()),
            ends: Vec::with_capacity(self.ends.capacity()),
            columns: self.columns,
        };
        std::mem::replace(self, next)
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len().checked_div(self.columns).unwrap_or_default()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The rows, one after another.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let mut from = 0;
        self.ends.chunks_exact(self.columns.max(1)).map(move |ends| {
            let row = Row { bytes: &self.bytes, from, ends };
            from = row.end();
            row
        })
    }
}

/// Decodes the rows: for those who look at a few.
impl IntoIterator for Batch {
    type Item = Vec<Cell>;
    type IntoIter = std::vec::IntoIter<Vec<Cell>>;

    fn into_iter(self) -> Self::IntoIter {
        self.rows().map(|row| row.cells(self.columns)).collect::<Vec<_>>().into_iter()
    }
}

/// Encodes rows, which must have the same number of values.
impl FromIterator<Vec<Cell>> for Batch {
    fn from_iter<T: IntoIterator<Item = Vec<Cell>>>(rows: T) -> Self {
        let mut batch = Self::default();
        for cells in rows {
            batch.columns = cells.len();
            batch.push(&cells);
        }
        batch
    }
}

/// A row that is being written. Dropped unfinished it was never there.
#[derive(Debug)]
pub struct Filling<'a> {
    batch: &'a mut Batch,
    bytes: usize,
    ends: usize,
    finished: bool,
}

impl Filling<'_> {
    /// Appends a value, of which `write` makes the encoding.
    pub fn push<T>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let written = write(&mut self.batch.bytes);
        self.batch.ends.push(self.batch.bytes.len() as u32);
        written
    }

    /// Appends NULL.
    pub fn null(&mut self) {
        self.push(|out| Encoder::new(out).null());
    }

    /// The row is complete.
    pub fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for Filling<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.batch.bytes.truncate(self.bytes);
            self.batch.ends.truncate(self.ends);
        }
    }
}

/// A row in a batch.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    bytes: &'a [u8],
    from: usize,
    ends: &'a [u32],
}

impl<'a> Row<'a> {
    /// All of it.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        &self.bytes[self.from..self.end()]
    }

    /// How many values it has.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.ends.len()
    }

    /// The encodings of some values that follow each other, counted from 0.
    #[must_use]
    pub fn run(&self, from: usize, to: usize) -> &'a [u8] {
        &self.bytes[self.start(from)..self.start(to)]
    }

    /// The encoding of one value.
    #[must_use]
    pub fn cell(&self, at: usize) -> &'a [u8] {
        self.run(at, at + 1)
    }

    /// Whether a value is NULL.
    #[must_use]
    pub fn is_null(&self, at: usize) -> bool {
        self.cell(at) == [0]
    }

    /// The first values, decoded.
    #[must_use]
    pub fn cells(&self, columns: usize) -> Vec<Cell> {
        let mut input = self.bytes();
        // What is here was encoded here: there always is a cell.
        (0..columns).map_while(|_| Cell::decode(&mut input)).collect()
    }

    fn start(&self, at: usize) -> usize {
        if at == 0 { self.from } else { self.ends[at - 1] as usize }
    }

    fn end(&self) -> usize {
        self.start(self.ends.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_as_they_were_put_in() {
        let rows = vec![
            vec![Cell::Int(1), Cell::Null, Cell::Text("é".into())],
            vec![Cell::Float(0.5), Cell::Text("".into()), Cell::Bool(true)],
        ];
        let batch: Batch = rows.iter().cloned().collect();
        assert_eq!((batch.len(), batch.is_full()), (2, false));
        let second = batch.rows().nth(1).unwrap();
        assert_eq!((second.columns(), second.is_null(1), second.cells(1)), (3, false, vec![Cell::Float(0.5)]));
        assert_eq!([second.cell(0), second.run(1, 3)].concat(), second.bytes());
        assert!(batch.rows().next().unwrap().is_null(1));
        assert_eq!(batch.into_iter().collect::<Vec<_>>(), rows);
    }

    #[test]
    fn a_row_that_is_not_finished_was_never_there() {
        let mut batch: Batch = [vec![Cell::Int(1), Cell::Int(2)]].into_iter().collect();
        let mut row = batch.row();
        row.null();
        drop(row);
        assert_eq!(batch.take().into_iter().collect::<Vec<_>>(), [vec![Cell::Int(1), Cell::Int(2)]]);
        assert!(batch.is_empty());
    }
}
