//! Which key wrote each record last. A record may pass from row to row: the row that stands for it now is sent, unless it was the last
//! that got there. Until that is acknowledged, its entry says so, also if it never had one: whoever wrote the record before may have
//! moved on by then.

use std::path::Path;

use backflow_core::change::Memory;
use backflow_core::code::Failure;

use super::damage::internal;
use super::entry::{Kind, put_memory, put_number, take, take_memory, take_number};
use super::matches::{self, Matches, bucket};
use super::spool::{BUCKETS, Spool, Usage};
use super::stored::StateReader;

/// Entries about records, by record.
pub(super) struct Holders(Spool);

/// An entry about a record.
struct Holder {
    record: u128,
    /// Hash of its key.
    key: u128,
    wrote: Wrote,
}

/// That a record was written, or may have been.
#[derive(Clone, Debug)]
pub(super) struct Wrote {
    /// The last claim that did.
    pub epoch: u64,
    /// What it is found by.
    pub memory: Memory,
}

/// Keys whose row stands for a record that another key wrote last, by key hash.
pub(super) struct Contested(Spool);

impl Holders {
    /// Reads them from the state.
    pub(super) async fn read(mut state: StateReader<'_>, folder: &Path, usage: &Usage) -> Result<Self, Failure> {
        let mut holders = Spool::new(folder, BUCKETS, usage.clone())?;
        while let Some((key, entry)) = state.next().await? {
            let memory = entry.last_memory();
            let record = matches::record(memory);
            let written = matches!(entry.kind, Kind::Delivered(_)) || entry.doubt.is_some();
            if !written || record == 0 {
                continue;
            }
            // Of a key that was rejected, the doubt knows, and `rev` is about the rejection.
            let epoch = match &entry.doubt {
                Some(doubt) if entry.rejected.is_some() || !entry.in_doubt() => doubt.epoch,
                Some(doubt) => doubt.epoch.max(entry.rev),
                None => entry.rev,
            };
            holders.push(bucket(record), |out| {
                out.extend_from_slice(&record.to_le_bytes());
                out.extend_from_slice(&key.to_le_bytes());
                put_wrote(&Wrote { epoch, memory: memory.clone() }, out);
            })?;
        }
        Ok(Self(holders))
    }

    /// Hashes of the keys whose record another key has written since; in buckets of their own.
    pub(super) fn overwritten(&self, folder: &Path, usage: &Usage) -> Result<Spool, Failure> {
        let mut overwritten = Spool::new(folder, BUCKETS, usage.clone())?;
        for at in 0..BUCKETS {
            for same in self.bucket(at)?.chunk_by(|a, b| a.record == b.record) {
                let last = same.iter().map(|holder| holder.wrote.epoch).max();
                for holder in same.iter().filter(|holder| Some(holder.wrote.epoch) < last) {
                    overwritten.push(bucket(holder.key), |out| out.extend_from_slice(&holder.key.to_le_bytes()))?;
                }
            }
        }
        Ok(overwritten)
    }

    /// The current rows whose record another key wrote last.
    pub(super) fn contested(&self, rows: &Matches, folder: &Path, usage: &Usage) -> Result<Contested, Failure> {
        let mut contested = Spool::new(folder, BUCKETS, usage.clone())?;
        for at in 0..BUCKETS {
            let holders = self.bucket(at)?;
            for (record, owner) in rows.owners(at)? {
                let from = holders.partition_point(|holder| holder.record < record);
                let same = holders[from..].iter().take_while(|holder| holder.record == record);
                let own = same.clone().find(|holder| holder.key == owner).map(|holder| holder.wrote.epoch);
                let last = same.filter(|holder| holder.key != owner).max_by_key(|holder| holder.wrote.epoch);
                let Some(last) = last.filter(|last| own.is_none_or(|own| own < last.wrote.epoch)) else { continue };
                contested.push(bucket(owner), |out| {
                    out.extend_from_slice(&owner.to_le_bytes());
                    put_wrote(&last.wrote, out);
                })?;
            }
        }
        Ok(Contested(contested))
    }

    /// The holders of a bucket, by record.
    fn bucket(&self, at: usize) -> Result<Vec<Holder>, Failure> {
        let bytes = self.0.read(at)?;
        let mut input = bytes.as_slice();
        let mut holders = Vec::new();
        while !input.is_empty() {
            holders.push(Holder::decode(&mut input).ok_or_else(damaged)?);
        }
        holders.sort_unstable_by_key(|holder| (holder.record, holder.key));
        Ok(holders)
    }
}

impl Holder {
    fn decode(input: &mut &[u8]) -> Option<Self> {
        let mut hash = || take(input, 16)?.try_into().ok().map(u128::from_le_bytes);
        let (record, key) = (hash()?, hash()?);
        Some(Self { record, key, wrote: take_wrote(input)? })
    }
}

impl Contested {
    /// Those of a bucket, ascending.
    pub(super) fn bucket(&self, at: usize) -> Result<Vec<(u128, Wrote)>, Failure> {
        let bytes = self.0.read(at)?;
        let mut input = bytes.as_slice();
        let mut contested = Vec::new();
        while let Some((key, rest)) = input.split_first_chunk() {
            input = rest;
            contested.push((u128::from_le_bytes(*key), take_wrote(&mut input).ok_or_else(damaged)?));
        }
        contested.sort_unstable_by_key(|(key, _)| *key);
        Ok(contested)
    }
}

/// Appends the epoch, and the memory with the flags of its texts before it.
pub(super) fn put_wrote(wrote: &Wrote, out: &mut Vec<u8>) {
    put_number(out, wrote.epoch);
    let at = out.len();
    out.push(0);
    out[at] = put_memory(&wrote.memory, out);
}

/// The inverse of [`put_wrote`].
pub(super) fn take_wrote(input: &mut &[u8]) -> Option<Wrote> {
    let epoch = take_number(input)?;
    let flags = *take(input, 1)?.first()?;
    Some(Wrote { epoch, memory: take_memory(input, flags)? })
}

fn damaged() -> Failure {
    internal("a record in scratch cannot be read back")
}
