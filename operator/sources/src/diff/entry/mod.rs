//! One key of the state: what is remembered of it, and what the journal makes of that. `docs/state-format.md` is the specification.

mod bytes;
mod plain;
#[cfg(test)]
mod tests;

use backflow_core::change::Memory;

pub(super) use self::bytes::{
    put_bytes, put_memory, put_number, put_wrote, take, take_bytes, take_memory, take_number, take_u32, take_u64,
    take_wrote,
};
pub(super) use self::plain::Plain;
use super::matches::{DUPLICATE, record};

/// The most records that a key may have written before and not taken back. Of more, the oldest is forgotten.
const MAX_LEFT: usize = 64;

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The encoded primary key.
    pub key: Box<[u8]>,
    /// The claim that last acknowledged it.
    pub rev: u64,
    /// The spec that its hash was made by.
    pub spec: u32,
    /// What it is.
    pub kind: Kind,
    /// What was last rendered.
    pub memory: Memory,
    /// The destination refused the content that it was last given.
    pub rejected: Option<Box<Rejected>>,
    /// Something was sent since, or may have been, and has no acknowledgement.
    pub doubt: Option<Box<Doubt>>,
    /// Records that it wrote before, or may have written, and that were not taken back: they passed to other rows. One that is about
    /// what was delivered only says when, because `rev` is about a rejection since.
    pub left: Vec<Wrote>,
}

/// That a record was written, or may have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrote {
    /// The last claim that did.
    pub epoch: u64,
    /// What it is found by.
    pub memory: Memory,
}

/// What a key is to the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It was sent; the hash of what was acknowledged.
    Delivered(u64),
    /// It is known, but was never sent; the hash it had then.
    Seen(u64),
    /// It was only ever rejected.
    NeverDelivered,
    /// It is gone since then (Unix seconds); kept for its `rev`.
    Tombstone(u64),
    /// Only in the journal: what was there stays, but for what the entry says beside: a doubt, or a rejection and its `rev`.
    Kept,
    /// Only in the journal: what was there stays, but for one record, which was taken back or has another writer.
    Released,
}

/// A refused content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rejected {
    /// It was a deletion.
    pub deletion: bool,
    /// Hash of the row.
    pub hash: u64,
    /// The spec of that hash, and so the Mapping's fingerprint.
    pub spec: u32,
    /// Why.
    pub code: Box<str>,
}

/// A change that was handed out: it may have reached the destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Doubt {
    /// The claim that handed it out.
    pub epoch: u64,
    /// Its `rev`: the same change has it again.
    pub rev: u64,
    /// It was a deletion.
    pub deletion: bool,
    /// Something was sent before it, which a rejection does not clear: the claim that did, 0 if that is not known.
    pub earlier: Option<u64>,
    /// Hash of its row; of a deletion, the hash last acknowledged.
    pub hash: u64,
    /// The spec of that hash.
    pub spec: u32,
    /// Match key and group key of the record that it was about.
    pub memory: Memory,
}

impl Doubt {
    /// Whether a change is the one that was handed out.
    pub(super) fn is_of(&self, deletion: bool, hash: u64, spec: u32) -> bool {
        (self.deletion, self.hash, self.spec) == (deletion, hash, spec)
    }
}

impl Entry {
    /// An entry without memory.
    pub(super) fn new(key: Box<[u8]>, rev: u64, spec: u32, kind: Kind) -> Self {
        Self { key, rev, spec, kind, memory: Memory::default(), rejected: None, doubt: None, left: Vec::new() }
    }

    /// What the journal says of a change before it is handed out.
    pub(super) fn mark(key: Box<[u8]>, doubt: Doubt) -> Self {
        Self { doubt: Some(Box::new(doubt)), ..Self::new(key, 0, 0, Kind::Kept) }
    }

    /// What the journal says of a record of a key that is not this key's any more.
    pub(super) fn release(key: Box<[u8]>, memory: Memory) -> Self {
        Self { memory, ..Self::new(key, 0, 0, Kind::Released) }
    }

    /// Whether its row is at the destination, or would be had it been selected.
    pub(super) fn is_known(&self) -> bool {
        matches!(self.kind, Kind::Delivered(_) | Kind::Seen(_))
    }

    /// Whether the destination may hold something else than what was acknowledged.
    pub(super) fn in_doubt(&self) -> bool {
        let Some(doubt) = &self.doubt else { return false };
        // One about what was delivered, as it was delivered, only says when: see `before_rejection`.
        let dated = doubt.earlier == Some(doubt.epoch) && !doubt.deletion;
        !(dated && self.kind == Kind::Delivered(doubt.hash) && doubt.spec == self.spec)
    }

    /// What a deletion of its record goes by: the record may be there as it was last sent.
    pub(super) fn last_memory(&self) -> &Memory {
        match &self.doubt {
            Some(doubt) if doubt.memory != Memory::default() => &doubt.memory,
            _ => &self.memory,
        }
    }

    /// Whether it was last rejected because another row stands for its record.
    pub(super) fn is_duplicate(&self) -> bool {
        self.rejected.as_ref().is_some_and(|rejected| &*rejected.code == DUPLICATE)
    }

    /// The records that it wrote, or may have written, and that were not taken back, each once.
    pub(super) fn wrote(&self) -> Vec<Wrote> {
        let mut all = self.left.clone();
        let mut add = |epoch: u64, memory: &Memory, dated: bool| {
            let name = record(memory);
            match all.iter_mut().find(|wrote| record(&wrote.memory) == name) {
                _ if name == 0 => {}
                // What says when says it better.
                Some(known) if !dated => known.epoch = known.epoch.max(epoch),
                Some(_) => {}
                None => all.push(Wrote { epoch, memory: memory.clone() }),
            }
        };
        if let Some(doubt) = &self.doubt {
            add(doubt.epoch, &doubt.memory, false);
        }
        if let Kind::Delivered(_) = self.kind {
            let dated = self.rejected.is_some() || self.doubt.is_some() && !self.in_doubt();
            add(self.rev, &self.memory, dated || self.left.iter().any(|left| left.memory == self.memory));
        }
        all
    }

    /// Remembers a record that it wrote before.
    fn leave(&mut self, wrote: Wrote) {
        let name = record(&wrote.memory);
        if name == 0 {
            return;
        }
        match self.left.iter_mut().find(|left| record(&left.memory) == name) {
            Some(left) => left.epoch = left.epoch.max(wrote.epoch),
            None => self.left.push(wrote),
        }
        if self.left.len() > MAX_LEFT
            && let Some((oldest, _)) = self.left.iter().enumerate().min_by_key(|(_, left)| left.epoch)
        {
            self.left.remove(oldest);
        }
    }

    /// Forgets a record.
    fn forget(&mut self, name: u128) {
        self.left.retain(|left| record(&left.memory) != name);
        if record(&self.memory) == name && self.doubt.is_some() {
            self.memory = Memory { match_key: None, group_key: None, remote_id: None };
        }
    }

    /// What a journal entry makes of what was there.
    pub(super) fn apply(self, base: Option<Self>) -> Self {
        match self.kind {
            Kind::Kept => self.beside(base),
            Kind::Released => {
                let name = record(&self.memory);
                let mut base = base.unwrap_or_else(|| Self::new(self.key, self.rev, self.spec, Kind::NeverDelivered));
                base.forget(name);
                base
            }
            _ => self.instead_of(base),
        }
    }

    /// What takes the place of what was there remembers the records that it leaves behind.
    fn instead_of(mut self, base: Option<Self>) -> Self {
        let name = record(&self.memory);
        let before = base.map(|base| base.wrote()).unwrap_or_default();
        if self.left.is_empty() {
            before.into_iter().filter(|wrote| record(&wrote.memory) != name).for_each(|wrote| self.leave(wrote));
        }
        if let Kind::Tombstone(_) = self.kind {
            // It only says what was taken back.
            self.memory = Memory::default();
        }
        self
    }

    fn beside(self, base: Option<Self>) -> Self {
        if let Some(doubt) = self.doubt {
            let mut base = base.unwrap_or_else(|| Self::new(self.key, doubt.rev, doubt.spec, Kind::NeverDelivered));
            if let Some(before) = base.doubt.take().filter(|before| record(&before.memory) != record(&doubt.memory)) {
                base.leave(Wrote { epoch: before.epoch, memory: before.memory });
            }
            return Self { doubt: Some(doubt), ..base };
        }
        let Some(mut base) = base else { return Self { kind: Kind::NeverDelivered, ..self } };
        let doubt = base.before_rejection();
        if base.is_known() {
            Self { rev: self.rev, rejected: self.rejected, doubt, ..base }
        } else {
            Self { kind: Kind::NeverDelivered, doubt, left: base.left, ..self }
        }
    }

    /// What is in doubt once the last change is rejected. The destination said what it thinks of that one, and nothing of what was sent
    /// before, which is over as a change: whatever comes next is another one.
    fn before_rejection(&mut self) -> Option<Box<Doubt>> {
        let doubt = self.doubt.take();
        // Of a record that several keys may stand for, it stays known when this one wrote it.
        if let (Kind::Delivered(_), None) = (self.kind, &self.rejected) {
            let dated =
                doubt.as_ref().filter(|doubt| doubt.earlier == Some(doubt.epoch) && doubt.memory == self.memory);
            let epoch = dated.map_or(self.rev, |dated| dated.epoch);
            self.leave(Wrote { epoch, memory: self.memory.clone() });
        }
        let doubt = doubt?;
        let since = doubt.earlier.filter(|_| !fault!(RejectionClearsAll))?;
        Some(Box::new(Doubt { epoch: since, hash: 0, ..*doubt }))
    }
}
