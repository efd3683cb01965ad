//! Values, keys, widths and clocks at their edges: a right result, or a clear refusal.

use super::*;

/// Delivers everything; returns kind and key of each change, as text.
async fn run(place: &Place, run: &str, table: &Table) -> Vec<(ChangeKind, String)> {
    let mut extraction = place.open(run, table).await.unwrap();
    let mut changes = Vec::new();
    loop {
        let page = page(&mut extraction, 50).await;
        if page.is_empty() {
            break;
        }
        for change in &page {
            changes.push((change.kind, format!("{:?}", change.key)));
        }
        let ack = |change| Ack { change, verdict: Verdict::Delivered(Memory::default()) };
        extraction.commit(page.into_iter().map(ack).collect(), &Counters::default()).await.unwrap();
    }
    extraction.finish(&Counters::default(), Phase::Succeeded).await.unwrap();
    changes.sort();
    changes
}

fn edges() -> Vec<Cell> {
    let text = |text: &str| Cell::Text(text.into());
    vec![
        Cell::Bool(false),
        Cell::Bool(true),
        Cell::Int(i64::MIN),
        Cell::Int(-1),
        Cell::Int(0),
        Cell::Int((1 << 53) + 1),
        Cell::Int(1 << 53),
        Cell::Int(i64::MAX),
        Cell::Float(f64::NAN),
        Cell::Float(f64::INFINITY),
        Cell::Float(f64::NEG_INFINITY),
        Cell::Float(0.1),
        Cell::Float(0.1 + f64::EPSILON),
        Cell::Float(f64::MIN_POSITIVE),
        Cell::Decimal("9007199254740993".into()),
        Cell::Decimal("9007199254740993.1".into()),
        Cell::Decimal("NaN".into()),
        text(""),
        text("0"),
        text("null"),
        text("é"),
        text("e\u{301}"),
        text("\u{10ffff}\u{0}\u{200f}"),
        text(&"ü".repeat(1_000)),
        Cell::Bytes([0, 255, 0].into()),
        Cell::Bytes([].into()),
        Cell::Time("-000043-03-15".into()),
        Cell::Time("1969-12-31T23:59:59.999999Z".into()),
        Cell::Time("infinity".into()),
        Cell::Json("{\"a\": [1, null]}".into()),
        text("6f1ed002-ab5d-4e0c-8a43-7c1c1f0f0a11"),
    ]
}

#[tokio::test]
async fn every_value_is_a_key_of_its_own_and_comes_back_as_it_went() {
    let place = Place::new(SyncMode::Mirror);
    let table = |cells: Vec<Cell>| Table {
        columns: ["id", "name", "plan"].map(String::from).into(),
        rows: cells.into_iter().map(|cell| vec![cell, Cell::Null, Cell::Null]).collect(),
    };
    let first = run(&place, "r1", &table(edges())).await;
    assert_eq!(first.len(), edges().len(), "no two are one key");
    assert!(run(&place, "r2", &table(edges())).await.is_empty());
    let deleted = run(&place, "r3", &table(Vec::new())).await;
    let keys = |changes: &[(ChangeKind, String)]| changes.iter().map(|(_, key)| key.clone()).collect::<Vec<_>>();
    assert_eq!(keys(&deleted), keys(&first));
}

#[tokio::test]
async fn every_change_between_two_values_is_found_and_nothing_else() {
    let place = Place::new(SyncMode::Mirror);
    let all = edges();
    let table = |shift: usize| Table {
        columns: ["id", "name", "plan"].map(String::from).into(),
        rows: (0..all.len())
            .map(|n| vec![Cell::Int(n as i64), all[(n + shift) % all.len()].clone(), Cell::Null])
            .collect(),
    };
    run(&place, "r0", &table(0)).await;
    for shift in 1..4 {
        assert_eq!(run(&place, &format!("r{shift}"), &table(shift)).await.len(), all.len());
        assert!(run(&place, &format!("again{shift}"), &table(shift)).await.is_empty());
    }
    let zeros = |zero: f64| Table { rows: vec![vec![Cell::Int(0), Cell::Float(zero), Cell::Null]], ..table(0) };
    run(&place, "zero", &zeros(0.0)).await;
    assert!(run(&place, "minus-zero", &zeros(-0.0)).await.is_empty(), "they are one number");
}

#[tokio::test]
async fn composite_keys_have_borders() {
    let mut place = Place::new(SyncMode::Mirror);
    place.plan.model.primary_key = ["id", "name"].map(String::from).into();
    let table = |rows: &[(&str, &str)]| Table {
        columns: ["id", "name", "plan"].map(String::from).into(),
        rows: rows.iter().map(|(a, b)| vec![Cell::Text((*a).into()), Cell::Text((*b).into()), Cell::Null]).collect(),
    };
    let all = [("a", "bc"), ("ab", "c"), ("abc", ""), ("", "abc")];
    assert_eq!(run(&place, "r1", &table(&all)).await.len(), 4);
    assert_eq!(run(&place, "r2", &table(&all[..3])).await.len(), 1);
}

#[tokio::test]
async fn many_columns_with_long_names() {
    let mut place = Place::new(SyncMode::Mirror);
    let columns = |count: usize| -> Vec<String> {
        (0..count).map(|n| if n == 0 { "id".to_owned() } else { format!("{n:0>128}") }).collect()
    };
    let wide = |count: usize, last: &str| Table {
        columns: columns(count),
        rows: (0..3)
            .map(|row| {
                let cell = |n| {
                    if n == 0 { Cell::Int(row) } else { Cell::Text((if n == count - 1 { last } else { "x" }).into()) }
                };
                (0..count).map(cell).collect()
            })
            .collect(),
    };
    place.used = columns(512);
    assert_eq!(run(&place, "r1", &wide(512, "a")).await.len(), 3);
    assert_eq!(run(&place, "r2", &wide(512, "b")).await.len(), 3, "the last column counts");
    assert!(run(&place, "r3", &wide(512, "b")).await.is_empty());
    place.used = columns(513);
    is(&place.refused("r4", &wide(513, "b")).await, Code::LimitExceeded, &["513", "512"]);
}

#[tokio::test]
async fn a_clock_that_jumps_loses_nothing_and_repeats_no_key() {
    let place = Place::new(SyncMode::Mirror);
    let mut keys = std::collections::BTreeSet::new();
    for (step, days) in [0, -10, 30, -40, 3, -25_000, 25_000].into_iter().enumerate() {
        place.days_pass(days);
        for (name, rows) in [("there", &[(1, "a", "x")][..]), ("gone", &[])] {
            let sent = place.deliver(&format!("{name}-{step}"), &table(rows)).await;
            assert_eq!(sent.changes.len(), 1, "{name} after {days} days");
            assert!(keys.insert(sent.changes[0].key.clone()), "{name} after {days} days");
        }
    }
}

#[tokio::test]
async fn a_model_without_rows_deletes_what_it_had_and_one_with_null_keys_only_does_not_hide_it() {
    let place = Place::new(SyncMode::Mirror);
    place.deliver("r1", &table(&[(1, "a", "x")])).await;
    let nulls = Table { rows: vec![vec![Cell::Null; 3]; 4], ..table(&[]) };
    let extraction = place.open("r2", &nulls).await.unwrap();
    let found = extraction.findings();
    assert_eq!((found.rows, found.invalid_null_key, found.deleted), (4, 4, 1), "the guard sees that no row has a key");
}

#[test]
fn a_full_disk_is_the_users_to_mend() {
    for code in [28, 122] {
        let failure = super::super::damage::scratch(&std::io::Error::from_raw_os_error(code));
        is(&failure, Code::ScratchFull, &["worker.scratch"]);
    }
    is(&super::super::damage::scratch(&std::io::Error::from_raw_os_error(5)), Code::Internal, &["scratch"]);
}

#[tokio::test]
async fn a_scratch_folder_that_cannot_be_used_ends_the_run_and_moves_nothing() {
    let place = Place::new(SyncMode::Mirror);
    place.deliver("r1", &table(&[(1, "a", "x")])).await;
    let before = place.store.get(|contents| (contents.segments.clone(), contents.partitions.clone()));
    let gone = place.scratch.path().join("gone");
    let request = Request {
        plan: &place.plan,
        run: "r2",
        owner: "cluster",
        used: &place.used,
        described: &table(&[]).described(),
        identify: None,
        scratch: &gone,
        clock: Arc::new(Timestamp::now),
        reporter: Arc::new(Quiet),
    };
    let store = Arc::clone(&place.store) as Arc<dyn StateStore>;
    let failure = open(&table(&[(2, "b", "x")]), store, request).await.err().unwrap();
    is(&failure, Code::Internal, &["scratch folder"]);
    assert_eq!(place.store.get(|contents| (contents.segments.clone(), contents.partitions.clone())), before);
    assert_eq!(place.deliver("r3", &table(&[(2, "b", "x")])).await.changes.len(), 2);
}
