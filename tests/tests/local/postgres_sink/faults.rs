//! What the server, the network and other sessions do while rows are written.

use std::sync::Arc;

use backflow_core::code::{Code, Failure};
use backflow_core::record::Record;
use backflow_core::selection::{Operation, SyncMode};
use backflow_core::sink::{Delivery, Sink};
use backflow_tests::postgres::PostgresServer;
use backflow_tests::rows::{Rows, record};
use backflow_tests::until;
use backflow_tests::wire::Wire;
use serde_json::json;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};
use tokio::task::JoinHandle;

use super::{all, deliver, marks};

const PEOPLE: &str = "CREATE TABLE people (id bigint PRIMARY KEY, name text); INSERT INTO people VALUES (1, 'old')";

fn people(name: &str) -> Vec<Record> {
    (1..=100).map(|id| record(&json!(id), Operation::Upsert, &json!({"name": name}))).collect()
}

async fn names(shop: &Rows) -> Vec<String> {
    shop.seen("SELECT name, count(*)::text FROM people GROUP BY name ORDER BY name").await.unwrap()
}

/// Begins a delivery that waits for a row that another session holds.
async fn waiting(
    shop: &Rows,
) -> (Arc<dyn Sink>, backflow_tests::webhook::Stopping, JoinHandle<Delivery>, PgConnection) {
    let (sink, stop) = shop.open().unwrap();
    sink.ready(&["name".to_owned()]).await.unwrap();
    let mut holder = shop.server.connect(&shop.database).await.unwrap();
    let hold = "BEGIN; UPDATE people SET name = 'held' WHERE id = 1";
    sqlx::raw_sql(AssertSqlSafe(hold)).execute(&mut holder).await.unwrap();
    let delivering = Arc::clone(&sink);
    let delivery = tokio::spawn(async move { delivering.deliver(&people("new")).await });
    let locked = "SELECT query FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    until("nothing waits for the row", async || !shop.seen(locked).await.unwrap().is_empty()).await.unwrap();
    (sink, stop, delivery, holder)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_to_a_commit_is_harmless_where_rows_have_keys() {
    let shop = Rows::with(PEOPLE).await.unwrap();
    let wire = Wire::to(shop.server.port()).await.unwrap();
    let shop = shop.setting("port", json!(wire.port()));
    let (sink, _stop) = shop.open().unwrap();
    sink.ready(&["name".to_owned()]).await.unwrap();
    wire.lose_commits(1);
    let delivery = deliver(&*sink, &people("new")).await;
    all(&delivery);
    assert_eq!((wire.to_lose(), delivery.requests), (0, 2), "it was lost, and written again");
    assert_eq!(names(&shop).await, ["new 100"]);
    wire.lose_commits(1);
    let deletions: Vec<Record> = (1..=50).map(|id| record(&json!(id), Operation::Delete, &json!({}))).collect();
    all(&deliver(&*sink, &deletions).await);
    assert_eq!((wire.to_lose(), names(&shop).await), (0, vec!["new 50".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn appended_rows_whose_answer_was_lost_are_not_appended_again_unless_the_table_knows() {
    let shop = Rows::with("CREATE TABLE log (n int, delivery text UNIQUE)").await.unwrap();
    let wire = Wire::to(shop.server.port()).await.unwrap();
    let shop = shop.setting("port", json!(wire.port()));
    let rows: Vec<Record> = (0..10).map(|n| record(&json!(n), Operation::Insert, &json!({"n": n}))).collect();
    for (config, mark) in [
        (json!({"table": "log"}), "!UNKNOWN_DELIVERY:-"),
        (json!({"table": "log", "deliveryKeyColumn": "delivery"}), "+"),
    ] {
        shop.sql("TRUNCATE log").await.unwrap();
        let mut mapping = shop.mapping.clone();
        mapping.action = "appendRow".into();
        mapping.config = serde_json::from_value(config).unwrap();
        mapping.selection = backflow_core::selection::Selection::SyncMode(SyncMode::Insert);
        let stop = tokio::sync::watch::channel(None).1;
        let sink = backflow_destinations::open(&shop.destination, &mapping, &shop, None, stop).unwrap();
        sink.ready(&["n".to_owned()]).await.unwrap();
        wire.lose_commits(1);
        let delivery = deliver(&*sink, &rows).await;
        assert_eq!((marks(&delivery), wire.to_lose()), (vec![mark.to_owned(); 10], 0));
        assert_eq!(shop.seen("SELECT count(*)::text FROM log").await.unwrap(), ["10"], "{mark}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_started_again_in_the_middle_of_a_batch() {
    let server = Arc::new(PostgresServer::start().await.unwrap());
    let shop = Rows::on(server, PEOPLE).await.unwrap().attempts(20);
    let (_sink, _stop, delivery, holder) = waiting(&shop).await;
    shop.server.stop().unwrap();
    drop(holder);
    shop.server.restart_with(backflow_tests::postgres::ServerTls::Off).unwrap();
    all(&delivery.await.unwrap());
    assert_eq!(names(&shop).await, ["new 100"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_an_administrator_ends_is_begun_again() {
    let shop = Rows::with(PEOPLE).await.unwrap();
    let (_sink, _stop, delivery, holder) = waiting(&shop).await;
    let end = "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    assert_eq!(shop.seen(end).await.unwrap(), ["true"]);
    holder.close().await.unwrap();
    let delivery = delivery.await.unwrap();
    all(&delivery);
    assert_eq!((delivery.requests, names(&shop).await), (2, vec!["new 100".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_the_statement_in_flight_end_and_begins_no_other() {
    let shop = Rows::with(PEOPLE).await.unwrap();
    let (sink, stop, delivery, holder) = waiting(&shop).await;
    stop.send_replace(Some(Failure::new(Code::Canceled, "canceled")));
    holder.close().await.unwrap();
    all(&delivery.await.unwrap());
    assert_eq!(names(&shop).await, ["new 100"]);
    let delivery = deliver(&*sink, &people("newer")).await;
    assert_eq!((marks(&delivery), delivery.requests), (vec!["~".to_owned(); 100], 0));
    assert_eq!(delivery.stop.map(|stop| stop.code), Some(Code::Canceled));
    assert_eq!(names(&shop).await, ["new 100"]);
}

/// What a run ends with whose only try fails; nothing is written or rejected.
async fn given_up(shop: &Rows, sink: &dyn Sink) -> Failure {
    let before = names(shop).await;
    let delivery = deliver(sink, &people("canary")).await;
    assert_eq!(marks(&delivery), vec!["~"; 100]);
    assert_eq!(names(shop).await, before);
    delivery.stop.expect("the run ends")
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_and_slow_statements_are_waited_for_as_long_as_the_role_may() {
    for (limit, words) in [("lock_timeout", "did not give a lock"), ("statement_timeout", "cancelled the statement")] {
        let shop = Rows::with(PEOPLE).await.unwrap().attempts(1);
        shop.server.exec("postgres", &format!("ALTER ROLE {} SET {limit} = '50ms'", shop.database)).await.unwrap();
        let (sink, _stop) = shop.open().unwrap();
        sink.ready(&["name".to_owned()]).await.unwrap();
        let mut holder = shop.server.connect(&shop.database).await.unwrap();
        sqlx::raw_sql("BEGIN; LOCK TABLE people IN ROW EXCLUSIVE MODE; UPDATE people SET name = 'held' WHERE id = 1")
            .execute(&mut holder)
            .await
            .unwrap();
        let failure = given_up(&shop, &*sink).await;
        assert_eq!(failure.code, Code::DestinationUnreachable, "{failure}");
        assert!(failure.message.contains(words), "{failure}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_only_reads_takes_nothing() {
    let shop = Rows::with(PEOPLE).await.unwrap().attempts(1);
    let (sink, _stop) = shop.open().unwrap();
    sink.ready(&["name".to_owned()]).await.unwrap();
    let set = |to: &str| format!("ALTER DATABASE {} SET default_transaction_read_only = {to}", shop.database);
    shop.server.exec("postgres", &set("on")).await.unwrap();
    // Sessions that began before still write: a standby has none of them.
    let end = "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    shop.seen(end).await.unwrap();
    let failure = given_up(&shop, &*sink).await;
    assert_eq!(failure.code, Code::DestinationUnreachable);
    assert!(failure.message.contains("only reads"), "{failure}");
    let failure = shop.ready(&["name"]).await.unwrap_err();
    assert_eq!(failure.code, Code::DestinationMisconfigured);
    assert!(failure.message.contains("name the primary in settings.host"), "{failure}");
    shop.server.exec("postgres", &set("off")).await.unwrap();
    shop.ready(&["name"]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_changed_meanwhile_ends_the_run() {
    let shop = Rows::with(PEOPLE).await.unwrap();
    let changes =
        ["ALTER TABLE people DROP CONSTRAINT people_pkey", "ALTER TABLE people DROP COLUMN name", "DROP TABLE people"];
    let (sinks, _stops): (Vec<_>, Vec<_>) = changes.iter().map(|_| shop.open().unwrap()).unzip();
    for sink in &sinks {
        sink.ready(&["name".to_owned()]).await.unwrap();
    }
    for (change, sink) in changes.iter().zip(&sinks) {
        shop.sql(change).await.unwrap();
        let delivery = deliver(&**sink, &people("canary")).await;
        assert_eq!(marks(&delivery), vec!["~"; 100], "{change}");
        let failure = delivery.stop.expect(change);
        assert_eq!(failure.code, Code::DestinationMisconfigured);
        assert!(failure.message.contains("was changed while rows were written"), "{failure}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_that_meet_break_each_other_off_and_all_rows_are_written() {
    let shop = Rows::with(
        "CREATE TABLE people (id bigint PRIMARY KEY, name text); INSERT INTO people SELECT n, 'old' FROM generate_series(1, 2) AS n",
    )
    .await
    .unwrap();
    // Another session holds row 2 and wants row 1, which the batch holds by then. Of the two, the batch looks for circles sooner.
    let sooner = format!("ALTER ROLE {} SET deadlock_timeout = '2s'", shop.database);
    shop.server.exec("postgres", &sooner).await.unwrap();
    let (sink, _stop) = shop.open().unwrap();
    sink.ready(&["name".to_owned()]).await.unwrap();
    let mut other = shop.server.connect(&shop.database).await.unwrap();
    let first = "BEGIN; SET LOCAL deadlock_timeout = '120s'; UPDATE people SET name = 'held' WHERE id = 2";
    sqlx::raw_sql(AssertSqlSafe(first)).execute(&mut other).await.unwrap();
    let delivery = tokio::spawn(async move { sink.deliver(&people("new")).await });
    let locked = "SELECT query FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    until("nothing waits", async || !shop.seen(locked).await.unwrap().is_empty()).await.unwrap();
    sqlx::raw_sql("UPDATE people SET name = 'held' WHERE id = 1; COMMIT").execute(&mut other).await.unwrap();
    let delivery = delivery.await.unwrap();
    all(&delivery);
    assert_eq!((delivery.requests, names(&shop).await), (2, vec!["new 100".to_owned()]));
}
