//! What goes wrong, and when.

use std::collections::{BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

/// How a receiver behaves. The default takes everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Script {
    /// What becomes of the next requests, one each, in order.
    pub next: VecDeque<Fault>,
    /// What becomes of every request after those.
    pub always: Option<Fault>,
    /// Batches of more records get 413.
    pub max_records: Option<usize>,
    /// Batches that hold one of these ids (as JSON text) get 422.
    pub poison: BTreeSet<String>,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Fault {
    /// Nothing goes wrong.
    Pass,
    /// Nothing is taken, and this is the answer. Its body repeats the request's, as vendors' error texts do.
    Status {
        /// HTTP status.
        status: u16,
        /// The header `Retry-After`.
        #[serde(default)]
        retry_after: Option<RetryAfter>,
    },
    /// Nothing is taken, and a login page is the answer, with status 200.
    Html,
    /// Nothing is taken, and the connection is reset.
    Reset,
    /// The batch is taken, and the connection is reset before the answer.
    LostAnswer,
    /// The batch is taken, the status says so, but the answer's body never ends.
    EndlessBody,
    /// The request waits for [`super::Receiver::release`], then nothing goes wrong.
    Hold,
}

/// The forms of `Retry-After`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RetryAfter {
    /// Seconds.
    Seconds(u64),
    /// A date, this many seconds from now.
    Date(u64),
}

impl Script {
    /// The next requests meet these faults.
    #[must_use]
    pub fn next(faults: impl IntoIterator<Item = Fault>) -> Self {
        Self { next: faults.into_iter().collect(), ..Self::default() }
    }

    /// Every request meets this fault.
    #[must_use]
    pub fn always(fault: Fault) -> Self {
        Self { always: Some(fault), ..Self::default() }
    }

    /// What becomes of a request, which uses it up.
    pub(super) fn take(&mut self) -> Fault {
        self.next.pop_front().or_else(|| self.always.clone()).unwrap_or(Fault::Pass)
    }
}

impl Fault {
    /// An answer without a hint.
    #[must_use]
    pub const fn status(status: u16) -> Self {
        Self::Status { status, retry_after: None }
    }
}
