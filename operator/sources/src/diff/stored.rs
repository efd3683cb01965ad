//! The state's entries in the order of key hash and key: partitions, with the journal laid over them.

use std::cmp::Ordering;
use std::iter::Peekable;
use std::path::Path;
use std::vec::IntoIter;

use backflow_core::code::Failure;
use backflow_core::state::{PartitionId, StateStore};

use super::damage::{Damage, internal};
use super::document::Document;
use super::entry::{Entry, Kind};
use super::hash::{key_hash, prefix};
use super::packed::{Content, Unpacker};
use super::spool::{BUCKETS, Spool, Usage};

/// Journal entries since the last fold, in scratch: bounded in memory, however long the journal.
pub(super) struct Overlay {
    spool: Spool,
    bits: u8,
    /// Partitions that have entries here.
    touched: Vec<bool>,
    /// How many entries were laid.
    entries: u64,
}

impl Overlay {
    pub(super) fn new(folder: &Path, usage: Usage, bits: u8) -> Result<Self, Failure> {
        Ok(Self { spool: Spool::new(folder, BUCKETS, usage)?, bits, touched: vec![false; 1 << bits], entries: 0 })
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
        let hash = key_hash(&entry.key);
        self.touched[prefix(hash, self.bits) as usize] = true;
        self.entries += 1;
        self.spool.push(prefix(hash, BUCKETS.ilog2() as u8) as usize, |out| entry.encode(out))
    }

    /// Lays everything of another overlay, of the same bits, over this one.
    pub(super) fn absorb(&mut self, other: &Self) -> Result<(), Failure> {
        for bucket in (0..BUCKETS).filter(|bucket| !other.spool.is_empty(*bucket)) {
            let records = other.spool.read(bucket)?;
            self.spool.push(bucket, |out| out.extend_from_slice(&records))?;
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

    /// A bucket's entries by key hash and key, those of one key in the order they were laid.
    fn read(&self, bucket: usize) -> Result<Vec<(u128, Entry)>, Failure> {
        let bytes = self.spool.read(bucket)?;
        let mut input = bytes.as_slice();
        let mut entries = Vec::new();
        while !input.is_empty() {
            let entry =
                Entry::decode(&mut input).ok_or_else(|| internal("a journal entry in scratch cannot be read back"))?;
            entries.push((key_hash(&entry.key), entry));
        }
        entries.sort_by(|(a, left), (b, right)| a.cmp(b).then_with(|| left.key.cmp(&right.key)));
        Ok(entries)
    }
}

/// Reads a state from the first entry to the last: at any time, one partition and one bucket of the overlay are in memory.
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
    laid: Peekable<IntoIter<(u128, Entry)>>,
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
            laid: Vec::new().into_iter().peekable(),
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
        if self.base.is_none() {
            self.base = self.next_base().await?;
        }
        while self.laid.peek().is_none() && self.bucket < BUCKETS {
            self.laid = self.overlay.read(self.bucket)?.into_iter().peekable();
            self.bucket += 1;
        }
        let order = match (&self.base, self.laid.peek()) {
            (None, None) => return Ok(None),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((a, left)), Some((b, right))) => a.cmp(b).then_with(|| left.key.cmp(&right.key)),
        };
        if order == Ordering::Less {
            return Ok(self.base.take());
        }
        let mut entry = if order == Ordering::Equal { self.base.take() } else { None };
        while let Some((hash, laid)) =
            self.laid.next_if(|(_, laid)| entry.as_ref().is_none_or(|(_, entry)| entry.key == laid.key))
        {
            entry = Some((hash, laid.apply(entry.map(|(_, entry)| entry))));
        }
        Ok(entry)
    }

    async fn next_base(&mut self) -> Result<Option<(u128, Entry)>, Failure> {
        loop {
            if let Some(open) = &mut self.open {
                let index = self.partition - 1;
                let entry = open.next().map_err(|damage| self.damaged(damage, index))?;
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
        if prefix(hash, self.document.bits) as usize != index
            || hash < self.last
            || matches!(entry.kind, Kind::Kept | Kind::Released)
        {
            return Err(self.damaged(Damage::Order, index));
        }
        self.last = hash;
        Ok((hash, entry))
    }

    fn damaged(&self, damage: Damage, index: usize) -> Failure {
        let generation = self.document.partitions.get(index).copied().unwrap_or_default();
        damage.of(self.key, &format!("partition {index} of generation {generation}"))
    }
}
