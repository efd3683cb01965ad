//! Records of the destination that no row of their key stands for any more: its key is gone, or its row has another match or group
//! key now. Whether they go is known when all rows are: a record that another row stands for stays.

use std::path::Path;

use backflow_core::change::Memory;
use backflow_core::code::Failure;

use super::compare::{Found, Into, clear};
use super::damage::internal;
use super::entry::{Entry, Kind, Wrote, put_bytes, put_wrote, take, take_bytes, take_wrote};
use super::hash::key_hash;
use super::holders::Holders;
use super::listed::{Listed, Of};
use super::matches::{Matches, Records, bucket};
use super::spool::{BUCKETS, Spool, Usage};

/// The lists, by record.
pub(super) struct Leaving {
    /// Of rows that stand for another record now.
    moved: Spool,
    /// Of keys that are gone.
    gone: Spool,
    /// That keys wrote before the one that they wrote last.
    before: Spool,
}

impl Leaving {
    pub(super) fn new(folder: &Path, usage: &Usage) -> Result<Self, Failure> {
        let spool = || Spool::new(folder, BUCKETS, usage.clone());
        Ok(Self { moved: spool()?, gone: spool()?, before: spool()? })
    }

    /// Lists the record of a key that is gone, and its deletion.
    pub(super) fn gone(&mut self, record: u128, deletion: &Listed) -> Result<(), Failure> {
        self.gone.push(bucket(record), |out| {
            out.extend_from_slice(&record.to_le_bytes());
            deletion.encode(out);
        })
    }

    /// Lists the record that a row stood for, its deletion, and what is to be sent of the row once the record is gone.
    pub(super) fn moved(&mut self, record: u128, deletion: &Listed, row: &Listed) -> Result<(), Failure> {
        self.moved.push(bucket(record), |out| {
            out.extend_from_slice(&record.to_le_bytes());
            deletion.encode(out);
            row.encode(out);
        })
    }

    /// Lists a record that a key wrote before.
    pub(super) fn before(&mut self, record: u128, key: &[u8], wrote: &Wrote) -> Result<(), Failure> {
        self.before.push(bucket(record), |out| {
            out.extend_from_slice(&record.to_le_bytes());
            put_bytes(out, key);
            put_wrote(wrote, out);
        })
    }

    /// Decides. `spec` and `now`: of the tombstones of records that stay.
    pub(super) fn resolve(
        &self,
        records: &Records,
        tombstone: (u32, u64),
        into: &mut Into<'_>,
        found: &mut Found,
    ) -> Result<(), Failure> {
        self.resolve_moved(&records.matches, into, found)?;
        self.resolve_gone(&records.matches, tombstone, into, found)?;
        match &records.holders {
            Some(holders) => self.resolve_before(&records.matches, holders, into, found),
            None => Ok(()),
        }
    }

    fn resolve_moved(&self, matches: &Matches, into: &mut Into<'_>, found: &mut Found) -> Result<(), Failure> {
        for at in (0..BUCKETS).filter(|at| !self.moved.is_empty(*at)) {
            let alive = matches.alive(at)?;
            for block in self.moved.blocks(at) {
                for Moved { record, deletion, row } in read(&block?, Moved::decode)? {
                    let Of::Key(key) = &deletion.of else { return Err(damaged()) };
                    if stays(record, &alive) {
                        offer(&row, into, found)?;
                        continue;
                    }
                    offer_deletion(&deletion, into, found)?;
                    found.findings.rekeyed += 1;
                    found.findings.added += 1;
                    found.findings.doubtful += u64::from(row.doubtful.is_some());
                    into.changes.add_after_deletion(key_hash(key), &row)?;
                }
            }
        }
        Ok(())
    }

    fn resolve_gone(
        &self,
        matches: &Matches,
        (spec, now): (u32, u64),
        into: &mut Into<'_>,
        found: &mut Found,
    ) -> Result<(), Failure> {
        for at in (0..BUCKETS).filter(|at| !self.gone.is_empty(*at)) {
            let alive = matches.alive(at)?;
            for block in self.gone.blocks(at) {
                for (record, deletion) in read(&block?, gone)? {
                    if !stays(record, &alive) {
                        offer_deletion(&deletion, into, found)?;
                        continue;
                    }
                    let Of::Key(key) = deletion.of else { return Err(damaged()) };
                    found.findings.superseded += 1;
                    clear(&key, into)?;
                    // Whoever stands for it now may not get to write it: the tombstone remembers it until somebody has.
                    found.superseded_known += u64::from(deletion.known);
                    into.upkeep.push(&Entry::new(key, deletion.rev, spec, Kind::Tombstone(now)))?;
                }
            }
        }
        Ok(())
    }

    fn resolve_before(
        &self,
        matches: &Matches,
        holders: &Holders,
        into: &mut Into<'_>,
        found: &mut Found,
    ) -> Result<(), Failure> {
        for at in (0..BUCKETS).filter(|at| !self.before.is_empty(*at)) {
            let alive = matches.alive(at)?;
            let last = holders.last_writers(at)?;
            for block in self.before.blocks(at) {
                for (record, key, wrote) in read(&block?, before)? {
                    let holder = (record, key_hash(&key));
                    let written = last.binary_search_by_key(&holder, |(record, key, _)| (*record, *key)).ok();
                    let by_another =
                        written.is_some_and(|at| last[at].2 > wrote.epoch) && wrote.memory.match_key.is_some();
                    if by_another || !into.takes_back {
                        into.upkeep.push(&Entry::release(key, wrote.memory))?;
                    } else if !stays(record, &alive) {
                        // By record and claim: the deletion of what was written there later is another one.
                        let listed = Listed::new(Of::Key(key), record as u64, wrote.epoch);
                        offer_deletion(&Listed { extra: true, memory: wrote.memory, ..listed }, into, found)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Whether a current row stands for a record.
fn stays(record: u128, alive: &[u128]) -> bool {
    alive.binary_search(&record).is_ok() && !fault!(DeletesTheLiving)
}

/// Offers a deletion.
pub(super) fn offer_deletion(deletion: &Listed, into: &mut Into<'_>, found: &mut Found) -> Result<(), Failure> {
    found.findings.deleted += 1;
    found.findings.deleted_unsent += u64::from(deletion.unsent);
    found.findings.doubtful += u64::from(deletion.doubtful.is_some());
    into.changes.delete(deletion)
}

/// Offers an update or an addition.
pub(super) fn offer(row: &Listed, into: &mut Into<'_>, found: &mut Found) -> Result<(), Failure> {
    found.findings.doubtful += u64::from(row.doubtful.is_some());
    if row.known {
        found.findings.updated += 1;
        into.changes.update(row)
    } else {
        found.findings.added += 1;
        into.changes.add(row)
    }
}

/// A row whose record is another one than before: what the destination said of that is not about this one.
pub(super) fn elsewhere(row: Listed) -> Listed {
    Listed { memory: Memory::default(), ..row }
}

/// A row that stands for another record now.
struct Moved {
    record: u128,
    deletion: Listed,
    row: Listed,
}

impl Moved {
    fn decode(input: &mut &[u8]) -> Option<Self> {
        let (record, deletion) = gone(input)?;
        Some(Self { record, deletion, row: Listed::decode(input)? })
    }
}

/// A record that a key wrote before.
fn before(input: &mut &[u8]) -> Option<(u128, Box<[u8]>, Wrote)> {
    let record = u128::from_le_bytes(take(input, 16)?.try_into().ok()?);
    Some((record, take_bytes(input)?.into(), take_wrote(input)?))
}

/// A record, and its deletion.
fn gone(input: &mut &[u8]) -> Option<(u128, Listed)> {
    let record = u128::from_le_bytes(take(input, 16)?.try_into().ok()?);
    Some((record, Listed::decode(input)?))
}

fn read<T>(bytes: &[u8], decode: impl Fn(&mut &[u8]) -> Option<T>) -> Result<Vec<T>, Failure> {
    let mut input = bytes;
    let mut all = Vec::new();
    while !input.is_empty() {
        all.push(decode(&mut input).ok_or_else(damaged)?);
    }
    Ok(all)
}

fn damaged() -> Failure {
    internal("a record in scratch cannot be read back")
}
