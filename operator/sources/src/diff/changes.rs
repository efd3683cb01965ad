//! The changes of a run, in scratch: deletions, updates, additions. Rows are referred to by place and read back one by one.

use std::cmp::Ordering;
use std::path::Path;
use std::vec::IntoIter;

use backflow_core::change::{Change, ChangeKind, Key, Memory};
use backflow_core::code::Failure;
use backflow_core::encode::EncodedRow;

use super::damage::internal;
use super::hash::{key_hash, prefix};
use super::listed::{Listed, Of};
use super::payload::Payload;
use super::spool::{BUCKETS, Parts, Spool, Usage};

/// Lists of changes.
pub(super) struct Changes {
    deletes: Spool,
    updates: Spool,
    adds: Spool,
    /// Additions that need their deletion first, by key hash.
    rekeyed: Spool,
    /// Key hashes of deletions that are acknowledged.
    freed: Spool,
    /// Additions whose deletion has no acknowledgement.
    held: u64,
    withheld: bool,
    payload: Payload,
    /// Cells of a row that belong to a change.
    row: usize,
    /// The key's among them.
    key: Vec<usize>,
    cursor: Cursor,
}

/// A change on its way to whoever delivers it.
pub(super) struct Offered {
    pub change: Change,
    /// The claim that last sent something without an acknowledgement.
    pub doubtful: Option<u64>,
    /// Bytes that it takes, about.
    pub bytes: usize,
}

struct Cursor {
    kind: ChangeKind,
    /// The next block of the deletions, or the next bucket of the others.
    next: usize,
    /// The rest of a bucket.
    parts: Parts,
    listed: IntoIter<Listed>,
}

impl Changes {
    pub(super) fn new(
        folder: &Path,
        usage: &Usage,
        payload: Payload,
        row: usize,
        key: Vec<usize>,
    ) -> Result<Self, Failure> {
        let spool = |buckets| Spool::new(folder, buckets, usage.clone());
        Ok(Self {
            deletes: spool(1)?,
            updates: spool(BUCKETS)?,
            adds: spool(BUCKETS)?,
            rekeyed: spool(BUCKETS)?,
            freed: spool(BUCKETS)?,
            held: 0,
            withheld: false,
            payload,
            row,
            key,
            cursor: Cursor::at(ChangeKind::Deleted),
        })
    }

    /// Lists a deletion.
    pub(super) fn delete(&mut self, listed: &Listed) -> Result<(), Failure> {
        self.deletes.push(0, |out| listed.encode(out))
    }

    /// Lists an update.
    pub(super) fn update(&mut self, listed: &Listed) -> Result<(), Failure> {
        self.updates.push(bucket(&self.payload, listed), |out| listed.encode(out))
    }

    /// Lists an addition.
    pub(super) fn add(&mut self, listed: &Listed) -> Result<(), Failure> {
        self.adds.push(bucket(&self.payload, listed), |out| listed.encode(out))
    }

    /// Lists an addition that needs the deletion of its key first.
    pub(super) fn add_after_deletion(&mut self, key: u128, listed: &Listed) -> Result<(), Failure> {
        self.rekeyed.push(by_key(key), |out| {
            out.extend_from_slice(&key.to_le_bytes());
            listed.encode(out);
        })
    }

    /// Notes that a deletion is acknowledged.
    pub(super) fn freed(&mut self, key: &Key) -> Result<(), Failure> {
        let hash = key_hash(&key.encode());
        self.freed.push(by_key(hash), |out| out.extend_from_slice(&hash.to_le_bytes()))
    }

    /// How many changes are not handed out, counted from the lists. Nothing comes after this.
    pub(super) fn left(&mut self) -> Result<u64, Failure> {
        let cursor = std::mem::replace(&mut self.cursor, Cursor::at(ChangeKind::Added));
        self.cursor.next = BUCKETS;
        let mut left = cursor.listed.len() as u64 + self.held;
        let from = |kind| match rank(kind).cmp(&rank(cursor.kind)) {
            Ordering::Less => None,
            Ordering::Equal => Some(cursor.next),
            Ordering::Greater => Some(0),
        };
        for part in cursor.parts {
            left += read(&part?)?.len() as u64;
        }
        if let Some(first) = from(ChangeKind::Deleted).filter(|_| !self.withheld) {
            for block in self.deletes.blocks(0).skip(first) {
                left += read(&block?)?.len() as u64;
            }
        }
        for (kind, spool) in [(ChangeKind::Updated, &self.updates), (ChangeKind::Added, &self.adds)] {
            let buckets = from(kind).into_iter().flat_map(|first| first..BUCKETS);
            for block in buckets.flat_map(|bucket| spool.blocks(bucket)) {
                left += read(&block?)?.len() as u64;
            }
        }
        if cursor.kind != ChangeKind::Added && !self.withheld {
            for block in (0..BUCKETS).flat_map(|bucket| self.rekeyed.blocks(bucket)) {
                left += read_rekeyed(&block?)?.len() as u64;
            }
        }
        Ok(left)
    }

    /// Leaves the deletions out, and the additions that need them.
    pub(super) const fn skip_deletes(&mut self) {
        self.withheld = true;
    }

    /// The next change of a kind; `None` if there is no more. An earlier kind is over once a later one was asked for.
    pub(super) fn next(&mut self, kind: ChangeKind) -> Result<Option<Offered>, Failure> {
        if rank(kind) < rank(self.cursor.kind) {
            return Ok(None);
        }
        if kind != self.cursor.kind {
            self.cursor = Cursor::at(kind);
            if kind == ChangeKind::Added && !self.withheld {
                self.release()?;
            }
        }
        loop {
            if let Some(listed) = self.cursor.listed.next() {
                return self.offered(kind, listed).map(Some);
            }
            if let Some(bytes) = self.cursor.parts.next() {
                let mut listed = read(&bytes?)?;
                // Each block of rows is unpacked once.
                listed.sort_unstable_by_key(Listed::place);
                self.cursor.listed = listed.into_iter();
                continue;
            }
            let at = self.cursor.next;
            match kind {
                ChangeKind::Deleted if self.withheld => return Ok(None),
                ChangeKind::Deleted => {
                    let Some(bytes) = self.deletes.block(0, at)? else { return Ok(None) };
                    self.cursor.listed = read(&bytes)?.into_iter();
                }
                _ if at == BUCKETS => return Ok(None),
                ChangeKind::Updated => self.cursor.parts = self.parts(&self.updates, at)?,
                ChangeKind::Added => self.cursor.parts = self.parts(&self.adds, at)?,
            }
            self.cursor.next += 1;
        }
    }

    /// A bucket of updates or additions, the parts in the order of their rows.
    fn parts(&self, spool: &Spool, bucket: usize) -> Result<Parts, Failure> {
        spool.parts(bucket, |input, parts| {
            let listed = Listed::decode(input)?;
            Some(share(&self.payload, &listed, BUCKETS * parts) - bucket * parts)
        })
    }

    /// Moves the additions whose deletion is acknowledged to the others, and counts those that have to wait.
    fn release(&mut self) -> Result<(), Failure> {
        for at in (0..BUCKETS).filter(|at| !self.rekeyed.is_empty(*at)) {
            let mut freed: Vec<[u8; 16]> = self.freed.read(at)?.as_chunks().0.to_vec();
            freed.sort_unstable();
            for block in self.rekeyed.blocks(at) {
                for (key, listed) in read_rekeyed(&block?)? {
                    if freed.binary_search(&key).is_ok() {
                        self.adds.push(bucket(&self.payload, &listed), |out| listed.encode(out))?;
                    } else {
                        self.held += 1;
                    }
                }
            }
        }
        Ok(())
    }

    fn offered(&mut self, kind: ChangeKind, listed: Listed) -> Result<Offered, Failure> {
        let (key, row, length) = match &listed.of {
            Of::Key(key) => (Key::decode(key).ok_or_else(damaged)?, EncodedRow::default(), key.len()),
            Of::Row(place) => {
                let row = self.payload.row(*place, self.row)?;
                let length = row.len();
                (Key(row.pick(&self.key)), row, length)
            }
        };
        let Listed { hash, rev, unsent, known, doubtful, duplicate, extra, memory, .. } = listed;
        let bytes = length + texts(&memory);
        let change = Change { kind, key, row, rev, hash, unsent, known, duplicate, memory, place: u64::from(extra) };
        Ok(Offered { change, doubtful, bytes })
    }
}

impl Cursor {
    fn at(kind: ChangeKind) -> Self {
        Self { kind, next: 0, parts: Parts::NONE, listed: Vec::new().into_iter() }
    }
}

/// Whether a change is the deletion of a record alone: its key stays as it is.
pub(super) fn is_extra(change: &Change) -> bool {
    change.kind == ChangeKind::Deleted && change.place == 1
}

/// Deletions are offered before updates, and updates before additions.
pub(super) fn rank(kind: ChangeKind) -> u8 {
    match kind {
        ChangeKind::Deleted if fault!(DeletesAfterAdds) => 3,
        ChangeKind::Deleted => 0,
        ChangeKind::Updated => 1,
        ChangeKind::Added => 2,
    }
}

/// Rows that lie together are in one bucket.
fn bucket(payload: &Payload, listed: &Listed) -> usize {
    share(payload, listed, BUCKETS)
}

/// Of so many equal shares of the rows, the one that a row is in.
fn share(payload: &Payload, listed: &Listed, shares: usize) -> usize {
    match listed.of {
        Of::Row(place) => place.block() * shares / payload.blocks().max(1),
        Of::Key(_) => 0,
    }
}

fn by_key(hash: u128) -> usize {
    prefix(hash, BUCKETS.ilog2() as u8) as usize
}

fn texts(memory: &Memory) -> usize {
    [&memory.match_key, &memory.group_key, &memory.remote_id].into_iter().flatten().map(|text| text.len()).sum()
}

fn read(bytes: &[u8]) -> Result<Vec<Listed>, Failure> {
    let mut input = bytes;
    let mut all = Vec::new();
    while !input.is_empty() {
        all.push(Listed::decode(&mut input).ok_or_else(damaged)?);
    }
    Ok(all)
}

fn read_rekeyed(bytes: &[u8]) -> Result<Vec<([u8; 16], Listed)>, Failure> {
    let mut input = bytes;
    let mut all = Vec::new();
    while let Some((key, rest)) = input.split_first_chunk::<16>() {
        input = rest;
        all.push((*key, Listed::decode(&mut input).ok_or_else(damaged)?));
    }
    Ok(all)
}

fn damaged() -> Failure {
    internal("a change in scratch cannot be read back")
}
