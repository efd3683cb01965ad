//! What a delta holds, in numbers.

use std::collections::BTreeSet;

use backflow_core::code::Failure;
use backflow_core::extraction::{Findings, Resend};

use super::super::damage::internal;
use super::codes::entry;

/// Numbers of a delta, and of the entries that it was made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Summary {
    pub findings: Findings,
    /// Entries that move without a message.
    pub quiet: u64,
    /// Of those, rejections to take off the list.
    pub cleared: u64,
    /// Specs that entries refer to.
    pub specs: BTreeSet<u32>,
    /// Tombstones that have served their time.
    pub expired: u64,
    /// They were deleted then or before, in Unix seconds.
    pub expired_before: i64,
    /// The greatest `rev` of those.
    pub expired_rev: u64,
    /// Bytes of the largest row that is a change.
    pub size: u64,
    /// Bytes of the largest key of a change.
    pub key_size: u64,
    /// Of [`Findings::superseded`], keys that were known.
    pub superseded_known: u64,
    /// Known keys that the head says, and those that there are, if entries moved and the head did not any more: then nothing is wrong.
    pub moved: Option<(u64, u64)>,
    /// Some key has an unchanged row and another, which only the slower statement finds.
    pub hidden_duplicates: bool,
}

impl Summary {
    /// Reads the rows of [`super::dialect::Dialect::summary`].
    pub(super) fn read(rows: &[Vec<i64>]) -> Result<Self, Failure> {
        let mut summary = Self::default();
        let (mut known, mut met, mut gone, mut unchanged) = (0, 0, 0, 0);
        for row in rows {
            match row.as_slice() {
                [
                    0,
                    rows,
                    deleted,
                    updated,
                    added,
                    deleted_unsent,
                    still_rejected,
                    null_key,
                    duplicate_key,
                    quiet,
                    cleared,
                    doubtful,
                    mapping_changed,
                    full,
                    replay,
                    rekeyed,
                    superseded,
                    superseded_known,
                    of_model,
                    of_model_known,
                    gone_known,
                    size,
                    key_size,
                ] => {
                    summary.findings = Findings {
                        rows: *rows as u64,
                        added: *added as u64,
                        updated: *updated as u64,
                        deleted: *deleted as u64,
                        deleted_unsent: *deleted_unsent as u64,
                        invalid_null_key: *null_key as u64,
                        invalid_duplicate_key: *duplicate_key as u64,
                        still_rejected: *still_rejected as u64,
                        doubtful: *doubtful as u64,
                        rekeyed: *rekeyed as u64,
                        superseded: *superseded as u64,
                        resend: match (mapping_changed, full, replay) {
                            (1.., ..) => Some(Resend::MappingChanged),
                            (_, 1.., _) => Some(Resend::Full),
                            (_, _, 1..) => Some(Resend::Replay),
                            _ => None,
                        },
                        ..Findings::default()
                    };
                    summary.quiet = *quiet as u64;
                    summary.superseded_known = *superseded_known as u64;
                    summary.cleared = *cleared as u64;
                    summary.size = *size as u64;
                    summary.key_size = *key_size as u64;
                    (met, gone, unchanged) = (*of_model_known, *gone_known, rows - of_model);
                }
                [1, kind, spec, doubt_spec, count, expired, rev] => {
                    summary.specs.extend(u32::try_from(*doubt_spec));
                    if *kind <= entry::SEEN {
                        known += count;
                        summary.specs.insert(*spec as u32);
                    }
                    summary.expired += *expired as u64;
                    summary.expired_rev = summary.expired_rev.max(*rev as u64);
                }
                [2, before, after] => summary.moved = u64::try_from(*before).ok().zip(u64::try_from(*after).ok()),
                _ => return Err(internal("the warehouse counted something else than it was asked")),
            }
        }
        summary.findings.known = known as u64;
        // Rows that met a known entry, and known entries that met a row: `unchanged` rows are unchanged, so each of them met one. More rows
        // than entries: two rows met the same.
        summary.hidden_duplicates = unchanged + met > known - gone;
        Ok(summary)
    }

    /// The same of a delta that was made of what this is about: the rows that are no change are counted there only.
    pub(super) fn resolved(self, delta: Self) -> Self {
        let Findings { rows, known, invalid_null_key, invalid_duplicate_key, .. } = self.findings;
        let findings = Findings { rows, known, invalid_null_key, invalid_duplicate_key, ..delta.findings };
        Self { findings, size: self.size, key_size: self.key_size, ..delta }
    }
}
