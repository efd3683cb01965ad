//! Which key wrote each record last. A record may pass from row to row: the row that stands for it now is sent, unless it was the last
//! that got there. Until that is acknowledged, whoever wrote the record before remembers it, also if its row has moved on or is gone.

use std::path::Path;

use backflow_core::code::Failure;

use super::damage::internal;
use super::entry::{put_number, take, take_number};
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
    /// The last claim that wrote it.
    epoch: u64,
}

impl Holders {
    /// Reads them from the state.
    pub(super) async fn read(mut state: StateReader<'_>, folder: &Path, usage: &Usage) -> Result<Self, Failure> {
        let mut holders = Spool::new(folder, BUCKETS, usage.clone())?;
        while let Some((key, entry)) = state.next().await? {
            // A group alone is no record that a row could take over.
            for wrote in entry.wrote().iter().filter(|wrote| wrote.memory.match_key.is_some()) {
                let record = matches::record(&wrote.memory);
                holders.push(bucket(record), |out| {
                    out.extend_from_slice(&record.to_le_bytes());
                    out.extend_from_slice(&key.to_le_bytes());
                    put_number(out, wrote.epoch);
                })?;
            }
        }
        Ok(Self(holders))
    }

    /// Hashes of the keys whose record another key has written since; in buckets of their own.
    pub(super) fn overwritten(&self, folder: &Path, usage: &Usage) -> Result<Spool, Failure> {
        let mut overwritten = Spool::new(folder, BUCKETS, usage.clone())?;
        for at in 0..BUCKETS {
            for same in self.bucket(at)?.chunk_by(|a, b| a.record == b.record) {
                let last = same.iter().map(|holder| holder.epoch).max();
                for holder in same.iter().filter(|holder| Some(holder.epoch) < last) {
                    overwritten.push(bucket(holder.key), |out| out.extend_from_slice(&holder.key.to_le_bytes()))?;
                }
            }
        }
        Ok(overwritten)
    }

    /// Hashes of the keys of current rows whose record another key wrote last; in buckets of their own.
    pub(super) fn contested(&self, rows: &Matches, folder: &Path, usage: &Usage) -> Result<Spool, Failure> {
        let mut contested = Spool::new(folder, BUCKETS, usage.clone())?;
        for at in 0..BUCKETS {
            let holders = self.bucket(at)?;
            for (record, owner) in rows.owners(at)? {
                let from = holders.partition_point(|holder| holder.record < record);
                let same = holders[from..].iter().take_while(|holder| holder.record == record);
                let own = same.clone().find(|holder| holder.key == owner).map(|holder| holder.epoch);
                let last = same.filter(|holder| holder.key != owner).map(|holder| holder.epoch).max();
                if last > own {
                    contested.push(bucket(owner), |out| out.extend_from_slice(&owner.to_le_bytes()))?;
                }
            }
        }
        Ok(contested)
    }

    /// For each record of a bucket that a key with this hash does not hold alone: the last claim by which another key wrote it.
    pub(super) fn last_writers(&self, at: usize) -> Result<Vec<(u128, u128, u64)>, Failure> {
        let mut last = Vec::new();
        for same in self.bucket(at)?.chunk_by(|a, b| a.record == b.record).filter(|same| same.len() > 1) {
            let latest = |but: Option<u128>| {
                let others = same.iter().filter(|holder| Some(holder.key) != but);
                others.max_by_key(|holder| holder.epoch).map(|holder| (holder.key, holder.epoch))
            };
            let Some((first, epoch)) = latest(None) else { continue };
            let second = latest(Some(first)).map_or(0, |(_, epoch)| epoch);
            last.extend(same.iter().map(|one| (one.record, one.key, if one.key == first { second } else { epoch })));
        }
        Ok(last)
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
        Some(Self { record, key, epoch: take_number(input)? })
    }
}

fn damaged() -> Failure {
    internal("a record in scratch cannot be read back")
}
