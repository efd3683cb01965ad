//! Our own tables. `docs/state-format.md` explains them column by column.

use super::cast;
use crate::diff::pushdown::dialect::Dialect;
use crate::diff::pushdown::typed::{KeyColumn, Kind, Names};

/// A column: its name, what it holds, and whether it always has a value.
type Column = (&'static str, Kind, bool);

/// Columns of the entries beside the key's.
fn entry<D: Dialect>() -> [Column; 18] {
    [
        ("kind", Kind::Small, true),
        ("rev", Kind::Big, true),
        ("spec", Kind::Integer, true),
        (D::HASH, Kind::Hash, false),
        ("deleted_at", Kind::Big, false),
        ("match_key", Kind::Text, false),
        ("group_key", Kind::Text, false),
        ("remote_id", Kind::Text, false),
        ("rejected_hash", Kind::Hash, false),
        ("rejected_spec", Kind::Integer, false),
        ("rejected_deletion", Kind::Bool, false),
        ("rejected_code", Kind::Text, false),
        ("doubt_epoch", Kind::Big, false),
        ("doubt_rev", Kind::Big, false),
        ("doubt_hash", Kind::Hash, false),
        ("doubt_spec", Kind::Integer, false),
        ("doubt_deletion", Kind::Bool, false),
        ("record", Kind::Text, false),
    ]
}

/// What names an entry.
const PLACE: [Column; 2] = [("born", Kind::Big, true), ("place", Kind::Big, true)];

/// Columns of the records that keys have written.
const HELD: [Column; 7] = [
    ("born", Kind::Big, true),
    ("place", Kind::Big, true),
    ("record", Kind::Text, true),
    ("epoch", Kind::Big, true),
    ("match_key", Kind::Text, false),
    ("group_key", Kind::Text, false),
    ("remote_id", Kind::Text, false),
];

/// Columns of what the worker says of rows.
const MARKS: [Column; 5] = [
    ("place", Kind::Big, true),
    ("record", Kind::Text, false),
    ("match_key", Kind::Text, false),
    ("group_key", Kind::Text, false),
    ("chosen", Kind::Bool, false),
];

fn said<'a, D: Dialect>(dialect: &D, columns: impl IntoIterator<Item = Column>) -> Vec<(&'a str, &'static str, bool)> {
    columns.into_iter().map(|(name, kind, always)| (name, dialect.kind(kind), always)).collect()
}

/// These columns, all of them NULL, in no row.
fn nothing<D: Dialect>(dialect: &D, columns: &[(&str, &str, bool)]) -> String {
    let each: Vec<String> =
        columns.iter().map(|(name, kind, _)| format!("{} AS {name}", dialect.cast("NULL", kind))).collect();
    let never = dialect.is(dialect.boolean(false));
    format!("(SELECT {} FROM (SELECT 1 AS one) AS nothing WHERE {never})", each.join(", "))
}

/// Entries have the key between what names them and the rest.
fn entry_columns<'a, D: Dialect>(dialect: &D, keys: &'a [KeyColumn]) -> Vec<(&'a str, &'static str, bool)> {
    let mut columns = said(dialect, PLACE);
    columns.extend(keys.iter().map(|key| (key.name.as_str(), key.kind, false)));
    columns.extend(said(dialect, entry::<D>()));
    columns
}

pub(in super::super) fn create_entries<D: Dialect>(dialect: &D, names: &Names, comment: &str) -> Vec<String> {
    dialect.create(&names.entries, &entry_columns(dialect, &names.keys), &["born", "place"], Some(comment))
}

pub(in super::super) fn completed_entries<D: Dialect>(
    dialect: &D,
    entries: &str,
    missing: &[&KeyColumn],
    records: bool,
) -> String {
    if missing.is_empty() && records {
        return entries.to_owned();
    }
    let mut columns: String =
        missing.iter().map(|key| format!(", {} AS {}", dialect.cast("NULL", key.kind), key.name)).collect();
    if !records {
        columns.push_str(&format!(", {} AS record", cast(dialect, "NULL", Kind::Text)));
    }
    format!("(SELECT e.*{columns} FROM {entries} AS e)")
}

pub(in super::super) fn create_held<D: Dialect>(dialect: &D, names: &Names, comment: &str) -> Vec<String> {
    let held = &names.held;
    let mut statements = dialect.create(held, &said(dialect, HELD), &["born", "place", "record"], Some(comment));
    statements.extend(dialect.index(held, "record", false));
    statements
}

pub(in super::super) fn no_entries<D: Dialect>(dialect: &D, keys: &[KeyColumn]) -> String {
    nothing(dialect, &entry_columns(dialect, keys))
}

pub(in super::super) fn no_held<D: Dialect>(dialect: &D) -> String {
    nothing(dialect, &said(dialect, HELD))
}

pub(in super::super) fn index_found<D: Dialect>(dialect: &D, names: &Names) -> Vec<String> {
    let mut statements: Vec<String> = dialect.index(&names.found, "place", true).into_iter().collect();
    statements.extend(dialect.create(&names.marks, &said(dialect, MARKS), &["place"], None));
    statements
}
