//! Records that are found by match key and group key, Replay and DryRun.

use backflow_core::cell::Cell;
use backflow_core::change::Identify;
use backflow_core::plan::{Mode, Replay};
use backflow_core::record::Rejection;
use backflow_tests::oracle::Engine as _;

use super::*;

each_on!(postgres: super::site, records: [
    records_go_pass_on_and_are_sent_once,
    a_record_that_passed_to_a_row_that_moves_on_before_it_wrote_it_is_taken_back,
    a_group_without_a_match_key_is_left_by_its_row_alone,
    a_replay_sends_what_it_names_as_it_is_now_and_nothing_else,
    a_dry_run_finds_what_a_run_would_moves_nothing_and_leaves_no_table,
    tables_of_an_earlier_version_are_read_and_completed,
]);

/// What a run sends: kind, id, match key, group key.
type Sent = (ChangeKind, i64, String, String);

/// Match key: the name; group key: the plan.
fn by_name_in_plan(site: &mut DiffSite) -> Identify {
    let json = |cell: &Cell| {
        let mut json = String::new();
        cell.write_json(&mut json);
        (!cell.is_null()).then(|| json.into())
    };
    let identify: Identify =
        Arc::new(move |row: &[Cell]| Memory { match_key: json(&row[1]), group_key: json(&row[2]), remote_id: None });
    site.identify = Some(Arc::clone(&identify));
    identify
}

fn change(kind: ChangeKind, id: i64, name: &str, group: &str) -> Sent {
    (kind, id, name.into(), group.into())
}

/// Makes the model hold these rows.
async fn put(site: &mut DiffSite, rows: &[(i64, &str, &str)]) {
    let text = |text: &&str| Cell::Text((*text).into());
    let rows: Vec<Vec<Cell>> =
        rows.iter().map(|(id, name, plan)| vec![Cell::Int(*id), text(name), text(plan)]).collect();
    site.put_rows(&rows).await;
}

/// Runs: duplicates are rejected, everything that `answered` wants is delivered. The changes in the order of ids.
async fn run(site: &DiffSite, name: &str, answered: impl Fn(&Change) -> bool) -> (Findings, Vec<Sent>) {
    let identify = site.identify.clone().unwrap();
    let mut extraction = site.open_run(name).await.unwrap();
    let mut sent = Vec::new();
    for kind in KINDS {
        loop {
            let page = extraction.next_page(kind, 2).await.unwrap();
            if page.is_empty() {
                break;
            }
            let mut acks = Vec::new();
            for change in page {
                if change.duplicate {
                    let verdict = Verdict::Rejected(Rejection::new("DUPLICATE_MATCH_KEY", None, "another row has it"));
                    acks.push(Ack { change, verdict });
                    continue;
                }
                let memory =
                    if kind == ChangeKind::Deleted { change.memory.clone() } else { identify(&change.row.cells()) };
                let text = |key: &Option<Box<str>>| key.as_deref().unwrap_or("-").replace('"', "");
                let id = backflow_tests::oracle::id(&change);
                sent.push((kind, id, text(&memory.match_key), text(&memory.group_key)));
                if answered(&change) {
                    acks.push(Ack { change, verdict: Verdict::Delivered(memory) });
                }
            }
            extraction.commit(acks, &Counters::default()).await.unwrap();
        }
    }
    let found = extraction.findings().clone();
    extraction.finish(&Counters::default(), Phase::Succeeded).await.unwrap();
    sent.sort_by_key(|change| (change.0 != ChangeKind::Deleted, change.1));
    (found, sent)
}

async fn all(site: &DiffSite, name: &str) -> Vec<Sent> {
    run(site, name, |_| true).await.1
}

use ChangeKind::{Added, Deleted, Updated};

pub(super) async fn records_go_pass_on_and_are_sent_once(mut site: DiffSite) {
    by_name_in_plan(&mut site);
    put(&mut site, &[(1, "a", "l"), (2, "b", "l"), (3, "c", "l"), (4, "d", "l")]).await;
    assert_eq!(all(&site, "r1").await.len(), 4);
    assert_eq!(all(&site, "r2").await, []);
    // 1 has another name; 2 another group; 3 is gone and 5 has its record; 4 takes a new one, and 6 has its.
    put(&mut site, &[(1, "A", "l"), (2, "b", "m"), (5, "c", "l"), (4, "e", "l"), (6, "d", "l")]).await;
    let (found, sent) = run(&site, "r3", |_| true).await;
    let wanted = [
        change(Deleted, 1, "a", "l"),
        change(Deleted, 2, "b", "l"),
        change(Added, 1, "A", "l"),
        change(Added, 2, "b", "m"),
        change(Updated, 4, "e", "l"),
        change(Added, 5, "c", "l"),
        change(Added, 6, "d", "l"),
    ];
    assert_eq!(sent, wanted);
    assert_eq!((found.deleted, found.added, found.updated, found.rekeyed, found.superseded), (2, 4, 1, 2, 1));
    assert_eq!(all(&site, "r4").await, []);

    put(&mut site, &[(10, "x", "l"), (9, "x", "l"), (1, "A", "l")]).await;
    let (found, sent) = run(&site, "r5", |_| true).await;
    assert_eq!((sent.len(), found.added, found.deleted), (5, 2, 4), "the greatest key is sent");
    assert!(sent.contains(&change(Added, 10, "x", "l")));
    assert_eq!(all(&site, "r6").await, []);
    put(&mut site, &[(9, "x", "l"), (1, "A", "l")]).await;
    assert_eq!(all(&site, "r7").await, [change(Added, 9, "x", "l")], "10 is forgotten, not deleted");
    put(&mut site, &[(9, "x", "l"), (11, "x", "l"), (1, "A", "l")]).await;
    assert_eq!(all(&site, "r8").await, [change(Added, 11, "x", "l")]);
    put(&mut site, &[(9, "x", "l"), (1, "A", "l")]).await;
    assert_eq!(all(&site, "r9").await, [change(Updated, 9, "x", "l")], "it did not change, and 11 wrote its record");
    put(&mut site, &[]).await;
    assert_eq!(all(&site, "r10").await, [change(Deleted, 1, "A", "l"), change(Deleted, 9, "x", "l")]);
    assert_eq!(site.rejects().await, 0);
}

pub(super) async fn a_record_that_passed_to_a_row_that_moves_on_before_it_wrote_it_is_taken_back(mut site: DiffSite) {
    by_name_in_plan(&mut site);
    put(&mut site, &[(1, "a", "l"), (2, "b", "l")]).await;
    all(&site, "r1").await;
    put(&mut site, &[(1, "c", "l"), (2, "a", "l")]).await;
    let (_, sent) = run(&site, "r2", |change| change.kind != Deleted).await;
    assert_eq!(sent, [change(Deleted, 2, "b", "l"), change(Updated, 1, "c", "l")]);
    put(&mut site, &[(1, "c", "l"), (2, "d", "l")]).await;
    let wanted = [change(Deleted, 1, "a", "l"), change(Deleted, 2, "b", "l"), change(Added, 2, "d", "l")];
    assert_eq!(all(&site, "r3").await, wanted);
    assert_eq!(all(&site, "r4").await, []);
}

pub(super) async fn a_group_without_a_match_key_is_left_by_its_row_alone(mut site: DiffSite) {
    site.identify = Some(Arc::new(|row: &[Cell]| {
        let mut group = String::new();
        row[2].write_json(&mut group);
        Memory { group_key: Some(group.into()), ..Memory::default() }
    }));
    put(&mut site, &[(1, "a", "l"), (2, "b", "l")]).await;
    assert_eq!(all(&site, "r1").await.len(), 2);
    put(&mut site, &[(1, "a", "m"), (2, "b", "l")]).await;
    assert_eq!(all(&site, "r2").await, [change(Deleted, 1, "-", "l"), change(Added, 1, "-", "m")]);
    put(&mut site, &[(2, "b", "l")]).await;
    assert_eq!(all(&site, "r3").await, [change(Deleted, 1, "-", "m")]);
}

pub(super) async fn a_replay_sends_what_it_names_as_it_is_now_and_nothing_else(mut site: DiffSite) {
    site.sql("INSERT INTO model SELECT n, 'name', 'a' FROM generate_series(1, 6) AS n").await;
    deliver(&site, "run-1").await;
    site.sql("UPDATE model SET plan = 'b' WHERE id <= 3").await;
    deliver(&site, "run-2").await;
    site.sql("UPDATE model SET plan = 'c' WHERE id IN (3, 4); DELETE FROM model WHERE id = 5; INSERT INTO model VALUES (7, 'new', 'a')")
        .await;
    site.plan.mode = Mode::Replay(Replay::Run("run-2".into()));
    let ids = |sent: &[Seen]| sent.iter().map(|(kind, id, _)| (*kind, id.clone())).collect::<Vec<_>>();
    let (found, sent) = deliver(&site, "run-3").await;
    assert_eq!(ids(&sent), [(Updated, "1".into()), (Updated, "2".into()), (Updated, "3".into())]);
    assert_eq!(found.resend, Some(backflow_core::extraction::Resend::Replay));
    assert_eq!(sent[2].2[2], "\"c\"", "as it is now");
    assert_eq!(deliver(&site, "run-3").await.1, [], "the pod that replaces it has nothing left");
    is(&refused_replay(&mut site, "never").await, Code::RunNotFound, &["never"]);

    for (number, keys) in [["1", "7", "99"], ["\"1\"", "[7]", "7"]].into_iter().enumerate() {
        site.plan.mode = Mode::Replay(Replay::Keys(keys.map(String::from).into()));
        let found = run_and_leave(&site, &format!("keys-{number}")).await;
        let wanted = if number == 0 { (1, 1, 0) } else { (1, 0, 0) };
        assert_eq!((found.added, found.updated, found.deleted), wanted, "{keys:?}");
    }
    site.plan.mode = Mode::Incremental;
    let (found, _) = deliver(&site, "run-4").await;
    assert_eq!((found.added, found.deleted), (1, 1));

    // Keys of a type that SQL does not look up by name, and of more than one part.
    site.plan.mapping.state_key = "replay/composite".into();
    site.plan.model.primary_key = vec!["plan".into(), "id".into()];
    deliver(&site, "run-1").await;
    site.plan.mode = Mode::Replay(Replay::Keys(vec!["[\"c\", 3]".into(), "[\"b\", 3]".into()]));
    assert_eq!(ids(&deliver(&site, "run-2").await.1), [(Updated, "[\"c\",3]".into())]);
    site.plan.mode = Mode::Incremental;
    site.plan.mapping.state_key = "replay/date".into();
    site.plan.model.primary_key = vec!["day".into()];
    site.plan.model.query = backflow_core::plan::ModelQuery::Sql(
        "SELECT CAST('2026-01-01' AS date) + CAST(id AS integer) AS day, 'x' AS id, 'y' AS name, 'z' AS plan FROM model WHERE id <= 3"
            .into(),
    );
    deliver(&site, "run-1").await;
    site.plan.mode = Mode::Replay(Replay::Keys(vec!["2026-01-03".into()]));
    assert_eq!(ids(&deliver(&site, "run-2").await.1), [(Updated, "\"2026-01-03\"".into())]);
}

async fn refused_replay(site: &mut DiffSite, run: &str) -> Failure {
    let before = std::mem::replace(&mut site.plan.mode, Mode::Replay(Replay::Run(run.into())));
    let failure = refused(site, "run-refused").await;
    site.plan.mode = before;
    failure
}

/// Opens a run, looks at it and lets it end without an acknowledgement.
async fn run_and_leave(site: &DiffSite, run: &str) -> Findings {
    let mut extraction = site.open_run(run).await.unwrap();
    let found = extraction.findings().clone();
    extraction.finish(&Counters::default(), Phase::Failed).await.unwrap();
    found
}

pub(super) async fn a_dry_run_finds_what_a_run_would_moves_nothing_and_leaves_no_table(mut site: DiffSite) {
    site.sql("INSERT INTO model SELECT n, 'name ' || n, 'l' FROM generate_series(1, 5) AS n").await;
    site.plan.mode = Mode::DryRun;
    let first = dry(&site).await;
    assert_eq!(first.len(), 5, "it needs no state");
    assert_eq!(site.own_tables().await, Vec::<String>::new());
    assert_eq!(site.warehouse().state().list(9).await.unwrap(), []);
    for matched in [false, true] {
        if matched {
            by_name_in_plan(&mut site);
            site.plan.mapping.state_key = "dry/matched".into();
        }
        site.plan.mode = Mode::Incremental;
        deliver(&site, "run-1").await;
        site.sql("UPDATE model SET plan = plan || 'x' WHERE id = 1; DELETE FROM model WHERE id = 2; INSERT INTO model VALUES (9, 'n', 'l')")
            .await;
        let states = site.warehouse().state();
        let before = (site.own_tables().await, states.list(9).await.unwrap());
        site.plan.mode = Mode::DryRun;
        let said = dry(&site).await;
        assert_eq!((site.own_tables().await, states.list(9).await.unwrap()), before);
        site.plan.mode = Mode::Incremental;
        let (_, mut sent) = deliver(&site, "run-2").await;
        // Additions that wait for their deletion are never offered.
        sent.retain(|(kind, id, _)| !(matched && *kind == Added && id == "1"));
        assert_eq!(said, sent, "matched: {matched}");
        site.sql("DELETE FROM model; INSERT INTO model SELECT n, 'name ' || n, 'l' FROM generate_series(1, 5) AS n")
            .await;
    }
}

/// What a DryRun says.
async fn dry(site: &DiffSite) -> Vec<Seen> {
    let mut extraction = site.open_run("dry").await.unwrap();
    let mut said = Vec::new();
    for kind in KINDS {
        loop {
            let page = extraction.next_page(kind, 2).await.unwrap();
            if page.is_empty() {
                break;
            }
            said.extend(page.iter().map(seen));
        }
    }
    extraction.close().await.unwrap();
    said.sort();
    said
}

pub(super) async fn tables_of_an_earlier_version_are_read_and_completed(mut site: DiffSite) {
    put(&mut site, &[(1, "a", "l"), (2, "b", "l")]).await;
    deliver(&site, "run-1").await;
    let entries = site.own_tables().await.remove(0);
    site.sql(&format!("ALTER TABLE _backflow.{entries} DROP COLUMN record")).await;
    put(&mut site, &[(1, "a", "l"), (2, "c", "l"), (3, "c", "l")]).await;
    by_name_in_plan(&mut site);
    site.plan.mode = Mode::DryRun;
    assert_eq!(dry(&site).await.len(), 2);
    site.plan.mode = Mode::Incremental;
    assert_eq!(all(&site, "run-2").await, [change(Added, 3, "c", "l")], "2 is a duplicate now");
    assert_eq!(all(&site, "run-3").await, []);
}
