//! What changed: the rows of the model beside the entries of the state, both in the order of key hash and key.

use std::collections::{BTreeSet, HashSet};

use backflow_core::change::Key;
use backflow_core::code::Failure;
use backflow_core::extraction::{Findings, Resend};
use backflow_core::plan::{OnMappingChange, SyncPlan};
use backflow_core::report::Stage;
use backflow_core::selection::{Selection, SyncMode};

use super::changes::Changes;
use super::damage::{Damage, internal};
use super::document::Document;
use super::entry::{Doubt, Entry, Kind, Plain, Rejected, put_bytes};
use super::extract::IndexRow;
use super::hash::{key_hash, prefix};
use super::known::Known;
use super::layout::Layout;
use super::leaving::{Leaving, elsewhere, offer, offer_deletion};
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
struct Standing {
    /// A row with a greater key stands for its record.
    duplicate: bool,
    /// Another key wrote its record last.
    contested: bool,
}

type Indexed<'a> = (u128, IndexRow<'a>);

/// The rows of a key.
#[derive(Clone, Copy)]
struct Rows<'b, 'a> {
    /// Those in scratch.
    listed: &'b [Indexed<'a>],
    /// How many are not there, because they are as they were delivered: one at most.
    unlisted: u64,
}

/// The entries of the state, one ahead.
struct Entries<'a, 'k> {
    state: StateReader<'a>,
    /// The current one.
    spec: u32,
    known: &'k Known,
    next: Option<(u128, Entry)>,
}

impl Entries<'_, '_> {
    /// Goes on to the next entry. Those before `until`, where no row is in scratch, only count if their row was met as it was delivered.
    async fn advance(&mut self, until: u128, found: &mut Found) -> Result<(), Failure> {
        let mut passed = 0;
        let (spec, known) = (self.spec, self.known);
        let passes = |hash: u128, plain: &Plain<'_>| {
            let passes = hash < until && plain.spec == spec && known.has_met_row(hash, plain.hash);
            passed += u64::from(passes);
            passes
        };
        self.next = self.state.next_but(passes).await?;
        found.entries += passed;
        found.findings.known += passed;
        if passed > 0 {
            found.specs.insert(spec);
        }
        Ok(())
    }
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

    /// Rows of a key that has an entry.
    fn met(
        &self,
        rows: Rows<'_, '_>,
        Standing { duplicate, contested }: Standing,
        entry: Entry,
        into: &mut Into<'_>,
        found: &mut Found,
    ) -> Result<(), Failure> {
        self.count(&entry, found)?;
        let Some(row) = single(rows, found) else {
            return if fault!(DuplicateIsDeletion) { self.gone(entry, into, found) } else { Ok(()) };
        };
        self.left_behind(&entry, row.record, into)?;
        let hash = row.hash(0);
        let changed = match (self.chosen, entry.kind) {
            (Some(chosen), _) if !chosen.entry(&entry)? => return Ok(()),
            (Some(_), _) => {
                found.findings.resend = Some(Resend::Replay);
                true
            }
            (None, Kind::Delivered(before) | Kind::Seen(before)) => {
                let certain = !entry.in_doubt() && !contested && !duplicate && !entry.is_duplicate();
                self.changed(&row, before, &entry, found) || !certain
            }
            (None, _) => true,
        };
        if !changed {
            return self.unchanged(hash, entry, into);
        }
        if row.place == Place::NONE && !duplicate {
            // Taken for unchanged while it was read: one changed row in 10^22 is (see `Known`). It stays changed, and is not taken
            // for it again, because every claim has another salt.
            return Ok(());
        }
        let moved = self.moved(&row, &entry);
        if let Some(rejected) = &entry.rejected {
            if self.same_rejection(rejected, false) && rejected.hash == hash && duplicate == entry.is_duplicate() {
                self.left_out(&entry, found);
                return Ok(());
            }
            remember(key_hash(&entry.key), found);
        }
        let of = if row.place == Place::NONE { Of::Key(entry.key.clone()) } else { Of::Row(row.place) };
        let listed = Listed { duplicate, ..self.listed(of, hash, false, &entry, contested) };
        match moved {
            Some(record) => self.rekeyed(record, listed, entry, into, found),
            None => offer(&Listed { memory: entry.memory, ..listed }, into, found),
        }
    }

    /// The record that the row's key stood for, if it stands for another one now and a Mirror has to take the old one away.
    fn moved(&self, row: &IndexRow<'_>, entry: &Entry) -> Option<u128> {
        let mirror = self.plan.mapping.selection == Selection::SyncMode(SyncMode::Mirror);
        let sent = matches!(entry.kind, Kind::Delivered(_)) || entry.doubt.is_some();
        if !(mirror && sent && self.layout.identifies) || fault!(OldRecordStays) {
            return None;
        }
        let before = matches::record(entry.last_memory());
        (before != 0 && before != row.record).then_some(before)
    }

    /// A row whose record is another one than before.
    fn rekeyed(
        &self,
        record: u128,
        row: Listed,
        entry: Entry,
        into: &mut Into<'_>,
        found: &mut Found,
    ) -> Result<(), Failure> {
        if entry.rejected.as_ref().is_some_and(|rejected| self.same_rejection(rejected, true)) {
            self.left_out(&entry, found);
            return Ok(());
        }
        if self.scratch_full {
            // Whether another row stands for the old record is not known.
            return Ok(());
        }
        let hash = match (&entry.kind, &entry.doubt) {
            (Kind::Delivered(hash) | Kind::Seen(hash), _) => *hash,
            (_, Some(doubt)) => doubt.hash,
            _ => row.hash,
        };
        let deletion = self.listed(Of::Key(entry.key.clone()), hash, true, &entry, false);
        let deletion = Listed { memory: entry.last_memory().clone(), unsent: false, ..deletion };
        match &mut into.leaving {
            Some(leaving) => leaving.moved(record, &deletion, &elsewhere(row)),
            None => offer(&row, into, found),
        }
    }

    /// A change of a key that has an entry.
    fn listed(&self, of: Of, hash: u64, deletion: bool, entry: &Entry, contested: bool) -> Listed {
        // What was handed out before has the `rev` that it had then, so that it comes again with its key. Anything else has one that
        // nothing was handed out with: also what was sent before the last thing that was, and what was handed out of a record that
        // another key wrote since.
        let rev = match &entry.doubt {
            None => entry.rev,
            Some(doubt) if fault!(DoubtKeepsRev) => doubt.rev,
            Some(doubt)
                if !contested && doubt.epoch >= entry.rev && doubt.is_of(deletion, hash, self.document.spec) =>
            {
                doubt.rev
            }
            Some(doubt) => doubt.epoch.max(entry.rev),
        };
        Listed {
            unsent: matches!(entry.kind, Kind::Seen(_)) && entry.doubt.is_none(),
            known: entry.is_known(),
            doubtful: entry.doubt.as_ref().map(|doubt| doubt.epoch),
            ..Listed::new(of, hash, rev)
        }
    }

    /// An entry whose key is not in the model.
    fn gone(&self, entry: Entry, into: &mut Into<'_>, found: &mut Found) -> Result<(), Failure> {
        self.count(&entry, found)?;
        // When scratch is full, the key may be in the part that was not read. A Replay sends what is there.
        if self.scratch_full || self.chosen.is_some() {
            return Ok(());
        }
        self.left_behind(&entry, 0, into)?;
        match (entry.kind, &entry.doubt) {
            (Kind::Delivered(hash) | Kind::Seen(hash), _) => self.deleted(hash, entry, into, found),
            // It may have arrived.
            (_, Some(doubt)) => self.deleted(doubt.hash, entry, into, found),
            (Kind::NeverDelivered, None) => {
                clear(&entry.key, into)?;
                into.upkeep.push(&Entry::new(entry.key, entry.rev, entry.spec, Kind::Tombstone(self.now)))
            }
            (Kind::Tombstone(at), None) => {
                if expired(at, self.now) {
                    found.expired.insert(prefix(key_hash(&entry.key), self.document.bits) as usize);
                }
                Ok(())
            }
            (Kind::Kept | Kind::Released, None) => Ok(()),
        }
    }

    /// Records that the key wrote before the one that it wrote last, and that its row does not stand for.
    fn left_behind(&self, entry: &Entry, stands_for: u128, into: &mut Into<'_>) -> Result<(), Failure> {
        let Some(leaving) = into.leaving.as_mut().filter(|_| self.chosen.is_none() && !self.scratch_full) else {
            return Ok(());
        };
        let last = matches::record(entry.last_memory());
        for wrote in entry.wrote() {
            let record = matches::record(&wrote.memory);
            if record != last && record != stands_for {
                leaving.before(record, &entry.key, &wrote)?;
            }
        }
        Ok(())
    }

    fn deleted(&self, hash: u64, entry: Entry, into: &mut Into<'_>, found: &mut Found) -> Result<(), Failure> {
        if let Some(rejected) = &entry.rejected {
            if self.same_rejection(rejected, true) {
                self.left_out(&entry, found);
                return Ok(());
            }
            remember(key_hash(&entry.key), found);
        }
        let listed = self.listed(Of::Key(entry.key.clone()), hash, true, &entry, false);
        let deletion = Listed { memory: entry.last_memory().clone(), ..listed };
        let record = matches::record(&deletion.memory);
        match &mut into.leaving {
            Some(leaving) if record != 0 => leaving.gone(record, &deletion),
            _ => offer_deletion(&deletion, into, found),
        }
    }

    fn count(&self, entry: &Entry, found: &mut Found) -> Result<(), Failure> {
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

    /// Whether a known row has to be sent.
    fn changed(&self, row: &IndexRow<'_>, before: u64, entry: &Entry, found: &mut Found) -> bool {
        let resend = &mut found.findings.resend;
        match self.layout.specs.iter().position(|(id, _)| *id == entry.spec) {
            Some(at) if row.hash(at) != before => return true,
            Some(_) => {}
            None => {
                // Either all rows are sent again, or the row cannot be compared: a column of the old hash is gone.
                if self.plan.mapping.on_change == OnMappingChange::Resend {
                    *resend = Some(Resend::MappingChanged);
                }
                return true;
            }
        }
        if entry.rev < self.document.resend_below() {
            resend.get_or_insert(Resend::Full);
            return true;
        }
        false
    }

    fn unchanged(&self, hash: u64, entry: Entry, into: &mut Into<'_>) -> Result<(), Failure> {
        if entry.spec == self.document.spec && entry.rejected.is_none() {
            return Ok(());
        }
        if entry.rejected.is_some() {
            clear(&entry.key, into)?;
        }
        let kind = if matches!(entry.kind, Kind::Seen(_)) { Kind::Seen(hash) } else { Kind::Delivered(hash) };
        let spec = self.document.spec;
        // It is not in doubt, so that this is about what was delivered, which has another hash now.
        let doubt = entry.doubt.map(|doubt| Box::new(Doubt { hash, spec, ..*doubt }));
        into.upkeep.push(&Entry { kind, spec, rejected: None, doubt, ..entry })
    }

    /// A change that is not offered because the destination would refuse it again.
    fn left_out(&self, entry: &Entry, found: &mut Found) {
        found.findings.still_rejected += u64::from(entry.rev < self.first_epoch);
    }

    /// Whether the destination would refuse it again: the Mapping is the same, and nobody asks to try.
    fn same_rejection(&self, rejected: &Rejected, deletion: bool) -> bool {
        rejected.deletion == deletion && rejected.spec == self.document.spec && !self.plan.options.retry_rejected
    }
}

/// The row of a key, if it has one only.
fn single<'a>(rows: Rows<'_, 'a>, found: &mut Found) -> Option<IndexRow<'a>> {
    match rows {
        Rows { listed: [(_, row)], unlisted: 0 } => Some(*row),
        Rows { listed, unlisted } => {
            found.findings.invalid_duplicate_key += listed.len() as u64 + unlisted;
            None
        }
    }
}

fn remember(key: u128, found: &mut Found) {
    if let Some(rejected) = &mut found.rejected {
        rejected.insert(key);
        if rejected.len() > MAX_REMEMBERED {
            found.rejected = None;
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
