//! Redshift as a Source: the worker's program and a real Postgres, with a guard between them that refuses what Redshift does not have.

use std::collections::BTreeMap;

use backflow_core::code::{Code, Failure};
use backflow_core::plan::{Connection, ModelPlan, ModelQuery, SourcePlan, StateLocation};
use backflow_core::result::Phase;
use backflow_sources::warehouse::{Query, open};
use backflow_tests::postgres::PostgresServer;
use backflow_tests::redshift::RedshiftGuard;
use backflow_tests::worker::{Scenario, Sent, balanced, sorted};
use backflow_tests::{state_conformance, until};
use futures::TryStreamExt as _;
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

const SIGABRT: i32 = 6;

/// A Mapping of `customers` through a guard, which must have refused nothing in the end.
struct Shop {
    scenario: Scenario,
    guard: RedshiftGuard,
}

impl Shop {
    async fn start(rows: u32) -> Self {
        let mut scenario = Scenario::with_customers(rows).await.unwrap();
        let guard = RedshiftGuard::start(scenario.server.port()).await.unwrap();
        scenario.sync.source = guard.source(&scenario.database, &scenario.database);
        Self { scenario, guard }
    }

    async fn all(&self) -> Vec<Sent> {
        self.scenario.expected("upsert", "true").await.unwrap()
    }

    fn clean(&self) {
        assert_eq!(self.guard.refused(), Vec::<String>::new());
    }
}

fn deletion(id: &str) -> Sent {
    (id.to_owned(), "delete".to_owned(), json!({}))
}

#[tokio::test(flavor = "multi_thread")]
async fn all_then_the_changes_then_nothing() {
    let shop = Shop::start(3_000).await;
    let first = shop.scenario.succeed("run-1").await.unwrap();
    assert_eq!(shop.scenario.taken(), shop.all().await);
    assert_eq!((first.findings.clone().unwrap().added, first.counters.upserted), (3_000, 3_000));
    assert!(balanced(&first));
    shop.scenario.requests();

    let rename = "UPDATE customers SET name = 'é \"new\" \\ ''x''', score = NULL WHERE id IN (1, 20, 300)";
    shop.scenario.sql(rename).await.unwrap();
    shop.scenario.sql("DELETE FROM customers WHERE id IN (7, 2000)").await.unwrap();
    shop.scenario.add_customers(3_001, 3_003).await.unwrap();
    let second = shop.scenario.succeed("run-2").await.unwrap();
    let mut changed = shop.scenario.expected("upsert", "id IN (1, 20, 300, 3001, 3002, 3003)").await.unwrap();
    changed.extend([deletion("2000"), deletion("7")]);
    changed.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(shop.scenario.taken(), changed);
    let found = second.findings.clone().unwrap();
    assert_eq!((found.added, found.updated, found.deleted), (3, 3, 2));
    shop.scenario.requests();

    let third = shop.scenario.succeed("run-3").await.unwrap();
    assert_eq!((shop.scenario.requests(), third.counters.requests), (0, 0));
    shop.clean();

    // A column of another type has other values.
    shop.scenario.sql("ALTER TABLE customers ALTER COLUMN score TYPE text USING score::text").await.unwrap();
    let changed = shop.scenario.succeed("run-4").await.unwrap();
    let scores = shop.scenario.expected("upsert", "score IS NOT NULL").await.unwrap();
    assert_eq!(shop.scenario.taken(), scores);
    assert_eq!(changed.findings.unwrap().updated as usize, scores.len());
    shop.clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_ends_complete() {
    let mut shop = Shop::start(300).await;
    for failpoint in ["after-send", "inside-commit", "after-commit", "inside-fold"] {
        shop.scenario.sync.mapping.state_key = format!("shop/{failpoint}");
        let died = shop.scenario.pod(failpoint).failpoint(failpoint).start().unwrap().ended().await.unwrap();
        assert_eq!(died.signal, Some(SIGABRT), "{failpoint}: {died:?}");
        let result = shop.scenario.succeed(failpoint).await.unwrap();
        let items = shop.scenario.items();
        let mut keys: BTreeMap<String, &str> = BTreeMap::new();
        for item in &items {
            let key = keys.entry(item.id.to_string()).or_insert(&item.key);
            assert_eq!(*key, item.key, "{failpoint}: sent again with another key");
        }
        let mut once = sorted(&items);
        once.dedup();
        assert_eq!(once, shop.all().await, "{failpoint}");
        assert!(balanced(&result) && result.counters.upserted == 300, "{failpoint}: {result:?}");
        shop.scenario.requests();
        shop.scenario.succeed(&format!("{failpoint}-after")).await.unwrap();
        assert_eq!(shop.scenario.requests(), 0, "{failpoint}");
    }
    shop.clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_model_deletes_nothing_until_it_is_approved() {
    let mut shop = Shop::start(200).await;
    shop.scenario.succeed("run-1").await.unwrap();
    shop.scenario.taken();
    shop.scenario.sql("DELETE FROM customers").await.unwrap();
    let result = shop.scenario.run("run-2").await.unwrap().result().unwrap();
    assert_eq!(result.phase, Phase::PartiallySucceeded);
    assert_eq!((result.counters.withheld, result.counters.deleted), (200, 0));
    assert_eq!(shop.scenario.taken(), []);
    shop.scenario.sync.options.approve_deletes = Some(200);
    let result = shop.scenario.succeed("run-3").await.unwrap();
    assert_eq!((result.counters.withheld, result.counters.deleted), (0, 200));
    shop.clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_run_takes_its_query_along() {
    let mut shop = Shop::start(3).await;
    // Describing it takes no time, reading it ten minutes.
    let nap = "SELECT c.*, pg_sleep(600)::varchar AS nap FROM customers AS c";
    let table = std::mem::replace(&mut shop.scenario.sync.model.query, ModelQuery::Sql(nap.into()));
    let naps = async || {
        let naps =
            "SELECT count(*)::text FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
        shop.scenario.value(naps).await.unwrap()
    };
    for (stop, outcome) in [
        ("cancel", (Some(0), "Canceled".to_owned(), Some(Code::Canceled))),
        ("terminate", (Some(143), "Running".to_owned(), Some(Code::Terminated))),
    ] {
        let mut pod = shop.scenario.pod(&format!("run-{stop}")).start().unwrap();
        until("the worker does not read", async || naps().await != "0").await.unwrap();
        if stop == "cancel" {
            pod.cancel().await.unwrap();
        } else {
            pod.terminate().unwrap();
        }
        let ended = pod.ended().await.unwrap();
        assert_eq!(ended.outcome().unwrap(), outcome, "{ended:?}");
        assert_eq!(naps().await, "0", "{stop}");
    }
    assert_eq!(shop.scenario.requests(), 0);
    shop.scenario.sync.model.query = table;
    shop.scenario.succeed("run-terminate").await.unwrap();
    assert_eq!(shop.scenario.taken(), shop.all().await);
    shop.clean();
}

async fn check(plan: &SourcePlan, server: &PostgresServer) -> Result<String, Failure> {
    open(plan, server, "backflow/check").await?.check().await
}

async fn refused(plan: &SourcePlan, server: &PostgresServer, code: Code, said: &str) {
    let failure = check(plan, server).await.unwrap_err();
    assert_eq!(failure.code, code, "{failure}");
    assert!(failure.message.contains(said), "no {said} in: {failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_says_what_it_is_or_what_is_missing() {
    let server = PostgresServer::start().await.unwrap();
    let guard = RedshiftGuard::start(server.port()).await.unwrap();
    for role in ["reader", "owner", "lost"] {
        server.role(role).await.unwrap();
    }
    let plan = guard.source("reader", "postgres");
    refused(&plan, &server, Code::StateSchemaMissing, "CREATE SCHEMA \"_backflow\" AUTHORIZATION \"reader\"").await;
    server.exec("postgres", "CREATE SCHEMA _backflow").await.unwrap();
    refused(&plan, &server, Code::PermissionDenied, "GRANT USAGE, CREATE ON SCHEMA \"_backflow\" TO \"reader\"").await;
    server.exec("postgres", "GRANT USAGE, CREATE ON SCHEMA _backflow TO reader").await.unwrap();
    assert_eq!(check(&plan, &server).await.unwrap(), "Redshift 1.0.75379");
    let tables = "SELECT count(*)::text FROM pg_tables WHERE schemaname = '_backflow'";
    assert_eq!(server.query("postgres", tables).await.unwrap(), [["0".to_owned()].map(Some)], "a check makes nothing");

    open(&plan, &server, "backflow/run").await.unwrap().state().prepare().await.unwrap();
    assert_eq!(check(&plan, &server).await.unwrap(), "Redshift 1.0.75379");
    server.exec("postgres", "GRANT USAGE ON SCHEMA _backflow TO owner").await.unwrap();
    let other = guard.source("owner", "postgres");
    refused(&other, &server, Code::PermissionDenied, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES").await;
    server.exec("postgres", "UPDATE _backflow.turns SET schema_version = 99").await.unwrap();
    refused(&plan, &server, Code::StateTooNew, "99").await;
    server
        .exec(
            "postgres",
            "UPDATE _backflow.turns SET schema_version = 1; ALTER TABLE _backflow.objects DROP COLUMN pieces",
        )
        .await
        .unwrap();
    refused(&plan, &server, Code::StateDamaged, "other columns").await;

    let changed = |change: &dyn Fn(&mut backflow_core::plan::Redshift)| {
        let Connection::Redshift(redshift) = &plan.connection else { panic!("it is no Redshift") };
        let mut redshift = redshift.clone();
        change(&mut redshift);
        SourcePlan { connection: Connection::Redshift(redshift), ..plan.clone() }
    };
    refused(&changed(&|to| to.port = server.port()), &server, Code::ConnectionFailed, "is no Redshift").await;
    refused(&changed(&|to| to.database = "nope".into()), &server, Code::DatabaseNotFound, "Redshift at 127.0.0.1")
        .await;
    server.exec("postgres", "ALTER ROLE lost PASSWORD 'another'").await.unwrap();
    refused(&guard.source("lost", "postgres"), &server, Code::AuthenticationFailed, "refuses the password").await;
    refused(&changed(&|to| to.host = "no.such.host.invalid".into()), &server, Code::HostNotFound, "no.such.host").await;
    assert_eq!(guard.refused(), Vec::<String>::new());
    server.stop().unwrap();
    assert_eq!(check(&plan, &server).await.unwrap_err().code, Code::ConnectionFailed);
}

#[tokio::test(flavor = "multi_thread")]
async fn state_conforms() {
    let server = PostgresServer::start().await.unwrap();
    let guard = RedshiftGuard::start(server.port()).await.unwrap();
    server.role("writer").await.unwrap();
    server.exec("postgres", "GRANT CREATE ON DATABASE postgres TO writer").await.unwrap();
    let plan = SourcePlan { state: StateLocation::Schema("_Backflow".into()), ..guard.source("writer", "postgres") };
    let mut stores = Vec::new();
    for _ in 0..6 {
        stores.push(open(&plan, &server, "backflow/run").await.unwrap().state());
    }
    let tasks: Vec<_> = stores.into_iter().map(|store| tokio::spawn(async move { store.prepare().await })).collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let one = open(&plan, &server, "backflow/one").await.unwrap();
    let other = open(&plan, &server, "backflow/other").await.unwrap();
    state_conformance::check(one.state(), other.state()).await;
    assert_eq!(guard.refused(), Vec::<String>::new());
}

/// Declaration, value, the type's name, the value as JSON.
fn kinds() -> Vec<(&'static str, &'static str, &'static str, Value)> {
    vec![
        ("BOOLEAN", "TRUE", "boolean", json!(true)),
        ("SMALLINT", "-32768", "smallint", json!(-32768)),
        ("INTEGER", "2147483647", "integer", json!(2_147_483_647)),
        ("BIGINT", "9007199254740992", "bigint", json!("9007199254740992")),
        ("REAL", "0.5", "real", json!(0.5)),
        ("DOUBLE PRECISION", "-0.1", "double precision", json!(-0.1)),
        ("DOUBLE PRECISION", "'NaN'", "double precision", json!("NaN")),
        ("NUMERIC(38,2)", "12.50", "numeric", json!("12.50")),
        ("CHAR(3)", "'a'", "char", json!("a  ")),
        ("VARCHAR(100)", "'é 😀 \" ''x'' \\'", "varchar", json!("é 😀 \" 'x' \\")),
        ("DATE", "'0001-01-01'", "date", json!("0001-01-01")),
        ("TIME", "'23:01:59.120'", "time", json!("23:01:59.12")),
        ("TIMETZ", "'12:30:00+01'", "timetz", json!("12:30:00+01:00")),
        ("TIMESTAMP", "'2026-01-02 03:04:05.678900'", "timestamp", json!("2026-01-02T03:04:05.6789")),
        ("TIMESTAMPTZ", "'2026-01-02 03:04:05.678901+05:30'", "timestamptz", json!("2026-01-01T21:34:05.678901Z")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn values_arrive_as_the_golden_file_says() {
    let server = PostgresServer::start().await.unwrap();
    let guard = RedshiftGuard::start(server.port()).await.unwrap();
    server.role("reader").await.unwrap();
    let kinds = kinds();
    let golden = include_str!("../../../operator/sources/src/redshift/testdata/types.json");
    let golden: Vec<Value> = serde_json::from_str(golden).unwrap();
    for (_, _, name, _) in &kinds {
        assert!(golden.iter().any(|kind| kind["name"] == *name), "{name}");
    }
    let declared: Vec<String> = kinds.iter().enumerate().map(|(at, kind)| format!("c{at} {}", kind.0)).collect();
    let values: Vec<&str> = kinds.iter().map(|kind| kind.1).collect();
    let sql = format!(
        "CREATE TABLE kinds (n int, {}); INSERT INTO kinds VALUES (1, {}); INSERT INTO kinds (n) VALUES (2); GRANT SELECT ON kinds TO reader; \
         CREATE TABLE ids (g int); INSERT INTO ids VALUES (1), (2), (3); GRANT SELECT ON ids TO reader; \
         CREATE TABLE hidden (n int); CREATE TABLE odd (n int, j jsonb); GRANT SELECT ON odd TO reader; ALTER DATABASE postgres SET timezone = 'Asia/Tokyo'",
        declared.join(", "),
        values.join(", ")
    );
    server.exec("postgres", &sql).await.unwrap();
    let warehouse = open(&guard.source("reader", "postgres"), &server, "backflow/values").await.unwrap();
    let model = |query: ModelQuery| ModelPlan { name: "kinds".into(), query, primary_key: vec!["n".into()] };
    let table = model(ModelQuery::Table("public.Kinds".into()));
    let described = warehouse.describe(&table).await.unwrap();
    let names: Vec<&str> = described[1..].iter().map(|column| column.kind.as_str()).collect();
    assert_eq!(names, kinds.iter().map(|kind| kind.2).collect::<Vec<_>>());

    let columns: Vec<String> = described.into_iter().map(|column| column.name).collect();
    let query = Query { model: table, columns, filter: Some("n > 0 -- all".into()), limit: None };
    let batches: Vec<_> = warehouse.rows(query).await.unwrap().try_collect().await.unwrap();
    let mut rows: Vec<Vec<Value>> =
        batches.into_iter().flatten().map(|row| row.iter().map(|cell| cell.to_json()).collect()).collect();
    rows.sort_by_key(|row| row[0].as_u64());
    let mut full = vec![json!(1)];
    full.extend(kinds.iter().map(|kind| kind.3.clone()));
    let mut nulls = vec![json!(2)];
    nulls.extend(kinds.iter().map(|_| Value::Null));
    assert_eq!(rows, [full, nulls]);

    for (sql, code, said) in [
        ("select *\nfrom nope", Code::TableNotFound, "\"nope\" does not exist (line 2)"),
        ("select n,\n  emial\nfrom kinds", Code::ColumnNotFound, "\"emial\" does not exist (line 2)"),
        ("select n from hidden", Code::PermissionDenied, "GRANT SELECT ON \"hidden\" TO \"reader\""),
        ("select n\nfrom kinds where", Code::SqlError, "syntax error"),
        ("select n from kinds; delete from kinds", Code::MultipleStatements, "more than one statement"),
        ("select '\\'; delete from kinds; --'", Code::SqlError, "backslash"),
        ("select n, json_agg(n) from kinds", Code::SqlError, "Redshift does not support"),
    ] {
        let failure = warehouse.describe(&model(ModelQuery::Sql(sql.into()))).await.unwrap_err();
        assert_eq!(failure.code, code, "{failure}");
        assert!(failure.message.contains(said), "no {said} in: {failure}");
    }
    let limits = model(ModelQuery::Sql("select 1 as n, current_setting('statement_timeout')::varchar as t".into()));
    let query = Query { model: limits, columns: vec!["t".into()], filter: None, limit: None };
    let batches: Vec<_> = warehouse.rows(query).await.unwrap().try_collect().await.unwrap();
    let limit = batches.into_iter().flatten().next().unwrap();
    assert_eq!(limit[0].to_json(), json!("6h"), "a read that never ends");

    // What cannot be read ends the query, too: the first row is no day that is sent anywhere, the last one comes after an hour.
    let nap = "select g as n, case when g = 1 then date '0044-03-15 BC' end as day, repeat('x', 9000)::varchar as x, \
               case when g = 3 then pg_sleep(3600)::varchar end as nap from ids";
    let nap = model(ModelQuery::Sql(nap.into()));
    let columns = ["n", "day", "x", "nap"].map(str::to_owned).to_vec();
    let query = Query { model: nap, columns, filter: None, limit: None };
    let failure = warehouse.rows(query).await.unwrap().try_collect::<Vec<_>>().await.unwrap_err();
    assert!(failure.message.contains("\"day\" arrives in a form"), "{failure}");
    let naps = "SELECT count(*)::text FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    assert_eq!(server.query("postgres", naps).await.unwrap(), [["0".to_owned()].map(Some)]);

    let odd = model(ModelQuery::Table("odd".into()));
    let query = Query { model: odd, columns: vec!["j".into()], filter: None, limit: None };
    let failure = warehouse.rows(query).await.err().unwrap();
    assert!(failure.message.contains("type 3802, which is not read"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guard_refuses_on_the_wire_what_redshift_refuses() {
    let server = PostgresServer::start().await.unwrap();
    let guard = RedshiftGuard::start(server.port()).await.unwrap();
    server.role("reader").await.unwrap();
    let password = server.password("reader").unwrap();
    let options = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(guard.port())
        .username("reader")
        .password(&password)
        .database("postgres")
        .extra_float_digits(None)
        .disable_statement_logging();
    let mut connection = options.connect().await.unwrap();
    let code =
        |error: sqlx::Error| error.as_database_error().and_then(|error| error.code().map(|code| code.into_owned()));
    // A refusal breaks a transaction off, as the server's own would.
    for (sql, expected) in [
        ("BEGIN", None),
        ("SELECT 1::jsonb", Some("0A000")),
        ("SELECT 1", Some("25P02")),
        ("ROLLBACK", None),
        ("SELECT 'it\\'s'", None),
    ] {
        let found = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.err().and_then(code);
        assert_eq!(found.as_deref(), expected, "{sql}");
    }
    assert_eq!(guard.refused().len(), 1);
    sqlx::query("SELECT $1").bind("a").execute(&mut connection).await.unwrap_err();
    assert!(guard.refused()[1].contains("extended protocol"), "{:?}", guard.refused());
    let refused = options.clone().options([("geqo", "off")]).connect().await;
    assert!(refused.is_err(), "a parameter that Redshift does not know");
    let refused = options.extra_float_digits(3).connect().await;
    assert!(refused.is_err(), "extra_float_digits is 2 at most");
    drop(connection.close().await);
}
