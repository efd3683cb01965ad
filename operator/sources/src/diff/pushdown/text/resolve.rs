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
            "x.kind NOT IN ({}, {}, {}) OR {}",
            kind::UPDATED,
            kind::ADDED,
            kind::STILL_REJECTED,
            dialect.or(&dialect.is("k.chosen"), false)
        )
    } else {
        dialect.is(dialect.boolean(true))
    };
    let asked = dialect.truth(&asked);
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
            "{no} AS dup, {text} AS main, {no} AS leaves, {number} AS written, {text} AS old_match, \
             {text} AS old_group, {text} AS old_id, {no} AS contested, {no} AS lost, {no} AS moves",
            no = dialect.boolean(false)
        );
        parts.push(format!("t AS (SELECT f.*, {nothing} FROM f)"));
    }
    parts.push(offered(dialect, delta));
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
    dialect.create_with(&names.delta, &parts.join(",\n"), &rows.join("\nUNION ALL\n"))
}

/// Who stands for which record, who wrote it last, and which records nobody stands for.
fn records<D: Dialect, W>(dialect: &D, delta: &Delta<'_, W>) -> Vec<String> {
    let names = delta.names;
    let (entries, held) = (&names.entries, &names.held);
    let keys = |table: &str| prefixed(table, names.key_names());
    let order = names.keys.iter().map(|key| dialect.by_value("s", key)).collect::<Vec<_>>().join(", ");
    let same = same_key(names, "o", "f");
    let never = dialect.is(dialect.boolean(false));
    let contested = if delta.chosen.is_some() { &never } else { "w.epoch > coalesce(own.epoch, -1)" };
    // What was delivered into the record that the row stands for was taken back by another key.
    let lost = if delta.mirror && delta.chosen.is_none() {
        format!("{} AND f.stands = f.n", dialect.is("f.delivered"))
    } else {
        never.clone()
    };
    let lost = dialect.or(&lost, false);
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
            "t AS (SELECT f.*, {dup} AS dup, main.record AS main, {leaves} AS leaves, \
             l.epoch AS written, l.match_key AS old_match, l.group_key AS old_group, l.remote_id AS old_id, \
             {contested} AS contested, {lost} AS lost, {moves} AS moves \
             FROM f LEFT JOIN owner AS o ON o.record = f.n \
             LEFT JOIN main ON main.born = f.entry_born AND main.place = f.entry_place \
             LEFT JOIN leaving AS l ON l.record = main.record AND l.born = f.entry_born AND l.place = f.entry_place \
             LEFT JOIN last AS w ON w.record = f.n \
             LEFT JOIN {held} AS own ON own.record = f.n AND own.born = f.entry_born AND own.place = f.entry_place)",
            dup = dialect.truth(&format!("o.record IS NOT NULL AND NOT ({same})")),
            leaves = dialect.truth("l.record IS NOT NULL"),
            contested = dialect.truth(
                &dialect.or(&format!("(w.born <> f.entry_born OR w.place <> f.entry_place) AND {contested}"), false)
            ),
            lost = dialect.truth(&format!("own.epoch IS NULL AND {lost}")),
            moves = dialect.truth(&format!("main.record IS NOT NULL AND {}", dialect.distinct("main.record", "f.n"))),
        ),
    ]
}

/// Which rows are changes, and what becomes of each.
fn offered<D: Dialect, W>(dialect: &D, delta: &Delta<'_, W>) -> String {
    let is = |name: &str| dialect.is(name);
    let sent_again = format!(
        "t.kind IN ({}, {}) AND ({} OR {} OR {})",
        kind::REFRESHED,
        kind::UNCHANGED,
        is("t.dup"),
        is("t.contested"),
        is("t.lost")
    );
    let (yes, no) = (dialect.boolean(true), dialect.boolean(false));
    let moves = if delta.mirror { "t.moves" } else { no };
    let [asked, model, offered, passes, leaves, gone_again] =
        ["u.asked", "u.model", "u.offered", "u.passes", "u.leaves", "u.gone_again"].map(is);
    format!(
        "u AS (SELECT t.*, {moves} AS passes, CASE WHEN NOT {t_asked} OR NOT {t_model} THEN {no} \
         WHEN t.kind IN ({UPDATED}, {ADDED}) THEN {yes} WHEN t.kind = {STILL} THEN {turned} \
         WHEN {sent_again} THEN {yes} ELSE {no} END AS offered FROM t),\n\
         v AS (SELECT u.*, CASE WHEN NOT {asked} THEN {HIDDEN} \
         WHEN NOT {model} THEN CASE WHEN u.kind = {DELETED} AND NOT {unsent} AND ({remembers} OR u.main IS NOT NULL) AND NOT {leaves} \
         THEN {BURIED} ELSE u.kind END \
         WHEN NOT {offered} THEN u.kind \
         WHEN {passes} AND {gone_again} THEN {STILL} \
         WHEN {passes} AND {leaves} THEN {ADDED} \
         WHEN {known} THEN {UPDATED} ELSE {ADDED} END AS becomes, \
         {waiting} AS waiting, {record_goes} AS record_goes FROM u)",
        t_asked = is("t.asked"),
        t_model = is("t.model"),
        turned = dialect.truth("t.dup <> t.was_duplicate"),
        unsent = is("u.unsent"),
        remembers = is("u.remembers"),
        known = is("u.known"),
        waiting = dialect.truth(&format!("{offered} AND {passes} AND {leaves} AND NOT {gone_again}")),
        record_goes = dialect.truth(&format!("NOT {model} AND u.kind = {} AND {leaves}", kind::DELETED)),
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
    let [offered, dup, model, record_goes, contested, lost] =
        ["v.offered", "v.dup", "v.model", "v.record_goes", "v.contested", "v.lost"].map(|name| dialect.is(name));
    let row: String =
        (1..=delta.row).map(|at| format!(", CASE WHEN {offered} AND NOT {dup} THEN v.p{at} END AS p{at}")).collect();
    let of_record =
        |gone: &str, there: &str| format!("CASE WHEN {record_goes} THEN {gone} WHEN {model} THEN {there} END");
    let sent = format!("{} AND NOT ({offered} AND {dup})", sent(dialect, delta.sent, "v.becomes", "v.unsent"));
    let superseded = format!("NOT {model} AND v.kind = {} AND v.becomes = {}", kind::DELETED, kind::BURIED);
    let said = [
        ("kind", cast(dialect, "v.becomes", Kind::Small)),
        ("sent", dialect.truth(&sent)),
        (
            "rev",
            format!(
                "CASE WHEN {record_goes} THEN v.written WHEN {contested} OR {lost} THEN v.other_rev ELSE v.rev END"
            ),
        ),
        (HASH, format!("CASE WHEN {record_goes} THEN {} ELSE v.{} END", dialect.hash_of("v.main"), D::HASH)),
        ("record", of_record("v.main", "v.n")),
        ("match_key", of_record("v.old_match", "v.n_match")),
        ("group_key", of_record("v.old_group", "v.n_group")),
        ("remote_id", of_record("v.old_id", "NULL")),
        ("duplicate", dialect.truth(&format!("{offered} AND {dup}"))),
        ("waits", "v.waiting".to_owned()),
        ("moved", dialect.truth(&format!("{offered} AND {}", dialect.is("v.passes")))),
        ("superseded", dialect.truth(&superseded)),
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
        ("sent", dialect.boolean(true).to_owned()),
        ("counted", "NULL".to_owned()),
        ("model", dialect.boolean(false).to_owned()),
        ("unsent", dialect.boolean(false).to_owned()),
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
        "SELECT {}, {keys}{} FROM v WHERE {}",
        columns::<D>(|name| format!("v.{name}"), &said),
        no_row(delta),
        dialect.is("v.waiting")
    )
}

/// Rows that did not change, and have the record of a row with a greater key now.
fn new_duplicates<D: Dialect, W>(dialect: &D, delta: &Delta<'_, W>) -> String {
    let keys = prefixed("e", delta.names.key_names());
    let same = same_key(delta.names, "o", "e");
    let said = [
        ("kind", cast(dialect, &kind::UPDATED.to_string(), Kind::Small)),
        ("place", format!("{} + row_number() OVER (ORDER BY e.born, e.place)", dialect.big(DUPLICATES * BUCKET))),
        ("entry_born", "e.born".to_owned()),
        ("entry_place", "e.place".to_owned()),
        ("sent", dialect.boolean(false).to_owned()),
        ("counted", "NULL".to_owned()),
        ("model", dialect.boolean(true).to_owned()),
        ("known", dialect.boolean(true).to_owned()),
        ("unsent", dialect.truth(&format!("e.kind = {}", entry::SEEN))),
        ("rejected", dialect.boolean(false).to_owned()),
        ("doubtful", dialect.boolean(false).to_owned()),
        ("resend", "NULL".to_owned()),
        ("size", "0".to_owned()),
        ("remote_id", "NULL".to_owned()),
        ("duplicate", dialect.boolean(true).to_owned()),
        ("waits", dialect.boolean(false).to_owned()),
        ("extra", dialect.boolean(false).to_owned()),
        ("moved", dialect.boolean(false).to_owned()),
        ("superseded", dialect.boolean(false).to_owned()),
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
        ("place", format!("{} + row_number() OVER (ORDER BY l.record)", dialect.big(EXTRA * BUCKET))),
        ("entry_born", "l.born".to_owned()),
        ("entry_place", "l.place".to_owned()),
        ("spec", "e.spec".to_owned()),
        ("sent", dialect.boolean(true).to_owned()),
        ("counted", "NULL".to_owned()),
        ("model", dialect.boolean(false).to_owned()),
        ("known", dialect.boolean(false).to_owned()),
        ("unsent", dialect.boolean(false).to_owned()),
        ("rejected", dialect.boolean(false).to_owned()),
        ("doubtful", dialect.boolean(false).to_owned()),
        ("rev", "l.epoch".to_owned()),
        (HASH, dialect.hash_of("l.record")),
        ("resend", "NULL".to_owned()),
        ("size", "0".to_owned()),
        ("duplicate", dialect.boolean(false).to_owned()),
        ("waits", dialect.boolean(false).to_owned()),
        ("extra", dialect.boolean(true).to_owned()),
        ("moved", dialect.boolean(false).to_owned()),
        ("superseded", dialect.boolean(false).to_owned()),
    ];
    // What a row stood for when it was last sent is its own change's to take back, or stays while nothing is said of it.
    let which = format!(
        "CASE WHEN v.place IS NULL THEN {} WHEN v.kind = {} THEN {} ELSE {} END",
        dialect.truth(&format!("e.kind > {} OR l.record <> main.record", entry::SEEN)),
        kind::DUPLICATE_KEY,
        dialect.boolean(false),
        dialect.truth(&format!(
            "l.record <> main.record OR NOT ({} OR v.kind IN ({}, {}))",
            dialect.is("v.model"),
            kind::DELETED,
            kind::STILL_REJECTED
        )),
    );
    format!(
        "SELECT {}, {keys}{} FROM leaving AS l JOIN {} AS e ON e.born = l.born AND e.place = l.place \
         JOIN main ON main.born = l.born AND main.place = l.place \
         LEFT JOIN v ON v.entry_born = l.born AND v.entry_place = l.place WHERE {}",
        columns::<D>(|name| format!("l.{name}"), &said),
        no_row(delta),
        delta.names.entries,
        dialect.is(&which)
    )
}
