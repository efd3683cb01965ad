//! Postgres, from version 12.
//!
//! The row hash is the first half of the SHA-256 of `record_send(ROW(…))`: for each column its type, a length that tells NULL from an
//! empty value, and the value's exact bytes. No setting of the session and no text form is in it, so that the same row has the same hash
//! on every server and version. What has no such form that is stable (types of extensions, enums, arrays) is hashed as text.

use crate::diff::pushdown::dialect::{BUCKETS, Dialect, Upsert};
use crate::diff::pushdown::statement::Bind;
use crate::diff::pushdown::typed::{KeyColumn, Kind};
use crate::sql::quote;

/// Postgres.
pub(crate) struct Postgres;

impl Dialect for Postgres {
    const HASH: &'static str = "hash";
    const APART: Option<&'static str> = Some("OFFSET 0");

    fn quote(&self, name: &str) -> String {
        quote(name)
    }

    fn literal(&self, text: &str) -> String {
        format!("'{}'", text.replace('\'', "''"))
    }

    fn kind(&self, kind: Kind) -> &'static str {
        match kind {
            Kind::Small => "smallint",
            Kind::Integer => "integer",
            Kind::Big => "bigint",
            Kind::Bool => "boolean",
            Kind::Text => "text",
            Kind::Hash => "bytea",
        }
    }

    fn row_hash(&self, values: &[String]) -> String {
        format!("substring(sha256(record_send(ROW({}))) FROM 1 FOR 16)", values.join(", "))
    }

    fn bucket(&self, keys: &[String]) -> String {
        format!("coalesce(hashtextextended(concat_ws(' ', {}), 0) & {}, 0)", keys.join(", "), BUCKETS - 1)
    }

    fn hash_of(&self, record: &str) -> String {
        format!("decode({record}, 'hex')")
    }

    fn count_if(&self, condition: &str) -> String {
        format!("count(*) FILTER (WHERE {condition})")
    }

    fn by_value(&self, table: &str, key: &KeyColumn) -> String {
        let cast = if key.name.ends_with("_decimal") { "::numeric" } else { "" };
        format!("{table}.{}{cast} DESC", key.name)
    }

    fn given(&self, columns: Vec<(&'static str, Bind)>) -> (String, Vec<Bind>) {
        let kind = |bind: &Bind| match bind {
            Bind::Numbers(_) => "bigint",
            Bind::Texts(_) => "text",
        };
        let places: Vec<String> =
            columns.iter().enumerate().map(|(at, (_, bind))| format!("${}::{}[]", at + 1, kind(bind))).collect();
        let (names, binds): (Vec<&str>, Vec<Bind>) = columns.into_iter().unzip();
        (format!("unnest({}) AS a ({})", places.join(", "), names.join(", ")), binds)
    }

    /// LATERAL with LIMIT: a row is looked up by its place, whatever the planner thinks of tables without statistics.
    fn looked_up(&self, table: &str, alias: &str, condition: &str, outer: bool) -> String {
        let row = format!("LATERAL (SELECT * FROM {table} AS {alias} WHERE {condition} LIMIT 1) AS {alias}");
        if outer { format!(" LEFT JOIN {row} ON true") } else { format!(" CROSS JOIN {row}") }
    }

    fn first(&self, columns: &str, from: &str, by: &str, order: &str) -> String {
        format!("SELECT DISTINCT ON ({by}) {columns} FROM {from} ORDER BY {by}, {order}")
    }

    fn upsert(&self, upsert: &Upsert<'_>) -> String {
        let Upsert { table, alias, key, columns, from, set } = upsert;
        let (names, values): (Vec<&str>, Vec<&str>) =
            columns.iter().map(|(name, value)| (*name, value.as_str())).unzip();
        let set: Vec<String> =
            set.iter().map(|(name, value)| format!("{name} = {}", value.replace("{new}", "excluded"))).collect();
        format!(
            "INSERT INTO {table} AS {alias} ({}) SELECT {} FROM {from} ON CONFLICT ({}) DO UPDATE SET {}",
            names.join(", "),
            values.join(", "),
            key.join(", "),
            set.join(", ")
        )
    }

    fn update(&self, table: &str, set: &[(&str, String)], by: &str, filter: &str, condition: &str) -> String {
        let set: Vec<String> = set.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        format!("UPDATE {table} AS e SET {} FROM {by} AS d WHERE {filter} AND {condition}", set.join(", "))
    }

    fn remove(&self, table: &str, alias: &str, from: Option<&str>, condition: &str) -> String {
        let using = from.map_or_else(String::new, |from| format!(" USING {from}"));
        format!("DELETE FROM {table} AS {alias}{using} WHERE {condition}")
    }

    fn numbers(&self, numbers: &[String]) -> String {
        format!("ARRAY[{}]::bigint[]", numbers.join(", "))
    }

    fn create(&self, table: &str, columns: &[(&str, &str, bool)], key: &[&str], comment: Option<&str>) -> Vec<String> {
        let columns: String = columns
            .iter()
            .map(|(name, kind, always)| format!("{name} {kind}{}, ", if *always { " NOT NULL" } else { "" }))
            .collect();
        let mut statements =
            vec![format!("CREATE TABLE {table} ({columns}PRIMARY KEY ({})) WITH (fillfactor = 90)", key.join(", "))];
        statements.extend(comment.map(|comment| format!("COMMENT ON TABLE {table} IS {}", self.literal(comment))));
        statements
    }

    fn index(&self, table: &str, columns: &str, unique: bool) -> Option<String> {
        Some(format!("CREATE {}INDEX ON {table} ({columns})", if unique { "UNIQUE " } else { "" }))
    }
}
