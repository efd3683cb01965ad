//! Objects as rows of a table in a warehouse.
//!
//! | column | holds |
//! |---|---|
//! | `name` | the object's name |
//! | `writing` | random, the same in all parts of one writing |
//! | `part`, `parts` | the part's number from 0, and how many there are |
//! | `encoding` | `text`, or `base64` of bytes that are no text |
//! | `content` | the part |
//! | `bytes` | its length before it was encoded |
//! | `written_at` | when, by the warehouse's clock |
//!
//! An object is there when all parts of one writing are; the newest such writing counts. Heads, runs and rejects are texts, so that people
//! read them with SQL.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backflow_core::code::{Code, Failure};
use backflow_core::state::PATIENCE;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::head::damaged;
use super::objects::{Found, Objects};
use crate::diff::pushdown::statement::Statement;

/// [`ObjectTable::patience`] where each statement is billed, or takes seconds.
pub(crate) const DEAR: Duration = Duration::from_secs(60);

/// Bytes of a part: with what encoding adds, below what any of the services takes for one statement.
const PART: usize = 384 * 1024;
/// Objects that are removed by one statement.
const REMOVED: usize = 500;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) writing: String,
    pub(crate) part: usize,
    pub(crate) parts: usize,
    pub(crate) encoding: Encoding,
    pub(crate) content: String,
    pub(crate) bytes: usize,
}

impl Part {
    /// Reads the columns writing, part, parts, encoding, content and bytes; `None` if they are not as they were written.
    pub(crate) fn read(name: &str, row: Vec<Option<String>>) -> Option<Self> {
        let [writing, part, parts, encoding, content, bytes] = <[_; 6]>::try_from(row).ok()?;
        Some(Self {
            name: name.to_owned(),
            writing: writing?,
            part: part?.parse().ok()?,
            parts: parts?.parse().ok()?,
            encoding: Encoding::of(&encoding?)?,
            content: content?,
            bytes: bytes?.parse().ok()?,
        })
    }
}

/// How a part's bytes are written as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Text,
    Base64,
}

impl Encoding {
    /// As the column says it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Base64 => "base64",
        }
    }

    /// From the column.
    fn of(text: &str) -> Option<Self> {
        [Self::Text, Self::Base64].into_iter().find(|encoding| encoding.as_str() == text)
    }
}

/// The statements of one warehouse over its table. Each ends by itself, and may be given twice.
#[async_trait]
pub(crate) trait ObjectTable: Send + Sync {
    /// The place, for messages.
    fn place(&self) -> String;

    /// See [`backflow_core::state::StateStore::patience`].
    fn patience(&self) -> Duration {
        PATIENCE
    }

    /// Makes schema and table where they are not there.
    async fn prepare(&self) -> Result<(), Failure>;

    /// All parts of an object, the newest writing last.
    async fn parts(&self, name: &str) -> Result<Vec<Part>, Failure>;

    /// Adds a row, unless there is one of its writing and part.
    async fn add(&self, part: &Part) -> Result<(), Failure>;

    /// Adds a row if there is none of its name: of all writers at once, only one does.
    async fn add_first(&self, part: &Part) -> Result<(), Failure>;

    /// As [`ObjectTable::add_first`], with these statements in the same transaction, unless a row of the same folder has a later name.
    /// Whether the row is there: the statements have run if it is, and not if it is not.
    async fn add_last(&self, part: &Part, _with: &[Statement]) -> Result<bool, Failure> {
        let message = format!("{} runs no statements with {}; please report it", self.place(), part.name);
        Err(Failure::new(Code::Internal, message))
    }

    /// See [`Objects::forgetting`].
    async fn forgetting(&self, _state_key: &str) -> Result<Vec<Statement>, Failure> {
        Ok(Vec::new())
    }

    /// Removes all rows of the name that are not of this writing.
    async fn remove_others(&self, name: &str, writing: &str) -> Result<(), Failure>;

    /// Names that begin with `prefix`, with their bytes.
    async fn names(&self, prefix: &str) -> Result<Vec<(String, u64)>, Failure>;

    /// What stands before the first slash of any name.
    async fn folders(&self) -> Result<Vec<String>, Failure>;

    /// Removes all rows of these names.
    async fn remove(&self, names: &[String]) -> Result<(), Failure>;

    /// Removes the tables that the pushdown engine has for a state that was forgotten.
    async fn forgotten(&self, _state_key: &str) -> Result<(), Failure> {
        Ok(())
    }
}

/// Objects in such a table.
pub(super) struct Table(pub(super) Arc<dyn ObjectTable>);

/// What an object is written as.
fn split(name: &str, bytes: &[u8]) -> Result<Vec<Part>, Failure> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| bytes.len() <= PART && !text.contains('\0'));
    let mut random = [0; 16];
    getrandom::fill(&mut random)
        .map_err(|_| Failure::new(Code::Internal, "the operating system gives no random numbers"))?;
    let writing = random.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    });
    let part = |part, parts, encoding, content, bytes| {
        let (name, writing) = (name.to_owned(), writing.clone());
        Part { name, writing, part, parts, encoding, content, bytes }
    };
    if let Some(text) = text {
        return Ok(vec![part(0, 1, Encoding::Text, text.to_owned(), bytes.len())]);
    }
    let chunks: Vec<&[u8]> = bytes.chunks(PART).collect();
    let of =
        |(at, chunk): (usize, &&[u8])| part(at, chunks.len(), Encoding::Base64, STANDARD.encode(chunk), chunk.len());
    Ok(chunks.iter().enumerate().map(of).collect())
}

/// The same of an object that must not be written in parts.
fn whole(name: &str, bytes: &[u8]) -> Result<Part, Failure> {
    let [part] = <[Part; 1]>::try_from(split(name, bytes)?).map_err(|parts| {
        let message = format!("{} would have {} parts, and may have one; please report it", name, parts.len());
        Failure::new(Code::Internal, message)
    })?;
    Ok(part)
}

/// The newest writing of which all parts are there, with its bytes.
fn join(parts: Vec<Part>, place: &str) -> Result<Option<(String, Bytes)>, Failure> {
    let mut writings: Vec<(String, BTreeMap<usize, Part>)> = Vec::new();
    for part in parts {
        match writings.iter_mut().find(|(writing, _)| *writing == part.writing) {
            Some((_, known)) => drop(known.insert(part.part, part)),
            None => writings.push((part.writing.clone(), BTreeMap::from([(part.part, part)]))),
        }
    }
    let whole = |parts: &BTreeMap<usize, Part>| {
        parts
            .first_key_value()
            .is_some_and(|(_, first)| first.parts == parts.len() && parts.contains_key(&(first.parts - 1)))
    };
    let Some((writing, parts)) = writings.into_iter().rev().find(|(_, parts)| whole(parts)) else { return Ok(None) };
    let mut bytes = Vec::with_capacity(parts.values().map(|part| part.bytes).sum());
    for part in parts.values() {
        let wrong = || damaged(&format!("{} in {place} is not in its encoding", part.name));
        match part.encoding {
            Encoding::Text => bytes.extend_from_slice(part.content.as_bytes()),
            Encoding::Base64 => STANDARD.decode_vec(&part.content, &mut bytes).map_err(|_| wrong())?,
        }
    }
    Ok(Some((writing, bytes.into())))
}

#[async_trait]
impl Objects for Table {
    fn place(&self) -> String {
        self.0.place()
    }

    fn patience(&self) -> Duration {
        self.0.patience()
    }

    async fn prepare(&self) -> Result<(), Failure> {
        self.0.prepare().await
    }

    async fn get(&self, name: &str) -> Result<Option<Bytes>, Failure> {
        Ok(join(self.0.parts(name).await?, &self.place())?.map(|(_, bytes)| bytes))
    }

    async fn create(&self, name: &str, bytes: Bytes) -> Result<bool, Failure> {
        let part = whole(name, &bytes)?;
        self.0.add_first(&part).await?;
        // Who has added it is known by looking, also if an answer was lost.
        let found = join(self.0.parts(name).await?, &self.place())?;
        Ok(found.is_some_and(|(writing, found)| writing == part.writing || found == bytes))
    }

    async fn create_with(&self, name: &str, bytes: Bytes, with: &[Statement]) -> Result<bool, Failure> {
        self.0.add_last(&whole(name, &bytes)?, with).await
    }

    async fn forgetting(&self, state_key: &str) -> Result<Vec<Statement>, Failure> {
        self.0.forgetting(state_key).await
    }

    async fn put(&self, name: &str, bytes: Bytes) -> Result<(), Failure> {
        let parts = split(name, &bytes)?;
        for part in &parts {
            self.0.add(part).await?;
        }
        match parts.first() {
            Some(part) => self.0.remove_others(name, &part.writing).await,
            None => Ok(()),
        }
    }

    async fn list(&self, folder: &str) -> Result<Vec<Found>, Failure> {
        let mut found: Vec<Found> =
            self.0.names(&format!("{folder}/")).await?.into_iter().map(|(name, bytes)| Found { name, bytes }).collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    async fn folders(&self) -> Result<Vec<String>, Failure> {
        let mut folders = self.0.folders().await?;
        folders.sort();
        Ok(folders)
    }

    async fn remove(&self, names: Vec<String>) -> Result<(), Failure> {
        for names in names.chunks(REMOVED) {
            self.0.remove(names).await?;
        }
        Ok(())
    }

    async fn forgotten(&self, state_key: &str) -> Result<(), Failure> {
        self.0.forgotten(state_key).await
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
