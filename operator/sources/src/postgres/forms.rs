//! How columns and keys are said in the statements of the pushdown engine.

use super::types::{Catalog, Wire};
use crate::diff::pushdown::typed::{KeyForm, Said, Typed};

/// Forms of key columns: class, SQL type, what its text stands for, how it arrives.
const FORMS: &[(&str, &str, Said, Wire)] = &[
    ("bool", "boolean", Said::Itself, Wire::Bool),
    ("int", "bigint", Said::Itself, Wire::Int8),
    ("float", "double precision", Said::Itself, Wire::Float8),
    ("decimal", "text COLLATE \"C\"", Said::Decimal, Wire::Text),
    ("text", "text COLLATE \"C\"", Said::Itself, Wire::Text),
    ("uuid", "uuid", Said::Itself, Wire::Uuid),
    ("bytes", "bytea", Said::Itself, Wire::Bytea),
    ("date", "date", Said::Itself, Wire::Date),
    ("time", "time", Said::Itself, Wire::Time),
    ("timetz", "timetz", Said::Itself, Wire::TimeTz),
    ("timestamp", "timestamp", Said::Itself, Wire::Timestamp),
    ("timestamptz", "timestamptz", Said::Itself, Wire::TimestampTz),
    ("interval", "text COLLATE \"C\"", Said::Time, Wire::Text),
    ("json", "text COLLATE \"C\"", Said::Json, Wire::Text),
];

/// The form of this class, without an expression.
pub(super) fn form(class: &str) -> Option<KeyForm<Wire>> {
    FORMS.iter().find(|(name, ..)| *name == class).map(|(class, kind, said, wire)| KeyForm {
        class,
        kind,
        expression: String::new(),
        wire: wire.clone(),
        said: *said,
        long: matches!(wire, Wire::Text | Wire::Bytea),
    })
}

/// Text that is compared byte by byte.
fn bytewise(text: &str) -> String {
    format!("({text})::pg_catalog.text COLLATE \"C\"")
}

/// How a column of this type is said.
pub(super) fn typed(catalog: &Catalog, name: &str, id: u32) -> Option<Typed<Wire>> {
    let reading = catalog.reading_of("{}", id);
    let (read, wire) = (reading.expression, reading.wire);
    let cast = |to: &str| format!("({read})::pg_catalog.{to}");
    let padded = catalog.base(id) == 1042;
    let (hash, class, key) = match &wire {
        Wire::Bool => (cast("bool"), "bool", cast("bool")),
        Wire::Int2 | Wire::Int4 | Wire::Int8 | Wire::Oid => (cast("int8"), "int", cast("int8")),
        // 0 is -0 then, as SQL has it. A float4 is the decimal that people see.
        Wire::Float4 => (
            format!("({} + 0::pg_catalog.float4)", cast("float4")),
            "float",
            format!("{}::pg_catalog.float8", cast("text")),
        ),
        Wire::Float8 => (format!("({} + 0::pg_catalog.float8)", cast("float8")), "float", cast("float8")),
        Wire::Numeric => (cast("numeric"), "decimal", bytewise(&read)),
        // A cast to text would cut the blanks off.
        Wire::Text if padded => {
            let whole = format!("CASE WHEN {read} IS NOT NULL THEN pg_catalog.concat({read}) END");
            (whole.clone(), "text", bytewise(&whole))
        }
        Wire::Text => (cast("text"), "text", bytewise(&read)),
        Wire::Uuid => (cast("uuid"), "uuid", cast("uuid")),
        Wire::Bytea => (cast("bytea"), "bytes", cast("bytea")),
        Wire::Date => (cast("date"), "date", cast("date")),
        Wire::Time => (cast("time"), "time", cast("time")),
        Wire::TimeTz => (cast("timetz"), "timetz", cast("timetz")),
        Wire::Timestamp => (cast("timestamp"), "timestamp", cast("timestamp")),
        Wire::TimestampTz => (cast("timestamptz"), "timestamptz", cast("timestamptz")),
        Wire::Interval => (cast("interval"), "interval", bytewise(&read)),
        Wire::Json => (cast("text"), "json", bytewise(&read)),
        Wire::Jsonb => (cast("jsonb"), "json", bytewise(&read)),
        Wire::Array(_) | Wire::Composite(_) => (cast("text"), "json", bytewise(&format!("pg_catalog.to_json({read})"))),
    };
    let length = match &wire {
        Wire::Bytea => Some(format!("octet_length({read})")),
        Wire::Text | Wire::Numeric | Wire::Json | Wire::Jsonb | Wire::Array(_) | Wire::Composite(_) => {
            Some(format!("octet_length({})", cast("text")))
        }
        _ => None,
    };
    let key = KeyForm { expression: key, ..form(class)? };
    Some(Typed { name: name.to_owned(), read, wire, hash, length, key })
}
