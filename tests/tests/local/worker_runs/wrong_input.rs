//! Wrong manifests and a wrong world: each has its code and exit code, and loses nothing.

use std::net::TcpListener;

use backflow_core::code::Code;
use backflow_core::plan::{Connection, FieldSource, ModelQuery, Postgres, SyncPlan};
use backflow_core::secret::SecretRef;
use backflow_tests::receiver::{Fault, RetryAfter, Script};
use backflow_tests::worker::{Scenario, Sent};
use serde_json::json;

/// A number of a port that nobody listens on.
fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn postgres(sync: &mut SyncPlan) -> &mut Postgres {
    match &mut sync.source.connection {
        Connection::Postgres(postgres) => postgres,
        other => panic!("the Source is a Postgres, not {other:?}"),
    }
}

/// Delivers a few rows, changes some, and returns what the next good run must send.
async fn with_pending_changes() -> (Scenario, Vec<Sent>) {
    let shop = Scenario::with_customers(50).await.unwrap();
    shop.succeed("before").await.unwrap();
    shop.taken();
    shop.sql("UPDATE customers SET name = 'x' WHERE id = 2; DELETE FROM customers WHERE id = 1").await.unwrap();
    shop.add_customers(51, 51).await.unwrap();
    let mut pending = shop.expected("upsert", "id IN (2, 51)").await.unwrap();
    pending.insert(0, ("1".into(), "delete".into(), json!({})));
    (shop, pending)
}

async fn fails(shop: &Scenario, run: &str, code: Code, exit: i32) {
    let ended = shop.run(run).await.unwrap();
    assert_eq!(ended.outcome().unwrap(), (Some(exit), "Failed".into(), Some(code)), "{run}: {}", ended.message);
    assert_eq!(shop.taken(), [], "{run}");
}

async fn cured(shop: &Scenario, pending: &[Sent]) {
    shop.succeed("cured").await.unwrap();
    assert_eq!(shop.taken(), pending);
    assert_eq!(shop.receiver.ledger().rows().len(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_models_and_mappings() {
    let (mut shop, pending) = with_pending_changes().await;
    let good = shop.sync.clone();
    for (run, sql, code) in [
        ("syntax", "SELECT id, name FROM customers WHERE", Code::SqlError),
        ("runtime", "SELECT id, 1 / (id - 20) AS name FROM customers", Code::SqlError),
        ("two-statements", "SELECT 1 AS id; SELECT 2 AS id", Code::MultipleStatements),
        ("second-writes", "SELECT id FROM customers; DELETE FROM customers", Code::MultipleStatements),
        ("no-table", "SELECT id FROM costumers", Code::TableNotFound),
        ("no-schema", "SELECT id FROM marts.customers", Code::TableNotFound),
        ("no-column", "SELECT id, nome FROM customers", Code::ColumnNotFound),
        ("no-key", "SELECT name FROM customers", Code::PrimaryKeyMissing),
        ("two-columns", "SELECT id, name, name FROM customers", Code::DuplicateColumn),
        ("writes", "DELETE FROM customers RETURNING id", Code::SqlError),
        ("writes-inside", "WITH gone AS (DELETE FROM customers RETURNING id) SELECT id FROM gone", Code::SqlError),
    ] {
        shop.sync.model.query = ModelQuery::Sql(sql.into());
        fails(&shop, run, code, 11).await;
    }
    shop.sync = good.clone();
    shop.sync.model.query = ModelQuery::Table("public.costumers".into());
    fails(&shop, "no-table-2", Code::TableNotFound, 11).await;
    shop.sync = good.clone();
    let unknown = FieldSource::Column("nome".into()).into();
    shop.sync.mapping.fields.insert("name2".into(), unknown);
    fails(&shop, "unknown-column", Code::ColumnNotFound, 11).await;
    shop.sync = good.clone();
    shop.sync.mapping.filter = Some("country <> 'XX'".into());
    fails(&shop, "unknown-column-in-where", Code::ColumnNotFound, 11).await;
    shop.sync = good;
    cured(&shop, &pending).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warehouse_out_of_reach() {
    let (mut shop, pending) = with_pending_changes().await;
    let good = shop.sync.clone();
    postgres(&mut shop.sync).host = "no-such-host.invalid".into();
    fails(&shop, "no-host", Code::HostNotFound, 10).await;
    shop.sync = good.clone();
    postgres(&mut shop.sync).port = closed_port();
    fails(&shop, "no-server", Code::ConnectionFailed, 20).await;
    shop.sync = good.clone();
    postgres(&mut shop.sync).database = "nowhere".into();
    fails(&shop, "no-database", Code::DatabaseNotFound, 10).await;
    shop.sync = good.clone();
    postgres(&mut shop.sync).password = Some(SecretRef { name: "absent".into(), key: "password".into() });
    fails(&shop, "no-secret", Code::SecretNotFound, 10).await;
    postgres(&mut shop.sync).password = Some(SecretRef { name: shop.database.clone(), key: "absent".into() });
    fails(&shop, "no-key", Code::SecretKeyNotFound, 10).await;
    shop.sync = good;
    shop.put_secret(&shop.database, "password", "wrong").unwrap();
    fails(&shop, "wrong-password", Code::AuthenticationFailed, 10).await;
    shop.restore_password().unwrap();
    shop.sql(&format!(
        "RESET ROLE; REVOKE ALL ON customers FROM {0}; ALTER TABLE customers OWNER TO postgres",
        shop.database
    ))
    .await
    .unwrap();
    fails(&shop, "no-grant", Code::PermissionDenied, 10).await;
    shop.sql(&format!("RESET ROLE; GRANT SELECT ON customers TO {}", shop.database)).await.unwrap();
    cured(&shop, &pending).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_takes_nothing() {
    let (mut shop, pending) = with_pending_changes().await;
    let good = shop.sync.clone();
    for (run, fault, code, exit) in [
        ("unauthorized", Fault::status(401), Code::DestinationUnauthorized, 10),
        ("forbidden", Fault::status(403), Code::DestinationMisconfigured, 10),
        ("not-found", Fault::status(404), Code::DestinationMisconfigured, 10),
        ("page", Fault::Html, Code::DestinationMisconfigured, 10),
        ("redirect", Fault::status(302), Code::DestinationMisconfigured, 10),
        ("broken", Fault::status(503), Code::RetriesExhausted, 0),
        ("reset", Fault::Reset, Code::DestinationUnreachable, 0),
    ] {
        shop.receiver.script(Script::always(fault));
        fails(&shop, run, code, exit).await;
    }
    // It may ask for more time than the run has; that is told, and ends no pod either.
    let hour = Fault::Status { status: 429, retry_after: Some(RetryAfter::Seconds(3600)) };
    shop.receiver.script(Script::always(hour));
    let ended = shop.run("throttled").await.unwrap();
    assert_eq!(ended.outcome().unwrap(), (Some(0), "Failed".into(), Some(Code::RetriesExhausted)));
    let result = ended.result().unwrap();
    let until: jiff::Timestamp = result.throttled_until.unwrap().parse().unwrap();
    let finished: jiff::Timestamp = result.finished_at.unwrap().parse().unwrap();
    let wait = until.duration_since(finished).as_secs();
    assert!((1..=3600).contains(&wait), "{wait}");
    shop.receiver.script(Script::default());
    let url = |url: String| ("url".to_owned(), json!(url));
    shop.sync.destination.settings = [url(format!("http://127.0.0.1:{}/hook", closed_port()))].into();
    fails(&shop, "nobody-listens", Code::DestinationUnreachable, 0).await;
    shop.sync.destination.settings = [url("http://no-such-host.invalid/hook".into())].into();
    fails(&shop, "no-host", Code::DestinationUnreachable, 0).await;
    shop.sync = good.clone();
    shop.sync.destination.allow_loopback = false;
    fails(&shop, "own-pod", Code::AddressForbidden, 10).await;
    shop.sync = good.clone();
    let token = SecretRef { name: "hook".into(), key: "absent".into() };
    shop.sync.destination.secrets.insert("authToken".into(), token);
    fails(&shop, "no-key", Code::SecretKeyNotFound, 10).await;
    shop.sync = good;
    shop.put_secret("hook", "authToken", "wrong").unwrap();
    shop.sync
        .destination
        .secrets
        .insert("authToken".into(), SecretRef { name: "hook".into(), key: "authToken".into() });
    fails(&shop, "wrong-token", Code::DestinationUnauthorized, 10).await;
    let token = shop.secrets().join("hook");
    std::fs::rename(token.join("authToken"), token.join("wrong")).unwrap();
    fails(&shop, "no-token", Code::SecretKeyNotFound, 10).await;
    shop.restore_token().unwrap();
    cured(&shop, &pending).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_cannot_be_read_says_so() {
    let shop = Scenario::with_customers(1).await.unwrap();
    let ended = shop.pod("run-1").damaged().start().unwrap().ended().await.unwrap();
    assert_eq!(ended.code, Some(10));
    assert!(ended.message.contains("PlanInvalid"), "{ended:?}");
}
