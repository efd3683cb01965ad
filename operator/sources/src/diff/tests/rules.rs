//! Each rule of a diff, one scenario each.

use super::*;
use backflow_core::extraction::Resend;

#[tokio::test]
async fn a_first_run_adds_all_and_a_second_finds_exactly_what_changed() {
    let place = Place::new(SyncMode::Mirror);
    let first = place.deliver("r1", &table(&[(1, "a", "x"), (2, "b", "x"), (3, "c", "x")])).await;
    assert_eq!(first.added(), [1, 2, 3]);
    assert_eq!((first.findings.rows, first.findings.known), (3, 0));
    let second = place.deliver("r2", &table(&[(1, "a", "x"), (2, "B", "x"), (4, "d", "NULL")])).await;
    assert_eq!((second.added(), second.updated(), second.deleted()), (vec![4], vec![2], vec![3]));
    assert_eq!(
        second.changes.iter().map(|change| change.kind).collect::<Vec<_>>(),
        [ChangeKind::Deleted, ChangeKind::Updated, ChangeKind::Added]
    );
    assert_eq!(second.changes[2].row, ["4", "\"d\"", "null"]);
    assert!(second.changes[0].row.is_empty());
    let third = place.deliver("r3", &table(&[(1, "a", "x"), (2, "B", "x"), (4, "d", "NULL")])).await;
    assert!(third.changes.is_empty());
    assert_eq!(third.findings.known, 3);
}

#[tokio::test]
async fn the_hash_tells_null_from_empty_and_a_moved_null() {
    let place = Place::new(SyncMode::Upsert);
    place.deliver("r1", &table(&[(1, "", "x"), (2, "NULL", "x"), (3, "a", "b")])).await;
    let second = place.deliver("r2", &table(&[(1, "NULL", "x"), (2, "x", "NULL"), (3, "ab", "")])).await;
    assert_eq!(second.updated(), [1, 2, 3]);
}

#[tokio::test]
async fn null_and_duplicate_keys_are_neither_sent_nor_deleted() {
    let place = Place::new(SyncMode::Mirror);
    place.deliver("r1", &table(&[(1, "a", "x"), (2, "b", "x")])).await;
    let mut rows = table(&[(1, "a", "x"), (2, "b", "x"), (2, "c", "x"), (5, "e", "x"), (5, "e", "x")]);
    rows.rows.push(vec![Cell::Null, Cell::Null, Cell::Null]);
    let second = place.deliver("r2", &rows).await;
    assert!(second.changes.is_empty());
    assert_eq!((second.findings.invalid_duplicate_key, second.findings.invalid_null_key), (4, 1));
    assert_eq!((second.findings.rows, second.findings.known, second.findings.deleted), (6, 2, 0));
    let third = place.deliver("r3", &table(&[(1, "a", "x"), (2, "c", "x")])).await;
    assert_eq!((third.updated(), third.deleted()), (vec![2], vec![]));
}

#[tokio::test]
async fn what_was_not_acknowledged_is_found_again_with_the_same_key() {
    let place = Place::new(SyncMode::Mirror);
    let rows = table(&[(1, "a", "x"), (2, "b", "x"), (3, "c", "x")]);
    let mut extraction = place.open("r1", &rows).await.unwrap();
    let page = page(&mut extraction, 10).await;
    let keys: BTreeMap<i64, String> =
        page.iter().map(|change| (id(change), place.key(extraction.as_ref(), change))).collect();
    let acks = vec![Ack { change: page[1].clone(), verdict: delivered("m") }];
    let counters = Counters { upserted: 1, ..Counters::default() };
    extraction.commit(acks, &counters).await.unwrap();
    drop(extraction);
    let again = place.open("r1", &rows).await.unwrap();
    assert_eq!(again.carried(), &counters);
    drop(again);
    let rest = place.deliver("r1", &rows).await;
    let mut left = keys.clone();
    left.remove(&id(&page[1]));
    assert_eq!(rest.changes.iter().map(|change| (change.id, change.key.clone())).collect::<BTreeMap<_, _>>(), left);
}

#[tokio::test]
async fn there_and_back_again_never_repeats_a_key() {
    let place = Place::new(SyncMode::Mirror);
    let mut keys = std::collections::BTreeSet::new();
    for (run, rows) in [
        &[(1, "a", "x")][..],
        &[(1, "b", "x")],
        &[(1, "a", "x")],
        &[(1, "b", "x")],
        &[],
        &[(1, "b", "x")],
        &[],
        &[(1, "a", "x")],
    ]
    .into_iter()
    .enumerate()
    {
        let sent = place.deliver(&format!("r{run}"), &table(rows)).await;
        assert_eq!(sent.changes.len(), 1, "run {run}");
        assert!(keys.insert(sent.changes[0].key.clone()), "run {run}");
        place.days_pass(3);
    }
}

#[tokio::test]
async fn pods_of_one_run_never_repeat_a_key_either() {
    let place = Place::new(SyncMode::Mirror);
    let mut keys = std::collections::BTreeSet::new();
    for text in ["a", "b", "a", "b"] {
        let sent = place.deliver("r1", &table(&[(1, text, "x")])).await;
        assert!(keys.insert(sent.key_of(1).to_owned()));
    }
}

#[tokio::test]
async fn a_dropped_tombstone_leaves_its_rev_behind() {
    let place = Place::new(SyncMode::Mirror);
    let rows = table(&[(1, "a", "x"), (2, "b", "x")]);
    let first = place.deliver("r1", &rows).await;
    place.deliver("r2", &table(&[(2, "b", "x")])).await;
    place.days_pass(8);
    place.deliver("r3", &table(&[(2, "b", "x")])).await;
    let document = place.store.get(|contents| contents.head.as_ref().unwrap().document.clone());
    assert!(document.contains("\"revFloor\":2"), "the tombstone of claim 2 is gone: {document}");
    let again = place.deliver("r4", &rows).await;
    assert_eq!(again.added(), [1]);
    assert_ne!(again.key_of(1), first.key_of(1));
}

#[tokio::test]
async fn rejected_content_waits_for_a_change_of_row_or_mapping() {
    let mut place = Place::new(SyncMode::Mirror);
    let rows = table(&[(1, "a", "x"), (2, "b", "x")]);
    let reject = |change: &Change| if id(change) == 1 { rejection() } else { delivered("m") };
    assert_eq!(place.settle("r1", &rows, reject).await.added(), [1, 2]);
    assert_eq!(place.store.get(|contents| contents.rejects.keys().cloned().collect::<Vec<_>>()), ["1"]);
    let second = place.settle("r2", &rows, reject).await;
    assert!(second.changes.is_empty());
    assert_eq!((second.findings.still_rejected, second.findings.known), (1, 1));
    let changed = table(&[(1, "A", "x"), (2, "b", "x")]);
    assert_eq!(place.settle("r3", &changed, reject).await.added(), [1]);
    place.plan.options.retry_rejected = true;
    let first_try = place.settle("r4", &changed, reject).await;
    let second_try = place.deliver("r5", &changed).await;
    assert_eq!((first_try.added(), second_try.added()), (vec![1], vec![1]));
    assert_ne!(first_try.key_of(1), second_try.key_of(1));
    assert!(place.store.get(|contents| contents.rejects.is_empty()));
    place.plan.options.retry_rejected = false;
    assert!(place.deliver("r6", &changed).await.changes.is_empty());
}

#[tokio::test]
async fn a_rejected_update_keeps_what_was_delivered() {
    let mut place = Place::new(SyncMode::Mirror);
    let old = table(&[(1, "a", "x")]);
    let new = table(&[(1, "b", "x")]);
    place.settle("r1", &old, |_| delivered("m")).await;
    place.settle("r2", &new, |_| rejection()).await;
    assert_eq!(place.deliver("r3", &new).await.findings.still_rejected, 1);
    let back = place.deliver("r4", &old).await;
    assert!(back.changes.is_empty(), "the destination still has the old content");
    assert!(place.store.get(|contents| contents.rejects.is_empty()));
    assert_eq!(place.deliver("r5", &new).await.updated(), [1], "the rejection was forgotten with the content");
    place.settle("r6", &old, |_| rejection()).await;
    place.plan.mapping.fingerprint = "f2".into();
    assert_eq!(place.deliver("r7", &old).await.updated(), [1]);
}

#[tokio::test]
async fn a_rejected_deletion_waits_and_ends_when_the_row_is_back() {
    let place = Place::new(SyncMode::Mirror);
    let rows = table(&[(1, "a", "x")]);
    place.settle("r1", &rows, |_| delivered("m")).await;
    assert_eq!(place.settle("r2", &table(&[]), |_| rejection()).await.deleted(), [1]);
    let third = place.deliver("r3", &table(&[])).await;
    assert_eq!((third.changes.len(), third.findings.still_rejected, third.findings.deleted), (0, 1, 0));
    assert!(place.deliver("r4", &rows).await.changes.is_empty());
    assert_eq!(place.deliver("r5", &table(&[])).await.deleted(), [1]);
}

#[tokio::test]
async fn a_row_that_was_only_rejected_goes_without_a_deletion() {
    let place = Place::new(SyncMode::Mirror);
    let first = place.settle("r1", &table(&[(1, "a", "x")]), |_| rejection()).await;
    let second = place.deliver("r2", &table(&[])).await;
    assert!(second.changes.is_empty());
    assert!(place.store.get(|contents| contents.rejects.is_empty()));
    let third = place.deliver("r3", &table(&[(1, "a", "x")])).await;
    assert_ne!(third.key_of(1), first.key_of(1));
}

#[tokio::test]
async fn seen_rows_are_known_but_unsent() {
    let place = Place::new(SyncMode::Update);
    let seen = place.settle("r1", &table(&[(1, "a", "x"), (2, "b", "x")]), |_| Verdict::Seen).await;
    assert_eq!(seen.added(), [1, 2]);
    let mut extraction = place.open("r2", &table(&[(1, "A", "x")])).await.unwrap();
    assert_eq!((extraction.findings().deleted, extraction.findings().deleted_unsent), (1, 1));
    let deleted = page(&mut extraction, 9).await;
    let updated = page(&mut extraction, 9).await;
    assert!(deleted[0].unsent && updated[0].unsent);
    let ack = |change: &Change, verdict| Ack { change: change.clone(), verdict };
    let acks = vec![ack(&deleted[0], Verdict::Seen), ack(&updated[0], delivered("m"))];
    extraction.commit(acks, &Counters::default()).await.unwrap();
    assert_eq!(extraction.finish(&Counters::default(), Phase::Succeeded).await.unwrap().rows, 1);
    place.settle("r3", &table(&[(1, "B", "x")]), |_| Verdict::Seen).await;
    let mut extraction = place.open("r4", &table(&[])).await.unwrap();
    let page = super::page(&mut extraction, 9).await;
    assert!(!page[0].unsent, "what was sent once stays sent");
    assert_eq!(page[0].memory.match_key.as_deref(), Some("m"));
}

#[tokio::test]
async fn a_changed_mapping_resends_all_or_keeps_quiet() {
    let mut place = Place::new(SyncMode::Upsert);
    let rows = table(&[(1, "a", "x"), (2, "b", "x")]);
    place.deliver("r1", &rows).await;
    place.plan.mapping.fingerprint = "f2".into();
    let resent = place.deliver("r2", &rows).await;
    assert_eq!((resent.updated(), resent.findings.resend), (vec![1, 2], Some(Resend::MappingChanged)));
    assert!(place.deliver("r3", &rows).await.changes.is_empty());

    place.plan.mapping.on_change = OnMappingChange::Keep;
    place.plan.mapping.fingerprint = "f3".into();
    place.used = ["id", "name"].map(String::from).into();
    let kept = place.deliver("r4", &table(&[(1, "a", "x"), (2, "b", "y")])).await;
    assert_eq!((kept.updated(), kept.findings.resend), (vec![2], None), "a real change by the old columns");
    let after = place.deliver("r5", &table(&[(1, "a", "z"), (2, "b", "z")])).await;
    assert!(after.changes.is_empty(), "hashes are made by the new columns from then on");
    let specs = place.store.get(|contents| contents.head.as_ref().unwrap().document.matches("fingerprint").count());
    assert_eq!(specs, 1, "specs that no entry needs are dropped");
}

#[tokio::test]
async fn a_row_whose_old_columns_are_gone_counts_as_changed() {
    let mut place = Place::new(SyncMode::Upsert);
    place.deliver("r1", &table(&[(1, "a", "x")])).await;
    place.plan.mapping.on_change = OnMappingChange::Keep;
    place.used = ["id", "name"].map(String::from).into();
    let mut rows = table(&[(1, "a", "x")]);
    rows.columns[2] = "other".into();
    assert_eq!(place.deliver("r2", &rows).await.updated(), [1]);
}

#[tokio::test]
async fn withheld_deletions_stay_and_come_again() {
    let place = Place::new(SyncMode::Mirror);
    place.deliver("r1", &table(&[(1, "a", "x"), (2, "b", "x")])).await;
    let mut extraction = place.open("r2", &table(&[(3, "c", "x")])).await.unwrap();
    assert_eq!(extraction.findings().deleted, 2);
    extraction.withhold_deletions();
    let page = super::page(&mut extraction, 9).await;
    assert_eq!(page.iter().map(|change| (change.kind, id(change))).collect::<Vec<_>>(), [(ChangeKind::Added, 3)]);
    extraction
        .commit(vec![Ack { change: page[0].clone(), verdict: delivered("m") }], &Counters::default())
        .await
        .unwrap();
    assert!(super::page(&mut extraction, 9).await.is_empty());
    assert_eq!(extraction.finish(&Counters::default(), Phase::PartiallySucceeded).await.unwrap().rows, 3);
    assert_eq!(place.deliver("r3", &table(&[(3, "c", "x")])).await.deleted(), [1, 2]);
}

#[tokio::test]
async fn full_scratch_offers_what_was_read_and_no_deletion_and_the_next_run_goes_on() {
    let mut place = Place::new(SyncMode::Mirror);
    place.deliver("r1", &table(&[(-1, "gone", "x")])).await;
    let noise = |n: u64| format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let texts: Vec<String> = (0..30_000).map(|n| (0..16).map(|part| noise(n * 16 + part)).collect()).collect();
    let rows: Vec<(i64, &str, &str)> = (0..).zip(&texts).map(|(n, text)| (n, text.as_str(), "x")).collect();
    place.plan.mapping.scratch_bytes = 2 << 20;
    let rows = table(&rows);
    let mut sent = 0;
    for run in 0.. {
        let part = place.deliver(&format!("s{run}"), &rows).await;
        sent += part.added().len();
        assert!(part.updated().is_empty());
        if !part.findings.scratch_full {
            assert_eq!(part.deleted(), [-1]);
            assert!(run > 1, "scratch was never full");
            break;
        }
        assert!(!part.added().is_empty() && part.deleted().is_empty());
    }
    assert_eq!(sent, rows.rows.len());
}

#[tokio::test]
async fn limits_name_the_column() {
    let place = Place::new(SyncMode::Mirror);
    let long = "x".repeat(512 * 1024);
    let exactly = place.deliver("r1", &table(&[(1, &long[..512 * 1024 - 16], "x")])).await;
    assert_eq!(exactly.added(), [1]);
    let failure = place.refused("r2", &table(&[(1, &format!("{long}1234567890123456789012345"), "x")])).await;
    is(&failure, Code::LimitExceeded, &["customers", "\"name\"", "512 KiB"]);
    let mut place = Place::new(SyncMode::Mirror);
    place.plan.model.primary_key = vec!["plan".into(), "name".into()];
    is(&place.refused("r1", &table(&[(1, &long[..4096], "x")])).await, Code::LimitExceeded, &["\"name\"", "4 KiB"]);
    place.used = vec!["nme".into()];
    is(&place.refused("r1", &table(&[])).await, Code::ColumnNotFound, &["\"nme\"", "id, name, plan"]);
    place.plan.model.primary_key = vec!["key".into()];
    is(&place.refused("r1", &table(&[])).await, Code::PrimaryKeyMissing, &["\"key\"", "id, name, plan"]);
}

#[tokio::test]
async fn the_order_of_columns_and_rows_does_not_matter() {
    let mut place = Place::new(SyncMode::Mirror);
    place.deliver("r1", &table(&[(1, "a", "x"), (2, "b", "x")])).await;
    place.used.reverse();
    let mut rows = table(&[(2, "b", "x"), (1, "a", "x")]);
    rows.columns.reverse();
    rows.rows.iter_mut().for_each(|row| row.reverse());
    assert!(place.deliver("r2", &rows).await.changes.is_empty());
}

#[tokio::test]
async fn the_remote_id_of_an_insert_outlives_updates_that_do_not_tell_it() {
    let place = Place::new(SyncMode::Mirror);
    let remote = |id: Option<&str>| Memory { remote_id: id.map(Box::from), ..Memory::default() };
    place.settle("r1", &table(&[(1, "a", "x")]), |_| Verdict::Delivered(remote(Some("77")))).await;
    place.settle("r2", &table(&[(1, "b", "x")]), |_| Verdict::Delivered(remote(None))).await;
    let mut extraction = place.open("r3", &table(&[])).await.unwrap();
    assert_eq!(page(&mut extraction, 9).await[0].memory, remote(Some("77")));
}
