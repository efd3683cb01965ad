//! The state's entries in the order of key hash and key: partitions, with the journal laid over them.

use std::cmp::Ordering;
use std::path::Path;

use backflow_core::code::Failure;
use backflow_core::state::{PartitionId, StateStore};

use super::damage::{Damage, internal};
use super::document::Document;
use super::entry::{Entry, Kind, Plain, take_bytes};
use super::hash::{key_hash, part, prefix};
use super::packed::{Content, Unpacker};
use super::spool::{BUCKETS, Parts, Spool, Usage};

/// Journal entries since the last fold, in scratch: bounded in memory, however long the journal.
pub(super) struct Overlay {
    spool: Spool,
    /// What is said of a change before it is handed out, if the key has one change in this run: only the acknowledgement counts if it
    /// says all.
    marks: Spool,
    marked: u64,
    /// Acknowledgements, which come after the marks.
    acked: Spool,
    /// Those that say all.
    settled: u64,
    bits: u8,
    /// Partitions that have entries here.
    touched: Vec<bool>,
    /// How many entries were laid.
    entries: u64,
}

impl Overlay {
    pub(super) fn new(folder: &Path, usage: &Usage, bits: u8) -> Result<Self, Failure> {
        let spool = || Spool::new(folder, BUCKETS, usage.clone());
        Ok(Self {
            spool: spool()?,
            marks: spool()?,
            marked: 0,
            acked: spool()?,
            settled: 0,
            bits,
            touched: vec![false; 1 << bits],
            entries: 0,
        })
    }

    /// Reads the journal back.
    pub(super) async fn replay(
        &mut self,
        store: &dyn StateStore,
        key: &str,
        segments: std::ops::RangeInclusive<u64>,
    ) -> Result<(), Failure> {
        for number in segments {
            let damaged = |damage: Damage| damage.of(key, &format!("journal segment {number}"));
            let bytes = store.segment(key, number).await?.ok_or_else(|| damaged(Damage::Missing))?;
            let mut entries = Unpacker::new(bytes, Content::Segment { number }).map_err(damaged)?;
            while let Some(entry) = entries.next().map_err(damaged)? {
                self.push(&entry)?;
            }
        }
        Ok(())
    }

    /// Lays an entry over what is there.
    pub(super) fn push(&mut self, entry: &Entry) -> Result<(), Failure> {
        let bucket = self.lays(&entry.key);
        self.spool.push(bucket, |out| entry.encode(out))
    }

    /// Lays entries, encoded one after another, over what is there.
    pub(super) fn lay(&mut self, entries: &[u8]) -> Result<(), Failure> {
        each(entries, |key, entry| {
            let bucket = self.lays(key);
            self.spool.push(bucket, |out| out.extend_from_slice(entry))
        })
    }

    /// As [`Overlay::lay`], acknowledgements and then marks, of keys that have one change each in this run. So many acknowledgements
    /// settle: there is a mark, which says nothing any more.
    pub(super) fn lay_alone(&mut self, acked: &[u8], settled: u64, marks: &[u8]) -> Result<(), Failure> {
        self.settled += settled;
        each(acked, |key, entry| {
            let bucket = self.lays(key);
            self.acked.push(bucket, |out| out.extend_from_slice(entry))
        })?;
        each(marks, |key, entry| {
            let bucket = self.lays(key);
            self.marked += 1;
            self.marks.push(bucket, |out| out.extend_from_slice(entry))
        })
    }

    /// The bucket of a key's entry, which is counted.
    fn lays(&mut self, key: &[u8]) -> usize {
        let hash = key_hash(key);
        self.touched[prefix(hash, self.bits) as usize] = true;
        self.entries += 1;
        prefix(hash, BUCKETS.ilog2() as u8) as usize
    }

    /// Lays what was pushed to another overlay, of the same bits, over what was pushed to this one.
    pub(super) fn absorb(&mut self, other: &Self) -> Result<(), Failure> {
        for bucket in 0..BUCKETS {
            for records in other.spool.blocks(bucket) {
                let records = records?;
                self.spool.push(bucket, |out| out.extend_from_slice(&records))?;
            }
        }
        for (ours, theirs) in self.touched.iter_mut().zip(&other.touched) {
            *ours |= theirs;
        }
        self.entries += other.entries;
        Ok(())
    }

    /// How many entries were laid.
    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    /// Has a partition written again although nothing in it moved.
    pub(super) fn touch(&mut self, partition: usize) {
        self.touched[partition] = true;
    }

    /// Partitions that a fold has to write.
    pub(super) fn touched(&self) -> &[bool] {
        &self.touched
    }

    /// A bucket, the parts ascending by key hash.
    fn parts(&self, bucket: usize) -> Result<Parts, Failure> {
        let all = [&self.marks, &self.acked];
        let over = if self.settled == self.marked { &all[1..] } else { &all[..] };
        self.spool.parts_with(over, bucket, |input, parts| Entry::skip(input).map(|key| part(key_hash(key), parts)))
    }
}

/// Goes over entries that are encoded one after another: the key of each, and all of it.
fn each(entries: &[u8], mut take: impl FnMut(&[u8], &[u8]) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut rest = entries;
    while !rest.is_empty() {
        let entry = rest;
        let key = Entry::skip(&mut rest).ok_or_else(unreadable)?;
        take(key, &entry[..entry.len() - rest.len()])?;
    }
    Ok(())
}

/// The entries of a part of a bucket by key hash and key, those of one key in the order they were laid.
#[derive(Default)]
struct Laid {
    bytes: Vec<u8>,
    /// Key hash and place of each that was not taken, the next one last.
    order: Vec<(u128, u32)>,
}

impl Laid {
    fn new(bytes: Vec<u8>) -> Result<Self, Failure> {
        let mut order = Vec::new();
        let mut input = bytes.as_slice();
        while !input.is_empty() {
            let at = (bytes.len() - input.len()) as u32;
            order.push((key_hash(Entry::skip(&mut input).ok_or_else(unreadable)?), at));
        }
        order.sort_unstable_by(|one, other| {
            let by_key = || key_at(&bytes, other.1).cmp(key_at(&bytes, one.1));
            other.0.cmp(&one.0).then_with(by_key).then_with(|| other.1.cmp(&one.1))
        });
        Ok(Self { bytes, order })
    }

    /// Key hash and key of the next one.
    fn peek(&self) -> Option<(u128, &[u8])> {
        self.order.last().map(|(hash, at)| (*hash, key_at(&self.bytes, *at)))
    }

    fn take(&mut self) -> Result<Option<(u128, Entry)>, Failure> {
        let Some((hash, at)) = self.order.pop() else { return Ok(None) };
        let entry = self.bytes.get(at as usize..).and_then(|mut input| Entry::decode(&mut input));
        entry.map(|entry| Some((hash, entry))).ok_or_else(unreadable)
    }
}

/// The key of the entry at this place.
fn key_at(bytes: &[u8], at: u32) -> &[u8] {
    bytes.get(at as usize..).and_then(|mut input| take_bytes(&mut input)).unwrap_or_default()
}

fn unreadable() -> Failure {
    internal("a journal entry in scratch cannot be read back")
}

/// Reads a state from the first entry to the last: at any time, one partition and a part of one bucket of the overlay are in memory.
pub(super) struct StateReader<'a> {
    store: &'a dyn StateStore,
    key: &'a str,
    document: &'a Document,
    overlay: &'a Overlay,
    /// Partitions that are not read, though the overlay's entries of them are. Empty: all are.
    unread: Vec<bool>,
    partition: usize,
    open: Option<Unpacker>,
    base: Option<(u128, Entry)>,
    /// The hash of the last entry of a partition.
    last: u128,
    bucket: usize,
    /// The rest of the bucket before.
    parts: Parts,
    laid: Laid,
}

impl<'a> StateReader<'a> {
    /// All entries.
    pub(super) fn all(store: &'a dyn StateStore, key: &'a str, document: &'a Document, overlay: &'a Overlay) -> Self {
        Self {
            store,
            key,
            document,
            overlay,
            unread: Vec::new(),
            partition: 0,
            open: None,
            base: None,
            last: 0,
            bucket: 0,
            parts: Parts::NONE,
            laid: Laid::default(),
        }
    }

    /// The entries of partitions that the overlay touches.
    pub(super) fn touched(
        store: &'a dyn StateStore,
        key: &'a str,
        document: &'a Document,
        overlay: &'a Overlay,
    ) -> Self {
        let unread = overlay.touched.iter().map(|touched| !touched).collect();
        Self { unread, ..Self::all(store, key, document, overlay) }
    }

    /// All entries but those of some partitions that the overlay does not touch. Says of each partition whether it is left out.
    pub(super) fn without(mut self, mut quiet: Vec<bool>) -> (Self, Vec<bool>) {
        quiet.iter_mut().zip(&self.overlay.touched).for_each(|(quiet, touched)| *quiet &= !touched);
        self.unread.clone_from(&quiet);
        (self, quiet)
    }

    /// The next entry, after all journal entries of its key.
    pub(super) async fn next(&mut self) -> Result<Option<(u128, Entry)>, Failure> {
        self.next_but(|_, _| false).await
    }

    /// The next entry that is not passed over: plain ones that the journal says nothing of are shown to `passes`, with their key hash.
    pub(super) async fn next_but(
        &mut self,
        passes: impl FnMut(u128, &Plain<'_>) -> bool + Send,
    ) -> Result<Option<(u128, Entry)>, Failure> {
        self.lay()?;
        if self.base.is_none() {
            self.base = self.next_base(passes).await?;
        }
        let order = match (&self.base, self.laid.peek()) {
            (None, None) => return Ok(None),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((a, left)), Some((b, right))) => (*a, &*left.key).cmp(&(b, right)),
        };
        if order == Ordering::Less {
            return Ok(self.base.take());
        }
        let mut entry = if order == Ordering::Equal { self.base.take() } else { None };
        while let Some((_, key)) = self.laid.peek()
            && entry.as_ref().is_none_or(|(_, entry)| &*entry.key == key)
            && let Some((hash, laid)) = self.laid.take()?
        {
            entry = Some((hash, laid.apply(entry.map(|(_, entry)| entry))));
        }
        Ok(entry)
    }

    /// Has the next entries of the overlay in memory, if there are more.
    fn lay(&mut self) -> Result<(), Failure> {
        while self.laid.peek().is_none() {
            match self.parts.next() {
                Some(bytes) => self.laid = Laid::new(bytes?)?,
                None if self.bucket == BUCKETS => break,
                None => {
                    self.parts = self.overlay.parts(self.bucket)?;
                    self.bucket += 1;
                }
            }
        }
        Ok(())
    }

    async fn next_base(
        &mut self,
        mut passes: impl FnMut(u128, &Plain<'_>) -> bool + Send,
    ) -> Result<Option<(u128, Entry)>, Failure> {
        // What comes at or after the next one of the overlay may be what that is about, or what the one after it is about.
        let until = self.laid.peek().map(|(hash, _)| hash);
        loop {
            if let Some(open) = &mut self.open {
                let index = self.partition - 1;
                let (bits, last) = (self.document.bits, &mut self.last);
                let passed = open.pass(|plain| {
                    let hash = key_hash(plain.key);
                    follow(hash, index, bits, last)?;
                    Ok(until.is_none_or(|until| hash < until) && passes(hash, plain))
                });
                let entry = passed.and_then(|()| open.next()).map_err(|damage| self.damaged(damage, index))?;
                if let Some(entry) = entry {
                    return self.checked(entry, index).map(Some);
                }
                self.open = None;
            }
            let index = self.partition;
            let Some(&generation) = self.document.partitions.get(index) else { return Ok(None) };
            self.partition += 1;
            if generation > 0 && !self.unread.get(index).is_some_and(|unread| *unread) {
                let id = PartitionId { generation, index: index as u32 };
                let bytes = self.store.partition(self.key, id).await?;
                let bytes = bytes.ok_or_else(|| self.damaged(Damage::Missing, index))?;
                let content = Content::Partition { index: index as u32, bits: self.document.bits };
                self.open = Some(Unpacker::new(bytes, content).map_err(|damage| self.damaged(damage, index))?);
            }
        }
    }

    fn checked(&mut self, entry: Entry, index: usize) -> Result<(u128, Entry), Failure> {
        let hash = key_hash(&entry.key);
        let follows = match entry.kind {
            Kind::Kept | Kind::Released => Err(Damage::Order),
            _ => follow(hash, index, self.document.bits, &mut self.last),
        };
        follows.map_err(|damage| self.damaged(damage, index))?;
        Ok((hash, entry))
    }

    fn damaged(&self, damage: Damage, index: usize) -> Failure {
        let generation = self.document.partitions.get(index).copied().unwrap_or_default();
        damage.of(self.key, &format!("partition {index} of generation {generation}"))
    }
}

/// Refuses an entry that is not where its key hash belongs: in this partition, and not before the last one.
fn follow(hash: u128, index: usize, bits: u8, last: &mut u128) -> Result<(), Damage> {
    if prefix(hash, bits) as usize != index || hash < *last {
        return Err(Damage::Order);
    }
    *last = hash;
    Ok(())
}
