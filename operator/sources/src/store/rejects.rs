//! The list of rejected records, for people: JSON lines, bounded in rows and bytes.
//!
//! A commit writes what it changed as one object, the fold writes the whole list anew. The list is not what decides whether a record
//! is sent again, the entries are: so it may be cut.

use std::collections::BTreeMap;

use backflow_core::code::Failure;
use backflow_core::state::RejectChange;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::head::Listed;
use super::objects::Objects;

/// Rows that are listed at most.
const ROWS: usize = 10_000;
/// Bytes of keys and messages that are listed at most.
const BYTES: usize = 4 << 20;
/// Files of changes after which the whole list is written anew.
const FILES: usize = 64;

/// A rejected record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    /// The primary key, as JSON.
    key: String,
    operation: String,
    code: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    message: String,
    first_seen: String,
    last_seen: String,
}

impl Row {
    fn bytes(&self) -> usize {
        self.key.len() + self.message.len() + 128
    }
}

/// A line of a file.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Row(Row),
    Removed { removed: String },
}

/// The list, in memory.
#[derive(Debug, Default)]
pub(super) struct Rejects {
    rows: BTreeMap<String, Row>,
    bytes: usize,
}

impl Rejects {
    /// Reads the list. A file that is gone or cannot be read costs its lines and no more.
    pub(super) async fn load(objects: &dyn Objects, folder: &str, listed: &Listed) -> Result<Self, Failure> {
        let mut all = Self::default();
        for file in &listed.files {
            let bytes = objects.get(&format!("{folder}/{file}")).await?.unwrap_or_default();
            let mut unread = usize::from(bytes.is_empty());
            for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                match serde_json::from_slice(line) {
                    Ok(Line::Row(row)) => drop(all.put(row)),
                    Ok(Line::Removed { removed }) => drop(all.remove(&removed)),
                    Err(_) => unread += 1,
                }
            }
            if unread > 0 {
                tracing::warn!(file, unread, "A part of the list of rejected records cannot be read and is left out.");
            }
        }
        Ok(all)
    }

    fn put(&mut self, row: Row) -> bool {
        let replaced = self.remove(&row.key);
        if !replaced && (self.rows.len() >= ROWS || self.bytes + row.bytes() > BYTES) {
            return false;
        }
        self.bytes += row.bytes();
        self.rows.insert(row.key.clone(), row);
        true
    }

    fn remove(&mut self, key: &str) -> bool {
        let removed = self.rows.remove(key);
        self.bytes -= removed.as_ref().map_or(0, Row::bytes);
        removed.is_some()
    }

    /// Changes the list, and returns what a file must say of it; empty: nothing changed. `listed` counts what found no room.
    pub(super) fn apply(&mut self, changes: &[RejectChange], now: &str, listed: &mut Listed) -> Vec<u8> {
        let mut lines = Vec::new();
        for change in changes {
            match change {
                RejectChange::Remove(key) => {
                    if self.remove(key) {
                        write(&mut lines, &Line::Removed { removed: key.clone() });
                    }
                }
                RejectChange::Put(put) => {
                    let first_seen =
                        self.rows.get(&put.key).map_or_else(|| now.to_owned(), |row| row.first_seen.clone());
                    let row = Row {
                        key: put.key.clone(),
                        operation: put.operation.clone(),
                        code: put.rejection.code.clone(),
                        field: put.rejection.field.clone(),
                        message: put.rejection.message.clone(),
                        first_seen,
                        last_seen: now.to_owned(),
                    };
                    if self.put(row.clone()) {
                        write(&mut lines, &Line::Row(row));
                    } else {
                        listed.unlisted += 1;
                    }
                }
            }
        }
        if self.rows.is_empty() {
            listed.unlisted = 0;
        }
        lines
    }

    /// Stores what [`Rejects::apply`] returned as file `name`, or with `whole` the list itself, where that is shorter.
    pub(super) async fn store(
        &self,
        objects: &dyn Objects,
        folder: &str,
        name: String,
        lines: Vec<u8>,
        whole: bool,
        listed: &mut Listed,
    ) -> Result<(), Failure> {
        let whole = listed.files.len() >= FILES || (whole && !(listed.files.len() <= 1 && lines.is_empty()));
        let bytes = if whole { self.text() } else { lines };
        if whole {
            listed.files.clear();
        }
        if !bytes.is_empty() {
            objects.put(&format!("{folder}/{name}"), Bytes::from(bytes)).await?;
            listed.files.push(name);
        }
        Ok(())
    }

    fn text(&self) -> Vec<u8> {
        let mut lines = Vec::new();
        for row in self.rows.values() {
            write(&mut lines, &Line::Row(row.clone()));
        }
        lines
    }
}

fn write(lines: &mut Vec<u8>, line: &Line) {
    if let Ok(text) = serde_json::to_string(line) {
        lines.extend_from_slice(text.as_bytes());
        lines.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use backflow_core::record::Rejection;
    use backflow_core::state::RejectRow;

    fn put(key: &str, message: &str) -> RejectChange {
        let rejection = Rejection::new("HTTP_422", Some("email"), message);
        RejectChange::Put(RejectRow { key: key.into(), operation: "Upsert".into(), rejection })
    }

    #[test]
    fn the_first_time_stays_and_what_was_never_listed_writes_nothing() {
        let (mut list, mut listed) = (Rejects::default(), Listed::default());
        list.apply(&[put("1", "a")], "t1", &mut listed);
        let lines = list.apply(&[put("1", "b"), RejectChange::Remove("2".into())], "t2", &mut listed);
        let text = String::from_utf8(lines).unwrap();
        assert_eq!(text.lines().count(), 1);
        assert!(text.contains("\"firstSeen\":\"t1\"") && text.contains("\"lastSeen\":\"t2\""), "{text}");
    }

    #[test]
    fn a_full_list_counts_what_it_leaves_out() {
        let (mut list, mut listed) = (Rejects::default(), Listed::default());
        let many: Vec<RejectChange> = (0..ROWS + 5).map(|at| put(&at.to_string(), "m")).collect();
        list.apply(&many, "t", &mut listed);
        assert_eq!((list.rows.len(), listed.unlisted), (ROWS, 5));
        list.apply(&[put("0", "n")], "t", &mut listed);
        assert_eq!(listed.unlisted, 5, "a listed one has room");
        let gone: Vec<RejectChange> = (0..ROWS).map(|at| RejectChange::Remove(at.to_string())).collect();
        list.apply(&gone, "t", &mut listed);
        assert_eq!((list.rows.len(), list.bytes, listed.unlisted), (0, 0, 0));
        let large = ["a", "b", "c"].map(|key| put(&key.repeat(BYTES / 2), "m"));
        list.apply(&large, "t", &mut listed);
        assert!(list.bytes <= BYTES && listed.unlisted >= 1);
    }
}
