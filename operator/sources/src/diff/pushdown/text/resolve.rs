//! The statement that makes the delta of what was found and of what the worker said of it: which row stands for which record, and
//! which records no row stands for any more. The rules are in `docs/state-format.md`.

use super::delta::{DELTA, HASH};
use super::{cast, prefixed, same_key, sent};
use crate::diff::pushdown::codes::{entry, kind};
use crate::diff::pushdown::dialect::{BUCKET, BUCKETS, Chosen, Delta, Dialect};
use crate::diff::pushdown::typed::Kind;

/// The bucket of unchanged rows that must not be sent beside another.
const DUPLICATES: u64 = BUCKETS;

/// The bucket of records that are taken back beside what becomes of their keys.
const EXTRA: u64 = 2 * BUCKETS;

/// Columns of one SELECT, in the order of [`DELTA`]. `said` has those that are not simply the row's own, which `own` names.
fn columns<D: Dialect>(own: impl Fn(&str) -> String, said: &[(&str, String)]) -> String {
    let column = |name: &&str| {
        let said = said.iter().find(|(known, _)| known == name).map(|(_, sql)| sql.clone());
        let name = if *name == HASH { D::HASH } else { name };
        format!("{} AS {name}", said.unwrap_or_else(|| own(name)))
    };
    DELTA.iter().map(column).collect::<Vec<_>>().join(", ")
}

/// The whole statement.
pub(in super::super) fn resolve<D: Dialect, W>(dialect: &D, delta: &Delta<'_, W>) -> String {
    let names = delta.names;
    let (found, marks) = (&names.found, &names.marks);
    // Which of the rows that might be asked for are.
    let asked = if matches!(delta.chosen, Some(Chosen::Keys { .. })) {
        format!(
            "x.kind NOT IN ({}, {}, {}) OR coalesce(k.chosen, false)",
            kind::UPDATED,
            kind::ADDED,
            kind::STILL_REJECTED
        )
    } else {
        "true".to_owned()
    };
    let f = format!(
        "f AS (SELECT x.*, k.record AS n, k.match_key AS n_match, k.group_key AS n_group, {asked} AS asked \
         FROM {found} AS x LEFT JOIN {marks} AS k ON k.place = x.place)"
    );
    let mut parts = vec![f];
    if delta.identifies {
        parts.extend(records(dialect, delta));
    } else {
        let (text, number) = (cast(dialect, "NULL", Kind::Text), cast(dialect, "NULL", Kind::Big));
        let nothing = format!(
            "false AS dup, {text} AS main, false AS leaves, {number} AS written, {text} AS old_match, \
             {text} AS old_group, {text} AS old_id, false AS contested, false AS lost, false AS moves"
        );
        parts.push(format!("t AS (SELECT f.*, {nothing} FROM f)"));
    }
    parts.push(offered(delta));
    let mut rows = vec![changes(dialect, delta)];
    if delta.identifies && delta.mirror {
        rows.push(deletions_first(dialect, delta));
    }
    if delta.identifies && delta.chosen.is_none() {
        rows.push(new_duplicates(dialect, delta));
        if delta.mirror {
            rows.push(taken_back(dialect, delta));
        }
    }
    let create = dialect.create_as(&names.delta);
    format!("{create}\nWITH {}\n{}", parts.join(",\n"), rows.join("\nUNION ALL\n"))
}

/// Who stands for which record, who wrote it last, and which records nobody stands for.
fn records<D: Dialect, W>(dialect: &D, delta: &Delta<'_, W>) -> Vec<String> {
    let names = delta.names;
    let (entries, held) = (&names.entries, &names.held);
    let keys = |table: &str| prefixed(table, names.key_names());
    let order = names.keys.iter().map(|key| dialect.by_value("s", key)).collect::<Vec<_>>().join(", ");
    let same = same_key(names, "o", "f");
    let contested = if delta.chosen.is_some() { "false" } else { "w.epoch > coalesce(own.epoch, -1)" };
    // What was delivered into the record that the row stands for was taken back by another key.
    let lost = if delta.mirror && delta.chosen.is_none() { "f.delivered AND f.stands = f.n" } else { "false" };
    vec![
        format!(
            "standing AS (SELECT f.n AS record, {} FROM f WHERE f.n IS NOT NULL UNION ALL \
             SELECT e.record, {} FROM {entries} AS e WHERE e.kind <= {} AND e.record IS NOT NULL \
             AND NOT EXISTS (SELECT 1 FROM f WHERE f.entry_born = e.born AND f.entry_place = e.place))",
            keys("f"),
            keys("e"),
            entry::SEEN
        ),
        format!(
            "owner AS ({})",
            dialect.first(&format!("s.record, {}", keys("s")), "standing AS s", "s.record", &order)
        ),
        format!(
            "last AS ({})",
            dialect.first(
                "h.record, h.born, h.place, h.epoch, h.match_key, h.group_key, h.remote_id",
                &format!("{held} AS h"),
                "h.record",
                "h.epoch DESC, h.born DESC, h.place DESC"
            )
        ),
        format!(
            "main AS ({})",
            dialect.first(
                "h.born, h.place, h.record",
                &format!("{held} AS h"),
                "h.born, h.place",
                "h.epoch DESC, h.record"
            )
        ),
        "leaving AS (SELECT l.* FROM last AS l WHERE NOT EXISTS (SELECT 1 FROM owner AS o WHERE o.record = l.record))"
            .to_owned(),
        format!(
            "t AS (SELECT f.*, o.record IS NOT NULL AND NOT ({same}) AS dup, main.record AS main, l.record IS NOT NULL AS leaves, \
             l.epoch AS written, l.match_key AS old_match, l.group_key AS old_group, l.remote_id AS old_id, \
             coalesce((w.born <> f.entry_born OR w.place <> f.entry_place) AND {contested}, false) AS contested, \
             own.epoch IS NULL AND coalesce({lost}, false) AS lost, \
             main.record IS NOT NULL AND main.record IS DISTINCT FROM f.n AS moves \
             FROM f LEFT JOIN owner AS o ON o.record = f.n \
             LEFT JOIN main ON main.born = f.entry_born AND main.place = f.entry_place \
             LEFT JOIN leaving AS l ON l.record = main.record AND l.born = f.entry_born AND l.place = f.entry_place \
             LEFT JOIN last AS w ON w.record = f.n \
             LEFT JOIN {held} AS own ON own.record = f.n AND own.born = f.entry_born AND own.place = f.entry_place)"
        ),
    ]
}

/// Which rows are changes, and what becomes of each.
fn offered<W>(delta: &Delta<'_, W>) -> String {
    let sent_again =
        format!("t.kind IN ({}, {}) AND (t.dup OR t.contested OR t.lost)", kind::REFRESHED, kind::UNCHANGED);
    let moves = if delta.mirror { "t.moves" } else { "false" };
    format!(
        "u AS (SELECT t.*, {moves} AS passes, CASE WHEN NOT t.asked OR NOT t.model THEN false \
         WHEN t.kind IN ({UPDATED}, {ADDED}) THEN true WHEN t.kind = {STILL} THEN t.dup <> t.was_duplicate \
         WHEN {sent_again} THEN true ELSE false END AS offered FROM t),\n\
         v AS (SELECT u.*, CASE WHEN NOT u.asked THEN {HIDDEN} \
         WHEN NOT u.model THEN CASE WHEN u.kind = {DELETED} AND NOT u.unsent AND (u.remembers OR u.main IS NOT NULL) AND NOT u.leaves \
         THEN {BURIED} ELSE u.kind END \
         WHEN NOT u.offered THEN u.kind \
         WHEN u.passes AND u.gone_again THEN {STILL} \
         WHEN u.passes AND u.leaves THEN {ADDED} \
         WHEN u.known THEN {UPDATED} ELSE {ADDED} END AS becomes, \
         u.offered AND u.passes AND u.leaves AND NOT u.gone_again AS waiting, \
         NOT u.model AND u.kind = {DELETED} AND u.leaves AS record_goes FROM u)",
        UPDATED = kind::UPDATED,
        ADDED = kind::ADDED,
        DELETED = kind::DELETED,
        BURIED = kind::BURIED,
        HIDDEN = kind::HIDDEN,
        STILL = kind::STILL_REJECTED,
    )
}

/// One change, or none, for each row that was found.
fn changes<D: Dialect, W>(dialect: &D, delta: &Delta<'_, W>) -> String {
    let keys = prefixed("v", delta.names.key_names());
    let row: String =
        (1..=delta.row).map(|at| format!(", CASE WHEN v.offered AND NOT v.dup THEN v.p{at} END AS p{at}")).collect();
    let of_record =
        |gone: &str, there: &str| format!("CASE WHEN v.record_goes THEN {gone} WHEN v.model THEN {there} END");
    let said = [
        ("kind", cast(dialect, "v.becomes", Kind::Small)),
        ("sent", format!("{} AND NOT (v.offered AND v.dup)", sent(delta.sent, "v.becomes", "v.unsent"))),
        (
            "rev",
            "CASE WHEN v.record_goes THEN v.written WHEN v.contested OR v.lost THEN v.other_rev ELSE v.rev END"
                .to_owned(),
        ),
        (HASH, format!("CASE WHEN v.record_goes THEN {} ELSE v.{} END", dialect.hash_of("v.main"), D::HASH)),
        ("record", of_record("v.main", "v.n")),
        ("match_key", of_record("v.old_match", "v.n_match")),
        ("group_key", of_record("v.old_group", "v.n_group")),
        ("remote_id", of_record("v.old_id", "NULL")),
        ("duplicate", "v.offered AND v.dup".to_owned()),
        ("waits", "v.waiting".to_owned()),
        ("moved", "v.offered AND v.passes".to_owned()),
        ("superseded", format!("NOT v.model AND v.kind = {} AND v.becomes = {}", kind::DELETED, kind::BURIED)),
    ];
    format!(
        "SELECT {}, {keys}{row} FROM v WHERE v.becomes NOT IN ({}, {}, {})",
        columns::<D>(|name| format!("v.{name}"), &said),
        kind::UNCHANGED,
        kind::NOTHING,
        kind::HIDDEN
    )
}

fn no_row<W>(delta: &Delta<'_, W>) -> String {
    (1..=delta.row).map(|at| format!(", NULL AS p{at}")).collect()
}

/// The deletions of records whose rows stand for others now.
fn deletions_first<D: Dialect, W>(dialect: &D, delta: &Delta<'_, W>) -> String {
    let keys = prefixed("v", delta.names.key_names());
    let said = [
        ("kind", cast(dialect, &kind::DELETED.to_string(), Kind::Small)),
        ("sent", "true".to_owned()),
        ("counted", "NULL".to_owned()),
        ("model", "false".to_owned()),
        ("unsent", "false".to_owned()),
        ("rev", "v.written".to_owned()),
        (HASH, dialect.hash_of("v.main")),
        ("resend", "NULL".to_owned()),
        ("size", "0".to_owned()),
        ("record", "v.main".to_owned()),
        ("match_key", "v.old_match".to_owned()),
        ("group_key", "v.old_group".to_owned()),
        ("remote_id", "v.old_id".to_owned()),
    ];
    format!(
        "SELECT {}, {keys}{} FROM v WHERE v.waiting",
        columns::<D>(|name| format!("v.{name}"), &said),
        no_row(delta)
    )
}

/// Rows that did not change, and have the record of a row with a greater key now.
fn new_duplicates<D: Dialect, W>(dialect: &D, delta: &Delta<'_, W>) -> String {
    let keys = prefixed("e", delta.names.key_names());
    let same = same_key(delta.names, "o", "e");
    let said = [
        ("kind", cast(dialect, &kind::UPDATED.to_string(), Kind::Small)),
        ("place", format!("{} + row_number() OVER (ORDER BY e.born, e.place)", DUPLICATES * BUCKET)),
        ("entry_born", "e.born".to_owned()),
        ("entry_place", "e.place".to_owned()),
        ("sent", "false".to_owned()),
        ("counted", "NULL".to_owned()),
        ("model", "true".to_owned()),
        ("known", "true".to_owned()),
        ("unsent", format!("e.kind = {}", entry::SEEN)),
        ("rejected", "false".to_owned()),
        ("doubtful", "false".to_owned()),
        ("resend", "NULL".to_owned()),
        ("size", "0".to_owned()),
        ("remote_id", "NULL".to_owned()),
        ("duplicate", "true".to_owned()),
        ("waits", "false".to_owned()),
        ("extra", "false".to_owned()),
        ("moved", "false".to_owned()),
        ("superseded", "false".to_owned()),
    ];
    format!(
        "SELECT {}, {keys}{} FROM {} AS e JOIN owner AS o ON o.record = e.record WHERE e.kind <= {} AND NOT ({same}) \
         AND NOT EXISTS (SELECT 1 FROM f WHERE f.entry_born = e.born AND f.entry_place = e.place)",
        columns::<D>(|name| format!("e.{name}"), &said),
        no_row(delta),
        delta.names.entries,
        entry::SEEN
    )
}

/// Deletions of records that a key wrote before the one that it wrote last, or that nothing else is said of: they passed to another
/// row, and that never wrote them.
fn taken_back<D: Dialect, W>(dialect: &D, delta: &Delta<'_, W>) -> String {
    let keys = prefixed("e", delta.names.key_names());
    let said = [
        ("kind", cast(dialect, &kind::DELETED.to_string(), Kind::Small)),
        ("place", format!("{} + row_number() OVER (ORDER BY l.record)", EXTRA * BUCKET)),
        ("entry_born", "l.born".to_owned()),
        ("entry_place", "l.place".to_owned()),
        ("spec", "e.spec".to_owned()),
        ("sent", "true".to_owned()),
        ("counted", "NULL".to_owned()),
        ("model", "false".to_owned()),
        ("known", "false".to_owned()),
        ("unsent", "false".to_owned()),
        ("rejected", "false".to_owned()),
        ("doubtful", "false".to_owned()),
        ("rev", "l.epoch".to_owned()),
        (HASH, dialect.hash_of("l.record")),
        ("resend", "NULL".to_owned()),
        ("size", "0".to_owned()),
        ("duplicate", "false".to_owned()),
        ("waits", "false".to_owned()),
        ("extra", "true".to_owned()),
        ("moved", "false".to_owned()),
        ("superseded", "false".to_owned()),
    ];
    // What a row stood for when it was last sent is its own change's to take back, or stays while nothing is said of it.
    format!(
        "SELECT {}, {keys}{} FROM leaving AS l JOIN {} AS e ON e.born = l.born AND e.place = l.place \
         JOIN main ON main.born = l.born AND main.place = l.place \
         LEFT JOIN v ON v.entry_born = l.born AND v.entry_place = l.place \
         WHERE CASE WHEN v.place IS NULL THEN e.kind > {} OR l.record <> main.record \
         WHEN v.kind = {} THEN false ELSE l.record <> main.record OR NOT (v.model OR v.kind IN ({}, {})) END",
        columns::<D>(|name| format!("l.{name}"), &said),
        no_row(delta),
        delta.names.entries,
        entry::SEEN,
        kind::DUPLICATE_KEY,
        kind::DELETED,
        kind::STILL_REJECTED
    )
}
