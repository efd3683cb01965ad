//! A change in scratch: where its row is, and what the state remembers of it.

use backflow_core::change::Memory;

use super::entry::{put_bytes, put_memory, put_number, take, take_bytes, take_memory, take_number, take_u64};
use super::payload::Place;

/// A change, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub of: Of,
    pub hash: u64,
    pub rev: u64,
    /// See [`backflow_core::change::Change::unsent`].
    pub unsent: bool,
    /// See [`backflow_core::change::Change::known`].
    pub known: bool,
    /// The claim that last sent something without an acknowledgement.
    pub doubtful: Option<u64>,
    /// See [`backflow_core::change::Change::duplicate`].
    pub duplicate: bool,
    /// A deletion of a record alone: its key stays as it is.
    pub extra: bool,
    pub memory: Memory,
}

/// What a change is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// A row in scratch.
    Row(Place),
    /// A key, encoded: of a deletion, or of a row whose content does not matter.
    Key(Box<[u8]>),
}

// The first three bits say which texts there are.
const UNSENT: u8 = 8;
const KNOWN: u8 = 16;
const DOUBTFUL: u8 = 32;
const DUPLICATE: u8 = 64;
const KEY: u8 = 128;

impl Listed {
    /// A change of a key of which nothing is remembered.
    pub(super) fn new(of: Of, hash: u64, rev: u64) -> Self {
        let memory = Memory::default();
        Self { of, hash, rev, unsent: false, known: false, doubtful: None, duplicate: false, extra: false, memory }
    }

    /// Where its row is, [`Place::NONE`] without one.
    pub(super) fn place(&self) -> Place {
        match self.of {
            Of::Row(place) => place,
            Of::Key(_) => Place::NONE,
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let at = out.len();
        out.push(0);
        let mut flags = 0;
        for (flag, set) in [
            (UNSENT, self.unsent),
            (KNOWN, self.known),
            (DOUBTFUL, self.doubtful.is_some()),
            (DUPLICATE, self.duplicate),
            (KEY, matches!(self.of, Of::Key(_))),
        ] {
            if set {
                flags |= flag;
            }
        }
        match &self.of {
            Of::Row(place) => out.extend_from_slice(&place.0.to_le_bytes()),
            Of::Key(key) => put_bytes(out, key),
        }
        out.extend_from_slice(&self.hash.to_le_bytes());
        put_number(out, self.rev);
        if let Some(epoch) = self.doubtful {
            put_number(out, epoch);
        }
        out.push(u8::from(self.extra));
        out[at] = flags | put_memory(&self.memory, out);
    }

    pub(super) fn decode(input: &mut &[u8]) -> Option<Self> {
        let [flags] = *take(input, 1)? else { return None };
        let of = if flags & KEY == 0 { Of::Row(Place(take_u64(input)?)) } else { Of::Key(take_bytes(input)?.into()) };
        Some(Self {
            of,
            hash: take_u64(input)?,
            rev: take_number(input)?,
            unsent: flags & UNSENT != 0,
            known: flags & KNOWN != 0,
            doubtful: if flags & DOUBTFUL == 0 { None } else { Some(take_number(input)?) },
            duplicate: flags & DUPLICATE != 0,
            extra: take(input, 1)? == [1],
            memory: take_memory(input, flags)?,
        })
    }
}
