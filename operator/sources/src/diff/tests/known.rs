//! More rows than are remembered while the model is read, in several partitions: changes are found in those that are looked at, and
//! nowhere else.

use super::*;

/// Twice as many as `Known` remembers in tests, in four partitions.
const ROWS: i64 = 40_000;

/// `edit` says for each id how often its row is there, and with which name.
fn rows(edit: impl Fn(i64) -> Vec<&'static str>) -> Table {
    let rows: Vec<(i64, &str, &str)> =
        (0..ROWS).flat_map(|id| edit(id).into_iter().map(move |name| (id, name, "x"))).collect();
    table(&rows)
}

fn every(remainder: i64) -> Vec<i64> {
    (0..ROWS).filter(|id| id % 1_000 == remainder).collect()
}

#[tokio::test]
async fn of_many_rows_exactly_the_changes_are_found() {
    let place = Place::new(SyncMode::Mirror);
    let unchanged = rows(|_| vec!["a"]);
    assert_eq!(place.settle_in_pages("r1", &unchanged, 10_000).await, ROWS as usize);
    let none = place.deliver("r2", &unchanged).await;
    assert_eq!((none.changes.len(), none.findings.known), (0, ROWS as u64));

    let mut edited = rows(|id| match id % 1_000 {
        1 => vec!["b"],
        2 => vec![],
        3 => vec!["a", "a"],
        4 => vec!["a", "b"],
        5 => vec!["b", "a"],
        6 => vec!["a", "a", "a"],
        _ => vec!["a"],
    });
    edited.rows.extend(table(&[(ROWS, "a", "x")]).rows);
    let some = place.deliver("r3", &edited).await;
    assert_eq!((some.added(), some.updated(), some.deleted()), (vec![ROWS], every(1), every(2)));
    assert_eq!(some.findings.invalid_duplicate_key, 9 * every(3).len() as u64);
    assert_eq!(some.findings.known, ROWS as u64);

    let back = place.deliver("r4", &unchanged).await;
    assert_eq!((back.added(), back.updated(), back.deleted()), (every(2), every(1), vec![ROWS]));
    assert_eq!(place.deliver("r5", &unchanged).await.findings.known, ROWS as u64);
}

#[tokio::test]
async fn one_change_is_found_wherever_it_is() {
    let place = Place::new(SyncMode::Mirror);
    let unchanged = rows(|_| vec!["a"]);
    place.settle_in_pages("r1", &unchanged, 10_000).await;
    for id in [0, 1, 2, 3, 4, 5, 6, 7] {
        let names: Vec<&str> = if id % 2 == 0 { vec![] } else { vec!["b"] };
        let sent =
            place.deliver(&format!("edit-{id}"), &rows(|at| if at == id { names.clone() } else { vec!["a"] })).await;
        let kind = if names.is_empty() { ChangeKind::Deleted } else { ChangeKind::Updated };
        assert_eq!((sent.ids(kind), sent.changes.len()), (vec![id], 1));
        let twice = place
            .deliver(&format!("twice-{id}"), &rows(|at| if at == id + 8 { vec!["a", "a"] } else { vec!["a"] }))
            .await;
        assert_eq!((twice.changes.len(), twice.findings.invalid_duplicate_key), (1, 2), "{id} comes back");
    }
}

#[tokio::test]
async fn a_few_changes_stay_in_the_journal_until_they_are_many() {
    let place = Place::new(SyncMode::Mirror);
    let of = |changed: i64| rows(move |id| vec![if id < changed { "b" } else { "a" }]);
    let stored = || {
        place.store.get(|contents| (contents.partitions.keys().copied().collect::<Vec<_>>(), contents.segments.len()))
    };
    place.settle_in_pages("r1", &of(0), 10_000).await;
    let (partitions, segments) = stored();
    assert_eq!((partitions.len(), segments), (4, 0), "the first run folds");
    for changed in [10, 20, 30] {
        assert_eq!(place.settle_in_pages(&format!("r{changed}"), &of(changed), 10).await, 10);
        assert_eq!(place.settle_in_pages(&format!("again-{changed}"), &of(changed), 10).await, 0);
        let (same, segments) = stored();
        assert_eq!(same, partitions);
        assert!(segments > 0);
    }
    assert_eq!(place.settle_in_pages("many", &of(2_000), 1_000).await, 1_970);
    assert_eq!(stored().1, 0, "they are folded");
    assert_eq!(place.settle_in_pages("none", &of(2_000), 1_000).await, 0);
    for changed in 2_001..2_040 {
        assert_eq!(place.settle_in_pages(&format!("r{changed}"), &of(changed), 1).await, 1);
    }
    assert!(stored().1 < 34, "segments do not grow without end");
}
