//! Entries that are looked at where they lie: most of them are passed over.

use super::Entry;
#[cfg(test)]
use super::Kind;
use super::bytes::{
    DOUBT, FLAGS, GROUP, LEFT, MATCH, REJECTED, REMOTE, SINCE, take, take_bytes, take_number, take_u64,
};

/// An entry that says nothing but what a row was when it was delivered, or seen, and what was rendered of it: nearly every one. Most of
/// them are looked at and passed over, which takes longer if each is taken apart and its key is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Plain<'a> {
    /// See [`Entry::key`].
    pub key: &'a [u8],
    /// See [`Entry::rev`].
    pub rev: u64,
    /// See [`Entry::spec`].
    pub spec: u32,
    /// Of what was delivered or seen.
    pub hash: u64,
}

impl<'a> Plain<'a> {
    /// Reads one from the front of `input`; `None`, and nothing is read, if it is another entry or damaged.
    pub(in super::super) fn read(input: &mut &'a [u8]) -> Option<Self> {
        let mut rest = *input;
        let key = take_bytes(&mut rest)?;
        let [kind, flags] = *take(&mut rest, 2)? else { return None };
        if kind > 1 || flags & !(MATCH | GROUP | REMOTE) != 0 {
            return None;
        }
        let (rev, spec) = (take_number(&mut rest)?, take_number(&mut rest)?);
        let (spec, hash) = (spec.try_into().ok()?, take_u64(&mut rest)?);
        skip_memory(&mut rest, flags)?;
        *input = rest;
        Some(Self { key, rev, spec, hash })
    }
}

impl Entry {
    /// The key of the entry at the front of `input`, which goes on to the next one; `None` if the bytes are damaged. Texts are not
    /// looked at.
    pub(in super::super) fn skip<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
        let key = take_bytes(input)?;
        let [kind, flags] = *take(input, 2)? else { return None };
        if flags & !FLAGS != 0 {
            return None;
        }
        skip_numbers(input, 2)?;
        match kind {
            0 | 1 => take(input, 8).map(drop)?,
            3 => skip_numbers(input, 1)?,
            2 | 4 | 5 => {}
            _ => return None,
        }
        skip_memory(input, flags)?;
        if flags & REJECTED != 0 {
            take(input, 9)?;
            skip_numbers(input, 1)?;
            take_bytes(input)?;
        }
        if flags & DOUBT != 0 {
            let [flags] = *take(input, 1)? else { return None };
            skip_numbers(input, 2)?;
            take(input, 8)?;
            skip_numbers(input, if flags & SINCE == 0 { 1 } else { 2 })?;
            skip_memory(input, flags)?;
        }
        if flags & LEFT != 0 {
            for _ in 0..take_number(input)? {
                skip_numbers(input, 1)?;
                let [flags] = *take(input, 1)? else { return None };
                skip_memory(input, flags)?;
            }
        }
        Some(key)
    }

    /// Whether [`Plain`] says what there is to it.
    #[cfg(test)]
    pub(super) fn is_plain(&self) -> bool {
        let known = matches!(self.kind, Kind::Delivered(_) | Kind::Seen(_));
        known && self.rejected.is_none() && self.doubt.is_none() && self.left.is_empty()
    }
}

fn skip_numbers(input: &mut &[u8], count: usize) -> Option<()> {
    (0..count).try_for_each(|_| take_number(input).map(drop))
}

fn skip_memory(input: &mut &[u8], flags: u8) -> Option<()> {
    (0..(flags & (MATCH | GROUP | REMOTE)).count_ones()).try_for_each(|_| take_bytes(input).map(drop))
}
