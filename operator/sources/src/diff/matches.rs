//! Which records of the destination the current rows stand for, by match key and group key: no two rows may be one record, and a
//! record that a current row stands for must not be deleted.
//!
//! Records are known by a 128-bit hash, in buckets by its first bits: of two records in 10^38 one is taken for the other.

use std::cmp::Ordering;
use std::path::Path;

use backflow_core::cell::Cell;
use backflow_core::change::{Key, Memory};
use backflow_core::code::Failure;
use xxhash_rust::xxh3::xxh3_128;

use super::damage::internal;
use super::entry::{put_bytes, take, take_bytes};
use super::hash::{self, key_hash, prefix};
use super::holders::Holders;
use super::spool::{BUCKETS, Parts, Spool, Usage};

/// What a rejection of a row says whose record another row stands for.
pub(super) const DUPLICATE: &str = "DUPLICATE_MATCH_KEY";

/// Names a record; 0: by the primary key alone.
pub(super) fn record(memory: &Memory) -> u128 {
    if memory.match_key.is_none() && memory.group_key.is_none() {
        return 0;
    }
    let mut bytes = Vec::new();
    for text in [&memory.match_key, &memory.group_key] {
        bytes.push(u8::from(text.is_some()));
        put_bytes(&mut bytes, text.as_deref().unwrap_or_default().as_bytes());
    }
    xxh3_128(&bytes).max(1)
}

/// The bucket of a record, or of a key hash.
pub(super) fn bucket(hash: u128) -> usize {
    prefix(hash, BUCKETS.ilog2() as u8) as usize
}

/// The records of the current rows, in scratch.
pub(super) struct Matches(Spool);

/// What a comparison has to know of them.
pub(super) struct Records {
    pub matches: Matches,
    /// Of [`Matches::duplicates`].
    pub duplicates: Spool,
    /// Of [`Holders::contested`]; nothing in a Replay.
    pub contested: Option<Spool>,
    /// Who wrote what; nothing in a Replay.
    pub holders: Option<Holders>,
}

impl Matches {
    pub(super) fn new(folder: &Path, usage: &Usage) -> Result<Self, Failure> {
        Ok(Self(Spool::new(folder, BUCKETS, usage.clone())?))
    }

    /// Notes that the row of this key stands for a record.
    pub(super) fn push(&mut self, record: u128, key: &[u8]) -> Result<(), Failure> {
        self.0.push(bucket(record), |out| {
            out.extend_from_slice(&record.to_le_bytes());
            put_bytes(out, key);
        })
    }

    /// The records of a bucket that a current row stands for, ascending.
    pub(super) fn alive(&self, bucket: usize) -> Result<Vec<u128>, Failure> {
        let mut alive = Vec::new();
        for bytes in self.parts(bucket)? {
            let bytes = bytes?;
            let mut records: Vec<u128> = read(&bytes)?.into_iter().map(|(record, _)| record).collect();
            records.sort_unstable();
            records.dedup();
            alive.append(&mut records);
        }
        Ok(alive)
    }

    /// Hashes of the keys that must not be sent, because a row with a greater key stands for the same record; in buckets of their own.
    pub(super) fn duplicates(&self, folder: &Path, usage: &Usage) -> Result<Spool, Failure> {
        let mut duplicates = Spool::new(folder, BUCKETS, usage.clone())?;
        for part in (0..BUCKETS).map(|at| self.parts(at)) {
            for bytes in part? {
                for same in sorted(&bytes?)?.chunk_by(|a, b| a.0 == b.0).filter(|same| same.len() > 1) {
                    let greatest = greatest(same)?;
                    for (_, bytes) in same.iter().filter(|(_, bytes)| *bytes != greatest) {
                        let hash = key_hash(bytes);
                        duplicates.push(bucket(hash), |out| out.extend_from_slice(&hash.to_le_bytes()))?;
                    }
                }
            }
        }
        Ok(duplicates)
    }

    /// The records of a bucket, ascending, with the hash of the key whose row stands for each.
    pub(super) fn owners(&self, bucket: usize) -> Result<Vec<(u128, u128)>, Failure> {
        let mut owners = Vec::new();
        for bytes in self.parts(bucket)? {
            let bytes = bytes?;
            for same in sorted(&bytes)?.chunk_by(|a, b| a.0 == b.0) {
                owners.push((same[0].0, key_hash(greatest(same)?)));
            }
        }
        Ok(owners)
    }

    /// A bucket, the parts ascending by record.
    fn parts(&self, bucket: usize) -> Result<Parts, Failure> {
        self.0.parts(bucket, |input, parts| one(input).map(|(record, _)| hash::part(record, parts)))
    }
}

/// Records with their keys, each once.
fn sorted(bytes: &[u8]) -> Result<Vec<(u128, &[u8])>, Failure> {
    let mut all = read(bytes)?;
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

/// Of the keys of one record, the one that is sent.
fn greatest<'a>(same: &[(u128, &'a [u8])]) -> Result<&'a [u8], Failure> {
    if let [(_, only)] = same {
        return Ok(only);
    }
    let mut keys = Vec::with_capacity(same.len());
    for (_, bytes) in same {
        keys.push((Key::decode(bytes).ok_or_else(damaged)?, *bytes));
    }
    keys.into_iter().max_by(|a, b| order(&a.0, &b.0)).map(|(_, bytes)| bytes).ok_or_else(damaged)
}

/// The hashes of a bucket, ascending.
pub(super) fn hashes(spool: &Spool, bucket: usize) -> Result<Vec<u128>, Failure> {
    let bytes = spool.read(bucket)?;
    let mut hashes: Vec<u128> = bytes.as_chunks().0.iter().map(|bytes| u128::from_le_bytes(*bytes)).collect();
    hashes.sort_unstable();
    Ok(hashes)
}

fn read(bytes: &[u8]) -> Result<Vec<(u128, &[u8])>, Failure> {
    let mut input = bytes;
    let mut all = Vec::new();
    while !input.is_empty() {
        all.push(one(&mut input).ok_or_else(damaged)?);
    }
    Ok(all)
}

/// A record and a key whose row stands for it.
fn one<'a>(input: &mut &'a [u8]) -> Option<(u128, &'a [u8])> {
    let record = take(input, 16)?.try_into().ok()?;
    Some((u128::from_le_bytes(record), take_bytes(input)?))
}

/// The order of keys: numbers by value, texts by their bytes. Keys of one model have cells of the same types.
fn order(a: &Key, b: &Key) -> Ordering {
    let cells = |(a, b): (&Cell, &Cell)| match (a, b) {
        (Cell::Int(a), Cell::Int(b)) => a.cmp(b),
        (Cell::Float(a), Cell::Float(b)) => a.total_cmp(b),
        (Cell::Decimal(a), Cell::Decimal(b)) => decimal(a, b),
        (Cell::Text(a), Cell::Text(b)) | (Cell::Time(a), Cell::Time(b)) => a.cmp(b),
        _ => Ordering::Equal,
    };
    let by_cell = a.0.iter().zip(&*b.0).map(cells).find(|order| order.is_ne());
    by_cell.unwrap_or_else(|| a.encode().cmp(&b.encode()))
}

/// The order of two numbers in plain digits.
fn decimal(a: &str, b: &str) -> Ordering {
    let parts = |text: &str| {
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let whole = whole.trim_start_matches('0').to_owned();
        (negative, whole.len(), whole, fraction.trim_end_matches('0').to_owned())
    };
    let ((a_negative, a_length, a_whole, a_rest), (b_negative, b_length, b_whole, b_rest)) = (parts(a), parts(b));
    let size = (a_length, a_whole, a_rest).cmp(&(b_length, b_whole, b_rest));
    match (a_negative, b_negative) {
        (false, false) => size,
        (true, true) => size.reverse(),
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
    }
}

fn damaged() -> Failure {
    internal("a match key in scratch cannot be read back")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_ordered_by_value() {
        let key = |cells: &[Cell]| Key(cells.into());
        let ascending = [
            [key(&[Cell::Int(-1)]), key(&[Cell::Int(256)])],
            [key(&[Cell::Decimal("-10.5".into())]), key(&[Cell::Decimal("-9.75".into())])],
            [key(&[Cell::Decimal("9.5".into())]), key(&[Cell::Decimal("10".into())])],
            [key(&[Cell::Decimal("10.25".into())]), key(&[Cell::Decimal("10.3".into())])],
            [key(&[Cell::Float(-0.5)]), key(&[Cell::Float(0.25)])],
            [key(&[Cell::Text("a".into()), Cell::Int(9)]), key(&[Cell::Text("b".into()), Cell::Int(1)])],
        ];
        for [less, greater] in ascending {
            assert_eq!((order(&less, &greater), order(&greater, &less)), (Ordering::Less, Ordering::Greater));
            assert_eq!(order(&less, &less), Ordering::Equal);
        }
    }

    #[test]
    fn a_record_is_a_match_key_in_a_group() {
        let of = |key: Option<&str>, group: Option<&str>| {
            record(&Memory { match_key: key.map(Into::into), group_key: group.map(Into::into), remote_id: None })
        };
        assert_eq!(of(None, None), 0);
        let all = [
            of(Some("a"), None),
            of(Some("b"), None),
            of(Some("a"), Some("g")),
            of(None, Some("a")),
            of(Some(""), Some("a")),
        ];
        assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), all.len());
    }
}
