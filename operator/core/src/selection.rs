//! Which changes are sent, and as what: sync modes and `records`.

use serde::{Deserialize, Serialize};

use crate::change::ChangeKind;

/// What the destination is asked to do with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// Create it.
    Insert,
    /// Change it.
    Update,
    /// Create or change it.
    Upsert,
    /// Remove it.
    Delete,
}

impl Operation {
    /// The operation's lower-case name, as it goes over the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Upsert => "upsert",
            Self::Delete => "delete",
        }
    }
}

/// `Mapping.spec.syncMode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SyncMode {
    /// Added rows are inserted.
    Insert,
    /// Updated rows are updated.
    Update,
    /// Added and updated rows are upserted.
    Upsert,
    /// Deleted rows are deleted.
    Delete,
    /// Added and updated rows are upserted; rows that were sent and are gone are deleted.
    Mirror,
}

/// Exactly one of `syncMode` and `records`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Selection {
    /// A sync mode.
    SyncMode(SyncMode),
    /// The kinds of change that are sent, each by its natural operation (insert, update, delete).
    Records(Vec<ChangeKind>),
}

impl Selection {
    /// The operation for a change, or `None` if it is not sent. `unsent`: the row is known but never went out.
    #[must_use]
    pub fn operation(&self, kind: ChangeKind, unsent: bool) -> Option<Operation> {
        use ChangeKind::{Added, Deleted, Updated};
        match self {
            Self::SyncMode(mode) => match (mode, kind) {
                (SyncMode::Insert, Added) => Some(Operation::Insert),
                (SyncMode::Update, Updated) => Some(Operation::Update),
                (SyncMode::Upsert | SyncMode::Mirror, Added | Updated) => Some(Operation::Upsert),
                (SyncMode::Delete, Deleted) => Some(Operation::Delete),
                (SyncMode::Mirror, Deleted) if !unsent => Some(Operation::Delete),
                _ => None,
            },
            Self::Records(kinds) => kinds.contains(&kind).then_some(match kind {
                Added => Operation::Insert,
                Updated => Operation::Update,
                Deleted => Operation::Delete,
            }),
        }
    }

    /// Whether a deleted row can lead to a deletion at the destination: then the guard counts it.
    #[must_use]
    pub fn deletes(&self) -> bool {
        self.operation(ChangeKind::Deleted, false).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ChangeKind::{Added, Deleted, Updated};

    #[test]
    fn each_sync_mode_sends_what_it_says() {
        let table = [
            (SyncMode::Insert, [Some(Operation::Insert), None, None]),
            (SyncMode::Update, [None, Some(Operation::Update), None]),
            (SyncMode::Upsert, [Some(Operation::Upsert), Some(Operation::Upsert), None]),
            (SyncMode::Delete, [None, None, Some(Operation::Delete)]),
            (SyncMode::Mirror, [Some(Operation::Upsert), Some(Operation::Upsert), Some(Operation::Delete)]),
        ];
        for (mode, expected) in table {
            let selection = Selection::SyncMode(mode);
            assert_eq!([Added, Updated, Deleted].map(|kind| selection.operation(kind, false)), expected, "{mode:?}");
        }
    }

    #[test]
    fn mirror_deletes_only_what_it_sent() {
        assert_eq!(Selection::SyncMode(SyncMode::Mirror).operation(Deleted, true), None);
        assert_eq!(Selection::SyncMode(SyncMode::Delete).operation(Deleted, true), Some(Operation::Delete));
    }

    #[test]
    fn records_send_the_kinds_listed() {
        let selection = Selection::Records(vec![Added, Deleted]);
        assert_eq!(selection.operation(Added, false), Some(Operation::Insert));
        assert_eq!(selection.operation(Updated, false), None);
        assert!(selection.deletes());
    }
}
