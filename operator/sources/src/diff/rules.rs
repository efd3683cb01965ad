//! What becomes of a key that has an entry: the rules of one comparison.

use backflow_core::code::Failure;
use backflow_core::extraction::Resend;
use backflow_core::plan::OnMappingChange;
use backflow_core::selection::{Selection, SyncMode};

use super::compare::{Compare, Found, Into, MAX_REMEMBERED, Rows, Standing, clear, expired, single};
use super::entry::{Doubt, Entry, Kind, Rejected};
use super::extract::IndexRow;
use super::hash::{key_hash, prefix};
use super::leaving::{elsewhere, offer, offer_deletion};
use super::listed::{Listed, Of};
use super::matches;
use super::payload::Place;

impl Compare<'_> {
    /// Rows of a key that has an entry.
    pub(super) fn met(
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
    pub(super) fn gone(&self, entry: Entry, into: &mut Into<'_>, found: &mut Found) -> Result<(), Failure> {
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

    pub(super) fn unchanged(&self, hash: u64, entry: Entry, into: &mut Into<'_>) -> Result<(), Failure> {
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

fn remember(key: u128, found: &mut Found) {
    if let Some(rejected) = &mut found.rejected {
        rejected.insert(key);
        if rejected.len() > MAX_REMEMBERED {
            found.rejected = None;
        }
    }
}
