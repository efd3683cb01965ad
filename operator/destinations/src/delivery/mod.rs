//! Deciding: when to send, when to wait, what an answer means, when to split a batch, when to end the run.

mod backoff;
mod classify;
mod engine;
mod gate;
mod stopper;

use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use backflow_core::code::{Code, Failure};
use backflow_core::record::Record;
use bytes::Bytes;

pub(crate) use engine::Engine;

/// From a request's first byte to its status line.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Makes one request, and knows nothing of retries.
#[async_trait]
pub(crate) trait Transport: Send + Sync {
    /// What messages call the destination: never with a credential or a query.
    fn shown(&self) -> &str;

    /// Serialises records, each once.
    fn encode(&self, records: &[Record]) -> Batch;

    /// Sends `body`, which holds `records`.
    async fn send(&self, records: &[Record], body: Bytes) -> Result<Answer, Trouble>;
}

/// The JSON array of a batch's items, from which the arrays of its parts are cut.
pub(crate) struct Batch {
    /// `[item,item,item]`.
    pub(crate) body: Bytes,
    /// Of each item, the position after its comma or the closing bracket.
    pub(crate) ends: Vec<usize>,
}

impl Batch {
    /// The array of some of the items.
    fn part(&self, range: &Range<usize>) -> Bytes {
        if range.len() == self.ends.len() {
            return self.body.clone();
        }
        let items = &self.body[self.start(range.start)..self.start(range.end) - 1];
        let mut part = Vec::with_capacity(items.len() + 2);
        part.push(b'[');
        part.extend_from_slice(items);
        part.push(b']');
        part.into()
    }

    /// Bytes of the array of some of the items.
    fn size(&self, range: &Range<usize>) -> usize {
        self.start(range.end) - self.start(range.start) + 1
    }

    fn start(&self, item: usize) -> usize {
        if item == 0 { 1 } else { self.ends[item - 1] }
    }
}

/// What a destination answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// HTTP status.
    pub(crate) status: u16,
    /// How long the destination asks to wait.
    pub(crate) retry_after: Option<Duration>,
    /// The body is a web page.
    pub(crate) html: bool,
}

/// Why there is no answer.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    pub(crate) failure: Failure,
    /// Trying again in this run cannot help.
    pub(crate) fatal: bool,
}

impl Trouble {
    /// No answer within [`REQUEST_TIMEOUT`].
    pub(crate) fn timeout(shown: &str) -> Self {
        let message = format!("{shown} did not answer within {} s", REQUEST_TIMEOUT.as_secs());
        Self { failure: Failure::new(Code::DestinationUnreachable, message), fatal: false }
    }
}
