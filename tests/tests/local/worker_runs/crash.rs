//! Kills at every kind of moment: nothing is lost, and what comes twice comes with the same key.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use backflow_core::code::Code;
use backflow_core::plan::{Connection, DiffEngine, Retry, Sqlite};
use backflow_core::result::{Phase, RunResult};
use backflow_tests::receiver::{Fault, Item, Script};
use backflow_tests::worker::{FAILPOINTS, PUSHDOWN_FAILPOINTS, Scenario, Sent, balanced, sorted};
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

/// The most records that may come twice after a crash: a commit window.
const WINDOW: usize = 10_000;
pub(super) const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;

/// Asserts that exactly `expected` arrived, but that records of one commit window may have come again with the same keys.
pub(super) fn complete(items: &[Item], expected: &[Sent], when: &str) {
    let mut keys: BTreeMap<(String, &str), BTreeSet<&str>> = BTreeMap::new();
    for item in items {
        keys.entry((item.id.to_string(), &item.op)).or_default().insert(&item.key);
    }
    let two: Vec<_> = keys.iter().filter(|(_, keys)| keys.len() > 1).collect();
    assert!(two.is_empty(), "{when}: sent again with another key: {two:?}");
    let mut once = sorted(items);
    once.dedup();
    assert!(once == expected, "{when}: {} records arrived, {} should have", once.len(), expected.len());
    let again = items.len() - once.len();
    assert!(again <= WINDOW, "{when}: {again} records came twice");
}

/// Starts a pod, kills it when the receiver holds its request number `request`, and lets a replacement finish the run.
async fn killed_at(shop: &Scenario, run: &str, request: usize) -> RunResult {
    let passes = std::iter::repeat_n(Fault::Pass, request - 1).collect();
    shop.receiver.script(Script { next: passes, always: Some(Fault::Hold), ..Script::default() });
    let mut pod = shop.pod(run).start().unwrap();
    shop.receiver.holding(1).await.unwrap();
    pod.kill().unwrap();
    assert_eq!(pod.ended().await.unwrap().signal, Some(SIGKILL), "{run}");
    shop.receiver.script(Script::default());
    shop.receiver.release();
    shop.succeed(run).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_twelve_moments_of_a_first_sync() {
    killed_in_first_syncs(DiffEngine::Streaming, 0..12).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_four_moments_of_a_first_sync_by_pushdown() {
    killed_in_first_syncs(DiffEngine::Pushdown, 12..16).await;
}

async fn killed_in_first_syncs(diff: DiffEngine, seeds: Range<u64>) {
    let mut shop = Scenario::with_customers(25_000).await.unwrap();
    shop.sync.source.diff = diff;
    let expected = shop.expected("upsert", "true").await.unwrap();
    for seed in seeds {
        let request = fastrand::Rng::with_seed(seed).usize(1..=25);
        let run = format!("run-{seed}-at-{request}");
        shop.sync.mapping.state_key = format!("shop/{seed}");
        let result = killed_at(&shop, &run, request).await;
        complete(&shop.items(), &expected, &run);
        assert!(balanced(&result), "{run}: {result:?}");
        assert_eq!(result.counters.upserted, 25_000, "{run}");
        assert_eq!(result.findings.unwrap().added, 25_000, "{run}");
        shop.succeed(&format!("after-{seed}")).await.unwrap();
        assert_eq!(shop.items().len(), 0, "{run}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_eight_moments_of_a_sync_of_changes() {
    killed_in_syncs_of_changes(DiffEngine::Streaming, 8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_four_moments_of_a_sync_of_changes_by_pushdown() {
    killed_in_syncs_of_changes(DiffEngine::Pushdown, 4).await;
}

async fn killed_in_syncs_of_changes(diff: DiffEngine, moments: u32) {
    let mut shop = Scenario::with_customers(25_000).await.unwrap();
    shop.sync.source.diff = diff;
    shop.succeed("run").await.unwrap();
    shop.items();
    for seed in 0..moments {
        let (first, last) = (seed * 2_000 + 1, 25_000 + seed * 2_000);
        let changed = format!("id > {last} OR id % 3 = {}", seed % 3);
        shop.sql(&format!(
            "DELETE FROM customers WHERE id < {}; UPDATE customers SET score = score + 1 WHERE {changed}",
            first + 2_000
        ))
        .await
        .unwrap();
        shop.add_customers(last + 1, last + 2_000).await.unwrap();
        let mut expected = shop.expected("upsert", &changed).await.unwrap();
        expected.extend((first..first + 2_000).map(|id| (id.to_string(), "delete".into(), serde_json::json!({}))));
        expected.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));

        let request = fastrand::Rng::with_seed(100 + u64::from(seed)).usize(1..=expected.len() / 1_000);
        let run = format!("changes-{seed}-at-{request}");
        let result = killed_at(&shop, &run, request).await;
        complete(&shop.items(), &expected, &run);
        assert!(balanced(&result), "{run}: {result:?}");
        assert_eq!(result.counters.delivered(), expected.len() as u64, "{run}");
        assert_eq!(result.counters.deleted, 2_000, "{run}");
        assert_eq!(shop.receiver.ledger().rows().len(), 25_000, "{run}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_a_run_still_ends() {
    let shop = Scenario::with_customers(40_000).await.unwrap();
    for kill in 1..=3 {
        let passes = std::iter::repeat_n(Fault::Pass, 14).collect();
        shop.receiver.script(Script { next: passes, always: Some(Fault::Hold), ..Script::default() });
        let mut pod = shop.pod("run-1").start().unwrap();
        shop.receiver.holding(1).await.unwrap();
        pod.kill().unwrap();
        let result = pod.ended().await.unwrap().result().unwrap();
        assert!(result.counters.upserted >= kill * 1_000, "pod {kill} got on by a commit at least: {result:?}");
        shop.receiver.release();
    }
    shop.receiver.script(Script::default());
    let result = shop.succeed("run-1").await.unwrap();
    assert_eq!(result.counters.upserted, 40_000);
    assert!(balanced(&result));
    let items = shop.items();
    let mut once = sorted(&items);
    once.dedup();
    assert!(once == shop.expected("upsert", "true").await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_pod_sent_and_the_model_takes_back_is_mended() {
    let mut shop = Scenario::with_customers(20).await.unwrap();
    shop.sync.mapping.retry = Retry { max_attempts: 3, window_seconds: 60 };
    shop.succeed("run").await.unwrap();
    let before = shop.receiver.ledger().rows();
    shop.items();
    let steps = [
        (
            "updated",
            "UPDATE customers SET plan = 'lost' WHERE id = 7",
            "UPDATE customers SET plan = 'pro' WHERE id = 7",
            "upsert",
        ),
        ("added", "INSERT INTO customers (id) VALUES (21)", "DELETE FROM customers WHERE id = 21", "delete"),
        (
            "deleted",
            "CREATE TABLE kept AS SELECT * FROM customers WHERE id = 7; DELETE FROM customers WHERE id = 7",
            "INSERT INTO customers SELECT * FROM kept; DROP TABLE kept",
            "upsert",
        ),
    ];
    for (name, change, undo, mends) in steps {
        shop.sql(change).await.unwrap();
        // The receiver takes it, the answer is lost, and the pod is killed while it tries again.
        let next = [Fault::LostAnswer].into();
        shop.receiver.script(Script { next, always: Some(Fault::Hold), ..Script::default() });
        let mut pod = shop.pod(name).start().unwrap();
        shop.receiver.holding(1).await.unwrap();
        pod.kill().unwrap();
        assert_eq!(pod.ended().await.unwrap().signal, Some(SIGKILL), "{name}");
        assert_ne!(shop.receiver.ledger().rows(), before, "{name}: it arrived");
        shop.sql(undo).await.unwrap();
        shop.receiver.script(Script::default());
        shop.receiver.release();
        shop.items();

        let result = shop.succeed(&format!("{name}-after")).await.unwrap();
        let mended = shop.items();
        assert_eq!(mended.iter().map(|item| item.op.as_str()).collect::<Vec<_>>(), [mends], "{name}");
        assert_eq!(shop.receiver.ledger().rows(), before, "{name}: the receiver holds what the model has");
        assert!(balanced(&result), "{name}: {result:?}");
        shop.succeed(&format!("{name}-quiet")).await.unwrap();
        assert_eq!(shop.items().len(), 0, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_at_each_failpoint() {
    dead_at(DiffEngine::Streaming, &FAILPOINTS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_at_each_failpoint_by_pushdown() {
    dead_at(DiffEngine::Pushdown, &PUSHDOWN_FAILPOINTS).await;
}

async fn dead_at(diff: DiffEngine, failpoints: &[&str]) {
    let mut shop = Scenario::with_customers(12_000).await.unwrap();
    shop.sync.source.diff = diff;
    let all = shop.expected("upsert", "true").await.unwrap();
    for failpoint in failpoints {
        shop.sync.mapping.state_key = format!("shop/{failpoint}");
        let run = format!("run-{}", failpoint.replace(':', "-"));
        let died = shop.pod(&run).failpoint(failpoint).start().unwrap().ended().await.unwrap();
        assert_eq!(died.signal, Some(SIGABRT), "{failpoint}: {died:?}");
        if let Ok(result) = died.result() {
            assert_eq!(result.phase, Phase::Running, "{failpoint}: a dead pod's result is provisional");
        }
        let result = shop.succeed(&run).await.unwrap();
        complete(&shop.items(), &all, failpoint);
        assert!(balanced(&result), "{failpoint}: {result:?}");
        assert_eq!(result.counters.upserted, 12_000, "{failpoint}");
        assert_eq!(result.findings.unwrap().added, 12_000, "{failpoint}");
        assert_eq!(result.checkpoint_after.unwrap().rows, 12_000, "{failpoint}");
        shop.succeed(&format!("{run}-after")).await.unwrap();
        assert_eq!(shop.items().len(), 0, "{failpoint}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_inside_transactions_of_sqlite() {
    let mut shop = Scenario::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut file = SqliteConnection::connect_with(&options).await.unwrap();
    let table = "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT); WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL \
                 SELECT i + 1 FROM n WHERE i < 12000) INSERT INTO customers SELECT i, 'name ' || i FROM n";
    sqlx::raw_sql(table).execute(&mut file).await.unwrap();
    file.close().await.unwrap();
    shop.sync.source.connection = Connection::Sqlite(Sqlite { path: path.to_str().unwrap().into() });
    let row = |id: u32| (id.to_string(), "upsert".into(), serde_json::json!({"id": id, "name": format!("name {id}")}));
    let mut all: Vec<Sent> = (1..=12_000).map(row).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    for failpoint in ["inside-commit", "inside-commit:2", "inside-fold"] {
        shop.sync.mapping.state_key = format!("shop/{failpoint}");
        let run = format!("run-{}", failpoint.replace(':', "-"));
        let died = shop.pod(&run).failpoint(failpoint).start().unwrap().ended().await.unwrap();
        assert_eq!(died.signal, Some(SIGABRT), "{failpoint}: {died:?}");
        let result = shop.succeed(&run).await.unwrap();
        complete(&shop.items(), &all, failpoint);
        assert!(balanced(&result) && result.counters.upserted == 12_000, "{failpoint}: {result:?}");
        shop.succeed(&format!("{run}-after")).await.unwrap();
        assert_eq!(shop.items().len(), 0, "{failpoint}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_pod_that_still_lives_cannot_commit() {
    for diff in [DiffEngine::Streaming, DiffEngine::Pushdown] {
        old_pod(diff).await;
    }
}

async fn old_pod(diff: DiffEngine) {
    let mut shop = Scenario::with_customers(5_000).await.unwrap();
    shop.sync.source.diff = diff;
    shop.receiver.script(Script { next: [Fault::Pass].into(), always: Some(Fault::Hold), ..Script::default() });
    let mut old = shop.pod("run-1").start().unwrap();
    shop.receiver.holding(4).await.unwrap();
    shop.receiver.script(Script::default());

    let new = shop.succeed("run-1").await.unwrap();
    assert_eq!(new.counters.upserted, 5_000);
    assert!(old.runs().unwrap());
    let head = "SELECT epoch || ' ' || segment || ' ' || document FROM _backflow.mappings";
    let before = shop.value(head).await.unwrap();

    shop.receiver.release();
    let ended = old.ended().await.unwrap();
    assert_eq!(ended.outcome().unwrap(), (Some(20), "Failed".into(), Some(Code::Fenced)));
    assert_eq!(shop.value(head).await.unwrap(), before, "the old pod moved the state");
    complete(&shop.items(), &shop.expected("upsert", "true").await.unwrap(), "two pods");

    shop.succeed("run-2").await.unwrap();
    assert_eq!(shop.items().len(), 0);
}
