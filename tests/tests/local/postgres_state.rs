//! State in a Postgres: the conformance of every store, and what only a server can show.

use std::sync::Arc;

use backflow_core::code::{Code, Failure};
use backflow_core::plan::{SourcePlan, StateLocation};
use backflow_core::state::{Commit, RejectChange};
use backflow_sources::warehouse::open;
use backflow_tests::postgres::{PostgresServer, ServerTls};
use backflow_tests::{memory::MemoryStore, state_conformance};

const APPLICATION: &str = "backflow/test-run";

fn code<T>(result: Result<T, Failure>) -> Code {
    result.err().expect("this must fail").code
}

#[tokio::test(flavor = "multi_thread")]
async fn state_conforms_in_every_store() {
    let memory = MemoryStore::default();
    let other = Arc::new(memory.another());
    state_conformance::check(Arc::new(memory), other).await;
    let server = PostgresServer::start().await.unwrap();
    server.role("writer").await.unwrap();
    server.exec("postgres", "GRANT CREATE ON DATABASE postgres TO writer").await.unwrap();
    for schema in ["_backflow", "Odd \"name\" {} $1 é"] {
        let plan = SourcePlan { state: StateLocation::Schema(schema.into()), ..server.source("writer", "postgres") };
        let warehouse = open(&plan, &server, APPLICATION).await.unwrap();
        let other = open(&plan, &server, APPLICATION).await.unwrap();
        state_conformance::check(warehouse.state(), other.state()).await;
    }
    many_pods_prepare_at_once(&server).await;
    rejects_can_be_read_by_sql(&server).await;
    a_broken_connection_does_not_stop_the_state(&server).await;
    a_newer_schema_is_not_touched(&server).await;
}

async fn many_pods_prepare_at_once(server: &PostgresServer) {
    let plan = SourcePlan { state: StateLocation::Schema("many".into()), ..server.source("writer", "postgres") };
    let mut stores = Vec::new();
    for _ in 0..8 {
        stores.push(open(&plan, server, APPLICATION).await.unwrap().state());
    }
    let tasks: Vec<_> = stores.into_iter().map(|store| tokio::spawn(async move { store.prepare().await })).collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
}

async fn rejects_can_be_read_by_sql(server: &PostgresServer) {
    let store = open(&server.source("writer", "postgres"), server, APPLICATION).await.unwrap().state();
    let (key, head) = ("rejects", state_conformance::head(1));
    let run = state_conformance::run("a", 1);
    store.claim(key, None, &head, &run, false).await.unwrap();
    let first = [state_conformance::reject("1"), state_conformance::reject("[\"ü\",2]")];
    store.commit(Commit { state_key: key, head: &head, segment: None, run: &run, rejects: &first }).await.unwrap();
    let times = "SELECT first_seen::text FROM _backflow.rejects WHERE state_key = 'rejects' AND key = '1'";
    let seen = server.query("postgres", times).await.unwrap();
    let second = [state_conformance::reject("1"), RejectChange::Remove("[\"ü\",2]".into())];
    store.commit(Commit { state_key: key, head: &head, segment: None, run: &run, rejects: &second }).await.unwrap();
    assert_eq!(server.query("postgres", times).await.unwrap(), seen, "the first time is kept");
    let rows = server
        .query(
            "postgres",
            "SELECT key, operation, code, field, message, (last_seen > first_seen)::text FROM _backflow.rejects \
             WHERE state_key = 'rejects'",
        )
        .await
        .unwrap();
    let wanted = ["1", "Upsert", "HTTP_422", "email", "the destination refuses the value", "true"];
    assert_eq!(rows, [wanted.map(|text| Some(text.to_owned()))]);
    let counters = "SELECT counters->>'upserted', phase FROM _backflow.runs WHERE state_key = 'rejects'";
    let row = server.query("postgres", counters).await.unwrap();
    assert_eq!(row, [["3", "Running"].map(|text| Some(text.to_owned()))]);
}

async fn a_broken_connection_does_not_stop_the_state(server: &PostgresServer) {
    let name = "backflow/killed";
    let store = open(&server.source("writer", "postgres"), server, name).await.unwrap().state();
    let head = state_conformance::head(1);
    let run = state_conformance::run("a", 1);
    store.claim("broken", None, &head, &run, false).await.unwrap();
    let kill = format!(
        "SELECT pg_terminate_backend(pid, 10000)::text FROM pg_stat_activity WHERE application_name = '{name}'"
    );
    assert_eq!(server.query("postgres", &kill).await.unwrap().len(), 1, "one idle connection is kept");
    let commit = Commit { state_key: "broken", head: &head, segment: Some(b"s"), run: &run, rejects: &[] };
    store.commit(commit).await.unwrap();
    server.stop().unwrap();
    assert_eq!(code(store.head("broken").await), Code::ConnectionFailed);
    server.restart_with(ServerTls::Off).unwrap();
    assert_eq!(store.head("broken").await.unwrap(), Some(head));
}

async fn a_newer_schema_is_not_touched(server: &PostgresServer) {
    server.exec("postgres", "UPDATE _backflow.meta SET value = '2'").await.unwrap();
    let warehouse = open(&server.source("writer", "postgres"), server, APPLICATION).await.unwrap();
    assert_eq!(code(warehouse.state().prepare().await), Code::StateTooNew);
    assert_eq!(code(warehouse.check().await), Code::StateTooNew);
    server.exec("postgres", "DROP TABLE _backflow.journal").await.unwrap();
    assert_eq!(code(warehouse.check().await), Code::StateDamaged);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_are_gone_are_named_and_made_again() {
    let server = PostgresServer::start().await.unwrap();
    let plan = server.source("postgres", "postgres");
    let store = open(&plan, &server, APPLICATION).await.unwrap().state();
    // Before prepare there are no tables: the failure says so, and prepare mends it.
    assert_eq!(code(store.head("any").await), Code::StateSchemaMissing);
    store.prepare().await.unwrap();
    assert_eq!(store.head("any").await.unwrap(), None);
}
