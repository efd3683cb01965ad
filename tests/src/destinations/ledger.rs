//! What the vendors took.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The most violations that are kept; a sender that causes so many needs no more of them.
const VIOLATIONS: usize = 1000;

/// Everything that the fakes saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ledger {
    /// By definition.
    pub vendors: BTreeMap<String, Account>,
    /// What a request got wrong that was for none of them; a right sender causes none.
    pub violations: Vec<String>,
}

/// What one vendor saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// Requests by endpoint and status; `reset` if there was no answer.
    pub requests: BTreeMap<String, BTreeMap<String, usize>>,
    /// What became of each record, by its key.
    pub records: BTreeMap<String, Booking>,
    /// Records taken, by operation.
    pub taken: BTreeMap<String, usize>,
    /// Records taken again although they had not changed since.
    pub repeated: usize,
    /// Access tokens issued.
    pub tokens: usize,
    /// What a request got wrong; a right sender causes none.
    pub violations: Vec<String>,
}

/// What became of a record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Booking {
    /// The operation that was last taken, or `rejected`.
    pub ended: String,
    /// How often it was taken.
    pub taken: usize,
    /// How often it was rejected.
    pub rejected: usize,
    /// What was last taken.
    pub content: Value,
}

impl Ledger {
    /// Notes what a request got wrong.
    pub(super) fn violation(&mut self, what: String) {
        note(&mut self.violations, what);
    }

    /// The account with a vendor.
    pub(super) fn account(&mut self, vendor: &str) -> &mut Account {
        self.vendors.entry(vendor.to_owned()).or_default()
    }
}

fn note(violations: &mut Vec<String>, what: String) {
    if violations.len() < VIOLATIONS {
        violations.push(what);
    }
}

impl Account {
    /// Notes what a request got wrong.
    pub(super) fn violation(&mut self, what: String) {
        note(&mut self.violations, what);
    }

    /// Counts an answer.
    pub(super) fn answered(&mut self, endpoint: &str, status: &str) {
        *self.requests.entry(endpoint.to_owned()).or_default().entry(status.to_owned()).or_default() += 1;
    }

    /// Books a record that was taken.
    pub(super) fn take(&mut self, key: &str, operation: &str, content: &Value) {
        let booking = self.records.entry(key.to_owned()).or_default();
        self.repeated += usize::from(booking.ended == operation && booking.content == *content);
        booking.content = content.clone();
        operation.clone_into(&mut booking.ended);
        booking.taken += 1;
        *self.taken.entry(operation.to_owned()).or_default() += 1;
    }

    /// Books a record that was rejected.
    pub(super) fn reject(&mut self, key: &str) {
        let booking = self.records.entry(key.to_owned()).or_default();
        "rejected".clone_into(&mut booking.ended);
        booking.rejected += 1;
    }

    /// How many records ended each way.
    #[must_use]
    pub fn ended(&self) -> BTreeMap<String, usize> {
        let mut ended = BTreeMap::new();
        for booking in self.records.values() {
            *ended.entry(booking.ended.clone()).or_default() += 1;
        }
        ended
    }
}
