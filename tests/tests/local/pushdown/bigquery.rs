//! The pushdown engine on BigQuery's fake.

use backflow_core::plan::{Connection, Mode};
use backflow_tests::fake_site::FakeSite;
use backflow_tests::warehouse::Service;

use super::fakes::{a_history, deliver, many, refused, rows};
use super::*;

async fn site() -> FakeSite {
    FakeSite::new(Service::BigQuery, DiffEngine::Pushdown).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_changes_leave_it_and_a_run_leaves_its_entries_and_nothing_else() {
    let mut site = site().await;
    site.put_rows(&rows(&[
        (Some(1), "a", None),
        (Some(2), "b", Some("x")),
        (Some(3), "c", Some("")),
        (Some(4), "twice", None),
        (Some(4), "twice", None),
        (None, "nobody", None),
    ]));
    let (found, sent) = deliver(&site, "run-1").await;
    assert_eq!((found.rows, found.known, found.added, sent.len()), (6, 0, 3, 3));
    assert_eq!((found.invalid_null_key, found.invalid_duplicate_key), (1, 2));
    let tables = site.own_tables().await;
    assert!(tables.len() == 1 && tables[0].starts_with("entries_"), "{tables:?}");

    site.put_rows(&rows(&[(Some(1), "a", Some("")), (Some(3), "c", Some("")), (Some(5), "it's \"\\", None)]));
    let (found, sent) = deliver(&site, "run-2").await;
    assert_eq!((found.rows, found.known, found.added, found.updated, found.deleted), (3, 3, 1, 1, 1));
    let texts = |row: &[&str]| row.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let expected = [
        (ChangeKind::Added, "5".to_owned(), texts(&["5", "\"it's \\\"\\\\\"", "null"])),
        (ChangeKind::Updated, "1".into(), texts(&["1", "\"a\"", "\"\""])),
        (ChangeKind::Deleted, "2".into(), Vec::new()),
    ];
    assert_eq!(sent, expected);
    assert_eq!(deliver(&site, "run-3").await.1, []);
    assert_eq!(site.own_tables().await, tables);

    // A duplicate beside a row that did not change is found, and no deletion.
    site.put_rows(&rows(&[
        (Some(1), "a", Some("")),
        (Some(3), "c", Some("")),
        (Some(3), "c", Some("")),
        (Some(5), "it's \"\\", None),
    ]));
    let (found, sent) = deliver(&site, "run-4").await;
    assert_eq!((found.invalid_duplicate_key, found.known, sent.len()), (2, 3, 0));

    site.plan.mode = Mode::Reset;
    site.plan.options.confirm = true;
    assert_eq!(deliver(&site, "run-5").await.1.len(), 2);
    assert_eq!(deliver(&site, "run-5").await.1, [], "a replacement pod of a Reset does not forget again");
    assert!(site.forget().await.unwrap());
    assert_eq!(site.own_tables().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_claim_moves_nothing_and_what_a_killed_run_sent_is_in_doubt() {
    let mut site = site().await;
    site.put_rows(&many(1..=10, "a"));
    let mut old = site.open_run("run-1").await.unwrap();
    let first = page(&mut *old, 4).await.unwrap();
    let mut new = site.open_run("run-1").await.unwrap();
    assert_eq!(site.own_tables().await.len(), 2, "entries, and the delta of the living run");

    // The old pod still lives: it can neither read on, nor commit, nor end.
    is(&page(&mut *old, 4).await.unwrap_err(), Code::Fenced, &["taken over"]);
    let acks = first.into_iter().map(delivered).collect();
    is(&old.commit(acks, &Counters::default()).await.unwrap_err(), Code::Fenced, &[]);
    is(&old.finish(&Counters::default(), Phase::Failed).await.unwrap_err(), Code::Fenced, &[]);
    assert_eq!(site.own_tables().await.len(), 2);
    let all = page(&mut *new, 100).await.unwrap();
    assert_eq!(all.len(), 10);
    new.commit(all.into_iter().map(delivered).collect(), &Counters::default()).await.unwrap();
    assert_eq!(new.finish(&Counters::default(), Phase::Succeeded).await.unwrap().rows, 10);
    assert_eq!(site.own_tables().await.len(), 1);

    // The process dies when everything is sent, and what it sent is taken back.
    site.put_rows(&[many([1], "A"), many(3..=11, "a")].concat());
    let mut dies = site.open_run("run-2").await.unwrap();
    let mut sent = 0;
    loop {
        let changes = page(&mut *dies, 10).await.unwrap();
        if changes.is_empty() {
            break;
        }
        sent += changes.len();
    }
    drop(dies);
    assert_eq!(sent, 3);
    site.put_rows(&many(1..=10, "a"));
    let (found, sent) = deliver(&site, "run-3").await;
    assert_eq!((found.known, found.updated, found.deleted), (10, 2, 1));
    let keys: Vec<&str> = sent.iter().map(|(_, key, _)| key.as_str()).collect();
    assert_eq!(keys, ["1", "2", "11"]);
    assert_eq!(deliver(&site, "run-4").await.1, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_of_a_run_are_few_and_the_models_have_a_limit() {
    let mut site = site().await;
    for (run, name, changes) in [("run-1", "a", 250), ("run-2", "b", 250), ("run-3", "b", 0)] {
        site.select(format!(
            "SELECT id, '{name}' AS name, CAST(NULL AS STRING) AS plan FROM UNNEST(GENERATE_ARRAY(1, 250)) AS id"
        ));
        let before = site.statements().await;
        assert_eq!(deliver(&site, run).await.1.len(), changes);
        let pages = changes.div_ceil(100);
        let statements = site.statements().await - before;
        assert!(statements <= 2 * pages + 6, "{run}: {statements} statements for {pages} pages");
    }
    let Connection::BigQuery(bigquery) = &mut site.plan.source.connection else { panic!("it is BigQuery") };
    bigquery.maximum_bytes_billed = Some(1);
    let limited = site.reopened().await.unwrap();
    is(&refused(&limited, "run-4").await, Code::LimitExceeded, &["maximumBytesBilled"]);
    assert_eq!(limited.own_tables().await.len(), 1, "no delta is left");
    assert_eq!(deliver(&site, "run-5").await.1, []);
}

/// Values that are as near to each other as two of their type can be, and no other type's.
const NEAR: [(&str, &str); 19] = [
    ("CAST(NULL AS STRING)", "''"),
    ("'a,b'", "'a'"),
    ("'a\\\"'", "'a\\\\'"),
    ("'null'", "CAST(NULL AS STRING)"),
    ("'A'", "'a'"),
    ("CAST(0.1 AS FLOAT64)", "CAST(0.10000000000000002 AS FLOAT64)"),
    ("CAST(1e300 AS FLOAT64)", "CAST(1.0000000000000002e300 AS FLOAT64)"),
    ("CAST('NaN' AS FLOAT64)", "CAST('Infinity' AS FLOAT64)"),
    ("9007199254740993", "9007199254740992"),
    ("NUMERIC '1.5'", "NUMERIC '1.500000001'"),
    ("TIMESTAMP '2026-01-01 00:00:00.000001+00'", "TIMESTAMP '2026-01-01 00:00:00.000002+00'"),
    ("DATETIME '2026-01-01 00:00:00.000001'", "DATETIME '2026-01-01 00:00:00.000002'"),
    ("TIME '10:00:00.000001'", "TIME '10:00:00.000002'"),
    ("DATE '2026-01-01'", "DATE '2026-01-02'"),
    ("b'\\x00'", "b'\\x00\\x00'"),
    ("true", "CAST(NULL AS BOOL)"),
    ("['a,b']", "['a', 'b']"),
    ("STRUCT(1 AS x)", "STRUCT(2 AS x)"),
    ("JSON '{\"a\":1}'", "JSON '{\"a\":2}'"),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_smallest_difference_is_a_change_and_none_is_none() {
    let mut site = site().await;
    site.used = (0..NEAR.len()).map(|at| format!("v{at}")).collect();
    // A row for each pair, which differs in that, and one that does not.
    let model = |changed: bool| {
        let value = |(at, (one, other)): (usize, &(&str, &str))| {
            format!("IF({changed} AND id = {at}, {other}, {one}) AS v{at}")
        };
        let values: Vec<String> = NEAR.iter().enumerate().map(value).collect();
        format!("SELECT id, {} FROM UNNEST(GENERATE_ARRAY(0, {})) AS id", values.join(", "), NEAR.len())
    };
    site.select(model(false));
    assert_eq!(deliver(&site, "run-1").await.1.len(), NEAR.len() + 1);
    assert_eq!(deliver(&site, "run-2").await.1, []);
    site.select(model(true));
    let (found, sent) = deliver(&site, "run-3").await;
    let mut changed: Vec<usize> = sent.iter().map(|(_, key, _)| key.parse().unwrap()).collect();
    changed.sort_unstable();
    assert_eq!(changed, (0..NEAR.len()).collect::<Vec<_>>());
    assert_eq!((found.added, found.updated, found.deleted), (0, NEAR.len() as u64, 0));

    // A value that is written in the same way, and of another type, is sent in another way.
    site.used = vec!["v".into()];
    site.plan.mapping.state_key = "values/types".into();
    site.select("SELECT 1 AS id, 1 AS v");
    deliver(&site, "run-1").await;
    site.select("SELECT 1 AS id, '1' AS v");
    assert_eq!(deliver(&site, "run-2").await.0.updated, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_every_type_are_the_same_key_when_they_go() {
    let mut site = site().await;
    let mut streaming = site.beside(DiffEngine::Streaming).await.unwrap();
    let keys = [
        ("true", "false"),
        ("-1", "9223372036854775807"),
        ("NUMERIC '1.5'", "NUMERIC '-0.25'"),
        ("CAST(0.1 AS FLOAT64)", "CAST('NaN' AS FLOAT64)"),
        ("'é\u{1F600}\\\"\\''", "''"),
        ("'A'", "'a'"),
        ("b'\\x00\\xff'", "b''"),
        ("DATE '2026-01-01'", "DATE '0044-03-15'"),
        ("TIME '23:59:59.999999'", "TIME '00:00:00'"),
        ("DATETIME '2026-01-01 00:00:00.000001'", "DATETIME '0044-03-15 00:00:00'"),
        ("TIMESTAMP '2026-01-01 00:00:00.000001+00'", "TIMESTAMP '1969-12-31 23:59:59.999999+00'"),
        ("JSON '{\"a\":1}'", "JSON '[]'"),
    ];
    let columns: Vec<String> = (0..keys.len()).map(|at| format!("k{at}")).collect();
    let row = |of: fn(&(&'static str, &'static str)) -> &'static str| {
        let values: Vec<String> =
            keys.iter().zip(&columns).map(|(key, name)| format!("{} AS {name}", of(key))).collect();
        format!("SELECT {}", values.join(", "))
    };
    let model = format!("{} UNION ALL {}", row(|key| key.0), row(|key| key.1));
    for site in [&mut site, &mut streaming] {
        site.plan.model.primary_key.clone_from(&columns);
        site.used = vec!["k0".into()];
        site.select(&model);
    }
    let keys_of = |sent: Vec<Seen>| {
        let mut keys: Vec<String> = sent.into_iter().map(|(_, key, _)| key).collect();
        keys.sort();
        keys
    };
    let (found, added) = deliver(&site, "run-1").await;
    assert_eq!((found.added, found.invalid()), (2, 0));
    assert_eq!(deliver(&site, "run-2").await.1, []);
    site.select(format!("SELECT * FROM ({model}) AS given WHERE false"));
    let (found, deleted) = deliver(&site, "run-3").await;
    assert_eq!((found.deleted, keys_of(deleted)), (2, keys_of(added.clone())));
    assert_eq!(keys_of(added), keys_of(deliver(&streaming, "run-1").await.1), "both engines call a key the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_names_and_a_wrong_model_is_told_of_by_its_own_lines() {
    let mut site = site().await;
    let names = ["key1_int", "c1", "_m", "row", "kind", "hash", "select"];
    let columns: Vec<String> = names.iter().map(|name| format!("n AS `{name}`")).collect();
    site.plan.model.primary_key = vec!["row".into(), "hash".into()];
    site.used = names.map(String::from).into();
    site.select(format!("SELECT {} FROM UNNEST([1, 2, 3]) AS n -- and a comment", columns.join(", ")));
    site.plan.mapping.filter = Some("`kind` < 3 -- and another".into());
    let (found, sent) = deliver(&site, "run-1").await;
    assert_eq!((found.rows, sent.len(), sent[0].1.as_str()), (2, 2, "[1,1]"));
    assert_eq!(deliver(&site, "run-2").await.1, []);
    for (sql, code) in [
        ("SELECT 1 AS id) AS _m; DROP TABLE model; --", Code::SqlError),
        ("SELECT 1; SELECT 2", Code::MultipleStatements),
        ("SELECT naem FROM UNNEST([1]) AS name", Code::ColumnNotFound),
    ] {
        site.select(sql);
        let failure = site.open_run("wrong").await.err().unwrap();
        assert_eq!(failure.code, code, "{sql}: {failure}");
    }
}

#[test]
fn every_history_ends_with_what_the_model_has() {
    a_history(false, site);
}

#[test]
fn every_history_of_records_that_are_found_by_name_ends_so_too() {
    a_history(true, site);
}
