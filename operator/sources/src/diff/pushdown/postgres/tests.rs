//! The text of every statement.

use super::super::dialect::{Chosen, KeyForm, Said, Typed};
use super::*;

fn names(schema: &str) -> Names {
    let table = |name: &str| Postgres.table(schema, name);
    let key = |name: &str, kind, long| KeyColumn { name: name.into(), kind, long };
    Names {
        entries: table("entries_00"),
        held: table("held_00"),
        delta: table("delta_00_7"),
        found: table("found_00_7"),
        marks: table("marks_00_7"),
        keys: vec![key("key1_int", "bigint", false), key("key2_text", "text COLLATE \"C\"", true)],
        old_keys: vec![(0, key("key1_uuid", "uuid", false))],
    }
}

fn typed(name: &str, length: Option<&str>) -> Typed<()> {
    Typed {
        name: name.into(),
        read: "{}".into(),
        wire: (),
        hash: "({})::pg_catalog.text".into(),
        length: length.map(Into::into),
        key: KeyForm {
            class: "int",
            kind: "bigint",
            expression: "({})::pg_catalog.int8".into(),
            wire: (),
            said: Said::Itself,
            long: false,
        },
    }
}

/// A statement with a line for each of its parts.
fn lines(sql: &str) -> String {
    sql.replace(", CASE", ",\n  CASE")
        .replace(" WHEN ", "\n    WHEN ")
        .replace(" FROM (", "\nFROM (")
        .replace(" AS d)", "\nAS d)")
}

fn delta(change: impl FnOnce(&mut Delta<'_, ()>)) -> String {
    let names = names("_backflow");
    let columns = [
        typed("id", None),
        typed("na\"me", Some("octet_length({})")),
        typed("plan", Some("octet_length({})")),
        typed("old", None),
    ];
    let specs = [(4, vec![1, 2]), (2, vec![3])];
    let mut delta = Delta {
        names: &names,
        columns: &columns,
        row: 3,
        key: &[0, 1],
        specs: &specs[..1],
        epoch: 7,
        rev_floor: 0,
        resend_below: 0,
        resend: true,
        retry_rejected: false,
        sent: &[(1, false), (2, false), (2, true), (3, false), (3, true)],
        exact: false,
        identifies: false,
        mirror: true,
        chosen: None,
    };
    change(&mut delta);
    let around = Postgres.delta(&delta);
    let mut all = vec![format!("{}(\nSELECT * FROM customers -- all\n) AS _m{}", around.before, around.after)];
    all.extend(delta.is_staged().then(|| Postgres.resolve(&delta)));
    all.iter().map(|sql| lines(sql)).collect::<Vec<_>>().join(";\n\n")
}

#[test]
fn a_delta_of_rows_that_stand_for_records() {
    insta::assert_snapshot!(delta(|delta| delta.identifies = true));
}

#[test]
fn a_delta_of_records_that_are_never_taken_back() {
    insta::assert_snapshot!(delta(|delta| {
        delta.identifies = true;
        delta.mirror = false;
    }));
}

#[test]
fn the_delta_of_a_replay_of_keys() {
    insta::assert_snapshot!(delta(|delta| {
        delta.chosen = Some(Chosen::Keys { before: 7, first: Some(vec!["1".into(), "2".into()]) });
        delta.exact = true;
    }));
}

#[test]
fn the_delta_of_a_replay_of_a_run_over_records() {
    insta::assert_snapshot!(delta(|delta| {
        delta.chosen = Some(Chosen::Claims(3, 4));
        delta.identifies = true;
        delta.exact = true;
    }));
}

#[test]
fn the_delta_of_an_ordinary_run() {
    insta::assert_snapshot!(delta(|_| {}));
}

#[test]
fn the_delta_of_a_full_run_with_old_hashes_that_looks_for_duplicates() {
    let specs = [(4, vec![1, 2]), (2, vec![3])];
    insta::assert_snapshot!(delta(|delta| {
        delta.specs = Box::leak(Box::new(specs));
        delta.rev_floor = 3;
        delta.resend_below = 6;
        delta.resend = false;
        delta.retry_rejected = true;
        delta.sent = &[];
        delta.exact = true;
    }));
}

#[test]
fn every_other_statement() {
    let names = names("sta\"te");
    let after = After { kind: kind::UPDATED, place: 17, rows: 1000, bytes: 2_000_000 };
    let moves = [
        Move {
            kind: kind::ADDED,
            place: 3,
            becomes: entry::DELIVERED,
            wrote: true,
            remote_id: Some("r".into()),
            ..Move::default()
        },
        Move { kind: kind::DELETED, place: 4, becomes: entry::TOMBSTONE, ..Move::default() },
        Move {
            kind: kind::DELETED,
            place: 5,
            becomes: entry::NEVER_DELIVERED,
            rejected: Some("HTTP_422".into()),
            ..Move::default()
        },
    ];
    let to = Applied { names: &names, epoch: 7, spec: 4, now: 1_800_000_000, identifies: true, mirror: true };
    let mut apply = Postgres.apply(&to, &moves);
    apply.extend(Postgres.apply(&Applied { mirror: false, ..to }, &moves).into_iter().skip(1));
    let marks = [Mark { place: 3, record: Some("0f".into()), match_key: Some("m".into()), ..Mark::default() }];
    apply.push(Postgres.mark(&names, &marks));
    let keys: Vec<String> = names.keys.iter().map(|key| key.name.clone()).collect();
    let doubt = |offered, records: bool| {
        let Names { entries, held, delta, .. } = &names;
        let held = records.then_some(held.as_str());
        Postgres.doubt(&Doubt { entries, held, delta, keys: &keys, epoch: 7, offered }).join(";\n\n")
    };
    let mut all = Postgres.create_entries(&names, "Backflow: the entries of state o'hara/crm");
    all.extend(Postgres.create_held(&names, "Backflow: the records of state o'hara/crm"));
    all.extend(Postgres.index_found(&names));
    all.extend(apply.iter().map(|statement| format!("{}\n{:?}", statement.sql, statement.binds)));
    all.extend([
        Postgres.add_key(&names.entries, &names.keys[1]),
        Postgres.complete_entries(&names.entries),
        Postgres.completed_entries(&names.entries, &[&names.keys[1]], false),
        Postgres.no_entries(&names.keys),
        Postgres.no_held(),
        Postgres.candidates(&names, 2, after),
        Postgres.index(&names).unwrap_or_default(),
        Postgres.summary(&names, &names.delta, 5, 1_799_000_000),
        Postgres.page(&names, 2, after, 7),
        Postgres.page(&names, 2, After { kind: kind::ADDED, ..after }, 7),
        Postgres.page(&names, 2, After { kind: kind::DELETED, ..after }, 7),
        Postgres.cleared(&names, after),
        Postgres.longest(&names.delta, &["octet_length(p1)".into(), "octet_length(p2)".into()]),
        Postgres.refresh(&names, 4, 1_800_000_000),
        Postgres.prune(&names, 1_799_000_000),
        doubt(None, true),
        doubt(None, false),
        doubt(Some(&[]), false),
        doubt(Some(&[(kind::DELETED, 9), (kind::UPDATED, 11)]), true),
        Postgres.withhold(&names),
        Postgres.drop(&names.delta),
    ]);
    insta::assert_snapshot!(all.iter().map(|sql| lines(sql)).collect::<Vec<_>>().join(";\n\n"));
}
