//! The table that rows go to, as the server's catalogue describes it.

use std::collections::BTreeMap;

use backflow_core::finding::hint;
use backflow_postgres::quote;
use sqlx::{PgConnection, Row as _};

use super::values::Kind;

/// Names of other tables that are looked at for one that was probably meant.
const OTHERS: i64 = 200;

/// A table.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
    /// Columns of unique indexes that stand for all rows and are looked at row by row, each in the order of its index.
    pub(super) unique: Vec<Vec<String>>,
    /// Columns of constraints and unique indexes, by name: what a server's error may name.
    pub(super) constraints: BTreeMap<String, Vec<String>>,
    pub(super) grants: Grants,
    /// A table, partitioned or not; not a view or something foreign.
    pub(super) plain: bool,
}

/// What the role may do with a table.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Grants {
    pub(super) usage: bool,
    pub(super) select: bool,
    pub(super) insert: bool,
    pub(super) update: bool,
    pub(super) delete: bool,
}

/// A column.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Its type without limits of length, as SQL names it: a cast to one with limits would cut silently.
    pub(super) type_name: String,
    /// It takes no NULL.
    pub(super) not_null: bool,
    /// The server fills it when nothing is given.
    pub(super) filled: bool,
    pub(super) written: Written,
}

/// Who writes a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// Whoever inserts a row.
    Freely,
    /// `GENERATED ALWAYS AS IDENTITY`: in an insertion that says so.
    AsIdentity,
    /// `GENERATED ALWAYS AS (…)`: the server alone.
    Never,
}

impl Table {
    /// `"schema"."table"`.
    pub(super) fn quoted(&self) -> String {
        format!("{}.{}", quote(&self.schema), quote(&self.name))
    }

    /// The place of the column of this name.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// Whether exactly these columns tell one row from every other.
    pub(super) fn identified_by(&self, names: &[String]) -> bool {
        let sorted = |names: &[String]| {
            let mut names = names.to_vec();
            names.sort_unstable();
            names
        };
        self.unique.iter().any(|index| sorted(index) == sorted(names))
    }
}

const RELATION: &str = "SELECT c.oid::int8, c.relkind IN ('r', 'p'), has_schema_privilege(n.oid, 'USAGE'), \
     has_any_column_privilege(c.oid, 'SELECT'), has_any_column_privilege(c.oid, 'INSERT'), \
     has_any_column_privilege(c.oid, 'UPDATE'), has_table_privilege(c.oid, 'DELETE') \
     FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace \
     WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')";

/// Of a domain, what is below all of them: a cast to a domain with a limit would cut, too.
const COLUMNS: &str = "SELECT a.attname::text AS name, format_type(b.oid, -1) AS type, \
     CASE t.typtype WHEN 'd' THEN t.typtypmod ELSE a.atttypmod END AS modifier, \
     a.attnotnull OR t.typnotnull AS not_null, a.atthasdef OR a.attidentity <> '' OR t.typdefault IS NOT NULL AS filled, \
     a.attgenerated <> '' AS generated, a.attidentity = 'a' AS always, b.typtype::text AS sort, b.typname::text AS base, \
     n.nspname = 'pg_catalog' AS builtin, b.typcategory::text AS category, e.typname::text AS element, \
     ARRAY(SELECT enumlabel::text FROM pg_enum WHERE enumtypid = b.oid ORDER BY enumsortorder) AS labels \
     FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid \
     JOIN pg_type AS b ON b.oid = (WITH RECURSIVE below (oid, base) AS (SELECT t.oid, t.typbasetype UNION ALL \
     SELECT d.oid, d.typbasetype FROM below JOIN pg_type AS d ON d.oid = below.base) SELECT oid FROM below WHERE base = 0) \
     JOIN pg_namespace AS n ON n.oid = b.typnamespace \
     LEFT JOIN pg_type AS e ON e.oid = b.typelem AND b.typcategory = 'A' \
     WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

const UNIQUE: &str = "SELECT c.relname::text, ARRAY(SELECT a.attname::text FROM generate_series(0, i.indnkeyatts - 1) AS s \
     JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[s] ORDER BY s), \
     i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL \
     FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid WHERE i.indrelid = $1::oid AND i.indisunique";

const CONSTRAINTS: &str = "SELECT k.conname::text, ARRAY(SELECT a.attname::text FROM pg_attribute AS a \
     WHERE a.attrelid = $1::oid AND a.attnum = ANY (CASE WHEN k.conrelid = $1::oid THEN k.conkey ELSE k.confkey END)) \
     FROM pg_constraint AS k WHERE k.conrelid = $1::oid OR k.confrelid = $1::oid";

/// Looks a table up. The caller began a transaction in which no schema but the catalogue is searched, so that the names of types are
/// written with theirs.
pub(super) async fn look_up(
    connection: &mut PgConnection,
    schema: &str,
    name: &str,
) -> Result<Option<Table>, sqlx::Error> {
    let found =
        sqlx::query(RELATION).bind(schema).bind(name).persistent(false).fetch_optional(&mut *connection).await?;
    let Some(row) = found else { return Ok(None) };
    let oid: i64 = row.try_get(0)?;
    let grants = Grants {
        usage: row.try_get(2)?,
        select: row.try_get(3)?,
        insert: row.try_get(4)?,
        update: row.try_get(5)?,
        delete: row.try_get(6)?,
    };
    let plain = row.try_get(1)?;
    let rows = sqlx::query(COLUMNS).bind(oid).persistent(false).fetch_all(&mut *connection).await?;
    let columns = rows.iter().map(column).collect::<Result<Vec<_>, _>>()?;
    let (mut unique, mut constraints) = (Vec::new(), BTreeMap::new());
    for row in sqlx::query(UNIQUE).bind(oid).persistent(false).fetch_all(&mut *connection).await? {
        let columns: Vec<String> = row.try_get(1)?;
        constraints.insert(row.try_get(0)?, columns.clone());
        if row.try_get(2)? {
            unique.push(columns);
        }
    }
    for row in sqlx::query(CONSTRAINTS).bind(oid).persistent(false).fetch_all(&mut *connection).await? {
        constraints.entry(row.try_get(0)?).or_insert(row.try_get(1)?);
    }
    let (schema, name) = (schema.to_owned(), name.to_owned());
    Ok(Some(Table { schema, name, columns, unique, constraints, grants, plain }))
}

fn column(row: &sqlx::postgres::PgRow) -> Result<Column, sqlx::Error> {
    let generated: bool = row.try_get("generated")?;
    let always: bool = row.try_get("always")?;
    let (sort, base): (String, String) = (row.try_get("sort")?, row.try_get("base")?);
    let modifier: i32 = row.try_get("modifier")?;
    let kind = match sort.as_str() {
        "e" => Kind::Enum(row.try_get("labels")?),
        "b" if row.try_get("builtin")? => match row.try_get::<Option<String>, _>("element")? {
            Some(element) if row.try_get::<String, _>("category")? == "A" => {
                Kind::Array(Box::new(Kind::named(&element, modifier)))
            }
            _ => Kind::named(&base, modifier),
        },
        _ => Kind::Other,
    };
    Ok(Column {
        name: row.try_get("name")?,
        kind,
        type_name: row.try_get("type")?,
        not_null: row.try_get("not_null")?,
        filled: row.try_get("filled")?,
        written: match (generated, always) {
            (true, _) => Written::Never,
            (false, true) => Written::AsIdentity,
            _ => Written::Freely,
        },
    })
}

/// What there is in place of a table that there is not, for messages.
pub(super) async fn others(connection: &mut PgConnection, schema: &str, name: &str) -> Result<String, sqlx::Error> {
    let names = "SELECT c.relname::text FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace \
                 WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') ORDER BY 1 LIMIT $2";
    let names = sqlx::query_scalar::<_, String>(names).bind(schema).bind(OTHERS).persistent(false);
    let names = names.fetch_all(connection).await?;
    Ok(hint(name, names.iter().map(String::as_str)))
}
