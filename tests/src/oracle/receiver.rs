//! What a destination makes of what it is sent.

use std::collections::{BTreeMap, BTreeSet};

use backflow_core::change::ChangeKind;

/// What a destination holds.
#[derive(Default)]
pub(super) struct Receiver {
    /// Rows by what it finds them by.
    pub(super) held: BTreeMap<String, Vec<String>>,
    /// Keys that it has taken, if it takes none twice.
    pub(super) taken: Option<BTreeSet<String>>,
}

impl Receiver {
    /// Takes a delivery.
    pub(super) fn take(&mut self, key: &str, kind: ChangeKind, found_by: &str, row: &[String]) {
        if self.taken.as_mut().is_some_and(|taken| !taken.insert(key.to_owned())) {
            return;
        }
        match kind {
            ChangeKind::Deleted => self.held.remove(found_by),
            _ => self.held.insert(found_by.to_owned(), row.to_vec()),
        };
    }
}

/// A delivery, as far as its key goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Delivery {
    pub(super) kind: ChangeKind,
    pub(super) found_by: String,
    pub(super) row: Vec<String>,
    pub(super) fingerprint: String,
}
