//! Deciding: when to send, when to wait, what an answer means, when to split a batch, when to end the run.

mod backoff;
mod classify;
mod engine;
mod lanes;
mod line;
mod stopper;
mod trouble;

use std::time::Duration;

use async_trait::async_trait;
use backflow_core::code::Failure;
use backflow_core::record::{Outcome, Record};

use crate::results::{Fault, Verdict};

pub(crate) use backoff::Backoff;
pub(crate) use classify::{Class, Words, by_status};
pub(crate) use engine::{Engine, Settings, too_large};
pub(crate) use lanes::lanes_of;
pub(crate) use line::{Line, Tally};
pub(crate) use stopper::Stopper;
pub(crate) use trouble::Trouble;

/// What an action makes of records, one part of a batch at a time; it knows nothing of retries.
#[async_trait]
pub(crate) trait Transport: Send + Sync {
    /// The records of a batch, serialised.
    type Batch: Send + Sync;

    /// Asks the destination for what must be known before records are prepared; the account's own name, if there is one. Tried again
    /// as a part is.
    ///
    /// # Errors
    /// Why it cannot be asked, and whether that may go better.
    async fn open(&self, _line: &Line<'_>) -> Result<Option<String>, Trouble> {
        Ok(None)
    }

    /// Holds the names of the mapped fields to what [`Transport::open`] learned.
    ///
    /// # Errors
    /// What the destination does not have, or what it needs.
    fn fits(&self, _fields: &[String]) -> Result<(), Failure> {
        Ok(())
    }

    /// Serialises records, each once, and says which go together.
    fn prepare(&self, records: &[Record]) -> Prepared<Self::Batch>;

    /// Bytes of a part's request.
    fn size(&self, batch: &Self::Batch, part: &[u32]) -> usize;

    /// Whether a refusal that names no record of the part is followed up by halving it.
    fn bisects(&self, batch: &Self::Batch, part: &[u32]) -> bool;

    /// Whether sending records again that may have been taken does no harm.
    fn repeats(&self) -> bool;

    /// See [`backflow_core::sink::Sink::unfinished`].
    async fn unfinished(&self) -> Vec<Vec<String>> {
        Vec::new()
    }

    /// Nothing more is sent.
    async fn finish(&self) {}

    /// Sends a part: with all requests that it takes, each let through by the line.
    async fn attempt(&self, records: &[Record], batch: &Self::Batch, part: &[u32], line: &Line<'_>) -> Reply;
}

/// A batch before its first request.
pub(crate) struct Prepared<B> {
    pub(crate) batch: B,
    /// Positions of the records that go together, in the order they are sent.
    pub(crate) parts: Vec<Vec<u32>>,
    /// What is known without a request.
    pub(crate) settled: Vec<(u32, Outcome)>,
    /// Records that are not sent because another one stands for them, and which.
    pub(crate) followers: Vec<(u32, u32)>,
    /// What no two requests in flight may both be about: hashes of the keys that the destination finds records by.
    pub(crate) lanes: Vec<u64>,
}

/// What became of a part.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// One verdict for each record of the part.
    Verdicts {
        verdicts: Vec<Verdict>,
        /// Some failed, and which cannot be told: fewer at once would.
        ambiguous: bool,
        /// Nothing more is to be sent.
        stop: Option<Failure>,
    },
    /// Refused as a whole for its content.
    Refused { status: u16, fault: Fault },
    /// Refused as a whole because it is too large.
    TooLarge,
    /// It may go better the next time.
    Again {
        why: Failure,
        /// How long to wait, if that is said.
        wait: Option<Duration>,
        /// The whole connection waits.
        throttled: bool,
    },
    /// It was taken, but what the answer says cannot be read.
    Unreadable(Failure),
    /// It may have arrived, and must not arrive twice.
    Unknown,
    /// Credentials or configuration, or a stop was asked for: nothing is acknowledged, the run ends.
    Stop(Failure),
}
