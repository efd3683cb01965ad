//! Whole runs: from a model, over the state, into a table.

use std::sync::{Arc, Mutex};

use backflow_core::code::Code;
use backflow_core::plan::{Include, Mode, ModelPlan, ModelQuery, PLAN_VERSION, Plan, RunOptions, SyncPlan, Task};
use backflow_core::report::{Progress, Reporter};
use backflow_core::result::{Phase, RunResult};
use backflow_core::selection::SyncMode;
use backflow_tests::rows::Rows;
use backflow_tests::until;
use backflow_tests::worker::balanced;
use backflow_worker::Environment;
use backflow_worker::stop::Stop;
use serde_json::json;

struct Nobody;

impl Reporter for Nobody {
    fn progress(&self, _: Progress) {}

    fn provisional(&self, _: &RunResult) {}
}

const TABLES: &str = "CREATE TABLE customers (id bigint, name text, email text, plan text, score int); \
     CREATE TABLE people (id bigint PRIMARY KEY, name text, email text, plan text CHECK (plan <> 'bad'), score int, note text)";
const ADD: &str =
    "INSERT INTO customers SELECT n, 'name ' || n, 'c' || n || '@example.com', 'pro', n % 100 FROM generate_series";

/// What the Mapping makes of the model's rows, and what is in the table.
async fn same(shop: &Rows) -> usize {
    let of = |table: &str| format!("SELECT id::text, name, email, plan, score::text FROM {table} ORDER BY id");
    let there = shop.seen(&of("people")).await.unwrap();
    assert_eq!(there, shop.seen(&of("customers")).await.unwrap());
    there.len()
}

async fn run(shop: &Rows, name: &str, mode: Mode, options: RunOptions, stop: &Stop) -> (RunResult, String) {
    let mut mapping = shop.mapping.clone();
    mapping.include = Some(Include { columns: vec!["*".into()], except: Vec::new(), into: None });
    let sync = SyncPlan {
        mode,
        source: shop.server.source(&shop.database, &shop.database),
        model: ModelPlan {
            name: "customers".into(),
            query: ModelQuery::Table("customers".into()),
            primary_key: vec!["id".into()],
        },
        mapping,
        destination: shop.destination.clone(),
        options,
    };
    let plan = Plan {
        version: PLAN_VERSION,
        run: name.to_owned(),
        namespace: "shop".into(),
        token: "port-token".into(),
        owner: "cluster-a".into(),
        deadline_seconds: None,
        task: Task::Sync(Box::new(sync)),
    };
    let scratch = tempfile::tempdir().unwrap();
    let output = Arc::new(Mutex::new(Vec::new()));
    let environment = Environment {
        secrets: Arc::clone(&shop.server) as _,
        scratch: scratch.path().to_owned(),
        reporter: Arc::new(Nobody),
        stop: stop.clone(),
        output: Arc::clone(&output) as _,
    };
    let result = backflow_worker::execute(&plan, &environment).await;
    let printed = String::from_utf8(output.lock().unwrap().clone()).unwrap();
    (result, printed)
}

async fn incremental(shop: &Rows, name: &str) -> RunResult {
    run(shop, name, Mode::Incremental, RunOptions::default(), &Stop::default()).await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn first_all_then_the_changes_then_nothing() {
    let shop = Rows::with(TABLES).await.unwrap();
    shop.sql(&format!("{ADD}(1, 6000) AS n")).await.unwrap();
    let first = incremental(&shop, "run-1").await;
    assert_eq!((first.phase, first.counters.upserted), (Phase::Succeeded, 6_000), "{first:?}");
    assert!(balanced(&first));
    assert_eq!(same(&shop).await, 6_000);

    shop.sql(
        "UPDATE people SET note = 'theirs'; UPDATE customers SET score = NULL, name = 'é \"x\"' WHERE id % 500 = 7",
    )
    .await
    .unwrap();
    shop.sql("DELETE FROM customers WHERE id IN (5, 6)").await.unwrap();
    shop.sql(&format!("{ADD}(6001, 6003) AS n")).await.unwrap();
    let second = incremental(&shop, "run-2").await;
    let counters = &second.counters;
    assert_eq!((second.phase, counters.upserted, counters.deleted), (Phase::Succeeded, 15, 2), "{second:?}");
    assert_eq!(counters.requests, 3, "one statement for each kind of change");
    assert_eq!(same(&shop).await, 6_001);
    assert_eq!(shop.seen("SELECT count(*)::text FROM people WHERE note = 'theirs'").await.unwrap(), ["5998"]);

    let third = incremental(&shop, "run-3").await;
    assert_eq!((third.phase, third.counters.requests), (Phase::Succeeded, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_refused_are_named_and_come_again_when_they_changed() {
    let shop = Rows::with(TABLES).await.unwrap();
    shop.sql(&format!("{ADD}(1, 3000) AS n; UPDATE customers SET plan = 'bad' WHERE id IN (17, 2500)")).await.unwrap();
    let first = incremental(&shop, "run-1").await;
    assert_eq!((first.phase, first.counters.upserted, first.counters.rejected), (Phase::PartiallySucceeded, 2998, 2));
    assert!(balanced(&first));
    let error = &first.errors[0];
    assert_eq!(
        (error.code.as_str(), error.field.as_deref(), error.count),
        ("CHECK_FAILED", Some("plan"), 2),
        "{error:?}"
    );
    let second = incremental(&shop, "run-2").await;
    assert_eq!((second.counters.requests, second.counters.still_rejected), (0, 2));
    shop.sql("UPDATE customers SET plan = 'pro' WHERE id = 17; DELETE FROM customers WHERE id = 2500").await.unwrap();
    let third = incremental(&shop, "run-3").await;
    assert_eq!((third.phase, third.counters.upserted), (Phase::Succeeded, 1), "{third:?}");
    assert_eq!(same(&shop).await, 2_999);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_swapped_is_another_account() {
    let shop = Rows::with(TABLES).await.unwrap();
    let other = Rows::with(TABLES).await.unwrap();
    shop.sql(&format!("{ADD}(1, 10) AS n")).await.unwrap();
    assert_eq!(incremental(&shop, "run-1").await.phase, Phase::Succeeded);
    // The rows are where they were, and so is their state; where they go is another place under the same settings.
    let mut shop = shop;
    shop.destination = other.destination.clone();
    let stopped = incremental(&shop, "run-2").await;
    let failure = stopped.failure.expect("it stops");
    assert_eq!(failure.code, Code::IdentityChanged, "{failure}");
    assert!(failure.message.contains("destination.account was \""), "{failure}");
    assert!(other.seen("SELECT id::text FROM people").await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canceled_run_keeps_what_was_written() {
    let shop = Rows::with(TABLES).await.unwrap();
    shop.sql(&format!("{ADD}(1, 5000) AS n")).await.unwrap();
    let mut holder = shop.server.connect(&shop.database).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE people IN SHARE MODE").execute(&mut holder).await.unwrap();
    let stop = Stop::default();
    let locked = "SELECT query FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    let canceling = async {
        until("nothing waits for the table", async || !shop.seen(locked).await.unwrap().is_empty()).await.unwrap();
        stop.cancel();
        sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.unwrap();
    };
    let running = run(&shop, "run-1", Mode::Incremental, RunOptions::default(), &stop);
    let ((result, _), ()) = tokio::join!(running, canceling);
    assert_eq!(result.phase, Phase::Canceled, "{result:?}");
    let written = result.counters.upserted;
    assert!(written > 0 && written < 5000, "{written}");
    let there = shop.seen("SELECT count(*)::text FROM people").await.unwrap();
    assert_eq!(there, [written.to_string()]);
    let next = incremental(&shop, "run-2").await;
    assert_eq!((next.phase, next.counters.upserted), (Phase::Succeeded, 5000 - written));
    assert_eq!(same(&shop).await, 5000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_looks_at_the_table_and_a_test_writes_one_row() {
    let shop = Rows::with(TABLES).await.unwrap();
    shop.sql(&format!("{ADD}(1, 10) AS n; ALTER TABLE people DROP CONSTRAINT people_pkey")).await.unwrap();
    let stop = Stop::default();
    let once = |shop: &Rows, mode: Mode| {
        let shop = Rows {
            server: Arc::clone(&shop.server),
            database: shop.database.clone(),
            destination: shop.destination.clone(),
            mapping: shop.mapping.clone(),
            wrong: Mutex::default(),
        };
        let stop = stop.clone();
        async move { run(&shop, "run-1", mode, RunOptions::default(), &stop).await }
    };
    for mode in [Mode::DryRun, Mode::Test { key: "7".into() }, Mode::Incremental] {
        let (result, _) = once(&shop, mode.clone()).await;
        let failure = result.failure.expect("there is no index");
        assert_eq!(failure.code, Code::DestinationMisconfigured, "{mode:?}");
        assert!(failure.message.contains("run: CREATE UNIQUE INDEX ON \"public\".\"people\" (\"id\")"), "{failure}");
    }
    shop.sql("CREATE UNIQUE INDEX ON people (id)").await.unwrap();
    let (result, _) = once(&shop, Mode::DryRun).await;
    let estimate = result.estimate.expect("an estimate");
    assert_eq!((estimate.upserts, estimate.requests), (10, 1));
    assert!(shop.seen("SELECT id::text FROM people").await.unwrap().is_empty());
    let (result, printed) = once(&shop, Mode::Test { key: "7".into() }).await;
    assert_eq!((result.phase, result.counters.upserted), (Phase::Succeeded, 1), "{result:?}");
    assert!(printed.contains("\"op\":\"upsert\"") && printed.contains("response: delivered"), "{printed}");
    assert_eq!(shop.seen("SELECT id::text, name FROM people").await.unwrap(), ["7 name 7"]);
    let shop = shop.mapped("upsertRow", json!({"table": "people", "keyColumns": ["id"]}), SyncMode::Mirror);
    assert_eq!(incremental(&shop, "run-2").await.counters.upserted, 10, "a test moves nothing");
}
