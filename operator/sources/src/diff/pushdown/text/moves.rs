//! How entries and records move by what was acknowledged, and what is noted of what was not.

use super::cast;
use crate::diff::pushdown::codes::{entry, kind};
use crate::diff::pushdown::dialect::{Dialect, Upsert};
use crate::diff::pushdown::statement::{Applied, Bind, Doubt, Mark, Move, Statement};
use crate::diff::pushdown::typed::{Kind, Names};

/// The columns of a doubt.
const DOUBT: [&str; 5] = ["doubt_epoch", "doubt_rev", "doubt_hash", "doubt_spec", "doubt_deletion"];

/// What names an entry.
const ENTRY: [&str; 2] = ["born", "place"];

/// What names a record that a key wrote.
const HELD: [&str; 3] = ["born", "place", "record"];

fn numbers(moves: &[&Move], of: fn(&Move) -> i64) -> Bind {
    Bind::Numbers(moves.iter().map(|one| of(one)).collect())
}

fn texts(moves: &[&Move], of: fn(&Move) -> &Option<Box<str>>) -> Bind {
    Bind::Texts(moves.iter().map(|one| of(one).clone()).collect())
}

/// Acknowledged changes (`a`) with their rows of the delta (`d`), and `more` of what was acknowledged.
fn acknowledged<D: Dialect>(
    dialect: &D,
    names: &Names,
    moves: &[&Move],
    more: Vec<(&'static str, Bind)>,
) -> (String, Vec<Bind>) {
    let mut columns =
        vec![("kind", numbers(moves, |one| one.kind.into())), ("place", numbers(moves, |one| one.place as i64))];
    columns.extend(more);
    let (given, binds) = dialect.given(columns);
    (format!("{given}{}", dialect.looked_up(&names.delta, "d", "d.kind = a.kind AND d.place = a.place", false)), binds)
}

/// Moves entries, then records.
pub(in super::super) fn apply<D: Dialect>(dialect: &D, to: &Applied<'_>, moves: &[Move]) -> Vec<Statement> {
    let mut statements = vec![entries(dialect, to, &moves.iter().collect::<Vec<_>>())];
    if to.identifies {
        statements.extend(records(dialect, to, moves));
    }
    statements
}

fn entries<D: Dialect>(dialect: &D, to: &Applied<'_>, moves: &[&Move]) -> Statement {
    let Applied { names, epoch, spec, now, .. } = *to;
    let (from, binds) = acknowledged(
        dialect,
        names,
        moves,
        vec![
            ("becomes", numbers(moves, |one| one.becomes)),
            ("match_key", texts(moves, |one| &one.match_key)),
            ("group_key", texts(moves, |one| &one.group_key)),
            ("remote_id", texts(moves, |one| &one.remote_id)),
            ("rejected", texts(moves, |one| &one.rejected)),
        ],
    );
    let hash = D::HASH;
    let known = format!("a.becomes <= {}", entry::SEEN);
    let of_rejected = |what: &str| format!("CASE WHEN a.rejected IS NOT NULL THEN {what} END");
    let mut columns = vec![("born", "d.entry_born".to_owned()), ("place", "d.entry_place".to_owned())];
    columns.extend(names.key_names().map(|name| (name, format!("d.{name}"))));
    columns.extend([
        ("kind", "a.becomes".to_owned()),
        ("rev", epoch.to_string()),
        ("spec", spec.to_string()),
        (hash, format!("CASE WHEN {known} THEN d.{hash} END")),
        ("deleted_at", format!("CASE WHEN a.becomes = {} THEN {now} END", entry::TOMBSTONE)),
        ("match_key", "a.match_key".to_owned()),
        ("group_key", "a.group_key".to_owned()),
        ("remote_id", "a.remote_id".to_owned()),
        ("record", format!("CASE WHEN a.kind <> {} THEN d.record END", kind::DELETED)),
        ("rejected_hash", of_rejected(&format!("d.{hash}"))),
        ("rejected_spec", of_rejected(&spec.to_string())),
        ("rejected_deletion", of_rejected(&dialect.truth(&format!("a.kind = {}", kind::DELETED)))),
        ("rejected_code", "a.rejected".to_owned()),
    ]);
    let refused = "{new}.rejected_spec IS NOT NULL";
    let stays = format!("{refused} AND e.kind <= {}", entry::SEEN);
    let mut set: Vec<(&str, String)> = ["kind", "spec", hash, "match_key", "group_key", "remote_id"]
        .map(|name| (name, format!("CASE WHEN {stays} THEN e.{name} ELSE {{new}}.{name} END")))
        .into();
    set.extend(["rev", "deleted_at"].map(|name| (name, format!("{{new}}.{name}"))));
    set.push(("record", format!("coalesce({{new}}.record, CASE WHEN {refused} THEN e.record END)")));
    set.extend(
        ["rejected_hash", "rejected_spec", "rejected_deletion", "rejected_code"]
            .map(|name| (name, format!("{{new}}.{name}"))),
    );
    set.extend(DOUBT.map(|name| (name, format!("CASE WHEN {refused} THEN e.{name} END"))));
    let from = format!("{from} WHERE NOT {}", dialect.is("d.extra"));
    let sql = dialect.upsert(&Upsert { table: &names.entries, alias: "e", key: &ENTRY, columns, from, set });
    Statement { sql, binds }
}

/// What was taken back is held by nobody; what was written, by its writer alone.
fn records<D: Dialect>(dialect: &D, to: &Applied<'_>, moves: &[Move]) -> Vec<Statement> {
    let Applied { names, epoch, mirror, .. } = *to;
    let held = names.held.as_str();
    let of = |wanted: fn(&Move) -> bool| -> Vec<&Move> { moves.iter().filter(|one| wanted(one)).collect() };
    let gone = of(|one| one.kind == kind::DELETED && one.becomes == entry::TOMBSTONE);
    let wrote = of(|one| one.wrote);
    let its_own = "h.born = d.entry_born AND h.place = d.entry_place";
    let remove = |moves: &[&Move], which: &str| {
        let (from, binds) = acknowledged(dialect, names, moves, Vec::new());
        Statement { sql: dialect.remove(held, "h", Some(&from), which), binds }
    };
    let mut statements = Vec::new();
    if !gone.is_empty() {
        statements.push(remove(&gone, if mirror { "h.record = d.record" } else { its_own }));
    }
    if !wrote.is_empty() {
        // Only a Mirror takes back what a key wrote before.
        let others = if mirror {
            format!("h.record = d.record AND NOT ({its_own})")
        } else {
            format!("{its_own} AND h.record <> d.record")
        };
        statements.push(remove(&wrote, &others));
        let (from, binds) =
            acknowledged(dialect, names, &wrote, vec![("remote_id", texts(&wrote, |one| &one.remote_id))]);
        let upsert = Upsert {
            table: held,
            alias: "h",
            key: &HELD,
            columns: held_columns(epoch, Some("a.remote_id")),
            from: format!("{from} WHERE d.record IS NOT NULL"),
            set: vec![
                ("epoch", "{new}.epoch".to_owned()),
                ("remote_id", "coalesce({new}.remote_id, h.remote_id)".to_owned()),
            ],
        };
        statements.push(Statement { sql: dialect.upsert(&upsert), binds });
    }
    statements
}

fn held_columns(epoch: u64, remote_id: Option<&str>) -> Vec<(&'static str, String)> {
    let mut columns = vec![
        ("born", "d.entry_born".to_owned()),
        ("place", "d.entry_place".to_owned()),
        ("record", "d.record".to_owned()),
        ("epoch", epoch.to_string()),
        ("match_key", "d.match_key".to_owned()),
        ("group_key", "d.group_key".to_owned()),
    ];
    columns.extend(remote_id.map(|said| ("remote_id", said.to_owned())));
    columns
}

/// Notes what was handed out and not acknowledged, of entries and of records.
pub(in super::super) fn doubt<D: Dialect>(dialect: &D, doubt: &Doubt<'_>) -> Vec<String> {
    let Doubt { entries, held, delta, keys, epoch, offered } = *doubt;
    let which = match offered {
        None => format!("d.kind IN ({}, {}, {})", kind::DELETED, kind::UPDATED, kind::ADDED),
        Some([]) => dialect.is(dialect.boolean(false)),
        Some(offered) => {
            let each = offered.iter().map(|(kind, place)| format!("(d.kind = {kind} AND d.place <= {place})"));
            format!("({})", each.collect::<Vec<_>>().join(" OR "))
        }
    };
    // An addition that waited for its deletion was handed out only if that was acknowledged, by this claim.
    let unmoved = dialect.or(&format!("e.rev < {epoch}"), true);
    let handed_out = if held.is_some() {
        let freed = dialect.or(&format!("e.rev = {epoch} AND e.kind = {}", entry::TOMBSTONE), false);
        let either = format!(
            "CASE WHEN {} THEN {} ELSE {} END",
            dialect.is("d.waits"),
            dialect.truth(&freed),
            dialect.truth(&unmoved)
        );
        format!("NOT {} AND {}", dialect.is("d.extra"), dialect.is(&either))
    } else {
        unmoved
    };
    let rows = format!(
        "{delta} AS d LEFT JOIN {entries} AS e ON e.born = d.entry_born AND e.place = d.entry_place \
         WHERE {} AND {which} AND {handed_out}",
        dialect.is("d.sent")
    );
    let mut statements = Vec::new();
    if let Some(held) = held {
        statements.push(dialect.upsert(&Upsert {
            table: held,
            alias: "h",
            key: &HELD,
            columns: held_columns(epoch, None),
            from: format!("{rows} AND d.kind <> {} AND d.record IS NOT NULL", kind::DELETED),
            set: vec![("epoch", dialect.greatest("h.epoch", "{new}.epoch"))],
        }));
    }
    let mut columns = vec![("born", "d.entry_born".to_owned()), ("place", "d.entry_place".to_owned())];
    columns.extend(keys.iter().map(|name| (name.as_str(), format!("d.{name}"))));
    columns.extend([
        ("kind", entry::NEVER_DELIVERED.to_string()),
        ("rev", "d.rev".to_owned()),
        ("spec", "d.spec".to_owned()),
        ("doubt_epoch", epoch.to_string()),
        ("doubt_rev", "d.rev".to_owned()),
        ("doubt_hash", format!("d.{}", D::HASH)),
        ("doubt_spec", "d.spec".to_owned()),
        ("doubt_deletion", dialect.truth(&format!("d.kind = {}", kind::DELETED))),
    ]);
    statements.push(dialect.upsert(&Upsert {
        table: entries,
        alias: "e",
        key: &ENTRY,
        columns,
        from: rows,
        set: DOUBT.map(|name| (name, format!("{{new}}.{name}"))).into(),
    }));
    statements
}

/// What the worker says of rows, as a query.
pub(in super::super) fn marked<D: Dialect>(dialect: &D, marks: &[Mark]) -> (String, Vec<Bind>) {
    let texts = |of: fn(&Mark) -> &Option<Box<str>>| Bind::Texts(marks.iter().map(|mark| of(mark).clone()).collect());
    let (given, binds) = dialect.given(vec![
        ("place", Bind::Numbers(marks.iter().map(|mark| mark.place as i64).collect())),
        ("record", texts(|mark| &mark.record)),
        ("match_key", texts(|mark| &mark.match_key)),
        ("group_key", texts(|mark| &mark.group_key)),
        ("chosen", Bind::Numbers(marks.iter().map(|mark| i64::from(mark.chosen)).collect())),
    ]);
    let chosen = dialect.truth("a.chosen <> 0");
    (format!("SELECT a.place, a.record, a.match_key, a.group_key, {chosen} FROM {given}"), binds)
}

pub(in super::super) fn mark<D: Dialect>(dialect: &D, names: &Names, marks: &[Mark]) -> Statement {
    let (query, binds) = marked(dialect, marks);
    let sql = format!("INSERT INTO {} (place, record, match_key, group_key, chosen) {query}", names.marks);
    Statement { sql, binds }
}

pub(in super::super) fn refresh<D: Dialect>(dialect: &D, names: &Names, spec: u32, now: i64) -> String {
    let buried = format!("d.kind = {}", kind::BURIED);
    let nothing = |kind| cast(dialect, "NULL", kind);
    let mut set = vec![
        ("kind", format!("CASE WHEN {buried} THEN {} ELSE e.kind END", entry::TOMBSTONE)),
        ("spec", format!("CASE WHEN {buried} THEN e.spec ELSE {spec} END")),
        (D::HASH, format!("CASE WHEN {buried} THEN NULL ELSE d.{} END", D::HASH)),
        ("deleted_at", format!("CASE WHEN {buried} THEN {now} END")),
        // A record that another row stands for is no doubt of this key's any more.
        ("record", format!("CASE WHEN NOT {buried} THEN d.record END")),
    ];
    let kept = ["match_key", "group_key", "remote_id"].into_iter().chain(DOUBT);
    set.extend(kept.map(|name| (name, format!("CASE WHEN NOT {buried} THEN e.{name} END"))));
    set.extend([
        ("rejected_hash", nothing(Kind::Hash)),
        ("rejected_spec", nothing(Kind::Integer)),
        ("rejected_deletion", nothing(Kind::Bool)),
        ("rejected_code", nothing(Kind::Text)),
    ]);
    dialect.update(
        &names.entries,
        &set,
        &names.delta,
        &format!("d.kind IN ({}, {})", kind::REFRESHED, kind::BURIED),
        "e.born = d.entry_born AND e.place = d.entry_place",
    )
}

pub(in super::super) fn prune<D: Dialect>(dialect: &D, names: &Names, expired: i64) -> String {
    let which = format!(
        "e.kind = {} AND e.deleted_at <= {expired} AND e.doubt_epoch IS NULL \
         AND NOT EXISTS (SELECT 1 FROM {} AS h WHERE h.born = e.born AND h.place = e.place)",
        entry::TOMBSTONE,
        names.held
    );
    dialect.remove(&names.entries, "e", None, &which)
}

pub(in super::super) fn withhold<D: Dialect>(dialect: &D, names: &Names) -> String {
    format!("DELETE FROM {} WHERE kind = {} OR {}", names.delta, kind::DELETED, dialect.is("waits"))
}
