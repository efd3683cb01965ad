//! What changed: the rows of the model beside the entries of the state, both in the order of key hash and key.

use std::collections::{BTreeSet, HashSet};

use backflow_core::change::Key;
use backflow_core::code::Failure;
use backflow_core::extraction::Findings;
use backflow_core::plan::SyncPlan;
use backflow_core::report::Stage;

use super::ahead::Entries;
use super::changes::Changes;
use super::damage::{Damage, internal};
use super::document::Document;
use super::entry::{Entry, Kind, put_bytes};
use super::extract::IndexRow;
use super::hash::key_hash;
use super::known::Known;
use super::layout::Layout;
use super::leaving::{Leaving, offer};
use super::listed::{Listed, Of};
use super::matches::{self, Records};
use super::payload::Place;
use super::progress::Meter;
use super::replay::Chosen;
use super::spool::{BUCKETS, Spool};
use super::stored::{Overlay, StateReader};

/// Above this many rejected keys that are offered again, every acknowledged key is taken off the list of rejects.
pub(super) const MAX_REMEMBERED: usize = 100_000;

/// How long a tombstone keeps the `rev` of a deleted key, in seconds.
pub(super) const TOMBSTONE_SECONDS: u64 = 7 * 24 * 3600;

/// What a comparison found, besides the changes.
#[derive(Default)]
pub(super) struct Found {
    pub findings: Findings,
    /// Entries of any kind.
    pub entries: u64,
    /// Specs that entries still refer to.
    pub specs: BTreeSet<u32>,
    /// Partitions that hold tombstones which have served their time.
    pub expired: BTreeSet<usize>,
    /// Key hashes of rejected entries that are offered again; `None`: too many to remember.
    pub rejected: Option<HashSet<u128>>,
    /// Of [`Findings::superseded`], keys that were known.
    pub superseded_known: u64,
}

/// The rules of one run.
pub(super) struct Compare<'a> {
    pub plan: &'a SyncPlan,
    pub state_key: &'a str,
    pub document: &'a Document,
    pub layout: &'a Layout,
    /// The rows of a Replay: no other change is looked for.
    pub chosen: Option<&'a Chosen>,
    /// The first claim of the run: what a pod of it rejected is counted as rejected, and not as left out beside.
    pub first_epoch: u64,
    /// Unix seconds.
    pub now: u64,
    pub scratch_full: bool,
}

/// What a comparison reads.
pub(super) struct From<'a> {
    /// The rows that are not as they were delivered, as far as that was seen.
    pub index: Spool,
    pub listed: u64,
    /// The rows that are.
    pub known: Known,
    /// The entries.
    pub state: StateReader<'a>,
    /// The records that rows stand for; `None`: by primary key alone.
    pub records: Option<Records>,
}

/// Where a comparison puts what it finds.
pub(super) struct Into<'a> {
    pub changes: &'a mut Changes,
    /// Entries that move without being sent: hashes made anew, rejections that no longer matter. Not journaled: found again after a crash.
    pub upkeep: &'a mut Overlay,
    /// Keys (JSON) that are no longer rejected.
    pub cleared: &'a mut Spool,
    /// Records that may have to go.
    pub leaving: Option<Leaving>,
    /// Records that a key wrote before are taken back: only a Mirror does.
    pub takes_back: bool,
}

/// What there is to a row beside its content.
#[derive(Clone, Copy, Default)]
pub(super) struct Standing {
    /// A row with a greater key stands for its record.
    pub duplicate: bool,
    /// Another key wrote its record last.
    pub contested: bool,
}

pub(super) type Indexed<'a> = (u128, IndexRow<'a>);

/// The rows of a key.
#[derive(Clone, Copy)]
pub(super) struct Rows<'b, 'a> {
    /// Those in scratch.
    pub listed: &'b [Indexed<'a>],
    /// How many are not there, because they are as they were delivered: one at most.
    pub unlisted: u64,
}

impl Compare<'_> {
    /// Goes through rows and entries once, then through the records that may have to go. Partitions without any change are not read.
    pub(super) async fn run(&self, from: From<'_>, mut into: Into<'_>, meter: &mut Meter) -> Result<Found, Failure> {
        let From { index, listed, known, state, records } = from;
        let mut found = Found { rejected: Some(HashSet::new()), ..Found::default() };
        let (state, quiet) = state.without(known.quiet());
        for entries in quiet.iter().enumerate().filter(|(_, quiet)| **quiet).map(|(at, _)| known.entries(at)) {
            found.entries += entries;
            found.findings.known += entries;
            found.specs.insert(self.document.spec);
        }
        let mut entries = Entries { state, spec: self.document.spec, known: &known, next: None };
        entries.advance(0, &mut found).await?;
        let mut done = 0;
        for bucket in 0..BUCKETS {
            let (duplicates, contested) = match &records {
                Some(Records { duplicates, contested, .. }) => (
                    matches::hashes(duplicates, bucket)?,
                    contested.as_ref().map_or(Ok(Vec::new()), |contested| matches::hashes(contested, bucket))?,
                ),
                None => (Vec::new(), Vec::new()),
            };
            for bytes in index.parts(bucket, |input, parts| IndexRow::part(input, self.layout, parts))? {
                let bytes = bytes?;
                let sorted = self.sorted(&bytes)?;
                for group in sorted.chunk_by(|a, b| a.0 == b.0 && a.1.key == b.1.key) {
                    let Some((hash, row)) = group.first() else { continue };
                    while let Some(lone) = entries.next.take_if(|(at, entry)| (*at, &*entry.key) < (*hash, row.key)) {
                        self.unlisted(lone, &known, &mut into, &mut found)?;
                        entries.advance(*hash, &mut found).await?;
                    }
                    let standing = Standing {
                        duplicate: duplicates.binary_search(hash).is_ok() && !fault!(DuplicateIsSent),
                        contested: contested.binary_search(hash).is_ok() && !fault!(LastWriterIsForgotten),
                    };
                    match entries.next.take_if(|(at, entry)| (*at, &*entry.key) == (*hash, row.key)) {
                        Some((at, met)) => {
                            let rows = Rows { listed: group, unlisted: known.has_met(at, &met).into() };
                            self.met(rows, standing, met, &mut into, &mut found)?;
                            entries.advance(0, &mut found).await?;
                        }
                        None => self.first_seen(group, standing, &mut into, &mut found)?,
                    }
                }
                done += sorted.len() as u64;
                meter.at(Stage::Comparing, done, listed);
                tokio::task::yield_now().await;
            }
        }
        while let Some(lone) = entries.next.take() {
            self.unlisted(lone, &known, &mut into, &mut found)?;
            entries.advance(u128::MAX, &mut found).await?;
        }
        if let (Some(records), Some(leaving)) = (&records, into.leaving.take()) {
            leaving.resolve(records, (self.document.spec, self.now), &mut into, &mut found)?;
        }
        Ok(found)
    }

    fn sorted<'b>(&self, bytes: &'b [u8]) -> Result<Vec<Indexed<'b>>, Failure> {
        let mut input = bytes;
        let mut rows = Vec::new();
        while !input.is_empty() {
            let row = IndexRow::decode(&mut input, self.layout);
            let row = row.ok_or_else(|| internal("a row in scratch cannot be read back"))?;
            rows.push((key_hash(row.key), row));
        }
        rows.sort_unstable_by(|(a, left), (b, right)| a.cmp(b).then_with(|| left.key.cmp(right.key)));
        Ok(rows)
    }

    /// Rows of a key that has no entry.
    fn first_seen(
        &self,
        group: &[Indexed<'_>],
        standing: Standing,
        into: &mut Into<'_>,
        found: &mut Found,
    ) -> Result<(), Failure> {
        let Some(row) = single(Rows { listed: group, unlisted: 0 }, found).filter(|row| row.place != Place::NONE)
        else {
            return Ok(());
        };
        if let Some(chosen) = self.chosen
            && !chosen.key(row.key)?
        {
            return Ok(());
        }
        let listed = Listed::new(Of::Row(row.place), row.hash(0), self.document.rev_floor);
        offer(&Listed { duplicate: standing.duplicate, ..listed }, into, found)
    }

    /// An entry without a row in scratch.
    fn unlisted(
        &self,
        (at, entry): (u128, Entry),
        known: &Known,
        into: &mut Into<'_>,
        found: &mut Found,
    ) -> Result<(), Failure> {
        let (true, Kind::Delivered(hash) | Kind::Seen(hash)) = (known.has_met(at, &entry), entry.kind) else {
            return self.gone(entry, into, found);
        };
        self.count(&entry, found)?;
        if self.chosen.is_some() { Ok(()) } else { self.unchanged(hash, entry, into) }
    }

    pub(super) fn count(&self, entry: &Entry, found: &mut Found) -> Result<(), Failure> {
        found.entries += 1;
        if entry.is_known() {
            found.findings.known += 1;
            if !self.document.specs.contains_key(&entry.spec) {
                return Err(Damage::Spec.of(self.state_key, "an entry"));
            }
            found.specs.insert(entry.spec);
        }
        if let Some(doubt) = &entry.doubt {
            found.specs.insert(doubt.spec);
        }
        Ok(())
    }
}

/// The row of a key, if it has one only.
pub(super) fn single<'a>(rows: Rows<'_, 'a>, found: &mut Found) -> Option<IndexRow<'a>> {
    match rows {
        Rows { listed: [(_, row)], unlisted: 0 } => Some(*row),
        Rows { listed, unlisted } => {
            found.findings.invalid_duplicate_key += listed.len() as u64 + unlisted;
            None
        }
    }
}

/// Notes that a key is no longer rejected.
pub(super) fn clear(key: &[u8], into: &mut Into<'_>) -> Result<(), Failure> {
    let key = Key::decode(key).ok_or_else(|| internal("a key of the state cannot be read"))?;
    let mut json = String::new();
    key.write_json(&mut json);
    into.cleared.push(0, |out| put_bytes(out, json.as_bytes()))
}

/// Whether a tombstone has served its time.
pub(super) fn expired(at: u64, now: u64) -> bool {
    at.saturating_add(TOMBSTONE_SECONDS) <= now
}
