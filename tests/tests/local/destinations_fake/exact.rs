//! The ledger of a fake vendor against what was delivered.

use std::collections::BTreeMap;
use std::fmt::Debug;

use backflow_core::selection::{Selection, SyncMode};
use backflow_tests::destinations::Account;

use super::fixture::Fixture;

/// What went otherwise than it should, of one action.
#[derive(Default)]
pub(crate) struct Report(pub(crate) Vec<String>);

impl Report {
    pub(crate) fn check<T: PartialEq + Debug>(&mut self, what: &str, is: T, wanted: T) {
        if is != wanted {
            self.0.push(format!("{what}: {is:?} instead of {wanted:?}"));
        }
    }
}

/// How many records a vendor took.
pub(crate) fn taken(account: &Account) -> usize {
    account.taken.values().sum()
}

/// How often each row was delivered, and whether it was deleted at last.
pub(crate) type Rows = BTreeMap<usize, (usize, bool)>;

/// Whether the ledger holds each row as often as it was delivered, deleted if it was, and nothing else.
pub(crate) fn exact(report: &mut Report, fixture: &Fixture, account: &Account, rows: &Rows, each: usize) {
    let needles: Option<Vec<_>> = rows.keys().map(|n| Some((*n, fixture.needles(*n)?))).collect();
    let Some(needles) = needles else {
        // Nothing tells these records apart but their keys.
        let total: usize = rows.values().map(|(times, _)| times * each).sum();
        return report.check("records taken", taken(account), total);
    };
    let ensures = fixture.action().operations.iter().any(|operation| !operation.ensure.is_empty());
    let mirror = fixture.selection == Selection::SyncMode(SyncMode::Mirror);
    let mut strays = Vec::new();
    let mut found: BTreeMap<usize, (usize, bool)> = BTreeMap::new();
    for (key, booking) in account.records.iter().filter(|(_, booking)| booking.taken > 0) {
        let content = booking.content.to_string();
        let has = |needle: &String| key.contains(needle) || content.contains(needle);
        let of = needles.iter().filter(|(_, needles)| needles.iter().any(has));
        let of: Vec<usize> = of.map(|(n, _)| *n).collect();
        let n = match of[..] {
            [n] => n,
            // What the action needs beside its records, such as the company of a contact.
            [] if ensures => continue,
            _ => {
                strays.push(format!("{key} is of rows {of:?}"));
                continue;
            }
        };
        let row = found.entry(n).or_default();
        row.0 += booking.taken;
        // An action may delete what a row names, too.
        row.1 |= mirror && booking.ended == "delete";
    }
    let wrong: Vec<_> = rows
        .iter()
        .map(|(n, (times, deleted))| (n, (times * each, *deleted)))
        .filter(|(n, wanted)| found.get(n).copied().unwrap_or_default() != *wanted)
        .map(|(n, wanted)| format!("row {n} is {:?} instead of {wanted:?}", found.get(n)))
        .collect();
    if let Some(stray) = strays.first() {
        report.0.push(format!("{} records of no row, such as {stray}", strays.len()));
    }
    if !wrong.is_empty() {
        report.0.push(format!("{} rows: {}", wrong.len(), wrong[..wrong.len().min(3)].join(", ")));
    }
    // What is needed beside the records is made sure of by each run.
    if !ensures {
        report.check("repeated", account.repeated, 0);
    }
}
