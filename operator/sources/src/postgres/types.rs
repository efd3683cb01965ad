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

use std::sync::Arc;

use sqlx::TypeInfo;
use sqlx::postgres::{PgTypeInfo, PgTypeKind};

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

/// How a column of this type is read.
pub(crate) fn reading(column: &str, info: &PgTypeInfo) -> Reading {
    let name = format!("_m.{}", quote(column));
    if let Some(wire) = wire(info) {
        return Reading { expression: name, wire };
    }
    let base = base(info);
    let (expression, wire) = match (base.kind(), unqualified(base)) {
        (PgTypeKind::Array(_) | PgTypeKind::Composite(_), _) | (_, "hstore") => {
            (format!("pg_catalog.to_json({name})::pg_catalog.text"), Wire::Json)
        }
        (_, "MONEY") => (format!("{name}::pg_catalog.numeric"), Wire::Numeric),
        // Its cast to text adds a netmask that its output function leaves out.
        (_, "INET") => (format!("pg_catalog.to_json({name}) #>> '{{}}'"), Wire::Text),
        _ => (format!("{name}::pg_catalog.text"), Wire::Text),
    };
    Reading { expression, wire }
}

/// The type's name as people write it.
pub(crate) fn display_name(info: &PgTypeInfo) -> String {
    info.name().to_lowercase()
}

/// The name without a schema: an extension may live in any.
fn unqualified(info: &PgTypeInfo) -> &str {
    info.name().rsplit('.').next().unwrap_or_default()
}

fn base(info: &PgTypeInfo) -> &PgTypeInfo {
    match info.kind() {
        PgTypeKind::Domain(of) => base(of),
        _ => info,
    }
}

/// The binary form, if all of it is known here.
fn wire(info: &PgTypeInfo) -> Option<Wire> {
    match info.kind() {
        PgTypeKind::Domain(of) => return wire(of),
        PgTypeKind::Enum(_) => return Some(Wire::Text),
        PgTypeKind::Array(of) => return wire(of).map(|of| Wire::Array(Arc::new(of))),
        PgTypeKind::Composite(fields) => {
            let fields: Option<Vec<_>> =
                fields.iter().map(|(name, info)| wire(info).map(|wire| (name.clone(), wire))).collect();
            return fields.map(|fields| Wire::Composite(fields.into()));
        }
        _ => {}
    }
    // Type ids of the server's own types never change; extensions' are told by name.
    Some(match info.oid().map(|oid| oid.0) {
        Some(16) => Wire::Bool,
        Some(17) => Wire::Bytea,
        Some(20) => Wire::Int8,
        Some(21) => Wire::Int2,
        Some(23) => Wire::Int4,
        Some(26) => Wire::Oid,
        Some(19 | 25 | 1042 | 1043) => Wire::Text,
        Some(114) => Wire::Json,
        Some(700) => Wire::Float4,
        Some(701) => Wire::Float8,
        Some(1082) => Wire::Date,
        Some(1083) => Wire::Time,
        Some(1114) => Wire::Timestamp,
        Some(1184) => Wire::TimestampTz,
        Some(1186) => Wire::Interval,
        Some(1266) => Wire::TimeTz,
        Some(1700) => Wire::Numeric,
        Some(2950) => Wire::Uuid,
        Some(3802) => Wire::Jsonb,
        _ if unqualified(info) == "citext" => Wire::Text,
        _ => return None,
    })
}
