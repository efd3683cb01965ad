//! How columns of a model are said in statements of the pushdown engine: what is read of them, their exact text for the row hash, and
//! how they are compared as parts of a key.

use super::answer::RowType;
use super::types::Wire;
use crate::diff::pushdown::typed::{KeyForm, Said, Typed};
use crate::rest::row::{Described as _, Reading};

/// Forms of key columns: class, SQL type, what its text stands for, how it arrives.
const FORMS: &[(&str, &str, Said, Wire)] = &[
    ("bool", "BOOLEAN", Said::Itself, Wire::Bool),
    ("int", "NUMBER(38, 0)", Said::Itself, Wire::Number),
    ("float", "DOUBLE", Said::Itself, Wire::Float),
    ("decimal", "VARCHAR", Said::Decimal, Wire::Text),
    ("decfloat", "VARCHAR", Said::Itself, Wire::DecFloat),
    ("text", "VARCHAR", Said::Itself, Wire::Text),
    ("bytes", "BINARY", Said::Itself, Wire::Hex),
    ("date", "DATE", Said::Itself, Wire::Date),
    ("time", "TIME(9)", Said::Itself, Wire::Time),
    ("timestamp", "TIMESTAMP_NTZ(9)", Said::Itself, Wire::Naive),
    ("timestamptz", "TIMESTAMP_LTZ(9)", Said::Itself, Wire::Instant),
    ("json", "VARCHAR", Said::Json, Wire::Text),
];

/// The form of this class, without an expression.
pub(super) fn form(class: &str) -> Option<KeyForm<Wire>> {
    FORMS.iter().find(|(name, ..)| *name == class).map(|(class, kind, said, wire)| KeyForm {
        class,
        kind,
        expression: String::new(),
        wire: *wire,
        said: *said,
        long: matches!(wire, Wire::Text | Wire::Hex),
    })
}

/// A moment of the session's zone, which is UTC.
const MOMENT: &str = "'YYYY-MM-DD\"T\"HH24:MI:SS.FF9'";

/// How a column is said; `None` if values of its type have no known form.
pub(super) fn typed(column: &RowType) -> Option<Typed<Wire>> {
    let Reading { expression: read, wire } = column.reading_of("{}")?;
    let text = || "CAST({} AS VARCHAR)".to_owned();
    let same = || "{}".to_owned();
    let (hash, class, key) = match wire {
        Wire::Bool => (text(), "bool", same()),
        Wire::Number if column.scale.unwrap_or_default() == 0 => (text(), "int", "CAST({} AS NUMBER(38, 0))".into()),
        Wire::Number => (text(), "decimal", text()),
        // 0 is -0 then, as SQL has it. A text of a float has fewer digits than the float: the rest is what they leave of it.
        Wire::Float => (
            "(CAST({} + 0 AS VARCHAR) || ' ' || COALESCE(CAST({} - TRY_TO_DOUBLE(CAST({} AS VARCHAR)) AS VARCHAR), ''))".into(),
            "float",
            "CAST({} + 0 AS DOUBLE)".into(),
        ),
        Wire::DecFloat => (text(), "decfloat", text()),
        // Compared byte by byte, whatever collation the column has.
        Wire::Text => ("COLLATE({}, '')".into(), "text", "COLLATE({}, '')".into()),
        Wire::Hex => ("HEX_ENCODE({})".into(), "bytes", same()),
        Wire::Date => ("TO_VARCHAR({}, 'YYYY-MM-DD')".into(), "date", same()),
        Wire::Time => ("TO_VARCHAR({}, 'HH24:MI:SS.FF9')".into(), "time", same()),
        Wire::Naive => (format!("TO_VARCHAR({{}}, {MOMENT})"), "timestamp", same()),
        Wire::Instant | Wire::Zoned => {
            let moment = "CAST({} AS TIMESTAMP_LTZ(9))";
            (format!("TO_VARCHAR({moment}, {MOMENT})"), "timestamptz", moment.into())
        }
        Wire::Json => (read.clone(), "json", read.clone()),
    };
    let length = match wire {
        Wire::Text | Wire::Hex | Wire::Json => Some(format!("OCTET_LENGTH({read})")),
        _ => None,
    };
    let key = KeyForm { expression: key, ..form(class)? };
    Some(Typed { name: column.name().to_owned(), read, wire, hash, length, key })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_said() {
        let kinds: Vec<String> = [
            ("BOOLEAN", None),
            ("FIXED", Some(0)),
            ("FIXED", Some(2)),
            ("REAL", None),
            ("DECFLOAT", None),
            ("TEXT", None),
            ("BINARY", None),
            ("DATE", None),
            ("TIME", Some(9)),
            ("TIMESTAMP_NTZ", Some(9)),
            ("TIMESTAMP_LTZ", Some(9)),
            ("TIMESTAMP_TZ", Some(9)),
            ("VARIANT", None),
            ("ARRAY", None),
            ("GEOGRAPHY", None),
        ]
        .iter()
        .map(|(kind, scale)| {
            let column = RowType { name: "C".into(), kind: (*kind).into(), scale: *scale, ..RowType::default() };
            let Typed { read, hash, length, key, .. } = typed(&column).unwrap();
            let length = length.unwrap_or_else(|| "-".into());
            format!("{kind}: read {read}, hash {hash}, length {length}, key {} {}", key.class, key.expression)
        })
        .collect();
        insta::assert_snapshot!(kinds.join("\n"));
        assert_eq!(typed(&RowType { kind: "INTERVAL_YEAR_MONTH".into(), ..RowType::default() }), None);
    }
}
