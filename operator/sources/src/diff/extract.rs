//! Reading the model: every row is hashed, and put to scratch if there is more to it, at the speed of the warehouse.

use std::path::Path;
use std::sync::Arc;

use backflow_core::change::Identify;
use backflow_core::code::{Code, Failure};
use backflow_core::report::Stage;
use futures::StreamExt as _;
use tokio::sync::mpsc;

use super::damage::internal;
use super::entry::{put_bytes, take, take_bytes, take_u64};
use super::hash::{self, Columns, key_hash, prefix};
use super::known::Known;
use super::layout::Layout;
use super::matches::{self, Matches};
use super::payload::{Payload, PayloadWriter, Place};
use super::progress::Meter;
use super::spool::{BUCKETS, Spool, Usage};
use crate::batch::{Batch, Row};
use crate::warehouse::{Query, Warehouse};

/// The most bytes that the values of a row may have.
pub(super) const MAX_RECORD: usize = 512 * 1024;

/// The most bytes that an encoded primary key may have.
pub(super) const MAX_KEY: usize = 4 * 1024;

/// Bytes of scratch that the comparison may need for each byte of the index: the lists of changes.
const HEADROOM: u64 = 2;

/// What was read.
pub(super) struct Extracted {
    /// A record for each row with a key that has to be compared, in buckets by key hash.
    pub index: Spool,
    /// How many records.
    pub listed: u64,
    /// The rows that are as they were delivered.
    pub known: Known,
    /// The rows.
    pub payload: Payload,
    /// The records that rows stand for, if there is more to it than the key.
    pub matches: Option<Matches>,
    /// Rows that the model returned.
    pub rows: u64,
    /// Rows without a key.
    pub null_keys: u64,
    /// Scratch was full before the model ended.
    pub scratch_full: bool,
}

/// A row in the index.
#[derive(Clone, Copy)]
pub(super) struct IndexRow<'a> {
    pub key: &'a [u8],
    /// A hash for each of [`Layout::specs`], 64 bits each.
    hashes: &'a [u8],
    /// The record that it stands for: [`matches::record`].
    pub record: u128,
    pub place: Place,
}

impl<'a> IndexRow<'a> {
    fn encode(key: &[u8], hashes: &[u64], record: Option<u128>, place: Place, out: &mut Vec<u8>) {
        put_bytes(out, key);
        for hash in hashes {
            out.extend_from_slice(&hash.to_le_bytes());
        }
        if let Some(record) = record {
            out.extend_from_slice(&record.to_le_bytes());
        }
        out.extend_from_slice(&place.0.to_le_bytes());
    }

    /// Reads the next row of an index that was written by this layout.
    pub(super) fn decode(input: &mut &'a [u8], layout: &Layout) -> Option<Self> {
        let key = take_bytes(input)?;
        let hashes = take(input, 8 * layout.specs.len())?;
        let record = if layout.identifies { u128::from_le_bytes(take(input, 16)?.try_into().ok()?) } else { 0 };
        Some(Self { key, hashes, record, place: Place(take_u64(input)?) })
    }

    /// The part of its bucket that the next row belongs to.
    pub(super) fn part(input: &mut &'a [u8], layout: &Layout, parts: usize) -> Option<usize> {
        Some(hash::part(key_hash(Self::decode(input, layout)?.key), parts))
    }

    /// The hash by the spec at this place of [`Layout::specs`].
    pub(super) fn hash(&self, spec: usize) -> u64 {
        self.hashes.get(8 * spec..).and_then(|mut bytes| take_u64(&mut bytes)).unwrap_or_default()
    }
}

/// Where rows go.
pub(super) struct Scratch<'a> {
    pub folder: &'a Path,
    pub usage: Usage,
    /// Bytes that all of the run's scratch may take.
    pub limit: u64,
    /// Says what record a row stands for.
    pub identify: Option<Identify>,
}

/// Reads the model into scratch, but for rows that are `known`. The warehouse's stream is closed when this returns.
pub(super) async fn extract(
    warehouse: &dyn Warehouse,
    query: Query,
    layout: &Arc<Layout>,
    known: Known,
    scratch: Scratch<'_>,
    meter: &mut Meter,
) -> Result<Extracted, Failure> {
    // Decoding what the warehouse sends and hashing it take about as long: each has its own thread.
    let (sender, mut batches) = mpsc::channel::<Batch>(2);
    let mut writer = Writer::new(Arc::clone(layout), query.model.name.clone(), known, scratch)?;
    #[cfg(test)]
    let planted = super::planted::planted();
    let writing = tokio::task::spawn_blocking(move || {
        #[cfg(test)]
        super::planted::plant(planted);
        while let Some(batch) = batches.blocking_recv() {
            if !writer.push(&batch)? {
                break;
            }
        }
        writer.finish()
    });
    let mut rows = warehouse.rows(query).await?;
    let mut read = 0;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        read += batch.len() as u64;
        if sender.send(batch).await.is_err() {
            break;
        }
        meter.at(Stage::Extracting, read, 0);
    }
    drop(rows);
    drop(sender);
    writing.await.map_err(|_| internal("writing to scratch ended without an answer"))?
}

struct Writer {
    layout: Arc<Layout>,
    model: String,
    known: Known,
    index: Spool,
    payload: PayloadWriter,
    identify: Option<(Identify, Matches)>,
    key: Columns,
    /// Of each of [`Layout::specs`].
    specs: Vec<Columns>,
    /// For columns that do not lie together.
    room: Vec<u8>,
    hashes: Vec<u64>,
    usage: Usage,
    limit: u64,
    index_bytes: u64,
    listed: u64,
    rows: u64,
    null_keys: u64,
    scratch_full: bool,
}

impl Writer {
    fn new(layout: Arc<Layout>, model: String, known: Known, scratch: Scratch<'_>) -> Result<Self, Failure> {
        let Scratch { folder, usage, limit, identify } = scratch;
        let identify = match identify {
            Some(identify) => Some((identify, Matches::new(folder, &usage)?)),
            None => None,
        };
        Ok(Self {
            identify,
            key: Columns::new(&layout.key),
            specs: layout.specs.iter().map(|(_, places)| Columns::new(places)).collect(),
            layout,
            model,
            known,
            index: Spool::new(folder, BUCKETS, usage.clone())?,
            payload: PayloadWriter::new(folder, usage.clone())?,
            room: Vec::new(),
            hashes: Vec::new(),
            usage,
            limit,
            index_bytes: 0,
            listed: 0,
            rows: 0,
            null_keys: 0,
            scratch_full: false,
        })
    }

    /// Takes a batch; `false` when there is no room for the next.
    fn push(&mut self, batch: &Batch) -> Result<bool, Failure> {
        for row in batch.rows() {
            self.push_row(&row)?;
        }
        self.scratch_full = self.usage.bytes() + HEADROOM * self.index_bytes >= self.limit;
        Ok(!self.scratch_full)
    }

    fn push_row(&mut self, row: &Row<'_>) -> Result<(), Failure> {
        if row.columns() != self.layout.columns.len() {
            return Err(internal("the warehouse returned a row with another number of columns"));
        }
        self.rows += 1;
        if self.layout.key.iter().any(|at| row.is_null(*at)) {
            self.null_keys += 1;
            return Ok(());
        }
        // The encoding adds at most nine bytes to a value.
        if row.bytes().len() > MAX_RECORD && row.bytes().len() > MAX_RECORD + 9 * row.columns() {
            return Err(self.too_large("a row", MAX_RECORD, row, 0..row.columns()));
        }
        self.hashes.clear();
        for columns in &self.specs {
            self.hashes.push(columns.hash(row, &mut self.room));
        }
        let mut room = std::mem::take(&mut self.room);
        let key = self.key.of(row, &mut room);
        let pushed = self.push_hashed(row, key);
        self.room = room;
        pushed
    }

    /// A row whose hashes are there.
    fn push_hashed(&mut self, row: &Row<'_>, key: &[u8]) -> Result<(), Failure> {
        if key.len() > MAX_KEY {
            return Err(self.too_large("a primary key", MAX_KEY, row, self.layout.key.iter().copied()));
        }
        let hash = key_hash(key);
        let bucket = prefix(hash, BUCKETS.ilog2() as u8) as usize;
        let known = self.hashes.first().and_then(|row| self.known.find(hash, *row));
        if let Some(slot) = known
            && self.identify.is_none()
            && self.known.meet(slot, hash)
        {
            return Ok(());
        }
        self.known.lists(hash);
        self.listed += 1;
        self.index_bytes += (key.len() + 8 * self.hashes.len() + 10) as u64;
        let place = if known.is_some() { Place::NONE } else { self.payload.push(row.bytes())? };
        let record = match &mut self.identify {
            Some((identify, matches)) => {
                let memory = identify(&row.cells(self.layout.row));
                let record = matches::record(&memory);
                if memory.match_key.is_some() {
                    matches.push(record, key)?;
                }
                Some(record)
            }
            None => None,
        };
        self.index.push(bucket, |out| IndexRow::encode(key, &self.hashes, record, place, out))
    }

    /// Nothing was sent yet, so that a row beyond the limits stops the run instead of being left out in silence.
    fn too_large(&self, what: &str, limit: usize, row: &Row<'_>, columns: impl Iterator<Item = usize>) -> Failure {
        let longest = columns.max_by_key(|at| row.cell(*at).len()).unwrap_or_default();
        Failure::new(
            Code::LimitExceeded,
            format!(
                "model \"{}\": {what} has more than {} KiB, the most of it in column \"{}\"; shorten that column in the Model's SQL or leave it out",
                self.model,
                limit / 1024,
                self.layout.columns[longest].name
            ),
        )
    }

    fn finish(self) -> Result<Extracted, Failure> {
        Ok(Extracted {
            index: self.index,
            listed: self.listed,
            known: self.known,
            payload: self.payload.finish()?,
            matches: self.identify.map(|(_, matches)| matches),
            rows: self.rows,
            null_keys: self.null_keys,
            scratch_full: self.scratch_full,
        })
    }
}
