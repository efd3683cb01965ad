//! The text of every statement of every dialect.

use super::bigquery::BigQuery;
use super::databricks::Databricks;
use super::postgres::Postgres;
use super::redshift::{Redshift, spoken};
use super::snowflake::Snowflake;
use super::tsql::TransactSql;
use crate::diff::pushdown::codes::{entry, kind};
use crate::diff::pushdown::dialect::{Chosen, Delta, Dialect};
use crate::diff::pushdown::statement::{After, Applied, Bind, Doubt, Mark, Move, Statement};
use crate::diff::pushdown::typed::{KeyColumn, KeyForm, Kind, Names, Said, Typed};

fn names<D: Dialect>(dialect: &D) -> Names {
    let table = |name: &str| dialect.table(&dialect.quote("sta\"te"), name);
    let key = |name: &str, kind, long| KeyColumn { name: name.into(), kind: dialect.kind(kind), long };
    Names {
        entries: table("entries_00"),
        held: table("held_00"),
        delta: table("delta_00_7"),
        found: table("found_00_7"),
        marks: table("marks_00_7"),
        keys: vec![key("key1_int", Kind::Big, false), key("key2_text", Kind::Text, true)],
        old_keys: vec![(0, key("key1_decimal", Kind::Text, false))],
    }
}

fn typed<D: Dialect>(dialect: &D, name: &str, long: bool) -> Typed<()> {
    let of = |kind| format!("CAST({{}} AS {})", dialect.kind(kind));
    Typed {
        name: name.into(),
        read: "{}".into(),
        wire: (),
        hash: of(Kind::Text),
        length: long.then(|| "octet_length({})".into()),
        key: KeyForm {
            class: "int",
            kind: dialect.kind(Kind::Big),
            expression: of(if long { Kind::Text } else { Kind::Big }),
            wire: (),
            said: Said::Itself,
            long,
        },
    }
}

/// A delta, and the statement that makes it of what was found if there is one.
fn delta<D: Dialect>(dialect: &D, change: impl FnOnce(&mut Delta<'_, ()>)) -> Vec<String> {
    let names = names(dialect);
    let columns =
        [("id", false), ("na'me", true), ("plan", true), ("old", false)].map(|(name, long)| typed(dialect, name, long));
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
        stored: false,
        identifies: false,
        mirror: true,
        chosen: None,
    };
    change(&mut delta);
    let around = dialect.delta(&delta);
    let model = "(\nSELECT * FROM customers -- all\n) AS _m";
    let between = around.between.map_or_else(String::new, |between| format!("{between}{model}"));
    let mut all = vec![format!("{}{model}{between}{}", around.before, around.after)];
    all.extend(delta.is_staged().then(|| dialect.resolve(&delta)));
    all
}

fn deltas<D: Dialect>(dialect: &D) -> Vec<String> {
    let specs = [(4, vec![1, 2]), (2, vec![3])];
    let mut all = delta(dialect, |_| {});
    all.extend(delta(dialect, |delta| {
        delta.specs = Box::leak(Box::new(specs));
        delta.rev_floor = 3;
        delta.resend_below = 6;
        delta.resend = false;
        delta.retry_rejected = true;
        delta.sent = &[];
        delta.exact = true;
    }));
    all.extend(delta(dialect, |delta| delta.identifies = true));
    all.extend(delta(dialect, |delta| {
        delta.identifies = true;
        delta.mirror = false;
    }));
    all.extend(delta(dialect, |delta| {
        delta.chosen = Some(Chosen::Keys { before: 7, first: Some(vec!["1".into(), "2".into()]) });
        delta.exact = true;
    }));
    all.extend(delta(dialect, |delta| {
        delta.chosen = Some(Chosen::Claims(3, 4));
        delta.identifies = true;
        delta.exact = true;
    }));
    all
}

/// What moves by acknowledgements.
fn moves<D: Dialect>(dialect: &D, names: &Names) -> Vec<String> {
    let moves = [
        Move {
            kind: kind::ADDED,
            place: 3,
            becomes: entry::DELIVERED,
            wrote: true,
            remote_id: Some("it's \"\\r\"".into()),
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
    let to = Applied { names, epoch: 7, spec: 4, now: 1_800_000_000, identifies: true, mirror: true };
    let mut apply = dialect.apply(&to, &moves);
    apply.extend(dialect.apply(&Applied { mirror: false, ..to }, &moves).into_iter().skip(1));
    let marks = [Mark { place: 3, record: Some("0f".into()), match_key: Some("m".into()), ..Mark::default() }];
    apply.push(dialect.mark(names, &marks));
    apply.into_iter().map(|statement| statement.sql).collect()
}

fn doubts<D: Dialect>(dialect: &D, names: &Names) -> Vec<String> {
    let keys: Vec<String> = names.keys.iter().map(|key| key.name.clone()).collect();
    let doubt = |offered, records: bool| {
        let Names { entries, held, delta, .. } = names;
        let held = records.then_some(held.as_str());
        dialect.doubt(&Doubt { entries, held, delta, keys: &keys, epoch: 7, offered })
    };
    let offered = [(kind::DELETED, 9), (kind::UPDATED, 11)];
    [doubt(None, true), doubt(None, false), doubt(Some(&[]), false), doubt(Some(&offered), true)].concat()
}

fn every<D: Dialect>(dialect: &D) -> String {
    let names = &names(dialect);
    let after = After { kind: kind::UPDATED, place: 17, upto: None, rows: 1000, bytes: 2_000_000 };
    let mut all = deltas(dialect);
    all.extend(dialect.create_entries(names, "Backflow: the entries of state o'hara/crm"));
    all.extend(dialect.create_held(names, "Backflow: the records of state o'hara/crm"));
    all.extend(dialect.index_found(names));
    all.extend(moves(dialect, names));
    all.extend([dialect.add_key(&names.entries, &names.keys[1]), dialect.complete_entries(&names.entries)]);
    let reads = [
        dialect.completed_entries(&names.entries, &[&names.keys[1]], false),
        dialect.no_entries(&names.keys),
        dialect.no_held(),
    ];
    all.extend(reads.map(|read| format!("SELECT * FROM {read} AS e")));
    all.extend(dialect.index_delta(names));
    all.extend([
        dialect.candidates(names, 2, after),
        dialect.summary(names, &names.delta, 5, 1_799_000_000),
        dialect.page(names, 2, after, 7),
        dialect.page(names, 2, After { kind: kind::ADDED, ..after }, 7),
        dialect.page(names, 2, After { kind: kind::DELETED, ..after }, 7),
        dialect.cleared(names, after),
        dialect.longest(&names.delta, &["octet_length(p1)".into(), "octet_length(p2)".into()]),
        dialect.refresh(names, 4, 1_800_000_000),
        dialect.prune(names, 1_799_000_000),
    ]);
    all.extend(doubts(dialect, names));
    all.push(dialect.withhold(names));
    all.push(dialect.drop(&names.delta));
    all.iter().map(|sql| lines(sql)).collect::<Vec<_>>().join(";\n\n")
}

/// A statement with a line for each of its parts.
fn lines(sql: &str) -> String {
    sql.replace(", CASE", ",\n  CASE")
        .replace(" WHEN ", "\n    WHEN ")
        .replace(" FROM (", "\nFROM (")
        .replace(" AS d)", "\nAS d)")
}

#[test]
fn every_statement_of_postgres() {
    let stored: Vec<String> =
        delta(&Postgres, |delta| delta.stored = true).iter().map(|statement| lines(statement)).collect();
    insta::assert_snapshot!(format!("{};\n\n{}", every(&Postgres), stored.join(";\n\n")));
}

#[test]
fn every_statement_of_transact_sql() {
    insta::assert_snapshot!(every(&TransactSql));
}

#[test]
fn every_statement_of_bigquery() {
    insta::assert_snapshot!(every(&BigQuery));
}

#[test]
fn every_statement_of_snowflake() {
    insta::assert_snapshot!(every(&Snowflake));
}

#[test]
fn every_statement_of_databricks() {
    let names = names(&Databricks);
    let fences = [(&names.entries, "e"), (&names.held, "h")].map(|(table, alias)| {
        [Databricks.take(table, alias), Databricks.empty(table, alias), Databricks.incarnation(table)]
            .map(|sql| lines(&sql))
            .join(";\n\n")
    });
    insta::assert_snapshot!(format!("{};\n\n{}", every(&Databricks), fences.join(";\n\n")));
}

#[test]
fn every_statement_of_redshift() {
    insta::assert_snapshot!(every(&Redshift));
}

#[test]
fn values_of_redshift_are_put_into_a_table_first() {
    let sql = "SELECT 1".to_owned();
    assert_eq!(spoken(&Statement::plain(sql.clone())), ["SELECT 1"]);
    let binds = vec![Bind::Numbers(vec![1, -2]), Bind::Texts(vec![Some("it's \\ {}".into()), None])];
    let messages = spoken(&Statement { sql: sql.clone(), binds });
    assert_eq!(
        messages,
        ["CREATE TEMP TABLE backflow_given (c1 BIGINT, c2 VARCHAR(65535));\n\
         INSERT INTO backflow_given VALUES (1, ('it''s ' || CHR(92) || ' {}')), (-2, NULL);\n\
         SELECT 1;\nDROP TABLE backflow_given"]
    );
    let long = || Some("x".repeat(60_000).into_boxed_str());
    let messages = spoken(&Statement { sql, binds: vec![Bind::Texts((0..100).map(|_| long()).collect())] });
    assert!(messages.len() > 1 && messages.iter().all(|message| message.len() < 6 << 20));
    let rows: usize = messages.iter().map(|message| message.matches("('x").count()).sum();
    assert_eq!(rows, 100);
}
