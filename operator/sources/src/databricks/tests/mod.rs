//! Scenarios of the API, each against a script of answers.

mod access;

use backflow_core::cell::Cell;
use backflow_core::code::Code;
use backflow_core::plan::{DatabricksCredential, ModelQuery};
use backflow_core::secret::SecretRef;
use futures::StreamExt as _;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::*;
use crate::rest::script::{Answer, Asked, Script};

const STATEMENTS: &str = "/api/2.0/sql/statements";

/// Every secret is its name.
struct Names;

impl Secrets for Names {
    fn read(&self, reference: &SecretRef) -> Result<SecretString, Failure> {
        Ok(format!("{}\n", reference.name).into())
    }
}

fn secret(name: &str) -> SecretRef {
    SecretRef { name: name.into(), key: "k".into() }
}

fn plan(endpoint: &str) -> Databricks {
    Databricks {
        host: "dbc-1.cloud.databricks.com".into(),
        warehouse_id: "0123456789abcdef".into(),
        catalog: Some("main".into()),
        schema: Some("marts".into()),
        credential: DatabricksCredential::AccessToken(secret("s3cr3t")),
        start_for_checks: false,
        endpoint: Some(endpoint.into()),
    }
}

fn client(tenant: Option<&str>) -> DatabricksCredential {
    DatabricksCredential::Client { id: "app-1".into(), secret: secret("s3cr3t"), tenant: tenant.map(Into::into) }
}

fn warehouse(state: &str) -> Answer {
    Answer::json(200, &json!({"id": "0123456789abcdef", "name": "Load", "state": state}))
}

fn pending() -> Answer {
    Answer::json(200, &json!({"statement_id": "01-a", "status": {"state": "PENDING"}}))
}

/// A result of so many parts, of which the first is here.
fn succeeded(columns: &[(&str, &str)], chunks: u64, rows: u64, first: &Value) -> Answer {
    let columns: Vec<Value> = columns
        .iter()
        .enumerate()
        .map(|(at, (name, kind))| json!({"name": name, "type_text": kind, "type_name": "X", "position": at}))
        .collect();
    let manifest = json!({
        "format": "JSON_ARRAY", "schema": {"column_count": columns.len(), "columns": columns},
        "total_chunk_count": chunks, "total_row_count": rows, "truncated": false,
    });
    Answer::json(
        200,
        &json!({"statement_id": "01-a", "status": {"state": "SUCCEEDED"}, "manifest": manifest, "result": first}),
    )
}

const COLUMNS: [(&str, &str); 2] = [("id", "BIGINT"), ("email", "STRING")];

fn described() -> Answer {
    succeeded(&COLUMNS, 0, 0, &json!({}))
}

fn failed(code: &str, state: &str, message: &str) -> Answer {
    let error = json!({"error_code": code, "message": message});
    Answer::json(
        200,
        &json!({"statement_id": "01-a", "status": {"state": "FAILED", "error": error, "sql_state": state}}),
    )
}

fn refused(status: u16, code: &str, message: &str) -> Answer {
    Answer::json(status, &json!({"error_code": code, "message": message, "details": []}))
}

fn model() -> ModelPlan {
    ModelPlan {
        name: "customers".into(),
        query: ModelQuery::Sql("select *\nfrom c".into()),
        primary_key: vec!["id".into()],
    }
}

async fn open(answers: impl IntoIterator<Item = Answer>) -> (Script, DatabricksWarehouse) {
    let script = Script::start(std::iter::once(warehouse("RUNNING")).chain(answers)).await;
    let plan = plan(&script.endpoint);
    let warehouse = DatabricksWarehouse::open(&plan, "_backflow", &Names, "backflow/run*/1").await.unwrap();
    (script, warehouse)
}

/// What is said when it cannot be opened.
async fn unopened(plan: impl FnOnce(&str) -> Databricks, answers: Vec<Answer>) -> (Script, Failure) {
    let script = Script::start(answers).await;
    let failure =
        DatabricksWarehouse::open(&plan(&script.endpoint), "_backflow", &Names, "x").await.err().expect("a failure");
    assert!(!failure.message.contains("s3cr3t"), "{failure}");
    (script, failure)
}

fn query(filter: Option<&str>) -> Query {
    Query { model: model(), columns: vec!["email".into(), "id".into()], filter: filter.map(Into::into), limit: None }
}

async fn read(warehouse: &DatabricksWarehouse) -> Result<Vec<Vec<Cell>>, Failure> {
    let mut rows = warehouse.rows(query(Some("id > 0"))).await?;
    let mut all = Vec::new();
    while let Some(batch) = rows.next().await {
        all.extend(batch?);
    }
    Ok(all)
}

fn row(email: Option<&str>, id: i64) -> Vec<Cell> {
    vec![email.map_or(Cell::Null, |email| Cell::Text(email.into())), Cell::Int(id)]
}

fn paths(asked: &[Asked]) -> Vec<String> {
    asked.iter().map(|asked| format!("{} {}", asked.method, asked.path)).collect()
}

/// A part that is behind a link.
fn linked(number: u64, rows: u64, link: &str, expiration: &str) -> Value {
    json!({"external_links": [{
        "chunk_index": number, "row_count": rows, "external_link": link, "expiration": expiration,
        "http_headers": {"x-key": "abc"},
    }]})
}

#[tokio::test]
async fn a_statement_says_where_and_how() {
    let (script, warehouse) = open([pending(), described()]).await;
    assert_eq!(warehouse.server().await.unwrap(), "Databricks SQL");
    warehouse.describe(&model()).await.unwrap();
    let asked = script.asked();
    let expected = [
        "GET /api/2.0/sql/warehouses/0123456789abcdef".to_owned(),
        format!("POST {STATEMENTS}"),
        format!("GET {STATEMENTS}/01-a"),
    ];
    assert_eq!(paths(&asked), expected);
    let expected = json!({
        "statement": "SELECT _m.* FROM (\nselect *\nfrom c\n) AS _m LIMIT 0\n/* backflow/run/1 */",
        "warehouse_id": "0123456789abcdef", "catalog": "main", "schema": "marts",
        "disposition": "INLINE", "format": "JSON_ARRAY", "wait_timeout": "0s",
    });
    assert_eq!(asked[1].body, expected);
    assert_eq!(asked[1].header("authorization"), Some("Bearer s3cr3t"));
}

#[tokio::test]
async fn rows_arrive_by_links_that_expire_break_and_bring_no_credentials() {
    let script = Script::start([]).await;
    let bucket = |name: &str| format!("{}/bucket/{name}?sig=1", script.endpoint);
    let late = "2999-01-01T00:00:00Z";
    let second = Answer::text(200, r#"[["b","2"],[null,"3"]]"#);
    script.then([
        warehouse("RUNNING"),
        described(),
        pending(),
        // The first link is too old before it is used.
        succeeded(&COLUMNS, 2, 4, &linked(0, 1, &bucket("old"), "2020-01-01T00:00:00Z")),
        Answer::json(200, &linked(0, 1, &bucket("0"), late)),
        Answer::text(200, r#"[["a","1"]]"#).gzip(),
        Answer::json(200, &linked(1, 3, &bucket("1"), late)),
        Answer::text(403, "<Error><Code>AccessDenied</Code></Error>"),
        Answer::json(200, &linked(1, 3, &bucket("1b"), late)),
        // A row less than was told.
        second,
        Answer::json(200, &linked(1, 3, &bucket("1c"), late)),
        Answer::text(503, ""),
        Answer::text(200, r#"[["b","2"],[null,"3"],["é","5"]]"#).cut(30),
        Answer::json(200, &linked(1, 3, &bucket("1d"), late)),
        Answer::text(200, r#"[["b","2"],[null,"3"],["é","5"]]"#),
    ]);
    let warehouse =
        DatabricksWarehouse::open(&plan(&script.endpoint), "_backflow", &Names, "backflow/run-1").await.unwrap();
    let rows = read(&warehouse).await.unwrap();
    assert_eq!(rows, [row(Some("a"), 1), row(Some("b"), 2), row(None, 3), row(Some("é"), 5)]);
    assert_eq!(script.left(), 0);
    let asked = script.asked();
    assert_eq!(asked[2].body["disposition"], "EXTERNAL_LINKS");
    let links: Vec<&Asked> = asked.iter().filter(|asked| asked.path.starts_with("/bucket")).collect();
    assert_eq!(links.len(), 6);
    for link in links {
        assert_eq!((link.header("authorization"), link.header("x-key")), (None, Some("abc")), "{}", link.path);
    }
    assert_eq!(asked[4].path, format!("{STATEMENTS}/01-a/result/chunks/0"));
}

#[tokio::test]
async fn rows_arrive_in_the_answers_where_links_are_forbidden() {
    let chunk = json!({"chunk_index": 1, "row_count": 1, "data_array": [[null, "2"]]});
    let first = json!({"chunk_index": 0, "row_count": 1, "data_array": [["a", "1"]], "next_chunk_index": 1});
    let answers = [
        described(),
        refused(400, "BAD_REQUEST", "EXTERNAL_LINKS disposition is disabled for this workspace"),
        succeeded(&COLUMNS, 2, 2, &first),
        Answer::json(200, &chunk).cut(20),
        Answer::json(200, &chunk),
    ];
    let (script, warehouse) = open(answers).await;
    assert_eq!(read(&warehouse).await.unwrap(), [row(Some("a"), 1), row(None, 2)]);
    assert_eq!((script.left(), &script.asked()[3].body["disposition"]), (0, &json!("INLINE")));

    let long = failed("BAD_REQUEST", "54000", "[INLINE] Inline byte limit exceeded. s3cr3t");
    let refused = refused(403, "PERMISSION_DENIED", "External links are not allowed");
    let (_script, warehouse) = open([described(), refused, long]).await;
    let failure = read(&warehouse).await.unwrap_err();
    assert_eq!(failure.code, Code::LimitExceeded);
    assert!(failure.message.contains("25 MiB") && !failure.message.contains("s3cr3t"), "{failure}");
}

#[tokio::test]
async fn a_result_that_is_not_whole_is_none() {
    let cut = Answer::json(
        200,
        &json!({"statement_id": "01-a", "status": {"state": "SUCCEEDED"}, "manifest": {"truncated": true}, "result": {}}),
    );
    let (_script, warehouse) = open([described(), cut]).await;
    assert_eq!(read(&warehouse).await.unwrap_err().code, Code::LimitExceeded);

    let first = json!({"chunk_index": 0, "row_count": 1, "data_array": [["a", "1"]]});
    let (_script, warehouse) = open([described(), succeeded(&COLUMNS, 1, 2, &first)]).await;
    assert_eq!(read(&warehouse).await.unwrap_err().code, Code::ConnectionFailed, "a row is missing");

    let closed = Answer::json(200, &json!({"statement_id": "01-a", "status": {"state": "CLOSED"}}));
    let (_script, warehouse) = open([described(), pending(), closed]).await;
    assert_eq!(read(&warehouse).await.unwrap_err().code, Code::WarehouseUnavailable);

    let elsewhere = linked(0, 1, "http://10.0.0.1/rows", "2999-01-01T00:00:00Z");
    let again = vec![Answer::json(200, &elsewhere); 5];
    let (_script, warehouse) =
        open([described(), succeeded(&COLUMNS, 1, 1, &elsewhere)].into_iter().chain(again)).await;
    assert_eq!(read(&warehouse).await.unwrap_err().code, Code::ConnectionFailed, "rows travel encrypted");
}

#[tokio::test]
async fn errors_of_the_users_sql_name_his_own_lines_and_words() {
    let bad = "BAD_REQUEST";
    let cases = [
        (
            failed(
                bad,
                "42P01",
                "[TABLE_OR_VIEW_NOT_FOUND] The table or view `main`.`marts`.`c` cannot be found. SQLSTATE: 42P01; line 3 pos 5",
            ),
            Code::TableNotFound,
            "main.marts.c does not exist",
        ),
        (
            failed(bad, "42704", "[NO_SUCH_CATALOG_EXCEPTION] Catalog 'nope' was not found."),
            Code::TableNotFound,
            "catalog nope does not exist",
        ),
        (
            failed(
                bad,
                "42703",
                "[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column with name `emial` cannot be resolved. (line 2, pos 7) 's3cr3t'",
            ),
            Code::ColumnNotFound,
            "column emial does not exist (line 1)",
        ),
        (
            failed(
                bad,
                "42601",
                "[PARSE_SYNTAX_ERROR] Syntax error at or near 's3cr3t'. SQLSTATE: 42601 (line 3, pos 0)",
            ),
            Code::SqlError,
            "syntax error (line 2)",
        ),
        (
            failed(
                bad,
                "42501",
                "[INSUFFICIENT_PERMISSIONS] Insufficient privileges: User does not have USE SCHEMA on Schema 'main.marts'.",
            ),
            Code::PermissionDenied,
            "GRANT USE SCHEMA ON SCHEMA `main`.`marts` TO",
        ),
        (
            failed(bad, "22018", "[CAST_INVALID_INPUT] The value 's3cr3t' cannot be cast"),
            Code::SqlError,
            "the SQL failed with CAST_INVALID_INPUT",
        ),
        (failed(bad, "XX", "[s3cr3t] s3cr3t"), Code::SqlError, "the SQL failed with no class"),
        (failed("RESOURCE_EXHAUSTED", "", "s3cr3t"), Code::WarehouseUnavailable, "quota"),
        (failed("TEMPORARILY_UNAVAILABLE", "", "s3cr3t"), Code::WarehouseUnavailable, "tried again"),
        (
            Answer::json(200, &json!({"statement_id": "01-a", "status": {"state": "CANCELED"}})),
            Code::WarehouseUnavailable,
            "somebody cancelled",
        ),
        (
            refused(400, "INVALID_PARAMETER_VALUE", "statement is larger than 16 MiB s3cr3t"),
            Code::LimitExceeded,
            "16 MiB",
        ),
        (refused(403, "PERMISSION_DENIED", "s3cr3t"), Code::PermissionDenied, "CAN USE"),
        (Answer::text(404, "<html>s3cr3t</html>"), Code::ConnectionFailed, "something else than its API"),
    ];
    for (answer, code, said) in cases {
        let (_script, warehouse) = open([answer]).await;
        let failure = warehouse.describe(&model()).await.unwrap_err();
        assert_eq!(failure.code, code, "{failure}");
        assert!(failure.message.contains(said), "no {said} in: {failure}");
        assert!(!failure.message.contains("s3cr3t"), "{failure}");
    }
}

#[tokio::test]
async fn a_read_that_nobody_waits_for_is_cancelled() {
    let answers = std::iter::once(described()).chain(vec![pending(); 3]).chain([Answer::json(200, &json!({}))]);
    let (script, warehouse) = open(answers).await;
    drop(warehouse.rows(query(None)).await.unwrap());
    warehouse.idle().await;
    let cancel = format!("POST {STATEMENTS}/01-a/cancel");
    assert_eq!(paths(&script.asked()).pop(), Some(cancel));
}

#[tokio::test]
async fn a_statement_that_another_writer_was_in_the_way_of_is_given_again() {
    let conflict = |code: &str| failed(code, "", "[DELTA_CONCURRENT_DELETE_READ.NO_PARTITION] s3cr3t");
    let version = succeeded(&[("v", "INT")], 1, 1, &json!({"chunk_index": 0, "row_count": 1, "data_array": [["1"]]}));
    let (script, warehouse) = open([conflict("BAD_REQUEST"), conflict("ABORTED"), version]).await;
    warehouse.state().prepare().await.unwrap();
    assert_eq!(script.left(), 0);
}
