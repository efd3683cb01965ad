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

/// Columns of a model of all types: name, type, and the type that it has later.
const COLUMNS: [(&str, &str, &str); 17] = [
    ("a", "varchar(9)", "varchar(9)"),
    ("b", "varchar(9)", "varchar(9)"),
    ("f", "float8", "float8"),
    ("r", "real", "real"),
    ("z", "timestamptz", "timestamptz"),
    ("t", "timestamp", "timestamp"),
    ("d", "date", "date"),
    ("c", "time", "time"),
    ("o", "timetz", "timetz"),
    ("p", "char(3)", "char(3)"),
    ("i", "bigint", "bigint"),
    ("y", "boolean", "boolean"),
    ("real_float", "real", "float8"),
    ("scale", "numeric(9, 1)", "numeric(9, 2)"),
    ("small_big", "smallint", "bigint"),
    ("longer", "varchar(3)", "varchar(9)"),
    ("n", "numeric(9, 2)", "numeric(9, 2)"),
];

/// Values of some columns, all others are NULL.
type Values = &'static [(&'static str, &'static str)];

/// A model that has these values, row by row; `later`: in the types of later.
fn rows_of(rows: &[Values], later: bool) -> String {
    let row = |(at, values): (usize, &Values)| {
        let cell = |(name, before, after): &(&str, &str, &str)| {
            let value = values.iter().find(|(known, _)| known == name).map_or("NULL", |(_, value)| *value);
            format!("CAST({value} AS {}) AS {name}", if later { after } else { before })
        };
        format!("SELECT {at} AS id, {}", COLUMNS.iter().map(cell).collect::<Vec<_>>().join(", "))
    };
    rows.iter().enumerate().map(row).collect::<Vec<_>>().join(" UNION ALL ")
}

pub(super) async fn the_smallest_difference_is_a_change_and_none_is_none(mut site: DiffSite) {
    site.used = COLUMNS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    let changes: [(Values, Values); 20] = [
        (&[("b", "'x'")], &[("a", "''"), ("b", "'x'")]),
        (&[("b", "'x'")], &[("a", "'x'")]),
        (&[("a", "'a,b'"), ("b", "'c'")], &[("a", "'a'"), ("b", "'b,c'")]),
        (&[("a", "'a'"), ("b", "''")], &[("a", "''"), ("b", "'a'")]),
        (&[("a", "'~'")], &[("a", "'~ '")]),
        (&[("f", "'0.1'")], &[("f", "'0.10000000000000002'")]),
        (&[("f", "'1e300'")], &[("f", "'1.0000000000000002e300'")]),
        (&[("f", "'NaN'")], &[("f", "'Infinity'")]),
        (&[("r", "'0.1'")], &[("r", "'0.10000001'")]),
        (&[("z", "'2026-01-01 00:00:00.000001+00'")], &[("z", "'2026-01-01 00:00:00.000002+00'")]),
        (&[("t", "'2026-01-01 00:00:00.000001'")], &[("t", "'2026-01-01 00:00:00.000002'")]),
        (&[("d", "'2026-01-01'")], &[("d", "'2026-01-02'")]),
        (&[("c", "'10:00:00.000001'")], &[("c", "'10:00:00.000002'")]),
        (&[("o", "'10:00:00+00'")], &[("o", "'11:00:00+01'")]),
        (&[("p", "'a'")], &[("p", "'b'")]),
        (&[("i", "9007199254740993")], &[("i", "9007199254740992")]),
        (&[("y", "true")], &[]),
        (&[("y", "true")], &[("y", "false")]),
        (&[("real_float", "'0.5'")], &[("real_float", "'0.5'")]),
        (&[("scale", "1")], &[("scale", "1")]),
    ];
    let same: [(Values, Values); 3] = [
        (&[("f", "'-0'")], &[("f", "'0'")]),
        (&[("small_big", "1")], &[("small_big", "1")]),
        (&[("longer", "'a'")], &[("longer", "'a'")]),
    ];
    let (before, after): (Vec<Values>, Vec<Values>) = changes.iter().chain(&same).copied().unzip();
    assert_eq!(over(&mut site, "run-1", &rows_of(&before, false)).await.1.len(), before.len());
    assert_eq!(over(&mut site, "run-2", &rows_of(&before, false)).await.1, []);
    let (found, sent) = over(&mut site, "run-3", &rows_of(&after, true)).await;
    assert_eq!((found.added, found.deleted), (0, 0));
    let mut sent: Vec<usize> = sent.iter().map(|(_, key, _)| key.parse().unwrap()).collect();
    sent.sort_unstable();
    assert_eq!(sent, (0..changes.len()).collect::<Vec<_>>(), "rows that differ, and no others");
}

pub(super) async fn keys_of_every_type_are_the_same_key_when_they_go(mut site: DiffSite) {
    let keys: [&[&str]; 13] = [
        &["a", "'é\u{1F600}\"'' \\\\ '", "''"],
        &["b", "'a'", "'a '", "'A'"],
        &["f", "'0.1'", "'NaN'"],
        &["z", "'2026-01-01 00:00:00.000001+00'", "'2026-01-01 00:00:00+00'"],
        &["t", "'2026-01-01 00:00:00.000001'", "'2026-01-01 00:00:00'"],
        &["d", "'2026-01-01'", "'0001-01-01'"],
        &["c", "'23:59:59'", "'00:00:00.000001'"],
        &["o", "'10:00:00+00'", "'11:00:00+02'"],
        &["p", "'a'", "'b'"],
        &["i", "9223372036854775807", "-1"],
        &["y", "true", "false"],
        &["small_big", "-1", "1"],
        &["n", "1.50", "-1.50"],
    ];
    site.plan.model.primary_key = keys.iter().map(|key| key[0].to_owned()).collect();
    site.used.clone_from(&site.plan.model.primary_key);
    // The first row has the first value of each column, and each other row another value of one.
    let mut rows = vec![(keys.len(), 0)];
    rows.extend(keys.iter().enumerate().flat_map(|(key, values)| (2..values.len()).map(move |value| (key, value))));
    let row = |(other, value): &(usize, usize)| {
        let cell = |(at, key): (usize, &&[&str])| {
            let kind = COLUMNS.iter().find(|(name, ..)| *name == key[0]).map_or("", |(_, kind, _)| *kind);
            format!("CAST({} AS {kind}) AS {}", key[if at == *other { *value } else { 1 }], key[0])
        };
        format!("SELECT {}", keys.iter().enumerate().map(cell).collect::<Vec<_>>().join(", "))
    };
    let model = rows.iter().map(row).collect::<Vec<_>>().join(" UNION ALL ");
    let (found, mut added) = over(&mut site, "run-1", &model).await;
    assert_eq!((found.added as usize, found.invalid()), (rows.len(), 0));
    assert_eq!(over(&mut site, "run-2", &model).await.1, []);
    let (_, mut deleted) = over(&mut site, "run-3", &format!("SELECT * FROM ({model}) AS a LIMIT 0")).await;
    let mut streaming = site.beside(DiffEngine::Streaming).await.unwrap();
    streaming.plan.model.primary_key.clone_from(&site.plan.model.primary_key);
    streaming.used.clone_from(&site.used);
    let (_, mut streamed) = over(&mut streaming, "run-1", &model).await;
    for sent in [&mut added, &mut deleted, &mut streamed] {
        sent.iter_mut().for_each(|(kind, _, row)| (*kind, *row) = (ChangeKind::Deleted, Vec::new()));
        sent.sort();
    }
    assert_eq!(added, deleted);
    assert_eq!(added, streamed, "both engines call a key the same");
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
