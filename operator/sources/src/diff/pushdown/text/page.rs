//! What the worker reads.

use super::cast;
use crate::diff::pushdown::codes::{entry, kind};
use crate::diff::pushdown::dialect::Dialect;
use crate::diff::pushdown::statement::After;
use crate::diff::pushdown::typed::{Kind, Names};

/// The key's columns and the row's, each after a comma and with this before it.
fn key_and_row(names: &Names, row: usize, before: &str) -> String {
    let key = names.key_names().map(str::to_owned);
    key.chain((1..=row).map(|at| format!("p{at}"))).map(|name| format!(", {before}{name}")).collect()
}

pub(in super::super) fn candidates<D: Dialect>(dialect: &D, names: &Names, row: usize, after: After) -> String {
    format!(
        "SELECT s.place{said} FROM (SELECT d.*, {sum} - d.size AS before FROM \
         (SELECT place, size{columns} FROM {} WHERE {} AND kind <> {} AND place > {} ORDER BY place {}) AS d) AS s \
         WHERE s.before < {} ORDER BY s.place",
        names.found,
        dialect.is("model"),
        kind::NULL_KEY,
        after.place,
        dialect.limit(after.rows),
        after.bytes,
        said = key_and_row(names, row, "s."),
        sum = dialect.running_sum("d.size", "d.place"),
        columns = key_and_row(names, row, ""),
    )
}

/// The entry of a row of a delta.
const ENTRY_OF: &str = "e.born = s.entry_born AND e.place = s.entry_place";

pub(in super::super) fn page<D: Dialect>(dialect: &D, names: &Names, row: usize, after: After, freed: u64) -> String {
    let After { kind, place, upto, rows, bytes } = after;
    let upto = upto.map_or_else(String::new, |upto| format!(" AND place <= {upto}"));
    let (delta, hash) = (&names.delta, D::HASH);
    let columns = key_and_row(names, row, "");
    let keys: String = names.key_names().map(|name| format!("s.{name}, ")).collect();
    let old: String = names.old_keys.iter().map(|(_, key)| format!("e.{}, ", key.name)).collect();
    let cells: String = (1..=row).map(|at| format!(", s.p{at}")).collect();
    // A deletion goes by what it is about; nothing is known of a record that is new.
    let memory: String = ["match_key", "group_key", "remote_id"]
        .map(|name| match kind {
            kind::DELETED => format!("CASE WHEN s.record IS NULL THEN e.{name} ELSE s.{name} END"),
            _ => format!("CASE WHEN NOT {} THEN e.{name} END", dialect.is("s.moved")),
        })
        .join(", ");
    let (joined, free) = if kind == kind::ADDED {
        let (joined, free) = dialect.is_free(names, freed);
        (joined, format!(" AND ({free})"))
    } else {
        (String::new(), String::new())
    };
    format!(
        "SELECT s.place, s.rev, s.{hash}, s.unsent, s.known, s.rejected, s.duplicate, s.extra, {keys}{old}{memory}{cells} \
         FROM (SELECT d.*, {sum} - d.size AS before FROM \
         (SELECT place, entry_born, entry_place, rev, {hash}, unsent, known, rejected, duplicate, extra, moved, record, match_key, group_key, \
         remote_id, size{columns} FROM {delta}{joined} \
         WHERE kind = {kind} AND place > {place}{upto}{free} ORDER BY place {limit}) AS d) AS s\
         {entry} WHERE s.before < {bytes} ORDER BY s.place",
        limit = dialect.limit(rows),
        sum = dialect.running_sum("d.size", "d.place"),
        entry = dialect.looked_up(&names.entries, "e", ENTRY_OF, true),
    )
}

pub(in super::super) fn is_free<D: Dialect>(dialect: &D, names: &Names, freed: u64) -> (String, String) {
    let free = format!(
        "NOT {} OR EXISTS (SELECT 1 FROM {} AS f WHERE f.born = entry_born AND f.place = entry_place AND f.kind = {} AND f.rev = {freed})",
        dialect.is("waits"),
        names.entries,
        entry::TOMBSTONE
    );
    (String::new(), free)
}

pub(in super::super) fn cleared<D: Dialect>(dialect: &D, names: &Names, after: After) -> String {
    let keys: String = names.key_names().map(|name| format!(", s.{name}")).collect();
    let old: String = names.old_keys.iter().map(|(_, key)| format!(", e.{}", key.name)).collect();
    format!(
        "SELECT s.place{keys}{old} FROM (SELECT * FROM {} WHERE kind = {} AND {} AND place > {} ORDER BY place {}) AS s\
         {} ORDER BY s.place",
        names.delta,
        after.kind,
        dialect.is("rejected"),
        after.place,
        dialect.limit(after.rows),
        dialect.looked_up(&names.entries, "e", ENTRY_OF, true),
    )
}

pub(in super::super) fn longest<D: Dialect>(dialect: &D, table: &str, lengths: &[String]) -> String {
    let each: Vec<String> =
        lengths.iter().map(|length| cast(dialect, &format!("coalesce({length}, 0)"), Kind::Big)).collect();
    format!(
        "SELECT {} FROM {table} WHERE kind IN ({}, {}, {}) ORDER BY {} DESC {}",
        dialect.numbers(&each),
        kind::DELETED,
        kind::UPDATED,
        kind::ADDED,
        each.join(" + "),
        dialect.limit(1)
    )
}
