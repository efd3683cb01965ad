//! Records as a receiver took them, and the comparison with what should have come.

use std::collections::HashMap;
use std::fmt;

use anyhow::ensure;

/// What is kept of a record: enough to compare multisets of (key, operation, payload) exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Taken {
    /// Hash of the record's primary key.
    pub id: u64,
    /// First letters of the operation, little endian.
    pub op: u64,
    /// Hash of the payload.
    pub data: u64,
    /// Hash of the record's idempotency key; 0 for a sender that has none.
    pub key: u64,
}

/// Bytes of a [`Taken`] on its way from the receiver.
const SIZE: usize = 32;

impl Taken {
    /// Of this key and operation, with the hashes of [`crate::canonical`].
    #[must_use]
    pub fn new(id: u64, op: &str, data: u64) -> Self {
        Self { id, op: op_code(op), data, key: 0 }
    }

    fn content(&self) -> (u64, u64, u64) {
        (self.id, self.op, self.data)
    }
}

/// An operation as a number.
#[must_use]
pub fn op_code(op: &str) -> u64 {
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(op.bytes()) {
        *to = from;
    }
    u64::from_le_bytes(bytes)
}

/// All of them, one after another.
#[must_use]
pub fn encode(all: &[Taken]) -> Vec<u8> {
    let mut out = Vec::with_capacity(all.len() * SIZE);
    for taken in all {
        for number in [taken.id, taken.op, taken.data, taken.key] {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }
    out
}

/// The inverse of [`encode`].
///
/// # Errors
/// Bytes are missing.
pub fn decode(bytes: &[u8]) -> anyhow::Result<Vec<Taken>> {
    let (records, rest) = bytes.as_chunks::<SIZE>();
    ensure!(rest.is_empty(), "the receiver's answer is cut");
    let number = |record: &[u8; SIZE], at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&record[8 * at..8 * (at + 1)]);
        u64::from_le_bytes(bytes)
    };
    let taken = |record: &[u8; SIZE]| Taken {
        id: number(record, 0),
        op: number(record, 1),
        data: number(record, 2),
        key: number(record, 3),
    };
    Ok(records.iter().map(taken).collect())
}

/// How two multisets of (key, operation, payload) differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Expected, and never came.
    pub lost: usize,
    /// Came, and was never expected.
    pub wrong: usize,
    /// Came again.
    pub again: usize,
    /// Came again with another idempotency key.
    pub rekeyed: usize,
}

impl Difference {
    /// Whether each record came exactly once.
    #[must_use]
    pub fn exact(&self) -> bool {
        *self == Self::default()
    }

    /// Whether each record came, and nothing else; some may have come again, with the key they had.
    #[must_use]
    pub fn complete(&self) -> bool {
        self.lost == 0 && self.wrong == 0 && self.rekeyed == 0
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lost, wrong, again, rekeyed } = self;
        write!(f, "{lost} lost, {wrong} wrong, {again} again, {rekeyed} of them with another key")
    }
}

/// Compares what came with what should have come; each expected record is expected once.
#[must_use]
pub fn compare(expected: &[Taken], came: &[Taken]) -> Difference {
    let mut difference = Difference::default();
    // The key of the first time; none yet.
    let mut seen: HashMap<(u64, u64, u64), Option<u64>> =
        expected.iter().map(|taken| (taken.content(), None)).collect();
    for taken in came {
        match seen.get_mut(&taken.content()) {
            None => difference.wrong += 1,
            Some(first @ None) => *first = Some(taken.key),
            Some(Some(key)) => {
                difference.again += 1;
                difference.rekeyed += usize::from(*key != taken.key);
            }
        }
    }
    difference.lost = seen.values().filter(|key| key.is_none()).count();
    difference
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn taken(id: u64, op: &str, data: u64, key: u64) -> Taken {
        Taken { key, ..Taken::new(id, op, data) }
    }

    #[test]
    fn each_kind_of_difference_is_counted() {
        let expected = [taken(1, "upsert", 1, 0), taken(2, "upsert", 2, 0), taken(3, "delete", 0, 0)];
        let right = [taken(3, "delete", 0, 9), taken(1, "upsert", 1, 7), taken(2, "upsert", 2, 8)];
        assert!(compare(&expected, &right).exact());
        let lost = compare(&expected, &right[1..]);
        assert_eq!(lost, Difference { lost: 1, ..Difference::default() });
        let other_payload = [right[0], right[1], taken(2, "upsert", 3, 8)];
        assert_eq!(compare(&expected, &other_payload), Difference { lost: 1, wrong: 1, ..Difference::default() });
        let other_op = [taken(3, "upsert", 0, 9), right[1], right[2]];
        assert_eq!(compare(&expected, &other_op), Difference { lost: 1, wrong: 1, ..Difference::default() });
        let again = compare(&expected, &[&right[..], &right[1..2]].concat());
        assert_eq!(again, Difference { again: 1, ..Difference::default() });
        assert!(again.complete() && !again.exact());
        let rekeyed = compare(&expected, &[&right[..], &[taken(1, "upsert", 1, 6)]].concat());
        assert_eq!(rekeyed, Difference { again: 1, rekeyed: 1, ..Difference::default() });
        assert!(!rekeyed.complete());
    }

    #[test]
    fn records_travel_whole() {
        let all = [taken(1, "upsert", 2, 3), taken(u64::MAX, "delete", 0, 5)];
        assert_eq!(decode(&encode(&all)).unwrap(), all);
        assert!(decode(&encode(&all)[1..]).is_err());
    }
}
