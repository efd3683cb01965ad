//! The seam between a run and a destination.

use std::time::Duration;

use async_trait::async_trait;

use crate::code::Failure;
use crate::record::{Outcome, Record};
use crate::traffic::Traffic;

/// How large a batch may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Records in a batch, at least 1.
    pub max_records: usize,
    /// Bytes of a batch's [`Record::data`] together.
    pub max_bytes: usize,
    /// Batches in flight at once, at least 1.
    pub concurrency: usize,
}

/// What became of a batch.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// One outcome for each record, in the batch's order.
    pub outcomes: Vec<Outcome>,
    /// Requests that were made, with retries.
    pub requests: u64,
    /// Body bytes that were sent, with retries.
    pub bytes: u64,
    /// What was answered, and how long that took.
    pub traffic: Traffic,
    /// Set when the run should end instead of sending more: credentials, configuration, retries used up, or a stop was asked for.
    pub stop: Option<Failure>,
}

/// Characters of a record's key by which [`Sink::unfinished`] names it: enough to tell the records of a run apart.
pub const KEY_BEGINNING: usize = 8;

/// A batch of records in, one outcome for each record out. Implementations retry, honour the destination's limits and never
/// keep a record back: when they return, everything is said.
#[async_trait]
pub trait Sink: Send + Sync {
    /// The sizes that this destination takes.
    fn limits(&self) -> BatchLimits;

    /// Makes sure that records can be sent, before any is, where that takes more than a request: connects, and holds `fields`, the
    /// names of the mapped fields, to what the destination has. Gives what tells this account from every other, whatever it is called,
    /// if that can be asked.
    ///
    /// # Errors
    /// What the destination says, and what it does not have.
    async fn ready(&self, _fields: &[String]) -> Result<Option<String>, Failure> {
        Ok(None)
    }

    /// Sends one batch. All records of a batch have one operation. Called concurrently, up to [`BatchLimits::concurrency`].
    ///
    /// When the run is asked to stop, a request in flight is finished and nothing new is begun; what was not sent is `Retrying`.
    async fn deliver(&self, batch: &[Record]) -> Delivery;

    /// Batches that an earlier pod sent and whose outcome the destination can still be asked for: the first [`KEY_BEGINNING`] characters of
    /// their records' keys, in order. If just these records are delivered as one batch, in this order, they are not sent again.
    async fn unfinished(&self) -> Vec<Vec<String>> {
        Vec::new()
    }

    /// Nothing more is delivered: what the next run has to know of this one is kept. Ends by itself.
    async fn finish(&self) {}

    /// How much longer the destination wants to be left alone, if it asked for that.
    fn throttled(&self) -> Option<Duration> {
        None
    }
}
