//! Scenarios of the SQL API, each against a script of answers.

use backflow_core::cell::Cell;
use backflow_core::plan::{ModelQuery, SnowflakeCredential};
use backflow_core::secret::SecretRef;
use futures::StreamExt as _;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::*;
use crate::rest::script::{Answer, Asked, Script};

/// Every secret is this token.
struct Token;

impl Secrets for Token {
    fn read(&self, _: &SecretRef) -> Result<SecretString, Failure> {
        Ok("s3cr3t-token".into())
    }
}

fn plan(endpoint: &str) -> Snowflake {
    let token = SecretRef { name: "snowflake".into(), key: "token".into() };
    Snowflake {
        account: "myorg-my_account".into(),
        user: "BACKFLOW".into(),
        warehouse: "LOADING".into(),
        database: "ANALYTICS".into(),
        schema: None,
        role: Some("REPORTER".into()),
        credential: SnowflakeCredential::AccessToken(token),
        endpoint: Some(endpoint.into()),
    }
}

const HANDLE: &str = "01b2-c3d4";

fn result(columns: &[(&str, &str)], pages: &[u64], rows: Value) -> Answer {
    let columns: Vec<Value> =
        columns.iter().map(|(name, kind)| json!({"name": name, "type": kind, "scale": 0})).collect();
    let pages: Vec<Value> = pages.iter().map(|rows| json!({"rowCount": rows, "uncompressedSize": 1})).collect();
    Answer::json(
        200,
        &json!({
            "resultSetMetaData": {"numRows": 1, "format": "jsonv2", "rowType": columns, "partitionInfo": pages},
            "data": rows, "code": "090001", "statementHandle": HANDLE, "sqlState": "00000",
        }),
    )
}

fn session() -> Answer {
    let text = |name| (name, "TEXT");
    result(&["V", "R", "W", "D"].map(text), &[1], json!([["9.30.1", "REPORTER", "LOADING", "ANALYTICS"]]))
}

fn pending() -> Answer {
    Answer::json(202, &json!({"code": "333334", "statementHandle": HANDLE, "message": "in progress"}))
}

fn sql_error(code: &str, state: &str, message: &str) -> Answer {
    Answer::json(422, &json!({"code": code, "sqlState": state, "message": message, "statementHandle": HANDLE}))
}

fn model() -> ModelPlan {
    ModelPlan {
        name: "customers".into(),
        query: ModelQuery::Sql("select *\nfrom c".into()),
        primary_key: vec!["ID".into()],
    }
}

fn described() -> Answer {
    result(&[("ID", "FIXED"), ("EMAIL", "TEXT")], &[0], json!([]))
}

/// Opens a warehouse whose server answers the session, then these.
async fn open(answers: impl IntoIterator<Item = Answer>) -> (Script, SnowflakeWarehouse) {
    let script = Script::start(std::iter::once(session()).chain(answers)).await;
    let warehouse = connect(&script, DiffEngine::Streaming).await.unwrap();
    (script, warehouse)
}

async fn connect(script: &Script, diff: DiffEngine) -> Result<SnowflakeWarehouse, Failure> {
    SnowflakeWarehouse::open(&plan(&script.endpoint), "_BACKFLOW", diff, &Token, "backflow/run-1").await
}

async fn read(warehouse: &SnowflakeWarehouse, filter: Option<&str>) -> Result<Vec<Vec<Cell>>, Failure> {
    let query = Query {
        model: model(),
        columns: vec!["EMAIL".into(), "ID".into()],
        filter: filter.map(Into::into),
        limit: None,
    };
    let mut rows = warehouse.rows(query).await?;
    let mut all = Vec::new();
    while let Some(batch) = rows.next().await {
        all.extend(batch?);
    }
    Ok(all)
}

fn row(email: Option<&str>, id: i64) -> Vec<Cell> {
    vec![email.map_or(Cell::Null, |email| Cell::Text(email.into())), Cell::Int(id)]
}

/// What was asked for, without the ids of requests.
fn paths(asked: &[Asked]) -> Vec<String> {
    let short = |asked: &Asked| {
        let path = asked.path.split("requestId=").next().unwrap_or_default();
        let rest = asked.path.split("requestId=").nth(1).and_then(|rest| rest.get(36..)).unwrap_or_default();
        format!("{} {path}{rest}", asked.method)
    };
    asked.iter().map(short).collect()
}

#[tokio::test]
async fn a_statement_says_who_where_and_how() {
    let (script, warehouse) = open([described()]).await;
    assert_eq!(warehouse.server().await.unwrap(), "Snowflake 9.30.1");
    let columns = warehouse.describe(&model()).await.unwrap();
    let named: Vec<(&str, &str)> = columns.iter().map(|column| (column.name.as_str(), column.kind.as_str())).collect();
    assert_eq!(named, [("ID", "number"), ("EMAIL", "text")]);
    let asked = script.asked();
    assert_eq!(paths(&asked), ["POST /api/v2/statements?", "POST /api/v2/statements?&async=true"]);
    assert_eq!(asked[1].header("authorization"), Some("Bearer s3cr3t-token"));
    assert_eq!(asked[1].header("x-snowflake-authorization-token-type"), Some("PROGRAMMATIC_ACCESS_TOKEN"));
    let body = json!({
        "statement": "SELECT _m.* FROM (\nselect *\nfrom c\n) AS _m LIMIT 0", "timeout": 21600, "database": "ANALYTICS",
        "warehouse": "LOADING", "role": "REPORTER", "parameters": {"timezone": "UTC", "query_tag": "backflow/run-1"},
    });
    assert_eq!(asked[1].body, body);
}

#[tokio::test]
async fn rows_arrive_over_pages_pending_answers_and_breaks() {
    let page = |rows: Value| Answer::json(200, &json!({"data": rows}));
    let second = page(json!([["b", "2"], [null, "3"], ["d", "4"]]));
    let answers = [
        pending(),
        described(),
        pending(),
        pending(),
        result(&[("A", "TEXT"), ("B", "FIXED")], &[1, 3, 1], json!([["a", "1"]])),
        second.clone().cut(30),
        Answer::text(503, ""),
        second.gzip(),
        page(json!([["é", "5"]])).gzip(),
    ];
    let (script, warehouse) = open(answers).await;
    let rows = read(&warehouse, Some("id > 0")).await.unwrap();
    assert_eq!(rows, [row(Some("a"), 1), row(Some("b"), 2), row(None, 3), row(Some("d"), 4), row(Some("é"), 5)]);
    assert_eq!(script.left(), 0);
    let asked = script.asked();
    let status = format!("GET /api/v2/statements/{HANDLE}");
    let expected: [&str; 10] = [
        "POST /api/v2/statements?",
        "POST /api/v2/statements?&async=true",
        &status,
        "POST /api/v2/statements?&async=true",
        &status,
        &status,
        &format!("{status}?partition=1"),
        &format!("{status}?partition=1"),
        &format!("{status}?partition=1"),
        &format!("{status}?partition=2"),
    ];
    assert_eq!(paths(&asked), expected);
    let statement = "SELECT _m.\"EMAIL\", _m.\"ID\" FROM (\nselect *\nfrom c\n) AS _m WHERE (\nid > 0\n)";
    assert_eq!(asked[3].body["statement"], statement);
}

#[tokio::test]
async fn a_page_with_other_rows_than_announced_is_not_taken() {
    let short = || Answer::json(200, &json!({"data": [["b", "2"]]}));
    let answers = [
        described(),
        result(&[("A", "TEXT"), ("B", "FIXED")], &[1, 2], json!([["a", "1"]])),
        short(),
        short(),
        short(),
        short(),
        short(),
        short(),
        short(),
    ];
    let (_script, warehouse) = open(answers).await;
    assert_eq!(read(&warehouse, None).await.unwrap_err().code, Code::ConnectionFailed);
}

#[tokio::test]
async fn a_submission_whose_answer_is_lost_is_sent_again_under_its_id() {
    let (script, warehouse) = open([described().cut(20), described()]).await;
    warehouse.describe(&model()).await.unwrap();
    let asked = script.asked();
    assert_eq!(format!("{}&retry=true", asked[1].path), asked[2].path);
}

#[tokio::test]
async fn errors_of_the_users_sql_name_his_own_lines_and_words() {
    let cases = [
        (
            "002003",
            "42S02",
            "SQL compilation error:\nObject 'ANALYTICS.PUBLIC.C' does not exist or not authorized.",
            Code::TableNotFound,
            "table or view ANALYTICS.PUBLIC.C does not exist, or role \"REPORTER\" may not read it",
        ),
        (
            "000904",
            "42000",
            "SQL compilation error: error line 2 at position 7\ninvalid identifier 'EMIAL'",
            Code::ColumnNotFound,
            "column EMIAL does not exist (line 1)",
        ),
        (
            "001003",
            "42000",
            "SQL compilation error:\nsyntax error line 3 at position 5 unexpected 's3cr3t'.",
            Code::SqlError,
            "syntax error",
        ),
        (
            "003001",
            "42501",
            "Insufficient privileges to operate on table 's3cr3t'",
            Code::PermissionDenied,
            "GRANT SELECT",
        ),
        (
            "000606",
            "57P03",
            "No active warehouse selected in the current session.",
            Code::PermissionDenied,
            "GRANT USAGE ON WAREHOUSE \"LOADING\"",
        ),
        (
            "090073",
            "57014",
            "Warehouse 'LOADING' cannot be resumed because resource monitor 'M' has exceeded its quota.",
            Code::WarehouseUnavailable,
            "quota",
        ),
        ("100038", "22018", "Numeric value 's3cr3t' is not recognized", Code::SqlError, "TRY_CAST"),
        (
            "000008",
            "0A000",
            "Actual statement count 2 did not match the desired statement count 1.",
            Code::MultipleStatements,
            "exactly one",
        ),
        ("999999", "XX000", "s3cr3t", Code::SqlError, "error 999999"),
    ];
    for (number, state, message, code, said) in cases {
        let (_script, warehouse) = open([sql_error(number, state, message)]).await;
        let failure = warehouse.describe(&model()).await.unwrap_err();
        assert_eq!(failure.code, code, "{number}");
        assert!(failure.message.contains(said), "{failure}");
        assert!(!failure.message.contains("s3cr3t"), "{failure}");
    }
}

#[tokio::test]
async fn what_the_service_refuses_is_told_with_its_cure() {
    let refused = |status, number: &str| Answer::json(status, &json!({"code": number, "message": "s3cr3t"}));
    let missing = |place: usize| {
        let mut row = json!(["9.30.1", "REPORTER", "LOADING", "ANALYTICS"]);
        row[place] = Value::Null;
        let text = |name| (name, "TEXT");
        result(&["V", "R", "W", "D"].map(text), &[1], json!([row]))
    };
    let cases = [
        (
            vec![refused(401, "390144"), refused(401, "390144")],
            Code::AuthenticationFailed,
            "PROGRAMMATIC ACCESS TOKENS FOR USER \"BACKFLOW\"",
        ),
        (vec![refused(401, "390318"), refused(401, "390318")], Code::AuthenticationFailed, "has expired"),
        (vec![refused(403, "390422")], Code::PermissionDenied, "network policy"),
        (vec![refused(403, "390189")], Code::PermissionDenied, "GRANT ROLE \"REPORTER\" TO USER \"BACKFLOW\""),
        (vec![Answer::text(404, "<html>s3cr3t</html>")], Code::ConnectionFailed, "whether a proxy answers"),
        (vec![Answer::text(200, "<!doctype html>")], Code::ConnectionFailed, "whether a proxy answers"),
        (vec![Answer::text(302, "").with("location", "http://example.com/")], Code::ConnectionFailed, "HTTP 302"),
        (vec![refused(400, "000001")], Code::ConnectionFailed, "HTTP 400"),
        (vec![missing(1)], Code::PermissionDenied, "set snowflake.role"),
        (vec![missing(2)], Code::PermissionDenied, "GRANT USAGE ON WAREHOUSE \"LOADING\" TO ROLE \"REPORTER\""),
        (vec![missing(3)], Code::DatabaseNotFound, "GRANT USAGE ON DATABASE \"ANALYTICS\" TO ROLE \"REPORTER\""),
    ];
    for (answers, code, said) in cases {
        let script = Script::start(answers).await;
        let failure = connect(&script, DiffEngine::Streaming).await.err().unwrap();
        assert_eq!(failure.code, code, "{failure}");
        assert!(failure.message.contains(said) && !failure.message.contains("s3cr3t"), "{failure}");
        assert_eq!(script.left(), 0, "{failure}");
    }
}

#[tokio::test]
async fn a_read_that_nobody_waits_for_is_cancelled() {
    let cancelled = Answer::json(200, &json!({"statementHandle": HANDLE, "message": "successfully canceled"}));
    let running: Vec<Answer> = std::iter::repeat_with(pending).take(3).collect();
    let answers = std::iter::once(described()).chain(running).chain([cancelled]);
    let (script, warehouse) = open(answers).await;
    let query = Query { model: model(), columns: vec!["ID".into()], filter: None, limit: None };
    let rows = warehouse.rows(query).await.unwrap();
    drop(rows);
    warehouse.idle().await;
    let asked = script.asked();
    let last = paths(&asked).pop();
    assert_eq!(last, Some(format!("POST /api/v2/statements/{HANDLE}/cancel")));
}

#[tokio::test]
async fn columns_that_are_not_there_or_not_read_are_named() {
    let (_script, warehouse) = open([described()]).await;
    let query = Query { model: model(), columns: vec!["email".into()], filter: None, limit: None };
    let failure = warehouse.rows(query).await.err().unwrap();
    assert_eq!(failure.code, Code::ColumnNotFound);
    let (_script, warehouse) =
        open([result(&[("ID", "FIXED"), ("EMAIL", "INTERVAL_DAY_TIME")], &[0], json!([]))]).await;
    let failure = read(&warehouse, None).await.unwrap_err();
    assert!(failure.message.contains("column \"EMAIL\" has the type interval_day_time"), "{failure}");
    let (_script, warehouse) = open([result(&[("id", "FIXED")], &[0], json!([]))]).await;
    let failure = warehouse.describe(&model()).await.unwrap_err();
    assert_eq!(failure.code, Code::PrimaryKeyMissing);
}

fn grants(rows: Value) -> Answer {
    let pages = [rows.as_array().unwrap().len() as u64];
    result(
        &[("created_on", "TIMESTAMP_LTZ"), ("privilege", "TEXT"), ("granted_on", "TEXT"), ("name", "TEXT")],
        &pages,
        rows,
    )
}

#[tokio::test]
async fn a_check_says_which_grant_is_missing() {
    let no_schema = || {
        sql_error("002043", "02000", "SQL compilation error:\nObject does not exist, or operation cannot be performed.")
    };
    let no_table = || result(&[("created_on", "TIMESTAMP_LTZ"), ("name", "TEXT")], &[0], json!([]));
    let role = |name: &str| json!(["1", "USAGE", "ROLE", name]);
    let cases = [
        (vec![no_schema(), grants(json!([["1", "CREATE SCHEMA", "DATABASE", "ANALYTICS"]]))], None),
        (
            vec![
                no_schema(),
                grants(json!([role("PARENT")])),
                grants(json!([["1", "OWNERSHIP", "DATABASE", "ANALYTICS"], role("REPORTER")])),
            ],
            None,
        ),
        (
            vec![no_schema(), grants(json!([["1", "CREATE SCHEMA", "DATABASE", "OTHER"]]))],
            Some((Code::StateSchemaMissing, "run: CREATE SCHEMA \"ANALYTICS\".\"_BACKFLOW\"")),
        ),
        (vec![no_table(), grants(json!([["1", "CREATE TABLE", "SCHEMA", "ANALYTICS._BACKFLOW"]]))], None),
        (
            vec![no_table(), grants(json!([["1", "USAGE", "SCHEMA", "ANALYTICS._BACKFLOW"]]))],
            Some((Code::PermissionDenied, "GRANT USAGE, CREATE TABLE ON SCHEMA")),
        ),
        (vec![no_table(), sql_error("003001", "42501", "no")], None),
    ];
    for (answers, expected) in cases {
        let (script, warehouse) = open(answers).await;
        let checked = warehouse.check().await;
        assert_eq!(script.left(), 0);
        match (checked, expected) {
            (Ok(server), None) => assert_eq!(server, "Snowflake 9.30.1"),
            (Err(failure), Some((code, said))) => {
                assert_eq!(failure.code, code);
                assert!(failure.message.contains(said), "{failure}");
            }
            (checked, expected) => panic!("{checked:?}, not {expected:?}"),
        }
    }
}

#[tokio::test]
async fn a_check_of_tables_that_are_there_has_their_use_compiled() {
    let tables = result(&[("created_on", "TIMESTAMP_LTZ"), ("name", "TEXT")], &[1], json!([["1", "TURNS"]]));
    let compiled = || result(&[("content", "TEXT")], &[1], json!([["GlobalStats: …"]]));
    let denied = sql_error("003001", "42501", "SQL access control error");
    let (script, warehouse) = open([tables, compiled(), compiled(), denied]).await;
    let failure = warehouse.check().await.unwrap_err();
    assert_eq!(failure.code, Code::PermissionDenied);
    assert!(failure.message.contains("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA"), "{failure}");
    let explained = script
        .asked()
        .iter()
        .skip(2)
        .all(|asked| asked.body["statement"].as_str().unwrap().starts_with("EXPLAIN USING TEXT "));
    assert!(explained, "nothing is run");
}

#[tokio::test]
async fn a_check_of_pushdown_looks_whether_tables_may_be_made() {
    let tables = result(&[("created_on", "TIMESTAMP_LTZ"), ("name", "TEXT")], &[1], json!([["1", "TURNS"]]));
    let compiled = std::iter::repeat_with(|| result(&[("content", "TEXT")], &[1], json!([["GlobalStats: …"]])));
    for (privilege, may) in [("CREATE TABLE", true), ("USAGE", false)] {
        let last = grants(json!([["1", privilege, "SCHEMA", "ANALYTICS._BACKFLOW"]]));
        let answers = [session(), tables.clone()].into_iter().chain(compiled.take(4)).chain([last]);
        let script = Script::start(answers).await;
        let checked = connect(&script, DiffEngine::Pushdown).await.unwrap().check().await;
        assert_eq!((checked.is_ok(), script.left()), (may, 0), "{checked:?}");
    }
}
