//! Replay and DryRun, as a pod does them.

use std::collections::BTreeSet;

use backflow_core::code::Code;
use backflow_core::extraction::Resend;
use backflow_core::plan::{Mode, Replay};
use backflow_core::result::{Estimate, Phase};
use backflow_tests::receiver::{Fault, Script};
use backflow_tests::worker::{Scenario, balanced, sorted};

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_goes_on_after_a_kill_and_sends_each_row_again_with_a_key_of_its_own() {
    let mut shop = Scenario::with_customers(12_000).await.unwrap();
    shop.succeed("first").await.unwrap();
    let mut keys: BTreeSet<String> = shop.items().into_iter().map(|item| item.key).collect();
    shop.sql("UPDATE customers SET score = score + 1 WHERE id > 2000; DELETE FROM customers WHERE id = 5")
        .await
        .unwrap();
    shop.sync.mapping.deletes.ignore_below = 0;
    shop.succeed("second").await.unwrap();
    keys.extend(shop.items().into_iter().map(|item| item.key));

    shop.sync.mode = Mode::Replay(Replay::Run("second".into()));
    let next = std::iter::repeat_n(Fault::Pass, 9).collect();
    shop.receiver.script(Script { next, always: Some(Fault::Hold), ..Script::default() });
    let mut pod = shop.pod("again").start().unwrap();
    shop.receiver.holding(1).await.unwrap();
    pod.kill().unwrap();
    let committed = pod.ended().await.unwrap().result().map_or(0, |result| result.counters.upserted);
    shop.receiver.script(Script::default());
    shop.receiver.release();
    let result = shop.succeed("again").await.unwrap();
    assert_eq!(result.counters.upserted, 10_000, "{committed} were committed before the kill");
    assert_eq!(result.findings.clone().unwrap().resend, Some(Resend::Replay));
    assert!(balanced(&result), "{result:?}");
    let items = shop.items();
    assert!(items.iter().all(|item| !keys.contains(&item.key)), "a Replay is another delivery");
    let mut once = sorted(&items);
    once.dedup();
    assert!(once == shop.expected("upsert", "id > 2000").await.unwrap());

    shop.sync.mode = Mode::Replay(Replay::Keys(vec!["7".into(), "8".into()]));
    shop.succeed("keys").await.unwrap();
    assert_eq!(sorted(&shop.items()), shop.expected("upsert", "id IN (7, 8)").await.unwrap());
    shop.sync.mode = Mode::Replay(Replay::Run("never".into()));
    let ended = shop.run("never-again").await.unwrap();
    assert_eq!(ended.outcome().unwrap(), (Some(10), "Failed".into(), Some(Code::RunNotFound)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_the_run_then_does() {
    let mut shop = Scenario::with_customers(3_000).await.unwrap();
    shop.sync.destination.limits.requests_per_second = Some(1);
    shop.sync.mode = Mode::DryRun;
    let first = shop.succeed("dry-1").await.unwrap();
    let estimate = first.estimate.clone().unwrap();
    assert_eq!(shop.value("SELECT count(*)::text FROM pg_namespace WHERE nspname = '_backflow'").await.unwrap(), "0");
    assert_eq!(shop.requests(), 0);
    shop.sync.destination.limits.requests_per_second = None;
    shop.sync.mode = Mode::Incremental;
    let real = shop.succeed("real-1").await.unwrap();
    let expected = Estimate {
        upserts: 3_000,
        requests: real.counters.requests,
        bytes: estimate.bytes,
        minutes: Some(1),
        ..Estimate::default()
    };
    assert_eq!(estimate, expected);
    assert_eq!(first.findings, real.findings);
    shop.items();

    shop.sql("DELETE FROM customers WHERE id <= 50; UPDATE customers SET score = score + 1 WHERE id <= 60")
        .await
        .unwrap();
    shop.add_customers(3_001, 3_001).await.unwrap();
    let head = "SELECT epoch || ' ' || segment || ' ' || document FROM _backflow.mappings";
    let before = shop.value(head).await.unwrap();
    shop.sync.mode = Mode::DryRun;
    let dry = shop.succeed("dry-2").await.unwrap();
    assert_eq!(shop.value(head).await.unwrap(), before);
    assert_eq!(shop.value("SELECT count(*)::text FROM _backflow.runs").await.unwrap(), "1");
    let estimate = dry.estimate.unwrap();
    assert_eq!((estimate.upserts, estimate.deletes, estimate.requests, estimate.minutes), (11, 50, 3, None));
    assert_eq!((dry.phase, shop.items().len()), (Phase::Succeeded, 0));
    shop.sync.mode = Mode::Incremental;
    let real = shop.succeed("real-2").await.unwrap();
    assert_eq!((real.counters.upserted, real.counters.deleted, real.counters.requests), (11, 50, 3));
}
