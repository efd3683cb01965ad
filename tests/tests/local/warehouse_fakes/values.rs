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

fn clickhouse() -> Vec<Kind> {
    let long = "Tuple(first_name String, last_name String, address String, postcode String, city String)";
    let words = json!({"first_name": "a", "last_name": "b", "address": "c", "postcode": "d", "city": "e"});
    let (whole, huge) = (
        "170141183460469231731687303715884105727",
        "57896044618658097711785492504343953926634992332820282019728792003956564819968",
    );
    let aggregated = "SimpleAggregateFunction(groupArrayArray(10), Array(String))";
    // The small engine makes these from text where it reads data, and by no function.
    vec![
        ("Bool", "true", "Bool", json!(true)),
        ("UInt8", "255", "UInt8", json!(255)),
        ("Int16", "-32768", "Int16", json!(-32768)),
        ("UInt32", "4294967295", "UInt32", json!(4294967295_u32)),
        ("Int64", "'-9223372036854775808'", "Int64", json!("-9223372036854775808")),
        ("UInt64", "18446744073709551615", "UInt64", json!("18446744073709551615")),
        (
            "Int128",
            "(SELECT * FROM VALUES('a Int128', '170141183460469231731687303715884105727'))",
            "Int128",
            json!(whole),
        ),
        (
            "UInt256",
            "(SELECT * FROM VALUES('a UInt256', \
             '57896044618658097711785492504343953926634992332820282019728792003956564819968'))",
            "UInt256",
            json!(huge),
        ),
        ("Float32", "0.1", "Float32", json!(0.1)),
        ("Float64", "-1.5e22", "Float64", json!(-1.5e22)),
        ("Float64", "inf", "Float64", json!("Infinity")),
        ("Decimal(10, 2)", "'12.5'", "Decimal(10, 2)", json!("12.50")),
        ("String", "'é 😀 \" \\'x\\' /'", "String", json!("é 😀 \" 'x' /")),
        ("FixedString(4)", "'ab'", "FixedString(4)", json!("ab\0\0")),
        ("UUID", "'61f0c404-5cb3-11e7-907b-a6006ad3dba0'", "UUID", json!("61f0c404-5cb3-11e7-907b-a6006ad3dba0")),
        ("LowCardinality(Nullable(String))", "'low'", "LowCardinality(Nullable(String))", json!("low")),
        ("LowCardinality(Nullable(String))", "NULL", "LowCardinality(Nullable(String))", Value::Null),
        (aggregated, "['a']", aggregated, json!(["a"])),
        ("Enum8('a,)' = 1, 'b' = 2)", "'a,)'", "Enum8", json!("a,)")),
        ("IPv4", "'10.0.0.1'", "IPv4", json!("10.0.0.1")),
        ("IPv6", "'2001:db8::1'", "IPv6", json!("2001:db8::1")),
        ("Date", "'2026-01-02'", "Date", json!("2026-01-02")),
        ("Date32", "'1900-01-01'", "Date32", json!("1900-01-01")),
        (
            "DateTime('Europe/Berlin')",
            "'2026-01-02 03:04:05'",
            "DateTime('Europe/Berlin')",
            json!("2026-01-02T02:04:05Z"),
        ),
        ("DateTime64(6)", "'2026-01-02 03:04:05.678900'", "DateTime64(6)", json!("2026-01-02T03:04:05.6789Z")),
        ("Time64(3)", "'12:34:56.780'", "Time64(3)", json!("12:34:56.78")),
        ("IntervalMillisecond", "-1500", "IntervalMillisecond", json!("PT-1.5S")),
        ("IntervalWeek", "2", "IntervalWeek", json!("P14D")),
        ("IntervalQuarter", "1", "IntervalQuarter", json!("P3M")),
        ("Array(Nullable(Int64))", "[1, NULL]", "Array(Nullable(Int64))", json!(["1", null])),
        ("Tuple(a UInt8, b String)", "(1, 'x')", "Tuple(a UInt8, b String)", json!({"a": 1, "b": "x"})),
        ("Map(String, Decimal(5, 2))", "map('a', 1.5)", "Map(String, Decimal(5, 2))", json!({"a": "1.50"})),
        ("JSON", "'{\"a\": [1.5, null]}'", "JSON", json!({"a": [1.5, null]})),
        (long, "('a', 'b', 'c', 'd', 'e')", "Tuple", words),
        ("Nullable(Nothing)", "NULL", "Nullable(Nothing)", Value::Null),
    ]
}

fn azure_sql() -> Vec<Kind> {
    let long = "12345678901234567890123456789012345678";
    vec![
        ("tinyint", "255", "tinyint", json!(255)),
        ("smallint", "-32768", "smallint", json!(-32768)),
        ("int", "-2147483648", "int", json!(-2147483648_i64)),
        ("bigint", "9007199254740992", "bigint", json!("9007199254740992")),
        ("bit", "1", "bit", json!(true)),
        ("float(24)", "0.1", "real", json!(0.1)),
        ("float", "1e300", "float", json!(1e300)),
        ("decimal(10,2)", "-12.5", "decimal(10,2)", json!("-12.50")),
        ("decimal(38,0)", long, "decimal(38,0)", json!(long)),
        ("decimal(38,38)", "0.5", "decimal(38,38)", json!(format!("0.5{}", "0".repeat(37)))),
        ("money", "922337203685477.5807", "money", json!("922337203685477.5807")),
        ("smallmoney", "-0.01", "smallmoney", json!("-0.0100")),
        ("date", "'0001-01-01'", "date", json!("0001-01-01")),
        ("time(7)", "'23:01:59.123456'", "time(7)", json!("23:01:59.123456")),
        ("time(0)", "'23:01:59'", "time(0)", json!("23:01:59")),
        ("datetime", "'1753-01-01T00:00:00.003'", "datetime", json!("1753-01-01T00:00:00.003")),
        ("smalldatetime", "'2026-01-02T03:04:00'", "smalldatetime", json!("2026-01-02T03:04:00")),
        ("datetime2(7)", "'9999-12-31T23:59:59.999999'", "datetime2(7)", json!("9999-12-31T23:59:59.999999")),
        ("datetime2(3)", "'2021-01-28T22:09:37.120'", "datetime2(3)", json!("2021-01-28T22:09:37.12")),
        ("datetimeoffset(7)", "'2021-01-28T22:09:37.5+05:30'", "datetimeoffset(7)", json!("2021-01-28T16:39:37.5Z")),
        ("datetimeoffset(0)", "'1969-12-31T23:59:58+00:00'", "datetimeoffset(0)", json!("1969-12-31T23:59:58Z")),
        (
            "uniqueidentifier",
            "'6F9619FF-8B86-D011-B42D-00C04FC964FF'",
            "uniqueidentifier",
            json!("6f9619ff-8b86-d011-b42d-00c04fc964ff"),
        ),
        ("nvarchar(50)", "N'é 😀 \" ''x'''", "nvarchar(50)", json!("é 😀 \" 'x'")),
        ("nvarchar(max)", "N'é 😀'", "nvarchar(max)", json!("é 😀")),
        ("nchar(3)", "N'a'", "nchar(3)", json!("a  ")),
        ("varchar(50)", "'é'", "varchar(50)", json!("é")),
        ("varchar(8000)", "'é'", "varchar(8000)", json!("é")),
        ("varchar(max)", "'é'", "varchar(max)", json!("é")),
        ("char(2)", "'ab'", "char(2)", json!("ab")),
        ("char(10)", "'0123456789'", "char(10)", json!("0123456789")),
        ("text", "'é'", "text", json!("é")),
        ("varbinary(16)", "0x00ffab", "varbinary(16)", json!("AP+r")),
        ("varbinary(max)", "0x00ffab", "varbinary(max)", json!("AP+r")),
        ("binary(3)", "0x00ffab", "binary(3)", json!("AP+r")),
        ("image", "0x00ffab", "image", json!("AP+r")),
        ("xml", "N'<a>é</a>'", "xml", json!("<a>é</a>")),
        ("geography", "'POINT (1 2)'", "geography", json!("POINT (1 2)")),
        ("geometry", "'POINT (1 2)'", "geometry", json!("POINT (1 2)")),
        ("hierarchyid", "'/1/2/'", "hierarchyid", json!("/1/2/")),
    ]
}

/// A table with a row of these values, and one of NULLs. An array is not NULL in a table of BigQuery: it is empty.
fn seed(service: Service, table: &str, whole: &str, kinds: &[Kind]) -> String {
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
    all_are_here(&snowflake(), golden, &without);
    in_a_table(Service::Snowflake, "KINDS", "INT", "N", snowflake()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_of_bigquery_arrives_as_its_golden_file_says() {
    let golden = include_str!("../../../../operator/sources/src/bigquery/testdata/types.json");
    all_are_here(&bigquery(), golden, &["geography", "interval", "mystery", "range"]);
    in_a_table(Service::BigQuery, "shop.kinds", "INT64", "n", bigquery()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_of_azure_sql_arrives_as_its_golden_file_says() {
    let golden = include_str!("../../../../operator/sources/src/azuresql/testdata/types.json");
    all_are_here(&azure_sql(), golden, &["ntext", "null", "point3d", "rowversion", "sql_variant"]);
    in_a_table(Service::AzureSql, "kinds", "int", "n", azure_sql()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_of_databricks_arrives_as_its_golden_file_says() {
    let golden = include_str!("../../../../operator/sources/src/databricks/testdata/types.json");
    let without =
        ["geography(4326)", "interval day to second", "interval year to month", "mystery", "varchar(20)", "void"];
    all_are_here(&databricks(), golden, &without);
    in_a_table(Service::Databricks, "kinds", "INT", "n", databricks()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_of_clickhouse_arrives_as_its_golden_file_says() {
    let golden = include_str!("../../../../operator/sources/src/clickhouse/testdata/types.json");
    let kinds = clickhouse();
    // A state is refused, and the small engine writes no geometries.
    all_are_here(&kinds, golden, &["AggregateFunction(uniq, String)", "Point"]);
    // Not all of them can be stored.
    let casts = kinds.iter().enumerate().map(|(at, (kind, value, ..))| format!(", CAST({value} AS {kind}) AS c{at}"));
    let query = ModelQuery::Sql(format!("SELECT 1 AS n{}", casts.collect::<String>()));
    let mut row = vec![json!(1)];
    row.extend(kinds.iter().map(|kind| kind.3.clone()));
    let fake = FakeWarehouse::start(Service::ClickHouse, "").await.unwrap();
    arrive(&fake, query, "n", &kinds, &[row]).await;
}

/// That each type of the golden file is here, or is not in the fake.
fn all_are_here(kinds: &[Kind], golden: &str, without: &[&str]) {
    let golden: Vec<Value> = serde_json::from_str(golden).unwrap();
    let known: BTreeSet<&str> = golden.iter().map(|kind| kind["name"].as_str().unwrap()).collect();
    let covered: BTreeSet<&str> = kinds.iter().map(|kind| kind.2).chain(without.iter().copied()).collect();
    assert_eq!(covered, known);
}

/// `whole`: the type of the column `key`.
async fn in_a_table(service: Service, table: &str, whole: &str, key: &str, kinds: Vec<Kind>) {
    let mut full = vec![json!(1)];
    full.extend(kinds.iter().map(|kind| kind.3.clone()));
    let mut nulls = vec![json!(2)];
    let empty = |name: &str| service == Service::BigQuery && name.starts_with("array<");
    nulls.extend(kinds.iter().map(|kind| if empty(kind.2) { json!([]) } else { Value::Null }));
    let fake = FakeWarehouse::start(service, &seed(service, table, whole, &kinds)).await.unwrap();
    arrive(&fake, ModelQuery::Table(table.into()), key, &kinds, &[full, nulls]).await;
}

/// What a model's columns are called, and its rows in the order of `key`, with and without a filter.
async fn arrive(fake: &FakeWarehouse, query: ModelQuery, key: &str, kinds: &[Kind], expected: &[Vec<Value>]) {
    let warehouse = open(&fake.source(), fake, "backflow/values").await.unwrap();
    let model = ModelPlan { name: "kinds".into(), query, primary_key: vec![key.into()] };
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
        assert_eq!(rows, expected);
    }
}
