//! Records of the destination that no row of their key stands for any more: its key is gone, or its row has another match or group
//! key now. Whether they go is known when all rows are: a record that another row stands for stays.

use std::path::Path;

use backflow_core::change::Memory;
use backflow_core::code::Failure;

use super::compare::{Found, Into, clear};
use super::damage::internal;
use super::entry::{Entry, Kind};
use super::hash::key_hash;
use super::listed::{Listed, Of};
use super::matches::{Matches, bucket};
use super::spool::{BUCKETS, Spool, Usage};

/// The list, by record.
pub(super) struct Leaving(Spool);

impl Leaving {
    pub(super) fn new(folder: &Path, usage: &Usage) -> Result<Self, Failure> {
        Ok(Self(Spool::new(folder, BUCKETS, usage.clone())?))
    }

    /// Lists a record, its deletion, and what is to be sent of the key's row once the record is gone.
    pub(super) fn push(&mut self, record: u128, deletion: &Listed, row: Option<&Listed>) -> Result<(), Failure> {
        self.0.push(bucket(record), |out| {
            out.extend_from_slice(&record.to_le_bytes());
            out.push(u8::from(row.is_some()));
            deletion.encode(out);
            if let Some(row) = row {
                row.encode(out);
            }
        })
    }

    /// Decides. `spec` and `now`: of the tombstones of records that stay.
    pub(super) fn resolve(
        &self,
        matches: &Matches,
        (spec, now): (u32, u64),
        into: &mut Into<'_>,
        found: &mut Found,
    ) -> Result<(), Failure> {
        for at in (0..BUCKETS).filter(|at| !self.0.is_empty(*at)) {
            let alive = matches.alive(at)?;
            let bytes = self.0.read(at)?;
            let mut input = bytes.as_slice();
            while let Some((record, rest)) = input.split_first_chunk() {
                input = rest;
                let stays = alive.binary_search(&u128::from_le_bytes(*record)).is_ok();
                let (deletion, row) = read(&mut input).ok_or_else(damaged)?;
                match (row, stays) {
                    (None, false) => offer_deletion(&deletion, into, found)?,
                    (None, true) => {
                        let Of::Key(key) = deletion.of else { return Err(damaged()) };
                        found.findings.superseded += 1;
                        found.superseded_known += u64::from(deletion.known);
                        clear(&key, into)?;
                        into.upkeep.push(&Entry::new(key, deletion.rev, spec, Kind::Tombstone(now)))?;
                    }
                    (Some(row), false) => {
                        let Of::Key(key) = &deletion.of else { return Err(damaged()) };
                        let key = key_hash(key);
                        offer_deletion(&deletion, into, found)?;
                        found.findings.rekeyed += 1;
                        found.findings.added += 1;
                        found.findings.doubtful += u64::from(row.doubtful);
                        into.changes.add_after_deletion(key, &row)?;
                    }
                    (Some(row), true) => offer(&row, into, found)?,
                }
            }
        }
        Ok(())
    }
}

/// Offers a deletion.
pub(super) fn offer_deletion(deletion: &Listed, into: &mut Into<'_>, found: &mut Found) -> Result<(), Failure> {
    found.findings.deleted += 1;
    found.findings.deleted_unsent += u64::from(deletion.unsent);
    found.findings.doubtful += u64::from(deletion.doubtful);
    into.changes.delete(deletion)
}

/// Offers an update or an addition.
pub(super) fn offer(row: &Listed, into: &mut Into<'_>, found: &mut Found) -> Result<(), Failure> {
    found.findings.doubtful += u64::from(row.doubtful);
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

fn read(input: &mut &[u8]) -> Option<(Listed, Option<Listed>)> {
    let (kind, rest) = input.split_first()?;
    *input = rest;
    let deletion = Listed::decode(input)?;
    let row = if *kind == 0 { None } else { Some(Listed::decode(input)?) };
    Some((deletion, row))
}

fn damaged() -> Failure {
    internal("a record in scratch cannot be read back")
}
