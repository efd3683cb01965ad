//! What a diff finds: rows that were added, updated or deleted since they were last delivered.

use serde::{Deserialize, Serialize};

use crate::cell::Cell;

/// How a row differs from what was delivered before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ChangeKind {
    /// Its key was not known.
    Added,
    /// Its key was known; its content, or what the Mapping makes of it, is new.
    Updated,
    /// Its key is no longer in the model.
    Deleted,
}

/// The primary key of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Key(pub Box<[Cell]>);

impl Key {
    /// The key's unambiguous bytes: each cell's [`Cell::encode`], in the order of `Model.spec.primaryKey`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 * self.0.len());
        for cell in &self.0 {
            cell.encode(&mut out);
        }
        out
    }

    /// The inverse of [`Key::encode`]; `None` if the bytes are damaged.
    #[must_use]
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut cells = Vec::new();
        while !bytes.is_empty() {
            cells.push(Cell::decode(&mut bytes)?);
        }
        Some(Self(cells.into()))
    }

    /// As JSON: the value of a simple key, an array of a composite one.
    pub fn write_json(&self, out: &mut String) {
        if let [cell] = &*self.0 {
            return cell.write_json(out);
        }
        out.push('[');
        for (at, cell) in self.0.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            cell.write_json(out);
        }
        out.push(']');
    }
}

/// What the state remembers of a row besides its hash, as it was last rendered: a deletion has nothing else to go by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The value that the destination finds the record by, as JSON.
    pub match_key: Option<Box<str>>,
    /// The value that the record was grouped by (a list, an audience), as JSON.
    pub group_key: Option<Box<str>>,
    /// The destination's own id.
    pub remote_id: Option<Box<str>>,
}

/// One change, ready to be rendered.
#[derive(Clone, Debug)]
pub struct Change {
    /// Added, Updated or Deleted.
    pub kind: ChangeKind,
    /// The row's primary key.
    pub key: Key,
    /// The row's cells in the order of [`crate::extraction::Extraction::columns`]; empty for a deletion.
    pub row: Vec<Cell>,
    /// The claim (fencing epoch) that last acknowledged this key, 0 for none: part of the idempotency key. A run that needs several
    /// pods makes several claims, so that no two deliveries of a key have the same.
    pub rev: u64,
    /// Hash of the row's used columns; of a deletion, the hash that was last acknowledged.
    pub hash: u64,
    /// The key was stored without being sent (not selected by the sync mode then): a Mirror does not delete it.
    pub unsent: bool,
    /// The state knows the key as delivered or seen. Only a deletion can be of another: of a row that was sent and never acknowledged.
    pub known: bool,
    /// What was remembered when the row was last delivered.
    pub memory: Memory,
    /// Where the diff engine that offers it finds it again: its own number, without meaning for others.
    pub place: u64,
}
