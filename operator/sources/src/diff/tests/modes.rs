//! Replay and DryRun.

use super::*;
use backflow_core::extraction::Resend;
use backflow_core::plan::Replay;

fn rows(changed: &[(i64, &str)]) -> Table {
    let text = |id: i64| changed.iter().find(|(changed, _)| *changed == id).map_or("a", |(_, text)| text);
    table(&(1..=5).map(|id| (id, text(id), "x")).collect::<Vec<_>>())
}

fn replay(place: &mut Place, replay: Replay) {
    place.plan.mode = Mode::Replay(replay);
}

#[tokio::test]
async fn a_replay_sends_what_one_run_acknowledged_last_as_it_is_now_and_nothing_else() {
    let mut place = Place::new(SyncMode::Mirror);
    place.deliver("r1", &rows(&[])).await;
    place.deliver("r2", &rows(&[(1, "b"), (2, "b"), (3, "b")])).await;
    let third = place.deliver("r3", &rows(&[(1, "b"), (2, "c"), (3, "b")])).await;
    assert_eq!(third.updated(), [2]);
    // Row 3 has changed since, 4 too, and 5 is gone.
    let now = table(&[(1, "b", "x"), (2, "c", "x"), (3, "d", "x"), (4, "d", "x"), (6, "n", "x")]);
    replay(&mut place, Replay::Run("r2".into()));
    let replayed = place.deliver("r4", &now).await;
    assert_eq!((replayed.added(), replayed.updated(), replayed.deleted()), (vec![], vec![1, 3], vec![]));
    assert_eq!(replayed.findings.resend, Some(Resend::Replay));
    assert_eq!(replayed.changes.iter().find(|change| change.id == 3).unwrap().row[1], "\"d\"");
    assert!(place.deliver("r4", &now).await.changes.is_empty(), "the pod that replaces it has nothing left");
    place.plan.mode = Mode::Incremental;
    let rest = place.deliver("r5", &now).await;
    assert_eq!((rest.added(), rest.updated(), rest.deleted()), (vec![6], vec![4], vec![5]));
}

#[tokio::test]
async fn a_replay_goes_on_after_a_crash_and_covers_all_pods_of_a_run() {
    let mut place = Place::new(SyncMode::Mirror);
    let all = rows(&[]);
    for _ in 0..2 {
        let mut extraction = place.open("r1", &all).await.unwrap();
        let page = extraction.next_page(ChangeKind::Added, 2).await.unwrap();
        let acks = page.into_iter().map(|change| Ack { change, verdict: delivered("m") }).collect();
        extraction.commit(acks, &Counters::default()).await.unwrap();
    }
    place.deliver("r2", &all).await;
    for chosen in [Replay::Run("r1".into()), Replay::Keys(["1", "2", "3", "4"].map(String::from).into())] {
        let keys = matches!(chosen, Replay::Keys(_));
        replay(&mut place, chosen);
        let run = format!("replay-{keys}");
        let mut extraction = place.open(&run, &all).await.unwrap();
        assert_eq!(extraction.findings().updated, 4);
        let page = extraction.next_page(ChangeKind::Updated, 3).await.unwrap();
        let first = place.sent(extraction.as_ref(), &page[0]);
        let acks = vec![Ack { change: page[1].clone(), verdict: delivered("m") }];
        extraction.commit(acks, &Counters::default()).await.unwrap();
        drop(extraction);
        let rest = place.deliver(&run, &all).await;
        assert_eq!(rest.updated().len(), 3);
        assert_eq!(rest.key_of(first.id), first.key, "what was not acknowledged comes again with its key");
        assert!(place.deliver(&run, &all).await.changes.is_empty());
    }
}

#[tokio::test]
async fn keys_of_a_replay_may_be_new_and_may_be_gone() {
    let mut place = Place::new(SyncMode::Mirror);
    place.deliver("r1", &table(&[(1, "a", "x"), (2, "a", "x")])).await;
    replay(&mut place, Replay::Keys(["2", "3", "1"].map(String::from).into()));
    let replayed = place.deliver("r2", &table(&[(2, "a", "x"), (3, "n", "x"), (4, "n", "x")])).await;
    assert_eq!((replayed.added(), replayed.updated(), replayed.deleted()), (vec![3], vec![2], vec![]));
}

#[tokio::test]
async fn a_replay_of_a_run_that_is_not_remembered_is_refused() {
    let mut place = Place::new(SyncMode::Mirror);
    place.deliver("r1", &rows(&[])).await;
    for name in ["never", "r2"] {
        replay(&mut place, Replay::Run(name.into()));
        is(&place.refused("r2", &rows(&[])).await, Code::RunNotFound, &["growth/crm", name]);
    }
}

#[tokio::test]
async fn a_full_run_that_is_not_through_is_not_through_after_a_replay() {
    let mut place = Place::new(SyncMode::Mirror);
    let all = rows(&[]);
    place.deliver("r1", &all).await;
    place.plan.mode = Mode::Full;
    drop(place.open("full", &all).await.unwrap());
    replay(&mut place, Replay::Keys(vec!["1".into()]));
    assert_eq!(place.deliver("r2", &all).await.updated(), [1]);
    place.plan.mode = Mode::Incremental;
    assert_eq!(place.deliver("r3", &all).await.updated(), [2, 3, 4, 5]);
}

#[tokio::test]
async fn a_dry_run_finds_what_a_run_would_and_moves_nothing() {
    let mut place = Place::new(SyncMode::Mirror);
    place.deliver("r1", &rows(&[])).await;
    let now = table(&[(1, "b", "x"), (2, "a", "x"), (6, "n", "x")]);
    let before = place.store.get(|contents| (contents.head.clone(), contents.runs.clone(), contents.segments.clone()));
    place.store.get(|contents| contents.writes_left = Some(0));
    place.plan.mode = Mode::DryRun;
    let mut extraction = place.open("dry", &now).await.unwrap();
    let mut found = BTreeMap::new();
    for kind in [ChangeKind::Deleted, ChangeKind::Updated, ChangeKind::Added] {
        let page = extraction.next_page(kind, 9).await.unwrap();
        found.insert(kind, page.iter().map(id).collect::<std::collections::BTreeSet<_>>());
    }
    drop(extraction);
    let after = place.store.get(|contents| (contents.head.clone(), contents.runs.clone(), contents.segments.clone()));
    assert_eq!(after, before);
    place.store.get(|contents| contents.writes_left = None);
    place.plan.mode = Mode::Incremental;
    let real = place.deliver("r2", &now).await;
    assert_eq!(found[&ChangeKind::Deleted], real.deleted().into_iter().collect());
    assert_eq!(found[&ChangeKind::Updated], real.updated().into_iter().collect());
    assert_eq!(found[&ChangeKind::Added], real.added().into_iter().collect());
}

#[tokio::test]
async fn a_dry_run_needs_no_state() {
    let mut place = Place::new(SyncMode::Mirror);
    place.plan.mode = Mode::DryRun;
    place.store.get(|contents| contents.writes_left = Some(0));
    assert_eq!(place.open("dry", &rows(&[])).await.unwrap().findings().added, 5);
    assert!(place.store.get(|contents| contents.head.is_none() && contents.runs.is_empty()));
}
