//! How entries and records move by what was acknowledged, and what is noted of what was not.

use super::super::dialect::{entry, kind};
use super::super::statement::{Applied, Bind, Doubt, Move, Statement};
use super::key_names;

/// The columns of a doubt.
const DOUBT: [&str; 5] = ["doubt_epoch", "doubt_rev", "doubt_hash", "doubt_spec", "doubt_deletion"];

/// Moves entries, then records.
pub(super) fn apply(to: &Applied<'_>, moves: &[Move]) -> Vec<Statement> {
    let mut statements = vec![entries(to, moves)];
    if to.identifies {
        statements.extend(records(to, moves));
    }
    statements
}

fn entries(to: &Applied<'_>, moves: &[Move]) -> Statement {
    let Applied { names, epoch, spec, now, .. } = *to;
    let entries = &names.entries;
    let keys: String = key_names(names).map(|name| format!("{name}, ")).collect();
    let from: String = key_names(names).map(|name| format!("d.{name}, ")).collect();
    let refused = "excluded.rejected_spec IS NOT NULL";
    let stays = format!("{refused} AND e.kind <= {}", entry::SEEN);
    let unless_refused: String = ["kind", "spec", "hash", "match_key", "group_key", "remote_id"]
        .map(|name| format!("{name} = CASE WHEN {stays} THEN e.{name} ELSE excluded.{name} END, "))
        .concat();
    let doubt: String = DOUBT.map(|name| format!(", {name} = CASE WHEN {refused} THEN e.{name} END")).concat();
    let known = format!("a.becomes <= {}", entry::SEEN);
    let sql = format!(
        "INSERT INTO {entries} AS e (born, place, {keys}kind, rev, spec, hash, deleted_at, match_key, group_key, remote_id, record, \
         rejected_hash, rejected_spec, rejected_deletion, rejected_code) \
         SELECT d.entry_born, d.entry_place, {from}a.becomes, {epoch}, {spec}, CASE WHEN {known} THEN d.hash END, \
         CASE WHEN a.becomes = {tombstone} THEN {now} END, a.match_key, a.group_key, a.remote_id, \
         CASE WHEN a.kind <> {deleted} THEN d.record END, \
         CASE WHEN a.rejected IS NOT NULL THEN d.hash END, CASE WHEN a.rejected IS NOT NULL THEN {spec} END, \
         CASE WHEN a.rejected IS NOT NULL THEN a.kind = {deleted} END, a.rejected \
         FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[]) \
         AS a (kind, place, becomes, match_key, group_key, remote_id, rejected) \
         CROSS JOIN LATERAL (SELECT * FROM {delta} AS d WHERE d.kind = a.kind AND d.place = a.place LIMIT 1) AS d \
         WHERE NOT d.extra \
         ON CONFLICT (born, place) DO UPDATE SET {unless_refused}rev = excluded.rev, deleted_at = excluded.deleted_at, \
         record = coalesce(excluded.record, CASE WHEN {refused} THEN e.record END), \
         rejected_hash = excluded.rejected_hash, rejected_spec = excluded.rejected_spec, \
         rejected_deletion = excluded.rejected_deletion, rejected_code = excluded.rejected_code{doubt}",
        tombstone = entry::TOMBSTONE,
        deleted = kind::DELETED,
        delta = names.delta,
    );
    let texts = |of: fn(&Move) -> &Option<Box<str>>| Bind::Texts(moves.iter().map(|one| of(one).clone()).collect());
    Statement {
        sql,
        binds: vec![
            numbers(moves, |one| one.kind.into()),
            numbers(moves, |one| one.place as i64),
            numbers(moves, |one| one.becomes),
            texts(|one| &one.match_key),
            texts(|one| &one.group_key),
            texts(|one| &one.remote_id),
            texts(|one| &one.rejected),
        ],
    }
}

/// What was taken back is held by nobody; what was written, by its writer alone.
fn records(to: &Applied<'_>, moves: &[Move]) -> Vec<Statement> {
    let Applied { names, epoch, mirror, .. } = *to;
    let held = &names.held;
    let of = |wanted: fn(&Move) -> bool| -> Vec<Move> { moves.iter().filter(|one| wanted(one)).cloned().collect() };
    let gone = of(|one| one.kind == kind::DELETED && one.becomes == entry::TOMBSTONE);
    let wrote = of(|one| one.wrote);
    let named = |moves: &[Move]| vec![numbers(moves, |one| one.kind.into()), numbers(moves, |one| one.place as i64)];
    let from = format!(
        "unnest($1::bigint[], $2::bigint[]) AS a (kind, place) \
         CROSS JOIN LATERAL (SELECT * FROM {} AS d WHERE d.kind = a.kind AND d.place = a.place LIMIT 1) AS d",
        names.delta
    );
    let its_own = "h.born = d.entry_born AND h.place = d.entry_place";
    let mut statements = Vec::new();
    if !gone.is_empty() {
        let which = if mirror { "h.record = d.record" } else { its_own };
        let sql = format!("DELETE FROM {held} AS h USING {from} WHERE {which}");
        statements.push(Statement { sql, binds: named(&gone) });
    }
    if !wrote.is_empty() {
        // Only a Mirror takes back what a key wrote before.
        let others = if mirror {
            format!("h.record = d.record AND NOT ({its_own})")
        } else {
            format!("{its_own} AND h.record <> d.record")
        };
        let sql = format!("DELETE FROM {held} AS h USING {from} WHERE {others}");
        statements.push(Statement { sql, binds: named(&wrote) });
        let remote = Bind::Texts(wrote.iter().map(|one| one.remote_id.clone()).collect());
        let from = from.replace(
            "unnest($1::bigint[], $2::bigint[]) AS a (kind, place)",
            "unnest($1::bigint[], $2::bigint[], $3::text[]) AS a (kind, place, remote_id)",
        );
        let sql = format!(
            "INSERT INTO {held} AS h (born, place, record, epoch, match_key, group_key, remote_id) \
             SELECT d.entry_born, d.entry_place, d.record, {epoch}, d.match_key, d.group_key, a.remote_id \
             FROM {from} WHERE d.record IS NOT NULL \
             ON CONFLICT (born, place, record) DO UPDATE SET epoch = excluded.epoch, \
             remote_id = coalesce(excluded.remote_id, h.remote_id)"
        );
        statements.push(Statement { sql, binds: named(&wrote).into_iter().chain([remote]).collect() });
    }
    statements
}

fn numbers(moves: &[Move], of: fn(&Move) -> i64) -> Bind {
    Bind::Numbers(moves.iter().map(of).collect())
}

/// Notes what was handed out and not acknowledged, of entries and of records.
pub(super) fn doubt(doubt: &Doubt<'_>) -> Vec<String> {
    let Doubt { entries, held, delta, keys, epoch, offered } = *doubt;
    let which = match offered {
        None => format!("d.kind IN ({}, {}, {})", kind::DELETED, kind::UPDATED, kind::ADDED),
        Some([]) => "false".to_owned(),
        Some(offered) => {
            let each = offered.iter().map(|(kind, place)| format!("(d.kind = {kind} AND d.place <= {place})"));
            format!("({})", each.collect::<Vec<_>>().join(" OR "))
        }
    };
    let names: String = keys.iter().map(|name| format!("{name}, ")).collect();
    let from: String = keys.iter().map(|name| format!("d.{name}, ")).collect();
    let set = DOUBT.map(|name| format!("{name} = excluded.{name}")).join(", ");
    // An addition that waited for its deletion was handed out only if that was acknowledged, by this claim.
    let handed_out = if held.is_some() {
        format!(
            "NOT d.extra AND CASE WHEN d.waits THEN coalesce(e.rev = {epoch} AND e.kind = {}, false) \
             ELSE coalesce(e.rev < {epoch}, true) END",
            entry::TOMBSTONE
        )
    } else {
        format!("coalesce(e.rev < {epoch}, true)")
    };
    let rows = format!(
        "FROM {delta} AS d LEFT JOIN {entries} AS e ON e.born = d.entry_born AND e.place = d.entry_place \
         WHERE d.sent AND {which} AND {handed_out}"
    );
    let mut statements = Vec::new();
    if let Some(held) = held {
        statements.push(format!(
            "INSERT INTO {held} AS h (born, place, record, epoch, match_key, group_key) \
             SELECT d.entry_born, d.entry_place, d.record, {epoch}, d.match_key, d.group_key {rows} \
             AND d.kind <> {} AND d.record IS NOT NULL \
             ON CONFLICT (born, place, record) DO UPDATE SET epoch = greatest(h.epoch, excluded.epoch)",
            kind::DELETED
        ));
    }
    statements.push(format!(
        "INSERT INTO {entries} AS e (born, place, {names}kind, rev, spec, doubt_epoch, doubt_rev, doubt_hash, doubt_spec, doubt_deletion) \
         SELECT d.entry_born, d.entry_place, {from}{}, d.rev, d.spec, {epoch}, d.rev, d.hash, d.spec, d.kind = {} \
         {rows} ON CONFLICT (born, place) DO UPDATE SET {set}",
        entry::NEVER_DELIVERED,
        kind::DELETED
    ));
    statements
}
