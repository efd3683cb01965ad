//! The pushdown engine in the fake of Azure SQL.

use backflow_core::cell::Cell;
use backflow_core::plan::{Mode, ModelQuery};
use backflow_tests::fake_site::FakeSite;
use backflow_tests::warehouse::Service;
use serde_json::json;

use super::fakes::{a_history, deliver, refused};
use super::*;

const TABLE: &str = "CREATE TABLE model (id bigint, name nvarchar(100), [plan] nvarchar(100));";

async fn site() -> FakeSite {
    FakeSite::with_table(Service::AzureSql, TABLE).await.unwrap()
}

async fn over(site: &mut FakeSite, name: &str, sql: &str) -> (Findings, Vec<Seen>) {
    site.plan.model.query = ModelQuery::Sql(sql.into());
    deliver(site, name).await
}

async fn numbered(site: &FakeSite, ids: std::ops::RangeInclusive<i64>) {
    let row = |id| vec![Cell::Int(id), Cell::Text("name".into()), Cell::Null];
    site.fill(&ids.map(row).collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_sql_finds_what_changed_and_leaves_its_entries_alone() {
    let mut site = site().await;
    numbered(&site, 1..=250).await;
    let (found, sent) = deliver(&site, "run-1").await;
    assert_eq!((found.rows, found.known, found.added, sent.len()), (250, 0, 250, 250));
    let tables = site.own_tables().await;
    assert!(tables.len() == 1 && tables[0].starts_with("entries_"), "{tables:?}");

    site.sql("DELETE FROM model WHERE id <= 2;\nUPDATE model SET [plan] = '' WHERE id IN (3, 4, 5);\nINSERT INTO model VALUES (251, N'x', N'é')")
        .await;
    let before = site.statements().await;
    let (found, sent) = deliver(&site, "run-2").await;
    assert_eq!((found.rows, found.known, found.added, found.updated, found.deleted), (249, 250, 1, 3, 2));
    assert_eq!(sent.iter().filter(|(kind, _, row)| *kind == ChangeKind::Deleted && row.is_empty()).count(), 2);
    assert!(sent.iter().any(|(_, key, row)| key == "251" && row[2] == "\"é\""), "{sent:?}");
    let statements = site.statements().await - before;
    assert!(statements <= 2 * 3 + 6, "{statements} statements for three pages");
    let with = "WITH all_of_it AS (SELECT * FROM dbo.model)\nSELECT * FROM all_of_it -- and a comment";
    let (found, sent) = over(&mut site, "run-3", with).await;
    assert_eq!((found.known, sent.len()), (249, 0));

    site.sql(
        "INSERT INTO model VALUES (10, N'name', NULL), (20, N'other', NULL), (NULL, N'a', NULL), (NULL, N'a', NULL)",
    )
    .await;
    let (found, sent) = deliver(&site, "run-4").await;
    assert_eq!((found.invalid_duplicate_key, found.invalid_null_key, found.known, sent.len()), (4, 2, 249, 0));
    assert_eq!(site.own_tables().await, tables);
    assert!(site.forget().await.unwrap());
    assert_eq!(site.own_tables().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_sql_fences_a_claim_that_was_replaced() {
    let site = site().await;
    numbered(&site, 1..=10).await;
    let mut old = site.open_run("run-1").await.unwrap();
    let first = page(&mut *old, 4).await.unwrap();
    let mut beside = site.beside(DiffEngine::Pushdown).await.unwrap();
    beside.plan = site.plan.clone();
    let mut new = beside.open_run("run-1").await.unwrap();
    assert_eq!(site.own_tables().await.len(), 2, "entries, and the delta of the living run");

    // The old pod still lives: it can neither read on, nor commit, nor end.
    is(&page(&mut *old, 4).await.unwrap_err(), Code::Fenced, &["taken over"]);
    let acks = first.into_iter().map(delivered).collect();
    is(&old.commit(acks, &Counters::default()).await.unwrap_err(), Code::Fenced, &[]);
    is(&old.finish(&Counters::default(), Phase::Failed).await.unwrap_err(), Code::Fenced, &[]);
    assert_eq!(site.own_tables().await.len(), 2);

    let all = page(&mut *new, 100).await.unwrap();
    assert_eq!(all.len(), 10);
    // The entries move, and the answer that says so is lost.
    site.fake.fault(json!({"kind": "reset", "afterBytes": 0, "body": "MERGE INTO"})).await.unwrap();
    new.commit(all.into_iter().map(delivered).collect(), &Counters::default()).await.unwrap();
    assert_eq!(new.finish(&Counters::default(), Phase::Succeeded).await.unwrap().rows, 10);
    assert_eq!(site.fake.struck().await.unwrap(), [1]);
    assert_eq!(deliver(&site, "run-2").await.1, []);
    assert_eq!(site.own_tables().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_sql_finds_what_was_sent_and_taken_back_before_it_was_acknowledged() {
    let site = site().await;
    site.sql("INSERT INTO model VALUES (1, 'a', 'x'), (2, 'b', 'x'), (3, 'c', 'x')").await;
    deliver(&site, "run-1").await;
    site.sql("UPDATE model SET name = 'A' WHERE id = 1;\nDELETE FROM model WHERE id = 2;\nINSERT INTO model VALUES (4, 'd', 'x')")
        .await;
    // The process dies when everything is sent: of each kind there is one, of which none is committed.
    let mut dies = site.open_run("run-2").await.unwrap();
    for kind in KINDS {
        assert_eq!(dies.next_page(kind, 10).await.unwrap().len(), 1);
    }
    drop(dies);
    site.sql("UPDATE model SET name = 'a' WHERE id = 1;\nINSERT INTO model VALUES (2, 'b', 'x');\nDELETE FROM model WHERE id = 4")
        .await;
    let (found, sent) = deliver(&site, "run-3").await;
    let expected = [
        (ChangeKind::Updated, "1".to_owned(), vec!["1".to_owned(), "\"a\"".into(), "\"x\"".into()]),
        (ChangeKind::Updated, "2".into(), vec!["2".into(), "\"b\"".into(), "\"x\"".into()]),
        (ChangeKind::Deleted, "4".into(), Vec::new()),
    ];
    assert_eq!((found.known, found.updated, found.deleted), (3, 2, 1));
    assert_eq!(sent, expected);
    assert_eq!(deliver(&site, "run-4").await.1, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_sql_forgets_with_a_reset_what_either_engine_kept() {
    let mut site = site().await;
    numbered(&site, 1..=3).await;
    deliver(&site, "run-1").await;
    let mut streaming = site.beside(DiffEngine::Streaming).await.unwrap();
    streaming.plan.mapping.state_key.clone_from(&site.plan.mapping.state_key);
    is(&refused(&streaming, "run-2").await, Code::DiffChanged, &["Pushdown", "Streaming", "Reset"]);
    streaming.plan.mode = Mode::Reset;
    streaming.plan.options.confirm = true;
    assert_eq!(deliver(&streaming, "run-3").await.1.len(), 3);
    assert_eq!(site.own_tables().await, Vec::<String>::new(), "a Reset forgets what the other engine kept");
    site.plan.mode = Mode::Reset;
    site.plan.options.confirm = true;
    assert_eq!(deliver(&site, "run-4").await.1.len(), 3);
    assert_eq!(deliver(&site, "run-4").await.1.len(), 0, "a replacement pod of a Reset does not forget again");
}

/// A row for each of these: of the columns, whose values are the first of each pair, the one that is its own has the second.
fn each_its_own(pairs: &[(&str, &str)], turned: bool) -> String {
    let row = |own: usize| {
        let value = |(at, (one, other)): (usize, &(&str, &str))| {
            format!("{} AS v{at}", if turned && at == own { other } else { one })
        };
        format!("SELECT {own} AS id, {}", pairs.iter().enumerate().map(value).collect::<Vec<_>>().join(", "))
    };
    (0..pairs.len()).map(row).collect::<Vec<_>>().join(" UNION ALL ")
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_sql_takes_the_smallest_difference_for_a_change() {
    let mut site = site().await;
    let changes = [
        ("CAST(NULL AS nvarchar(9))", "N''"),
        ("N'1:'", "N'1:N'"),
        ("N'a'", "N'a '"),
        ("CAST(0.1 AS float)", "CAST(0.10000000000000002 AS float)"),
        ("CAST('2026-01-01T00:00:00.000001' AS datetime2(7))", "CAST('2026-01-01T00:00:00.000002' AS datetime2(7))"),
        ("CAST('10:00:00.000001' AS time(7))", "CAST('10:00:00.000002' AS time(7))"),
        ("CAST(9007199254740993 AS bigint)", "CAST(9007199254740992 AS bigint)"),
        ("CAST(1 AS bit)", "CAST(NULL AS bit)"),
        ("CAST(1.50 AS decimal(9,2))", "CAST(1.51 AS decimal(9,2))"),
        ("CAST(1 AS money)", "CAST(1.0001 AS money)"),
        ("0x00", "0x0000"),
    ];
    site.used = (0..changes.len()).map(|at| format!("v{at}")).collect();
    over(&mut site, "run-1", &each_its_own(&changes, false)).await;
    assert_eq!(deliver(&site, "run-2").await.1, []);
    let (found, _) = over(&mut site, "run-3", &each_its_own(&changes, true)).await;
    assert_eq!((found.added, found.updated, found.deleted), (0, changes.len() as u64, 0));

    // A value that moves to the next column.
    site.used.truncate(2);
    site.plan.mapping.state_key = "values/moved".into();
    over(&mut site, "run-1", "SELECT 1 AS id, N'x' AS v0, CAST(NULL AS nvarchar(9)) AS v1").await;
    let (found, _) = over(&mut site, "run-2", "SELECT 1 AS id, CAST(NULL AS nvarchar(9)) AS v0, N'x' AS v1").await;
    assert_eq!(found.updated, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_sql_knows_keys_of_every_type_when_they_go() {
    let mut site = site().await;
    let keys = [
        ("CAST(1 AS bit)", "CAST(0 AS bit)"),
        ("CAST(-1 AS smallint)", "CAST(7 AS smallint)"),
        ("CAST(1.50 AS decimal(9,2))", "CAST(-0.05 AS decimal(9,2))"),
        ("CAST(1.5 AS money)", "CAST(-2 AS money)"),
        ("CAST(0.1 AS float)", "CAST(1e22 AS float)"),
        ("N'é\u{1F600}\"'''", "N''"),
        ("N'a'", "N'a '"),
        (
            "CAST('00000000-0000-0000-0000-000000000001' AS uniqueidentifier)",
            "CAST('ffffffff-0000-0000-0000-000000000001' AS uniqueidentifier)",
        ),
        ("CAST('2026-01-01' AS date)", "CAST('0001-01-01' AS date)"),
        ("CAST('23:59:59.999999' AS time(7))", "CAST('00:00:00' AS time(7))"),
        ("CAST('2026-01-01T00:00:00.000001' AS datetime2(7))", "CAST('1969-12-31T23:59:59' AS datetime2(7))"),
        ("CAST(0x00ff AS varbinary(8))", "CAST(0x00ff00 AS varbinary(8))"),
    ];
    let model = each_its_own(&keys, true);
    site.used = vec!["id".into()];
    site.plan.model.primary_key = (0..keys.len()).map(|at| format!("v{at}")).collect();
    let (found, mut added) = over(&mut site, "run-1", &model).await;
    assert_eq!((found.added, found.invalid()), (keys.len() as u64, 0));
    assert_eq!(deliver(&site, "run-2").await.1, []);
    let mut streaming = site.beside(DiffEngine::Streaming).await.unwrap();
    streaming.plan.model = site.plan.model.clone();
    streaming.used.clone_from(&site.used);
    assert_eq!(deliver(&streaming, "run-1").await.1, added, "both engines call a key the same");
    let (_, deleted) = over(&mut site, "run-3", &format!("SELECT * FROM ({model}) AS v WHERE 1 = 0")).await;
    added.iter_mut().for_each(|(kind, _, row)| (*kind, *row) = (ChangeKind::Deleted, Vec::new()));
    assert_eq!(added, deleted);
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_sql_compares_and_a_dedicated_pool_does_not() {
    let site = site().await;
    deliver(&site, "run-1").await;
    site.warehouse().check().await.unwrap();
    site.fake.settings(json!({"readOnly": true})).await.unwrap();
    is(&site.warehouse().check().await.unwrap_err(), Code::PermissionDenied, &["GRANT CREATE TABLE"]);
    site.fake.settings(json!({"readOnly": false, "edition": "pool"})).await.unwrap();
    let pool = site.beside(DiffEngine::Pushdown).await.unwrap();
    is(&refused(&pool, "run-1").await, Code::PlanInvalid, &["Synapse", "Streaming"]);
    is(&pool.warehouse().check().await.unwrap_err(), Code::PlanInvalid, &["Synapse"]);
}

#[test]
fn azure_sql_ends_every_history_with_what_the_model_has() {
    a_history(false, site);
}

#[test]
fn azure_sql_ends_every_history_of_records_that_are_found_by_name_so_too() {
    a_history(true, site);
}
