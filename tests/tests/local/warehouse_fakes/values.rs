//! Every type of a warehouse that its fake has: what it is called, and what becomes of its values.

use std::collections::BTreeSet;

use backflow_core::plan::{ModelPlan, ModelQuery};
use backflow_sources::warehouse::{Query, open};
use backflow_tests::warehouse::{FakeWarehouse, Service};
use futures::TryStreamExt as _;
use serde_json::{Value, json};

/// A column: its declaration, a value as SQL, the type's name, the value as JSON.
type Kind = (&'static str, &'static str, &'static str, Value);

fn snowflake() -> Vec<Kind> {
    vec![
        ("BOOLEAN", "TRUE", "boolean", json!(true)),
        ("NUMBER(38,0)", "9007199254740992", "number(38,0)", json!("9007199254740992")),
        ("NUMBER(10,2)", "12.50", "number(10,2)", json!("12.50")),
        ("FLOAT", "-0.1", "float", json!(-0.1)),
        ("VARCHAR", "'é 😀 \" ''x'''", "text", json!("é 😀 \" 'x'")),
        ("BINARY", "TO_BINARY('00FFAB', 'HEX')", "binary", json!("AP+r")),
        ("DATE", "'0001-01-01'", "date", json!("0001-01-01")),
        ("TIME", "'23:01:59.123'", "time", json!("23:01:59.123")),
        ("TIMESTAMP_NTZ", "'2021-01-28 22:09:37.123456'", "timestamp_ntz", json!("2021-01-28T22:09:37.123456")),
        ("TIMESTAMP_LTZ", "'1969-12-31 23:59:58.5'", "timestamp_ltz", json!("1969-12-31T23:59:58.5Z")),
        ("TIMESTAMP_TZ", "'2021-03-19 22:06:59'", "timestamp_tz", json!("2021-03-19T22:06:59Z")),
        ("VARIANT", "PARSE_JSON('{\"a\": [1.5, null]}')", "variant", json!({"a": [1.5, null]})),
        ("OBJECT", "OBJECT_CONSTRUCT('a', 1)", "object", json!({"a": 1})),
        ("ARRAY", "ARRAY_CONSTRUCT(1, NULL)", "array", json!([1, null])),
    ]
}

fn bigquery() -> Vec<Kind> {
    vec![
        ("BOOL", "TRUE", "bool", json!(true)),
        ("INT64", "9007199254740992", "int64", json!("9007199254740992")),
        ("FLOAT64", "1e300", "float64", json!(1e300)),
        ("NUMERIC", "12.5", "numeric", json!("12.5")),
        ("BIGNUMERIC", "BIGNUMERIC '12345678901234567890.5'", "bignumeric", json!("12345678901234567890.5")),
        ("STRING", "'é 😀 \" \\'x\\''", "string", json!("é 😀 \" 'x'")),
        ("BYTES", "b'\\x00\\xff\\xab'", "bytes", json!("AP+r")),
        ("DATE", "DATE '0001-01-01'", "date", json!("0001-01-01")),
        ("TIME", "TIME '12:30:00.45'", "time", json!("12:30:00.45")),
        ("DATETIME", "DATETIME '2026-01-02 03:04:05.6789'", "datetime", json!("2026-01-02T03:04:05.6789")),
        ("TIMESTAMP", "TIMESTAMP '1969-12-31 23:59:59.999999+00'", "timestamp", json!("1969-12-31T23:59:59.999999Z")),
        ("JSON", "JSON '{\"a\":[1.5,null]}'", "json", json!({"a": [1.5, null]})),
        ("STRUCT<x INT64, y STRING>", "STRUCT(1 AS x, 'x' AS y)", "struct", json!({"x": 1, "y": "x"})),
        ("ARRAY<INT64>", "[1, 2]", "array<int64>", json!([1, 2])),
    ]
}

fn databricks() -> Vec<Kind> {
    vec![
        ("BOOLEAN", "TRUE", "boolean", json!(true)),
        ("TINYINT", "-128", "tinyint", json!(-128)),
        ("SMALLINT", "32767", "smallint", json!(32767)),
        ("INT", "-2147483648", "int", json!(-2_147_483_648_i64)),
        ("BIGINT", "9007199254740992", "bigint", json!("9007199254740992")),
        ("FLOAT", "CAST(0.5 AS FLOAT)", "float", json!(0.5)),
        ("DOUBLE", "CAST('1e300' AS DOUBLE)", "double", json!(1e300)),
        ("DECIMAL(10,2)", "12.50", "decimal(10,2)", json!("12.50")),
        (
            "DECIMAL(38,0)",
            "CAST('99999999999999999999999999999999999999' AS DECIMAL(38,0))",
            "decimal(38,0)",
            json!("9".repeat(38)),
        ),
        ("STRING", "'é 😀 \" \\'x\\''", "string", json!("é 😀 \" 'x'")),
        ("BINARY", "UNHEX('00FFAB')", "binary", json!("AP+r")),
        ("DATE", "DATE '0001-01-01'", "date", json!("0001-01-01")),
        (
            "TIMESTAMP",
            "TIMESTAMP '1969-12-31 23:59:59.999999+00:00'",
            "timestamp",
            json!("1969-12-31T23:59:59.999999Z"),
        ),
        (
            "TIMESTAMP_NTZ",
            "CAST('2026-01-02 03:04:05.6789' AS TIMESTAMP_NTZ)",
            "timestamp_ntz",
            json!("2026-01-02T03:04:05.6789"),
        ),
        ("ARRAY<INT>", "ARRAY(1, 2)", "array<int>", json!([1, 2])),
        ("MAP<STRING, INT>", "MAP('a', 1)", "map<string, int>", json!({"a": 1})),
        (
            "STRUCT<x: INT, y: STRING>",
            "NAMED_STRUCT('x', 1, 'y', 'x')",
            "struct<x: int, y: string>",
            json!({"x": 1, "y": "x"}),
        ),
        ("VARIANT", "PARSE_JSON('{\"a\":[1.5,null]}')", "variant", json!({"a": [1.5, null]})),
    ]
}

/// A table with a row of these values, and one of NULLs. An array is not NULL in a table of BigQuery: it is empty.
fn seed(service: Service, kinds: &[Kind]) -> String {
    let (table, whole) = match service {
        Service::Snowflake => ("kinds", "INT"),
        Service::BigQuery => ("shop.kinds", "INT64"),
        Service::Databricks => ("kinds", "INT"),
    };
    let columns: Vec<String> =
        kinds.iter().enumerate().map(|(at, (declared, ..))| format!("c{at} {declared}")).collect();
    let values: Vec<&str> = kinds.iter().map(|(_, value, ..)| *value).collect();
    let empty = |name: &str| if service == Service::BigQuery && name.starts_with("array<") { "[]" } else { "NULL" };
    let nulls: Vec<&str> = kinds.iter().map(|(_, _, name, _)| empty(name)).collect();
    format!(
        "CREATE TABLE {table} (n {whole} NOT NULL, {});\nINSERT INTO {table} SELECT 1, {};\nINSERT INTO {table} SELECT 2, {};\n",
        columns.join(", "),
        values.join(", "),
        nulls.join(", ")
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_of_snowflake_arrives_as_its_golden_file_says() {
    let golden = include_str!("../../../../operator/sources/src/snowflake/testdata/types.json");
    let without = ["decfloat", "geography", "interval_year_month", "map", "vector"];
    every_type_arrives(Service::Snowflake, snowflake(), golden, &without).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_of_bigquery_arrives_as_its_golden_file_says() {
    let golden = include_str!("../../../../operator/sources/src/bigquery/testdata/types.json");
    let without = ["geography", "interval", "mystery", "range"];
    every_type_arrives(Service::BigQuery, bigquery(), golden, &without).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_of_databricks_arrives_as_its_golden_file_says() {
    let golden = include_str!("../../../../operator/sources/src/databricks/testdata/types.json");
    let without =
        ["geography(4326)", "interval day to second", "interval year to month", "mystery", "varchar(20)", "void"];
    every_type_arrives(Service::Databricks, databricks(), golden, &without).await;
}

/// `without`: types that the fake does not have, as its README says.
async fn every_type_arrives(service: Service, kinds: Vec<Kind>, golden: &str, without: &[&str]) {
    let golden: Vec<Value> = serde_json::from_str(golden).unwrap();
    let known: BTreeSet<&str> = golden.iter().map(|kind| kind["name"].as_str().unwrap()).collect();
    let covered: BTreeSet<&str> = kinds.iter().map(|kind| kind.2).chain(without.iter().copied()).collect();
    assert_eq!(covered, known, "each type of the golden file is here, or is not in the fake");

    let fake = FakeWarehouse::start(service, &seed(service, &kinds)).await.unwrap();
    let warehouse = open(&fake.source(), &fake, "backflow/values").await.unwrap();
    let (table, key) = match service {
        Service::Snowflake => ("KINDS", "N"),
        Service::BigQuery => ("shop.kinds", "n"),
        Service::Databricks => ("kinds", "n"),
    };
    let model =
        ModelPlan { name: "kinds".into(), query: ModelQuery::Table(table.into()), primary_key: vec![key.into()] };
    let described = warehouse.describe(&model).await.unwrap();
    let names: Vec<&str> = described[1..].iter().map(|column| column.kind.as_str()).collect();
    assert_eq!(names, kinds.iter().map(|kind| kind.2).collect::<Vec<_>>());

    let columns: Vec<String> = described.into_iter().map(|column| column.name).collect();
    for filter in [None, Some(format!("{key} > 0"))] {
        let query = Query { model: model.clone(), columns: columns.clone(), filter, limit: None };
        let batches: Vec<_> = warehouse.rows(query).await.unwrap().try_collect().await.unwrap();
        let mut rows: Vec<Vec<Value>> =
            batches.into_iter().flatten().map(|row| row.iter().map(|cell| cell.to_json()).collect()).collect();
        rows.sort_by_key(|row| row[0].as_u64());
        let mut full = vec![json!(1)];
        full.extend(kinds.iter().map(|kind| kind.3.clone()));
        let mut nulls = vec![json!(2)];
        let empty = |name: &str| service == Service::BigQuery && name.starts_with("array<");
        nulls.extend(kinds.iter().map(|kind| if empty(kind.2) { json!([]) } else { Value::Null }));
        assert_eq!(rows, [full, nulls]);
    }
}
