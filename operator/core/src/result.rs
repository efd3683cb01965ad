//! What a run returns: the termination message of a worker pod, at most 3 KiB of JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::cell::Column;
use crate::code::{Failure, cut};
use crate::extraction::{Checkpoint, Findings};
use crate::traffic::Traffic;

/// The version of [`RunResult`] that this program writes. Unknown fields are ignored, an unknown version is a lost result.
pub const RESULT_VERSION: u32 = 1;

/// The longest result in bytes: the kubelet keeps 4,096 and cuts the head of a longer one.
pub const MAX_RESULT: usize = 3 * 1024;

/// How a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// It goes on: a provisional result.
    #[default]
    Running,
    /// Every change has its outcome, none was rejected, withheld or left.
    Succeeded,
    /// Something was rejected, withheld or left for the next run; the rest is delivered and committed.
    PartiallySucceeded,
    /// It failed; what was acknowledged before is committed.
    Failed,
    /// A person cancelled it; what was acknowledged before is committed.
    Canceled,
}

/// What was done, counted where it happens: no number here is the difference of two others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Counters {
    /// Records that the destination inserted.
    pub inserted: u64,
    /// Records that it updated.
    pub updated: u64,
    /// Records that it upserted.
    pub upserted: u64,
    /// Records that it deleted.
    pub deleted: u64,
    /// Records that were rejected for their content.
    pub rejected: u64,
    /// Changes that were offered and have no acknowledgement: the next run sends them.
    pub retrying: u64,
    /// Deletions that wait for approval.
    pub withheld: u64,
    /// Changes that are not sent: not selected by the sync mode.
    pub not_selected: u64,
    /// Changes that are not sent: rejected before, unchanged since.
    pub still_rejected: u64,
    /// Requests to the destination, with retries.
    pub requests: u64,
    /// Body bytes sent to it, with retries.
    pub bytes: u64,
    /// Added rows that have a final outcome: delivered, rejected or not selected.
    pub settled_added: u64,
    /// Updated rows that have a final outcome.
    pub settled_updated: u64,
    /// Deleted rows that have a final outcome.
    pub settled_deleted: u64,
    /// What the destination answered, and how long that took.
    #[serde(skip_serializing_if = "Traffic::is_empty")]
    pub traffic: Traffic,
}

impl Counters {
    /// Records that were delivered.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.inserted + self.updated + self.upserted + self.deleted
    }

    /// Changes that were left out on purpose.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.not_selected + self.still_rejected
    }

    /// Everything that has an outcome.
    #[must_use]
    pub fn accounted(&self) -> u64 {
        self.delivered() + self.rejected + self.retrying + self.withheld + self.skipped()
    }

    /// Adds what one batch did.
    pub fn add(&mut self, other: &Self) {
        self.inserted += other.inserted;
        self.updated += other.updated;
        self.upserted += other.upserted;
        self.deleted += other.deleted;
        self.rejected += other.rejected;
        self.retrying += other.retrying;
        self.withheld += other.withheld;
        self.not_selected += other.not_selected;
        self.still_rejected += other.still_rejected;
        self.requests += other.requests;
        self.bytes += other.bytes;
        self.settled_added += other.settled_added;
        self.settled_updated += other.settled_updated;
        self.settled_deleted += other.settled_deleted;
        self.traffic.add(&other.traffic);
    }
}

/// What a run would do: the result of a DryRun.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Estimate {
    /// Records to insert.
    pub inserts: u64,
    /// Records to update.
    pub updates: u64,
    /// Records to upsert.
    pub upserts: u64,
    /// Records to delete.
    pub deletes: u64,
    /// Requests, if each batch takes one.
    pub requests: u64,
    /// Bytes of the records' data.
    pub bytes: u64,
    /// Minutes, rounded up, that the requests take at the account's `requestsPerSecond`. Without that limit only the run itself can tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minutes: Option<u64>,
}

/// One line of `Sync.status.errors`: how often, never with whose data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorCount {
    /// A [`crate::code::Code`]'s name or a rejection's code.
    pub code: String,
    /// The field at fault, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// How many records.
    pub count: u64,
    /// Our own sentence.
    pub message: String,
}

/// Groups errors by code and field. At most [`ErrorCounts::MAX`] groups: the rest is counted under `Other`.
#[derive(Clone, Debug, Default)]
pub struct ErrorCounts(BTreeMap<(String, Option<String>), (u64, String)>);

impl ErrorCounts {
    /// The most groups that a result holds.
    pub const MAX: usize = 10;

    /// Counts one.
    pub fn count(&mut self, code: &str, field: Option<&str>, message: &str) {
        self.count_many(code, field, message, 1);
    }

    /// Counts several of one kind.
    pub fn count_many(&mut self, code: &str, field: Option<&str>, message: &str, count: u64) {
        if count == 0 {
            return;
        }
        let key = (code.to_owned(), field.map(str::to_owned));
        if self.0.len() >= Self::MAX - 1 && !self.0.contains_key(&key) {
            let other = self
                .0
                .entry(("Other".to_owned(), None))
                .or_insert((0, "further codes; the rejects table has all".to_owned()));
            other.0 += count;
            return;
        }
        self.0.entry(key).or_insert_with(|| (0, message.to_owned())).0 += count;
    }

    /// The groups, most frequent first.
    #[must_use]
    pub fn to_vec(&self) -> Vec<ErrorCount> {
        let mut all: Vec<ErrorCount> = self
            .0
            .iter()
            .map(|((code, field), (count, message))| ErrorCount {
                code: code.clone(),
                field: field.clone(),
                count: *count,
                message: message.clone(),
            })
            .collect();
        all.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.code.cmp(&b.code)));
        all
    }
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CheckResult {
    /// Product and version of the warehouse, or what the destination calls the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The model's columns.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<Column>,
    /// The list of columns did not fit and was cut.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub columns_truncated: bool,
}

/// What a worker returns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunResult {
    /// [`RESULT_VERSION`].
    pub v: u32,
    /// The Job's name: guards against the message of another pod.
    pub run: String,
    /// How it ended, or that it goes on.
    pub phase: Phase,
    /// Why, for every phase but Succeeded and Running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// What the diff found; absent before it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub findings: Option<Findings>,
    /// What was done.
    #[serde(default)]
    pub counters: Counters,
    /// Errors by code and field, at most [`ErrorCounts::MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ErrorCount>,
    /// Checkpoint before the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_before: Option<Checkpoint>,
    /// Checkpoint after the last commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_after: Option<Checkpoint>,
    /// What a check found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<CheckResult>,
    /// What a run would do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Estimate>,
    /// Until when the destination wants to be left alone, RFC 3339; absent if it does not say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttled_until: Option<String>,
    /// When the worker began, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// When it ended, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
}

impl RunResult {
    /// Serialises within [`MAX_RESULT`]: columns go first, then error lines, then the length of messages; counters and phase never.
    #[must_use]
    pub fn to_message(&self) -> Vec<u8> {
        let mut result = self.clone();
        loop {
            let bytes = serde_json::to_vec(&result).unwrap_or_default();
            if bytes.len() <= MAX_RESULT {
                return bytes;
            }
            if let Some(check) = result.check.as_mut().filter(|check| !check.columns.is_empty()) {
                let keep = check.columns.len() / 2;
                check.columns.truncate(keep);
                check.columns_truncated = true;
            } else if result.errors.len() > 1 {
                result.errors.pop();
            } else if let Some(failure) = result.failure.as_mut().filter(|failure| failure.message.len() > 64) {
                failure.message = cut(std::mem::take(&mut failure.message), 64);
            } else {
                return bytes;
            }
        }
    }

    /// Reads a termination message. `None`: it is not a result of this version for this run, and counts as lost.
    #[must_use]
    pub fn from_message(message: &str, run: &str) -> Option<Self> {
        let result: Self = serde_json::from_str(message.trim()).ok()?;
        (result.v == RESULT_VERSION && result.run == run).then_some(result)
    }
}

/// A worker's exit codes. The Job's pod failure policy acts on them.
pub mod exit {
    use crate::code::{Class, Code};

    /// The run ended; its result says how (also with rejects, or cancelled).
    pub const ENDED: u8 = 0;
    /// Configuration: no replacement pod.
    pub const CONFIGURATION: u8 = 10;
    /// Model or mapping: no replacement pod.
    pub const MODEL: u8 = 11;
    /// It may go away: a replacement pod tries again.
    pub const TRANSIENT: u8 = 20;
    /// Asked to stop (SIGTERM); what was acknowledged is committed.
    pub const TERMINATED: u8 = 143;

    /// The exit code for a failure.
    #[must_use]
    pub const fn of(code: Code) -> u8 {
        match code {
            Code::Terminated => TERMINATED,
            Code::Canceled => ENDED,
            _ => match code.class() {
                Class::Configuration => CONFIGURATION,
                Class::Model => MODEL,
                Class::Transient => TRANSIENT,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Code;

    #[test]
    fn the_largest_result_fits_the_termination_message() {
        let mut errors = ErrorCounts::default();
        for at in 0..100 {
            errors.count(&format!("CODE_{at:060}"), Some(&"f".repeat(128)), &"m".repeat(256));
        }
        let result = RunResult {
            v: RESULT_VERSION,
            run: "r".repeat(59),
            phase: Phase::PartiallySucceeded,
            failure: Some(Failure::new(Code::ScratchFull, "x".repeat(2000))),
            counters: Counters { inserted: u64::MAX / 2, ..Counters::default() },
            errors: errors.to_vec(),
            check: Some(CheckResult {
                columns: (0..512).map(|n| Column { name: format!("c{n:0>120}"), kind: "text".into() }).collect(),
                ..CheckResult::default()
            }),
            ..RunResult::default()
        };
        let message = result.to_message();
        assert!(message.len() <= MAX_RESULT, "{}", message.len());
        let read = RunResult::from_message(std::str::from_utf8(&message).unwrap(), &result.run).unwrap();
        assert_eq!(read.counters, result.counters);
        assert_eq!(read.phase, result.phase);
    }

    #[test]
    fn a_foreign_or_broken_message_is_no_result() {
        let result = RunResult { v: RESULT_VERSION, run: "a".into(), ..RunResult::default() };
        let text = String::from_utf8(result.to_message()).unwrap();
        assert!(RunResult::from_message(&text, "a").is_some());
        assert!(RunResult::from_message(&text, "b").is_none());
        assert!(RunResult::from_message(&text[1..], "a").is_none());
        assert!(RunResult::from_message(&text.replace("\"v\":1", "\"v\":2"), "a").is_none());
    }

    #[test]
    fn error_groups_are_bounded_and_lose_no_count() {
        let mut errors = ErrorCounts::default();
        for at in 0..50 {
            errors.count(&format!("C{at}"), None, "m");
        }
        let all = errors.to_vec();
        assert!(all.len() <= ErrorCounts::MAX);
        assert_eq!(all.iter().map(|error| error.count).sum::<u64>(), 50);
    }
}
