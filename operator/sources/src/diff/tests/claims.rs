//! Whose the state is, what modes do to it, and how it is kept.

use super::*;
use backflow_core::extraction::Resend;

#[tokio::test]
async fn a_resend_goes_on_where_a_crash_ended_it() {
    let mut place = Place::new(SyncMode::Upsert);
    let rows = table(&[(1, "a", "x"), (2, "b", "x"), (3, "c", "x")]);
    place.deliver("r1", &rows).await;
    for (mode, fingerprint) in [(Mode::Full, "f1"), (Mode::Incremental, "f2")] {
        place.plan.mode = mode;
        place.plan.mapping.fingerprint = fingerprint.into();
        let run = format!("run-{fingerprint}");
        let mut extraction = place.open(&run, &rows).await.unwrap();
        let page = page(&mut extraction, 1).await;
        let acks = vec![Ack { change: page[0].clone(), verdict: delivered("m") }];
        extraction.commit(acks, &Counters::default()).await.unwrap();
        drop(extraction);
        place.plan.mode = Mode::Incremental;
        let rest = place.deliver("next", &rows).await;
        assert_eq!(rest.updated().len(), 2);
        assert!(!rest.updated().contains(&id(&page[0])));
        assert!(place.deliver("after", &rows).await.changes.is_empty());
    }
}

#[tokio::test]
async fn a_full_run_sends_all_once_also_with_a_replacement_pod() {
    let mut place = Place::new(SyncMode::Mirror);
    place.deliver("r1", &table(&[(1, "a", "x"), (2, "b", "x")])).await;
    place.plan.mode = Mode::Full;
    let rows = table(&[(1, "a", "x"), (3, "c", "x")]);
    let full = place.deliver("r2", &rows).await;
    assert_eq!((full.added(), full.updated(), full.deleted()), (vec![3], vec![1], vec![2]));
    assert_eq!(full.findings.resend, Some(Resend::Full));
    assert!(place.deliver("r2", &rows).await.changes.is_empty(), "the pod that replaces it has nothing left");
    assert_eq!(place.deliver("r3", &rows).await.updated(), [1, 3], "another Full is another wish");
}

#[tokio::test]
async fn a_reset_forgets_once_per_run_and_asks_on_a_mirror() {
    let mut place = Place::new(SyncMode::Mirror);
    let rows = table(&[(1, "a", "x")]);
    let first = place.deliver("r1", &rows).await;
    place.plan.mode = Mode::Reset;
    is(&place.refused("r2", &rows).await, Code::ConfirmRequired, &["confirm: true", "crm"]);
    place.plan.options.confirm = true;
    let reset = place.deliver("r2", &rows).await;
    assert_eq!(reset.added(), [1]);
    assert_ne!(reset.key_of(1), first.key_of(1));
    assert!(place.deliver("r2", &rows).await.changes.is_empty());
    let numbers = place.store.get(|contents| contents.runs.values().map(|run| run.number).collect::<Vec<_>>());
    assert_eq!(numbers, [1, 2]);
}

#[tokio::test]
async fn state_of_another_place_or_owner_is_not_touched() {
    let mut place = Place::new(SyncMode::Mirror);
    let rows = table(&[(1, "a", "x")]);
    place.deliver("r1", &rows).await;
    let before = place.store.get(|contents| contents.head.clone());

    place.owner = "other".into();
    is(&place.refused("r2", &rows).await, Code::StateOwnedElsewhere, &["cluster", "other", "adoptState"]);
    place.owner = "cluster".into();
    place.plan.mapping.identity.insert("destination.url".into(), "https://u:pw@b.example/T0/secret?k=1".into());
    let failure = place.refused("r2", &rows).await;
    is(&failure, Code::IdentityChanged, &["destination.url", "adoptState", "Reset"]);
    place.plan.mapping.identity.remove("destination.url");
    place.plan.mapping.identity.insert("destination.type".into(), "hubspot".into());
    is(&place.refused("r2", &rows).await, Code::IdentityChanged, &["webhook", "hubspot"]);
    assert_eq!(place.store.get(|contents| contents.head.clone()), before);

    place.plan.options.adopt_state = true;
    place.owner = "other".into();
    assert!(place.deliver("r3", &rows).await.changes.is_empty());
    place.plan.options.adopt_state = false;
    assert!(place.deliver("r4", &rows).await.changes.is_empty(), "it is ours now");
    place.plan.model.primary_key = vec!["name".into()];
    is(&place.refused("r5", &rows).await, Code::PrimaryKeyChanged, &["(id)", "(name)", "Reset"]);
}

#[tokio::test]
async fn urls_in_messages_show_neither_path_nor_credentials() {
    let mut place = Place::new(SyncMode::Mirror);
    let rows = table(&[(1, "a", "x")]);
    let mut url = |text: &str| place.plan.mapping.identity.insert("destination.url".into(), text.into());
    url("https://u:pw@a.example/T0/secret?k=1");
    place.deliver("r1", &rows).await;
    for (text, words) in [
        ("https://b.example/T0/secret", "was \"https://a.example\", is \"https://b.example\""),
        ("https://a.example/T1", "destination.url changed"),
    ] {
        place.plan.mapping.identity.insert("destination.url".into(), text.into());
        let failure = place.refused("r2", &rows).await;
        is(&failure, Code::IdentityChanged, &[words]);
        assert!(!failure.message.contains("secret") && !failure.message.contains("pw"), "{failure}");
    }
}

#[tokio::test]
async fn a_stale_pod_cannot_commit() {
    a_stale_pod_is_fenced().await;
}

pub(super) async fn a_stale_pod_is_fenced() {
    let place = Place::new(SyncMode::Mirror);
    let rows = table(&[(1, "a", "x")]);
    let mut old = place.open("r1", &rows).await.unwrap();
    let page = page(&mut old, 9).await;
    let _new = place.open("r1", &rows).await.unwrap();
    let acks = vec![Ack { change: page[0].clone(), verdict: delivered("m") }];
    is(&old.commit(acks, &Counters::default()).await.unwrap_err(), Code::Fenced, &[]);
    is(&old.finish(&Counters::default(), Phase::Succeeded).await.unwrap_err(), Code::Fenced, &[]);
    assert_eq!(
        place.store.get(|contents| contents.segments.len()),
        1,
        "the marks, which it wrote while it had the claim"
    );
}

#[tokio::test]
async fn only_touched_partitions_are_written() {
    partitions_follow_the_number_of_rows().await;
}

pub(super) async fn partitions_follow_the_number_of_rows() {
    let place = Place::new(SyncMode::Mirror);
    let rows: Vec<(i64, &str, &str)> = (0..40_000).map(|n| (n, "a", "x")).collect();
    place.settle_in_pages("r1", &table(&rows), 10_000).await;
    let written = place.store.get(|contents| contents.written);
    assert_eq!(written, 4);
    let mut changed = rows.clone();
    let segments = || place.store.get(|contents| contents.segments.len());
    for run in 0.. {
        changed[7].1 = if run % 2 == 0 { "b" } else { "c" };
        assert_eq!(place.deliver(&format!("r2-{run}"), &table(&changed)).await.updated(), [7]);
        if segments() == 0 {
            break;
        }
        assert_eq!(place.store.get(|contents| contents.written), written);
    }
    assert_eq!(place.store.get(|contents| contents.written), written + 1);
    assert!(place.deliver("r3", &table(&changed)).await.changes.is_empty());
    assert_eq!(place.store.get(|contents| contents.written), written + 1);
    let few = table(&changed[..10]);
    assert_eq!(place.settle_in_pages("r4", &few, 10_000).await, 39_990);
    place.days_pass(8);
    assert!(place.deliver("r5", &few).await.changes.is_empty());
    place.deliver("r6", &table(&[(0, "n", "x")])).await;
    assert_eq!(place.store.get(|contents| contents.partitions.len()), 1);
}

#[tokio::test]
async fn forgetting_asks_the_owner() {
    let place = Place::new(SyncMode::Mirror);
    let store = place.store.as_ref();
    assert!(!super::super::forget(store, "growth/crm", "cluster", false).await.unwrap());
    place.deliver("r1", &table(&[(1, "a", "x")])).await;
    is(&super::super::forget(store, "growth/crm", "other", false).await.unwrap_err(), Code::StateOwnedElsewhere, &[]);
    assert!(super::super::forget(store, "growth/crm", "other", true).await.unwrap());
    assert_eq!(place.deliver("r2", &table(&[(1, "a", "x")])).await.added(), [1]);
}

#[tokio::test]
async fn a_long_journal_is_folded_before_the_run() {
    let place = Place::new(SyncMode::Mirror);
    let rows: Vec<(i64, &str, &str)> = (0..300).map(|n| (n, "a", "x")).collect();
    let rows = table(&rows);
    let mut extraction = place.open("r1", &rows).await.unwrap();
    for _ in 0..299 {
        let change = page(&mut extraction, 1).await.remove(0);
        extraction.commit(vec![Ack { change, verdict: delivered("m") }], &Counters::default()).await.unwrap();
    }
    drop(extraction);
    assert_eq!(place.store.get(|contents| contents.segments.len()), 300, "one of marks, 299 of acknowledgements");
    let again = place.open("r2", &rows).await.unwrap();
    assert_eq!(place.store.get(|contents| (contents.segments.len(), contents.partitions.len())), (0, 1));
    assert_eq!((again.findings().known, again.findings().added), (299, 1));
    drop(again);
    assert_eq!(place.deliver("r2", &rows).await.added().len(), 1);
}

#[tokio::test]
async fn a_claim_does_not_undo_what_the_pod_before_it_commits_meanwhile() {
    let place = Place::new(SyncMode::Mirror);
    place.deliver("r1", &table(&[(1, "a", "x"), (2, "b", "x")])).await;
    let rows = table(&[(1, "a", "y"), (3, "c", "x")]);
    let mut old = place.open("r2", &rows).await.unwrap();
    loop {
        let page = page(&mut old, 10).await;
        if page.is_empty() {
            break;
        }
        let acks = page.into_iter().map(|change| Ack { change, verdict: delivered("m") }).collect();
        old.commit(acks, &Counters { upserted: 3, ..Counters::default() }).await.unwrap();
    }
    *place.store.rival.lock().unwrap() = Some(old);
    let new = place.open("r2", &rows).await.unwrap();
    let found = new.findings();
    assert_eq!((found.known, found.added, found.updated, found.deleted), (2, 0, 0, 0));
    drop(new);
    assert!(place.deliver("r3", &rows).await.changes.is_empty());
}

/// A run in pages of `page` that dies after so many of them, the last one sent and not acknowledged; counts what it sent of each row.
async fn dies(place: &Place, run: &str, table: &Table, page: usize, pages: usize, sent: &mut BTreeMap<i64, usize>) {
    let mut extraction = place.open(run, table).await.unwrap();
    for number in 1..=pages {
        let page = super::page(&mut extraction, page).await;
        page.iter().for_each(|change| *sent.entry(id(change)).or_default() += 1);
        if number < pages {
            let ack = |change| Ack { change, verdict: delivered("m") };
            extraction.commit(page.into_iter().map(ack).collect(), &Counters::default()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_full_run_of_many_rows_that_is_killed_three_times_does_not_start_over() {
    const ROWS: usize = 5_000;
    const PAGE: usize = 100;
    for seed in 0..4_u64 {
        let mut place = Place::new(SyncMode::Mirror);
        let rows: Vec<(i64, &str, &str)> = (0..ROWS as i64).map(|n| (n, "a", "x")).collect();
        let rows = table(&rows);
        place.settle_in_pages("first", &rows, 1_000).await;
        place.plan.mode = Mode::Full;
        let mut sent = BTreeMap::new();
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        for _ in 0..3 {
            // Pages of a pod: 1 to 12 of 50.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            dies(&place, "full", &rows, PAGE, 1 + (state >> 33) as usize % 12, &mut sent).await;
        }
        let rest = place.deliver("full", &rows).await;
        rest.changes.iter().for_each(|change| *sent.entry(change.id).or_default() += 1);
        assert_eq!(sent.len(), ROWS, "each row at least once");
        let again: usize = sent.values().map(|times| times - 1).sum();
        assert!(again <= 3 * PAGE, "{again} rows came more than once: a page for each kill");
        assert!(place.deliver("full", &rows).await.changes.is_empty());
    }
}

#[tokio::test]
async fn a_mapping_is_edited_while_rows_change() {
    for keep in [false, true] {
        let mut place = Place::new(SyncMode::Mirror);
        let rows = |changed: &[(i64, &'static str)]| {
            let text = |n: i64| changed.iter().find(|(id, _)| *id == n).map_or("a", |(_, text)| *text);
            table(&(0..40).map(|n| (n, text(n), "x")).collect::<Vec<_>>())
        };
        place.deliver("r1", &rows(&[])).await;
        place.plan.mapping.on_change = if keep { OnMappingChange::Keep } else { OnMappingChange::Resend };
        place.plan.mapping.fingerprint = "f2".into();
        let mut sent = BTreeMap::new();
        // Rows change before the run, and again after it has died.
        dies(&place, "r2", &rows(&[(1, "b"), (2, "b"), (3, "b")]), 2, 2, &mut sent).await;
        let now = rows(&[(1, "b"), (2, "c"), (3, "a"), (4, "d")]);
        let rest = place.deliver("r3", &now).await;
        rest.changes.iter().for_each(|change| *sent.entry(change.id).or_default() += 1);
        let wanted = if keep { 3 } else { 40 };
        assert!(sent.len() >= wanted, "{keep}: {sent:?}");
        assert!([1, 2, 4].iter().all(|id| sent.contains_key(id)), "{keep}: nothing is lost: {sent:?}");
        if keep {
            assert!(sent.keys().all(|id| (1..=4).contains(id)), "only what changed: {sent:?}");
        }
        assert_eq!(rest.changes.iter().find(|change| change.id == 2).unwrap().row[1], "\"c\"");
        assert!(place.deliver("r4", &now).await.changes.is_empty(), "{keep}");
    }
}
