//! Postgres as a source, against a real server.

use std::sync::Arc;

use backflow_core::cell::Cell;
use backflow_core::code::{Code, Failure};
use backflow_core::plan::{ModelPlan, ModelQuery, SourcePlan, TlsMode};
use backflow_core::secret::{SecretRef, Secrets};
use backflow_sources::warehouse::{Query, Warehouse, open};
use backflow_tests::postgres::{PostgresServer, ServerTls, source};
use backflow_tests::until;
use futures::StreamExt;
use secrecy::SecretString;

const APPLICATION: &str = "backflow/test-run";

fn model(query: ModelQuery, key: &str) -> ModelPlan {
    ModelPlan { name: "customers".into(), query, primary_key: vec![key.into()] }
}

fn sql(text: &str) -> ModelPlan {
    model(ModelQuery::Sql(text.into()), "id")
}

fn query(model: ModelPlan, columns: &[&str]) -> Query {
    Query { model, columns: columns.iter().map(|&name| name.to_owned()).collect(), filter: None, limit: None }
}

async fn read(warehouse: &dyn Warehouse, query: Query) -> Result<Vec<Vec<Cell>>, Failure> {
    let mut stream = warehouse.rows(query).await?;
    let mut rows = Vec::new();
    while let Some(batch) = stream.next().await {
        rows.extend(batch?);
    }
    Ok(rows)
}

/// The failure's code, its sentence checked for what must never be in one.
fn code<T>(result: Result<T, Failure>) -> Code {
    let Err(failure) = result else { panic!("this must fail") };
    assert!(!failure.message.contains("canary"), "{failure}");
    failure.code
}

fn failure<T>(result: Result<T, Failure>) -> Failure {
    result.err().expect("this must fail")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_says_what_is_missing_and_changes_nothing() {
    let server = PostgresServer::start().await.unwrap();
    for role in ["reader", "maker", "late"] {
        server.role(role).await.unwrap();
    }
    server.exec("postgres", "CREATE DATABASE closed").await.unwrap();
    server.exec("postgres", "REVOKE CONNECT ON DATABASE closed FROM PUBLIC").await.unwrap();
    server.exec("postgres", "GRANT CREATE ON DATABASE postgres TO maker").await.unwrap();
    let check = |plan: SourcePlan| {
        let server = &server;
        async move { open(&plan, server, APPLICATION).await?.check().await }
    };

    let version = check(server.source("maker", "postgres")).await.unwrap();
    assert!(version.starts_with("PostgreSQL 1") && !version.contains('('), "{version}");
    let schemas = "SELECT nspname::text FROM pg_namespace WHERE nspname = '_backflow'";
    assert!(server.query("postgres", schemas).await.unwrap().is_empty(), "a check leaves nothing behind");

    let missing = failure(check(server.source("reader", "postgres")).await);
    assert_eq!(missing.code, Code::StateSchemaMissing);
    assert!(missing.message.contains("CREATE SCHEMA \"_backflow\" AUTHORIZATION \"reader\""), "{missing}");
    server.exec("postgres", "CREATE SCHEMA _backflow").await.unwrap();
    let denied = failure(check(server.source("reader", "postgres")).await);
    assert_eq!(denied.code, Code::PermissionDenied);
    assert!(denied.message.contains("GRANT USAGE, CREATE ON SCHEMA \"_backflow\" TO \"reader\""), "{denied}");
    server.exec("postgres", "GRANT USAGE, CREATE ON SCHEMA _backflow TO reader").await.unwrap();
    check(server.source("reader", "postgres")).await.unwrap();
    open(&server.source("reader", "postgres"), &server, APPLICATION).await.unwrap().state().prepare().await.unwrap();
    // Tables of another role: usable only with grants, and then also without CREATE.
    assert_eq!(code(check(server.source("late", "postgres")).await), Code::PermissionDenied);
    let grants = "GRANT USAGE ON SCHEMA _backflow TO late; \
                  GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA _backflow TO late";
    server.exec("postgres", grants).await.unwrap();
    check(server.source("late", "postgres")).await.unwrap();

    assert_eq!(code(check(server.source("reader", "absent")).await), Code::DatabaseNotFound);
    let closed = failure(check(server.source("reader", "closed")).await);
    assert_eq!(closed.code, Code::PermissionDenied);
    assert!(closed.message.contains("GRANT CONNECT ON DATABASE \"closed\" TO \"reader\""), "{closed}");
    assert_eq!(code(check(server.source("nobody", "postgres")).await), Code::SecretNotFound);

    let plan = server.plan("reader", "postgres");
    let with = |change: &dyn Fn(&mut backflow_core::plan::Postgres)| {
        let mut plan = plan.clone();
        change(&mut plan);
        source(plan)
    };
    let canary: &dyn Secrets = &Wrong;
    let refused = failure(open(&source(plan.clone()), canary, APPLICATION).await);
    assert_eq!(refused.code, Code::AuthenticationFailed);
    assert!(!refused.message.contains("canary"), "{refused}");
    assert_eq!(code(check(with(&|plan| plan.password = None)).await), Code::AuthenticationFailed);
    let wrong_key = SecretRef { name: "reader".into(), key: "pass".into() };
    assert_eq!(code(check(with(&|plan| plan.password = Some(wrong_key.clone()))).await), Code::SecretKeyNotFound);
    assert_eq!(code(check(with(&|plan| plan.host = "no-such-host.invalid".into())).await), Code::HostNotFound);
    // Nothing listens on port 1.
    assert_eq!(code(check(with(&|plan| plan.port = 1)).await), Code::ConnectionFailed);
    for mode in [TlsMode::Require, TlsMode::VerifyCa, TlsMode::VerifyFull] {
        assert_eq!(code(check(with(&|plan| plan.tls.mode = mode)).await), Code::TlsFailed);
    }
}

struct Wrong;

impl Secrets for Wrong {
    fn read(&self, _: &SecretRef) -> Result<SecretString, Failure> {
        Ok("canary".into())
    }
}

/// Secrets of the server, and certificates beside them.
struct WithCertificates<'a> {
    server: &'a PostgresServer,
    certificate: String,
    key: String,
}

impl Secrets for WithCertificates<'_> {
    fn read(&self, reference: &SecretRef) -> Result<SecretString, Failure> {
        match (reference.name.as_str(), reference.key.as_str()) {
            ("client", "certificate") => Ok(self.certificate.clone().into()),
            ("client", "key") => Ok(self.key.clone().into()),
            ("client", "broken") => Ok("not a certificate".into()),
            ("foreign", _) => {
                let dir = tempfile::tempdir().unwrap();
                Ok(backflow_tests::certificates::Authority::new(dir.path()).unwrap().certificate().into())
            }
            _ => self.server.read(reference),
        }
    }
}

fn secret(name: &str, key: &str) -> Option<SecretRef> {
    Some(SecretRef { name: name.into(), key: key.into() })
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_proves_what_its_mode_says() {
    let server = PostgresServer::start_with(ServerTls::Good).await.unwrap();
    for role in ["encrypted", "certified"] {
        server.role(role).await.unwrap();
        server.exec("postgres", &format!("GRANT CREATE ON DATABASE postgres TO {role}")).await.unwrap();
    }
    let (certificate, key) = server.authority().client("certified").unwrap();
    let secrets = WithCertificates { server: &server, certificate, key };
    let connect = |user: &str, mode: TlsMode, ca: Option<SecretRef>, client: Option<SecretRef>| {
        let mut plan = server.plan(user, "postgres");
        plan.tls.mode = mode;
        plan.tls.ca = ca;
        plan.tls.client_key = client.as_ref().and_then(|_| secret("client", "key"));
        plan.tls.client_certificate = client;
        let secrets = &secrets;
        async move { open(&source(plan), secrets, APPLICATION).await?.server().await }
    };
    let ca = || secret("authority", "ca");

    assert_eq!(code(connect("encrypted", TlsMode::Disable, None, None).await), Code::AuthenticationFailed);
    connect("encrypted", TlsMode::Require, None, None).await.unwrap();
    for mode in [TlsMode::VerifyCa, TlsMode::VerifyFull] {
        connect("encrypted", mode, ca(), None).await.unwrap();
        for unknown in [None, secret("foreign", "ca"), secret("client", "broken")] {
            assert_eq!(code(connect("encrypted", mode, unknown, None).await), Code::TlsFailed);
        }
        assert_eq!(code(connect("encrypted", mode, secret("absent", "ca"), None).await), Code::SecretNotFound);
    }
    let client = || secret("client", "certificate");
    connect("certified", TlsMode::VerifyFull, ca(), client()).await.unwrap();
    let wanted = failure(connect("certified", TlsMode::VerifyFull, ca(), None).await);
    assert_eq!(wanted.code, Code::TlsFailed);
    assert!(wanted.message.contains("tls.clientCertificate"), "{wanted}");
    assert_eq!(
        code(connect("certified", TlsMode::VerifyFull, ca(), secret("client", "broken")).await),
        Code::TlsFailed
    );
    // The certificate of one user does not open the door for another.
    let (certificate, key) = server.authority().client("somebody").unwrap();
    let other = WithCertificates { server: &server, certificate, key };
    let mut plan = server.plan("certified", "postgres");
    plan.tls.mode = TlsMode::VerifyFull;
    (plan.tls.ca, plan.tls.client_certificate, plan.tls.client_key) = (ca(), client(), secret("client", "key"));
    assert_eq!(code(open(&source(plan.clone()), &other, APPLICATION).await), Code::AuthenticationFailed);
    plan.tls.client_key = None;
    assert_eq!(code(open(&source(plan), &other, APPLICATION).await), Code::TlsFailed);

    server.restart_with(ServerTls::WrongHost).unwrap();
    connect("encrypted", TlsMode::Require, None, None).await.unwrap();
    connect("encrypted", TlsMode::VerifyCa, ca(), None).await.unwrap();
    let host = failure(connect("encrypted", TlsMode::VerifyFull, ca(), None).await);
    assert_eq!(host.code, Code::TlsFailed);
    assert!(host.message.contains("not for host \"127.0.0.1\""), "{host}");

    server.restart_with(ServerTls::Expired).unwrap();
    let expired = failure(connect("encrypted", TlsMode::VerifyFull, ca(), None).await);
    assert_eq!(expired.code, Code::TlsFailed);
    assert!(expired.message.contains("expired"), "{expired}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_models_are_named_with_their_cure() {
    let server = PostgresServer::start().await.unwrap();
    server.role("reader").await.unwrap();
    server
        .exec(
            "postgres",
            "CREATE SCHEMA marts; GRANT USAGE ON SCHEMA marts TO reader; \
             CREATE TABLE marts.customers (id int, \"Email\" text, plan text); GRANT SELECT ON marts.customers TO reader; \
             INSERT INTO marts.customers VALUES (1, 'canary', 'canary'); \
             CREATE TABLE marts.secret (id int); CREATE SCHEMA hidden; CREATE TABLE hidden.t (id int); \
             CREATE FUNCTION marts.shout() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'canary'; END $$; \
             CREATE FUNCTION marts.note() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'canary'; RETURN 1; END $$",
        )
        .await
        .unwrap();
    let warehouse = open(&server.source("reader", "postgres"), &server, APPLICATION).await.unwrap();
    let cases = [
        ("select 1 as id;", Code::SqlError, "semicolon"),
        ("select 1 as id; select 2 as id", Code::MultipleStatements, "more than one statement"),
        ("select 1 as id) x; drop table marts.customers; select (1", Code::SqlError, "parenthesis"),
        ("delete from marts.customers", Code::SqlError, "SELECT or WITH"),
        (
            "with gone as (delete from marts.customers returning id) select id from gone",
            Code::SqlError,
            "does not support",
        ),
        ("select id\nfrom marts.custmers", Code::TableNotFound, "\"marts.custmers\" does not exist (line 2, column 6)"),
        ("select id from nowhere.customers", Code::TableNotFound, "nowhere.customers"),
        (
            "select id,\n  email from marts.customers",
            Code::ColumnNotFound,
            "\"email\" does not exist (line 2, column 3)",
        ),
        ("select id, from marts.customers", Code::SqlError, "syntax error at or near \"from\" (line 1, column 12)"),
        ("select id, nope(id) from marts.customers", Code::SqlError, "nope"),
        ("select id from marts.secret", Code::PermissionDenied, "GRANT SELECT ON secret TO \"reader\""),
        ("select id from hidden.t", Code::PermissionDenied, "GRANT USAGE ON SCHEMA \"hidden\" TO \"reader\""),
        ("select 1 as id, 2 as id", Code::DuplicateColumn, "two columns named \"id\""),
        ("select \"Email\" from marts.customers", Code::PrimaryKeyMissing, "(has: Email)"),
        ("select id as \"ID\" from marts.customers", Code::PrimaryKeyMissing, "it has \"ID\""),
        ("select $1::int as id", Code::SqlError, "parameter"),
    ];
    for (text, wanted, part) in cases {
        let failure = failure(warehouse.describe(&sql(text)).await);
        assert_eq!(failure.code, wanted, "{text}: {failure}");
        assert!(failure.message.contains(part), "{text}: {failure}");
        assert!(failure.message.contains("customers"), "{text}: {failure}");
        assert_eq!(code(read(&*warehouse, query(sql(text), &["id"])).await), wanted, "{text}");
    }
    let wide = |count: usize| {
        let columns: Vec<String> = (1..count).map(|at| format!("{at} as c{at}")).collect();
        sql(&format!("select 0 as id, {}", columns.join(", ")))
    };
    assert_eq!(warehouse.describe(&wide(512)).await.unwrap().len(), 512);
    assert_eq!(read(&*warehouse, query(wide(512), &["id", "c511"])).await.unwrap(), [[Cell::Int(0), Cell::Int(511)]]);
    assert_eq!(code(warehouse.describe(&wide(513)).await), Code::LimitExceeded);

    // What fails only while rows are read: no row's content is repeated.
    for (text, wanted) in [
        ("select id, \"Email\"::int as n from marts.customers", Code::SqlError),
        ("select id, 1 / (id - 1) as n from marts.customers", Code::SqlError),
        ("select id, marts.shout() as n from marts.customers", Code::SqlError),
        ("select id, (select v from unnest(array[1, 2]) v) as n from marts.customers", Code::SqlError),
        ("select nextval('marts.s') as id, 1 as n", Code::TableNotFound),
    ] {
        assert_eq!(code(read(&*warehouse, query(sql(text), &["id", "n"])).await), wanted, "{text}");
    }
    let noted = query(sql("select id, marts.note() as n from marts.customers"), &["n"]);
    assert_eq!(read(&*warehouse, noted).await.unwrap(), [[Cell::Int(1)]]);
    server.exec("postgres", "CREATE SEQUENCE marts.s; GRANT ALL ON marts.s TO reader").await.unwrap();
    let writes = failure(read(&*warehouse, query(sql("select nextval('marts.s') as id"), &["id"])).await);
    assert!(writes.code == Code::SqlError && writes.message.contains("only reads"), "{writes}");

    assert_eq!(code(read(&*warehouse, query(sql("select 1 as id"), &["email"])).await), Code::ColumnNotFound);
    let filtered = |filter: &str| Query {
        filter: Some(filter.into()),
        ..query(sql("select id, plan from marts.customers -- all"), &["id"])
    };
    assert_eq!(read(&*warehouse, filtered("plan <> 'x' -- some")).await.unwrap().len(), 1);
    assert_eq!(read(&*warehouse, filtered("false")).await.unwrap().len(), 0);
    for (filter, wanted) in [
        ("true; drop table marts.customers", Code::SqlError),
        ("true) or (true", Code::SqlError),
        ("", Code::SqlError),
        ("plan", Code::SqlError),
        ("country = 'DE'", Code::ColumnNotFound),
    ] {
        let failure = failure(read(&*warehouse, filtered(filter)).await);
        assert_eq!(failure.code, wanted, "{filter}: {failure}");
        assert!(failure.message.contains("where"), "{filter}: {failure}");
    }
    let tables = model(ModelQuery::Table("marts.Customers".into()), "id");
    assert_eq!(warehouse.describe(&tables).await.unwrap().len(), 3);
    for (table, wanted) in [("marts.absent", Code::TableNotFound), ("marts.customers; select 1", Code::SqlError)] {
        assert_eq!(code(warehouse.describe(&model(ModelQuery::Table(table.into()), "id")).await), wanted);
    }
    assert_eq!(
        server.query("postgres", "SELECT count(*)::text FROM marts.customers").await.unwrap()[0][0].as_deref(),
        Some("1")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn names_may_hold_anything() {
    let server = PostgresServer::start().await.unwrap();
    server.role("a\"b'; --").await.unwrap_err();
    server.role("Größe user").await.unwrap();
    let long = "x".repeat(63);
    let names = ["id", "a\"b", "Ünï cödé", "select", "); drop table t; --", "{}", "$1", "_m", long.as_str()];
    let columns: Vec<String> = names.iter().map(|name| format!("\"{}\" int", name.replace('"', "\"\""))).collect();
    server
        .exec(
            "postgres",
            &format!(
                "CREATE TABLE \"odd.\"\"table\" ({}); INSERT INTO \"odd.\"\"table\" VALUES (1, 2, 3, 4, 5, 6, 7, 8, 9); \
                 GRANT SELECT ON \"odd.\"\"table\" TO \"Größe user\"",
                columns.join(", ")
            ),
        )
        .await
        .unwrap();
    let warehouse = open(&server.source("Größe user", "postgres"), &server, APPLICATION).await.unwrap();
    let model = model(ModelQuery::Table("public.\"odd.\"\"table\"".into()), "id");
    let described: Vec<String> =
        warehouse.describe(&model).await.unwrap().into_iter().map(|column| column.name).collect();
    assert_eq!(described, names);
    let reversed: Vec<&str> = names.iter().rev().copied().collect();
    let rows = read(&*warehouse, query(model, &reversed)).await.unwrap();
    assert_eq!(rows, [(1..=9).rev().map(Cell::Int).collect::<Vec<_>>()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_is_one_snapshot_in_bounded_batches_and_can_be_dropped() {
    let server = PostgresServer::start().await.unwrap();
    server.role("reader").await.unwrap();
    server
        .exec(
            "postgres",
            "CREATE TABLE t (id int, pad text); INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1, 50000) i; \
             GRANT SELECT ON t TO reader",
        )
        .await
        .unwrap();
    let name = "backflow/snapshot";
    let warehouse = open(&server.source("reader", "postgres"), &server, name).await.unwrap();

    // Rows that are written while the stream is open are not in it.
    let mut stream = warehouse.rows(query(sql("select * from t"), &["id", "pad"])).await.unwrap();
    let first = stream.next().await.unwrap().unwrap();
    server.exec("postgres", "DELETE FROM t WHERE id % 2 = 0; INSERT INTO t VALUES (0, 'late')").await.unwrap();
    let mut count = first.len();
    while let Some(batch) = stream.next().await {
        let batch = batch.unwrap();
        assert!(batch.len() <= 1000);
        count += batch.len();
    }
    assert_eq!(count, 50_000);
    assert!(server.active(name).await.unwrap().is_empty(), "the snapshot ends with the stream");
    drop(stream);

    // Wide rows make small batches: 1 MiB and one row.
    let wide = "select i as id, repeat('x', 300000) as pad from generate_series(1, 12) i";
    let mut stream = warehouse.rows(query(sql(wide), &["id", "pad"])).await.unwrap();
    let mut sizes = Vec::new();
    while let Some(batch) = stream.next().await {
        sizes.push(batch.unwrap().len());
    }
    assert_eq!(sizes, [4, 4, 4]);

    // Of a limit, no more than that is read; of nothing, nothing comes.
    let limited = Query { limit: Some(3), ..query(sql("select * from t"), &["id"]) };
    assert_eq!(read(&*warehouse, limited).await.unwrap().len(), 3);
    assert!(read(&*warehouse, query(sql("select * from t where false"), &["id"])).await.unwrap().is_empty());

    // A query that would compute for an hour before its first row, and one that is dropped in the middle.
    for text in ["select 1 as id from pg_sleep(3600)", "select i as id from generate_series(1, 1000000000) i"] {
        let stream = warehouse.rows(query(sql(text), &["id"])).await.unwrap();
        until("no query runs", async || {
            server.active(name).await.unwrap().iter().any(|query| query.starts_with("COPY"))
        })
        .await
        .unwrap();
        drop(stream);
        until("the query still runs", async || server.active(name).await.unwrap().is_empty()).await.unwrap();
    }

    // A process that is killed cannot cancel anything: the server notices.
    let killed = std::thread::spawn({
        let warehouse = Arc::clone(&warehouse);
        move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let stream =
                runtime.block_on(warehouse.rows(query(sql("select 1 as id from pg_sleep(3600)"), &["id"]))).unwrap();
            (runtime, stream)
        }
    });
    let (runtime, stream) = tokio::task::spawn_blocking(|| killed.join().unwrap()).await.unwrap();
    until("no query runs", async || !server.active(name).await.unwrap().is_empty()).await.unwrap();
    runtime.shutdown_background();
    drop(stream);
    until("the query still runs", async || server.active(name).await.unwrap().is_empty()).await.unwrap();

    // A query that an administrator ends.
    let mut stream = warehouse.rows(query(sql("select 1 as id from pg_sleep(3600)"), &["id"])).await.unwrap();
    until("no query runs", async || !server.active(name).await.unwrap().is_empty()).await.unwrap();
    let cancel = "SELECT pg_cancel_backend(pid)::text FROM pg_stat_activity WHERE application_name = 'backflow/snapshot' AND state = 'active'";
    server.query("postgres", cancel).await.unwrap();
    assert_eq!(code(stream.next().await.unwrap()), Code::WarehouseUnavailable);
    assert!(stream.next().await.is_none());

    let mut stream = warehouse.rows(query(sql("select 1 as id from pg_sleep(3600)"), &["id"])).await.unwrap();
    until("no query runs", async || !server.active(name).await.unwrap().is_empty()).await.unwrap();
    server.stop().unwrap();
    let broken = code(stream.next().await.unwrap());
    assert!(matches!(broken, Code::ConnectionFailed | Code::WarehouseUnavailable), "{broken}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_arrives_in_its_canonical_form() {
    let server = PostgresServer::start().await.unwrap();
    server.role("reader").await.unwrap();
    server
        .exec(
            "postgres",
            "CREATE EXTENSION hstore; CREATE EXTENSION citext; \
             CREATE TYPE mood AS ENUM ('sad', 'so so'); CREATE TYPE point3 AS (x int8, y numeric, \"the z\" text[], m mood); \
             CREATE TYPE host AS (name text, address inet); \
             CREATE DOMAIN cents AS int8; CREATE DOMAIN tags AS text[]; CREATE DOMAIN euros AS cents; \
             ALTER ROLE reader SET timezone = 'Asia/Kolkata'; ALTER ROLE reader SET datestyle = 'German'; \
             ALTER ROLE reader SET intervalstyle = 'sql_standard'; ALTER ROLE reader SET bytea_output = 'escape'; \
             ALTER ROLE reader SET standard_conforming_strings = off; ALTER ROLE reader SET extra_float_digits = 0",
        )
        .await
        .unwrap();
    let warehouse = open(&server.source("reader", "postgres"), &server, APPLICATION).await.unwrap();
    // Expression, type as described, kind of cell, JSON.
    let golden = include_str!("golden/postgres_types.txt");
    let mut failures = Vec::new();
    for line in golden.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let parts: Vec<&str> = line.split(" | ").collect();
        let [expression, kind, variant, json] = parts[..] else { panic!("not four parts: {line}") };
        let model = sql(&format!("select 1 as id, {expression} as v"));
        let described = warehouse.describe(&model).await;
        let (columns, rows) = match (described, read(&*warehouse, query(model, &["v"])).await) {
            (Ok(columns), Ok(rows)) => (columns, rows),
            (Err(failure), _) | (_, Err(failure)) => {
                failures.push(format!("{expression}: {failure}"));
                continue;
            }
        };
        let cell = &rows[0][0];
        let debug = format!("{cell:?}");
        let mut text = String::new();
        cell.write_json(&mut text);
        let found = [expression, columns[1].kind.as_str(), debug.split('(').next().unwrap_or_default(), text.as_str()]
            .join(" | ");
        if found != [expression, kind, variant, json].join(" | ") {
            failures.push(format!("wanted {line}\n found {found}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
