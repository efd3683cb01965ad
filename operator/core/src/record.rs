//! A change after field mapping, and what became of it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::change::{Change, Memory};
use crate::code::cut;
use crate::selection::Operation;

/// The idempotency key of one delivery: 22 characters of `A-Za-z0-9_-` (132 bits of a SHA-256). The same change has the same key in
/// every try, also after a crash; a different delivery of the same row (its content, the Mapping, or what was acknowledged before it is
/// another) never has it.
///
/// The hash is over incarnation, primary key ([`crate::change::Key::encode`]), `rev`, row hash, fingerprint and operation, each preceded
/// by its length in bytes; all numbers are 64 bits, little endian. It must never change: a crash may lie between two versions.
#[must_use]
pub fn idempotency_key(incarnation: &str, change: &Change, fingerprint: &str, operation: Operation) -> String {
    // Put together first: a hash of one piece takes half the time of a hash of twelve.
    let mut bytes = Vec::with_capacity(256);
    let mut part = |write: &dyn Fn(&mut Vec<u8>)| {
        let at = bytes.len();
        bytes.extend_from_slice(&[0; 8]);
        write(&mut bytes);
        let length = (bytes.len() - at - 8) as u64;
        bytes[at..at + 8].copy_from_slice(&length.to_le_bytes());
    };
    part(&|out| out.extend_from_slice(incarnation.as_bytes()));
    part(&|out| change.key.encode_into(out));
    part(&|out| out.extend_from_slice(&change.rev.to_le_bytes()));
    part(&|out| out.extend_from_slice(&change.hash.to_le_bytes()));
    part(&|out| out.extend_from_slice(fingerprint.as_bytes()));
    part(&|out| out.extend_from_slice(operation.as_str().as_bytes()));
    // 22 characters are 132 bits.
    let mut key = URL_SAFE_NO_PAD.encode(&Sha256::digest(&bytes)[..18]);
    key.truncate(22);
    key
}

/// What the destination is given for one change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The primary key as JSON: a value, or an array for composite keys.
    pub id: String,
    /// What is asked of the destination.
    pub op: Operation,
    /// What the destination finds the record by beside the primary key: of a deletion, as it was last rendered.
    pub memory: Memory,
    /// The mapped fields: the text of one JSON object.
    pub data: String,
    /// The record's idempotency key: the same after a crash, new for every new delivery.
    pub key: String,
}

/// What became of a record. Every record that is handed to a sink gets exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The destination acknowledged it.
    Delivered {
        /// The destination's own id, when the answer tells.
        remote_id: Option<Box<str>>,
    },
    /// The destination, or the mapping, says that its content is wrong: not sent again until row or Mapping change.
    Rejected(Rejection),
    /// It was not acknowledged for another reason: the next run finds it changed again.
    Retrying,
}

/// Why a record's content was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// A stable code of ours, such as `HTTP_422` or `NULL_NOT_ALLOWED`.
    pub code: String,
    /// The destination field at fault, if known.
    pub field: Option<String>,
    /// Our own sentence, without row data.
    pub message: String,
}

impl Rejection {
    /// Makes a rejection, cutting each text to a bound that the rejects table and the result hold.
    #[must_use]
    pub fn new(code: impl Into<String>, field: Option<&str>, message: impl Into<String>) -> Self {
        Self {
            code: cut(code.into(), 64),
            field: field.map(|field| cut(field.to_owned(), 128)),
            message: cut(message.into(), 256),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::Cell;
    use crate::change::{ChangeKind, Key};
    use crate::encode::EncodedRow;

    fn change(keys: &[&str], rev: u64, hash: u64) -> Change {
        Change {
            kind: ChangeKind::Updated,
            key: Key(keys.iter().map(|text| Cell::Text((*text).into())).collect()),
            row: EncodedRow::default(),
            rev,
            hash,
            unsent: false,
            known: true,
            duplicate: false,
            memory: Memory::default(),
            place: 0,
        }
    }

    #[test]
    fn the_key_of_a_delivery_never_changes_between_versions() {
        let key = idempotency_key("i", &change(&["a"], 1, 2), "f", Operation::Upsert);
        assert_eq!(key, "y2kxrxiQvvmY50IsDp4dbo");
    }

    #[test]
    fn each_part_makes_another_key() {
        let keys: std::collections::BTreeSet<String> = [
            idempotency_key("i", &change(&["a"], 1, 2), "f", Operation::Upsert),
            idempotency_key("j", &change(&["a"], 1, 2), "f", Operation::Upsert),
            idempotency_key("i", &change(&["b"], 1, 2), "f", Operation::Upsert),
            idempotency_key("i", &change(&["a", ""], 1, 2), "f", Operation::Upsert),
            idempotency_key("i", &change(&["a"], 2, 2), "f", Operation::Upsert),
            idempotency_key("i", &change(&["a"], 1, 1), "f", Operation::Upsert),
            idempotency_key("i", &change(&["a"], 1, 2), "g", Operation::Upsert),
            idempotency_key("i", &change(&["a"], 1, 2), "f", Operation::Delete),
            idempotency_key("if", &change(&["a"], 1, 2), "", Operation::Upsert),
        ]
        .into();
        assert_eq!(keys.len(), 9);
    }
}
