//! The changes of a run, in scratch: deletions, updates, additions. Rows are referred to by place and read back page by page.

use std::path::Path;
use std::vec::IntoIter;

use backflow_core::change::{Change, ChangeKind, Key, Memory};
use backflow_core::code::Failure;

use super::damage::internal;
use super::entry::{Entry, Kind, put_number, take_number, take_u64};
use super::payload::{Payload, Place};
use super::spool::{BUCKETS, Spool, Usage};

/// A page holds about this many bytes of rows at most, whatever `max` allows.
const PAGE_BYTES: usize = 2 * 1024 * 1024;

/// Lists of changes.
pub(super) struct Changes {
    deletes: Spool,
    updates: Spool,
    adds: Spool,
    payload: Payload,
    /// Cells of a row that belong to a change.
    row: usize,
    /// The key's among them.
    key: Vec<usize>,
    cursor: Cursor,
}

struct Listed {
    place: Place,
    hash: u64,
    rev: u64,
    unsent: bool,
    memory: Memory,
}

enum Cursor {
    Deletes { block: usize, entries: IntoIter<Entry> },
    Rows { kind: ChangeKind, bucket: usize, rows: IntoIter<Listed> },
    Done,
}

impl Changes {
    pub(super) fn new(
        folder: &Path,
        usage: &Usage,
        payload: Payload,
        row: usize,
        key: Vec<usize>,
    ) -> Result<Self, Failure> {
        Ok(Self {
            deletes: Spool::new(folder, 1, usage.clone())?,
            updates: Spool::new(folder, BUCKETS, usage.clone())?,
            adds: Spool::new(folder, BUCKETS, usage.clone())?,
            payload,
            row,
            key,
            cursor: Cursor::Deletes { block: 0, entries: Vec::new().into_iter() },
        })
    }

    pub(super) fn delete(&mut self, entry: &Entry) -> Result<(), Failure> {
        self.deletes.push(0, |out| entry.encode(out))
    }

    pub(super) fn update(&mut self, place: Place, hash: u64, entry: Entry) -> Result<(), Failure> {
        let entry = Entry { key: Box::default(), rejected: None, ..entry };
        self.updates.push(bucket(&self.payload, place), |out| {
            put_row(out, place, hash);
            entry.encode(out);
        })
    }

    pub(super) fn add(&mut self, place: Place, hash: u64, rev: u64) -> Result<(), Failure> {
        self.adds.push(bucket(&self.payload, place), |out| {
            put_row(out, place, hash);
            put_number(out, rev);
        })
    }

    /// Leaves the deletions out.
    pub(super) fn skip_deletes(&mut self) {
        if matches!(self.cursor, Cursor::Deletes { .. }) {
            self.cursor = Cursor::updates();
        }
    }

    /// The next changes of one kind, at most `max`; none at the end.
    pub(super) fn page(&mut self, max: usize) -> Result<Vec<Change>, Failure> {
        loop {
            let page = match &mut self.cursor {
                Cursor::Deletes { .. } => self.deletes_page(max)?,
                Cursor::Rows { .. } => self.rows_page(max)?,
                Cursor::Done => return Ok(Vec::new()),
            };
            if !page.is_empty() {
                return Ok(page);
            }
            self.cursor = match self.cursor {
                Cursor::Deletes { .. } => Cursor::updates(),
                Cursor::Rows { kind: ChangeKind::Updated, .. } => {
                    Cursor::Rows { kind: ChangeKind::Added, bucket: 0, rows: Vec::new().into_iter() }
                }
                Cursor::Rows { .. } | Cursor::Done => Cursor::Done,
            };
        }
    }

    fn deletes_page(&mut self, max: usize) -> Result<Vec<Change>, Failure> {
        let Cursor::Deletes { block, entries } = &mut self.cursor else { return Ok(Vec::new()) };
        let mut page = Vec::new();
        while page.len() < max {
            if let Some(entry) = entries.next() {
                page.push(deletion(entry)?);
                continue;
            }
            let Some(bytes) = self.deletes.block(0, *block)? else { break };
            *block += 1;
            let mut input = bytes.as_slice();
            let mut read = Vec::new();
            while !input.is_empty() {
                read.push(Entry::decode(&mut input).ok_or_else(damaged)?);
            }
            *entries = read.into_iter();
        }
        Ok(page)
    }

    fn rows_page(&mut self, max: usize) -> Result<Vec<Change>, Failure> {
        let Cursor::Rows { kind, bucket, rows } = &mut self.cursor else { return Ok(Vec::new()) };
        let spool = if *kind == ChangeKind::Updated { &self.updates } else { &self.adds };
        let mut page = Vec::new();
        let mut bytes = 0;
        while page.len() < max && bytes < PAGE_BYTES {
            let Some(listed) = rows.next() else {
                if *bucket == BUCKETS {
                    break;
                }
                *rows = read_bucket(&spool.read(*bucket)?, *kind)?.into_iter();
                *bucket += 1;
                continue;
            };
            let (row, length) = self.payload.row(listed.place, self.row)?;
            bytes += length;
            page.push(Change {
                kind: *kind,
                key: Key(self.key.iter().map(|at| row[*at].clone()).collect()),
                row,
                rev: listed.rev,
                hash: listed.hash,
                unsent: listed.unsent,
                known: *kind == ChangeKind::Updated,
                memory: listed.memory,
                place: 0,
            });
        }
        Ok(page)
    }
}

impl Cursor {
    fn updates() -> Self {
        Self::Rows { kind: ChangeKind::Updated, bucket: 0, rows: Vec::new().into_iter() }
    }
}

fn bucket(payload: &Payload, place: Place) -> usize {
    place.block() * BUCKETS / payload.blocks().max(1)
}

fn put_row(out: &mut Vec<u8>, place: Place, hash: u64) {
    out.extend_from_slice(&place.0.to_le_bytes());
    out.extend_from_slice(&hash.to_le_bytes());
}

fn read_bucket(bytes: &[u8], kind: ChangeKind) -> Result<Vec<Listed>, Failure> {
    let mut input = bytes;
    let mut rows = Vec::new();
    while !input.is_empty() {
        rows.push(read_listed(&mut input, kind).ok_or_else(damaged)?);
    }
    rows.sort_unstable_by_key(|row| row.place);
    Ok(rows)
}

fn read_listed(input: &mut &[u8], kind: ChangeKind) -> Option<Listed> {
    let place = Place(take_u64(input)?);
    let hash = take_u64(input)?;
    if kind == ChangeKind::Added {
        return Some(Listed { place, hash, rev: take_number(input)?, unsent: false, memory: Memory::default() });
    }
    let entry = Entry::decode(input)?;
    let unsent = matches!(entry.kind, Kind::Seen(_));
    Some(Listed { place, hash, rev: entry.rev, unsent, memory: entry.memory })
}

fn deletion(entry: Entry) -> Result<Change, Failure> {
    let (hash, unsent) = match entry.kind {
        Kind::Delivered(hash) => (hash, false),
        Kind::Seen(hash) => (hash, true),
        _ => return Err(damaged()),
    };
    Ok(Change {
        kind: ChangeKind::Deleted,
        key: Key::decode(&entry.key).ok_or_else(damaged)?,
        row: Vec::new(),
        rev: entry.rev,
        hash,
        unsent,
        known: true,
        memory: entry.memory,
        place: 0,
    })
}

fn damaged() -> Failure {
    internal("a change in scratch cannot be read back")
}
