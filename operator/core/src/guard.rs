//! The mass-delete guard: deletions above a limit wait for a person.

use serde::{Deserialize, Serialize};

use crate::extraction::Findings;
use crate::result::Counters;
use crate::selection::{Selection, SyncMode};

/// `Mapping.spec.deletes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deletes {
    /// Per cent of the known rows (0 to 100) that one run may delete.
    pub max_percent: u8,
    /// Rows that one run may delete, whatever the percentage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rows: Option<u64>,
    /// Up to this many deletions are never withheld, unless the query returned no row at all.
    pub ignore_below: u64,
    /// What becomes of a run above the limit.
    pub action: DeletesAction,
}

impl Default for Deletes {
    fn default() -> Self {
        Self { max_percent: 20, max_rows: None, ignore_below: 100, action: DeletesAction::Withhold }
    }
}

/// `Mapping.spec.deletes.action`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeletesAction {
    /// Send additions and updates, keep the deletions back.
    #[default]
    Withhold,
    /// End the run without sending anything.
    Fail,
}

/// What a run would delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deletions {
    /// Deletions that would be sent, by all pods of the run.
    pub count: u64,
    /// Rows that were delivered before this run.
    pub known: u64,
    /// Rows with a key that the model returned now.
    pub current: u64,
}

impl Deletions {
    /// What a run would delete. `carried`: what earlier pods of it did, so that a replacement pod judges the run as the first one
    /// did, and a limit or an approval counts once for all pods. Rows without a key prove nothing: a model whose keys are all NULL
    /// is as good as empty.
    #[must_use]
    pub fn of(found: &Findings, carried: &Counters, selection: &Selection) -> Self {
        Self {
            count: Self::ahead(found, selection) + carried.deleted,
            known: (found.known + carried.deleted).saturating_sub(carried.settled_added),
            current: found.rows.saturating_sub(found.invalid_null_key),
        }
    }

    /// Deletions that this pod would send.
    #[must_use]
    pub fn ahead(found: &Findings, selection: &Selection) -> u64 {
        let mirror = *selection == Selection::SyncMode(SyncMode::Mirror);
        found.deleted.saturating_sub(if mirror { found.deleted_unsent } else { 0 })
    }
}

impl Deletes {
    /// Whether all deletions of the run must be withheld. `approved` is `Sync.spec.approveDeletes`: a ceiling, so that an approval
    /// given for 1,500 does not let 15,000 pass.
    #[must_use]
    pub fn withholds(&self, deletions: Deletions, approved: Option<u64>) -> bool {
        let Deletions { count, known, current } = deletions;
        if count == 0 {
            return false;
        }
        if approved.is_some_and(|ceiling| count <= ceiling) {
            return false;
        }
        if current == 0 {
            return true;
        }
        if count <= self.ignore_below {
            return false;
        }
        self.max_rows.is_some_and(|rows| count > rows)
            || u128::from(count) * 100 > u128::from(known) * u128::from(self.max_percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn withheld(count: u64, known: u64, current: u64, approved: Option<u64>) -> bool {
        Deletes::default().withholds(Deletions { count, known, current }, approved)
    }

    #[test]
    fn an_empty_result_withholds_even_one() {
        assert!(withheld(1, 1, 0, None));
        assert!(withheld(50, 50, 0, None));
    }

    #[test]
    fn small_numbers_and_small_shares_pass() {
        assert!(!withheld(100, 200, 100, None));
        assert!(!withheld(200, 1000, 800, None));
        assert!(withheld(201, 1000, 799, None));
        assert!(withheld(101, 200, 99, None));
    }

    const MIRROR: Selection = Selection::SyncMode(SyncMode::Mirror);

    #[test]
    fn rows_without_a_key_do_not_make_a_result() {
        let found = Findings { rows: 50, known: 50, deleted: 50, invalid_null_key: 50, ..Findings::default() };
        let deletions = Deletions::of(&found, &Counters::default(), &MIRROR);
        assert!(Deletes::default().withholds(deletions, None));
        let one_is_left = Findings { rows: 51, deleted: 49, ..found };
        let deletions = Deletions::of(&one_is_left, &Counters::default(), &MIRROR);
        assert!(!Deletes::default().withholds(deletions, None));
    }

    #[test]
    fn a_replacement_pod_judges_the_whole_run() {
        let first = Findings { rows: 900, known: 1000, added: 100, deleted: 200, ..Findings::default() };
        let whole = Deletions::of(&first, &Counters::default(), &MIRROR);
        // The first pod deleted 150 and added 60; meanwhile 250 more rows are gone.
        let carried =
            Counters { deleted: 150, upserted: 60, settled_added: 60, settled_deleted: 150, ..Counters::default() };
        let rest = Findings { rows: 900, known: 910, added: 40, deleted: 50, ..Findings::default() };
        assert_eq!(Deletions::of(&rest, &carried, &MIRROR), whole);
        let more = Findings { rows: 650, deleted: 300, ..rest };
        assert!(Deletes::default().withholds(Deletions::of(&more, &carried, &MIRROR), Some(300)));
        assert_eq!(Deletions::ahead(&more, &MIRROR), 300);
    }

    #[test]
    fn rows_that_were_never_sent_are_no_deletions_of_a_mirror() {
        let found = Findings { rows: 1, known: 9, deleted: 8, deleted_unsent: 3, ..Findings::default() };
        assert_eq!(Deletions::ahead(&found, &MIRROR), 5);
        assert_eq!(Deletions::ahead(&found, &Selection::SyncMode(SyncMode::Delete)), 8);
    }

    #[test]
    fn an_approval_is_a_ceiling() {
        assert!(!withheld(1500, 1500, 0, Some(1500)));
        assert!(withheld(1501, 1501, 0, Some(1500)));
    }

    #[test]
    fn max_rows_bounds_large_tables() {
        let guard = Deletes { max_rows: Some(1000), ..Deletes::default() };
        assert!(guard.withholds(Deletions { count: 1001, known: 1_000_000, current: 998_999 }, None));
        assert!(!guard.withholds(Deletions { count: 1000, known: 1_000_000, current: 999_000 }, None));
    }
}
