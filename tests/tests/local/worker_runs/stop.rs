//! Ends that somebody asks for: the kubelet, a person, the clock.

use backflow_core::code::Code;
use backflow_core::plan::ModelQuery;
use backflow_tests::receiver::{Fault, Script};
use backflow_tests::worker::{Scenario, Worker, balanced};

/// A pod whose fourth request and all later ones wait, once as many wait as the destination takes.
async fn waiting(shop: &Scenario, run: &str, deadline: Option<u64>) -> Worker {
    let next = [Fault::Pass, Fault::Pass, Fault::Pass].into();
    shop.receiver.script(Script { next, always: Some(Fault::Hold), ..Script::default() });
    let pod = shop.pod(run);
    let pod = if let Some(seconds) = deadline { pod.deadline(seconds) } else { pod };
    let pod = pod.start().unwrap();
    shop.receiver.holding(4).await.unwrap();
    pod
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_finishes_what_is_in_flight_and_commits() {
    let shop = Scenario::with_customers(20_000).await.unwrap();
    let mut pod = waiting(&shop, "run-1", None).await;
    pod.terminate().unwrap();
    pod.said("Asked to stop").await.unwrap();
    shop.receiver.release();
    let ended = pod.ended().await.unwrap();
    assert_eq!(ended.outcome().unwrap(), (Some(143), "Running".into(), Some(Code::Terminated)));
    let delivered = ended.result().unwrap().counters.upserted;
    assert_eq!(delivered, 6_000, "three requests, and four that were in flight");

    shop.receiver.script(Script::default());
    let result = shop.succeed("run-1").await.unwrap();
    assert_eq!(result.counters.upserted, 20_000);
    assert_eq!(result.findings.clone().unwrap().added, 20_000);
    assert!(balanced(&result));
    assert_eq!(shop.taken(), shop.expected("upsert", "true").await.unwrap(), "nothing came twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canceled_run_keeps_what_was_acknowledged() {
    let shop = Scenario::with_customers(20_000).await.unwrap();
    let mut pod = waiting(&shop, "run-1", None).await;
    let progress = pod.progress().await.unwrap();
    assert_eq!((&progress["stage"], &progress["total"]), (&"Delivering".into(), &20_000.into()));
    assert!(pod.ask("POST", "/cancel", "another-token").await.unwrap().starts_with("HTTP/1.1 401"));
    pod.cancel().await.unwrap();
    shop.receiver.release();
    let ended = pod.ended().await.unwrap();
    assert_eq!(ended.outcome().unwrap(), (Some(0), "Canceled".into(), Some(Code::Canceled)));
    let result = ended.result().unwrap();
    assert_eq!((result.counters.upserted, result.counters.retrying), (6_000, 14_000));
    assert!(balanced(&result));
    assert_eq!(result.checkpoint_after.unwrap().rows, 6_000);

    shop.receiver.script(Script::default());
    let next = shop.succeed("run-2").await.unwrap();
    assert_eq!(next.counters.upserted, 14_000);
    assert_eq!(shop.taken(), shop.expected("upsert", "true").await.unwrap(), "nothing came twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn ahead_of_the_deadline_a_run_ends_by_itself() {
    let shop = Scenario::with_customers(20_000).await.unwrap();
    // The worker keeps the last minute for itself.
    let mut pod = waiting(&shop, "run-1", Some(62)).await;
    pod.said("The deadline is near").await.unwrap();
    shop.receiver.release();
    let ended = pod.ended().await.unwrap();
    assert_eq!(ended.outcome().unwrap(), (Some(0), "PartiallySucceeded".into(), Some(Code::DeadlineExceeded)));
    let result = ended.result().unwrap();
    assert_eq!((result.counters.upserted, result.counters.retrying), (6_000, 14_000));
    assert!(balanced(&result));

    shop.receiver.script(Script::default());
    assert_eq!(shop.succeed("run-2").await.unwrap().counters.upserted, 14_000);
    assert_eq!(shop.taken(), shop.expected("upsert", "true").await.unwrap(), "nothing came twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_still_reads_ends_at_once_and_takes_its_query_along() {
    let mut shop = Scenario::with_customers(3).await.unwrap();
    // Describing it takes no time, reading it ten minutes.
    let table = std::mem::replace(
        &mut shop.sync.model.query,
        ModelQuery::Sql("SELECT c.*, pg_sleep(600)::text AS nap FROM customers AS c".into()),
    );
    for (stop, outcome) in [
        ("terminate", (Some(143), "Running".to_owned(), Some(Code::Terminated))),
        ("cancel", (Some(0), "Canceled".to_owned(), Some(Code::Canceled))),
    ] {
        let run = format!("run-{stop}");
        let mut pod = shop.pod(&run).start().unwrap();
        let reading = format!(
            "SELECT count(*)::text FROM pg_stat_activity WHERE application_name = 'backflow/{run}' AND wait_event = 'PgSleep'"
        );
        while shop.value(&reading).await.unwrap() == "0" {}
        if stop == "terminate" {
            pod.terminate().unwrap();
        } else {
            pod.cancel().await.unwrap();
        }
        assert_eq!(pod.ended().await.unwrap().outcome().unwrap(), outcome);
        // The server needs a moment for the cancel; the nap would outlast this loop by minutes.
        let mut tries = 0;
        while shop.value(&reading).await.unwrap() != "0" {
            tries += 1;
            assert!(tries < 200, "the query goes on without the worker");
        }
    }
    assert_eq!(shop.requests(), 0);
    shop.sync.model.query = table;
    assert_eq!(shop.succeed("run-1").await.unwrap().counters.upserted, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_for_a_lock_ends_at_once() {
    let shop = Scenario::with_customers(3).await.unwrap();
    let waits = |name: &str, event: &str| {
        format!("SELECT count(*)::text FROM pg_stat_activity WHERE application_name = '{name}' AND {event}")
    };
    let lock = shop.sql(
        "SET application_name = 'the-lock'; BEGIN; LOCK TABLE customers IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(600)",
    );
    let stopped = async {
        while shop.value(&waits("the-lock", "wait_event = 'PgSleep'")).await.unwrap() == "0" {}
        let pod = shop.pod("run-1").start().unwrap();
        while shop.value(&waits("backflow/run-1", "wait_event_type = 'Lock'")).await.unwrap() == "0" {}
        pod.terminate().unwrap();
        let ended = pod.ended().await.unwrap();
        assert_eq!(ended.outcome().unwrap(), (Some(143), "Running".into(), Some(Code::Terminated)));
        let release =
            "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity WHERE application_name = 'the-lock'";
        assert_eq!(shop.value(release).await.unwrap(), "true");
    };
    let (locked, ()) = tokio::join!(lock, stopped);
    assert!(locked.is_err(), "the lock was held until the worker had ended");
    assert_eq!(shop.succeed("run-1").await.unwrap().counters.upserted, 3);
}
