//! Snowflake.
//!
//! The row hash is the MD5 of each value's exact text with its length before it, `~` for NULL: no value can pass for two, none for NULL,
//! and none for its neighbour's. The texts are made by formats that the statements themselves name, so that no setting of an account or
//! a session is in them.
//!
//! Rows are given as one text of JSON: of thousands of rows as constants, the statement would take longer to compile than to run.

use serde_json::{Value, json};

use crate::diff::pushdown::dialect::{BUCKETS, Dialect, Upsert};
use crate::diff::pushdown::statement::Bind;
use crate::diff::pushdown::typed::{KeyColumn, Kind};
use crate::sql::quote;

/// Snowflake.
pub(crate) struct Snowflake;

/// What stands between the name of a new table and the query that it is made of: nobody travels back in time to it.
const PASSING: &str = "DATA_RETENTION_TIME_IN_DAYS = 0";

/// A text as Snowflake reads it in single quotes: backslashes escape there.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// The table that a statement drops, if it is one of [`Dialect::drop`].
pub(crate) fn dropped(sql: &str) -> Option<&str> {
    sql.strip_prefix("DROP TABLE IF EXISTS ")
}

/// The table that a statement of [`Dialect::create_as`] makes.
pub(crate) fn made(sql: &str) -> Option<&str> {
    sql.strip_prefix("CREATE TRANSIENT TABLE ")?.split_once(&format!(" {PASSING} AS")).map(|(table, _)| table)
}

/// Whether a statement is about a table, and not about its rows: it is a transaction of its own, and ends one that is open.
pub(crate) fn is_definition(sql: &str) -> bool {
    ["CREATE ", "ALTER ", "DROP "].iter().any(|verb| sql.starts_with(verb))
}

impl Dialect for Snowflake {
    const HASH: &'static str = "hash";

    fn quote(&self, name: &str) -> String {
        quote(name)
    }

    /// In upper case, as the tables of the store are: people can name them without quotes.
    fn table(&self, schema: &str, name: &str) -> String {
        format!("{schema}.{}", quote(&name.to_ascii_uppercase()))
    }

    fn literal(&self, text: &str) -> String {
        literal(text)
    }

    fn kind(&self, kind: Kind) -> &'static str {
        match kind {
            Kind::Small => "NUMBER(5, 0)",
            Kind::Integer => "NUMBER(10, 0)",
            Kind::Big => "NUMBER(18, 0)",
            Kind::Bool => "BOOLEAN",
            Kind::Text => "VARCHAR",
            Kind::Hash => "BINARY",
        }
    }

    fn row_hash(&self, values: &[String]) -> String {
        let each = values.iter().map(|value| format!("COALESCE(LENGTH({value}) || ':' || {value}, '~')"));
        let text = each.collect::<Vec<_>>().join(", ");
        if text.is_empty() { "MD5_BINARY('')".to_owned() } else { format!("MD5_BINARY(CONCAT({text}))") }
    }

    /// HASH may change with a release of Snowflake: a place counts within one statement only.
    fn bucket(&self, keys: &[String]) -> String {
        format!("COALESCE(MOD(ABS(HASH({})), {BUCKETS}), 0)", keys.join(", "))
    }

    /// Bucket by bucket: one window over all rows would be the work of one machine.
    fn counted(&self, keys: &[String]) -> String {
        let bucket = self.bucket(keys);
        format!(
            "COUNT(*) OVER (PARTITION BY {bucket}) AS nth, ROW_NUMBER() OVER (PARTITION BY {bucket} ORDER BY {bucket}) = 1 AS last"
        )
    }

    fn hash_of(&self, record: &str) -> String {
        format!("TO_BINARY({record}, 'HEX')")
    }

    fn count_if(&self, condition: &str) -> String {
        format!("COUNT_IF({condition})")
    }

    /// Decimals of one column have one scale, so that their digits alone are in their order.
    fn by_value(&self, table: &str, key: &KeyColumn) -> String {
        let name = format!("{table}.{}", key.name);
        if key.name.ends_with("_decimal") {
            format!("CAST(REPLACE({name}, '.', '') AS NUMBER(38, 0)) DESC")
        } else if key.name.ends_with("_decfloat") {
            format!("CAST({name} AS DOUBLE) DESC, {name} DESC")
        } else {
            format!("{name} DESC")
        }
    }

    /// `$1` stands for rows with the column `value`, which are made of the text: an array of each row, without the NULLs at its end.
    fn given(&self, columns: Vec<(&'static str, Bind)>) -> (String, Vec<Bind>) {
        let read = columns.iter().enumerate().map(|(at, (name, bind))| {
            let kind = match bind {
                Bind::Numbers(_) => self.kind(Kind::Big),
                Bind::Texts(_) => self.kind(Kind::Text),
            };
            format!("f.value[{at}]::{kind} AS {name}")
        });
        let from = format!("(SELECT {} FROM $1 AS f) AS a", read.collect::<Vec<_>>().join(", "));
        let rows = columns.iter().map(|(_, bind)| match bind {
            Bind::Numbers(numbers) => numbers.len(),
            Bind::Texts(texts) => texts.len(),
        });
        let rows = (0..rows.max().unwrap_or_default()).map(|row| {
            let mut values: Vec<Value> = columns
                .iter()
                .map(|(_, bind)| match bind {
                    Bind::Numbers(numbers) => json!(numbers.get(row)),
                    Bind::Texts(texts) => json!(texts.get(row).and_then(Option::as_deref)),
                })
                .collect();
            let used = values.iter().rposition(|value| !value.is_null()).map_or(0, |last| last + 1);
            values.truncate(used);
            Some(Value::from(values).to_string().into())
        });
        (from, vec![Bind::Texts(rows.collect())])
    }

    fn looked_up(&self, table: &str, alias: &str, condition: &str, outer: bool) -> String {
        let join = if outer { "LEFT JOIN" } else { "JOIN" };
        format!(" {join} {table} AS {alias} ON {condition}")
    }

    fn first(&self, columns: &str, from: &str, by: &str, order: &str) -> String {
        format!("SELECT {columns} FROM {from} QUALIFY ROW_NUMBER() OVER (PARTITION BY {by} ORDER BY {order}) = 1")
    }

    fn upsert(&self, upsert: &Upsert<'_>) -> String {
        let Upsert { table, alias, key, columns, from, set } = upsert;
        let said: Vec<String> = columns.iter().map(|(name, value)| format!("{value} AS {name}")).collect();
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let new: Vec<String> = names.iter().map(|name| format!("n.{name}")).collect();
        let same: Vec<String> = key.iter().map(|name| format!("{alias}.{name} = n.{name}")).collect();
        let set: Vec<String> =
            set.iter().map(|(name, value)| format!("{name} = {}", value.replace("{new}", "n"))).collect();
        format!(
            "MERGE INTO {table} AS {alias} USING (SELECT {} FROM {from}) AS n ON {} WHEN MATCHED THEN UPDATE SET {} \
             WHEN NOT MATCHED THEN INSERT ({}) VALUES ({})",
            said.join(", "),
            same.join(" AND "),
            set.join(", "),
            names.join(", "),
            new.join(", ")
        )
    }

    fn update(&self, table: &str, set: &[(&str, String)], by: &str, filter: &str, condition: &str) -> String {
        let set: Vec<String> = set.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        format!(
            "MERGE INTO {table} AS e USING (SELECT d.* FROM {by} AS d WHERE {filter}) AS d ON {condition} \
             WHEN MATCHED THEN UPDATE SET {}",
            set.join(", ")
        )
    }

    fn remove(&self, table: &str, alias: &str, from: Option<&str>, condition: &str) -> String {
        let using = from.map_or_else(String::new, |from| format!(" USING (SELECT d.* FROM {from}) AS d"));
        format!("DELETE FROM {table} AS {alias}{using} WHERE {condition}")
    }

    fn numbers(&self, numbers: &[String]) -> String {
        format!("TO_JSON(ARRAY_CONSTRUCT({}))", numbers.join(", "))
    }

    /// Of keys, Snowflake only remembers that there are some.
    fn create(&self, table: &str, columns: &[(&str, &str, bool)], _key: &[&str], comment: Option<&str>) -> Vec<String> {
        let columns: Vec<String> = columns
            .iter()
            .map(|(name, kind, always)| format!("{name} {kind}{}", if *always { " NOT NULL" } else { "" }))
            .collect();
        let comment = comment.map_or_else(String::new, |comment| format!(" COMMENT = {}", literal(comment)));
        vec![format!("CREATE TRANSIENT TABLE IF NOT EXISTS {table} ({}){comment}", columns.join(", "))]
    }

    fn create_as(&self, table: &str) -> String {
        format!("CREATE TRANSIENT TABLE {table} {PASSING} AS")
    }

    fn index(&self, _table: &str, _columns: &str, _unique: bool) -> Option<String> {
        None
    }

    /// A claim that was replaced may have added it.
    fn add_key(&self, entries: &str, key: &KeyColumn) -> String {
        format!("ALTER TABLE {entries} ADD COLUMN IF NOT EXISTS {} {}", key.name, key.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_given_as_json_without_nulls_at_the_end() {
        let texts = |texts: [Option<&str>; 2]| Bind::Texts(texts.map(|text| text.map(Into::into)).into());
        let (from, binds) = Snowflake.given(vec![
            ("place", Bind::Numbers(vec![1 << 50, 2])),
            ("match_key", texts([None, Some("it's \"\\")])),
            ("remote_id", texts([None, None])),
        ]);
        assert_eq!(
            from,
            "(SELECT f.value[0]::NUMBER(18, 0) AS place, f.value[1]::VARCHAR AS match_key, f.value[2]::VARCHAR AS remote_id FROM $1 AS f) AS a"
        );
        assert_eq!(binds, [texts([Some("[1125899906842624]"), Some("[2,\"it's \\\"\\\\\"]")])]);
    }

    #[test]
    fn statements_are_known_by_what_they_do() {
        let table = Snowflake.table("\"DB\".\"_BACKFLOW\"", "delta_00_7");
        assert_eq!(dropped(&Snowflake.drop(&table)), Some(table.as_str()));
        assert_eq!(made(&format!("{}\nSELECT 1", Snowflake.create_as(&table))), Some(table.as_str()));
        assert!(is_definition(&Snowflake.drop(&table)) && !is_definition("DELETE FROM x"));
        assert_eq!((dropped("DELETE FROM x"), made("CREATE TRANSIENT TABLE x (a VARCHAR)")), (None, None));
    }
}
