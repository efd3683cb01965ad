//! SQLite as a source: local runs.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use backflow_core::cell::Cell;
use backflow_core::code::{Code, Failure};
use backflow_core::plan::{Connection, DiffEngine, ModelPlan, ModelQuery, SourcePlan, Sqlite, StateLocation};
use backflow_core::secret::{SecretRef, Secrets};
use backflow_sources::warehouse::{Query, Warehouse, open};
use backflow_tests::state_conformance;
use futures::StreamExt;
use secrecy::SecretString;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

struct NoSecrets;

impl Secrets for NoSecrets {
    fn read(&self, reference: &SecretRef) -> Result<SecretString, Failure> {
        Err(reference.not_found())
    }
}

async fn exec(path: &Path, sql: &str) {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true).disable_statement_logging();
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

fn source(path: &Path) -> SourcePlan {
    SourcePlan {
        name: "local".into(),
        connection: Connection::Sqlite(Sqlite { path: path.to_str().unwrap().into() }),
        state: StateLocation::Schema("_backflow".into()),
        diff: DiffEngine::Streaming,
    }
}

async fn warehouse(path: &Path) -> Arc<dyn Warehouse> {
    open(&source(path), &NoSecrets, "backflow/test").await.unwrap()
}

fn model(query: ModelQuery) -> ModelPlan {
    ModelPlan { name: "customers".into(), query, primary_key: vec!["id".into()] }
}

fn sql(text: &str) -> ModelPlan {
    model(ModelQuery::Sql(text.into()))
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

fn code<T>(result: Result<T, Failure>) -> Code {
    let Err(failure) = result else { panic!("this must fail") };
    assert!(!failure.message.contains("canary"), "{failure}");
    failure.code
}

#[tokio::test(flavor = "multi_thread")]
async fn state_conforms_beside_the_data() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop.db");
    exec(&path, "CREATE TABLE customers (id INTEGER PRIMARY KEY)").await;
    let first = warehouse(&path).await;
    assert!(first.check().await.unwrap().starts_with("SQLite 3."));
    let tables = sql("select name as id from sqlite_schema where name like '\\_backflow%' escape '\\'");
    assert!(read(&*first, query(tables.clone(), &["id"])).await.unwrap().is_empty(), "a check leaves nothing behind");
    state_conformance::check(first.state(), warehouse(&path).await.state()).await;
    assert_eq!(read(&*first, query(tables, &["id"])).await.unwrap().len(), 6);
    // Another process sees the same state.
    let second = warehouse(&path).await.state();
    assert!(second.list(100).await.unwrap().len() > 3);
    exec(&path, "UPDATE _backflow_meta SET value = '2'").await;
    assert_eq!(code(second.prepare().await), Code::StateTooNew);
    assert_eq!(code(first.check().await), Code::StateTooNew);
}

#[tokio::test(flavor = "multi_thread")]
async fn values_and_declared_types_make_cells() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("types.db");
    exec(
        &path,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, yes BOOLEAN, price DECIMAL(10,2), day DATE, at DATETIME, doc JSON, any, name \
         VARCHAR(20), raw BLOB, ratio REAL); \
         INSERT INTO t VALUES (1, 1, 1.5, '2026-01-02', '2026-01-02 03:04:05.60', '{\"a\": 1}', 'x', 'é\"', x'00ff', 0.1); \
         INSERT INTO t VALUES (2, 7, 3, 'soon', 1767322800, 'not json', 9007199254740993, '', x'', 9e999); \
         INSERT INTO t VALUES (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL); \
         INSERT INTO t (id, name) VALUES (4, CAST(x'ff' AS TEXT))",
    )
    .await;
    let warehouse = warehouse(&path).await;
    let table = model(ModelQuery::Table("t".into()));
    let columns = warehouse.describe(&table).await.unwrap();
    let kinds: Vec<(&str, &str)> = columns.iter().map(|column| (column.name.as_str(), column.kind.as_str())).collect();
    // Without a declared type SQLite itself says blob: no conversion.
    let declared = [
        ("id", "integer"),
        ("yes", "boolean"),
        ("price", "decimal(10,2)"),
        ("day", "date"),
        ("at", "datetime"),
        ("doc", "json"),
        ("any", "blob"),
        ("name", "varchar(20)"),
        ("raw", "blob"),
        ("ratio", "real"),
    ];
    assert_eq!(kinds, declared);
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let rows = read(&*warehouse, query(table, &names)).await.unwrap();
    let time = |text: &str| Cell::Time(text.into());
    let text = |text: &str| Cell::Text(text.into());
    assert_eq!(
        rows[0],
        [
            Cell::Int(1),
            Cell::Bool(true),
            Cell::Decimal("1.5".into()),
            time("2026-01-02"),
            time("2026-01-02T03:04:05.6"),
            Cell::Json("{\"a\": 1}".into()),
            text("x"),
            text("é\""),
            Cell::Bytes([0, 255].into()),
            Cell::Float(0.1),
        ]
    );
    assert_eq!(
        rows[1],
        [
            Cell::Int(2),
            Cell::Int(7),
            Cell::Decimal("3".into()),
            text("soon"),
            Cell::Int(1_767_322_800),
            text("not json"),
            Cell::Int(9_007_199_254_740_993),
            text(""),
            Cell::Bytes([].into()),
            Cell::Float(f64::INFINITY),
        ]
    );
    assert!(rows[2][1..].iter().all(Cell::is_null));
    assert_eq!(rows[3][7], Cell::Bytes([255].into()), "text that is not UTF-8 is bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_models_and_files_are_named_with_their_cure() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop.db");
    exec(
        &path,
        "CREATE TABLE customers (id INTEGER PRIMARY KEY, \"a\"\"b;\" TEXT); INSERT INTO customers VALUES (1, 'canary')",
    )
    .await;
    let warehouse = warehouse(&path).await;
    for (text, wanted) in [
        ("select 1 as id;", Code::SqlError),
        ("select 1 as id; select 2 as id", Code::MultipleStatements),
        ("select 1 as id) x; drop table customers; select (1", Code::SqlError),
        ("delete from customers", Code::SqlError),
        ("select id from custmers", Code::TableNotFound),
        ("select id, nope from customers", Code::ColumnNotFound),
        ("select id, from customers", Code::SqlError),
        ("select id, nope(id) from customers", Code::SqlError),
        ("select 1 as id, 2 as id", Code::DuplicateColumn),
        ("select 1 as ident", Code::PrimaryKeyMissing),
    ] {
        let Err(failure) = warehouse.describe(&sql(text)).await else { panic!("{text} must fail") };
        assert_eq!(failure.code, wanted, "{text}: {failure}");
        assert_eq!(code(read(&*warehouse, query(sql(text), &["id"])).await), wanted, "{text}");
    }
    let odd = query(model(ModelQuery::Table("Customers".into())), &["a\"b;", "id"]);
    assert_eq!(read(&*warehouse, odd).await.unwrap(), [[Cell::Text("canary".into()), Cell::Int(1)]]);
    let filtered =
        |filter: &str| Query { filter: Some(filter.into()), ..query(sql("select id from customers -- all"), &["id"]) };
    assert_eq!(read(&*warehouse, filtered("id = 2 -- none")).await.unwrap().len(), 0);
    for (filter, wanted) in [
        ("true; drop table customers", Code::SqlError),
        ("true) or (true", Code::SqlError),
        ("country = 1", Code::ColumnNotFound),
    ] {
        assert_eq!(code(read(&*warehouse, filtered(filter)).await), wanted, "{filter}");
    }
    assert_eq!(code(read(&*warehouse, query(sql("select 1 as id"), &["email"])).await), Code::ColumnNotFound);

    let absent = dir.path().join("absent.db");
    assert_eq!(code(open(&source(&absent), &NoSecrets, "a").await.map(drop)), Code::DatabaseNotFound);
    assert!(!absent.exists(), "opening does not create the file");
    let text = dir.path().join("text.db");
    std::fs::write(&text, "this is not a database, but long enough to have a header of a page".repeat(20)).unwrap();
    assert_eq!(code(open(&source(&text), &NoSecrets, "a").await.map(drop)), Code::DatabaseNotFound);
    // Root may write anything, so that file permissions show only for other users.
    let frozen = dir.path().join("frozen.db");
    exec(&frozen, "CREATE TABLE t (id)").await;
    std::fs::set_permissions(&frozen, std::fs::Permissions::from_mode(0o444)).unwrap();
    if std::fs::OpenOptions::new().append(true).open(&frozen).is_err() {
        let frozen = open(&source(&frozen), &NoSecrets, "a").await.unwrap();
        assert_eq!(code(frozen.check().await), Code::PermissionDenied);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_is_a_snapshot_and_can_be_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("big.db");
    exec(
        &path,
        "PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, pad TEXT); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL \
         SELECT i + 1 FROM n WHERE i < 30000) INSERT INTO t SELECT i, 'x' FROM n",
    )
    .await;
    let warehouse = warehouse(&path).await;
    let mut stream = warehouse.rows(query(sql("select * from t"), &["id"])).await.unwrap();
    let mut count = stream.next().await.unwrap().unwrap().len();
    exec(&path, "DELETE FROM t WHERE id > 100").await;
    while let Some(batch) = stream.next().await {
        let batch = batch.unwrap();
        assert!(batch.len() <= 1000);
        count += batch.len();
    }
    assert_eq!(count, 30_000);
    let limited = Query { limit: Some(3), ..query(sql("select * from t"), &["id"]) };
    assert_eq!(read(&*warehouse, limited).await.unwrap().len(), 3);

    // Endless queries: one that returns rows, one that never does. Without the cancel, the state could not be written, because the
    // file of this one is not in WAL mode.
    let path = dir.path().join("locked.db");
    exec(&path, "CREATE TABLE t (id INTEGER); INSERT INTO t VALUES (1)").await;
    let warehouse = self::warehouse(&path).await;
    let endless = "with recursive n(i) as (select id from t union all select i + 1 from n) select i as id from n";
    for text in [endless.to_owned(), format!("select count(*) as id from ({endless})")] {
        let mut stream = warehouse.rows(query(sql(&text), &["id"])).await.unwrap();
        if text == endless {
            assert_eq!(stream.next().await.unwrap().unwrap().len(), 1000);
        }
        drop(stream);
        warehouse.state().prepare().await.unwrap();
        exec(&path, "DELETE FROM t WHERE id = 2").await;
    }
}
