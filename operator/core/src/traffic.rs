//! What a run saw of its destination: answers, time, waits.

use serde::{Deserialize, Serialize};

/// What an answer to a request meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// Taken; what became of each record is said by the outcomes.
    Taken,
    /// Refused for its content or size.
    Rejected,
    /// Too fast.
    Throttled,
    /// No answer, or a fault of the destination that may pass.
    Failed,
    /// Refused for credentials or configuration.
    Refused,
}

/// Counted over a run, with what earlier pods of it committed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Traffic {
    /// Answers by [`Answered`].
    pub taken: u64,
    /// See [`Answered::Rejected`].
    pub rejected: u64,
    /// See [`Answered::Throttled`].
    pub throttled: u64,
    /// See [`Answered::Failed`].
    pub failed: u64,
    /// See [`Answered::Refused`].
    pub refused: u64,
    /// Milliseconds from requests to their answers, of all requests together.
    pub request_ms: u64,
    /// Milliseconds that batches waited because the destination, or a rate of its, allowed no more. Of all batches together: those that
    /// wait at once count each.
    pub throttled_ms: u64,
    /// How often a batch, or a part of it, was tried again.
    pub retries: u64,
    /// How often the run left the destination alone because one request after the other failed.
    pub breaks: u64,
}

impl Traffic {
    /// Adds what one batch saw.
    pub fn add(&mut self, other: &Self) {
        self.taken += other.taken;
        self.rejected += other.rejected;
        self.throttled += other.throttled;
        self.failed += other.failed;
        self.refused += other.refused;
        self.request_ms += other.request_ms;
        self.throttled_ms += other.throttled_ms;
        self.retries += other.retries;
        self.breaks += other.breaks;
    }

    /// Counts an answer.
    pub fn count(&mut self, answered: Answered) {
        match answered {
            Answered::Taken => self.taken += 1,
            Answered::Rejected => self.rejected += 1,
            Answered::Throttled => self.throttled += 1,
            Answered::Failed => self.failed += 1,
            Answered::Refused => self.refused += 1,
        }
    }

    /// Whether nothing was seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
