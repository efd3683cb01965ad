//! The pushdown engine in Snowflake, as far as its fake goes.

use backflow_core::cell::Cell;
use backflow_core::plan::{Mode, ModelQuery};
use backflow_tests::fake_site::FakeSite;
use backflow_tests::oracle::id;
use backflow_tests::warehouse::Service;

use super::fakes::{a_history, deliver};
use super::*;

use ChangeKind::{Added, Deleted, Updated};

const COLUMNS: &str = "\"id\" NUMBER(18, 0), \"name\" VARCHAR, \"plan\" VARCHAR";

async fn site() -> FakeSite {
    FakeSite::with_table(Service::Snowflake, &format!("CREATE TABLE model ({COLUMNS})")).await.unwrap()
}

/// Changes in their order, by kind and id.
fn ids(sent: &[Seen]) -> Vec<(ChangeKind, &str)> {
    sent.iter().map(|(kind, id, _)| (*kind, id.as_str())).collect()
}

fn row(id: i64, name: &str, plan: Option<&str>) -> Vec<Cell> {
    vec![Cell::Int(id), Cell::Text(name.into()), plan.map_or(Cell::Null, |plan| Cell::Text(plan.into()))]
}

#[test]
fn every_history_ends_with_what_the_model_has() {
    a_history(false, site);
}

#[test]
fn every_history_of_records_that_are_found_by_name_ends_so_too() {
    a_history(true, site);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_leaves_its_entries_and_nothing_else() {
    let site = site().await;
    let rows: Vec<Vec<Cell>> = (1..=150).map(|id| row(id, "it's", None)).collect();
    site.fill(&rows).await;
    let before = site.statements().await;
    let (found, sent) = deliver(&site, "run-1").await;
    assert_eq!((found.rows, found.known, found.added, sent.len()), (150, 0, 150, 150));
    let statements = site.statements().await - before;
    assert!(statements <= 2 * 2 + 6, "{statements} statements for 2 pages");
    let tables = site.own_tables().await;
    assert!(tables.len() == 1 && tables[0].starts_with("entries_"), "{tables:?}");

    let changed = (3..=151).map(|id| row(id, "it's", (id < 5).then_some("")));
    let mut rows: Vec<Vec<Cell>> = changed.collect();
    site.fill(&rows).await;
    let before = site.statements().await;
    let (found, sent) = deliver(&site, "run-2").await;
    assert_eq!((found.rows, found.known), (149, 150));
    let wanted = [(Added, "151"), (Updated, "3"), (Updated, "4"), (Deleted, "1"), (Deleted, "2")];
    assert_eq!(ids(&sent), wanted);
    let statements = site.statements().await - before;
    assert!(statements <= 2 * 3 + 6, "{statements} statements for 3 pages");
    rows.extend([row(7, "twice", None), vec![Cell::Null, Cell::Null, Cell::Null]]);
    site.fill(&rows).await;
    let (found, sent) = deliver(&site, "run-3").await;
    assert_eq!((found.invalid_null_key, found.invalid_duplicate_key), (1, 2));
    assert_eq!((found.known, sent.len()), (149, 0));
    assert_eq!(site.own_tables().await, tables);
    assert!(site.forget().await.unwrap());
    assert_eq!(site.own_tables().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_replaced_moves_nothing() {
    let site = site().await;
    site.fill(&[row(1, "a", None), row(2, "b", None)]).await;
    // Two processes with one state.
    let old_site = site.reopened().await.unwrap();
    let mut old = old_site.open_run("run-1").await.unwrap();
    let first = page(&mut *old, 1).await.unwrap();
    let mut new = site.open_run("run-1").await.unwrap();
    assert_eq!(site.own_tables().await.len(), 2, "entries, and the delta of the living run");

    is(&page(&mut *old, 1).await.unwrap_err(), Code::Fenced, &["taken over"]);
    let acks = first.into_iter().map(delivered).collect();
    is(&old.commit(acks, &Counters::default()).await.unwrap_err(), Code::Fenced, &[]);
    is(&old.finish(&Counters::default(), Phase::Failed).await.unwrap_err(), Code::Fenced, &[]);
    is(&old.close().await.unwrap_err(), Code::Fenced, &[]);
    assert_eq!(site.own_tables().await.len(), 2);

    let all = page(&mut *new, 100).await.unwrap();
    assert_eq!(all.len(), 2);
    new.commit(all.into_iter().map(delivered).collect(), &Counters::default()).await.unwrap();
    assert_eq!(new.finish(&Counters::default(), Phase::Succeeded).await.unwrap().rows, 2);
    assert_eq!(deliver(&site, "run-2").await.1, []);
    assert_eq!(site.own_tables().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_run_that_makes_its_delta_late_leaves_none() {
    let site = site().await;
    site.fill(&[row(1, "a", None)]).await;
    let old_site = site.reopened().await.unwrap();
    site.fake.hold("CREATE TRANSIENT TABLE .*DELTA_.*_1\\b", None).await.unwrap();
    let late = tokio::spawn(async move { old_site.open_run("run-1").await.err() });
    let made = async || site.fake.running().await.unwrap().iter().any(|sql| sql.contains("DELTA_"));
    backflow_tests::until("no delta is made", made).await.unwrap();
    assert_eq!(deliver(&site, "run-1").await.1.len(), 1);
    site.fake.release().await.unwrap();
    is(&late.await.unwrap().unwrap(), Code::Fenced, &[]);
    assert_eq!(site.own_tables().await.len(), 1);
    assert_eq!(deliver(&site, "run-2").await.1, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_killed_or_lost_around_a_commit_comes_again_or_is_there() {
    let mut site = site().await;
    site.fill(&[row(1, "a", None), row(2, "b", None)]).await;
    // Sent, and killed before the commit.
    let mut dies = site.open_run("run-1").await.unwrap();
    let sent = page(&mut *dies, 10).await.unwrap();
    drop(dies);
    let mut again = site.open_run("run-1").await.unwrap();
    let changes = page(&mut *again, 10).await.unwrap();
    let same =
        |changes: &[Change]| changes.iter().map(|change| (id(change), change.rev, change.hash)).collect::<Vec<_>>();
    assert_eq!(same(&changes), same(&sent), "with the keys that it had");

    // The commit's answer is lost: it is asked for again, and runs once.
    let lost = serde_json::json!({"kind": "reset", "afterBytes": 0, "body": "MERGE INTO", "times": 1});
    site.fake.fault(lost).await.unwrap();
    again.commit(changes.into_iter().map(delivered).collect(), &Counters::default()).await.unwrap();
    assert_eq!(site.fake.struck().await.unwrap(), [1]);
    site.fake.calm().await.unwrap();
    again.finish(&Counters::default(), Phase::Succeeded).await.unwrap();
    assert_eq!(deliver(&site, "run-2").await.1, []);

    // A transaction that does not come to its end moves neither entries nor head.
    site.fill(&[row(1, "A", None), row(2, "b", None)]).await;
    let mut fails = site.open_run("run-3").await.unwrap();
    let changes = page(&mut *fails, 10).await.unwrap();
    site.sql("ALTER TABLE _BACKFLOW.OBJECTS RENAME COLUMN writing TO hidden").await;
    fails.commit(changes.into_iter().map(delivered).collect(), &Counters::default()).await.unwrap_err();
    site.sql("ALTER TABLE _BACKFLOW.OBJECTS RENAME COLUMN hidden TO writing").await;
    let (found, sent) = deliver(&site, "run-4").await;
    assert_eq!((found.known, ids(&sent)), (2, vec![(Updated, "1")]));
    assert_eq!(deliver(&site, "run-5").await.1, []);

    // A Reset forgets, once.
    site.plan.mode = Mode::Reset;
    site.plan.options.confirm = true;
    assert_eq!(deliver(&site, "run-6").await.1.len(), 2);
    assert_eq!(deliver(&site, "run-6").await.1, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledgements_that_are_too_long_for_a_request_are_stored_first() {
    let site = site().await;
    let rows: Vec<Vec<Cell>> = (1..=300).map(|id| row(id, "a", None)).collect();
    site.fill(&rows).await;
    let mut run = site.open_run("run-1").await.unwrap();
    let changes = page(&mut *run, 1000).await.unwrap();
    let with_id = |change: Change| {
        let memory = Memory {
            remote_id: Some(format!("{}-{}", id(&change), "é\"\\'".repeat(600)).into()),
            ..Memory::default()
        };
        Ack { change: Change { row: EncodedRow::default(), ..change }, verdict: Verdict::Delivered(memory) }
    };
    run.commit(changes.into_iter().map(with_id).collect(), &Counters::default()).await.unwrap();
    run.finish(&Counters::default(), Phase::Succeeded).await.unwrap();
    assert_eq!(site.objects("moves").await, []);
    site.fill(&rows[..1]).await;
    let mut run = site.open_run("run-2").await.unwrap();
    let gone = page(&mut *run, 1000).await.unwrap();
    assert_eq!(gone.len(), 299);
    let whole = |change: &Change| {
        change.memory.remote_id.as_deref() == Some(&format!("{}-{}", id(change), "é\"\\'".repeat(600)))
    };
    assert!(gone.iter().all(whole));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_leaves_no_table() {
    let mut site = site().await;
    site.fill(&[row(1, "a", None), row(2, "a", None)]).await;
    site.plan.mode = Mode::DryRun;
    let mut dry = site.open_run("dry").await.unwrap();
    assert_eq!(page(&mut *dry, 10).await.unwrap().len(), 2);
    dry.close().await.unwrap();
    assert_eq!(site.own_tables().await, Vec::<String>::new());
}

/// A column, and for some of its values what they become.
struct Case {
    before: &'static str,
    after: &'static str,
}

const CASES: &[Case] = &[
    Case { before: "NULL::VARCHAR", after: "''" },
    Case { before: "'a\"'", after: "'a''\"'" },
    Case { before: "0.1::FLOAT", after: "0.10000000000000002::FLOAT" },
    Case { before: "1e300::FLOAT", after: "1.0000000000000002e300::FLOAT" },
    Case { before: "'NaN'::FLOAT", after: "'inf'::FLOAT" },
    Case { before: "9007199254740993", after: "9007199254740992" },
    Case { before: "1.50::NUMBER(10, 2)", after: "1.51::NUMBER(10, 2)" },
    Case { before: "TRUE", after: "NULL::BOOLEAN" },
    Case { before: "'2026-01-01'::DATE", after: "'2026-01-02'::DATE" },
    Case { before: "'10:00:00.000001'::TIME", after: "'10:00:00.000002'::TIME" },
    Case {
        before: "'2026-01-01T00:00:00.000001'::TIMESTAMP_NTZ",
        after: "'2026-01-01T00:00:00.000002'::TIMESTAMP_NTZ",
    },
    Case {
        before: "'2026-01-01T00:00:00.000001Z'::TIMESTAMP_LTZ",
        after: "'2026-01-01T00:00:00.000002Z'::TIMESTAMP_LTZ",
    },
    Case {
        before: "'2026-01-01T00:00:00.000001Z'::TIMESTAMP_TZ",
        after: "'2026-01-01T00:00:00.000002Z'::TIMESTAMP_TZ",
    },
    Case { before: "TO_BINARY('00', 'HEX')", after: "TO_BINARY('0000', 'HEX')" },
    Case { before: "PARSE_JSON('{\"a\":[1]}')", after: "PARSE_JSON('{\"a\":[\"1\"]}')" },
    // What two columns say together.
    Case { before: "'a,b'", after: "'a'" },
    Case { before: "'c'", after: "'b,c'" },
    Case { before: "NULL::VARCHAR", after: "'x'" },
    Case { before: "'x'", after: "NULL::VARCHAR" },
];

/// The first of two columns that change together.
const TOGETHER: usize = 15;

/// A model with a column of each case, of which row `n` has the `n`th case's other value if it is `changed`.
fn cases(changed: bool) -> String {
    let columns = CASES.iter().enumerate().map(|(at, Case { before, after })| {
        let number = if at < TOGETHER { at } else { TOGETHER + (at - TOGETHER) / 2 } + 1;
        let value = if changed {
            format!("CASE WHEN m.\"id\" = {number} THEN {after} ELSE {before} END")
        } else {
            (*before).into()
        };
        format!(", {value} AS \"c{at}\"")
    });
    format!("SELECT m.\"id\"{} FROM model AS m", columns.collect::<String>())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_smallest_difference_is_a_change_and_none_is_none() {
    let mut site = site().await;
    let number = TOGETHER + (CASES.len() - TOGETHER) / 2;
    let rows: Vec<Vec<Cell>> = (0..=number).map(|at| row(at as i64, "", None)).collect();
    site.fill(&rows).await;
    site.used = (0..CASES.len()).map(|at| format!("c{at}")).collect();
    site.plan.model.query = ModelQuery::Sql(cases(false));
    assert_eq!(deliver(&site, "run-1").await.1.len(), number + 1);
    assert_eq!(deliver(&site, "run-2").await.1, []);
    site.plan.model.query = ModelQuery::Sql(cases(true));
    let (found, sent) = deliver(&site, "run-3").await;
    let changed: Vec<&str> = sent.iter().map(|(_, id, _)| id.as_str()).collect();
    for at in 1..=number {
        assert!(changed.contains(&at.to_string().as_str()), "{} is not {}", CASES[at - 1].before, CASES[at - 1].after);
    }
    assert_eq!((found.updated as usize, found.added, found.deleted), (number, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_every_type_are_the_same_key_when_they_go() {
    let mut site = site().await;
    let parts = [
        ("TRUE", "FALSE"),
        ("-1", "99999999999999999999999999999999999999"),
        ("1.50::NUMBER(10, 2)", "-0.01::NUMBER(10, 2)"),
        ("0.1::FLOAT", "'NaN'::FLOAT"),
        ("'é\u{1F600}\"'''", "''"),
        ("'A'", "'a'"),
        ("TO_BINARY('00ff', 'HEX')", "TO_BINARY('', 'HEX')"),
        ("'2026-01-01'::DATE", "'1969-12-31'::DATE"),
        ("'23:59:59.999999'::TIME", "'00:00:00.000001'::TIME"),
        ("'2026-01-01T00:00:00.000001'::TIMESTAMP_NTZ", "'0044-03-15'::TIMESTAMP_NTZ"),
        ("'2026-01-01T00:00:00.000001Z'::TIMESTAMP_LTZ", "'1969-12-31T23:59:59.9Z'::TIMESTAMP_LTZ"),
        ("'2026-01-01T00:00:00+01:00'::TIMESTAMP_TZ", "'2026-01-01T00:00:00Z'::TIMESTAMP_TZ"),
        ("PARSE_JSON('{\"a\":1}')", "PARSE_JSON('[]')"),
    ];
    let columns = parts
        .iter()
        .enumerate()
        .map(|(at, (usual, other))| format!("CASE WHEN m.\"id\" = {at} THEN {other} ELSE {usual} END AS \"k{at}\""));
    let model = format!("SELECT {} FROM model AS m", columns.collect::<Vec<_>>().join(", "));
    let rows: Vec<Vec<Cell>> = (0..=parts.len()).map(|at| row(at as i64, "", None)).collect();
    site.fill(&rows).await;
    site.plan.model.query = ModelQuery::Sql(model);
    site.plan.model.primary_key = (0..parts.len()).map(|at| format!("k{at}")).collect();
    site.used = site.plan.model.primary_key.clone();
    let (found, added) = deliver(&site, "run-1").await;
    assert_eq!((found.added as usize, found.invalid()), (parts.len() + 1, 0));
    assert_eq!(deliver(&site, "run-2").await.1, []);

    let mut streaming = site.beside(DiffEngine::Streaming).await.unwrap();
    streaming.renew();
    streaming.plan.model = site.plan.model.clone();
    streaming.used.clone_from(&site.used);
    assert_eq!(deliver(&streaming, "run-1").await.1, added, "both engines say the same");

    site.fill(&[]).await;
    let keys = |sent: &[Seen]| sent.iter().map(|(_, key, _)| key.clone()).collect::<Vec<_>>();
    assert_eq!(keys(&deliver(&site, "run-3").await.1), keys(&added));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_type_is_another_key_and_names_are_names() {
    let mut site = site().await;
    site.used = vec!["name".into()];
    let mut over = async |run: &str, sql: &str| {
        site.plan.model.query = ModelQuery::Sql(sql.into());
        deliver(&site, run).await
    };
    over("run-1", "SELECT 1::NUMBER(5, 0) AS \"id\", 'a' AS \"name\"").await;
    assert_eq!(over("run-2", "SELECT 1 AS \"id\", 'a' AS \"name\"").await.1, []);
    let (found, sent) = over("run-3", "SELECT '1' AS \"id\", 'a' AS \"name\"").await;
    assert_eq!((found.added, found.deleted, found.known), (1, 1, 1));
    assert_eq!((sent[0].1.as_str(), sent[1].1.as_str()), ("\"1\"", "1"));
    assert_eq!(over("run-4", "SELECT '1' AS \"id\", 'a' AS \"name\"").await.1, []);

    site.renew();
    let names = ["key1_int", "c1", "_m", "row", "kind", "we\"ird", "it's", "{}", "$1", "a b; DROP TABLE model", "ünï"];
    let columns: Vec<String> =
        names.iter().map(|name| format!("\"id\" AS \"{}\"", name.replace('"', "\"\""))).collect();
    site.fill(&[row(1, "", None), row(2, "", None), row(3, "", None)]).await;
    site.plan.model.primary_key = vec!["row".into(), "we\"ird".into(), "{}".into()];
    site.used = names.map(String::from).into();
    site.plan.model.query = ModelQuery::Sql(format!("SELECT {} FROM model -- and a comment", columns.join(", ")));
    site.plan.mapping.filter = Some("\"kind\" < 3 -- and another".into());
    let (found, sent) = deliver(&site, "run-1").await;
    assert_eq!((found.rows, sent.len(), sent[0].1.as_str()), (2, 2, "[1,1,1]"));
    assert_eq!(deliver(&site, "run-2").await.1, []);

    site.plan.model.query = ModelQuery::Sql("SELECT \"id\" AS \"row\", naem FROM model".into());
    site.plan.model.primary_key = vec!["row".into()];
    is(&site.open_run("wrong").await.err().unwrap(), Code::ColumnNotFound, &["NAEM"]);
    let large = "SELECT 1 AS \"id\", 'a' AS \"name\", REPEAT('x', 600000) AS \"plan\"";
    site.renew();
    (site.plan.model.query, site.plan.mapping.filter) = (ModelQuery::Sql(large.into()), None);
    (site.plan.model.primary_key, site.used) = (vec!["id".into()], vec!["name".into(), "plan".into()]);
    is(&site.open_run("large").await.err().unwrap(), Code::LimitExceeded, &["a row", "512 KiB", "\"plan\""]);
}
