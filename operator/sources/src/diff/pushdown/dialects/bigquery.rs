//! BigQuery.
//!
//! The row hash is the MD5 of a JSON object whose members are the columns, as texts that begin with a letter for the type: NULL is told
//! from an empty text, and a float has all 17 digits, a time its microseconds.
//!
//! A delta is divided by its rows' place, which begins with the bucket of the key: a page reads, and bills, only its part. What is for one
//! run only expires.

use crate::bigquery::{literal, quote};
use crate::diff::pushdown::dialect::{BUCKET, BUCKETS, Dialect, Upsert};
use crate::diff::pushdown::statement::Bind;
use crate::diff::pushdown::typed::{KeyColumn, Kind};

/// How long a table stays that was made for one run. A delta says what may have reached the destination until the next run has noted it:
/// no Mapping is expected to rest for longer right after its run was killed.
const DAYS: u32 = 90;

/// Buckets of a part of a delta.
const PART: u64 = 4;

/// BigQuery.
pub(crate) struct BigQuery;

/// Values under names of their own.
fn object(values: &[String]) -> String {
    let members: Vec<String> = values.iter().enumerate().map(|(at, value)| format!("{value} AS c{}", at + 1)).collect();
    format!("TO_JSON_STRING(STRUCT({}))", members.join(", "))
}

fn expiring() -> String {
    format!("OPTIONS (expiration_timestamp = TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL {DAYS} DAY))")
}

impl Dialect for BigQuery {
    /// `hash` is a word of GoogleSQL.
    const HASH: &'static str = "row_hash";
    const DIVIDED: bool = true;

    fn quote(&self, name: &str) -> String {
        quote(name)
    }

    fn literal(&self, text: &str) -> String {
        literal(text)
    }

    fn kind(&self, kind: Kind) -> &'static str {
        match kind {
            Kind::Small | Kind::Integer | Kind::Big => "INT64",
            Kind::Bool => "BOOL",
            Kind::Text => "STRING",
            Kind::Hash => "BYTES",
        }
    }

    fn row_hash(&self, values: &[String]) -> String {
        format!("MD5({})", object(values))
    }

    fn bucket(&self, keys: &[String]) -> String {
        format!("FARM_FINGERPRINT({}) & {}", object(keys), BUCKETS - 1)
    }

    fn hash_of(&self, record: &str) -> String {
        format!("FROM_HEX({record})")
    }

    fn count_if(&self, condition: &str) -> String {
        format!("COUNTIF({condition})")
    }

    fn pair(&self, one: &str, other: &str) -> String {
        format!("CONCAT(CAST({one} AS STRING), '/', CAST({other} AS STRING))")
    }

    /// Bucket by bucket: rows that are numbered without a partition go through one machine.
    fn counted(&self, keys: &[String]) -> String {
        let bucket = self.bucket(keys);
        format!("COUNT(*) OVER (PARTITION BY {bucket}) AS nth, ROW_NUMBER() OVER (PARTITION BY {bucket}) = 1 AS last")
    }

    fn by_value(&self, table: &str, key: &KeyColumn) -> String {
        // Floats are compared as text, because no window is partitioned by a float, and NaN is not itself.
        let column = format!("{table}.{}", key.name);
        if key.name.ends_with("_float") { format!("CAST({column} AS FLOAT64) DESC") } else { format!("{column} DESC") }
    }

    /// All rows are one value, a JSON array of arrays: a query may have 10,000 values, and 1 MiB of text.
    fn given(&self, columns: Vec<(&'static str, Bind)>) -> (String, Vec<Bind>) {
        let value = |at: usize, (name, bind): &(&str, Bind)| {
            let text = format!("JSON_VALUE(r, '$[{at}]')");
            match bind {
                Bind::Numbers(_) => format!("CAST({text} AS INT64) AS {name}"),
                Bind::Texts(_) => format!("{text} AS {name}"),
            }
        };
        let values: Vec<String> = columns.iter().enumerate().map(|(at, column)| value(at, column)).collect();
        let mut rows: Vec<Vec<Option<Box<str>>>> = Vec::new();
        for (_, bind) in columns {
            let texts = match bind {
                // As texts, too: a number of JSON has 53 bits.
                Bind::Numbers(numbers) => numbers.iter().map(|number| Some(number.to_string().into())).collect(),
                Bind::Texts(texts) => texts,
            };
            rows.resize(texts.len(), Vec::new());
            rows.iter_mut().zip(texts).for_each(|(row, text)| row.push(text));
        }
        let from = format!("(SELECT {} FROM UNNEST(JSON_QUERY_ARRAY(?)) AS r) AS a", values.join(", "));
        (from, vec![Bind::Texts(vec![Some(serde_json::json!(rows).to_string().into())])])
    }

    fn looked_up(&self, table: &str, alias: &str, condition: &str, outer: bool) -> String {
        format!(" {} {table} AS {alias} ON {condition}", if outer { "LEFT JOIN" } else { "JOIN" })
    }

    fn first(&self, columns: &str, from: &str, by: &str, order: &str) -> String {
        format!(
            "SELECT {columns} FROM {from} WHERE true QUALIFY ROW_NUMBER() OVER (PARTITION BY {by} ORDER BY {order}) = 1"
        )
    }

    fn upsert(&self, upsert: &Upsert<'_>) -> String {
        let Upsert { table, alias, key, columns, from, set } = upsert;
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let values: Vec<String> = columns.iter().map(|(name, value)| format!("{value} AS {name}")).collect();
        let same: Vec<String> = key.iter().map(|name| format!("{alias}.{name} = s.{name}")).collect();
        let set: Vec<String> =
            set.iter().map(|(name, value)| format!("{name} = {}", value.replace("{new}", "s"))).collect();
        let new: Vec<String> = names.iter().map(|name| format!("s.{name}")).collect();
        format!(
            "MERGE INTO {table} AS {alias} USING (SELECT {} FROM {from}) AS s ON {} WHEN MATCHED THEN UPDATE SET {} \
             WHEN NOT MATCHED THEN INSERT ({}) VALUES ({})",
            values.join(", "),
            same.join(" AND "),
            set.join(", "),
            names.join(", "),
            new.join(", ")
        )
    }

    fn update(&self, table: &str, set: &[(&str, String)], by: &str, filter: &str, condition: &str) -> String {
        let set: Vec<String> = set.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        format!("UPDATE {table} AS e SET {} FROM {by} AS d WHERE {filter} AND {condition}", set.join(", "))
    }

    /// A DELETE has one table.
    fn remove(&self, table: &str, alias: &str, from: Option<&str>, condition: &str) -> String {
        let which = match from {
            Some(from) => format!("EXISTS (SELECT 1 FROM {from} WHERE {condition})"),
            None => condition.to_owned(),
        };
        format!("DELETE FROM {table} AS {alias} WHERE {which}")
    }

    /// As text: an array would arrive in a form of its own.
    fn numbers(&self, numbers: &[String]) -> String {
        format!("TO_JSON_STRING([{}])", numbers.join(", "))
    }

    /// What people are told of stays, everything else is for one run.
    fn create(&self, table: &str, columns: &[(&str, &str, bool)], key: &[&str], comment: Option<&str>) -> Vec<String> {
        let columns: Vec<String> = columns
            .iter()
            .map(|(name, kind, always)| format!("{name} {kind}{}", if *always { " NOT NULL" } else { "" }))
            .collect();
        let options =
            comment.map_or_else(expiring, |comment| format!("OPTIONS (description = {})", self.literal(comment)));
        // Changes of a page lie side by side.
        let by = key.iter().rev().copied().collect::<Vec<_>>().join(", ");
        vec![format!("CREATE TABLE IF NOT EXISTS {table} ({}) CLUSTER BY {by} {options}", columns.join(", "))]
    }

    fn create_as(&self, table: &str) -> String {
        format!(
            "CREATE TABLE {table} PARTITION BY RANGE_BUCKET(place, GENERATE_ARRAY(0, {}, {})) CLUSTER BY kind, place {} AS",
            BUCKETS * BUCKET,
            PART * BUCKET,
            expiring()
        )
    }

    fn index(&self, _table: &str, _columns: &str, _unique: bool) -> Option<String> {
        None
    }

    fn add_key(&self, entries: &str, key: &KeyColumn) -> String {
        format!("ALTER TABLE {entries} ADD COLUMN IF NOT EXISTS {} {}", key.name, key.kind)
    }
}
