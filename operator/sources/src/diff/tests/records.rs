//! Records that are known by match key and group key.

use super::*;

/// Match key: the name; group key: the plan.
pub(super) fn by_name_in_plan(mode: SyncMode) -> Place {
    let json = |cell: &Cell| {
        let mut json = String::new();
        cell.write_json(&mut json);
        (!cell.is_null()).then(|| json.into())
    };
    let identify = move |row: &[Cell]| Memory { match_key: json(&row[1]), group_key: json(&row[2]), remote_id: None };
    Place { identify: Some(Arc::new(identify)), ..Place::new(mode) }
}

/// What a run sends: kind, id, match key, group key. Duplicates are rejected, everything else is delivered.
pub(super) async fn run(place: &Place, name: &str, rows: &Table) -> Vec<(ChangeKind, i64, String, String)> {
    let (sent, _) = run_and_find(place, name, rows).await;
    sent
}

pub(super) async fn run_and_find(
    place: &Place,
    name: &str,
    rows: &Table,
) -> (Vec<(ChangeKind, i64, String, String)>, Findings) {
    let mut extraction = place.open(name, rows).await.unwrap();
    let found = extraction.findings().clone();
    let mut sent = Vec::new();
    loop {
        let page = page(&mut extraction, 2).await;
        if page.is_empty() {
            break;
        }
        let mut acks = Vec::new();
        for change in page {
            let memory = match change.kind {
                ChangeKind::Deleted => change.memory.clone(),
                _ if change.duplicate => Memory::default(),
                _ => (place.identify.as_ref().unwrap())(&change.row.cells()),
            };
            let verdict = if change.duplicate {
                Verdict::Rejected(Rejection::new("DUPLICATE_MATCH_KEY", None, "another row has it"))
            } else {
                let text = |key: &Option<Box<str>>| key.as_deref().unwrap_or("-").replace('"', "");
                sent.push((change.kind, id(&change), text(&memory.match_key), text(&memory.group_key)));
                Verdict::Delivered(memory)
            };
            acks.push(Ack { change, verdict });
        }
        extraction.commit(acks, &Counters::default()).await.unwrap();
    }
    extraction.finish(&Counters::default(), Phase::Succeeded).await.unwrap();
    sent.sort_by_key(|change| change.1);
    (sent, found)
}

pub(super) fn change(kind: ChangeKind, id: i64, name: &str, group: &str) -> (ChangeKind, i64, String, String) {
    (kind, id, name.into(), group.into())
}

use ChangeKind::{Added, Deleted, Updated};

#[tokio::test]
pub(super) async fn a_deletion_knows_the_key_that_was_sent_last() {
    let place = by_name_in_plan(SyncMode::Mirror);
    run(&place, "r1", &table(&[(1, "a@x", "list")])).await;
    assert_eq!(run(&place, "r2", &table(&[])).await, [change(Deleted, 1, "a@x", "list")]);
}

#[tokio::test]
pub(super) async fn a_new_match_or_group_key_is_a_deletion_of_the_old_and_an_addition() {
    let place = by_name_in_plan(SyncMode::Mirror);
    run(&place, "r1", &table(&[(1, "a", "list"), (2, "b", "list"), (3, "c", "list")])).await;
    let rows = table(&[(1, "A", "list"), (2, "b", "other"), (3, "c", "list")]);
    let (sent, found) = run_and_find(&place, "r2", &rows).await;
    let wanted = [
        change(Deleted, 1, "a", "list"),
        change(Added, 1, "A", "list"),
        change(Deleted, 2, "b", "list"),
        change(Added, 2, "b", "other"),
    ];
    assert_eq!(sent, wanted);
    assert_eq!((found.deleted, found.added, found.updated, found.rekeyed), (2, 2, 0, 2));
    assert!(run(&place, "r3", &rows).await.is_empty());

    let upsert = by_name_in_plan(SyncMode::Upsert);
    run(&upsert, "r1", &table(&[(1, "a", "list")])).await;
    assert_eq!(
        run(&upsert, "r2", &table(&[(1, "A", "list")])).await,
        [change(Updated, 1, "A", "list")],
        "only a Mirror deletes"
    );
}

#[tokio::test]
pub(super) async fn what_another_row_stands_for_is_not_deleted() {
    let place = by_name_in_plan(SyncMode::Mirror);
    run(&place, "r1", &table(&[(1, "a", "list"), (2, "b", "list")])).await;
    // Key 1 is gone and 3 has taken its record; 2 and 4 too, and 2 is still there under another name.
    let rows = table(&[(3, "a", "list"), (2, "c", "list"), (4, "b", "list")]);
    let (sent, found) = run_and_find(&place, "r2", &rows).await;
    let wanted = [change(Updated, 2, "c", "list"), change(Added, 3, "a", "list"), change(Added, 4, "b", "list")];
    assert_eq!(sent, wanted);
    assert_eq!((found.superseded, found.deleted), (1, 0));
    assert!(run(&place, "r3", &rows).await.is_empty());
    assert_eq!(
        run(&place, "r4", &table(&[(1, "a", "list"), (2, "c", "list"), (4, "b", "list")])).await,
        [change(Added, 1, "a", "list")]
    );
}

#[tokio::test]
pub(super) async fn of_rows_with_one_key_the_greatest_is_sent_and_another_takes_over() {
    let place = by_name_in_plan(SyncMode::Mirror);
    let all = table(&[(2, "a", "list"), (10, "a", "list"), (9, "a", "list"), (1, "a", "other")]);
    assert_eq!(run(&place, "r1", &all).await, [change(Added, 1, "a", "other"), change(Added, 10, "a", "list")]);
    assert_eq!(place.store.get(|contents| contents.rejects.len()), 2);
    assert!(run(&place, "r2", &all).await.is_empty());
    let less = table(&[(2, "a", "list"), (9, "a", "list"), (1, "a", "other")]);
    assert_eq!(run(&place, "r3", &less).await, [change(Added, 9, "a", "list")], "10 is forgotten, not deleted");
    // A row that was delivered is a duplicate from now on, and is sent again when it no longer is.
    let more = table(&[(2, "a", "list"), (9, "a", "list"), (11, "a", "list"), (1, "a", "other")]);
    assert_eq!(run(&place, "r4", &more).await, [change(Added, 11, "a", "list")]);
    assert!(run(&place, "r5", &more).await.is_empty());
    assert_eq!(run(&place, "r6", &less).await, [change(Updated, 9, "a", "list")]);
    assert_eq!(
        run(&place, "r7", &table(&[])).await,
        [change(Deleted, 1, "a", "other"), change(Deleted, 9, "a", "list")]
    );
    assert_eq!(place.store.get(|contents| contents.rejects.len()), 0);
}

#[tokio::test]
async fn an_addition_waits_for_its_deletion() {
    let place = by_name_in_plan(SyncMode::Mirror);
    run(&place, "r1", &table(&[(1, "a", "list")])).await;
    let rows = table(&[(1, "A", "list")]);
    let mut extraction = place.open("r2", &rows).await.unwrap();
    assert_eq!(extraction.next_page(Deleted, 9).await.unwrap().len(), 1);
    assert!(extraction.next_page(Added, 9).await.unwrap().is_empty());
    assert_eq!(extraction.left().await.unwrap(), 1);
    extraction.finish(&Counters::default(), Phase::PartiallySucceeded).await.unwrap();
    let again = run(&place, "r3", &rows).await;
    assert_eq!(again, [change(Deleted, 1, "a", "list"), change(Added, 1, "A", "list")]);

    let withheld = table(&[(1, "B", "list"), (2, "n", "list")]);
    let mut extraction = place.open("r4", &withheld).await.unwrap();
    extraction.withhold_deletions();
    assert!(extraction.next_page(Deleted, 9).await.unwrap().is_empty());
    let added = extraction.next_page(Added, 9).await.unwrap();
    assert_eq!(added.iter().map(id).collect::<Vec<_>>(), [2], "the old record is still there");
    assert_eq!(extraction.left().await.unwrap(), 0);
}

#[tokio::test]
pub(super) async fn a_row_that_takes_its_record_back_is_sent_though_it_did_not_change() {
    let place = by_name_in_plan(SyncMode::Mirror);
    let one = table(&[(1, "a", "list")]);
    run(&place, "r1", &one).await;
    // Of the run in which 2 takes the record over, nothing but its delivery is known: not that 1 is a duplicate.
    let mut extraction = place.open("r2", &table(&[(1, "a", "list"), (2, "a", "list")])).await.unwrap();
    while let [change, ..] = &page(&mut extraction, 1).await[..] {
        if !change.duplicate {
            let verdict = Verdict::Delivered((place.identify.as_ref().unwrap())(&change.row.cells()));
            extraction.commit(vec![Ack { change: change.clone(), verdict }], &Counters::default()).await.unwrap();
        }
    }
    drop(extraction);
    assert_eq!(run(&place, "r3", &one).await, [change(Updated, 1, "a", "list")]);
    assert!(run(&place, "r4", &one).await.is_empty());
}

#[tokio::test]
async fn a_record_that_passed_on_goes_with_the_row_that_never_got_to_write_it() {
    let place = by_name_in_plan(SyncMode::Mirror);
    run(&place, "r1", &table(&[(1, "a", "list")])).await;
    // 2 stands for the record now, and 1 for another; the run ends before 2 is sent.
    let rows = table(&[(1, "b", "list"), (2, "a", "list")]);
    let mut extraction = place.open("r2", &rows).await.unwrap();
    let updated = extraction.next_page(Updated, 9).await.unwrap();
    let acks = updated.into_iter().map(|change| {
        let verdict = Verdict::Delivered((place.identify.as_ref().unwrap())(&change.row.cells()));
        Ack { change, verdict }
    });
    let acks: Vec<Ack> = acks.collect();
    assert_eq!(acks.iter().map(|ack| id(&ack.change)).collect::<Vec<_>>(), [1]);
    extraction.commit(acks, &Counters::default()).await.unwrap();
    extraction.finish(&Counters::default(), Phase::PartiallySucceeded).await.unwrap();
    let gone = run(&place, "r3", &table(&[(1, "b", "list")])).await;
    assert_eq!(gone, [change(Deleted, 1, "a", "list")], "what 1 wrote there is still there");
    assert!(run(&place, "r4", &table(&[(1, "b", "list")])).await.is_empty());
}

#[tokio::test]
async fn a_record_that_passed_to_a_row_that_moves_on_before_it_wrote_it_is_taken_back() {
    let place = by_name_in_plan(SyncMode::Mirror);
    run(&place, "r1", &table(&[(1, "a", "list"), (2, "b", "list")])).await;
    // 1 passes its record on; 2 takes it, and has one of its own, whose deletion fails.
    let rows = table(&[(1, "c", "list"), (2, "a", "list")]);
    let mut extraction = place.open("r2", &rows).await.unwrap();
    assert_eq!(extraction.next_page(Deleted, 9).await.unwrap().len(), 1);
    let updated = extraction.next_page(Updated, 9).await.unwrap();
    let acks = updated.into_iter().map(|change| {
        let verdict = Verdict::Delivered((place.identify.as_ref().unwrap())(&change.row.cells()));
        Ack { change, verdict }
    });
    extraction.commit(acks.collect(), &Counters::default()).await.unwrap();
    assert!(extraction.next_page(Added, 9).await.unwrap().is_empty());
    extraction.finish(&Counters::default(), Phase::PartiallySucceeded).await.unwrap();
    // And takes a third one.
    let rows = table(&[(1, "c", "list"), (2, "d", "list")]);
    let mut sent = run(&place, "r3", &rows).await;
    sent.sort_by_key(|change| (change.0 != Deleted, change.1));
    let wanted = [change(Deleted, 1, "a", "list"), change(Deleted, 2, "b", "list"), change(Added, 2, "d", "list")];
    assert_eq!(sent, wanted);
    assert!(run(&place, "r4", &rows).await.is_empty());
}
