//! Batches of rows, bounded by count and bytes, and how a reader hands them out.

use async_trait::async_trait;
use backflow_core::cell::Cell;
use backflow_core::code::Failure;
use backflow_core::encode::Encoder;
use futures::stream::{self, BoxStream, StreamExt as _};
use tokio::sync::mpsc;

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

/// Something that reads rows of a model.
#[async_trait]
pub(crate) trait BatchReader: Sized + Send + 'static {
    /// Hands out all batches but the last, which it returns. Where it waits, it is dropped when nobody wants its rows any more.
    async fn read(&mut self, out: &Outlet) -> Result<Batch, Failure>;

    /// Ends what it holds on the server, before the consumer sees the end.
    async fn end(self, _end: End) {}
}

/// How a read ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// All rows were read.
    Whole,
    /// It failed.
    Failed,
    /// Nobody wants the rows any more.
    Unwanted,
}

/// Where a reader hands its batches out.
pub(crate) struct Outlet(mpsc::Sender<Result<Batch, Failure>>);

impl Outlet {
    /// Hands a batch out. If nobody wants it, the reader is dropped where it waits next.
    pub(crate) async fn put(&self, batch: Batch) {
        let _ = self.0.send(Ok(batch)).await;
    }

    /// Hands a batch out if it is full.
    pub(crate) async fn put_full(&self, batch: &mut Batch) {
        if batch.is_full() {
            self.put(batch.take()).await;
        }
    }
}

/// Reads in a task of its own, so that reading goes on while the consumer works. One batch is in the channel and one at each end: the
/// memory bound is three batches.
pub(crate) fn read(mut reader: impl BatchReader) -> BoxStream<'static, Result<Batch, Failure>> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let out = Outlet(sender);
        let read = tokio::select! {
            biased;
            () = out.0.closed() => None,
            read = reader.read(&out) => Some(read),
        };
        let end = match &read {
            Some(Ok(_)) => End::Whole,
            Some(Err(_)) => End::Failed,
            None => End::Unwanted,
        };
        reader.end(end).await;
        match read {
            None => {}
            Some(Ok(last)) if last.is_empty() => {}
            Some(last) => drop(out.0.send(last).await),
        }
    });
    let next = |mut receiver: mpsc::Receiver<_>| async move { receiver.recv().await.map(|batch| (batch, receiver)) };
    stream::unfold(receiver, next).boxed()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::Mutex;

    use backflow_core::code::Code;

    use super::*;

    /// Counts up to `rows`, one row in each batch, and says how it ended. `None`: for ever.
    struct Counting {
        rows: Option<i64>,
        fails: bool,
        ended: Arc<Mutex<Vec<End>>>,
    }

    #[async_trait]
    impl BatchReader for Counting {
        async fn read(&mut self, out: &Outlet) -> Result<Batch, Failure> {
            let mut row = 1;
            while self.rows.is_none_or(|rows| row < rows) {
                out.put([vec![Cell::Int(row)]].into_iter().collect()).await;
                row += 1;
            }
            match self.fails {
                true => Err(Failure::new(Code::Internal, "it failed")),
                false => Ok([vec![Cell::Int(row)]].into_iter().collect()),
            }
        }

        async fn end(self, end: End) {
            self.ended.lock().unwrap().push(end);
        }
    }

    #[tokio::test]
    async fn what_a_reader_hands_out_arrives_after_it_has_ended() {
        for (fails, end) in [(false, End::Whole), (true, End::Failed)] {
            let ended = Arc::default();
            let mut rows = read(Counting { rows: Some(5), fails, ended: Arc::clone(&ended) });
            for row in 1..5 {
                let batch = rows.next().await.unwrap().unwrap();
                assert_eq!(batch.into_iter().collect::<Vec<_>>(), [[Cell::Int(row)]]);
            }
            assert_eq!(rows.next().await.unwrap().is_err(), fails);
            assert_eq!(*ended.lock().unwrap(), [end]);
            assert!(rows.next().await.is_none());
        }
    }

    #[tokio::test]
    async fn a_reader_that_nobody_wants_is_ended() {
        let ended = Arc::default();
        let mut rows = read(Counting { rows: None, fails: false, ended: Arc::clone(&ended) });
        assert!(rows.next().await.is_some());
        drop(rows);
        while Arc::strong_count(&ended) > 1 {
            tokio::task::yield_now().await;
        }
        assert_eq!(*ended.lock().unwrap(), [End::Unwanted]);
    }

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
