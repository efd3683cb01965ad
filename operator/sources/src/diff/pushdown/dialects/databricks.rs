//! Databricks SQL, over Delta tables.
//!
//! A transaction is one statement over one table. So what fences writers stands in the tables that they write: one row of entries and of
//! records, the **fence**, says whose claim moves them. Each statement over them is a MERGE that also writes that row, and fails as a whole
//! if it is another claim's, or not there; of two at once, the service lets one through, because both write
//! that row. A claim sets the row before it compares anything, and from then on no statement of an earlier claim has an effect.
//!
//! `:claim` is the number of the claim's head, which is never used twice; `:incarnation` that of the state; `:before` and `:after` how many
//! keys the last head says are known, and how many are when the statement has run: by them the next run knows entries whose head was not
//! written any more. They are empty where no head follows.
//!
//! The row hash is the MD5 of one text for each column: the length in bytes of the value's exact text, `:`, and the text; `~` for NULL.

use std::fmt::Write as _;

use crate::diff::pushdown::codes::entry;
use crate::diff::pushdown::dialect::{BUCKETS, Dialect, Upsert};
use crate::diff::pushdown::statement::{Applied, Bind, Mark, Move, Statement};
use crate::diff::pushdown::text;
use crate::diff::pushdown::typed::{KeyColumn, Kind, Names};

/// Databricks SQL.
pub(crate) struct Databricks;

/// What a statement of a claim that was replaced says.
pub(crate) const FENCED: &str = "backflow: another run has taken over";

/// The parameter of rows that are given: JSON, an array of objects with the members `c1`, `c2`, ….
pub(crate) const ROWS: &str = "rows";

/// The kind of the fence among entries: none that any comparison looks at.
const FENCE: i64 = 9;

/// A table with a fence.
struct Fenced {
    /// What names its rows, and the value that the fence has there.
    key: &'static [(&'static str, &'static str)],
    /// The column that has the claim.
    claim: &'static str,
}

const ENTRIES: Fenced = Fenced { key: &[("born", "-1"), ("place", "0")], claim: "rev" };
/// No entry has this place, so that it is nobody's record.
const HELD: Fenced = Fenced { key: &[("born", "-1"), ("place", "-1"), ("record", "''")], claim: "epoch" };

impl Fenced {
    /// By what statements call the table.
    fn of(alias: &str) -> &'static Self {
        if alias == "h" { &HELD } else { &ENTRIES }
    }

    fn is_entries(&self) -> bool {
        self.claim == ENTRIES.claim
    }

    /// The fence's own values of these columns: NULL where it has none.
    fn row<'a>(&self, columns: impl IntoIterator<Item = &'a str>) -> String {
        let value = |name: &str| self.key.iter().find(|(key, _)| *key == name).map_or("NULL", |(_, value)| value);
        columns.into_iter().map(|name| format!(", {}", value(name))).collect()
    }

    /// The same row in both.
    fn same(&self, alias: &str, other: &str) -> String {
        self.key.iter().map(|(name, _)| format!("{alias}.{name} = {other}.{name}")).collect::<Vec<_>>().join(" AND ")
    }

    /// What a statement of the claim does with the fence.
    fn checked(&self, alias: &str, fence: &str) -> String {
        let claim = self.claim;
        let mut said = format!(
            "WHEN MATCHED AND {fence} THEN UPDATE SET {claim} = CASE WHEN {fence} AND {alias}.{claim} <> CAST(:claim AS BIGINT) THEN {} \
             ELSE {alias}.{claim} END",
            raised()
        );
        if self.is_entries() {
            for (name, parameter) in [("doubt_rev", "before"), ("deleted_at", "after")] {
                let _ = write!(said, ", {name} = coalesce(CAST(nullif(:{parameter}, '') AS BIGINT), {alias}.{name})");
            }
        }
        said
    }
}

fn raised() -> String {
    format!("raise_error('{FENCED}')")
}

impl Databricks {
    /// Makes a table the claim's own, which is of the state's incarnation already, or new.
    pub(crate) fn take(&self, table: &str, alias: &str) -> String {
        let fenced = Fenced::of(alias);
        let claim = fenced.claim;
        let (key, values): (Vec<&str>, Vec<&str>) = fenced.key.iter().copied().unzip();
        let (columns, new) =
            if fenced.is_entries() { ("kind, spec, ", format!("{FENCE}, 0, ")) } else { ("", String::new()) };
        format!(
            "MERGE INTO {table} AS {alias} USING (SELECT CAST(:claim AS BIGINT) AS claim, :incarnation AS incarnation) AS s \
             ON {alias}.born = -1 \
             WHEN MATCHED THEN UPDATE SET {claim} = CASE WHEN {alias}.{claim} > s.claim OR {alias}.remote_id <> s.incarnation \
             THEN {} ELSE s.claim END \
             WHEN NOT MATCHED THEN INSERT ({}, {columns}{claim}, remote_id) VALUES ({}, {new}s.claim, s.incarnation)",
            raised(),
            key.join(", "),
            values.join(", ")
        )
    }

    /// Forgets what a table has of another incarnation, and makes it the claim's own.
    pub(crate) fn empty(&self, table: &str, alias: &str) -> String {
        let fenced = Fenced::of(alias);
        let claim = fenced.claim;
        let more = if fenced.is_entries() { ", doubt_rev = NULL, deleted_at = NULL" } else { "" };
        format!(
            "MERGE INTO {table} AS {alias} USING (SELECT CAST(:claim AS BIGINT) AS claim, :incarnation AS incarnation) AS s \
             ON {alias}.born >= -1 \
             WHEN MATCHED AND {alias}.born = -1 THEN UPDATE SET {claim} = CASE WHEN {alias}.born = -1 AND {alias}.{claim} > s.claim \
             THEN {} ELSE s.claim END, remote_id = s.incarnation{more} \
             WHEN MATCHED THEN DELETE",
            raised()
        )
    }

    /// The incarnation that a table's fence names.
    pub(crate) fn incarnation(&self, table: &str) -> String {
        format!("SELECT t.remote_id FROM {table} AS t WHERE t.born = -1")
    }
}

impl Dialect for Databricks {
    const HASH: &'static str = "hash";

    fn quote(&self, name: &str) -> String {
        format!("`{}`", name.replace('`', "``"))
    }

    /// Backslashes escape.
    fn literal(&self, text: &str) -> String {
        format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
    }

    fn kind(&self, kind: Kind) -> &'static str {
        match kind {
            Kind::Small => "SMALLINT",
            Kind::Integer => "INT",
            Kind::Big => "BIGINT",
            Kind::Bool => "BOOLEAN",
            Kind::Text | Kind::Hash => "STRING",
        }
    }

    fn row_hash(&self, values: &[String]) -> String {
        let part = |value: &String| format!("coalesce(CAST(octet_length({value}) AS STRING) || ':' || {value}, '~')");
        format!("md5({})", values.iter().map(part).collect::<Vec<_>>().join(" || "))
    }

    fn bucket(&self, keys: &[String]) -> String {
        format!("pmod(xxhash64({}), {BUCKETS})", keys.join(", "))
    }

    fn hash_of(&self, record: &str) -> String {
        record.to_owned()
    }

    fn count_if(&self, condition: &str) -> String {
        format!("count(CASE WHEN {condition} THEN 1 END)")
    }

    fn by_value(&self, table: &str, key: &KeyColumn) -> String {
        let name = format!("{table}.{}", key.name);
        if key.name.ends_with("_decimal") {
            format!("CAST({name} AS DOUBLE) DESC, {name} DESC")
        } else {
            format!("{name} DESC")
        }
    }

    /// A window over all rows would bring them to one place, so that they are numbered and counted in each bucket.
    fn counted(&self, keys: &[String]) -> String {
        let over = format!("OVER (PARTITION BY {} ORDER BY {})", self.bucket(keys), keys.join(", "));
        format!("row_number() {over} AS nth, lead(1) {over} IS NULL AS last")
    }

    /// One parameter, for how many a statement may have is not documented, and how texts in it are read depends on a setting.
    fn given(&self, columns: Vec<(&'static str, Bind)>) -> (String, Vec<Bind>) {
        let kind = |bind: &Bind| match bind {
            Bind::Numbers(_) => "BIGINT",
            Bind::Texts(_) => "STRING",
        };
        let of = |each: fn(usize, &str, &str) -> String| {
            let all = columns.iter().zip(1..).map(|((name, bind), number)| each(number, name, kind(bind)));
            all.collect::<Vec<_>>().join(", ")
        };
        let members = of(|number, _, kind| format!("c{number}: {kind}"));
        let named = of(|number, name, _| format!("r.c{number} AS {name}"));
        let given = format!(
            "(SELECT {named} FROM (SELECT explode(from_json(:{ROWS}, 'ARRAY<STRUCT<{members}>>', map('mode', 'FAILFAST'))) AS r) AS g) AS a"
        );
        (given, columns.into_iter().map(|(_, bind)| bind).collect())
    }

    fn looked_up(&self, table: &str, alias: &str, condition: &str, outer: bool) -> String {
        format!(" {} {table} AS {alias} ON {condition}", if outer { "LEFT JOIN" } else { "JOIN" })
    }

    fn first(&self, columns: &str, from: &str, by: &str, order: &str) -> String {
        format!("SELECT {columns} FROM {from} QUALIFY row_number() OVER (PARTITION BY {by} ORDER BY {order}) = 1")
    }

    fn upsert(&self, upsert: &Upsert<'_>) -> String {
        let Upsert { table, alias, columns, from, set, .. } = upsert;
        let fenced = Fenced::of(alias);
        let said: String = columns.iter().map(|(name, value)| format!(", {value} AS {name}")).collect();
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let set: Vec<String> =
            set.iter().map(|(name, value)| format!("{name} = {}", value.replace("{new}", "s"))).collect();
        // A fence that is not there is not made here: columns that are never NULL refuse it.
        format!(
            "MERGE INTO {table} AS {alias} USING (SELECT false AS fence{said} FROM {from} UNION ALL SELECT true{}) AS s ON {} {} \
             WHEN MATCHED THEN UPDATE SET {} WHEN NOT MATCHED THEN INSERT ({}) VALUES ({})",
            fenced.row(names.iter().copied()),
            fenced.same(alias, "s"),
            fenced.checked(alias, "s.fence"),
            set.join(", "),
            names.join(", "),
            names.iter().map(|name| format!("s.{name}")).collect::<Vec<_>>().join(", ")
        )
    }

    fn update(&self, table: &str, set: &[(&str, String)], by: &str, filter: &str, condition: &str) -> String {
        let set: Vec<String> = set.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        format!(
            "MERGE INTO {table} AS e USING (SELECT false AS fence, d.entry_born, d.entry_place, d.kind, d.hash, d.record FROM {by} AS d \
             WHERE {filter} UNION ALL SELECT true, -1, 0, NULL, NULL, NULL) AS d ON {condition} {} WHEN MATCHED THEN UPDATE SET {}",
            ENTRIES.checked("e", "d.fence"),
            set.join(", ")
        )
    }

    fn remove(&self, table: &str, alias: &str, from: Option<&str>, condition: &str) -> String {
        let fenced = Fenced::of(alias);
        let key: String = fenced.key.iter().map(|(name, _)| format!(", {alias}.{name}")).collect();
        let from = from.map_or_else(String::new, |from| format!("{from} CROSS JOIN "));
        format!(
            "MERGE INTO {table} AS {alias} USING (SELECT DISTINCT false AS fence{key} FROM {from}{table} AS {alias} WHERE {condition} \
             UNION ALL SELECT true{}) AS s ON {} {} WHEN MATCHED THEN DELETE",
            fenced.row(fenced.key.iter().map(|(name, _)| *name)),
            fenced.same(alias, "s"),
            fenced.checked(alias, "s.fence"),
        )
    }

    /// Numbers with commas between, for how an array of them arrives is not documented.
    fn numbers(&self, numbers: &[String]) -> String {
        let texts: Vec<String> = numbers.iter().map(|number| format!("CAST({number} AS STRING)")).collect();
        format!("concat_ws(',', {})", texts.join(", "))
    }

    fn create(&self, table: &str, columns: &[(&str, &str, bool)], key: &[&str], comment: Option<&str>) -> Vec<String> {
        let columns: Vec<String> = columns
            .iter()
            .map(|(name, kind, always)| format!("{name} {kind}{}", if *always { " NOT NULL" } else { "" }))
            .collect();
        let comment = comment.map_or_else(String::new, |comment| format!(" COMMENT {}", self.literal(comment)));
        vec![format!(
            "CREATE TABLE IF NOT EXISTS {table} ({}) USING DELTA CLUSTER BY ({}){comment} \
             TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')",
            columns.join(", "),
            key.join(", ")
        )]
    }

    fn create_as(&self, table: &str) -> String {
        format!(
            "CREATE TABLE {table} USING DELTA CLUSTER BY (kind, place) COMMENT 'Backflow: what a run found, until its end' AS"
        )
    }

    fn index(&self, _: &str, _: &str, _: bool) -> Option<String> {
        None
    }

    fn create_entries(&self, names: &Names, comment: &str) -> Vec<String> {
        let mut statements = text::tables::create_entries(self, names, comment);
        statements.push(self.take(&names.entries, "e"));
        statements
    }

    fn create_held(&self, names: &Names, comment: &str) -> Vec<String> {
        let mut statements = text::tables::create_held(self, names, comment);
        statements.push(self.take(&names.held, "h"));
        statements
    }

    /// There is no IF NOT EXISTS for columns.
    fn complete_entries(&self, entries: &str) -> String {
        format!("ALTER TABLE {entries} ADD COLUMN record STRING")
    }

    /// With a row of its own for what the fence says of keys.
    fn summary(&self, names: &Names, table: &str, first_epoch: u64, expired: i64) -> String {
        let moved = ["2", "coalesce(e.doubt_rev, -1)", "coalesce(e.deleted_at, -1)"].map(str::to_owned);
        format!(
            "{} UNION ALL SELECT {} FROM {} AS e WHERE e.kind = {FENCE}",
            text::summary::summary(self, names, table, first_epoch, expired),
            self.numbers(&moved),
            names.entries
        )
    }

    /// One that comes twice changes nothing.
    fn mark(&self, names: &Names, marks: &[Mark]) -> Statement {
        let (query, binds) = text::moves::marked(self, marks);
        let columns = ["place", "record", "match_key", "group_key", "chosen"];
        let all = columns.join(", ");
        let sql = format!(
            "MERGE INTO {} AS k USING (SELECT g.* FROM ({query}) AS g ({all})) AS s ON k.place = s.place \
             WHEN NOT MATCHED THEN INSERT ({all}) VALUES ({})",
            names.marks,
            columns.map(|name| format!("s.{name}")).join(", ")
        );
        Statement { sql, binds }
    }

    /// Records before entries: an entry says that its change is through, also what is to be remembered of its record.
    fn apply(&self, to: &Applied<'_>, moves: &[Move]) -> Vec<Statement> {
        let mut statements = text::moves::apply(self, to, moves);
        statements.rotate_left(1);
        statements
    }
}

const _: () = assert!(FENCE > entry::TOMBSTONE);
