//! What the journal says of rows before anything is handed out: a record that another key wrote is theirs to write now. If they are
//! never sent, whoever follows knows of it.

use std::path::Path;

use backflow_core::code::Failure;

use super::damage::internal;
use super::entry::{Doubt, Entry};
use super::hash::key_hash;
use super::holders::Wrote;
use super::matches::{self, bucket};
use super::spool::{BUCKETS, Spool, Usage};

/// Marks in scratch.
pub(super) struct Dues {
    /// The claim that makes them, and its spec.
    claim: (u64, u32),
    now: Spool,
    /// Of rows whose record before has to be deleted first, by key hash.
    after: Spool,
    /// The records that those are to write, and those of rows that cannot be sent.
    waiting: Spool,
}

impl Dues {
    pub(super) fn new(folder: &Path, usage: &Usage, claim: (u64, u32)) -> Result<Self, Failure> {
        let spool = |buckets| Spool::new(folder, buckets, usage.clone());
        Ok(Self { claim, now: spool(1)?, after: spool(BUCKETS)?, waiting: spool(BUCKETS)? })
    }

    /// Marks a key: something that is found like this was written by another.
    pub(super) fn now(&mut self, key: &[u8], wrote: &Wrote) -> Result<(), Failure> {
        let mark = self.mark(key, wrote);
        self.now.push(0, |out| mark.encode(out))
    }

    /// The same, once the deletion of the key's record before is acknowledged.
    pub(super) fn after_deletion(&mut self, key: &[u8], wrote: &Wrote) -> Result<(), Failure> {
        let mark = self.mark(key, wrote);
        self.after.push(bucket(key_hash(key)), |out| mark.encode(out))?;
        self.wait(wrote)
    }

    /// Says that nobody writes a record yet.
    pub(super) fn wait(&mut self, wrote: &Wrote) -> Result<(), Failure> {
        let record = matches::record(&wrote.memory);
        self.waiting.push(bucket(record), |out| out.extend_from_slice(&record.to_le_bytes()))
    }

    /// It differs from whatever the row is sent as, so that it never comes with a key that was used.
    fn mark(&self, key: &[u8], wrote: &Wrote) -> Entry {
        let (epoch, spec) = self.claim;
        let (earlier, memory) = (Some(wrote.epoch), wrote.memory.clone());
        Entry::mark(key.into(), Doubt { epoch, rev: epoch, deletion: false, earlier, hash: 0, spec, memory })
    }

    /// Records of a bucket that nobody writes yet, ascending.
    pub(super) fn waiting(&self, bucket: usize) -> Result<Vec<u128>, Failure> {
        matches::hashes(&self.waiting, bucket)
    }

    /// The marks to begin with, a bounded number at a time; `None`: no more.
    pub(super) fn block(&self, block: usize) -> Result<Option<Vec<Entry>>, Failure> {
        self.now.block(0, block)?.map(|bytes| read(&bytes)).transpose()
    }

    /// The marks of a bucket's keys whose deletion is acknowledged. `freed`: their hashes, ascending.
    pub(super) fn freed(&self, bucket: usize, freed: &[[u8; 16]]) -> Result<Vec<Entry>, Failure> {
        if self.after.is_empty(bucket) {
            return Ok(Vec::new());
        }
        let mut marks = read(&self.after.read(bucket)?)?;
        marks.retain(|mark| freed.binary_search(&key_hash(&mark.key).to_le_bytes()).is_ok());
        Ok(marks)
    }
}

fn read(bytes: &[u8]) -> Result<Vec<Entry>, Failure> {
    let mut input = bytes;
    let mut all = Vec::new();
    while !input.is_empty() {
        all.push(Entry::decode(&mut input).ok_or_else(|| internal("a mark in scratch cannot be read back"))?);
    }
    Ok(all)
}
