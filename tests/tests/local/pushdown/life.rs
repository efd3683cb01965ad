//! Tables, claims, and ends of runs.

use backflow_core::plan::{Mode, ModelQuery};
use backflow_tests::until;

use super::*;

each_on!(postgres: super::site, life: [
    a_run_leaves_its_entries_and_nothing_else,
    a_killed_runs_delta_goes_with_the_next_claim_and_that_of_a_later_claim_stays,
    what_was_sent_and_taken_back_before_it_was_acknowledged_is_found,
    a_canceled_comparison_leaves_no_query_and_no_table,
    state_of_the_other_engine_is_refused_until_it_is_reset,
    entries_that_somebody_changed_are_no_changes_of_the_model,
    duplicates_are_found_wherever_they_hide,
    statements_of_a_run_are_few,
]);

pub(super) async fn a_run_leaves_its_entries_and_nothing_else(mut site: DiffSite) {
    site.sql("INSERT INTO model SELECT n, 'name', NULL FROM generate_series(1, 250) AS n").await;
    let (found, sent) = deliver(&site, "run-1").await;
    assert_eq!((found.rows, found.known, found.added, sent.len()), (250, 0, 250, 250));
    let tables = site.own_tables().await;
    assert!(tables.len() == 1 && tables[0].starts_with("entries_"), "{tables:?}");
    site.sql("DELETE FROM model WHERE id <= 2; UPDATE model SET plan = '' WHERE id IN (3, 4, 5); INSERT INTO model VALUES (251, 'x')")
        .await;
    let (found, sent) = deliver(&site, "run-2").await;
    assert_eq!((found.rows, found.known, found.added, found.updated, found.deleted), (249, 250, 1, 3, 2));
    assert_eq!(sent.iter().filter(|(kind, _, row)| *kind == ChangeKind::Deleted && row.is_empty()).count(), 2);
    let (found, sent) = deliver(&site, "run-3").await;
    assert_eq!((found.known, sent.len()), (249, 0));
    assert_eq!(site.own_tables().await, tables);
    assert!(site.forget().await.unwrap());
    assert_eq!(site.own_tables().await, Vec::<String>::new());
}

pub(super) async fn a_killed_runs_delta_goes_with_the_next_claim_and_that_of_a_later_claim_stays(mut site: DiffSite) {
    site.sql("INSERT INTO model SELECT n, 'name', 'a' FROM generate_series(1, 10) AS n").await;
    let mut old = site.open_run("run-1").await.unwrap();
    let first = page(&mut *old, 4).await.unwrap();
    let mut new = site.open_run("run-1").await.unwrap();
    assert_eq!(site.own_tables().await.len(), 2, "entries, and the delta of the living run");

    // The old pod still lives: it can neither read on, nor commit, nor end.
    is(&page(&mut *old, 4).await.unwrap_err(), Code::Fenced, &["taken over"]);
    is(
        &old.commit(first.into_iter().map(delivered).collect(), &Counters::default()).await.unwrap_err(),
        Code::Fenced,
        &[],
    );
    is(&old.finish(&Counters::default(), Phase::Failed).await.unwrap_err(), Code::Fenced, &[]);
    assert_eq!(site.own_tables().await.len(), 2);

    let all = page(&mut *new, 100).await.unwrap();
    assert_eq!(all.len(), 10);
    new.commit(all.into_iter().map(delivered).collect(), &Counters::default()).await.unwrap();
    assert_eq!(new.finish(&Counters::default(), Phase::Succeeded).await.unwrap().rows, 10);
    assert_eq!(deliver(&site, "run-2").await.1, []);
    assert_eq!(site.own_tables().await.len(), 1);
}

pub(super) async fn what_was_sent_and_taken_back_before_it_was_acknowledged_is_found(mut site: DiffSite) {
    site.sql("INSERT INTO model VALUES (1, 'a', 'x'), (2, 'b', 'x'), (3, 'c', 'x')").await;
    deliver(&site, "run-1").await;
    site.sql("UPDATE model SET name = 'A' WHERE id = 1; DELETE FROM model WHERE id = 2; INSERT INTO model VALUES (4, 'd', 'x')").await;
    // The process dies when everything is sent.
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
    site.sql("UPDATE model SET name = 'a' WHERE id = 1; INSERT INTO model VALUES (2, 'b', 'x'); DELETE FROM model WHERE id = 4").await;
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

pub(super) async fn a_canceled_comparison_leaves_no_query_and_no_table(mut site: DiffSite) {
    deliver(&site, "run-1").await;
    site.plan.model.query = ModelQuery::Sql("SELECT m.* FROM model AS m, pg_sleep(600)".into());
    let active = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'backflow/site' AND query LIKE 'CREATE TABLE%' \
                  AND state = 'active'";
    let mut opening = Box::pin(site.open_run("run-2"));
    let mut watcher = site.beside(DiffEngine::Pushdown).await.unwrap();
    tokio::select! {
        _ = &mut opening => panic!("the model sleeps"),
        running = until("no query runs", async || watcher.number(active).await > 0) => running.unwrap(),
    }
    drop(opening);
    site.warehouse().idle().await;
    // The server has been told; it obeys as soon as it next looks.
    until("the query still runs", async || watcher.number(active).await == 0).await.unwrap();
    assert_eq!(watcher.own_tables().await.len(), 1);
}

pub(super) async fn state_of_the_other_engine_is_refused_until_it_is_reset(mut site: DiffSite) {
    site.sql("INSERT INTO model VALUES (1, 'a', 'x')").await;
    deliver(&site, "run-1").await;
    let mut streaming = site.beside(DiffEngine::Streaming).await.unwrap();
    streaming.plan.mapping.state_key.clone_from(&site.plan.mapping.state_key);
    is(&refused(&streaming, "run-2").await, Code::DiffChanged, &["Pushdown", "Streaming", "Reset"]);
    assert_eq!(deliver(&site, "run-3").await.1, [], "nothing moved");

    streaming.plan.mode = Mode::Reset;
    streaming.plan.options.confirm = true;
    assert_eq!(deliver(&streaming, "run-4").await.1.len(), 1);
    assert_eq!(site.own_tables().await, Vec::<String>::new(), "a Reset forgets what the other engine kept");
    is(&refused(&site, "run-5").await, Code::DiffChanged, &["Pushdown", "Streaming", "Reset"]);
    site.plan.mode = Mode::Reset;
    site.plan.options.confirm = true;
    assert_eq!(deliver(&site, "run-6").await.1.len(), 1);
    assert_eq!(deliver(&site, "run-6").await.1.len(), 0, "a replacement pod of a Reset does not forget again");
}

pub(super) async fn entries_that_somebody_changed_are_no_changes_of_the_model(mut site: DiffSite) {
    site.sql("INSERT INTO model SELECT n, 'name', 'a' FROM generate_series(1, 10) AS n").await;
    deliver(&site, "run-1").await;
    let table = site.own_tables().await.remove(0);
    site.sql(&format!("DELETE FROM _backflow.{table} WHERE key1_int > 8")).await;
    is(&refused(&site, "run-2").await, Code::StateDamaged, &[&table, "8", "10", "Reset"]);
    assert_eq!(site.own_tables().await, std::slice::from_ref(&table), "no delta is left");
    site.sql(&format!("DROP TABLE _backflow.{table}")).await;
    is(&refused(&site, "run-3").await, Code::StateDamaged, &[&table, "missing", "Reset"]);
    site.plan.mode = Mode::Reset;
    site.plan.options.confirm = true;
    assert_eq!(deliver(&site, "run-4").await.1.len(), 10);
}

pub(super) async fn duplicates_are_found_wherever_they_hide(mut site: DiffSite) {
    site.sql("INSERT INTO model SELECT n, 'name', 'a' FROM generate_series(1, 10) AS n").await;
    deliver(&site, "run-1").await;
    let cases = [
        ("INSERT INTO model VALUES (1, 'name', 'a')", 2, "the same row twice"),
        ("INSERT INTO model VALUES (1, 'other', 'a')", 3, "another beside it"),
        ("UPDATE model SET plan = plan || name WHERE id = 1", 3, "all of them changed"),
        ("INSERT INTO model VALUES (20, 'new', 'a'), (20, 'new', 'a')", 5, "a new key twice"),
    ];
    for (number, (sql, duplicates, case)) in cases.into_iter().enumerate() {
        site.sql(sql).await;
        let (found, sent) = deliver(&site, &format!("run-{number}-2")).await;
        assert_eq!((found.invalid_duplicate_key, found.known, found.deleted), (duplicates, 10, 0), "{case}");
        assert_eq!(sent, [], "{case}");
    }
    site.sql("INSERT INTO model VALUES (NULL, 'a', 'b'), (NULL, 'a', 'b'); DELETE FROM model WHERE id IN (1, 20)")
        .await;
    let (found, sent) = deliver(&site, "run-9").await;
    assert_eq!((found.invalid_null_key, found.invalid_duplicate_key, sent.len()), (2, 0, 1));
}

pub(super) async fn statements_of_a_run_are_few(mut site: DiffSite) {
    let role = site.database().to_owned();
    site.sql(&format!("ALTER ROLE {role} SET log_statement = 'all'; ALTER ROLE {role} SET log_min_messages = 'log'"))
        .await;
    let site = &mut site.beside(DiffEngine::Pushdown).await.unwrap();
    site.sql("INSERT INTO model SELECT n, 'name', 'a' FROM generate_series(1, 950) AS n").await;
    for (run, change, changes) in
        [("run-1", "SELECT 1", 950), ("run-2", "UPDATE model SET name = 'b'", 950), ("run-3", "SELECT 1", 0)]
    {
        site.sql(change).await;
        let before = site.statements();
        assert_eq!(deliver(site, run).await.1.len(), changes);
        let pages = changes.div_ceil(100);
        let statements = site.statements() - before;
        assert!(statements <= 2 * pages + 6, "{run}: {statements} statements for {pages} pages");
    }
}
