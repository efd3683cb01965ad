//! Bounds: transactions, scratch, memory.

use backflow_core::code::Code;
use backflow_core::plan::ModelQuery;
use backflow_tests::receiver::{Fault, Script};
use backflow_tests::until;
use backflow_tests::worker::{Scenario, balanced};

/// The memory that a worker must get along with, in KiB.
const MEMORY: u64 = 64 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_destination_holds_no_transaction_open() {
    let shop = Scenario::with_customers(12_000).await.unwrap();
    let sessions = "SELECT count(*) || ' sessions, ' || count(xact_start) || ' in a transaction' FROM pg_stat_activity \
                    WHERE application_name = 'backflow/run-1'";
    shop.receiver.script(Script::always(Fault::Hold));
    let pod = shop.pod("run-1").start().unwrap();
    shop.receiver.holding(1).await.unwrap();
    // The server takes a moment to end what the worker has closed, and commits are short: while nothing is answered, there comes a
    // time without any transaction.
    let idle = async || shop.value(sessions).await.is_ok_and(|found| found == "1 sessions, 0 in a transaction");
    until("a transaction is open while a request is held", idle).await.unwrap();
    until("a query runs", async || shop.server.active("backflow/run-1").await.is_ok_and(|all| all.is_empty()))
        .await
        .unwrap();

    shop.receiver.release();
    shop.receiver.holding(4).await.unwrap();
    until("a transaction is open while requests are held", idle).await.unwrap();
    shop.receiver.script(Script::default());
    shop.receiver.release();
    assert_eq!(pod.ended().await.unwrap().phase().unwrap(), "Succeeded");
    assert_eq!(shop.taken(), shop.expected("upsert", "true").await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_scratch_takes_more_runs_and_deletes_nothing_by_mistake() {
    let mut shop = Scenario::with_customers(6_000).await.unwrap();
    let noise = "string_agg(md5(random()::text), '')";
    shop.sql(&format!(
        "UPDATE customers SET name = (SELECT {noise} FROM generate_series(1, 128) WHERE customers.id > 0)"
    ))
    .await
    .unwrap();
    shop.sync.mapping.scratch_bytes = 2 << 20;
    let mut runs = 0;
    loop {
        runs += 1;
        let ended = shop.run(&format!("run-{runs}")).await.unwrap();
        let result = ended.result().unwrap();
        assert!(balanced(&result), "run {runs}: {result:?}");
        let found = result.findings.clone().unwrap();
        if !found.scratch_full {
            assert_eq!(ended.outcome().unwrap(), (Some(0), "Succeeded".into(), None));
            assert_eq!(result.counters.deleted, 1, "the one that waited");
            break;
        }
        assert_eq!((result.counters.deleted, result.counters.withheld), (0, 0), "run {runs}");
        assert_eq!(ended.outcome().unwrap(), (Some(0), "PartiallySucceeded".into(), Some(Code::ScratchFull)));
        assert!(found.rows < 6_000 && result.counters.upserted > 0, "run {runs} got nowhere: {result:?}");
        assert!(runs < 20, "it does not end");
        if runs == 1 {
            // Gone while runs are incomplete: found by the first complete one.
            let sent = shop.receiver.ledger().items[0].id.clone();
            shop.sql(&format!("DELETE FROM customers WHERE id = {sent}")).await.unwrap();
        }
    }
    assert!(runs > 2, "2 MiB were enough: {runs} runs");
    let ledger = shop.receiver.ledger();
    assert_eq!(ledger.rows().len(), 5_999);
    assert_eq!(ledger.summary().repeated, 0);
    let ids: Vec<String> = shop.expected("upsert", "true").await.unwrap().into_iter().map(|(id, ..)| id).collect();
    let mut arrived: Vec<String> = shop.receiver.ledger().rows().into_keys().collect();
    arrived.sort();
    assert_eq!(arrived, ids);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_sync_of_100_000_rows_fits_into_64_mib() {
    let mut shop = Scenario::start().await.unwrap();
    shop.sql(
        "CREATE TABLE customers AS SELECT n::bigint AS id, 'First ' || n AS first_name, 'Last ' || md5(n::text) AS last_name, \
         'c' || n || '@example.com' AS email, '+49 30 ' || n AS phone, 'Street ' || n || ', 10115 Berlin' AS address, \
         CASE n % 4 WHEN 0 THEN NULL ELSE 'plan ' || n % 4 END AS plan, (n * 17) % 100000 AS mrr_cents, n % 3 = 0 AS active, \
         n * 0.25::float8 AS score, timestamptz '2024-01-01' + n * interval '1 minute' AS updated_at \
         FROM generate_series(1, 100000) AS n",
    )
    .await
    .unwrap();
    shop.sync.model.query = ModelQuery::Table("public.customers".into());
    let began = std::time::Instant::now();
    let ended = shop.run("run-1").await.unwrap();
    let seconds = began.elapsed().as_secs_f64();
    let result = ended.result().unwrap();
    assert_eq!((ended.phase().unwrap().as_str(), result.counters.upserted), ("Succeeded", 100_000));
    println!(
        "first sync of 100,000 rows: {} MiB at most, {seconds:.1} s, {:.0} rows/s, {} requests",
        ended.peak_memory().unwrap() / 1024,
        100_000.0 / seconds,
        result.counters.requests
    );
    let peak = ended.peak_memory().unwrap();
    assert!((1..MEMORY).contains(&peak), "{peak} KiB");

    shop.sql("UPDATE customers SET mrr_cents = mrr_cents + 1 WHERE id % 100 = 0").await.unwrap();
    let ended = shop.run("run-2").await.unwrap();
    assert_eq!(ended.result().unwrap().counters.upserted, 1_000);
    println!("second sync, 1,000 changed: {} MiB at most", ended.peak_memory().unwrap() / 1024);
    let peak = ended.peak_memory().unwrap();
    assert!((1..MEMORY).contains(&peak), "{peak} KiB");
}
