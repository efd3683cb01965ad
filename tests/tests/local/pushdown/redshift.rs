//! The pushdown engine on what Redshift has: a real Postgres behind the guard.

use backflow_core::plan::{Mode, ModelQuery};
use backflow_tests::oracle::World;

use super::histories::every_history;
use super::*;

/// A server, and a site of the pushdown engine on it, behind a guard.
async fn site() -> DiffSite {
    let server = Arc::new(PostgresServer::start().await.unwrap());
    DiffSite::redshift(&server, DiffEngine::Pushdown).await.unwrap()
}

each_on!(redshift: super::site, life: [
    a_run_leaves_its_entries_and_nothing_else,
    a_killed_runs_delta_goes_with_the_next_claim_and_that_of_a_later_claim_stays,
    what_was_sent_and_taken_back_before_it_was_acknowledged_is_found,
    a_canceled_comparison_leaves_no_query_and_no_table,
    state_of_the_other_engine_is_refused_until_it_is_reset,
    entries_that_somebody_changed_are_no_changes_of_the_model,
    duplicates_are_found_wherever_they_hide,
    statements_of_a_run_are_few,
]);

each_on!(records: super::site, records: [
    records_go_pass_on_and_are_sent_once,
    a_record_that_passed_to_a_row_that_moves_on_before_it_wrote_it_is_taken_back,
    a_group_without_a_match_key_is_left_by_its_row_alone,
    a_replay_sends_what_it_names_as_it_is_now_and_nothing_else,
    a_dry_run_finds_what_a_run_would_moves_nothing_and_leaves_no_table,
    tables_of_an_earlier_version_are_read_and_completed,
]);

each_on!(values: super::site, redshift: [
    the_smallest_difference_is_a_change_and_none_is_none,
    keys_of_every_type_are_the_same_key_when_they_go,
    what_is_too_large_stops_the_run_before_anything_is_sent,
    nothing_of_a_replaced_run_moves,
]);

#[test]
fn every_history_ends_with_what_the_model_has() {
    every_history(4, site, async |site, steps| {
        site.renew();
        World::new(&mut *site, false).live(steps).await;
        assert_eq!(site.guard().unwrap().refused(), Vec::<String>::new());
    });
}

#[test]
fn every_history_of_records_that_are_found_by_name_ends_so_too() {
    every_history(4, site, async |site, steps| {
        site.renew();
        World::new(&mut *site, true).live(steps).await;
        assert_eq!(site.guard().unwrap().refused(), Vec::<String>::new());
    });
}

/// A run over the model that this SELECT is.
async fn over(site: &mut DiffSite, run: &str, sql: &str) -> (Findings, Vec<Seen>) {
    site.plan.model.query = ModelQuery::Sql(sql.into());
    deliver(site, run).await
}

pub(super) async fn the_smallest_difference_is_a_change_and_none_is_none(mut site: DiffSite) {
    site.used = vec!["a".into(), "b".into()];
    let changes = [
        ("CAST(NULL AS varchar(9))", "'x'", "''", "'x'"),
        ("CAST(NULL AS varchar(9))", "'x'", "'x'", "CAST(NULL AS varchar(9))"),
        ("'a,b'", "'c'", "'a'", "'b,c'"),
        ("'a'", "''", "''", "'a'"),
        ("'a'", "'~'", "'a '", "'~'"),
        ("CAST('0.1' AS float8)", "1", "CAST('0.10000000000000002' AS float8)", "1"),
        ("CAST('1e300' AS float8)", "1", "CAST('1.0000000000000002e300' AS float8)", "1"),
        ("CAST('0.1' AS real)", "1", "CAST('0.10000001' AS real)", "1"),
        ("CAST('0.5' AS real)", "1", "CAST('0.5' AS float8)", "1"),
        ("CAST('NaN' AS float8)", "1", "CAST('Infinity' AS float8)", "1"),
        ("CAST('1.0' AS numeric(9, 1))", "1", "CAST('1.00' AS numeric(9, 2))", "1"),
        (
            "CAST('2026-01-01 00:00:00.000001+00' AS timestamptz)",
            "1",
            "CAST('2026-01-01 00:00:00.000002+00' AS timestamptz)",
            "1",
        ),
        (
            "CAST('2026-01-01 00:00:00.000001' AS timestamp)",
            "1",
            "CAST('2026-01-01 00:00:00.000002' AS timestamp)",
            "1",
        ),
        ("CAST('2026-01-01' AS date)", "1", "CAST('2026-01-02' AS date)", "1"),
        ("CAST('10:00:00.000001' AS time)", "1", "CAST('10:00:00.000002' AS time)", "1"),
        ("CAST('10:00:00+00' AS timetz)", "1", "CAST('11:00:00+01' AS timetz)", "1"),
        ("CAST('a' AS char(3))", "1", "CAST('b' AS char(3))", "1"),
        ("9007199254740993", "1", "9007199254740992", "1"),
        ("true", "1", "CAST(NULL AS boolean)", "1"),
        ("true", "1", "false", "1"),
    ];
    for (number, (a, b, other_a, other_b)) in changes.into_iter().enumerate() {
        site.plan.mapping.state_key = format!("values/{number}");
        let sql = |a: &str, b: &str| format!("SELECT 1 AS id, {a} AS a, {b} AS b");
        over(&mut site, "run-1", &sql(a, b)).await;
        assert_eq!(over(&mut site, "run-2", &sql(a, b)).await.1, [], "{a} is {a}");
        let (found, _) = over(&mut site, "run-3", &sql(other_a, other_b)).await;
        assert_eq!((found.added, found.updated, found.deleted), (0, 1, 0), "{a}, {b} is not {other_a}, {other_b}");
    }
    let same = [
        ("CAST('-0' AS float8)", "CAST('0' AS float8)"),
        ("CAST(1 AS smallint)", "CAST(1 AS bigint)"),
        ("CAST('a' AS varchar(3))", "CAST('a' AS varchar(9))"),
    ];
    for (number, (before, after)) in same.into_iter().enumerate() {
        site.plan.mapping.state_key = format!("same/{number}");
        let sql = |a: &str| format!("SELECT 1 AS id, {a} AS a, 1 AS b");
        over(&mut site, "run-1", &sql(before)).await;
        assert_eq!(over(&mut site, "run-2", &sql(after)).await.1, [], "{before} is {after} to a destination");
    }
}

pub(super) async fn keys_of_every_type_are_the_same_key_when_they_go(mut site: DiffSite) {
    site.used = vec!["id".into()];
    let keys = [
        ("true", "false"),
        ("CAST(-1 AS smallint)", "CAST(9223372036854775807 AS bigint)"),
        ("CAST('1.50' AS numeric(9, 2))", "CAST('-1.50' AS numeric(9, 2))"),
        ("CAST('0.1' AS float8)", "CAST('NaN' AS float8)"),
        ("'é\u{1F600}\"'' \\\\ '", "''"),
        ("'a'", "'a '"),
        ("'A'", "'a'"),
        ("CAST('a' AS char(3))", "CAST('b' AS char(3))"),
        ("CAST('2026-01-01' AS date)", "CAST('0001-01-01' AS date)"),
        ("CAST('23:59:59' AS time)", "CAST('00:00:00.000001' AS time)"),
        ("CAST('10:00:00+00' AS timetz)", "CAST('11:00:00+02' AS timetz)"),
        ("CAST('2026-01-01 00:00:00.000001' AS timestamp)", "CAST('2026-01-01 00:00:00' AS timestamp)"),
        ("CAST('2026-01-01 00:00:00.000001+00' AS timestamptz)", "CAST('2026-01-01 00:00:00+00' AS timestamptz)"),
    ];
    for (number, (one, other)) in keys.into_iter().enumerate() {
        let model = format!("SELECT {one} AS id UNION ALL SELECT {other}");
        site.plan.mapping.state_key = format!("keys/{number}");
        let (found, mut added) = over(&mut site, "run-1", &model).await;
        assert_eq!((found.added, found.invalid()), (2, 0), "{model}");
        assert_eq!(over(&mut site, "run-2", &model).await.1, [], "{model}");
        let (_, mut deleted) = over(&mut site, "run-3", &format!("SELECT * FROM ({model}) AS a LIMIT 0")).await;
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

pub(super) async fn what_is_too_large_stops_the_run_before_anything_is_sent(mut site: DiffSite) {
    site.used = vec!["name".into(), "plan".into()];
    // Ten columns, because one holds 65,535 bytes at most.
    let wide: Vec<String> = (0..10).map(|n| format!("repeat('x', 60000) AS w{n}")).collect();
    for (model, used, words) in [
        (
            format!("SELECT 1 AS id, {}", wide.join(", ")),
            (0..10).map(|n| format!("w{n}")).collect(),
            ["a row", "512 KiB", "\"w"],
        ),
        (
            "SELECT repeat('x', 5000) AS id, 'a' AS name, 'b' AS plan".to_owned(),
            vec!["name".to_owned(), "plan".into()],
            ["a primary key", "4 KiB", "\"id\""],
        ),
    ] {
        site.used = used;
        site.plan.model.query = ModelQuery::Sql(model);
        site.plan.mapping.state_key = format!("large/{}", words[1]);
        is(&refused(&site, "run-1").await, Code::LimitExceeded, &words);
        assert!(site.own_tables().await.iter().all(|table| table.starts_with("entries_")));
    }
    site.sql("INSERT INTO model SELECT n, 'a', 'b' FROM generate_series(1, 20) AS n").await;
    let wide: Vec<String> = (0..500).map(|n| format!("id + {n} AS w{n}")).collect();
    site.used = (0..500).map(|n| format!("w{n}")).collect();
    site.plan.mapping.state_key = "large/wide".into();
    let model = format!("SELECT id, {} FROM model", wide.join(", "));
    assert_eq!(over(&mut site, "run-1", &model).await.1.len(), 20);
    assert_eq!(over(&mut site, "run-2", &model).await.1, []);
}

/// Of two processes with one state: what the first one says after the second one's claim moves no entry and no table, at each step of a run.
pub(super) async fn nothing_of_a_replaced_run_moves(mut site: DiffSite) {
    site.sql("INSERT INTO model SELECT n, 'name', 'a' FROM generate_series(1, 9) AS n").await;
    deliver(&site, "run-1").await;
    site.sql("UPDATE model SET name = 'b'").await;
    let mut other = site.beside(DiffEngine::Pushdown).await.unwrap();
    other.plan.mapping.state_key.clone_from(&site.plan.mapping.state_key);
    let mut old = site.open_run("run-2").await.unwrap();
    let handed = page(&mut *old, 9).await.unwrap();

    // A Forget and a first run: the epochs are those that the old run knows, or less.
    assert!(other.forget().await.unwrap());
    let acks = |changes: Vec<Change>| changes.into_iter().map(delivered).collect::<Vec<_>>();
    is(&old.commit(acks(handed.clone()), &Counters::default()).await.unwrap_err(), Code::Fenced, &[]);
    let mut new = other.open_run("run-1").await.unwrap();
    is(&old.commit(acks(handed), &Counters::default()).await.unwrap_err(), Code::Fenced, &[]);
    old.withhold_deletions();
    is(&old.close().await.unwrap_err(), Code::Fenced, &[]);
    let changes = page(&mut *new, 99).await.unwrap();
    assert_eq!((new.findings().added, changes.len()), (9, 9));
    new.commit(acks(changes), &Counters::default()).await.unwrap();
    assert_eq!(new.finish(&Counters::default(), Phase::Succeeded).await.unwrap().rows, 9);
    assert_eq!(deliver(&other, "run-2").await.1, []);

    // A Reset takes the tables of what was before along, and a run of before makes none.
    let mut old = site.open_run("run-3").await.unwrap();
    other.plan.mode = Mode::Reset;
    other.plan.options.confirm = true;
    assert_eq!(deliver(&other, "run-4").await.1.len(), 9);
    is(&old.finish(&Counters::default(), Phase::Failed).await.unwrap_err(), Code::Fenced, &[]);
    assert_eq!(site.own_tables().await.len(), 1);
}
