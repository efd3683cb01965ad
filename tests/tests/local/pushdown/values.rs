//! Values of every type, names of every kind: what changes a row, what is the same key.

use backflow_core::plan::ModelQuery;

use super::*;

/// A run over the model that this SELECT is.
async fn over(site: &mut DiffSite, run: &str, sql: &str) -> (Findings, Vec<Seen>) {
    site.plan.model.query = ModelQuery::Sql(sql.into());
    deliver(site, run).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_smallest_difference_is_a_change_and_none_is_none() {
    let mut site = site().await;
    site.sql("CREATE TYPE mood AS ENUM ('ok', 'no'); CREATE DOMAIN short AS varchar(9)").await;
    site.used = vec!["a".into(), "b".into()];
    let changes = [
        ("NULL::text, 'x'", "'', 'x'"),
        ("NULL::text, 'x'", "'x', NULL::text"),
        ("'a,b', 'c'", "'a', 'b,c'"),
        ("'a\"', 'b'", "'a', '\"b'"),
        ("'a', ''", "'', 'a'"),
        ("0.1::float8, 1", "0.10000000000000002::float8, 1"),
        ("'1e300'::float8, 1", "'1.0000000000000002e300'::float8, 1"),
        ("0.1::float4, 1", "0.10000001::float4, 1"),
        ("'NaN'::float8, 1", "'Infinity'::float8, 1"),
        ("1.0::numeric, 1", "1.00::numeric, 1"),
        ("'2026-01-01T00:00:00.000001Z'::timestamptz, 1", "'2026-01-01T00:00:00.000002Z'::timestamptz, 1"),
        ("'2026-01-01T00:00:00.000001'::timestamp, 1", "'2026-01-01T00:00:00.000002'::timestamp, 1"),
        ("'0044-03-15 BC'::date, 1", "'0044-03-15'::date, 1"),
        ("'10:00:00.000001'::time, 1", "'10:00:00.000002'::time, 1"),
        ("'10:00:00+00'::timetz, 1", "'11:00:00+01'::timetz, 1"),
        ("interval '1 month', 1", "interval '30 days', 1"),
        ("'{\"a\":1}'::json, 1", "'{\"a\": 1}'::json, 1"),
        ("'{\"a\":1}'::jsonb, 1", "'{\"a\":1.0}'::jsonb, 1"),
        ("ARRAY[NULL]::text[], 1", "ARRAY['NULL']::text[], 1"),
        ("ARRAY['a,b'], 1", "ARRAY['a', 'b'], 1"),
        ("'\\x00'::bytea, 1", "'\\x0000'::bytea, 1"),
        ("'ok'::mood, 1", "'no'::mood, 1"),
        ("'a'::short, 1", "'b'::short, 1"),
        ("int4range(1, 3), 1", "int4range(1, 4), 1"),
        ("9007199254740993, 1", "9007199254740992, 1"),
        ("1::money, 1", "1.01::money, 1"),
        ("true, 1", "NULL::bool, 1"),
        ("ROW(1, 'x'), 1", "ROW(1, 'y'), 1"),
    ];
    for (number, (before, after)) in changes.into_iter().enumerate() {
        site.plan.mapping.state_key = format!("values/{number}");
        let sql = |pair: &str| format!("SELECT 1 AS id, v.* FROM (SELECT {pair}) AS v (a, b)");
        over(&mut site, "run-1", &sql(before)).await;
        assert_eq!(over(&mut site, "run-2", &sql(before)).await.1, [], "{before} is {before}");
        let (found, _) = over(&mut site, "run-3", &sql(after)).await;
        assert_eq!((found.added, found.updated, found.deleted), (0, 1, 0), "{before} is not {after}");
    }
    let same = [
        ("'-0'::float8, 'a'::char(5)", "'0'::float8, 'a  '::char(5)"),
        ("1::int2, 'a'::varchar(3)", "1::int8, 'a'::text"),
        ("'ok'::mood, 'a'::short", "'ok'::text, 'a'::text"),
    ];
    for (number, (before, after)) in same.into_iter().enumerate() {
        site.plan.mapping.state_key = format!("same/{number}");
        let sql = |pair: &str| format!("SELECT 1 AS id, v.* FROM (SELECT {pair}) AS v (a, b)");
        over(&mut site, "run-1", &sql(before)).await;
        assert_eq!(over(&mut site, "run-2", &sql(after)).await.1, [], "{before} is {after} to a destination");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_every_type_are_the_same_key_when_they_go() {
    let mut site = site().await;
    site.sql("CREATE TYPE mood AS ENUM ('ok', 'no'); CREATE DOMAIN code AS text").await;
    site.used = vec!["id".into()];
    let keys = [
        ("true", "false"),
        ("(-1)::int2", "9223372036854775807::int8"),
        ("1.50::numeric", "1.5::numeric"),
        ("0.1::float8", "'NaN'::float8"),
        ("0.1::float4", "1e10::float4"),
        ("'é\u{1F600}\"'''::text", "''::text"),
        ("'A'::text", "'a'::text"),
        ("'a'::char(3)", "'b'::char(3)"),
        ("'ok'::mood", "'no'::mood"),
        ("'a'::code", "'b'::code"),
        ("'00000000-0000-0000-0000-000000000001'::uuid", "'ffffffff-0000-0000-0000-000000000001'::uuid"),
        ("'\\x00ff'::bytea", "'\\x'::bytea"),
        ("'2026-01-01'::date", "'infinity'::date"),
        ("'24:00:00'::time", "'00:00:00.000001'::time"),
        ("'10:00:00+00'::timetz", "'11:00:00+01'::timetz"),
        ("'2026-01-01T00:00:00.000001'::timestamp", "'0044-03-15 BC'::timestamp"),
        ("'2026-01-01T00:00:00.000001Z'::timestamptz", "'-infinity'::timestamptz"),
        ("interval '1 month'", "interval '30 days'"),
        ("'{\"a\":1}'::jsonb", "'[]'::jsonb"),
    ];
    for (number, (one, other)) in keys.into_iter().enumerate() {
        let model = format!("SELECT {one} AS id UNION ALL SELECT {other}");
        site.plan.mapping.state_key = format!("keys/{number}");
        let (found, mut added) = over(&mut site, "run-1", &model).await;
        assert_eq!((found.added, found.invalid()), (2, 0), "{model}");
        assert_eq!(over(&mut site, "run-2", &model).await.1, [], "{model}");
        let (_, mut deleted) = over(&mut site, "run-3", &format!("{model} LIMIT 0")).await;
        added
            .iter_mut()
            .chain(&mut deleted)
            .for_each(|(kind, _, row)| (*kind, *row) = (ChangeKind::Deleted, Vec::new()));
        assert_eq!(added, deleted, "{model}");

        let mut streaming = site.beside(DiffEngine::Streaming).await.unwrap();
        streaming.used.clone_from(&site.used);
        let (_, mut streamed) = over(&mut streaming, "run-1", &model).await;
        streamed.iter_mut().for_each(|(kind, _, row)| (*kind, *row) = (ChangeKind::Deleted, Vec::new()));
        assert_eq!(added, streamed, "{model}: both engines call a key the same");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_type_is_another_key() {
    let mut site = site().await;
    site.used = vec!["name".into()];
    over(&mut site, "run-1", "SELECT 1::int4 AS id, 'a' AS name").await;
    assert_eq!(over(&mut site, "run-2", "SELECT 1::int8 AS id, 'a' AS name").await.1, []);
    let (found, sent) = over(&mut site, "run-3", "SELECT '1'::text AS id, 'a' AS name").await;
    assert_eq!((found.added, found.deleted, found.known), (1, 1, 1));
    assert_eq!((sent[0].1.as_str(), sent[1].1.as_str()), ("\"1\"", "1"));
    assert_eq!(over(&mut site, "run-4", "SELECT '1'::text AS id, 'a' AS name").await.1, []);
    let (found, _) = over(&mut site, "run-5", "SELECT 1 AS id, 'a' AS name").await;
    assert_eq!((found.added, found.deleted), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_names_whatever_they_look_like() {
    let mut site = site().await;
    let names = ["key1_int", "c1", "_m", "row", "kind", "we\"ird", "it's", "{}", "$1", "a b; DROP TABLE model", "ünï"];
    let columns: Vec<String> = names.iter().map(|name| format!("n AS \"{}\"", name.replace('"', "\"\""))).collect();
    site.plan.model.primary_key = vec!["row".into(), "we\"ird".into(), "{}".into()];
    site.used = names.map(String::from).into();
    let model = format!("SELECT {} FROM generate_series(1, 3) AS n -- and a comment", columns.join(", "));
    site.plan.mapping.filter = Some("\"kind\" < 3 -- and another".into());
    let (found, sent) = over(&mut site, "run-1", &model).await;
    assert_eq!((found.rows, sent.len(), sent[0].1.as_str()), (2, 2, "[1,1,1]"));
    assert_eq!(over(&mut site, "run-2", &model).await.1, []);
    assert_eq!(site.number("SELECT count(*) FROM model").await, 0);
    for (sql, code) in [
        ("SELECT 1 AS id) AS _m; DROP TABLE model; --", Code::SqlError),
        ("SELECT 1; SELECT 2", Code::MultipleStatements),
        ("SELECT naem FROM model", Code::ColumnNotFound),
    ] {
        site.plan.model.query = ModelQuery::Sql(sql.into());
        let failure = site.open_run("wrong").await.err().unwrap();
        assert_eq!(failure.code, code, "{sql}: {failure}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_stops_the_run_before_anything_is_sent() {
    let mut site = site().await;
    site.used = vec!["name".into(), "plan".into()];
    for (model, words) in [
        ("SELECT 1 AS id, 'a' AS name, repeat('x', 600000) AS plan", ["a row", "512 KiB", "\"plan\""]),
        ("SELECT repeat('x', 5000) AS id, 'a' AS name, 'b' AS plan", ["a primary key", "4 KiB", "\"id\""]),
    ] {
        site.plan.model.query = ModelQuery::Sql(model.into());
        site.plan.mapping.state_key = format!("large/{}", words[1]);
        is(&refused(&site, "run-1").await, Code::LimitExceeded, &words);
        assert!(site.own_tables().await.iter().all(|table| table.starts_with("entries_")));
    }
    site.plan.mapping.state_key = "large/just-so".into();
    let (found, _) = over(
        &mut site,
        "run-1",
        "SELECT n AS id, repeat('x', 500000) AS name, 'b' AS plan FROM generate_series(1, 9) AS n",
    )
    .await;
    assert_eq!(found.added, 9);
    let wide: Vec<String> = (0..500).map(|n| format!("n + {n} AS w{n}")).collect();
    site.used = (0..500).map(|n| format!("w{n}")).collect();
    site.plan.mapping.state_key = "large/wide".into();
    let model = format!("SELECT n AS id, {} FROM generate_series(1, 20) AS n", wide.join(", "));
    assert_eq!(over(&mut site, "run-1", &model).await.1.len(), 20);
    assert_eq!(over(&mut site, "run-2", &model).await.1, []);
}
