//! Amazon Redshift.
//!
//! The row hash is the first half, in hexadecimal digits, of the SHA-256 of a text in which each column is `~` for NULL, or what it holds
//! and a comma. No column's text has either sign in it: those that may be long or hold anything are hashed first, because a text has at
//! most 65,535 bytes, and the others are numbers and times.
//!
//! There is no ON CONFLICT, and MERGE wants a table as its source: rows are put into a table by an UPDATE and an INSERT, in this order. What
//! is changed or removed is looked for in a subquery, because DELETE gives its table no other name. Statements have no places for values:
//! those are put into a table of the session first ([`spoken`]).

use crate::diff::pushdown::codes::entry;
use crate::diff::pushdown::dialect::{BUCKETS, Dialect, Upsert};
use crate::diff::pushdown::statement::{Bind, Statement};
use crate::diff::pushdown::typed::{KeyColumn, Kind, Names};
use crate::sql::quote;

/// Redshift.
pub(crate) struct Redshift;

/// A text of any length that a column takes.
pub(crate) const TEXT: &str = "VARCHAR(65535)";

/// The table of the session that holds a statement's values.
const GIVEN: &str = "backflow_given";

/// Bytes of values in one INSERT, and of statements in one message, about: the server takes 16 MB.
const INSERTED: usize = 1 << 20;
const MESSAGE: usize = 4 << 20;

/// A text in quotes, whether or not a backslash escapes there: it is said by its number.
pub(crate) fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''").replace('\\', "' || CHR(92) || '");
    if text.contains('\\') { format!("('{quoted}')") } else { format!("'{quoted}'") }
}

/// A statement with its values, as messages that the server takes.
pub(crate) fn spoken(statement: &Statement) -> Vec<String> {
    let Statement { sql, binds } = statement;
    if binds.is_empty() {
        return vec![sql.clone()];
    }
    let kinds = binds.iter().enumerate().map(|(at, bind)| {
        let kind = match bind {
            Bind::Numbers(_) => "BIGINT",
            Bind::Texts(_) => TEXT,
        };
        format!("c{} {kind}", at + 1)
    });
    let mut parts = vec![format!("CREATE TEMP TABLE {GIVEN} ({})", kinds.collect::<Vec<_>>().join(", "))];
    parts.extend(inserted(binds));
    parts.extend([sql.clone(), format!("DROP TABLE {GIVEN}")]);
    let mut messages: Vec<String> = Vec::new();
    for part in parts {
        match messages.last_mut() {
            Some(message) if message.len() + part.len() <= MESSAGE => {
                message.push_str(";\n");
                message.push_str(&part);
            }
            _ => messages.push(part),
        }
    }
    messages
}

/// The statements that put values into their table.
fn inserted(binds: &[Bind]) -> Vec<String> {
    let rows = binds.first().map_or(0, |bind| match bind {
        Bind::Numbers(numbers) => numbers.len(),
        Bind::Texts(texts) => texts.len(),
    });
    let cell = |bind: &Bind, row: usize| match bind {
        Bind::Numbers(numbers) => numbers.get(row).map(i64::to_string),
        Bind::Texts(texts) => texts.get(row).and_then(Option::as_deref).map(literal),
    };
    let mut statements: Vec<String> = Vec::new();
    for row in 0..rows {
        let cells: Vec<String> =
            binds.iter().map(|bind| cell(bind, row).unwrap_or_else(|| "NULL".to_owned())).collect();
        match statements.last_mut() {
            Some(statement) if statement.len() < INSERTED => statement.push_str(", "),
            _ => statements.push(format!("INSERT INTO {GIVEN} VALUES ")),
        }
        if let Some(statement) = statements.last_mut() {
            statement.push_str(&format!("({})", cells.join(", ")));
        }
    }
    statements
}

/// What names a row of the table that statements call `alias`.
fn key_of(alias: &str) -> &'static [&'static str] {
    if alias == "h" { &["born", "place", "record"] } else { &["born", "place"] }
}

/// Changes rows of a table that `from` has by the name `alias`.
fn changed(table: &str, alias: &str, set: &[(&str, String)], from: &str) -> String {
    let key = key_of(alias);
    let moves: Vec<String> = set.iter().map(|(name, _)| format!("{name} = x.to_{name}")).collect();
    let mut values: Vec<String> = key.iter().map(|name| format!("{alias}.{name} AS of_{name}")).collect();
    values.extend(set.iter().map(|(name, value)| format!("{value} AS to_{name}")));
    let same: Vec<String> = key.iter().map(|name| format!("{name} = x.of_{name}")).collect();
    format!(
        "UPDATE {table} SET {} FROM (SELECT {} FROM {from}) AS x WHERE {}",
        moves.join(", "),
        values.join(", "),
        same.join(" AND ")
    )
}

impl Dialect for Redshift {
    const HASH: &'static str = "hash";

    /// `SUPER` and geometries take no part in a FULL JOIN.
    const READS_EARLY: bool = true;

    fn quote(&self, name: &str) -> String {
        quote(name)
    }

    fn literal(&self, text: &str) -> String {
        literal(text)
    }

    /// Blanks at the end of a text count for nothing in a comparison: a character that is no blank, and less than any, ends it.
    fn key_literal(&self, text: &str) -> String {
        format!("{} || CHR(1)", literal(text))
    }

    fn kind(&self, kind: Kind) -> &'static str {
        match kind {
            Kind::Small => "SMALLINT",
            Kind::Integer => "INTEGER",
            Kind::Big => "BIGINT",
            Kind::Bool => "BOOLEAN",
            Kind::Text => TEXT,
            Kind::Hash => "VARCHAR(32)",
        }
    }

    fn row_hash(&self, values: &[String]) -> String {
        let parts: Vec<String> = values.iter().map(|value| format!("COALESCE({value} || ',', '~')")).collect();
        let text = if parts.is_empty() { "''".to_owned() } else { parts.join(" || ") };
        format!("LEFT(SHA2({text}, 256), 32)")
    }

    fn bucket(&self, keys: &[String]) -> String {
        let hash = keys.iter().fold(None, |seed, key| {
            Some(seed.map_or_else(|| format!("FNV_HASH({key})"), |seed: String| format!("FNV_HASH({key}, {seed})")))
        });
        format!("COALESCE({} & {}, 0)", hash.unwrap_or_default(), BUCKETS - 1)
    }

    /// By bucket, because a window over all rows is one node's work.
    fn counted(&self, keys: &[String]) -> String {
        let bucket = self.bucket(keys);
        format!("COUNT(*) OVER (PARTITION BY {bucket}) AS nth, ROW_NUMBER() OVER (PARTITION BY {bucket}) = 1 AS last")
    }

    fn distinct(&self, one: &str, other: &str) -> String {
        format!("COALESCE({one} <> {other}, {one} IS NOT NULL OR {other} IS NOT NULL)")
    }

    fn pair(&self, one: &str, other: &str) -> String {
        format!("CAST({one} AS VARCHAR(20)) || '/' || CAST({other} AS VARCHAR(20))")
    }

    fn running_sum(&self, column: &str, order: &str) -> String {
        format!("SUM({column}) OVER (ORDER BY {order} ROWS UNBOUNDED PRECEDING)")
    }

    fn hash_of(&self, record: &str) -> String {
        record.to_owned()
    }

    fn count_if(&self, condition: &str) -> String {
        format!("COUNT(CASE WHEN {condition} THEN 1 END)")
    }

    fn by_value(&self, table: &str, key: &KeyColumn) -> String {
        let name = format!("{table}.{}", key.name);
        // What is equal as a floating point number has as many digits, of which the first that differs decides.
        let first = if key.name.ends_with("_decimal") {
            format!("CAST({name} AS DOUBLE PRECISION) DESC, ")
        } else {
            String::new()
        };
        format!("{first}{name} DESC")
    }

    fn given(&self, columns: Vec<(&'static str, Bind)>) -> (String, Vec<Bind>) {
        let (names, binds): (Vec<&str>, Vec<Bind>) = columns.into_iter().unzip();
        let names: Vec<String> = names.iter().enumerate().map(|(at, name)| format!("c{} AS {name}", at + 1)).collect();
        (format!("(SELECT {} FROM {GIVEN}) AS a", names.join(", ")), binds)
    }

    fn looked_up(&self, table: &str, alias: &str, condition: &str, outer: bool) -> String {
        let join = if outer { "LEFT JOIN" } else { "JOIN" };
        format!(" {join} {table} AS {alias} ON {condition}")
    }

    /// EXISTS under OR has no plan.
    fn is_free(&self, names: &Names, freed: u64) -> (String, String) {
        let joined = format!(
            " LEFT JOIN (SELECT f.born AS freed_born, f.place AS freed_place FROM {} AS f WHERE f.kind = {} AND f.rev = {freed}) AS w \
             ON w.freed_born = entry_born AND w.freed_place = entry_place",
            names.entries,
            entry::TOMBSTONE
        );
        (joined, "NOT waits OR w.freed_born IS NOT NULL".to_owned())
    }

    fn first(&self, columns: &str, from: &str, by: &str, order: &str) -> String {
        format!(
            "SELECT * FROM (SELECT {columns}, ROW_NUMBER() OVER (PARTITION BY {by} ORDER BY {order}) AS nth FROM {from}) AS n WHERE n.nth = 1"
        )
    }

    fn upsert(&self, upsert: &Upsert<'_>) -> String {
        let Upsert { table, alias, key, columns, from, set } = upsert;
        let each: Vec<String> = columns.iter().map(|(name, value)| format!("{value} AS {name}")).collect();
        let rows = format!("(SELECT {} FROM {from}) AS n", each.join(", "));
        let same: Vec<String> = key.iter().map(|name| format!("{alias}.{name} = n.{name}")).collect();
        let same = same.join(" AND ");
        let set: Vec<(&str, String)> = set.iter().map(|(name, value)| (*name, value.replace("{new}", "n"))).collect();
        let change = changed(table, alias, &set, &format!("{table} AS {alias} JOIN {rows} ON {same}"));
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        format!(
            "{change};\nINSERT INTO {table} ({}) SELECT n.{} FROM {rows} LEFT JOIN {table} AS {alias} ON {same} WHERE {alias}.born IS NULL",
            names.join(", "),
            names.join(", n.")
        )
    }

    fn update(&self, table: &str, set: &[(&str, String)], by: &str, filter: &str, condition: &str) -> String {
        changed(table, "e", set, &format!("{table} AS e JOIN {by} AS d ON {condition} WHERE {filter}"))
    }

    fn remove(&self, table: &str, alias: &str, from: Option<&str>, condition: &str) -> String {
        let key = key_of(alias);
        let names: Vec<String> = key.iter().map(|name| format!("{alias}.{name} AS of_{name}")).collect();
        let same: Vec<String> = key.iter().map(|name| format!("x.of_{name} = {name}")).collect();
        let more = from.map_or_else(String::new, |from| format!(", {from}"));
        format!(
            "DELETE FROM {table} WHERE EXISTS (SELECT 1 FROM (SELECT {} FROM {table} AS {alias}{more} WHERE {condition}) AS x WHERE {})",
            names.join(", "),
            same.join(" AND ")
        )
    }

    /// As one text: rows of both halves of a UNION have as many columns.
    fn numbers(&self, numbers: &[String]) -> String {
        let texts: Vec<String> = numbers.iter().map(|number| format!("CAST({number} AS VARCHAR(20))")).collect();
        texts.join(" || ',' || ")
    }

    /// Keys are not enforced: they are told to the planner.
    fn create(&self, table: &str, columns: &[(&str, &str, bool)], key: &[&str], comment: Option<&str>) -> Vec<String> {
        let columns: String = columns
            .iter()
            .map(|(name, kind, always)| format!("{name} {kind}{}, ", if *always { " NOT NULL" } else { "" }))
            .collect();
        let mut statements = vec![format!("CREATE TABLE {table} ({columns}PRIMARY KEY ({}))", key.join(", "))];
        // A comment is no expression.
        let said = comment.map(|comment| literal(&comment.replace('\\', "/")));
        statements.extend(said.map(|said| format!("COMMENT ON TABLE {table} IS {said}")));
        statements
    }

    fn create_as(&self, table: &str) -> String {
        format!("CREATE TABLE {table} SORTKEY (kind, place) AS")
    }

    fn index(&self, _: &str, _: &str, _: bool) -> Option<String> {
        None
    }

    fn complete_entries(&self, entries: &str) -> String {
        format!("ALTER TABLE {entries} ADD COLUMN record {TEXT}")
    }
}
