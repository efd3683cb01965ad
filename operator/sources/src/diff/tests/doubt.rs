//! What may have reached the destination: changes that were handed out and have no acknowledgement.

use super::*;

/// A run that dies after it has sent everything; returns what it sent.
async fn sent_and_died(place: &Place, run: &str, table: &Table) -> Vec<SentChange> {
    let mut extraction = place.open(run, table).await.unwrap();
    let mut sent = Vec::new();
    loop {
        let page = page(&mut extraction, 3).await;
        if page.is_empty() {
            return sent;
        }
        sent.extend(page.iter().map(|change| place.sent(extraction.as_ref(), change)));
    }
}

fn one(changes: &[SentChange]) -> &SentChange {
    let [change] = changes else { panic!("one change, not {changes:?}") };
    change
}

#[tokio::test]
async fn an_update_that_the_model_takes_back_is_mended() {
    let place = Place::new(SyncMode::Mirror);
    let before = table(&[(1, "a", "x"), (2, "b", "x")]);
    place.deliver("r1", &before).await;
    let lost = sent_and_died(&place, "r2", &table(&[(1, "B", "x"), (2, "b", "x")])).await;
    assert_eq!(one(&lost).row[1], "\"B\"");
    let mended = place.deliver("r3", &before).await;
    assert_eq!((mended.updated(), mended.findings.doubtful), (vec![1], 1));
    assert_eq!(one(&mended.changes).row[1], "\"a\"");
    assert_ne!(one(&mended.changes).key, one(&lost).key);
    assert!(place.deliver("r4", &before).await.changes.is_empty());
}

#[tokio::test]
async fn a_row_that_went_before_it_was_acknowledged_is_deleted() {
    let place = Place::new(SyncMode::Mirror);
    place.deliver("r1", &table(&[(1, "a", "x")])).await;
    assert_eq!(sent_and_died(&place, "r2", &table(&[(1, "a", "x"), (2, "b", "x")])).await.len(), 1);
    let mended = place.deliver("r3", &table(&[(1, "a", "x")])).await;
    assert_eq!((mended.deleted(), mended.findings.known), (vec![2], 1));
    let after = place.deliver("r4", &table(&[(1, "a", "x")])).await;
    assert!(after.changes.is_empty());
    assert_eq!(place.deliver("r5", &table(&[(1, "a", "x"), (2, "b", "x")])).await.added(), [2]);
}

#[tokio::test]
async fn a_row_that_is_back_before_its_deletion_was_acknowledged_is_sent() {
    let place = Place::new(SyncMode::Mirror);
    let rows = table(&[(1, "a", "x")]);
    place.deliver("r1", &rows).await;
    assert_eq!(one(&sent_and_died(&place, "r2", &table(&[])).await).kind, ChangeKind::Deleted);
    assert_eq!(place.deliver("r3", &rows).await.updated(), [1]);
    assert!(place.deliver("r4", &rows).await.changes.is_empty());
}

#[tokio::test]
async fn only_the_change_that_was_lost_comes_again_with_its_key() {
    let place = Place::new(SyncMode::Mirror);
    let rows = |text: &str| table(&[(1, text, "x")]);
    place.deliver("r1", &rows("a")).await;
    let lost = sent_and_died(&place, "r2", &rows("b")).await;
    assert_eq!(sent_and_died(&place, "r2", &rows("b")).await, lost, "the same change again");
    let other = sent_and_died(&place, "r3", &rows("c")).await;
    assert_ne!(one(&other).key, one(&lost).key);
    let again = sent_and_died(&place, "r4", &rows("b")).await;
    assert_ne!(
        one(&again).key,
        one(&lost).key,
        "the destination may hold c by now, and must not take this for the first b"
    );
    assert_ne!(one(&again).key, one(&other).key);
}

#[tokio::test]
async fn marks_outlive_folds_and_end_with_an_acknowledgement() {
    let place = Place::new(SyncMode::Mirror);
    let rows = table(&[(1, "a", "x"), (2, "b", "x")]);
    place.deliver("r1", &rows).await;
    let changed = table(&[(1, "B", "x"), (2, "b", "x"), (3, "c", "x")]);
    // Nothing is acknowledged, and the run folds.
    let mut extraction = place.open("r2", &changed).await.unwrap();
    assert_eq!(
        page(&mut extraction, 9).await.len() + extraction.next_page(ChangeKind::Added, 9).await.unwrap().len(),
        2
    );
    extraction.finish(&Counters::default(), Phase::Failed).await.unwrap();
    assert!(place.store.get(|contents| contents.segments.is_empty()));
    let mended = place.deliver("r3", &rows).await;
    assert_eq!((mended.updated(), mended.deleted()), (vec![1], vec![3]));
    assert!(place.deliver("r4", &rows).await.changes.is_empty());
}

#[tokio::test]
pub(super) async fn a_rejection_clears_its_own_doubt_and_no_earlier_one() {
    let place = Place::new(SyncMode::Mirror);
    let rows = |text: &str| table(&[(1, text, "x")]);
    place.deliver("r1", &rows("a")).await;
    place.settle("r2", &rows("bad"), |_| rejection()).await;
    assert!(place.deliver("r3", &rows("a")).await.changes.is_empty(), "what was refused is not there");
    sent_and_died(&place, "r4", &rows("b")).await;
    let refused = place.settle("r5", &rows("bad"), |_| rejection()).await;
    let mended = place.deliver("r6", &rows("a")).await;
    assert_eq!(mended.updated(), [1], "b may be there");
    assert_ne!(mended.key_of(1), refused.key_of(1));
}

#[tokio::test]
async fn what_is_not_selected_leaves_no_mark() {
    let place = Place::new(SyncMode::Update);
    let rows = table(&[(1, "a", "x")]);
    sent_and_died(&place, "r1", &rows).await;
    assert!(place.store.get(|contents| contents.segments.is_empty()), "an Update sends no added row");
    assert!(place.deliver("r2", &table(&[])).await.changes.is_empty());
}

#[tokio::test]
async fn marks_are_written_before_the_first_page_and_with_acknowledgements_after_it() {
    let place = Place::new(SyncMode::Mirror);
    let rows: Vec<(i64, &str, &str)> = (0..30_000).map(|n| (n, "a", "x")).collect();
    let rows = table(&rows);
    let mut extraction = place.open("r1", &rows).await.unwrap();
    let segments = || place.store.get(|contents| contents.segments.len());
    let mut offered = 0;
    let mut commits = 0;
    loop {
        let page = extraction.next_page(ChangeKind::Added, 1_000).await.unwrap();
        if page.is_empty() {
            break;
        }
        offered += page.len();
        commits += 1;
        let ack = |change| Ack { change, verdict: Verdict::Delivered(Memory::default()) };
        extraction.commit(page.into_iter().map(ack).collect(), &Counters::default()).await.unwrap();
    }
    assert_eq!(offered, 30_000);
    assert_eq!(segments(), commits + 1, "one commit more than those of the acknowledgements");
}

#[tokio::test]
async fn without_a_mark_nothing_is_handed_out() {
    let place = Place::new(SyncMode::Mirror);
    let rows = table(&[(1, "a", "x")]);
    let mut extraction = place.open("r1", &rows).await.unwrap();
    place.store.get(|contents| contents.writes_left = Some(0));
    assert!(extraction.next_page(ChangeKind::Added, 9).await.is_err());
}
