//! What a diff finds: rows that were added, updated or deleted since they were last delivered.

use std::collections::HashSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::cell::{Cell, write_string};
use crate::encode::EncodedRow;

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
        self.encode_into(&mut out);
        out
    }

    /// Appends what [`Key::encode`] gives.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        for cell in &self.0 {
            cell.encode(out);
        }
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

/// Computes match key and group key of a row, whose cells are in the order of [`crate::extraction::row_columns`]: what a deletion will
/// have to go by. Given to a diff engine, which knows nothing of mappings.
pub type Identify = Arc<dyn Fn(&[Cell]) -> Memory + Send + Sync>;

/// One change, ready to be rendered.
#[derive(Clone, Debug)]
pub struct Change {
    /// Added, Updated or Deleted.
    pub kind: ChangeKind,
    /// The row's primary key.
    pub key: Key,
    /// The row's values in the order of [`crate::extraction::Extraction::columns`]; empty for a deletion.
    pub row: EncodedRow,
    /// The claim (fencing epoch) that last acknowledged this key, 0 for none: part of the idempotency key. A run that needs several
    /// pods makes several claims, so that no two deliveries of a key have the same.
    pub rev: u64,
    /// Hash of the row's used columns; of a deletion, the hash that was last acknowledged.
    pub hash: u64,
    /// The key was stored without being sent (not selected by the sync mode then): a Mirror does not delete it.
    pub unsent: bool,
    /// The state knows the key as delivered or seen. Only a deletion can be of another: of a row that was sent and never acknowledged.
    pub known: bool,
    /// Another row of the result has the same match key and a greater primary key: this one must not be sent.
    pub duplicate: bool,
    /// What was remembered when the row was last delivered.
    pub memory: Memory,
    /// Where the diff engine that offers it finds it again: its own number, without meaning for others.
    pub place: u64,
}

/// Keys that a person names: the value of a simple key as text or as JSON, a composite key as a JSON array.
#[derive(Clone, Debug)]
pub struct NamedKeys(HashSet<String>);

impl NamedKeys {
    /// Takes the names as they are written in a manifest.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut all = HashSet::new();
        for name in names {
            let mut quoted = String::new();
            write_string(name, &mut quoted);
            all.insert(normal(name));
            all.insert(quoted);
        }
        Self(all)
    }

    /// What the first parts of the keys may be, as integers and as texts: whoever looks keys up by them finds all that are meant, and
    /// maybe others.
    pub fn first_parts(&self) -> impl Iterator<Item = Cell> {
        self.0.iter().filter_map(|name| {
            let value = match serde_json::from_str(name).ok()? {
                serde_json::Value::Array(parts) => parts.into_iter().next()?,
                value => value,
            };
            match value {
                serde_json::Value::Number(number) => number.as_i64().map(Cell::Int),
                serde_json::Value::String(text) => Some(Cell::Text(text.into())),
                _ => None,
            }
        })
    }

    /// Whether this key is among them.
    #[must_use]
    pub fn contains(&self, key: &Key) -> bool {
        let mut json = String::new();
        key.write_json(&mut json);
        self.0.contains(&if key.0.len() == 1 { json } else { normal(&json) })
    }
}

/// JSON arrays without what makes no difference; any other text as it is.
fn normal(text: &str) -> String {
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(value @ serde_json::Value::Array(_)) => value.to_string(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_parts_are_whatever_a_name_may_mean() {
        let names = NamedKeys::new(["42", "a b", "[7, \"x\"]", "\"q\""]);
        let parts: Vec<Cell> = names.first_parts().collect();
        for part in
            [Cell::Int(42), Cell::Text("42".into()), Cell::Text("a b".into()), Cell::Int(7), Cell::Text("q".into())]
        {
            assert!(parts.contains(&part), "{part:?} is not among {parts:?}");
        }
    }

    #[test]
    fn keys_are_named_as_text_or_as_json() {
        let is = |key: &Key, name: &str| NamedKeys::new(["other", name]).contains(key);
        let simple = Key([Cell::Int(42)].into());
        assert!(is(&simple, "42") && !is(&simple, "4") && !is(&simple, "\"42\""));
        let text = Key([Cell::Text("a b".into())].into());
        assert!(is(&text, "a b") && is(&text, "\"a b\""));
        let digits = Key([Cell::Text("42".into())].into());
        assert!(is(&digits, "42") && is(&digits, "\"42\""));
        let composite = Key([Cell::Text("eu".into()), Cell::Int(42)].into());
        assert!(is(&composite, "[\"eu\", 42]") && !is(&composite, "[\"eu\", \"42\"]"));
        let large = Key([Cell::Int(i64::MAX)].into());
        assert!(is(&large, "9223372036854775807"));
        let decimal = Key([Cell::Decimal("1.50".into())].into());
        assert!(is(&decimal, "1.50"));
        let date = Key([Cell::Time("2026-01-02".into())].into());
        assert!(is(&date, "2026-01-02"));
    }
}
