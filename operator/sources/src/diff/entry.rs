//! One key of the state: what is remembered of it, and its bytes. `docs/state-format.md` is the specification.

use backflow_core::change::Memory;

use super::matches::DUPLICATE;

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

    fn encode(&self, out: &mut Vec<u8>) {
        let at = out.len();
        let since = self.earlier.filter(|since| *since > 0);
        let mut flags = if self.deletion { DELETION } else { 0 };
        flags |= if self.earlier.is_some() { EARLIER } else { 0 };
        flags |= if since.is_some() { SINCE } else { 0 };
        out.push(flags);
        put_number(out, self.epoch);
        put_number(out, self.rev);
        out.extend_from_slice(&self.hash.to_le_bytes());
        put_number(out, u64::from(self.spec));
        if let Some(since) = since {
            put_number(out, since);
        }
        out[at] |= put_memory(&self.memory, out);
    }

    fn decode(input: &mut &[u8]) -> Option<Self> {
        let [flags] = *take(input, 1)? else { return None };
        if flags & !(MATCH | GROUP | REMOTE | DELETION | EARLIER | SINCE) != 0 {
            return None;
        }
        let (epoch, rev) = (take_number(input)?, take_number(input)?);
        let (hash, spec) = (take_u64(input)?, u32::try_from(take_number(input)?).ok()?);
        let earlier = match (flags & EARLIER != 0, flags & SINCE != 0) {
            (true, true) => Some(take_number(input).filter(|since| *since > 0)?),
            (true, false) => Some(0),
            (false, false) => None,
            (false, true) => return None,
        };
        let memory = take_memory(input, flags)?;
        Some(Self { epoch, rev, deletion: flags & DELETION != 0, earlier, hash, spec, memory })
    }
}

const MATCH: u8 = 1;
const GROUP: u8 = 2;
const REMOTE: u8 = 4;
const REJECTED: u8 = 8;
const DOUBT: u8 = 16;
const FLAGS: u8 = MATCH | GROUP | REMOTE | REJECTED | DOUBT;
/// Of a doubt, in the place of [`REJECTED`] and [`DOUBT`].
const DELETION: u8 = 8;
const EARLIER: u8 = 16;
/// With [`EARLIER`]: the claim is known.
const SINCE: u8 = 32;

impl Entry {
    /// An entry without memory.
    pub(super) fn new(key: Box<[u8]>, rev: u64, spec: u32, kind: Kind) -> Self {
        Self { key, rev, spec, kind, memory: Memory::default(), rejected: None, doubt: None }
    }

    /// What the journal says of a change before it is handed out.
    pub(super) fn mark(key: Box<[u8]>, doubt: Doubt) -> Self {
        Self { doubt: Some(Box::new(doubt)), ..Self::new(key, 0, 0, Kind::Kept) }
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

    /// What a journal entry makes of what was there.
    pub(super) fn apply(self, base: Option<Self>) -> Self {
        if self.kind != Kind::Kept {
            return self;
        }
        if let Some(doubt) = self.doubt {
            let base = base.unwrap_or_else(|| Self::new(self.key, doubt.rev, doubt.spec, Kind::NeverDelivered));
            return Self { doubt: Some(doubt), ..base };
        }
        let Some(mut base) = base else { return Self { kind: Kind::NeverDelivered, ..self } };
        let doubt = base.before_rejection();
        if base.is_known() {
            Self { rev: self.rev, rejected: self.rejected, doubt, ..base }
        } else {
            Self { kind: Kind::NeverDelivered, doubt, ..self }
        }
    }

    /// What is in doubt once the last change is rejected. The destination said what it thinks of that one, and nothing of what was sent
    /// before, which is over as a change: whatever comes next is another one. Of a record that several keys may stand for, it stays
    /// known when this one wrote it.
    fn before_rejection(&mut self) -> Option<Box<Doubt>> {
        if let Some(doubt) = self.doubt.take()
            && let Some(since) = doubt.earlier
            && !fault!(RejectionClearsAll)
        {
            return Some(Box::new(Doubt { epoch: since, hash: 0, ..*doubt }));
        }
        match self.kind {
            Kind::Delivered(hash) if self.memory.match_key.is_some() || self.memory.group_key.is_some() => {
                let (epoch, spec, memory) = (self.rev, self.spec, self.memory.clone());
                let earlier = Some(epoch);
                Some(Box::new(Doubt { epoch, rev: epoch, deletion: false, earlier, hash, spec, memory }))
            }
            _ => None,
        }
    }

    /// Appends the entry's bytes.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(out, &self.key);
        let (kind, number) = match self.kind {
            Kind::Delivered(hash) => (0, hash),
            Kind::Seen(hash) => (1, hash),
            Kind::NeverDelivered => (2, 0),
            Kind::Tombstone(at) => (3, at),
            Kind::Kept => (4, 0),
        };
        let flags = if self.rejected.is_some() { REJECTED } else { 0 } | if self.doubt.is_some() { DOUBT } else { 0 };
        out.push(kind);
        let at = out.len();
        out.push(flags);
        put_number(out, self.rev);
        put_number(out, u64::from(self.spec));
        match self.kind {
            Kind::Delivered(_) | Kind::Seen(_) => out.extend_from_slice(&number.to_le_bytes()),
            Kind::Tombstone(_) => put_number(out, number),
            Kind::NeverDelivered | Kind::Kept => {}
        }
        out[at] |= put_memory(&self.memory, out);
        if let Some(rejected) = &self.rejected {
            out.push(u8::from(rejected.deletion));
            out.extend_from_slice(&rejected.hash.to_le_bytes());
            put_number(out, u64::from(rejected.spec));
            put_bytes(out, rejected.code.as_bytes());
        }
        if let Some(doubt) = &self.doubt {
            doubt.encode(out);
        }
    }

    /// Reads one entry from the front of `input`; `None` if the bytes are damaged.
    pub(super) fn decode(input: &mut &[u8]) -> Option<Self> {
        let key = take_bytes(input)?.into();
        let [kind, flags] = *take(input, 2)? else { return None };
        if flags & !FLAGS != 0 {
            return None;
        }
        let rev = take_number(input)?;
        let spec = u32::try_from(take_number(input)?).ok()?;
        let kind = match kind {
            0 => Kind::Delivered(take_u64(input)?),
            1 => Kind::Seen(take_u64(input)?),
            2 => Kind::NeverDelivered,
            3 => Kind::Tombstone(take_number(input)?),
            4 => Kind::Kept,
            _ => return None,
        };
        let memory = take_memory(input, flags)?;
        let rejected = if flags & REJECTED == 0 {
            None
        } else {
            let deletion = match *take(input, 1)? {
                [0] => false,
                [1] => true,
                _ => return None,
            };
            let hash = take_u64(input)?;
            let spec = u32::try_from(take_number(input)?).ok()?;
            Some(Box::new(Rejected { deletion, hash, spec, code: take_text(input)? }))
        };
        let doubt = if flags & DOUBT == 0 { None } else { Some(Box::new(Doubt::decode(input)?)) };
        Some(Self { key, rev, spec, kind, memory, rejected, doubt })
    }
}

/// Appends the texts that there are, and returns the flags that say which.
pub(super) fn put_memory(memory: &Memory, out: &mut Vec<u8>) -> u8 {
    let mut flags = 0;
    for (flag, text) in [(MATCH, &memory.match_key), (GROUP, &memory.group_key), (REMOTE, &memory.remote_id)] {
        if let Some(text) = text {
            put_bytes(out, text.as_bytes());
            flags |= flag;
        }
    }
    flags
}

/// The texts that the flags announce.
pub(super) fn take_memory(input: &mut &[u8], flags: u8) -> Option<Memory> {
    let mut text = |flag: u8| -> Option<Option<Box<str>>> {
        if flags & flag == 0 { Some(None) } else { take_text(input).map(Some) }
    };
    Some(Memory { match_key: text(MATCH)?, group_key: text(GROUP)?, remote_id: text(REMOTE)? })
}

/// Appends a number in base 128, least significant group first (LEB128).
pub(super) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a length and the bytes.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Takes `n` bytes from the front.
pub(super) fn take<'a>(input: &mut &'a [u8], n: usize) -> Option<&'a [u8]> {
    let (head, tail) = input.split_at_checked(n)?;
    *input = tail;
    Some(head)
}

/// The inverse of [`put_number`]; a number has one spelling.
pub(super) fn take_number(input: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = take(input, 1)?[0];
        let group = u64::from(byte & 0x7f);
        if shift == 63 && group > 1 {
            return None;
        }
        number |= group << shift;
        if byte & 0x80 == 0 {
            return (byte != 0 || shift == 0).then_some(number);
        }
    }
    None
}

/// Takes four bytes, little endian.
pub(super) fn take_u32(input: &mut &[u8]) -> Option<u32> {
    take(input, 4)?.try_into().ok().map(u32::from_le_bytes)
}

/// Takes eight bytes, little endian.
pub(super) fn take_u64(input: &mut &[u8]) -> Option<u64> {
    take(input, 8)?.try_into().ok().map(u64::from_le_bytes)
}

/// The inverse of [`put_bytes`].
pub(super) fn take_bytes<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_number(input)?).ok()?;
    take(input, length)
}

fn take_text(input: &mut &[u8]) -> Option<Box<str>> {
    std::str::from_utf8(take_bytes(input)?).ok().map(Box::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kinds() -> impl Strategy<Value = Kind> {
        prop_oneof![
            any::<u64>().prop_map(Kind::Delivered),
            any::<u64>().prop_map(Kind::Seen),
            Just(Kind::NeverDelivered),
            any::<u64>().prop_map(Kind::Tombstone),
            Just(Kind::Kept),
        ]
    }

    fn text() -> impl Strategy<Value = Option<Box<str>>> {
        proptest::option::of(".{0,20}".prop_map(String::into_boxed_str))
    }

    prop_compose! {
        fn doubts()(
            epoch in any::<u64>(), rev in any::<u64>(), deletion in any::<bool>(), earlier in proptest::option::of(any::<u64>()),
            hash in any::<u64>(), spec in any::<u32>(), match_key in text(), group_key in text(), remote_id in text(),
        ) -> Doubt {
            Doubt { epoch, rev, deletion, earlier, hash, spec, memory: Memory { match_key, group_key, remote_id } }
        }
    }

    prop_compose! {
        fn entries()(
            key in proptest::collection::vec(any::<u8>(), 0..300),
            rev in any::<u64>(), spec in any::<u32>(), kind in kinds(),
            match_key in text(), group_key in text(), remote_id in text(),
            rejected in proptest::option::of((any::<bool>(), any::<u64>(), any::<u32>(), ".{0,9}")),
            doubt in proptest::option::of(doubts()),
        ) -> Entry {
            Entry {
                key: key.into(), rev, spec, kind,
                memory: Memory { match_key, group_key, remote_id },
                rejected: rejected.map(|(deletion, hash, spec, code)| {
                    Box::new(Rejected { deletion, hash, spec, code: code.into() })
                }),
                doubt: doubt.map(Box::new),
            }
        }
    }

    proptest! {
        #[test]
        fn entries_round_trip_and_truncated_ones_are_refused(entry in entries()) {
            let mut bytes = Vec::new();
            entry.encode(&mut bytes);
            let mut input = bytes.as_slice();
            prop_assert_eq!(Entry::decode(&mut input), Some(entry));
            prop_assert!(input.is_empty());
            for end in 0..bytes.len() {
                prop_assert_eq!(Entry::decode(&mut &bytes[..end]), None);
            }
        }

        #[test]
        fn decoding_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Entry::decode(&mut bytes.as_slice());
        }
    }

    #[test]
    fn a_rejection_keeps_what_was_delivered() {
        let rejected = Some(Box::new(Rejected { deletion: false, hash: 2, spec: 1, code: "HTTP_422".into() }));
        let patch = Entry { rejected: rejected.clone(), ..Entry::new([1].into(), 9, 1, Kind::Kept) };
        let delivered = Entry::new([1].into(), 3, 0, Kind::Delivered(1));
        let after = patch.clone().apply(Some(delivered.clone()));
        assert_eq!(after, Entry { rev: 9, rejected: rejected.clone(), ..delivered.clone() });
        // Of a record that other keys may write, it stays known when this one did.
        let memory = Memory { match_key: Some("m".into()), ..Memory::default() };
        let after = patch.clone().apply(Some(Entry { memory, ..delivered }));
        assert_eq!((after.rev, after.doubt.as_ref().map(|doubt| doubt.epoch)), (9, Some(3)));
        assert!(!after.in_doubt());
        for base in [None, Some(Entry::new([1].into(), 3, 0, Kind::Tombstone(5)))] {
            let after = patch.clone().apply(base);
            assert_eq!(
                after,
                Entry { rejected: rejected.clone(), ..Entry::new([1].into(), 9, 1, Kind::NeverDelivered) }
            );
        }
    }

    #[test]
    fn a_doubt_lies_over_what_was_there_until_it_is_acknowledged() {
        let doubt = |earlier| Doubt {
            epoch: 7,
            rev: 3,
            deletion: false,
            earlier,
            hash: 2,
            spec: 0,
            memory: Memory { match_key: Some("m".into()), ..Memory::default() },
        };
        let bases = [
            Some(Entry::new([1].into(), 3, 0, Kind::Delivered(1))),
            Some(Entry::new([1].into(), 3, 0, Kind::Tombstone(5))),
            None,
        ];
        for base in bases {
            let marked = Entry::mark([1].into(), doubt(None)).apply(base.clone());
            let unmarked = base.unwrap_or_else(|| Entry::new([1].into(), 3, 0, Kind::NeverDelivered));
            assert_eq!(marked, Entry { doubt: Some(Box::new(doubt(None))), ..unmarked });
            let delivered = Entry::new([1].into(), 7, 0, Kind::Delivered(2));
            assert_eq!(delivered.clone().apply(Some(marked.clone())), delivered);
            let rejected = Some(Box::new(Rejected { deletion: false, hash: 2, spec: 0, code: "HTTP_422".into() }));
            let rejection = Entry { rejected, ..Entry::new([1].into(), 7, 0, Kind::Kept) };
            assert_eq!(rejection.clone().apply(Some(marked)).doubt, None);
            let twice = Entry::mark([1].into(), doubt(Some(5))).apply(Some(delivered));
            assert!(rejection.apply(Some(twice)).doubt.is_some(), "the change before this one may still be there");
        }
    }
}
