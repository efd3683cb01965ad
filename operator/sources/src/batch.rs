//! Batches of rows, bounded by count and bytes.

use backflow_core::cell::Cell;

/// The rows of one batch.
pub(crate) type Rows = Vec<Vec<Cell>>;

/// Rows in a batch.
const MAX_ROWS: usize = 1000;
/// Bytes in a batch as the warehouse sent them, but for the row that goes beyond.
const MAX_BYTES: usize = 1 << 20;

/// A batch that is being filled.
#[derive(Default)]
pub(crate) struct Batch {
    rows: Rows,
    bytes: usize,
}

impl Batch {
    /// Adds a row of so many bytes; returns the batch if that filled it.
    #[must_use]
    pub(crate) fn push(&mut self, row: Vec<Cell>, bytes: usize) -> Option<Rows> {
        self.rows.push(row);
        self.bytes += bytes;
        (self.rows.len() >= MAX_ROWS || self.bytes >= MAX_BYTES).then(|| self.take())
    }

    /// What there is.
    pub(crate) fn take(&mut self) -> Rows {
        self.bytes = 0;
        std::mem::take(&mut self.rows)
    }
}
