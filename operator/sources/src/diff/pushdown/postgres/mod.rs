//! The statements as Postgres takes them, from version 12.
//!
//! The row hash is the first half of the SHA-256 of `record_send(ROW(…))`: for each column its type, a length that tells NULL from an
//! empty value, and the value's exact bytes. No setting of the session and no text form is in it, so that the same row has the same hash
//! on every server and version. What has no such form that is stable (types of extensions, enums, arrays) is hashed as text.

mod delta;
mod moves;
mod resolve;

use super::dialect::{Delta, Dialect, KeyColumn, Names, entry, kind, resend};
use super::statement::{After, Applied, Around, Bind, Doubt, Mark, Move, Statement};
use crate::sql::quote;

/// Postgres.
pub(crate) struct Postgres;

/// Columns of the entries beside the key's. `docs/state-format.md` explains them.
const ENTRY: &str = "kind smallint NOT NULL, rev bigint NOT NULL, spec integer NOT NULL, hash bytea, deleted_at bigint, \
     match_key text, group_key text, remote_id text, \
     rejected_hash bytea, rejected_spec integer, rejected_deletion boolean, rejected_code text, \
     doubt_epoch bigint, doubt_rev bigint, doubt_hash bytea, doubt_spec integer, doubt_deletion boolean, record text";

/// Columns of the records that keys have written.
const HELD: &str = "born bigint NOT NULL, place bigint NOT NULL, record text NOT NULL, epoch bigint NOT NULL, \
     match_key text, group_key text, remote_id text";

/// These columns, all of them NULL, in no row.
fn nothing(columns: &str) -> String {
    let columns = columns.replace(" NOT NULL", "");
    let each = columns.split(',').filter_map(|column| column.trim().split_once(' '));
    let each: Vec<String> = each.map(|(name, kind)| format!("NULL::{kind} AS {name}")).collect();
    format!("(SELECT {} WHERE false)", each.join(", "))
}

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

impl Dialect for Postgres {
    fn quote(&self, name: &str) -> String {
        quote(name)
    }

    fn literal(&self, text: &str) -> String {
        literal(text)
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

    fn complete_entries(&self, entries: &str) -> String {
        format!("ALTER TABLE {entries} ADD COLUMN IF NOT EXISTS record text")
    }

    fn completed_entries(&self, entries: &str, missing: &[&KeyColumn], records: bool) -> String {
        if missing.is_empty() && records {
            return entries.to_owned();
        }
        let mut columns: String = missing.iter().map(|key| format!(", NULL::{} AS {}", key.kind, key.name)).collect();
        if !records {
            columns.push_str(", NULL::text AS record");
        }
        format!("(SELECT e.*{columns} FROM {entries} AS e)")
    }

    fn create_held(&self, names: &Names, comment: &str) -> Vec<String> {
        let held = &names.held;
        vec![
            format!("CREATE TABLE {held} ({HELD}, PRIMARY KEY (born, place, record))"),
            format!("CREATE INDEX ON {held} (record)"),
            format!("COMMENT ON TABLE {held} IS {}", literal(comment)),
        ]
    }

    fn no_entries(&self, keys: &[KeyColumn]) -> String {
        let keys: String = keys.iter().map(|key| format!(", {} {}", key.name, key.kind)).collect();
        nothing(&format!("born bigint, place bigint, {ENTRY}{keys}"))
    }

    fn no_held(&self) -> String {
        nothing(HELD)
    }

    fn delta<W>(&self, delta: &Delta<'_, W>) -> Around {
        delta::delta(delta)
    }

    fn index_found(&self, names: &Names) -> Vec<String> {
        vec![
            format!("CREATE UNIQUE INDEX ON {} (place)", names.found),
            format!(
                "CREATE TABLE {} (place bigint PRIMARY KEY, record text, match_key text, group_key text, chosen boolean)",
                names.marks
            ),
        ]
    }

    fn candidates(&self, names: &Names, row: usize, after: After) -> String {
        let columns: String = key_names(names)
            .map(str::to_owned)
            .chain((1..=row).map(|at| format!("p{at}")))
            .map(|name| format!(", {name}"))
            .collect();
        let said: String = key_names(names)
            .map(str::to_owned)
            .chain((1..=row).map(|at| format!("p{at}")))
            .map(|name| format!(", s.{name}"))
            .collect();
        format!(
            "SELECT s.place{said} FROM (SELECT d.*, sum(d.size) OVER (ORDER BY d.place) - d.size AS before FROM \
             (SELECT place, size{columns} FROM {} WHERE model AND kind <> {} AND place > {} ORDER BY place LIMIT {}) AS d) AS s \
             WHERE s.before < {} ORDER BY s.place",
            names.found,
            kind::NULL_KEY,
            after.place,
            after.rows,
            after.bytes
        )
    }

    fn mark(&self, names: &Names, marks: &[Mark]) -> Statement {
        let texts =
            |of: fn(&Mark) -> &Option<Box<str>>| Bind::Texts(marks.iter().map(|mark| of(mark).clone()).collect());
        Statement {
            sql: format!(
                "INSERT INTO {} SELECT m.place, m.record, m.match_key, m.group_key, m.chosen <> 0 FROM \
                 unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[]) AS m (place, record, match_key, group_key, chosen)",
                names.marks
            ),
            binds: vec![
                Bind::Numbers(marks.iter().map(|mark| mark.place as i64).collect()),
                texts(|mark| &mark.record),
                texts(|mark| &mark.match_key),
                texts(|mark| &mark.group_key),
                Bind::Numbers(marks.iter().map(|mark| i64::from(mark.chosen)).collect()),
            ],
        }
    }

    fn resolve<W>(&self, delta: &Delta<'_, W>) -> String {
        resolve::resolve(delta)
    }

    fn index(&self, names: &Names) -> Option<String> {
        Some(format!("CREATE UNIQUE INDEX ON {} (kind, place)", names.delta))
    }

    fn summary(&self, names: &Names, table: &str, first_epoch: u64, expired: i64) -> String {
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
            of(format!("{compared} AND resend = {}", resend::REPLAY)),
            of("waits".to_owned()),
            of("superseded".to_owned()),
            of("superseded AND known".to_owned()),
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
             FROM {} AS e GROUP BY kind, spec, doubt_spec",
            numbers.join(", "),
            table,
            names.entries
        )
    }

    fn page(&self, names: &Names, row: usize, after: After, freed: u64) -> String {
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
        // A deletion goes by what it is about; nothing is known of a record that is new.
        let memory: String = ["match_key", "group_key", "remote_id"]
            .map(|name| match kind {
                kind::DELETED => format!("CASE WHEN s.record IS NULL THEN e.{name} ELSE s.{name} END"),
                _ => format!("CASE WHEN NOT s.moved THEN e.{name} END"),
            })
            .join(", ");
        let free = if kind == kind::ADDED {
            format!(
                " AND (NOT waits OR EXISTS (SELECT 1 FROM {} AS f WHERE f.born = entry_born AND f.place = entry_place \
                 AND f.kind = {} AND f.rev = {freed}))",
                names.entries,
                entry::TOMBSTONE
            )
        } else {
            String::new()
        };
        // LATERAL with LIMIT: an entry is looked up by its place, whatever the planner thinks of tables without statistics.
        format!(
            "SELECT s.place, s.rev, s.hash, s.unsent, s.known, s.rejected, s.duplicate, s.extra, {keys}{old}{memory}{cells} \
             FROM (SELECT d.*, sum(d.size) OVER (ORDER BY d.place) - d.size AS before FROM \
             (SELECT place, entry_born, entry_place, rev, hash, unsent, known, rejected, duplicate, extra, moved, record, match_key, group_key, \
             remote_id, size{columns} FROM {delta} \
             WHERE kind = {kind} AND place > {place}{free} ORDER BY place LIMIT {rows}) AS d) AS s \
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

    fn longest(&self, table: &str, lengths: &[String]) -> String {
        let each: Vec<String> = lengths.iter().map(|length| format!("coalesce({length}, 0)::bigint")).collect();
        format!(
            "SELECT ARRAY[{}]::bigint[] FROM {table} WHERE kind IN ({}, {}, {}) ORDER BY {} DESC LIMIT 1",
            each.join(", "),
            kind::DELETED,
            kind::UPDATED,
            kind::ADDED,
            each.join(" + ")
        )
    }

    fn apply(&self, to: &Applied<'_>, moves: &[Move]) -> Vec<Statement> {
        moves::apply(to, moves)
    }

    fn refresh(&self, names: &Names, spec: u32, now: i64) -> String {
        let buried = format!("d.kind = {}", kind::BURIED);
        // A record that another row stands for is no doubt of this key's any more.
        let kept = |names: &[&str]| -> String {
            names.iter().map(|name| format!("{name} = CASE WHEN NOT {buried} THEN e.{name} END, ")).collect()
        };
        let memory = kept(&["match_key", "group_key", "remote_id"]);
        let doubt = kept(&["doubt_epoch", "doubt_rev", "doubt_hash", "doubt_spec", "doubt_deletion"]);
        format!(
            "UPDATE {} AS e SET kind = CASE WHEN {buried} THEN {} ELSE e.kind END, spec = CASE WHEN {buried} THEN e.spec ELSE {spec} END, \
             hash = CASE WHEN {buried} THEN NULL ELSE d.hash END, deleted_at = CASE WHEN {buried} THEN {now} END, \
             record = CASE WHEN NOT {buried} THEN d.record END, {memory}{doubt}rejected_hash = NULL, rejected_spec = NULL, rejected_deletion = NULL, rejected_code = NULL \
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
            "DELETE FROM {} AS e WHERE e.kind = {} AND e.deleted_at <= {expired} AND e.doubt_epoch IS NULL \
             AND NOT EXISTS (SELECT 1 FROM {} AS h WHERE h.born = e.born AND h.place = e.place)",
            names.entries,
            entry::TOMBSTONE,
            names.held
        )
    }

    fn doubt(&self, doubt: &Doubt<'_>) -> Vec<String> {
        moves::doubt(doubt)
    }

    fn withhold(&self, names: &Names) -> String {
        format!("DELETE FROM {} WHERE kind = {} OR waits", names.delta, kind::DELETED)
    }

    fn drop(&self, table: &str) -> String {
        format!("DROP TABLE IF EXISTS {table}")
    }
}

#[cfg(test)]
mod tests;
