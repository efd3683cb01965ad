//! How each Postgres type is read: what is selected, and the binary form that arrives.
//!
//! | type | selected as | cell |
//! |---|---|---|
//! | bool, int2, int4, int8, oid, float4, float8 | itself | Bool, Int, Float |
//! | numeric; money | itself; `::numeric` | Decimal, also `NaN`, `Infinity`, `-Infinity` |
//! | text, varchar, char(n) (padded), citext, enum, uuid, name | itself | Text |
//! | bytea | itself | Bytes |
//! | date, time, timetz, timestamp, timestamptz, interval | itself | Time |
//! | json, jsonb | itself | Json |
//! | arrays, composites | itself, or `to_json` if a member has no binary form that is known here | Json |
//! | hstore | `to_json` | Json, an object |
//! | inet | by its output function | Text |
//! | ranges, xml, tsvector, bit, geometric and all others | `::text` | Text |
//!
//! A domain is read as its base type.

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::{PgConnection, Row};

use crate::sql::quote;

/// A binary form.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Wire {
    Bool,
    Int2,
    Int4,
    Int8,
    Oid,
    Float4,
    Float8,
    Numeric,
    Text,
    Uuid,
    Bytea,
    Date,
    Time,
    TimeTz,
    Timestamp,
    TimestampTz,
    Interval,
    /// JSON as text: json, and whatever `to_json` made.
    Json,
    /// A version byte, then JSON.
    Jsonb,
    Array(Arc<Wire>),
    Composite(Arc<[(String, Wire)]>),
}

/// How one column is read.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// What stands in the SELECT list.
    pub(crate) expression: String,
    pub(crate) wire: Wire,
}

/// The types of some columns and everything that they are made of.
pub(crate) struct Catalog(BTreeMap<u32, Entry>);

struct Entry {
    name: String,
    shape: Shape,
}

enum Shape {
    Plain,
    Enum,
    Array(u32),
    Domain(u32),
    Composite(Vec<(String, u32)>),
}

/// All types that `$1` is made of, in one round trip. True arrays have a variable length; point and its like have an element too.
const LOOK_UP: &str = "
WITH RECURSIVE used (oid) AS (
    SELECT unnest($1::int8[])::oid
    UNION
    SELECT next.oid FROM used JOIN pg_catalog.pg_type y ON y.oid = used.oid CROSS JOIN LATERAL (
        SELECT y.typelem WHERE y.typlen = -1 AND y.typelem <> 0
        UNION ALL SELECT y.typbasetype WHERE y.typtype = 'd'
        UNION ALL SELECT a.atttypid FROM pg_catalog.pg_attribute a
            WHERE y.typtype = 'c' AND a.attrelid = y.typrelid AND a.attnum > 0 AND NOT a.attisdropped
    ) AS next (oid)
)
SELECT y.oid::int8 AS oid, y.typname::text AS name, y.typtype::text AS kind,
    CASE WHEN y.typlen = -1 THEN y.typelem ELSE 0 END::int8 AS element, y.typbasetype::int8 AS base,
    coalesce((SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = y.typrelid AND y.typtype = 'c' AND a.attnum > 0 AND NOT a.attisdropped), '{}') AS names,
    coalesce((SELECT array_agg(a.atttypid::int8 ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = y.typrelid AND y.typtype = 'c' AND a.attnum > 0 AND NOT a.attisdropped), '{}') AS types
FROM used JOIN pg_catalog.pg_type y ON y.oid = used.oid";

impl Catalog {
    /// Looks types up by their ids.
    pub(crate) async fn look_up(connection: &mut PgConnection, ids: &[u32]) -> Result<Self, sqlx::Error> {
        let ids: Vec<i64> = ids.iter().map(|&id| id.into()).collect();
        let rows = sqlx::query(LOOK_UP).bind(ids).persistent(false).fetch_all(connection).await?;
        let mut entries = BTreeMap::new();
        for row in rows {
            let id = |column: &str| row.try_get::<i64, _>(column).map(|id| id as u32);
            let shape = match row.try_get::<&str, _>("kind")? {
                "e" => Shape::Enum,
                "d" => Shape::Domain(id("base")?),
                "c" => {
                    let names: Vec<String> = row.try_get("names")?;
                    let types: Vec<i64> = row.try_get("types")?;
                    Shape::Composite(names.into_iter().zip(types.into_iter().map(|id| id as u32)).collect())
                }
                _ => match id("element")? {
                    0 => Shape::Plain,
                    element => Shape::Array(element),
                },
            };
            entries.insert(id("oid")?, Entry { name: row.try_get("name")?, shape });
        }
        Ok(Self(entries))
    }

    /// The type's name as people write it: `timestamptz`, `int4[]`.
    pub(crate) fn name(&self, id: u32) -> String {
        match self.0.get(&id) {
            Some(Entry { shape: Shape::Array(element), .. }) => format!("{}[]", self.name(*element)),
            // The catalog's own names for what everybody calls char(n), and for the type named with quotes.
            _ if id == 1042 => "char".to_owned(),
            _ if id == 18 => "\"char\"".to_owned(),
            Some(entry) => entry.name.clone(),
            None => "unknown".to_owned(),
        }
    }

    /// How a column of this type is read.
    pub(crate) fn reading(&self, column: &str, id: u32) -> Reading {
        self.reading_of(&format!("_m.{}", quote(column)), id)
    }

    /// How something of this type is read.
    pub(crate) fn reading_of(&self, name: &str, id: u32) -> Reading {
        let name = name.to_owned();
        if let Some(wire) = self.wire(id) {
            return Reading { expression: name, wire };
        }
        let base = self.base(id);
        let (expression, wire) = match self.0.get(&base) {
            Some(entry) if matches!(entry.shape, Shape::Array(_) | Shape::Composite(_)) || entry.name == "hstore" => {
                (format!("pg_catalog.to_json({name})::pg_catalog.text"), Wire::Json)
            }
            _ if base == 790 => (format!("{name}::pg_catalog.numeric"), Wire::Numeric),
            // Its cast to text adds a netmask that its output function leaves out.
            _ if base == 869 => (format!("pg_catalog.to_json({name}) #>> '{{}}'"), Wire::Text),
            _ => (format!("{name}::pg_catalog.text"), Wire::Text),
        };
        Reading { expression, wire }
    }

    /// What a domain is over.
    pub(crate) fn base(&self, id: u32) -> u32 {
        match self.0.get(&id) {
            Some(Entry { shape: Shape::Domain(of), .. }) => self.base(*of),
            _ => id,
        }
    }

    /// The binary form, if all of it is known here.
    fn wire(&self, id: u32) -> Option<Wire> {
        let entry = self.0.get(&id)?;
        match &entry.shape {
            Shape::Enum => return Some(Wire::Text),
            Shape::Domain(of) => return self.wire(*of),
            Shape::Array(of) => return self.wire(*of).map(|of| Wire::Array(Arc::new(of))),
            Shape::Composite(fields) => {
                let fields: Option<Vec<_>> =
                    fields.iter().map(|(name, id)| self.wire(*id).map(|wire| (name.clone(), wire))).collect();
                return fields.map(|fields| Wire::Composite(fields.into()));
            }
            Shape::Plain => {}
        }
        // Ids of the server's own types never change; an extension's type is told by its name.
        Some(match id {
            16 => Wire::Bool,
            17 => Wire::Bytea,
            20 => Wire::Int8,
            21 => Wire::Int2,
            23 => Wire::Int4,
            26 => Wire::Oid,
            19 | 25 | 1042 | 1043 => Wire::Text,
            114 => Wire::Json,
            700 => Wire::Float4,
            701 => Wire::Float8,
            1082 => Wire::Date,
            1083 => Wire::Time,
            1114 => Wire::Timestamp,
            1184 => Wire::TimestampTz,
            1186 => Wire::Interval,
            1266 => Wire::TimeTz,
            1700 => Wire::Numeric,
            2950 => Wire::Uuid,
            3802 => Wire::Jsonb,
            _ if entry.name == "citext" => Wire::Text,
            _ => return None,
        })
    }
}
