//! A result: parts of which each is asked for by itself, within an answer or by a link that holds for some minutes.
//!
//! A part that breaks off, and a link that is no longer taken, are asked for again, from the row where reading broke: a result does not
//! change.

use backflow_core::code::{Code, Failure};
use jiff::{SignedDuration, Timestamp};

use super::answer::{Chunk, ColumnInfo, ExternalLink};
use super::api::{Answer, Api, Raw};
use super::errors;
use crate::rest::page::Page;
use crate::rest::scan::Scanner;

/// How often in a row a part may break off without a row that came through.
const BREAKS: u32 = 5;
/// A link that holds for less is not used.
const MARGIN: SignedDuration = SignedDuration::from_secs(30);

/// A result whose first part is here.
pub(super) struct ResultSet {
    id: String,
    pub(super) columns: Vec<ColumnInfo>,
    chunks: u64,
    rows: u64,
    first: Option<(Chunk, Vec<Raw>)>,
}

impl ResultSet {
    /// From the answer of a statement that succeeded; `None` if the service left rows out.
    pub(super) fn read(id: String, answer: Answer) -> Option<Self> {
        let manifest = answer.envelope.manifest.unwrap_or_default();
        let first = answer.envelope.result.map(|chunk| (chunk, answer.rows));
        let (chunks, rows) = (manifest.total_chunk_count, manifest.total_row_count);
        (!manifest.truncated).then_some(Self { id, columns: manifest.schema.columns, chunks, rows, first })
    }
}

/// Reads a result, a bounded piece at a time.
pub(super) struct Cursor<'a> {
    api: &'a Api,
    result: ResultSet,
    /// The part that is read.
    number: u64,
    page: Option<Page<'a>>,
    /// Rows of the part that came through.
    done: u64,
    /// Rows of all parts before it.
    before: u64,
    breaks: u32,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(api: &'a Api, result: ResultSet) -> Self {
        Self { api, result, number: 0, page: None, done: 0, before: 0, breaks: 0 }
    }

    /// Hands out the rows of the next piece. Whether there may be more.
    ///
    /// # Errors
    /// What `row` says; `ConnectionFailed`, `WarehouseUnavailable`.
    pub(super) async fn piece(&mut self, mut row: impl FnMut(&[u8]) -> Result<(), Failure>) -> Result<bool, Failure> {
        loop {
            if self.number >= self.result.chunks {
                let whole = self.before == self.result.rows;
                return if whole { Ok(false) } else { Err(self.api.service.broken()) };
            }
            let Some(page) = &mut self.page else {
                match self.open().await {
                    Ok(Some(rows)) => {
                        rows.iter().try_for_each(|bytes| row(bytes))?;
                        self.ended(rows.len() as u64);
                        return Ok(true);
                    }
                    Ok(None) => {}
                    Err(failure) => self.again(failure).await?,
                }
                continue;
            };
            let more = page.piece(&mut row).await;
            let passed = page.passed();
            match more {
                Ok(true) => return Ok(true),
                Ok(false) => self.ended(self.done + passed),
                Err(failure) => {
                    self.page = None;
                    self.done += passed;
                    self.breaks = if passed > 0 { 0 } else { self.breaks };
                    self.again(failure).await?;
                }
            }
        }
    }

    fn ended(&mut self, rows: u64) {
        self.before += rows;
        self.number += 1;
        (self.page, self.done, self.breaks) = (None, 0, 0);
    }

    /// Waits for another try, if this failure may pass.
    async fn again(&mut self, failure: Failure) -> Result<(), Failure> {
        self.breaks += 1;
        let passing = matches!(failure.code, Code::ConnectionFailed | Code::WarehouseUnavailable);
        if !passing || self.breaks > BREAKS {
            return Err(failure);
        }
        tokio::time::sleep(self.api.pause()).await;
        Ok(())
    }

    /// Opens the part: a page of it, or its rows.
    async fn open(&mut self) -> Result<Option<Vec<Raw>>, Failure> {
        let first = self.result.first.take().filter(|_| self.number == 0);
        let (chunk, rows) = match first {
            Some(first) if !stale(&first.0) => first,
            _ => self.api.chunk(&self.result.id, self.number).await?,
        };
        let link = chunk.external_links.iter().find(|link| link.chunk_index == self.number);
        let Some(link) = link else {
            let whole = chunk.external_links.is_empty() && chunk.row_count == rows.len() as u64;
            return if whole { Ok(Some(rows)) } else { Err(self.api.service.broken()) };
        };
        let strange = || self.api.service.strange(200);
        let to = self.api.service.link(&link.external_link, &link.http_headers).ok_or_else(strange)?;
        let response = self.api.fetch(&to).await?.ok_or_else(|| errors::link_refused(self.api))?;
        self.page = Some(Page::new(&self.api.service, response, Scanner::bare(), link.row_count, self.done));
        Ok(None)
    }
}

/// Whether a link of the part is, or soon will be, too old.
fn stale(chunk: &Chunk) -> bool {
    let old = |link: &ExternalLink| {
        let until = link.expiration.as_ref().and_then(|until| until.parse::<Timestamp>().ok());
        until.is_some_and(|until| until.duration_since(Timestamp::now()) < MARGIN)
    };
    chunk.external_links.iter().any(old)
}
