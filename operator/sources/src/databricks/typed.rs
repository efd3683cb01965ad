//! How columns of a model are said in the statements of the pushdown engine.

use super::answer::ColumnInfo;
use super::types::Wire;
use crate::diff::pushdown::typed::{KeyForm, Said, Typed};
use crate::rest::row::Reading;

/// Forms of key columns: class, SQL type, how it arrives. What has no type in which equal values are the same cell is a text.
const FORMS: &[(&str, &str, Wire)] = &[
    ("bool", "BOOLEAN", Wire::Bool),
    ("int", "BIGINT", Wire::Int),
    ("float", "DOUBLE", Wire::Float),
    ("decimal", "STRING", Wire::Decimal),
    ("text", "STRING", Wire::Text),
    ("bytes", "STRING", Wire::Hex),
    ("date", "DATE", Wire::Date),
    ("timestamp", "STRING", Wire::Naive),
    ("timestamptz", "BIGINT", Wire::Instant),
    ("interval", "STRING", Wire::Interval),
    ("json", "STRING", Wire::Json),
];

/// The form of this class, without an expression.
pub(super) fn form(class: &str) -> Option<KeyForm<Wire>> {
    FORMS.iter().find(|(name, ..)| *name == class).map(|(class, kind, wire)| KeyForm {
        class,
        kind,
        expression: String::new(),
        wire: *wire,
        said: Said::Itself,
        long: *kind == "STRING",
    })
}

/// How a column is said; `None` if its type is not read.
pub(super) fn typed(column: &ColumnInfo) -> Option<Typed<Wire>> {
    let Reading { expression: mut read, wire } = column.reading_of("{}")?;
    let text = |what: &str| format!("CAST({what} AS STRING)");
    // 0 is -0 then, as SQL has it.
    let float = |kind: &str| format!("({{}} + CAST(0 AS {kind}))");
    let whole = text("{}");
    let (hash, class, key) = match wire {
        Wire::Bool => (whole, "bool", "{}".to_owned()),
        Wire::Int => (whole, "int", "CAST({} AS BIGINT)".to_owned()),
        // A FLOAT is the decimal that people see.
        Wire::Float if column.plain() == "DOUBLE" => (text(&float("DOUBLE")), "float", float("DOUBLE")),
        Wire::Float => (text(&float("FLOAT")), "float", format!("CAST({} AS DOUBLE)", text(&float("FLOAT")))),
        Wire::Decimal => (whole.clone(), "decimal", whole),
        // Of a collation or a length of its own, and of a column without a type, a table of ours has no column.
        Wire::Text => {
            read.clone_from(&whole);
            (whole.clone(), "text", whole)
        }
        // Where base64 breaks its lines differs between versions.
        Wire::Bytes | Wire::Hex => ("hex({})".to_owned(), "bytes", "hex({})".to_owned()),
        Wire::Date => (whole, "date", "{}".to_owned()),
        Wire::Instant => (text(&read), "timestamptz", read.clone()),
        Wire::Naive => (read.clone(), "timestamp", read.clone()),
        Wire::Interval => (read.clone(), "interval", read.clone()),
        Wire::Json => (read.clone(), "json", read.clone()),
    };
    let length = match wire {
        Wire::Bytes | Wire::Hex => Some("octet_length({})".to_owned()),
        Wire::Text | Wire::Json => Some(format!("octet_length({})", text("{}"))),
        _ => None,
    };
    let key = KeyForm { expression: key, ..form(class)? };
    Some(Typed { name: column.name.clone(), read, wire, hash, length, key })
}
