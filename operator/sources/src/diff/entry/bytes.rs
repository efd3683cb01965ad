//! The bytes of an entry.

use backflow_core::change::Memory;

use super::{Doubt, Entry, Kind, Rejected, Wrote};

pub(super) const MATCH: u8 = 1;
pub(super) const GROUP: u8 = 2;
pub(super) const REMOTE: u8 = 4;
pub(super) const REJECTED: u8 = 8;
pub(super) const DOUBT: u8 = 16;
/// There are records that it wrote before; from format 2.
pub(super) const LEFT: u8 = 32;
pub(super) const FLAGS: u8 = MATCH | GROUP | REMOTE | REJECTED | DOUBT | LEFT;
/// Of a doubt, in the place of [`REJECTED`] and [`DOUBT`].
const DELETION: u8 = 8;
const EARLIER: u8 = 16;
/// With [`EARLIER`]: the claim is known.
pub(super) const SINCE: u8 = 32;

impl Doubt {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
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

    pub(super) fn decode(input: &mut &[u8]) -> Option<Self> {
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

impl Entry {
    /// Appends the entry's bytes.
    pub(in super::super) fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(out, &self.key);
        let (kind, number) = match self.kind {
            Kind::Delivered(hash) => (0, hash),
            Kind::Seen(hash) => (1, hash),
            Kind::NeverDelivered => (2, 0),
            Kind::Tombstone(at) => (3, at),
            Kind::Kept => (4, 0),
            Kind::Released => (5, 0),
        };
        let mut flags = if self.rejected.is_some() { REJECTED } else { 0 };
        flags |= if self.doubt.is_some() { DOUBT } else { 0 };
        flags |= if self.left.is_empty() { 0 } else { LEFT };
        out.push(kind);
        let at = out.len();
        out.push(flags);
        put_number(out, self.rev);
        put_number(out, u64::from(self.spec));
        match self.kind {
            Kind::Delivered(_) | Kind::Seen(_) => out.extend_from_slice(&number.to_le_bytes()),
            Kind::Tombstone(_) => put_number(out, number),
            Kind::NeverDelivered | Kind::Kept | Kind::Released => {}
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
        if !self.left.is_empty() {
            put_number(out, self.left.len() as u64);
            self.left.iter().for_each(|wrote| put_wrote(wrote, out));
        }
    }

    /// Reads one entry from the front of `input`; `None` if the bytes are damaged.
    pub(in super::super) fn decode(input: &mut &[u8]) -> Option<Self> {
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
            5 => Kind::Released,
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
        let mut left = Vec::new();
        if flags & LEFT != 0 {
            // An empty list has another spelling.
            let count = take_number(input).filter(|count| *count > 0)?;
            for _ in 0..count {
                left.push(take_wrote(input)?);
            }
        }
        Some(Self { key, rev, spec, kind, memory, rejected, doubt, left })
    }
}

/// Appends the texts that there are, and returns the flags that say which.
pub(in super::super) fn put_memory(memory: &Memory, out: &mut Vec<u8>) -> u8 {
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
pub(in super::super) fn take_memory(input: &mut &[u8], flags: u8) -> Option<Memory> {
    let mut text = |flag: u8| -> Option<Option<Box<str>>> {
        if flags & flag == 0 { Some(None) } else { take_text(input).map(Some) }
    };
    Some(Memory { match_key: text(MATCH)?, group_key: text(GROUP)?, remote_id: text(REMOTE)? })
}

/// Appends a number in base 128, least significant group first (LEB128).
pub(in super::super) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a length and the bytes.
pub(in super::super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Takes `n` bytes from the front.
pub(in super::super) fn take<'a>(input: &mut &'a [u8], n: usize) -> Option<&'a [u8]> {
    let (head, tail) = input.split_at_checked(n)?;
    *input = tail;
    Some(head)
}

/// The inverse of [`put_number`]; a number has one spelling.
pub(in super::super) fn take_number(input: &mut &[u8]) -> Option<u64> {
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
pub(in super::super) fn take_u32(input: &mut &[u8]) -> Option<u32> {
    take(input, 4)?.try_into().ok().map(u32::from_le_bytes)
}

/// Takes eight bytes, little endian.
pub(in super::super) fn take_u64(input: &mut &[u8]) -> Option<u64> {
    take(input, 8)?.try_into().ok().map(u64::from_le_bytes)
}

/// The inverse of [`put_bytes`].
pub(in super::super) fn take_bytes<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_number(input)?).ok()?;
    take(input, length)
}

fn take_text(input: &mut &[u8]) -> Option<Box<str>> {
    std::str::from_utf8(take_bytes(input)?).ok().map(Box::from)
}

/// Appends the epoch, and the memory with the flags of its texts before it.
pub(in super::super) fn put_wrote(wrote: &Wrote, out: &mut Vec<u8>) {
    put_number(out, wrote.epoch);
    let at = out.len();
    out.push(0);
    out[at] = put_memory(&wrote.memory, out);
}

/// The inverse of [`put_wrote`].
pub(in super::super) fn take_wrote(input: &mut &[u8]) -> Option<Wrote> {
    let epoch = take_number(input)?;
    let flags = *take(input, 1)?.first()?;
    Some(Wrote { epoch, memory: take_memory(input, flags)? })
}
