//! What every state store must do, whatever it is made of. Each check is a scenario over keys of its own, so that all of them run
//! on one store.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a check fails by panicking, as any test")]

use std::sync::Arc;

use backflow_core::code::{Code, Failure};
use backflow_core::record::Rejection;
use backflow_core::result::{Counters, Phase};
use backflow_core::state::{Commit, Head, KEPT_RUNS, PartitionId, RejectChange, RejectRow, RunRow, StateStore};

/// Runs all checks on a store that is empty. `other` is another value over the same place, as another process has it.
///
/// # Panics
/// If the store does not conform.
pub async fn check(store: Arc<dyn StateStore>, other: Arc<dyn StateStore>) {
    prepares_twice_and_at_once(&store).await;
    knows_nothing_at_first(&*store).await;
    claims_only_what_was_seen(&*store).await;
    claims_nothing_that_moved_since(&*store).await;
    lets_one_of_many_claims_win(&store).await;
    commits_all_or_nothing(&*store).await;
    takes_a_commit_twice(&*store).await;
    folds_to_what_is_kept(&*store).await;
    resets_all_but_runs(&*store).await;
    remembers_so_many_runs(&*store).await;
    forgets_one_key(&*store).await;
    keeps_the_runs_of_a_forgotten_state_out(&*store, &*other).await;
    shows_another_process_the_same(&*store, &*other).await;
    keeps_any_text_and_bytes(&*store).await;
    lists_no_notes(&*store).await;
    lists_by_key(&*store).await;
}

/// A head of this epoch.
#[must_use]
pub fn head(epoch: u64) -> Head {
    Head { format: 1, owner: "cluster".into(), epoch, generation: 0, segment: 0, document: "{}".into() }
}

/// A run's row of this epoch.
#[must_use]
pub fn run(name: &str, epoch: u64) -> RunRow {
    RunRow {
        name: name.into(),
        number: epoch,
        first_epoch: epoch.min(2),
        epoch,
        phase: Phase::Running,
        counters: Counters { upserted: 3, bytes: 1 << 40, ..Counters::default() },
        started_at: "2026-01-02T03:04:05.123456789Z".into(),
        updated_at: "2026-01-02T03:04:06Z".into(),
    }
}

/// A rejected record.
#[must_use]
pub fn reject(key: &str) -> RejectChange {
    let rejection = Rejection::new("HTTP_422", Some("email"), "the destination refuses the value");
    RejectChange::Put(RejectRow { key: key.into(), operation: "Upsert".into(), rejection })
}

fn fenced<T: std::fmt::Debug>(result: Result<T, Failure>) {
    assert_eq!(result.expect_err("a stale epoch must be refused").code, Code::Fenced);
}

fn part(generation: u64, index: u32) -> PartitionId {
    PartitionId { generation, index }
}

async fn prepares_twice_and_at_once(store: &Arc<dyn StateStore>) {
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let store = Arc::clone(store);
            tokio::spawn(async move { store.prepare().await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    store.prepare().await.unwrap();
}

async fn knows_nothing_at_first(store: &dyn StateStore) {
    let key = "none";
    assert_eq!(store.head(key).await.unwrap(), None);
    assert_eq!(store.run(key, "r").await.unwrap(), None);
    assert_eq!(store.partition(key, part(1, 0)).await.unwrap(), None);
    assert_eq!(store.segment(key, 1).await.unwrap(), None);
    assert!(!store.forget(key, 1).await.unwrap());
    fenced(store.claim(key, Some(&head(1)), &head(2), &run("r", 2), false).await);
    fenced(store.put_partition(key, 1, part(1, 0), b"p").await);
    let (head, run) = (head(1), run("r", 1));
    let commit = || Commit { state_key: key, head: &head, segment: None, run: &run, rejects: &[] };
    fenced(store.commit(commit()).await);
    fenced(store.fold(commit(), &[]).await);
    assert_eq!(store.head(key).await.unwrap(), None);
    assert_eq!(store.run(key, "r").await.unwrap(), None);
}

async fn claims_only_what_was_seen(store: &dyn StateStore) {
    let key = "claims";
    store.claim(key, None, &head(1), &run("a", 1), false).await.unwrap();
    fenced(store.claim(key, None, &head(1), &run("b", 1), false).await);
    fenced(store.claim(key, Some(&head(7)), &head(8), &run("b", 8), true).await);
    assert_eq!(store.run(key, "b").await.unwrap(), None, "a refused claim leaves no run");
    store.claim(key, Some(&head(1)), &head(2), &run("b", 2), false).await.unwrap();
    assert_eq!(store.head(key).await.unwrap(), Some(head(2)));
    assert_eq!(store.run(key, "a").await.unwrap(), Some(run("a", 1)));
    assert_eq!(store.run(key, "b").await.unwrap(), Some(run("b", 2)));
}

/// The run that holds the claim may commit until another claim is stored: a claim that does not know of the commit would undo it.
async fn claims_nothing_that_moved_since(store: &dyn StateStore) {
    let key = "moved";
    store.claim(key, None, &head(1), &run("a", 1), false).await.unwrap();
    let mut seen = head(1);
    for next in [
        Head { segment: 1, ..head(1) },
        Head { segment: 1, document: "{\"n\":1}".into(), ..head(1) },
        Head { segment: 1, document: "{\"n\":1}".into(), generation: 1, ..head(1) },
    ] {
        let commit = Commit { state_key: key, head: &next, segment: None, run: &run("a", 1), rejects: &[] };
        store.commit(commit).await.unwrap();
        fenced(store.claim(key, Some(&seen), &Head { epoch: 2, ..seen.clone() }, &run("b", 2), true).await);
        assert_eq!(store.head(key).await.unwrap().as_ref(), Some(&next));
        assert_eq!(store.run(key, "b").await.unwrap(), None);
        seen = next;
    }
    store.claim(key, Some(&seen), &Head { epoch: 2, ..seen.clone() }, &run("b", 2), false).await.unwrap();
}

async fn lets_one_of_many_claims_win(store: &Arc<dyn StateStore>) {
    for expected in [None, Some(1)] {
        let seen = store.head("many").await.unwrap();
        let tasks: Vec<_> = (0..8)
            .map(|at| {
                let (store, seen) = (Arc::clone(store), seen.clone());
                let head = Head { owner: format!("pod {at}"), ..head(expected.map_or(1, |epoch| epoch + 1)) };
                tokio::spawn(async move {
                    let run = run(&format!("{expected:?} {at}"), head.epoch);
                    store.claim("many", seen.as_ref(), &head, &run, false).await.map(|()| head)
                })
            })
            .collect();
        let mut winners = Vec::new();
        for task in tasks {
            match task.await.unwrap() {
                Ok(head) => winners.push(head),
                Err(failure) => assert_eq!(failure.code, Code::Fenced),
            }
        }
        assert_eq!(winners.len(), 1, "exactly one claim wins");
        assert_eq!(store.head("many").await.unwrap(), winners.pop());
    }
}

async fn commits_all_or_nothing(store: &dyn StateStore) {
    let key = "commits";
    store.claim(key, None, &head(1), &run("a", 1), false).await.unwrap();
    let first = Head { segment: 1, document: "{\"n\":1}".into(), ..head(1) };
    let counted = RunRow { counters: Counters { deleted: 9, ..Counters::default() }, ..run("a", 1) };
    let commit = Commit { state_key: key, head: &first, segment: Some(b"one"), run: &counted, rejects: &[reject("1")] };
    store.commit(commit).await.unwrap();
    assert_eq!(store.head(key).await.unwrap(), Some(first.clone()));
    assert_eq!(store.segment(key, 1).await.unwrap().as_deref(), Some(&b"one"[..]));
    assert_eq!(store.run(key, "a").await.unwrap(), Some(counted.clone()));

    // A head and a run without a segment.
    let only_head = Head { document: "{\"n\":2}".into(), ..first };
    let ended = RunRow { phase: Phase::PartiallySucceeded, ..counted };
    let commit = Commit { state_key: key, head: &only_head, segment: None, run: &ended, rejects: &[] };
    store.commit(commit).await.unwrap();
    assert_eq!(store.head(key).await.unwrap(), Some(only_head.clone()));
    assert_eq!(store.run(key, "a").await.unwrap(), Some(ended));

    // A pod that lost its claim moves nothing.
    store.claim(key, Some(&only_head), &Head { epoch: 2, ..only_head.clone() }, &run("b", 2), false).await.unwrap();
    let stale = Head { segment: 2, ..only_head.clone() };
    let late = run("late", 1);
    let rejects = [reject("2")];
    let commit = || Commit { state_key: key, head: &stale, segment: Some(b"two"), run: &late, rejects: &rejects };
    fenced(store.commit(commit()).await);
    fenced(store.fold(commit(), &[]).await);
    assert_eq!(store.head(key).await.unwrap(), Some(Head { epoch: 2, ..only_head }));
    assert_eq!(store.segment(key, 2).await.unwrap(), None);
    assert_eq!(store.segment(key, 1).await.unwrap().as_deref(), Some(&b"one"[..]), "a refused fold removes nothing");
    assert_eq!(store.run(key, "late").await.unwrap(), None);
}

async fn takes_a_commit_twice(store: &dyn StateStore) {
    let key = "twice";
    store.claim(key, None, &head(1), &run("a", 1), false).await.unwrap();
    let next = Head { segment: 1, ..head(1) };
    let row = run("a", 1);
    let rejects = [reject("1"), RejectChange::Remove("0".into()), reject("1"), RejectChange::Remove("1".into())];
    for _ in 0..2 {
        let commit = Commit { state_key: key, head: &next, segment: Some(b"one"), run: &row, rejects: &rejects };
        store.commit(commit).await.unwrap();
    }
    assert_eq!(store.head(key).await.unwrap(), Some(next));
    assert_eq!(store.segment(key, 1).await.unwrap().as_deref(), Some(&b"one"[..]));
}

async fn folds_to_what_is_kept(store: &dyn StateStore) {
    let key = "folds";
    store.claim(key, None, &head(1), &run("a", 1), false).await.unwrap();
    for segment in 1..=3 {
        let next = Head { segment, ..head(1) };
        let bytes = [segment as u8];
        let commit = Commit { state_key: key, head: &next, segment: Some(&bytes), run: &run("a", 1), rejects: &[] };
        store.commit(commit).await.unwrap();
    }
    for index in 0..3 {
        store.put_partition(key, 1, part(1, index), b"crashed").await.unwrap();
        store.put_partition(key, 1, part(1, index), b"current").await.unwrap();
    }
    store.put_partition(key, 1, part(2, 1), b"").await.unwrap();
    fenced(store.put_partition(key, 9, part(1, 0), b"stale").await);
    let folded = Head { generation: 2, segment: 2, ..head(1) };
    let ended = RunRow { phase: Phase::Succeeded, ..run("a", 1) };
    let commit = Commit { state_key: key, head: &folded, segment: None, run: &ended, rejects: &[reject("1")] };
    store.fold(commit, &[part(1, 0), part(2, 1), part(7, 7)]).await.unwrap();
    assert_eq!(store.head(key).await.unwrap(), Some(folded.clone()));
    assert_eq!(store.partition(key, part(1, 0)).await.unwrap().as_deref(), Some(&b"current"[..]));
    assert_eq!(store.partition(key, part(2, 1)).await.unwrap().as_deref(), Some(&b""[..]), "empty is not absent");
    for gone in [part(1, 1), part(1, 2), part(2, 0), part(7, 7)] {
        assert_eq!(store.partition(key, gone).await.unwrap(), None);
    }
    for (segment, there) in [(1, false), (2, false), (3, true)] {
        assert_eq!(store.segment(key, segment).await.unwrap().is_some(), there, "segment {segment}");
    }
    assert_eq!(store.run(key, "a").await.unwrap(), Some(ended.clone()));
    let commit = Commit { state_key: key, head: &folded, segment: None, run: &ended, rejects: &[] };
    store.fold(commit, &[]).await.unwrap();
    assert_eq!(store.partition(key, part(1, 0)).await.unwrap(), None);
}

async fn resets_all_but_runs(store: &dyn StateStore) {
    let (key, other) = ("resets", "resets-not");
    for key in [key, other] {
        store.claim(key, None, &head(1), &run("a", 1), false).await.unwrap();
        let next = Head { segment: 1, ..head(1) };
        let commit =
            Commit { state_key: key, head: &next, segment: Some(b"s"), run: &run("a", 1), rejects: &[reject("1")] };
        store.commit(commit).await.unwrap();
        store.put_partition(key, 1, part(1, 0), b"p").await.unwrap();
    }
    let fresh = Head { segment: 1, document: "{\"incarnation\":2}".into(), ..head(2) };
    let seen = store.head(key).await.unwrap();
    store.claim(key, seen.as_ref(), &fresh, &run("b", 2), true).await.unwrap();
    assert_eq!(store.head(key).await.unwrap(), Some(fresh));
    assert_eq!(store.segment(key, 1).await.unwrap(), None);
    assert_eq!(store.partition(key, part(1, 0)).await.unwrap(), None);
    assert_eq!(store.run(key, "a").await.unwrap(), Some(run("a", 1)));
    assert!(store.segment(other, 1).await.unwrap().is_some());
    assert!(store.partition(other, part(1, 0)).await.unwrap().is_some());
}

async fn remembers_so_many_runs(store: &dyn StateStore) {
    let (key, other) = ("runs", "runs-not");
    for key in [key, other] {
        store.claim(key, None, &head(1), &run("first", 1), false).await.unwrap();
        store.claim(key, Some(&head(1)), &head(2), &run("second", 2), false).await.unwrap();
    }
    let late = RunRow { number: KEPT_RUNS + 1, ..run("late", 3) };
    store.claim(key, Some(&head(2)), &head(3), &late, false).await.unwrap();
    assert_eq!(store.run(key, "first").await.unwrap(), None, "the list of runs is bounded");
    assert_eq!(store.run(key, "second").await.unwrap(), Some(run("second", 2)));
    assert_eq!(store.run(key, "late").await.unwrap(), Some(late));
    assert!(store.run(other, "first").await.unwrap().is_some());
}

async fn forgets_one_key(store: &dyn StateStore) {
    let (key, other) = ("forgets", "forgets-not");
    for key in [key, other] {
        store.claim(key, None, &head(3), &run("a", 3), false).await.unwrap();
        store.put_partition(key, 3, part(1, 0), b"p").await.unwrap();
    }
    fenced(store.forget(key, 2).await);
    assert!(store.head(key).await.unwrap().is_some());
    assert!(store.forget(key, 3).await.unwrap());
    assert_eq!(store.head(key).await.unwrap(), None);
    assert_eq!(store.run(key, "a").await.unwrap(), None);
    assert_eq!(store.partition(key, part(1, 0)).await.unwrap(), None);
    assert!(!store.forget(key, 3).await.unwrap());
    assert_eq!(store.head(other).await.unwrap(), Some(head(3)));
    store.claim(key, None, &head(1), &run("a", 1), false).await.unwrap();
}

/// The epochs of a state that was forgotten and made anew begin at 1 again. A pod of the forgotten one that still lives must not move
/// the new one, though both have claimed the same epoch.
async fn keeps_the_runs_of_a_forgotten_state_out(old: &dyn StateStore, new: &dyn StateStore) {
    let key = "came-back";
    let state = |incarnation: &str| Head { document: format!("{{\"incarnation\":\"{incarnation}\"}}"), ..head(1) };
    let (first, second) = (state("a"), state("b"));
    old.claim(key, None, &first, &run("old", 1), false).await.unwrap();
    assert!(new.forget(key, 1).await.unwrap());
    let late = Head { segment: 1, ..first.clone() };
    let row = run("old", 1);
    let commit = || Commit { state_key: key, head: &late, segment: Some(b"late"), run: &row, rejects: &[] };
    fenced(old.commit(commit()).await);
    assert_eq!(new.head(key).await.unwrap(), None, "a forgotten state stays forgotten");

    old.claim(key, None, &first, &run("old", 1), false).await.unwrap();
    assert!(new.forget(key, 1).await.unwrap());
    new.claim(key, None, &second, &run("new", 1), false).await.unwrap();
    fenced(old.commit(commit()).await);
    fenced(old.fold(commit(), &[]).await);
    assert_eq!(new.head(key).await.unwrap(), Some(second.clone()));
    assert_eq!(new.segment(key, 1).await.unwrap(), None);
    assert_eq!(new.run(key, "old").await.unwrap(), None);
    let next = Head { segment: 1, ..second };
    let commit = Commit { state_key: key, head: &next, segment: Some(b"new"), run: &run("new", 1), rejects: &[] };
    new.commit(commit).await.unwrap();
    assert_eq!(new.segment(key, 1).await.unwrap().as_deref(), Some(&b"new"[..]));
}

/// What one process wrote, another one reads, and goes on from.
async fn shows_another_process_the_same(store: &dyn StateStore, other: &dyn StateStore) {
    let key = "handed-over";
    store.claim(key, None, &head(1), &run("a", 1), false).await.unwrap();
    let next = Head { segment: 1, ..head(1) };
    let row = run("a", 1);
    let first = Commit { state_key: key, head: &next, segment: Some(b"s1"), run: &row, rejects: &[reject("1")] };
    store.commit(first).await.unwrap();
    store.put_partition(key, 1, part(1, 0), b"p1").await.unwrap();
    let folded = Head { generation: 1, ..next.clone() };
    let fold = Commit { state_key: key, head: &folded, segment: None, run: &row, rejects: &[] };
    store.fold(fold, &[part(1, 0)]).await.unwrap();
    assert_eq!(other.head(key).await.unwrap(), Some(folded.clone()));
    assert_eq!(other.partition(key, part(1, 0)).await.unwrap().as_deref(), Some(&b"p1"[..]));

    let claimed = Head { epoch: 2, ..folded };
    let seen = other.head(key).await.unwrap();
    other.claim(key, seen.as_ref(), &claimed, &run("b", 2), false).await.unwrap();
    let moved = Head { segment: 2, ..claimed.clone() };
    let row = run("b", 2);
    let commit = Commit { state_key: key, head: &moved, segment: Some(b"s2"), run: &row, rejects: &[reject("2")] };
    other.commit(commit).await.unwrap();
    fenced(store.put_partition(key, 2, part(2, 0), b"stale").await);
    // The partition of the run before stays current beside those of this fold.
    other.put_partition(key, 2, part(2, 1), b"p2").await.unwrap();
    let folded = Head { generation: 2, ..moved };
    let fold = Commit { state_key: key, head: &folded, segment: None, run: &row, rejects: &[] };
    other.fold(fold, &[part(1, 0), part(2, 1)]).await.unwrap();
    let seen = store.head(key).await.unwrap();
    assert_eq!(seen, Some(folded.clone()));
    assert_eq!(store.run(key, "a").await.unwrap(), Some(run("a", 1)));
    assert_eq!(store.run(key, "b").await.unwrap(), Some(run("b", 2)));
    store.claim(key, seen.as_ref(), &Head { epoch: 3, ..folded }, &run("c", 3), false).await.unwrap();
    for (id, bytes) in [(part(1, 0), b"p1"), (part(2, 1), b"p2")] {
        assert_eq!(store.partition(key, id).await.unwrap().as_deref(), Some(&bytes[..]));
    }
    assert_eq!(store.segment(key, 2).await.unwrap(), None, "it was folded");
}

async fn keeps_any_text_and_bytes(store: &dyn StateStore) {
    let long = "k".repeat(253);
    for key in ["growth/customers-to-hubspot", "a'b\"c\\d; --", "ключ/鍵🔑", long.as_str()] {
        let document = "{\"text\":\"ü\\\"'\\u0000\\n🔑\"}".to_owned();
        let claimed = Head { owner: "a'b\"".into(), document, ..head(u64::MAX >> 1) };
        store.claim(key, None, &claimed, &run("r'ü", 1), false).await.unwrap();
        assert_eq!(store.head(key).await.unwrap(), Some(claimed.clone()));
        assert_eq!(store.run(key, "r'ü").await.unwrap(), Some(run("r'ü", 1)));
        let bytes: Vec<u8> = (0..3 << 20).map(|at: u32| (at % 251) as u8).collect();
        store.put_partition(key, claimed.epoch, part(u64::MAX >> 1, u32::MAX), &bytes).await.unwrap();
        let read = store.partition(key, part(u64::MAX >> 1, u32::MAX)).await.unwrap();
        assert!(read == Some(bytes), "3 MiB come back as they were");
        // A primary key may be longer than an index entry of a database.
        let rejects: Vec<RejectChange> = (0..500).map(|at| reject(&format!("\"{at}{}ü\"", "x".repeat(9000)))).collect();
        let commit = Commit { state_key: key, head: &claimed, segment: None, run: &run("r", 1), rejects: &rejects };
        store.commit(commit).await.unwrap();
    }
}

async fn lists_no_notes(store: &dyn StateStore) {
    store.claim("!account/0a", None, &head(1), &run("notes", 1), false).await.unwrap();
    assert_eq!(store.head("!account/0a").await.unwrap(), Some(head(1)));
    let listed = store.list(1000).await.unwrap();
    assert!(listed.iter().all(|line| !line.state_key.contains("account")), "{listed:?}");
}

async fn lists_by_key(store: &dyn StateStore) {
    let all = store.list(1000).await.unwrap();
    let keys: Vec<&str> = all.iter().map(|line| line.state_key.as_str()).collect();
    assert!(keys.contains(&"claims") && keys.contains(&"ключ/鍵🔑") && !keys.contains(&"none"));
    assert!(keys.is_sorted(), "{keys:?}");
    for line in &all {
        assert_eq!(store.head(&line.state_key).await.unwrap().as_ref(), Some(&line.head));
    }
    assert_eq!(store.list(2).await.unwrap(), all[..2]);
}
