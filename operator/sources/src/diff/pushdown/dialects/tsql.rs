//! T-SQL, as SQL Server from 2016 and Azure SQL Database read it.
//!
//! The row hash is the first half of the SHA-256 of a text: for each column its length, a colon and its exact text (of a style that no
//! setting of the session changes), or `~` for NULL. Texts are compared by their code units; SQL takes two that differ in blanks at the end
//! for equal, so that a key's text has a mark behind it.
//!
//! There are no conditions as values: what is true is a bit of 1. A table is made empty and filled by a statement of its own, because the
//! server keeps everybody from looking at its catalog while a transaction makes tables.

use crate::azuresql::{literal, quote};
use crate::diff::pushdown::dialect::{BUCKETS, Dialect, Upsert};
use crate::diff::pushdown::statement::{Around, Bind};
use crate::diff::pushdown::text;
use crate::diff::pushdown::typed::{KeyColumn, Kind, Names};

/// How our own texts are compared, whatever the database does.
const COLLATE: &str = " COLLATE Latin1_General_100_BIN2";

/// Type of our own texts.
const TEXT: &str = "nvarchar(max)";

/// Of a text in a primary key: the name of a record.
const RECORD: &str = "nvarchar(32)";

/// Arguments of CONCAT, which takes 254.
const ARGUMENTS: usize = 200;

/// What fills a table, before and behind its name.
const FILLS: (&str, &str) = ("INSERT INTO ", " WITH (TABLOCK)");

/// T-SQL.
pub(crate) struct TransactSql;

impl TransactSql {
    /// A text that is compared by its code units.
    pub(crate) fn collated(&self, text: &str) -> String {
        format!("{text}{COLLATE}")
    }
}

/// A column's type, with what it is compared by.
fn compared(kind: &str) -> String {
    if kind.starts_with("nvarchar") { format!("{kind}{COLLATE}") } else { kind.to_owned() }
}

/// What makes the table that such a statement fills.
pub(crate) fn emptied(fills: &Around) -> Option<Around> {
    let (first, query) = fills.before.split_once('\n')?;
    let table = first.strip_prefix(FILLS.0)?.strip_suffix(FILLS.1)?;
    Some(Around {
        before: format!("SELECT _x.* INTO {table} FROM (\n{query}"),
        between: None,
        after: format!("{}\n) AS _x WHERE 1 = 0", fills.after),
    })
}

/// One text of many, which may be long.
fn concat(texts: &[String]) -> String {
    let whole = texts.chunks(ARGUMENTS).map(|some| format!("CONCAT(CAST(N'' AS {TEXT}), {})", some.join(", ")));
    let whole: Vec<String> = whole.collect();
    match &whole[..] {
        [] => "N''".to_owned(),
        [one] => one.clone(),
        more => concat(more),
    }
}

/// Rows as JSON: an array of arrays.
fn json(columns: &[(&'static str, Bind)]) -> String {
    let rows = columns.first().map_or(0, |(_, bind)| match bind {
        Bind::Numbers(numbers) => numbers.len(),
        Bind::Texts(texts) => texts.len(),
    });
    let cell = |bind: &Bind, row: usize| match bind {
        Bind::Numbers(numbers) => numbers.get(row).map_or(serde_json::Value::Null, |number| (*number).into()),
        Bind::Texts(texts) => texts.get(row).and_then(Option::as_deref).map_or(serde_json::Value::Null, Into::into),
    };
    let row = |row| columns.iter().map(|(_, bind)| cell(bind, row)).collect::<serde_json::Value>();
    (0..rows).map(row).collect::<serde_json::Value>().to_string()
}

impl Dialect for TransactSql {
    const HASH: &'static str = "hash";

    fn quote(&self, name: &str) -> String {
        quote(name)
    }

    fn literal(&self, text: &str) -> String {
        literal(text)
    }

    fn truth(&self, condition: &str) -> String {
        format!("CAST(CASE WHEN {condition} THEN 1 ELSE 0 END AS bit)")
    }

    fn is(&self, value: &str) -> String {
        format!("{value} = 1")
    }

    fn boolean(&self, value: bool) -> &'static str {
        if value { "CAST(1 AS bit)" } else { "CAST(0 AS bit)" }
    }

    fn or(&self, condition: &str, otherwise: bool) -> String {
        if otherwise {
            format!("CASE WHEN NOT ({condition}) THEN 0 ELSE 1 END = 1")
        } else {
            format!("CASE WHEN {condition} THEN 1 ELSE 0 END = 1")
        }
    }

    fn distinct(&self, one: &str, other: &str) -> String {
        format!("CASE WHEN {one} = {other} OR {one} IS NULL AND {other} IS NULL THEN 0 ELSE 1 END = 1")
    }

    fn greatest(&self, one: &str, other: &str) -> String {
        format!("CASE WHEN {one} < {other} THEN {other} ELSE {one} END")
    }

    /// A number that has more than 32 bits is a decimal, and what is made of it.
    fn big(&self, number: u64) -> String {
        format!("CAST({number} AS bigint)")
    }

    fn cast(&self, value: &str, kind: &str) -> String {
        let collate = if kind.starts_with("nvarchar") { COLLATE } else { "" };
        format!("CAST({value} AS {kind}){collate}")
    }

    fn any_order(&self) -> &'static str {
        "ORDER BY (SELECT NULL)"
    }

    fn limit(&self, rows: usize) -> String {
        format!("OFFSET 0 ROWS FETCH NEXT {rows} ROWS ONLY")
    }

    fn key_size(&self, key: &KeyColumn) -> String {
        size(&key.name)
    }

    fn kind(&self, kind: Kind) -> &'static str {
        match kind {
            Kind::Small => "smallint",
            Kind::Integer => "int",
            Kind::Big => "bigint",
            Kind::Bool => "bit",
            Kind::Text => TEXT,
            Kind::Hash => "binary(16)",
        }
    }

    fn row_hash(&self, values: &[String]) -> String {
        let said = |value: &String| format!("ISNULL(CAST(DATALENGTH({value}) AS nvarchar(20)) + N':' + {value}, N'~')");
        let said: Vec<String> = values.iter().map(said).collect();
        format!("CAST(HASHBYTES('SHA2_256', {}) AS binary(16))", concat(&said))
    }

    fn bucket(&self, keys: &[String]) -> String {
        let key = format!("CONCAT({}, N'')", keys.join(", N' ', "));
        format!("CAST(SUBSTRING(HASHBYTES('SHA2_256', {key}), 1, 4) AS int) & {}", BUCKETS - 1)
    }

    fn hash_of(&self, record: &str) -> String {
        format!("CONVERT(binary(16), {record}, 2)")
    }

    fn count_if(&self, condition: &str) -> String {
        format!("COUNT_BIG(CASE WHEN {condition} THEN 1 END)")
    }

    fn by_value(&self, table: &str, key: &KeyColumn) -> String {
        let column = format!("{table}.{}", key.name);
        if key.name.ends_with("_decimal") {
            format!("CAST({column} AS float) DESC, {column} DESC")
        } else {
            format!("{column} DESC")
        }
    }

    /// The rows are in the text, as JSON: a statement has 2100 values at most.
    fn given(&self, columns: Vec<(&'static str, Bind)>) -> (String, Vec<Bind>) {
        let rows = literal(&json(&columns));
        let (mut read, mut said) = (Vec::new(), Vec::new());
        for (at, (name, bind)) in columns.iter().enumerate() {
            let (kind, collate) = match bind {
                Bind::Numbers(_) => ("bigint", ""),
                Bind::Texts(_) => (TEXT, COLLATE),
            };
            said.push(format!("{name} {kind} '$[{at}]'"));
            read.push(format!("j.{name}{collate} AS {name}"));
        }
        (format!("(SELECT {} FROM OPENJSON({rows}) WITH ({}) AS j) AS a", read.join(", "), said.join(", ")), Vec::new())
    }

    fn looked_up(&self, table: &str, alias: &str, condition: &str, outer: bool) -> String {
        format!(" {} JOIN {table} AS {alias} ON {condition}", if outer { "LEFT" } else { "INNER" })
    }

    fn first(&self, columns: &str, from: &str, by: &str, order: &str) -> String {
        let bare = |column: &str| column.rsplit('.').next().unwrap_or(column).to_owned();
        let names: Vec<String> = columns.split(", ").map(bare).collect();
        format!(
            "SELECT {} FROM (SELECT {columns}, ROW_NUMBER() OVER (PARTITION BY {by} ORDER BY {order}) AS nth FROM {from}) AS x \
             WHERE nth = 1",
            names.join(", ")
        )
    }

    fn upsert(&self, upsert: &Upsert<'_>) -> String {
        let Upsert { table, alias, key, columns, from, set } = upsert;
        let source: Vec<String> = columns.iter().map(|(name, value)| format!("{value} AS {name}")).collect();
        let same: Vec<String> = key.iter().map(|name| format!("{alias}.{name} = n.{name}")).collect();
        let set: Vec<String> =
            set.iter().map(|(name, value)| format!("{name} = {}", value.replace("{new}", "n"))).collect();
        let (names, values): (Vec<&str>, Vec<String>) =
            columns.iter().map(|(name, _)| (*name, format!("n.{name}"))).unzip();
        format!(
            "MERGE INTO {table} WITH (HOLDLOCK) AS {alias} USING (SELECT {} FROM {from}) AS n ON {} WHEN MATCHED THEN UPDATE SET {} \
             WHEN NOT MATCHED THEN INSERT ({}) VALUES ({});",
            source.join(", "),
            same.join(" AND "),
            set.join(", "),
            names.join(", "),
            values.join(", ")
        )
    }

    fn update(&self, table: &str, set: &[(&str, String)], by: &str, filter: &str, condition: &str) -> String {
        let set: Vec<String> = set.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        format!("UPDATE e SET {} FROM {table} AS e INNER JOIN {by} AS d ON {condition} WHERE {filter}", set.join(", "))
    }

    fn remove(&self, table: &str, alias: &str, from: Option<&str>, condition: &str) -> String {
        let which = match from {
            Some(from) => format!("EXISTS (SELECT 1 FROM {from} WHERE {condition})"),
            None => condition.to_owned(),
        };
        format!("DELETE {alias} FROM {table} AS {alias} WHERE {which}")
    }

    /// As one text: rows of a UNION have the same columns.
    fn numbers(&self, numbers: &[String]) -> String {
        format!("CONCAT({}, '')", numbers.join(", ' ', "))
    }

    fn create(&self, table: &str, columns: &[(&str, &str, bool)], key: &[&str], comment: Option<&str>) -> Vec<String> {
        let column = |(name, kind, always): &(&str, &str, bool)| {
            let kind = if key.contains(name) && *kind == TEXT { RECORD } else { kind };
            format!("{name} {}{}, ", compared(kind), if *always { " NOT NULL" } else { "" })
        };
        let columns: String = columns.iter().map(column).collect();
        let mut statements = vec![format!("CREATE TABLE {table} ({columns}PRIMARY KEY ({}))", key.join(", "))];
        statements.extend(comment.and_then(|comment| described(table, comment)));
        statements
    }

    fn create_as(&self, table: &str) -> String {
        format!("{}{table}{}", FILLS.0, FILLS.1)
    }

    fn create_with(&self, table: &str, with: &str, query: &str) -> String {
        format!("WITH {with}\n{}\n{query}", self.create_as(table))
    }

    fn index(&self, table: &str, columns: &str, unique: bool) -> Option<String> {
        let kind = if unique { "UNIQUE CLUSTERED " } else { "" };
        Some(format!("CREATE {kind}INDEX by_{} ON {table} ({columns})", columns.replace(", ", "_")))
    }

    fn complete_entries(&self, entries: &str) -> String {
        format!("ALTER TABLE {entries} ADD record {}", compared(TEXT))
    }

    fn add_key(&self, entries: &str, key: &KeyColumn) -> String {
        format!("ALTER TABLE {entries} ADD {} {}", key.name, compared(key.kind))
    }

    /// With the delta, which has the columns of what was found but for those that only make it.
    fn index_found(&self, names: &Names) -> Vec<String> {
        let (found, delta) = (&names.found, &names.delta);
        let mut statements = text::tables::index_found(self, names);
        statements.extend([
            self.drop(delta),
            format!("SELECT * INTO {delta} FROM {found} WHERE 1 = 0"),
            format!("ALTER TABLE {delta} DROP COLUMN {}", text::delta::FOUND.join(", ")),
        ]);
        statements
    }
}

/// Units of a text.
pub(crate) fn size(text: &str) -> String {
    format!("DATALENGTH({text}) / 2")
}

/// Says to people what a table is.
fn described(table: &str, comment: &str) -> Option<String> {
    let (schema, name) = table.strip_prefix('[')?.strip_suffix(']')?.rsplit_once("].[")?;
    let [schema, name, comment] = [&schema.replace("]]", "]"), name, comment].map(literal);
    Some(format!(
        "EXECUTE sys.sp_addextendedproperty N'MS_Description', {comment}, N'SCHEMA', {schema}, N'TABLE', {name}"
    ))
}
