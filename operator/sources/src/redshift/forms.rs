//! How the pushdown engine says columns of a model: what is read, what is hashed, and what is compared as a key.

use crate::diff::pushdown::dialects::redshift::TEXT;
use crate::diff::pushdown::typed::{KeyForm, Said, Typed};

use super::types::{ResultColumn, Wire, reading_of};

/// Forms of key columns: class, SQL type, how it arrives.
const FORMS: &[(&str, &str, Wire)] = &[
    ("bool", "BOOLEAN", Wire::Bool),
    ("int", "BIGINT", Wire::Int),
    ("float", "DOUBLE PRECISION", Wire::Float),
    ("decimal", "VARCHAR(64)", Wire::Decimal),
    ("text", TEXT, Wire::Ended),
    ("bytes", TEXT, Wire::Hex),
    ("date", "DATE", Wire::Date),
    ("time", "TIME", Wire::Time),
    ("timetz", "TIMETZ", Wire::TimeTz),
    ("timestamp", "TIMESTAMP", Wire::Naive),
    ("timestamptz", "TIMESTAMPTZ", Wire::Instant),
    ("months", "BIGINT", Wire::Months),
    ("seconds", "DECIMAL(20, 6)", Wire::Seconds),
    ("json", TEXT, Wire::Json),
];

/// The form of this class, without an expression.
pub(super) fn form(class: &str) -> Option<KeyForm<Wire>> {
    FORMS.iter().find(|(name, ..)| *name == class).map(|(class, kind, wire)| KeyForm {
        class,
        kind,
        expression: String::new(),
        wire: *wire,
        said: Said::Itself,
        long: matches!(wire, Wire::Ended | Wire::Hex | Wire::Json),
    })
}

/// How a column is said; `None` if it is of a type that is not read.
pub(super) fn typed(column: &ResultColumn) -> Option<Typed<Wire>> {
    let reading = reading_of(column.id, "{}")?;
    let wire = reading.wire;
    let read = match column.id {
        // Types of the leader node alone, which no table has.
        18 | 19 | 705 => format!("CAST({{}} AS {TEXT})"),
        26 => "CAST({} AS BIGINT)".to_owned(),
        _ => reading.expression,
    };
    let text = |digits: u32| format!("CAST({read} AS VARCHAR({digits}))");
    let known = |hash: String| format!("CASE WHEN {{}} IS NOT NULL THEN {hash} END");
    let digest = || known(format!("LEFT(SHA2({read}, 256), 32)"));
    // 0 is -0 then, as SQL has it. A text would not tell neighbours apart, and the same number is another text of another type.
    let float =
        |kind: &str| known(format!("'{kind}' || CAST(FNV_HASH(CAST({{}} AS DOUBLE PRECISION) + 0) AS VARCHAR(20))"));
    let instant = || "TO_CHAR({}, 'YYYY-MM-DD HH24:MI:SS.US BC')".to_owned();
    let (class, hash, key) = match wire {
        Wire::Bool => ("bool", "CASE WHEN {} THEN 't' WHEN NOT {} THEN 'f' END".to_owned(), read.clone()),
        Wire::Int => ("int", text(20), format!("CAST({read} AS BIGINT)")),
        Wire::Float => {
            let kind = if column.id == 700 { "real" } else { "" };
            ("float", float(kind), "CAST({} AS DOUBLE PRECISION)".to_owned())
        }
        Wire::Decimal => ("decimal", text(64), text(64)),
        // Blanks at the end of a text count for nothing in a comparison, but for those that CHAR has there anyway.
        Wire::Text | Wire::Ended => {
            let whole = if column.id == 1042 {
                format!("RPAD(CAST({read} AS {TEXT}), OCTET_LENGTH({read}))")
            } else {
                format!("CAST({read} AS {TEXT})")
            };
            ("text", digest(), format!("{whole} || CHR(1)"))
        }
        Wire::Hex => ("bytes", digest(), read.clone()),
        Wire::Date => ("date", text(32), read.clone()),
        Wire::Time => ("time", text(32), read.clone()),
        Wire::TimeTz => ("timetz", text(32), read.clone()),
        Wire::Naive => ("timestamp", instant(), read.clone()),
        Wire::Instant => ("timestamptz", instant(), read.clone()),
        Wire::Months => ("months", text(32), format!("CAST({read} AS BIGINT)")),
        Wire::Seconds => ("seconds", text(32), format!("CAST({read} AS DECIMAL(20, 6))")),
        Wire::Json => ("json", digest(), read.clone()),
    };
    let length = match wire {
        Wire::Text | Wire::Ended | Wire::Json => Some("OCTET_LENGTH({})".to_owned()),
        Wire::Hex => Some("OCTET_LENGTH({}) / 2".to_owned()),
        _ => None,
    };
    Some(Typed {
        name: column.name.clone(),
        read,
        wire,
        hash,
        length,
        key: KeyForm { expression: key, ..form(class)? },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_that_is_read_is_said() {
        let ids = [16, 18, 19, 20, 21, 23, 25, 26, 700, 701, 705, 1042, 1043, 1082, 1083, 1114, 1184, 1188, 1190, 1266];
        let more = [1700, 2935, 3000, 3001, 4000, 6551];
        let lines = ids.into_iter().chain(more).map(|id| {
            let said = typed(&ResultColumn { name: "c".into(), id });
            let Some(Typed { read, hash, length, key, .. }) = said else { return format!("{id}: not read") };
            let KeyForm { class, kind, expression, .. } = key;
            format!("{id}: {read}\n  hash: {hash}\n  length: {length:?}\n  key{{n}}_{class} {kind}: {expression}")
        });
        insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"));
    }
}
