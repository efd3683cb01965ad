//! The pushdown engine on Databricks' fake, where each statement is a transaction of its own.

use backflow_core::plan::Mode;
use backflow_core::record::Rejection;
use backflow_tests::fake_site::FakeSite;
use backflow_tests::until;
use backflow_tests::warehouse::Service;

use super::fakes::{a_history, deliver, many, refused, rows};
use super::*;

async fn site() -> FakeSite {
    FakeSite::new(Service::Databricks, DiffEngine::Pushdown).await.unwrap()
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

    site.put_rows(&rows(&[(Some(1), "a", Some("")), (Some(3), "c", Some("")), (Some(5), "né", None)]));
    let (found, sent) = deliver(&site, "run-2").await;
    assert_eq!((found.rows, found.known, found.added, found.updated, found.deleted), (3, 3, 1, 1, 1));
    let texts = |row: &[&str]| row.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let expected = [
        (ChangeKind::Added, "5".into(), texts(&["5", "\"né\"", "null"])),
        (ChangeKind::Updated, "1".to_owned(), texts(&["1", "\"a\"", "\"\""])),
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
        (Some(5), "né", None),
    ]));
    let (found, sent) = deliver(&site, "run-4").await;
    assert_eq!((found.invalid_duplicate_key, found.known, sent.len()), (2, 3, 0));

    site.plan.mode = Mode::Reset;
    site.plan.options.confirm = true;
    assert_eq!(deliver(&site, "run-5").await.1.len(), 2);
    assert_eq!(deliver(&site, "run-5").await.1, [], "a replacement pod of a Reset does not forget again");
    site.plan.mode = Mode::Incremental;
    site.put_rows(&many([1], "a"));
    assert_eq!(deliver(&site, "run-6").await.0.deleted, 1, "of what was before the Reset nothing is known");
    assert!(site.forget().await.unwrap());
    assert_eq!(site.own_tables().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_claim_moves_nothing_and_what_a_killed_run_sent_is_in_doubt() {
    let mut site = site().await;
    site.put_rows(&many(1..=10, "a"));
    let mut old = site.open_run("run-1").await.unwrap();
    let first = page(&mut *old, 4).await.unwrap();
    let again = site.reopened().await.unwrap();
    let mut new = again.open_run("run-1").await.unwrap();
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

/// A claim that was replaced still has its delta, as if its statements had been on their way all the time: the entries' own fence refuses
/// them.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_of_a_replaced_claim_that_arrives_late_moves_no_entry() {
    let mut site = site().await;
    site.put_rows(&many(1..=3, "a"));
    let mut old = site.open_run("run-1").await.unwrap();
    let changes = page(&mut *old, 9).await.unwrap();
    let delta = site.own_tables().await.into_iter().find(|table| table.starts_with("delta_")).unwrap();
    site.fake
        .sql(&format!("CREATE TABLE workspace.shop.kept AS SELECT * FROM workspace._backflow.{delta};"))
        .await
        .unwrap();
    let new = site.reopened().await.unwrap();
    assert_eq!(deliver(&new, "run-1").await.1.len(), 3);
    site.fake
        .sql(&format!("CREATE TABLE workspace._backflow.{delta} AS SELECT * FROM workspace.shop.kept;"))
        .await
        .unwrap();

    let rejected = |change: Change| {
        let change = Change { row: EncodedRow::default(), ..change };
        Ack { change, verdict: Verdict::Rejected(Rejection::new("HTTP_422", None, "too late")) }
    };
    let failure = old.commit(changes.into_iter().map(rejected).collect(), &Counters::default()).await.unwrap_err();
    is(&failure, Code::Fenced, &["taken over"]);
    is(&old.finish(&Counters::default(), Phase::Succeeded).await.unwrap_err(), Code::Fenced, &[]);
    let (found, sent) = deliver(&new, "run-2").await;
    assert_eq!((found.known, found.still_rejected, sent.len()), (3, 0, 0));
}

/// Between the entries and the head, nothing is lost, and nothing looks as if somebody had changed the entries.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_between_entries_and_head_goes_on() {
    let mut site = site().await;
    site.put_rows(&many(1..=3, "a"));
    deliver(&site, "run-1").await;
    for (number, ids) in [(2, 1..=5), (3, 3..=7)] {
        site.put_rows(&many(ids, "a"));
        for again in 0..2 {
            // The head that would follow never comes, nor does that of the run that goes on and dies in the same place.
            let mut dies = site.open_run(&format!("run-{number}")).await.unwrap();
            let changes = page(&mut *dies, 2).await.unwrap();
            assert_eq!(changes.len(), 2, "{number} {again}");
            site.fake.hold("^MERGE INTO .*objects.*turn", None).await.unwrap();
            let counters = Counters::default();
            let mut commit = Box::pin(dies.commit(changes.into_iter().map(delivered).collect(), &counters));
            tokio::select! {
                _ = &mut commit => panic!("there is no head"),
                held = until("no head is written", async || {
                    let all = site.fake.list("/statements").await.unwrap();
                    all.iter().any(|statement| statement["held"] == true && statement["state"] == "RUNNING")
                }) => held.unwrap(),
            }
            drop(commit);
            drop(dies);
            site.warehouse().idle().await;
            site.fake.release().await.unwrap();
            if number == 2 {
                break;
            }
        }
        let (found, sent) = deliver(&site, &format!("run-{number}")).await;
        assert_eq!((found.rows, found.known, sent.len()), (5, 5, 0), "{number}");
    }
    // What somebody changed is still known from that.
    let entries = site.own_tables().await.remove(0);
    site.fake.sql(&format!("DELETE FROM workspace._backflow.{entries} WHERE key1_int = 3;")).await.unwrap();
    is(&refused(&site, "run-9").await, Code::StateDamaged, &[&entries, "Reset"]);
    assert_eq!(site.own_tables().await, [entries], "no delta is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_of_a_run_are_few_and_no_model_is_read_twice() {
    let mut site = site().await;
    for (run, name, changes) in [("run-1", "a", 250), ("run-2", "b", 250), ("run-3", "b", 0)] {
        site.put_rows(&many(1..=250, name));
        let before = site.statements().await;
        assert_eq!(deliver(&site, run).await.1.len(), changes);
        let pages = changes.div_ceil(100);
        let statements = site.statements().await - before;
        assert!(statements <= 2 * pages + 6, "{run}: {statements} statements for {pages} pages");
    }
}

/// A run over the model that this SELECT is.
async fn over(site: &mut FakeSite, run: &str, sql: String) -> (Findings, Vec<Seen>) {
    site.select(sql);
    deliver(site, run).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_smallest_difference_is_a_change_and_none_is_none() {
    let mut site = site().await;
    let pairs = [
        ("CAST(NULL AS STRING)", "''"),
        ("'a,b'", "'a\\\\,b'"),
        ("CAST(0.1 AS DOUBLE)", "CAST(0.10000000000000002 AS DOUBLE)"),
        ("CAST(1e300 AS DOUBLE)", "CAST(1.0000000000000002e300 AS DOUBLE)"),
        ("CAST(0.1 AS FLOAT)", "CAST(0.10000001 AS FLOAT)"),
        ("CAST(1.0 AS DECIMAL(10,1))", "CAST(1.1 AS DECIMAL(10,1))"),
        ("CAST('2026-01-01T00:00:00.000001Z' AS TIMESTAMP)", "CAST('2026-01-01T00:00:00.000002Z' AS TIMESTAMP)"),
        ("CAST('2026-01-01T00:00:00.000001' AS TIMESTAMP_NTZ)", "CAST('2026-01-01T00:00:00.000002' AS TIMESTAMP_NTZ)"),
        ("CAST('2026-01-01' AS DATE)", "CAST('2026-01-02' AS DATE)"),
        ("unhex('00')", "unhex('0000')"),
        ("array('a,b', NULL)", "array('a', 'b')"),
        ("named_struct('x', 1, 'y', CAST(NULL AS STRING))", "named_struct('x', 1, 'y', '')"),
        ("9007199254740993", "9007199254740992"),
        ("true", "CAST(NULL AS BOOLEAN)"),
        ("parse_json('{\"a\":1}')", "parse_json('{\"a\":2}')"),
    ];
    let mut names: Vec<String> = (0..pairs.len()).map(|at| format!("v{at}")).collect();
    names.extend(["n1".into(), "n2".into()]);
    site.used.clone_from(&names);
    // One row for each pair, in which that pair differs; the last two columns are for a NULL that moves.
    let sql = |changed: bool| {
        let row = |id: usize| {
            let values = pairs
                .iter()
                .enumerate()
                .map(|(at, (before, after))| format!("{} AS v{at}", if changed && id == at { after } else { before }));
            let moved = if changed && id == pairs.len() {
                "'x' AS n1, CAST(NULL AS STRING) AS n2"
            } else {
                "CAST(NULL AS STRING) AS n1, 'x' AS n2"
            };
            format!("SELECT {id} AS id, {}, {moved}", values.collect::<Vec<_>>().join(", "))
        };
        (0..=pairs.len() + 1).map(row).collect::<Vec<_>>().join("\nUNION ALL ")
    };
    let rows = pairs.len() + 2;
    assert_eq!(over(&mut site, "run-1", sql(false)).await.1.len(), rows);
    assert_eq!(over(&mut site, "run-2", sql(false)).await.1, []);
    let (found, sent) = over(&mut site, "run-3", sql(true)).await;
    let changed: Vec<String> = sent.iter().map(|(_, key, _)| key.clone()).collect();
    let mut expected: Vec<String> = (0..rows - 1).map(|id| id.to_string()).collect();
    expected.sort();
    assert_eq!((found.added, found.deleted, changed), (0, 0, expected));

    // What is the same to a destination is no change.
    site.used = vec!["a".into(), "b".into()];
    site.plan.mapping.state_key = "site/same".into();
    over(&mut site, "run-1", "SELECT 1 AS id, CAST('-0.0' AS DOUBLE) AS a, CAST(1 AS INT) AS b".into()).await;
    let same = "SELECT 1 AS id, CAST(0 AS DOUBLE) AS a, CAST(1 AS BIGINT) AS b".into();
    assert_eq!(over(&mut site, "run-2", same).await.1, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_every_type_are_the_same_key_when_they_go() {
    let mut site = site().await;
    let parts = [
        ("true", "false"),
        ("CAST(-1 AS SMALLINT)", "CAST(7 AS SMALLINT)"),
        ("CAST(1.50 AS DECIMAL(10,2))", "CAST(-3 AS DECIMAL(10,2))"),
        ("CAST(0.1 AS DOUBLE)", "CAST('NaN' AS DOUBLE)"),
        ("CAST(0.5 AS FLOAT)", "CAST(1e10 AS FLOAT)"),
        ("'é\u{1F600}\"\\''", "''"),
        ("unhex('00FF')", "unhex('')"),
        ("CAST('2026-01-01' AS DATE)", "CAST('1999-12-31' AS DATE)"),
        ("CAST('2026-01-01T00:00:00.000001' AS TIMESTAMP_NTZ)", "CAST('1999-12-31T23:59:59' AS TIMESTAMP_NTZ)"),
        ("CAST('2026-01-01T00:00:00.000001Z' AS TIMESTAMP)", "CAST('1999-12-31T23:59:59Z' AS TIMESTAMP)"),
        ("array(1, 2)", "array(3)"),
    ];
    let names: Vec<String> = (0..parts.len()).map(|at| format!("k{at}")).collect();
    site.plan.model.primary_key.clone_from(&names);
    site.used = vec![names[1].clone()];
    let row = |of: fn(&(&'static str, &'static str)) -> &'static str| {
        let values: Vec<String> =
            parts.iter().zip(&names).map(|(pair, name)| format!("{} AS {name}", of(pair))).collect();
        format!("SELECT {}", values.join(", "))
    };
    let model = format!("{} UNION ALL {}", row(|pair| pair.0), row(|pair| pair.1));
    let (found, mut added) = over(&mut site, "run-1", model.clone()).await;
    assert_eq!((found.added, found.invalid()), (2, 0));
    assert_eq!(over(&mut site, "run-2", model.clone()).await.1, []);
    let (_, deleted) = over(&mut site, "run-3", format!("SELECT * FROM ({model}) AS all_of_it LIMIT 0")).await;
    let gone = |changes: &mut Vec<Seen>| {
        changes.iter_mut().for_each(|(kind, _, row)| (*kind, *row) = (ChangeKind::Deleted, Vec::new()));
    };
    gone(&mut added);
    assert_eq!(added, deleted);

    let mut streaming = site.beside(DiffEngine::Streaming).await.unwrap();
    (streaming.used, streaming.plan.model.primary_key) = (site.used.clone(), names);
    let (_, mut streamed) = over(&mut streaming, "run-1", model).await;
    gone(&mut streamed);
    assert_eq!(added, streamed, "both engines call a key the same");

    // A key of another form is another key.
    let mut site = site.beside(DiffEngine::Pushdown).await.unwrap();
    site.plan.model.primary_key = vec!["id".into()];
    site.used = vec!["name".into()];
    over(&mut site, "run-1", "SELECT 1 AS id, 'a' AS name".into()).await;
    let (found, sent) = over(&mut site, "run-2", "SELECT '1' AS id, 'a' AS name".into()).await;
    assert_eq!((found.added, found.deleted, sent[0].1.as_str(), sent[1].1.as_str()), (1, 1, "\"1\"", "1"));
    assert_eq!(over(&mut site, "run-3", "SELECT '1' AS id, 'a' AS name".into()).await.1, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_users_sql_gets_wrong_is_named_with_its_line() {
    let mut site = site().await;
    site.plan.mapping.filter = Some("id < 3 -- few".into());
    let (found, _) = over(&mut site, "run-1", "SELECT id, 'a' AS name, `pl``an` AS plan FROM (SELECT 1 AS id, 'x' AS `pl``an` UNION ALL SELECT 7, 'y') -- all".into()).await;
    assert_eq!((found.rows, found.added), (1, 1));
    for (sql, code, words) in [
        ("SELECT 1; SELECT 2", Code::MultipleStatements, ""),
        ("SELECT id, name, plan\nFROM nowhere", Code::TableNotFound, "nowhere"),
        (
            "SELECT 1 AS id, 'a' AS name, 'x' AS plan, now() AS now WHERE raise_error('no') IS NULL",
            Code::SqlError,
            "USER_RAISED_EXCEPTION",
        ),
    ] {
        site.select(sql);
        is(&refused(&site, "wrong").await, code, &[words]);
    }
    site.plan.mapping.filter = None;
    site.plan.mapping.state_key = "site/large".into();
    site.select("SELECT 1 AS id, 'a' AS name, repeat('x', 600000) AS plan");
    is(&refused(&site, "run-1").await, Code::LimitExceeded, &["a row", "512 KiB", "\"plan\""]);
    assert_eq!(site.own_tables().await.iter().filter(|table| table.starts_with("delta_")).count(), 0);
}

#[test]
fn every_history_ends_with_what_the_model_has() {
    a_history(false, site);
}

#[test]
fn every_history_of_records_that_are_found_by_name_ends_so_too() {
    a_history(true, site);
}
