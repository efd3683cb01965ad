//! What a receiver took.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Everything that a receiver saw, in order.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ledger {
    /// Requests with batches.
    pub requests: Vec<Entry>,
    /// Records of the batches that were taken.
    pub items: Vec<Item>,
    /// What a request got wrong; a right sender causes none.
    pub violations: Vec<String>,
    /// `OPTIONS` requests.
    pub checks: usize,
    /// The most requests at once.
    pub max_in_flight: usize,
}

/// A request with a batch.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// From 1.
    pub number: usize,
    /// The header `Idempotency-Key`.
    pub idempotency_key: String,
    /// Records in the batch.
    pub records: usize,
    /// Whether the batch was taken.
    pub taken: bool,
    /// The answer; none if the connection was cut.
    pub status: Option<u16>,
}

/// A record that was taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// Number of its request; not part of what is sent.
    #[serde(default)]
    pub request: usize,
    /// Primary key.
    pub id: Value,
    /// `insert`, `update`, `upsert` or `delete`.
    pub op: String,
    /// Idempotency key.
    pub key: String,
    /// What the record is found by, if not by its primary key.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub match_key: Option<Value>,
    /// What it is grouped by.
    #[serde(default, rename = "group", skip_serializing_if = "Option::is_none")]
    pub group_key: Option<Value>,
    /// Mapped fields.
    pub data: Value,
}

/// Counts of a [`Ledger`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Requests with batches.
    pub requests: usize,
    /// Records taken, by operation.
    pub taken: BTreeMap<String, usize>,
    /// Rows that exist now: upserted or inserted and not deleted since.
    pub rows: usize,
    /// Records that were taken more than once with the same key.
    pub repeated: usize,
    /// Violations.
    pub violations: usize,
}

impl Ledger {
    /// How often each (id, operation, data) was taken, all three as JSON text.
    #[must_use]
    pub fn multiset(&self) -> BTreeMap<(String, String, String), usize> {
        let mut all = BTreeMap::new();
        for item in &self.items {
            *all.entry((item.id.to_string(), item.op.clone(), item.data.to_string())).or_default() += 1;
        }
        all
    }

    /// The rows as a destination holds them now: data by what it finds them by (match and group, or the id) as JSON text.
    #[must_use]
    pub fn rows(&self) -> BTreeMap<String, Value> {
        let mut rows = BTreeMap::new();
        for item in &self.items {
            let found_by = match (&item.match_key, &item.group_key) {
                (None, None) => item.id.to_string(),
                (found_by, group) => serde_json::json!([found_by, group]).to_string(),
            };
            if item.op == "delete" {
                rows.remove(&found_by);
            } else {
                rows.insert(found_by, item.data.clone());
            }
        }
        rows
    }

    /// Counts.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let mut summary = Summary {
            requests: self.requests.len(),
            rows: self.rows().len(),
            violations: self.violations.len(),
            ..Summary::default()
        };
        let mut keys = std::collections::BTreeSet::new();
        for item in &self.items {
            *summary.taken.entry(item.op.clone()).or_default() += 1;
            summary.repeated += usize::from(!keys.insert(item.key.as_str()));
        }
        summary
    }
}
