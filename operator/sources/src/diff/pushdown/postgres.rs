//! The statements as Postgres takes them, from version 12.
//!
//! The row hash is the first half of the SHA-256 of `record_send(ROW(…))`: for each column its type, a length that tells NULL from an
//! empty value, and the value's exact bytes. No setting of the session and no text form is in it, so that the same row has the same hash
//! on every server and version. What has no such form that is stable (types of extensions, enums, arrays) is hashed as text.

use std::fmt::Write as _;

use super::dialect::{
    After, Around, Bind, Delta, Dialect, KeyColumn, Move, NUMBER_BITS, Names, Statement, entry, kind, resend,
};
use crate::sql::quote;

/// Postgres.
pub(crate) struct Postgres;

/// Columns of the entries beside the key's. `docs/state-format.md` explains them.
const ENTRY: &str = "kind smallint NOT NULL, rev bigint NOT NULL, spec integer NOT NULL, hash bytea, deleted_at bigint, \
     match_key text, group_key text, remote_id text, \
     rejected_hash bytea, rejected_spec integer, rejected_deletion boolean, rejected_code text, \
     doubt_epoch bigint, doubt_rev bigint, doubt_hash bytea, doubt_spec integer, doubt_deletion boolean";

/// Buckets of a delta.
const BUCKETS: u32 = 1024;

/// A column of a row that is no long text is counted as so many bytes.
const SHORT: usize = 8;

/// `{}` in a template.
fn fill(template: &str, operand: &str) -> String {
    template.replace("{}", operand)
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn key_names(names: &Names) -> impl Iterator<Item = &str> + Clone {
    names.keys.iter().map(|key| key.name.as_str())
}

fn prefixed<'a>(table: &str, columns: impl Iterator<Item = &'a str>) -> String {
    columns.map(|name| format!("{table}.{name}")).collect::<Vec<_>>().join(", ")
}

/// The rows of the model with keys and hashes, before `FROM`.
fn model<W>(delta: &Delta<'_, W>) -> String {
    let raw = |at: usize| format!("_m.{}", quote(&delta.columns[at].name));
    let mut out = String::from("SELECT ");
    for at in 0..delta.columns.len() {
        let _ = write!(out, "{} AS c{}, ", raw(at), at + 1);
    }
    let keys: Vec<String> = delta.key.iter().map(|at| fill(&delta.columns[*at].key.expression, &raw(*at))).collect();
    for (key, column) in keys.iter().zip(&delta.names.keys) {
        let _ = write!(out, "{key} AS {}, ", column.name);
    }
    for (number, (_, columns)) in delta.specs.iter().enumerate() {
        let values: Vec<String> = columns.iter().map(|at| fill(&delta.columns[*at].hash, &raw(*at))).collect();
        let row = values.join(", ");
        let _ = write!(out, "substring(sha256(record_send(ROW({row}))) FROM 1 FOR 16) AS h{number}, ");
    }
    // The last row is always in the delta, and says how many there were.
    out.push_str("row_number() OVER () AS row, lead(1) OVER () IS NULL AS last");
    if delta.exact {
        let _ = write!(out, ", count(*) OVER (PARTITION BY {}) AS copies", keys.join(", "));
    }
    out
}

/// What each pair of row (`m`) and entry (`c`) is.
fn judged<W>(delta: &Delta<'_, W>) -> String {
    let current = delta.specs.first().map_or(0, |(id, _)| *id);
    let mut by_spec = String::from("CASE c.spec");
    for (number, (id, _)) in delta.specs.iter().enumerate() {
        let _ = write!(by_spec, " WHEN {id} THEN m.h{number}");
    }
    by_spec.push_str(" END");
    let mut changed = format!("{by_spec} IS DISTINCT FROM c.hash OR c.doubt_epoch IS NOT NULL");
    if delta.resend_below > 0 {
        let _ = write!(changed, " OR c.rev < {}", delta.resend_below);
    }
    let (gone_again, row_again) = if delta.retry_rejected {
        ("false".to_owned(), "false".to_owned())
    } else {
        (
            format!("c.rejected_spec = {current} AND c.rejected_deletion"),
            format!("c.rejected_spec = {current} AND NOT c.rejected_deletion AND c.rejected_hash = m.h0"),
        )
    };
    let null_key =
        delta.names.keys.iter().map(|key| format!("m.{} IS NULL", key.name)).collect::<Vec<_>>().join(" OR ");
    let hash = "CASE WHEN m.row IS NULL THEN coalesce(c.hash, c.doubt_hash) ELSE m.h0 END";
    let mut why = String::from("CASE");
    if delta.resend {
        let _ = write!(
            why,
            " WHEN c.kind <= 1 AND m.row IS NOT NULL AND {by_spec} IS NULL THEN {}",
            resend::MAPPING_CHANGED
        );
    }
    if delta.resend_below > 0 {
        let _ = write!(
            why,
            " WHEN c.kind <= 1 AND c.rev < {} AND {by_spec} = c.hash THEN {}",
            delta.resend_below,
            resend::FULL
        );
    }
    let why = if why == "CASE" { "NULL::integer".to_owned() } else { format!("{why} END") };
    let keys: String = key_names(delta.names).map(|name| format!(", coalesce(c.{name}, m.{name}) AS {name}")).collect();
    let columns: String = (1..=delta.row).map(|at| format!(", m.c{at}")).collect();
    let copies = if delta.exact { "m.copies, " } else { "" };
    format!(
        "SELECT CASE \
         WHEN c.born IS NULL THEN CASE WHEN {null_key} THEN {NULL_KEY} ELSE {ADDED} END \
         WHEN m.row IS NULL THEN CASE \
         WHEN c.kind > 1 AND c.doubt_epoch IS NULL THEN CASE c.kind WHEN 2 THEN {BURIED} ELSE {NOTHING} END \
         WHEN {gone_again} THEN {STILL_REJECTED} ELSE {DELETED} END \
         WHEN c.kind <= 1 AND NOT ({changed}) THEN CASE WHEN c.spec = {current} AND c.rejected_spec IS NULL THEN {UNCHANGED} \
         ELSE {REFRESHED} END \
         WHEN {row_again} THEN {STILL_REJECTED} \
         WHEN c.kind <= 1 THEN {UPDATED} ELSE {ADDED} END AS kind, \
         CASE WHEN m.last THEN m.row END AS rows, {copies}m.row IS NOT NULL AS model, \
         c.born, c.place, c.kind <= 1 AS known, c.kind = 1 AND c.doubt_epoch IS NULL AS unsent, \
         c.rejected_spec IS NOT NULL AS rejected, c.doubt_epoch IS NOT NULL AS doubtful, \
         CASE WHEN c.born IS NULL THEN {floor} WHEN c.doubt_epoch IS NULL THEN c.rev \
         WHEN c.doubt_spec = {current} AND c.doubt_deletion = (m.row IS NULL) AND c.doubt_hash = {hash} \
         AND c.doubt_epoch > c.rev THEN c.doubt_rev \
         ELSE greatest(c.doubt_epoch, c.rev) END AS rev, {hash} AS hash, {why} AS resend{keys}{columns}",
        UNCHANGED = kind::UNCHANGED,
        DELETED = kind::DELETED,
        UPDATED = kind::UPDATED,
        ADDED = kind::ADDED,
        REFRESHED = kind::REFRESHED,
        BURIED = kind::BURIED,
        STILL_REJECTED = kind::STILL_REJECTED,
        NULL_KEY = kind::NULL_KEY,
        NOTHING = kind::NOTHING,
        floor = delta.rev_floor,
    )
}

/// What of it is kept, with the row only where it is sent.
fn kept<W>(delta: &Delta<'_, W>) -> String {
    let keys = prefixed("j", key_names(delta.names));
    // A bucket is chosen by the key alone, so that its rows can be numbered without looking at other buckets.
    let bucket = format!("coalesce(hashtextextended(concat_ws(' ', {keys}), 0) & {}, 0)", BUCKETS - 1);
    let sent = format!("j.kind IN ({}, {})", kind::UPDATED, kind::ADDED);
    let mut short = 0;
    let mut size = String::new();
    let mut row = String::new();
    for (at, column) in delta.columns.iter().take(delta.row).enumerate() {
        let raw = format!("j.c{}", at + 1);
        match &column.length {
            Some(length) => {
                let _ = write!(size, " + coalesce({}, 0)::bigint", fill(length, &raw));
            }
            None => short += SHORT,
        }
        let _ = write!(row, ", CASE WHEN {sent} THEN {} END AS p{}", fill(&column.read, &raw), at + 1);
    }
    format!(
        "SELECT j.kind, j.rows, j.model, j.born, j.place, j.known, j.unsent, j.rejected, j.doubtful, j.rev, j.hash, j.resend, \
         {bucket} AS bucket, CASE WHEN {sent} THEN {short}{size} ELSE 0 END AS size, {keys}{row}"
    )
}

/// Whether a change is sent.
fn sent(pairs: &[(u8, bool)]) -> String {
    if pairs.is_empty() {
        return "false".to_owned();
    }
    let pairs: Vec<String> = pairs.iter().map(|(kind, unsent)| format!("({kind}, {unsent})")).collect();
    format!("(x.kind, coalesce(x.unsent, false)) IN ({})", pairs.join(", "))
}

/// The columns of the delta.
fn numbered<W>(delta: &Delta<'_, W>) -> String {
    let keys = prefixed("x", key_names(delta.names));
    let place = format!("(x.bucket << {NUMBER_BITS}) + row_number() OVER (PARTITION BY x.bucket ORDER BY {keys})");
    let copies = format!("count(*) FILTER (WHERE x.model) OVER (PARTITION BY x.bucket, {keys})");
    let row: String = (1..=delta.row).map(|at| format!(", x.p{at}")).collect();
    format!(
        "SELECT (CASE WHEN x.model AND x.kind <> {null_key} AND {copies} > 1 THEN {duplicate} ELSE x.kind END)::smallint AS kind, \
         {place} AS place, coalesce(x.born, {epoch}) AS entry_born, coalesce(x.place, {place}) AS entry_place, \
         {spec} AS spec, {sent} AS sent, x.rows, x.model, x.known, x.unsent, x.rejected, x.doubtful, x.rev, x.hash, x.resend, x.size, {keys}{row}",
        null_key = kind::NULL_KEY,
        duplicate = kind::DUPLICATE_KEY,
        sent = sent(delta.sent),
        epoch = delta.epoch,
        spec = delta.specs.first().map_or(0, |(id, _)| *id),
    )
}

impl Dialect for Postgres {
    fn quote(&self, name: &str) -> String {
        quote(name)
    }

    fn create_entries(&self, names: &Names, comment: &str) -> Vec<String> {
        let keys: String = names.keys.iter().map(|key| format!("{} {}, ", key.name, key.kind)).collect();
        let entries = &names.entries;
        vec![
            format!(
                "CREATE TABLE {entries} (born bigint NOT NULL, place bigint NOT NULL, {keys}{ENTRY}, \
                 PRIMARY KEY (born, place)) WITH (fillfactor = 90)"
            ),
            format!("COMMENT ON TABLE {entries} IS {}", literal(comment)),
        ]
    }

    fn add_key(&self, entries: &str, key: &KeyColumn) -> String {
        format!("ALTER TABLE {entries} ADD COLUMN {} {}", key.name, key.kind)
    }

    fn delta<W>(&self, delta: &Delta<'_, W>) -> Around {
        let names = delta.names;
        let same = key_names(names).map(|name| format!("c.{name} = m.{name}")).collect::<Vec<_>>().join(" AND ");
        let copies = if delta.exact { " OR j.copies > 1" } else { "" };
        Around {
            before: format!(
                "CREATE TABLE {} AS\n{}\nFROM (\n{}\nFROM (\n{}\nFROM (\n{}\nFROM ",
                names.delta,
                numbered(delta),
                kept(delta),
                judged(delta),
                model(delta)
            ),
            after: format!(
                "\n) AS m FULL JOIN {} AS c ON {same}\n) AS j WHERE j.kind NOT IN ({}, {}) OR j.rows IS NOT NULL{copies}\n) AS x",
                names.entries,
                kind::UNCHANGED,
                kind::NOTHING
            ),
        }
    }

    fn index(&self, names: &Names) -> Option<String> {
        Some(format!("CREATE UNIQUE INDEX ON {} (kind, place)", names.delta))
    }

    fn summary(&self, names: &Names, first_epoch: u64, expired: i64) -> String {
        let of = |condition: String| format!("count(*) FILTER (WHERE {condition})");
        let is = |number: u8| of(format!("kind = {number}"));
        let changes = format!("kind IN ({}, {}, {})", kind::DELETED, kind::UPDATED, kind::ADDED);
        let quiet = format!("kind IN ({}, {})", kind::REFRESHED, kind::BURIED);
        let compared = format!("kind NOT IN ({}, {})", kind::UNCHANGED, kind::DUPLICATE_KEY);
        let long: Vec<String> =
            names.keys.iter().filter(|key| key.long).map(|key| format!("octet_length({})", key.name)).collect();
        let key_size = if long.is_empty() { "0".to_owned() } else { long.join(" + ") };
        let met = format!(
            "{} + count(DISTINCT (entry_born, entry_place)) FILTER (WHERE kind = {} AND known)",
            of(format!("model AND known AND {compared}")),
            kind::DUPLICATE_KEY
        );
        let numbers = [
            "coalesce(max(rows), 0)".to_owned(),
            is(kind::DELETED),
            is(kind::UPDATED),
            is(kind::ADDED),
            of(format!("kind = {} AND unsent", kind::DELETED)),
            // What this run's earlier pods had rejected is counted as rejected.
            of(format!("kind = {} AND rev < {first_epoch}", kind::STILL_REJECTED)),
            is(kind::NULL_KEY),
            is(kind::DUPLICATE_KEY),
            of(quiet.clone()),
            of(format!("{quiet} AND rejected")),
            of(format!("{changes} AND doubtful")),
            of(format!("{compared} AND resend = {}", resend::MAPPING_CHANGED)),
            of(format!("{compared} AND resend = {}", resend::FULL)),
            of(format!("model AND kind <> {}", kind::UNCHANGED)),
            met,
            of("NOT model AND known".to_owned()),
            "coalesce(max(size), 0)".to_owned(),
            format!("coalesce(max({key_size}) FILTER (WHERE {changes}), 0)"),
        ];
        // Specs that only a doubt refers to count too: the change that was in doubt may come again.
        let old = format!("kind = {} AND deleted_at <= {expired} AND doubt_epoch IS NULL", entry::TOMBSTONE);
        format!(
            "SELECT ARRAY[0, {}]::bigint[] FROM {} UNION ALL \
             SELECT ARRAY[1, kind, spec, coalesce(doubt_spec, -1), count(*), count(*) FILTER (WHERE {old}), coalesce(max(rev) FILTER (WHERE {old}), 0)]::bigint[] \
             FROM {} GROUP BY kind, spec, doubt_spec",
            numbers.join(", "),
            names.delta,
            names.entries
        )
    }

    fn page(&self, names: &Names, row: usize, after: After) -> String {
        let After { kind, place, rows, bytes } = after;
        let delta = &names.delta;
        let columns: String = key_names(names)
            .map(str::to_owned)
            .chain((1..=row).map(|at| format!("p{at}")))
            .map(|name| format!(", {name}"))
            .collect();
        let keys: String = key_names(names).map(|name| format!("s.{name}, ")).collect();
        let old: String = names.old_keys.iter().map(|(_, key)| format!("e.{}, ", key.name)).collect();
        let cells: String = (1..=row).map(|at| format!(", s.p{at}")).collect();
        // LATERAL with LIMIT: an entry is looked up by its place, whatever the planner thinks of tables without statistics.
        format!(
            "SELECT s.place, s.rev, s.hash, s.unsent, s.known, s.rejected, {keys}{old}e.match_key, e.group_key, e.remote_id{cells} \
             FROM (SELECT d.*, sum(d.size) OVER (ORDER BY d.place) - d.size AS before FROM \
             (SELECT place, entry_born, entry_place, rev, hash, unsent, known, rejected, size{columns} FROM {delta} \
             WHERE kind = {kind} AND place > {place} ORDER BY place LIMIT {rows}) AS d) AS s \
             LEFT JOIN LATERAL (SELECT * FROM {entries} AS e WHERE e.born = s.entry_born AND e.place = s.entry_place LIMIT 1) AS e ON true \
             WHERE s.before < {bytes} ORDER BY s.place",
            entries = names.entries
        )
    }

    fn cleared(&self, names: &Names, after: After) -> String {
        let keys: String = key_names(names).map(|name| format!(", s.{name}")).collect();
        let old: String = names.old_keys.iter().map(|(_, key)| format!(", e.{}", key.name)).collect();
        format!(
            "SELECT s.place{keys}{old} FROM (SELECT * FROM {} WHERE kind = {} AND rejected AND place > {} ORDER BY place LIMIT {}) AS s \
             LEFT JOIN LATERAL (SELECT * FROM {} AS e WHERE e.born = s.entry_born AND e.place = s.entry_place LIMIT 1) AS e ON true \
             ORDER BY s.place",
            names.delta, after.kind, after.place, after.rows, names.entries
        )
    }

    fn longest(&self, names: &Names, lengths: &[String]) -> String {
        let each: Vec<String> = lengths.iter().map(|length| format!("coalesce({length}, 0)::bigint")).collect();
        format!(
            "SELECT ARRAY[{}]::bigint[] FROM {} WHERE kind IN ({}, {}, {}) ORDER BY {} DESC LIMIT 1",
            each.join(", "),
            names.delta,
            kind::DELETED,
            kind::UPDATED,
            kind::ADDED,
            each.join(" + ")
        )
    }

    fn apply(&self, names: &Names, epoch: u64, spec: u32, now: i64, moves: &[Move]) -> Statement {
        let entries = &names.entries;
        let keys: String = key_names(names).map(|name| format!("{name}, ")).collect();
        let from: String = key_names(names).map(|name| format!("d.{name}, ")).collect();
        let refused = "excluded.rejected_spec IS NOT NULL";
        let stays = format!("{refused} AND e.kind <= {}", entry::SEEN);
        let unless_refused: String = ["kind", "spec", "hash", "match_key", "group_key", "remote_id"]
            .map(|name| format!("{name} = CASE WHEN {stays} THEN e.{name} ELSE excluded.{name} END, "))
            .concat();
        let doubt: String = ["doubt_epoch", "doubt_rev", "doubt_hash", "doubt_spec", "doubt_deletion"]
            .map(|name| format!(", {name} = CASE WHEN {refused} THEN e.{name} END"))
            .concat();
        let known = format!("a.becomes <= {}", entry::SEEN);
        let sql = format!(
            "INSERT INTO {entries} AS e (born, place, {keys}kind, rev, spec, hash, deleted_at, match_key, group_key, remote_id, \
             rejected_hash, rejected_spec, rejected_deletion, rejected_code) \
             SELECT d.entry_born, d.entry_place, {from}a.becomes, {epoch}, {spec}, CASE WHEN {known} THEN d.hash END, \
             CASE WHEN a.becomes = {tombstone} THEN {now} END, a.match_key, a.group_key, a.remote_id, \
             CASE WHEN a.rejected IS NOT NULL THEN d.hash END, CASE WHEN a.rejected IS NOT NULL THEN {spec} END, \
             CASE WHEN a.rejected IS NOT NULL THEN a.kind = {deleted} END, a.rejected \
             FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[]) \
             AS a (kind, place, becomes, match_key, group_key, remote_id, rejected) \
             CROSS JOIN LATERAL (SELECT * FROM {delta} AS d WHERE d.kind = a.kind AND d.place = a.place LIMIT 1) AS d \
             ON CONFLICT (born, place) DO UPDATE SET {unless_refused}rev = excluded.rev, deleted_at = excluded.deleted_at, \
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
                Bind::Numbers(moves.iter().map(|one| one.kind.into()).collect()),
                Bind::Numbers(moves.iter().map(|one| one.place as i64).collect()),
                Bind::Numbers(moves.iter().map(|one| one.becomes).collect()),
                texts(|one| &one.match_key),
                texts(|one| &one.group_key),
                texts(|one| &one.remote_id),
                texts(|one| &one.rejected),
            ],
        }
    }

    fn refresh(&self, names: &Names, spec: u32, now: i64) -> String {
        let buried = format!("d.kind = {}", kind::BURIED);
        format!(
            "UPDATE {} AS e SET kind = CASE WHEN {buried} THEN {} ELSE e.kind END, spec = CASE WHEN {buried} THEN e.spec ELSE {spec} END, \
             hash = CASE WHEN {buried} THEN NULL ELSE d.hash END, deleted_at = CASE WHEN {buried} THEN {now} END, \
             rejected_hash = NULL, rejected_spec = NULL, rejected_deletion = NULL, rejected_code = NULL \
             FROM {} AS d WHERE d.kind IN ({}, {}) AND e.born = d.entry_born AND e.place = d.entry_place",
            names.entries,
            entry::TOMBSTONE,
            names.delta,
            kind::REFRESHED,
            kind::BURIED
        )
    }

    fn prune(&self, names: &Names, expired: i64) -> String {
        format!(
            "DELETE FROM {} WHERE kind = {} AND deleted_at <= {expired} AND doubt_epoch IS NULL",
            names.entries,
            entry::TOMBSTONE
        )
    }

    fn doubt(&self, entries: &str, delta: &str, keys: &[String], epoch: u64, offered: Option<&[(u8, i64)]>) -> String {
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
        let set = ["doubt_epoch", "doubt_rev", "doubt_hash", "doubt_spec", "doubt_deletion"]
            .map(|name| format!("{name} = excluded.{name}"))
            .join(", ");
        format!(
            "INSERT INTO {entries} AS e (born, place, {names}kind, rev, spec, doubt_epoch, doubt_rev, doubt_hash, doubt_spec, doubt_deletion) \
             SELECT d.entry_born, d.entry_place, {from}{}, d.rev, d.spec, {epoch}, d.rev, d.hash, d.spec, d.kind = {} \
             FROM {delta} AS d WHERE d.sent AND {which} ON CONFLICT (born, place) DO UPDATE SET {set} WHERE e.rev < {epoch}",
            entry::NEVER_DELIVERED,
            kind::DELETED
        )
    }

    fn withhold(&self, names: &Names) -> String {
        format!("DELETE FROM {} WHERE kind = {}", names.delta, kind::DELETED)
    }

    fn drop(&self, table: &str) -> String {
        format!("DROP TABLE IF EXISTS {table}")
    }
}

#[cfg(test)]
#[path = "postgres_tests.rs"]
mod tests;
