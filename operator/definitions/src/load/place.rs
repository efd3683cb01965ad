//! Values of a definition file with their places, read strictly: what is not asked for is a problem.

use std::time::Duration;

use backflow_core::finding::hint;
use backflow_yaml::{Kind, Node, Position};
use serde_json::Value;

use crate::problem::Problems;

/// A value and its path.
#[derive(Clone, Debug)]
pub(crate) struct Place<'n> {
    pub(crate) node: &'n Node,
    pub(crate) path: String,
}

/// An object that is being read.
pub(crate) struct Object<'n> {
    node: &'n Node,
    pub(crate) path: String,
    asked: Vec<&'static str>,
}

impl<'n> Place<'n> {
    pub(crate) fn new(node: &'n Node, path: impl Into<String>) -> Self {
        Self { node, path: path.into() }
    }

    pub(crate) fn wrong(&self, problems: &mut Problems, message: impl Into<String>) {
        problems.add(self.node.at, &self.path, message);
    }

    /// One part of it.
    pub(crate) fn below(&self, name: &str, node: &'n Node) -> Self {
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        Self { node, path }
    }

    /// Its entries in the order of the file; a key that is there twice is a problem.
    pub(crate) fn entries(&self, problems: &mut Problems) -> Option<Vec<(String, Self)>> {
        let Kind::Map(entries) = &self.node.kind else {
            self.wrong(problems, format!("must be an object, not {}", self.node.noun()));
            return None;
        };
        for (at, entry) in entries.iter().enumerate() {
            if entries[..at].iter().any(|other| other.key == entry.key) {
                let path = self.below(&entry.key, &entry.value).path;
                problems.add(entry.at, &path, "is there twice; remove one");
            }
        }
        Some(entries.iter().map(|entry| (entry.key.clone(), self.below(&entry.key, &entry.value))).collect())
    }

    /// Where the key of one of its entries stands.
    pub(crate) fn key_at(&self, key: &str) -> Position {
        self.node.entry(key).map_or(self.node.at, |entry| entry.at)
    }

    pub(crate) fn object(&self, problems: &mut Problems) -> Option<Object<'n>> {
        self.entries(problems)?;
        Some(Object { node: self.node, path: self.path.clone(), asked: Vec::new() })
    }

    /// Its items, at most `most`.
    pub(crate) fn items(&self, most: usize, problems: &mut Problems) -> Option<Vec<Self>> {
        let Kind::List(items) = &self.node.kind else {
            self.wrong(problems, format!("must be a list, not {}", self.node.noun()));
            return None;
        };
        if items.len() > most {
            self.wrong(problems, format!("has {} items, more than {most}", items.len()));
        }
        let place = |(at, node)| Self { node, path: format!("{}[{at}]", self.path) };
        Some(items.iter().enumerate().map(place).collect())
    }

    pub(crate) fn text(&self, problems: &mut Problems) -> Option<String> {
        match self.node.text() {
            Some("") => {
                self.wrong(problems, "must not be empty");
                None
            }
            Some(text) => Some(text.to_owned()),
            None => {
                let quotes = if matches!(self.node.kind, Kind::Scalar(_)) { "; put quotes around it" } else { "" };
                self.wrong(problems, format!("must be text, not {}{quotes}", self.node.noun()));
                None
            }
        }
    }

    pub(crate) fn texts(&self, most: usize, problems: &mut Problems) -> Option<Vec<String>> {
        Some(self.items(most, problems)?.iter().filter_map(|item| item.text(problems)).collect())
    }

    pub(crate) fn json(&self) -> Value {
        self.node.to_json()
    }

    pub(crate) fn boolean(&self, problems: &mut Problems) -> Option<bool> {
        let value = self.json().as_bool();
        if value.is_none() {
            self.wrong(problems, format!("must be true or false, not {}", self.node.noun()));
        }
        value
    }

    pub(crate) fn whole(&self, range: std::ops::RangeInclusive<u64>, problems: &mut Problems) -> Option<u64> {
        let value = self.json().as_u64().filter(|value| range.contains(value));
        if value.is_none() {
            self.wrong(problems, format!("must be a whole number from {} to {}", range.start(), range.end()));
        }
        value
    }

    /// One of a closed set of words.
    pub(crate) fn one<T: Copy>(&self, words: &[(&str, T)], problems: &mut Problems) -> Option<T> {
        let text = self.text(problems)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let known = hint(&text, words.iter().map(|(word, _)| *word));
            self.wrong(problems, format!("cannot be \"{text}\" {known}"));
        }
        found
    }

    /// `500ms`, `30s`, `15m`, `24h`, `1d`; never nothing, and at most 31 days.
    pub(crate) fn duration(&self, problems: &mut Problems) -> Option<Duration> {
        let found = self.node.text().and_then(|text| {
            let digits = text.find(|char: char| !char.is_ascii_digit())?;
            let count: u64 = text[..digits].parse().ok()?;
            let millis = match &text[digits..] {
                "ms" => 1,
                "s" => 1_000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                _ => return None,
            };
            let duration = count.checked_mul(millis).map(Duration::from_millis)?;
            (!duration.is_zero() && duration <= Duration::from_secs(31 * 86_400)).then_some(duration)
        });
        if found.is_none() {
            self.wrong(problems, "must be a duration such as 500ms, 30s, 15m, 24h or 1d, at most 31d");
        }
        found
    }

    /// Bytes: a number, or `100KB`, `4MB`, `64KiB`, `1MiB`; at most 256 MiB.
    pub(crate) fn size(&self, problems: &mut Problems) -> Option<u64> {
        let found = match self.json() {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.find(|char: char| !char.is_ascii_digit()).and_then(|digits| {
                let unit = match &text[digits..] {
                    "B" => 1,
                    "KB" => 1_000,
                    "MB" => 1_000_000,
                    "KiB" => 1 << 10,
                    "MiB" => 1 << 20,
                    _ => return None,
                };
                text[..digits].parse::<u64>().ok()?.checked_mul(unit)
            }),
            _ => None,
        };
        let found = found.filter(|bytes| (1..=256 << 20).contains(bytes));
        if found.is_none() {
            self.wrong(problems, "must be a size such as 100KB, 4MB or 1MiB, at most 256MiB");
        }
        found
    }
}

impl<'n> Object<'n> {
    /// The value of a key that may be there.
    pub(crate) fn get(&mut self, key: &'static str) -> Option<Place<'n>> {
        self.asked.push(key);
        let value = self.node.get(key)?;
        Some(Place::new(self.node, self.path.as_str()).below(key, value))
    }

    /// Keys that are not judged: what would say whether they belong here cannot be read itself.
    pub(crate) fn spare(&mut self, keys: &[&'static str]) {
        self.asked.extend(keys);
    }

    /// The value of a key that must be there.
    pub(crate) fn need(&mut self, key: &'static str, problems: &mut Problems) -> Option<Place<'n>> {
        let found = self.get(key);
        if found.is_none() {
            let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
            problems.add(self.node.at, &path, "is missing; add it");
        }
        found
    }

    /// The whole of it.
    pub(crate) fn place(&self) -> Place<'n> {
        Place::new(self.node, self.path.as_str())
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.node.get(key).is_some()
    }

    pub(crate) fn wrong(&self, problems: &mut Problems, message: impl Into<String>) {
        problems.add(self.node.at, &self.path, message);
    }

    /// Every key that nobody asked for is a problem.
    pub(crate) fn finish(self, problems: &mut Problems) {
        let place = Place::new(self.node, self.path.as_str());
        for entry in self.node.entries() {
            if !self.asked.contains(&entry.key.as_str()) {
                let path = place.below(&entry.key, &entry.value).path;
                let known = hint(&entry.key, self.asked.iter().copied());
                // `{description: Where, and why}` is read as two keys, of which the second has no value.
                let message = if entry.value.is_null() && entry.key.contains(' ') {
                    format!(
                        "\"{}\" is read as a key, for a comma stands before it: put quotes around a text with a comma in it",
                        entry.key
                    )
                } else {
                    format!("there is no key \"{}\" here {known}", entry.key)
                };
                problems.add(entry.at, &path, message);
            }
        }
    }
}
