//! YAML as Kubernetes reads it, with the place of everything.
//!
//! `kubectl` reads YAML by the rules of version 1.1 and turns it into JSON: `n` is false, `007` is seven, and of two equal keys the last
//! one counts. This module does the same, and remembers where each value stood and how it was written, so that whoever checks a
//! manifest can say so.

mod locate;
mod read;
mod scalar;

pub use read::read;

use serde_json::Value;

/// A place in a file, counted from 1, in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// A value and where it begins.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it begins.
    pub at: Position,
    /// What it is.
    pub kind: Kind,
}

/// What a [`Node`] is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Text, number, boolean or null.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// An object: its entries in the order of the file, equal keys included.
    Map(Vec<Entry>),
}

/// A scalar as it is read and as it was written.
#[derive(Clone, Debug)]
pub struct Scalar {
    /// As it is read.
    pub value: Value,
    /// As it was written, if that is without quotes and is not text: `007`, `no`.
    pub plain: Option<String>,
}

/// One entry of an object.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key, as JSON has it.
    pub key: String,
    /// The key as it was written, if it is not read as text: `n` is read as `false`.
    pub plain: Option<String>,
    /// Where the key begins.
    pub at: Position,
    /// The value.
    pub value: Node,
}

impl From<&Value> for Node {
    /// A value that was in no file: everything in it is at line 0.
    fn from(value: &Value) -> Self {
        let at = Position::default();
        let kind = match value {
            Value::Array(items) => Kind::List(items.iter().map(Self::from).collect()),
            Value::Object(members) => {
                let entry =
                    |(key, value): (&String, &Value)| Entry { key: key.clone(), plain: None, at, value: value.into() };
                Kind::Map(members.iter().map(entry).collect())
            }
            scalar => Kind::Scalar(Scalar { value: scalar.clone(), plain: None }),
        };
        Self { at, kind }
    }
}

impl Node {
    /// The value as JSON. Of equal keys the last one counts, as in Kubernetes.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match &self.kind {
            Kind::Scalar(scalar) => scalar.value.clone(),
            Kind::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Kind::Map(entries) => {
                Value::Object(entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect())
            }
        }
    }

    /// The entry with this key; of equal keys the last one.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().rfind(|entry| entry.key == key)
    }

    /// The value of the entry with this key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The entries; none if it is no object.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        if let Kind::Map(entries) = &self.kind { entries } else { &[] }
    }

    /// The text, if it is text.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        if let Kind::Scalar(scalar) = &self.kind { scalar.value.as_str() } else { None }
    }

    /// Whether it is null, or nothing was written.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar(scalar) if scalar.value.is_null())
    }

    /// What it is, for a sentence.
    #[must_use]
    pub fn noun(&self) -> &'static str {
        match &self.kind {
            Kind::List(_) => "a list",
            Kind::Map(_) => "an object",
            Kind::Scalar(scalar) => match &scalar.value {
                Value::Null => "empty",
                Value::Bool(_) => "a boolean",
                Value::Number(_) => "a number",
                _ => "text",
            },
        }
    }
}
