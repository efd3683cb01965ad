//! Scenarios of the HTTP interface, each against a script of answers.

use backflow_core::cell::Cell;
use backflow_core::code::Code;
use backflow_core::plan::{ModelQuery, Tls, TlsMode};
use backflow_core::secret::SecretRef;
use futures::StreamExt as _;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::*;
use crate::rest::script::{Answer, Asked, Script};

/// Every secret is this password.
struct Password;

impl Secrets for Password {
    fn read(&self, _: &SecretRef) -> Result<SecretString, Failure> {
        Ok("s3cr3t".into())
    }
}

fn plan(script: &Script) -> Server {
    let port = script.endpoint.rsplit(':').next().unwrap().parse().unwrap();
    Server {
        host: "127.0.0.1".into(),
        port,
        database: "shop".into(),
        user: "backflow".into(),
        password: Some(SecretRef { name: "clickhouse".into(), key: "password".into() }),
        tls: Tls { mode: TlsMode::Disable, ..Tls::default() },
    }
}

fn document(columns: &[(&str, &str)], rows: Value) -> Value {
    let meta: Vec<Value> = columns.iter().map(|(name, kind)| json!({"name": name, "type": kind})).collect();
    json!({"meta": meta, "data": rows, "rows": rows.as_array().unwrap().len(), "statistics": {"elapsed": 0.001}})
}

fn result(columns: &[(&str, &str)], rows: Value) -> Answer {
    Answer::json(200, &document(columns, rows))
}

fn version() -> Answer {
    result(&[("version()", "String")], json!([["26.9.1.1"]]))
}

fn described() -> Answer {
    result(&[("id", "UInt64"), ("email", "Nullable(String)")], json!([]))
}

fn rows(rows: Value) -> Answer {
    result(&[("email", "Nullable(String)"), ("id", "UInt64")], rows)
}

fn exception(status: u16, code: u32, message: &str) -> Answer {
    let text = format!("Code: {code}. DB::Exception: {message} (NAME) (version 26.9.1.1 (official build))\n");
    Answer::text(status, text).with("x-clickhouse-exception-code", &code.to_string())
}

fn model() -> ModelPlan {
    let query = ModelQuery::Sql("select *\nfrom shop.c".into());
    ModelPlan { name: "customers".into(), query, primary_key: vec!["id".into()] }
}

async fn open(answers: impl IntoIterator<Item = Answer>) -> (Script, ClickHouseWarehouse) {
    let script = Script::start(std::iter::once(version()).chain(answers)).await;
    let opened = ClickHouseWarehouse::open(&plan(&script), "_backflow", &Password, "backflow/run-1").await;
    (script, opened.unwrap())
}

async fn read(warehouse: &ClickHouseWarehouse, filter: Option<&str>) -> Result<Vec<Vec<Cell>>, Failure> {
    let columns = vec!["email".into(), "id".into()];
    let query = Query { model: model(), columns, filter: filter.map(Into::into), limit: None };
    let mut rows = warehouse.rows(query).await?;
    let mut all = Vec::new();
    while let Some(batch) = rows.next().await {
        all.extend(batch?);
    }
    Ok(all)
}

fn parameter<'a>(asked: &'a Asked, name: &str) -> Option<&'a str> {
    let (_, query) = asked.path.split_once('?')?;
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

#[tokio::test]
async fn a_read_says_who_where_and_how_and_changes_nothing() {
    let answers = [described(), rows(json!([["a", "1"], [null, "18446744073709551615"], ["é", 3]]))];
    let (script, warehouse) = open(answers).await;
    let found = read(&warehouse, Some("id > 0")).await.unwrap();
    let text = |text: &str| Cell::Text(text.into());
    let expected = [
        vec![text("a"), Cell::Int(1)],
        vec![Cell::Null, Cell::Decimal("18446744073709551615".into())],
        vec![text("é"), Cell::Int(3)],
    ];
    assert_eq!(found, expected);
    warehouse.idle().await;
    let asked = script.asked();
    let ids: std::collections::BTreeSet<&str> =
        asked.iter().map(|asked| parameter(asked, "query_id").unwrap()).collect();
    assert_eq!(
        (script.left(), asked.len(), ids.len()),
        (0, 3, 3),
        "each statement has a name of its own, and none is killed"
    );
    for asked in &asked {
        assert_eq!((asked.method.as_str(), asked.header("x-clickhouse-user")), ("POST", Some("backflow")));
        assert_eq!(asked.header("x-clickhouse-key"), Some("s3cr3t"));
        assert_eq!(asked.header("authorization"), None);
        for (name, value) in [
            ("readonly", "2"),
            ("database", "shop"),
            ("log_comment", "backflow%2Frun-1"),
            ("session_timezone", "UTC"),
            ("max_execution_time", "21600"),
            ("cancel_http_readonly_queries_on_client_close", "1"),
        ] {
            assert_eq!(parameter(asked, name), Some(value), "{name}");
        }
        assert!(!asked.path.contains("s3cr3t"));
    }
}

#[tokio::test]
async fn half_an_answer_is_none_and_what_failed_within_it_is_told() {
    let whole =
        document(&[("email", "Nullable(String)"), ("id", "UInt64")], json!([["a", "1"], ["b", "2"]])).to_string();
    let memory =
        "Code: 241. DB::Exception: (total) memory limit exceeded: s3cr3t (MEMORY_LIMIT_EXCEEDED) (version 26.9.1.1)\n";
    let text =
        "Code: 6. DB::Exception: Cannot parse string 's3cr3t' as UInt32 (CANNOT_PARSE_TEXT) (version 24.3.1.1)\n";
    let between = whole.find(",[\"b\"").unwrap() + 1;
    let within = whole.find("\"b\"").unwrap() + 2;
    let mut member: Value = serde_json::from_str(&whole).unwrap();
    member["exception"] = memory.into();
    let mut short: Value = serde_json::from_str(&whole).unwrap();
    short["rows"] = 3.into();
    let tagged = format!("\r\n__exception__\r\nabcd\r\n{memory}{} abcd\r\n__exception__\r\n", memory.len());
    let cases = [
        ("a member", Answer::json(200, &member), Code::WarehouseUnavailable),
        ("text between rows", Answer::text(200, format!("{}{text}", &whole[..between])), Code::SqlError),
        ("text within a row", Answer::text(200, format!("{}{text}", &whole[..within])), Code::SqlError),
        ("marked", Answer::text(200, format!("{}{tagged}", &whole[..between])), Code::WarehouseUnavailable),
        ("too few rows", Answer::json(200, &short), Code::ConnectionFailed),
        ("an end between rows", Answer::text(200, &whole[..between]), Code::ConnectionFailed),
        (
            "an end before the count",
            Answer::text(200, whole.split(",\"rows\"").next().unwrap()),
            Code::ConnectionFailed,
        ),
        ("a break", Answer::text(200, whole.as_str()).cut(within), Code::ConnectionFailed),
        ("a page", Answer::text(200, "<html>s3cr3t</html>"), Code::ConnectionFailed),
        ("nothing", Answer::text(200, ""), Code::ConnectionFailed),
    ];
    for (what, answer, code) in cases {
        let (script, warehouse) = open([described(), answer, result(&[("kill_status", "String")], json!([]))]).await;
        let failure = read(&warehouse, None).await.unwrap_err();
        assert_eq!(failure.code, code, "{what}: {failure}");
        assert!(!failure.message.contains("s3cr3t"), "{failure}");
        warehouse.idle().await;
        // What the server itself says has ended the query.
        assert_eq!(script.left() == 0, code == Code::ConnectionFailed, "{what}: whether it is killed");
    }
}

#[tokio::test]
async fn a_read_that_nobody_waits_for_is_killed() {
    let (script, warehouse) = open([described(), Answer::text(200, "[").cut(0), result(&[], json!([]))]).await;
    let query = Query { model: model(), columns: vec!["id".into()], filter: None, limit: None };
    drop(warehouse.rows(query).await.unwrap());
    warehouse.idle().await;
    let asked = script.asked();
    let last = asked.last().unwrap();
    assert_eq!(parameter(last, "readonly"), None);
    assert!(last.text.starts_with("KILL QUERY WHERE query_id = '") && last.text.ends_with("' ASYNC"), "{}", last.text);
}

#[tokio::test]
async fn errors_of_the_users_sql_name_his_own_lines_and_words() {
    let cases = [
        (
            404,
            60,
            "Unknown table expression identifier 'shop.c' in scope SELECT s3cr3t.",
            Code::TableNotFound,
            "table shop.c does not exist",
        ),
        (
            404,
            81,
            "Database shop does not exist. Maybe you meant s3cr3t?",
            Code::TableNotFound,
            "database shop does not exist",
        ),
        (
            404,
            47,
            "Unknown expression identifier `s3cr3t` in scope SELECT",
            Code::ColumnNotFound,
            "column does not exist",
        ),
        (
            400,
            62,
            "Syntax error: failed at position 30 ('s3cr3t') (line 3, col 7): s3cr3t. Expected one of",
            Code::SqlError,
            "syntax error (line 2)",
        ),
        (
            403,
            497,
            "backflow: Not enough privileges. To execute this query, it's necessary to have the grant SELECT(id) ON shop.c.",
            Code::PermissionDenied,
            "GRANT SELECT ON shop.c TO `backflow`",
        ),
        (
            403,
            497,
            "backflow: Not enough privileges. To execute this query, it's necessary to have the grant SELECT(id) ON other.s3cr3t.",
            Code::PermissionDenied,
            "GRANT SELECT ON each table",
        ),
        (500, 153, "Division by zero: s3cr3t", Code::SqlError, "nullIf"),
        (500, 159, "Timeout exceeded: s3cr3t", Code::WarehouseUnavailable, "longer than allowed"),
        (500, 202, "Too many simultaneous queries", Code::WarehouseUnavailable, "too many queries"),
        (500, 9999, "s3cr3t", Code::SqlError, "exception 9999"),
        (
            403,
            516,
            "backflow: Authentication failed",
            Code::AuthenticationFailed,
            "refuses the password of user \"backflow\"",
        ),
        (500, 164, "backflow: Cannot execute query in readonly mode.", Code::SqlError, "only reads"),
    ];
    for (status, number, message, code, said) in cases {
        let (script, warehouse) = open([exception(status, number, message)]).await;
        let failure = warehouse.describe(&model()).await.unwrap_err();
        assert_eq!(failure.code, code, "{number}: {failure}");
        assert!(failure.message.contains(said) && !failure.message.contains("s3cr3t"), "{failure}");
        assert_eq!(script.asked().len(), 2, "{number}: what the server itself says is not asked again");
    }
}

#[tokio::test]
async fn what_keeps_a_connection_from_coming_about_is_told_with_its_cure() {
    let cases = [
        (exception(404, 81, "Database shop does not exist"), Code::DatabaseNotFound, "has no database \"shop\""),
        (
            exception(403, 516, "backflow: Authentication failed: s3cr3t"),
            Code::AuthenticationFailed,
            "check user and password",
        ),
        (
            exception(500, 164, "Cannot modify 'default_format' setting in readonly mode"),
            Code::PermissionDenied,
            "ALTER USER `backflow` SETTINGS readonly = 2",
        ),
        (
            exception(404, 115, "Setting session_timezone is neither a builtin setting"),
            Code::ConnectionFailed,
            "23.8 or newer",
        ),
        (
            exception(500, 452, "Setting max_execution_time should not be changed"),
            Code::PermissionDenied,
            "constraints",
        ),
        (Answer::text(404, "<html>s3cr3t</html>"), Code::ConnectionFailed, "whether a proxy answers"),
        (Answer::text(302, "").with("location", "http://example.com/"), Code::ConnectionFailed, "HTTP 302"),
        (Answer::text(200, "Ok.\n"), Code::ConnectionFailed, "whether a proxy answers"),
    ];
    for (answer, code, said) in cases {
        let script = Script::start([answer]).await;
        let failure = ClickHouseWarehouse::open(&plan(&script), "_backflow", &Password, "x").await.err().unwrap();
        assert_eq!(failure.code, code, "{failure}");
        assert!(failure.message.contains(said) && !failure.message.contains("s3cr3t"), "{failure}");
    }
    let busy = Script::start(vec![Answer::text(503, "upstream connect error"); 7]).await;
    let failure = ClickHouseWarehouse::open(&plan(&busy), "_backflow", &Password, "x").await.err().unwrap();
    assert_eq!((failure.code, busy.left()), (Code::WarehouseUnavailable, 0));
}

#[tokio::test]
async fn columns_that_are_not_there_or_not_read_are_named() {
    let query = |column: &str| Query { model: model(), columns: vec![column.into()], filter: None, limit: None };
    let (_script, warehouse) = open([described()]).await;
    assert_eq!(warehouse.rows(query("Email")).await.err().unwrap().code, Code::ColumnNotFound);
    let (_script, warehouse) =
        open([result(&[("id", "UInt64"), ("u", "AggregateFunction(uniq, String)")], json!([]))]).await;
    let failure = warehouse.rows(query("u")).await.err().unwrap();
    assert!(failure.message.contains("column \"u\" has the type AggregateFunction"), "{failure}");
    let (_script, warehouse) = open([result(&[("ID", "UInt64")], json!([]))]).await;
    assert_eq!(warehouse.describe(&model()).await.unwrap_err().code, Code::PrimaryKeyMissing);
    // A String that is no text.
    let mut body = rows(json!([["a", "1"]])).bytes();
    let at = body.windows(3).position(|three| three == b"\"a\"").unwrap() + 1;
    body[at] = 0xff;
    let (_script, warehouse) = open([described(), Answer::raw(200, body), result(&[], json!([]))]).await;
    let failure = read(&warehouse, None).await.unwrap_err();
    assert!(failure.message.contains("of column \"email\" is no text in UTF-8"), "{failure}");
}

#[tokio::test]
async fn a_check_says_which_grant_is_missing() {
    let none = || result(&[("comment", "String")], json!([]));
    let one = |text: &str| result(&[("comment", "String")], json!([[text]]));
    let granted = |granted: u8| result(&[("result", "UInt8")], json!([[granted]]));
    let cases = [
        (vec![one("Backflow state, version 1"), granted(1)], None),
        (
            vec![one("Backflow state, version 1"), granted(0)],
            Some((
                Code::PermissionDenied,
                "GRANT SHOW TABLES, CREATE TABLE, SELECT, INSERT, ALTER DELETE ON `_backflow`.* TO `backflow`",
            )),
        ),
        (vec![one("Backflow state, version 1"), exception(400, 62, "Syntax error")], None),
        (vec![one("Backflow state, version 2")], Some((Code::StateTooNew, "update Backflow"))),
        (vec![one("orders")], Some((Code::StateDamaged, "another name"))),
        (vec![none(), one("_backflow"), granted(0)], Some((Code::PermissionDenied, "CREATE TABLE"))),
        (vec![none(), none(), granted(1)], None),
        (vec![none(), none(), granted(0)], Some((Code::StateSchemaMissing, "CREATE DATABASE `_backflow`"))),
    ];
    for (answers, expected) in cases {
        let (script, warehouse) = open(answers).await;
        let checked = warehouse.check().await;
        assert_eq!(script.left(), 0);
        match (checked, expected) {
            (Ok(server), None) => assert_eq!(server, "ClickHouse 26.9.1.1"),
            (Err(failure), Some((code, said))) => {
                assert_eq!(failure.code, code);
                assert!(failure.message.contains(said), "{failure}");
            }
            (checked, expected) => panic!("{checked:?}, not {expected:?}"),
        }
    }
}

#[tokio::test]
async fn what_may_be_created_once_is_inserted_under_a_token_of_its_name() {
    let none = || result(&[("1", "UInt8")], json!([]));
    let (script, warehouse) = open([none(), Answer::text(200, "")]).await;
    let part = crate::store::table::Part {
        name: "k/head/1".into(),
        writing: "0a".into(),
        part: 0,
        parts: 1,
        encoding: crate::store::table::Encoding::Text,
        content: "{}".into(),
        bytes: 2,
    };
    warehouse.table.add_first(&part).await.unwrap();
    let asked = script.asked();
    let insert = asked.last().unwrap();
    assert_eq!(parameter(insert, "insert_deduplication_token"), Some("k%2Fhead%2F1"));
    assert_eq!((parameter(insert, "async_insert"), parameter(insert, "readonly")), (Some("0"), None));
    assert!(
        insert.text.ends_with("FORMAT JSONCompactEachRow\n[\"k/head/1\",\"0a\",0,1,\"text\",\"{}\",2]\n"),
        "{}",
        insert.text
    );
    let there = result(&[("1", "UInt8")], json!([[1]]));
    let (script, warehouse) = open([there]).await;
    warehouse.table.add_first(&part).await.unwrap();
    assert_eq!(script.asked().len(), 2, "nothing is inserted beside it");
}
