//! From an answer to one verdict for each record: what a destination reports, held against what was sent.
//!
//! Whatever the answer says, [`account()`] gives as many verdicts as records were sent. Entries may be missing, told twice, or be about
//! records that were never sent; none of that makes a record delivered that was not said to be.

mod account;
mod fault;

use backflow_core::record::Outcome;

pub(crate) use account::{Accounts, Unaccounted, account};
pub(crate) use fault::Fault;

/// What became of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The destination has it, or will have.
    Delivered {
        /// Its own id.
        remote_id: Option<Box<str>>,
    },
    /// Its content is wrong.
    Rejected(Fault),
    /// Decided before the request: it was not part of it.
    Settled(Outcome),
    /// It may go better in a moment.
    Again,
    /// Nothing was said about it that could be believed: the next run sends it again.
    Unclear,
}

/// What an entry of an answer says of its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryClass {
    /// Delivered, or already as it should be.
    Taken,
    /// Rejected for its content.
    Rejected,
    /// Not now.
    Again,
}

/// An entry of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) class: EntryClass,
    pub(crate) remote_id: Option<Box<str>>,
    pub(crate) fault: Fault,
}

impl Entry {
    fn verdict(&self) -> Verdict {
        match self.class {
            EntryClass::Taken => Verdict::Delivered { remote_id: self.remote_id.clone() },
            EntryClass::Rejected => Verdict::Rejected(self.fault.clone()),
            EntryClass::Again => Verdict::Again,
        }
    }
}

/// What an answer reports, as the definition's rules read it.
#[derive(Clone, Debug)]
pub(crate) enum Report {
    /// One verdict for all: taken. A refusal of all never comes here.
    Whole,
    /// Entries in the order of the request.
    ByIndex(Vec<Entry>),
    /// Entries of failed records, by their position in the request; none when the position cannot be read.
    ErrorsByIndex(Vec<(Option<u64>, Entry)>),
    /// Entries by the token that was sent with each record.
    Correlated {
        /// The tokens that were sent, in the order of the request.
        sent: Vec<String>,
        entries: Vec<(Option<String>, Entry)>,
    },
    /// Entries of failed records by a key of theirs, which several may share.
    FailedKeys {
        /// The keys of each record, in the order of the request: none, or one for each way to name it.
        sent: Vec<Vec<String>>,
        entries: Vec<(Option<String>, Entry)>,
    },
    /// Totals only.
    Counts {
        /// Taken, if it is said.
        taken: Option<u64>,
        failed: u64,
    },
    /// Taken for later; what becomes of it is never said.
    Accepted,
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
