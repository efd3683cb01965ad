//! Every type: what it is called, and what becomes of its values, whatever the server's own settings are.

use backflow_core::plan::{ModelPlan, ModelQuery};
use backflow_sources::warehouse::{Query, Warehouse, open};
use futures::TryStreamExt as _;
use serde_json::{Value, json};

use super::shop::server;

/// A column: its declaration, a value as SQL, the type's name, the value as JSON.
type Kind = (&'static str, &'static str, &'static str, Value);

fn kinds() -> Vec<Kind> {
    let many = "99999999999999999999999999999999999.99";
    vec![
        ("TINYINT(1)", "1", "tinyint", json!(1)),
        ("TINYINT UNSIGNED", "255", "tinyint unsigned", json!(255)),
        ("SMALLINT", "-32768", "smallint", json!(-32768)),
        ("MEDIUMINT", "8388607", "mediumint", json!(8_388_607)),
        ("INT UNSIGNED", "4294967295", "int unsigned", json!(4_294_967_295_u32)),
        ("INT(8) ZEROFILL", "42", "int unsigned", json!(42)),
        ("BIGINT", "-9223372036854775808", "bigint", json!("-9223372036854775808")),
        ("BIGINT UNSIGNED", "18446744073709551615", "bigint unsigned", json!("18446744073709551615")),
        ("DECIMAL(37,2)", many, "decimal(37,2)", json!(many)),
        ("FLOAT", "0.1", "float", json!(0.1)),
        ("FLOAT", "16777217", "float", json!(16_777_216.0)),
        ("DOUBLE", "1e300", "double", json!(1e300)),
        ("DOUBLE", "0.1 + 0.2e0", "double", json!(0.1 + 0.2)),
        ("BIT(1)", "b'1'", "bit(1)", json!(1)),
        ("BIT(64)", "~0", "bit(64)", json!("18446744073709551615")),
        ("YEAR", "2026", "year", json!(2026)),
        ("DATE", "'1000-01-01'", "date", json!("1000-01-01")),
        ("DATE", "'0000-00-00'", "date", Value::Null),
        ("TIME(3)", "'-838:59:59.999'", "time(3)", json!("-838:59:59.999")),
        ("DATETIME(6)", "'9999-12-31 23:59:59.999999'", "datetime(6)", json!("9999-12-31T23:59:59.999999")),
        ("DATETIME", "'2026-02-00 00:00:00'", "datetime", Value::Null),
        ("TIMESTAMP(6) NULL", "'2026-01-02 03:04:05.678900'", "timestamp(6)", json!("2026-01-02T03:04:05.6789Z")),
        ("CHAR(5) CHARACTER SET latin1", "'ä'", "char(5)", json!("ä")),
        ("VARCHAR(20) CHARACTER SET utf8mb4", "'é 😀 \" ''x'' \\\\'", "varchar(20)", json!("é 😀 \" 'x' \\")),
        ("VARCHAR(20) CHARACTER SET utf8mb4", "''", "varchar(20)", json!("")),
        ("LONGTEXT CHARACTER SET utf8mb4", "REPEAT('ab', 5)", "text", json!("ababababab")),
        ("BINARY(4)", "'ab'", "binary(4)", json!("YWIAAA==")),
        ("VARBINARY(20)", "X'00FFAB'", "varbinary(20)", json!("AP+r")),
        ("BLOB", "X'00'", "blob", json!("AA==")),
        ("ENUM('small','large')", "'large'", "enum", json!("large")),
        ("SET('a','b')", "'b,a'", "set", json!("a,b")),
        ("JSON", "'{\"a\": [1.50, null, \"é\"]}'", "json", json!({"a": [1.50, null, "é"]})),
        ("UUID", "'61f0c404-5cb3-11e7-907b-a6006ad3dba0'", "uuid", json!("61f0c404-5cb3-11e7-907b-a6006ad3dba0")),
        ("INET6", "'2001:db8::1'", "inet6", json!("2001:db8::1")),
        ("GEOMETRY", "ST_GeomFromText('POINT(1 2)')", "geometry", json!("POINT(1 2)")),
    ]
}

async fn read(
    warehouse: &dyn Warehouse,
    model: &ModelPlan,
    columns: &[String],
    filter: Option<&str>,
) -> Vec<Vec<Value>> {
    let query = Query { model: model.clone(), columns: columns.to_vec(), filter: filter.map(Into::into), limit: None };
    let batches: Vec<_> = warehouse.rows(query).await.unwrap().try_collect().await.unwrap();
    batches.into_iter().flatten().map(|row| row.iter().map(|cell| cell.to_json()).collect()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_arrives_in_its_own_form() {
    let server = server().await;
    server.user("typist").unwrap();
    let kinds = kinds();
    let columns: Vec<String> = kinds.iter().enumerate().map(|(at, (kind, ..))| format!("c{at} {kind}")).collect();
    let values: Vec<&str> = kinds.iter().map(|kind| kind.1).collect();
    let nulls = vec!["NULL"; kinds.len()].join(", ");
    server
        .exec(&format!(
            "GRANT SELECT ON shop.* TO typist; CREATE TABLE shop.kinds (n INT NOT NULL, {}); \
             INSERT INTO shop.kinds VALUES (1, {}), (2, {nulls})",
            columns.join(", "),
            values.join(", ")
        ))
        .unwrap();
    let warehouse = open(&server.source("typist", "shop"), &*server, "backflow/values").await.unwrap();
    for query in [ModelQuery::Table("shop.kinds".into()), ModelQuery::Sql("select * from kinds -- all".into())] {
        let model = ModelPlan { name: "kinds".into(), query, primary_key: vec!["n".into()] };
        let described = warehouse.describe(&model).await.unwrap();
        let names: Vec<&str> = described[1..].iter().map(|column| column.kind.as_str()).collect();
        assert_eq!(names, kinds.iter().map(|kind| kind.2).collect::<Vec<_>>());
        let columns: Vec<String> = described.into_iter().map(|column| column.name).collect();
        for filter in [None, Some("n > 0")] {
            let rows = read(&*warehouse, &model, &columns, filter).await;
            let mut full = vec![json!(1)];
            full.extend(kinds.iter().map(|kind| kind.3.clone()));
            let mut empty = vec![json!(2)];
            empty.extend(vec![Value::Null; kinds.len()]);
            assert_eq!(rows, [full, empty]);
        }
    }
}

/// What would make a change invisible: a digit, a microsecond, a NULL in another place.
#[tokio::test(flavor = "multi_thread")]
async fn values_that_differ_arrive_as_such() {
    let server = server().await;
    server.user("differ").unwrap();
    server
        .exec(
            "GRANT SELECT ON shop.* TO differ; CREATE TABLE shop.pairs (n INT, f FLOAT, d DOUBLE, t DATETIME(6), a TEXT, b TEXT); \
             INSERT INTO shop.pairs VALUES (1, 1, 1, '2026-01-01', NULL, ''), (2, 1.0000001192092896, 1.0000000000000002, \
             '2026-01-01 00:00:00.000001', '', NULL)",
        )
        .unwrap();
    let warehouse = open(&server.source("differ", "shop"), &*server, "backflow/values").await.unwrap();
    let query = ModelQuery::Table("pairs".into());
    let model = ModelPlan { name: "pairs".into(), query, primary_key: vec!["n".into()] };
    let columns: Vec<String> = ["n", "f", "d", "t", "a", "b"].map(str::to_owned).into();
    let rows = read(&*warehouse, &model, &columns, None).await;
    for (one, other) in rows[0].iter().zip(&rows[1]) {
        assert_ne!(one, other);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_is_one_snapshot_and_names_may_hold_anything() {
    let server = server().await;
    server.user("watcher").unwrap();
    let names = ["id", "a`b", "Ünï cödé", "select", "); drop table t; --", "a\"b", "?", "_m"];
    let columns: Vec<String> = names.iter().map(|name| format!("`{}` INT", name.replace('`', "``"))).collect();
    server
        .exec(&format!(
            "GRANT SELECT ON shop.* TO watcher; SET NAMES utf8mb4; CREATE TABLE shop.`odd table` ({}) CHARACTER SET utf8mb4; \
             INSERT INTO shop.`odd table` SELECT seq, 2, 3, 4, 5, 6, 7, 8 FROM shop.seq_1_to_20000",
            columns.join(", ")
        ))
        .unwrap();
    let warehouse = open(&server.source("watcher", "shop"), &*server, "backflow/values").await.unwrap();
    let query = ModelQuery::Table("shop.`odd table`".into());
    let model = ModelPlan { name: "odd".into(), query, primary_key: vec!["id".into()] };
    let columns: Vec<String> = names.map(str::to_owned).into();
    let query = Query { model, columns, filter: None, limit: None };
    let mut rows = warehouse.rows(query).await.unwrap();
    let first = rows.try_next().await.unwrap().unwrap();
    server.exec("DELETE FROM shop.`odd table`").unwrap();
    let mut count = first.len();
    while let Some(batch) = rows.try_next().await.unwrap() {
        count += batch.len();
    }
    assert_eq!(count, 20_000);
    let values: Vec<Value> = first.into_iter().next().unwrap().iter().map(|cell| cell.to_json()).collect();
    assert_eq!(values, [1, 2, 3, 4, 5, 6, 7, 8].map(|value| json!(value)));
}
