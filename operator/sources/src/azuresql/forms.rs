//! How columns of a model are said to the pushdown engine, and how its own columns arrive.

use backflow_core::cell::Cell;

use super::types::{Column, Kind};
use super::values::{Wire, reading_of, wire};
use crate::diff::pushdown::dialects::tsql::{TransactSql, size};
use crate::diff::pushdown::typed::{KeyForm, Said, Typed};

/// What a value is beside what its column's type makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrives {
    /// Itself.
    AsItIs,
    /// A text with a mark behind it.
    Marked,
    /// Bytes as text: `0x` and hexadecimal digits.
    Hexadecimal,
}

impl Arrives {
    /// The cell that is meant; `None` if it is none of this form.
    pub(super) fn cell(self, cell: Cell) -> Option<Cell> {
        Some(match (self, cell) {
            (_, Cell::Null) => Cell::Null,
            (Self::AsItIs, cell) => cell,
            (Self::Marked, Cell::Text(text)) => Cell::Text(text.strip_suffix(MARK)?.into()),
            (Self::Hexadecimal, Cell::Text(text)) => Cell::Bytes(bytes(text.strip_prefix("0x")?)?.into()),
            _ => return None,
        })
    }
}

/// What stands behind a key's text, so that blanks at its end count: it comes before any other in their order.
const MARK: char = '\u{1}';

fn bytes(digits: &str) -> Option<Vec<u8>> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let byte = |pair: &[u8]| {
        let [high, low] = pair else { return None };
        u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()
    };
    digits.as_bytes().chunks(2).map(byte).collect()
}

/// Forms of key columns: class, SQL type, what its text stands for, how it arrives. Bytes are compared as text, because SQL takes two that
/// differ in zeros at the end for equal.
const FORMS: &[(&str, &str, Said, Arrives)] = &[
    ("bool", "bit", Said::Itself, Arrives::AsItIs),
    ("int", "bigint", Said::Itself, Arrives::AsItIs),
    ("float", "float", Said::Itself, Arrives::AsItIs),
    ("real", "real", Said::Itself, Arrives::AsItIs),
    ("decimal", "nvarchar(60)", Said::Decimal, Arrives::AsItIs),
    ("string", "nvarchar(max)", Said::Itself, Arrives::Marked),
    ("uuid", "uniqueidentifier", Said::Itself, Arrives::AsItIs),
    ("bytes", "nvarchar(max)", Said::Itself, Arrives::Hexadecimal),
    ("date", "date", Said::Itself, Arrives::AsItIs),
    ("time", "time(7)", Said::Itself, Arrives::AsItIs),
    ("timestamp", "datetime2(7)", Said::Itself, Arrives::AsItIs),
    ("timestamptz", "datetimeoffset(7)", Said::Itself, Arrives::AsItIs),
];

/// The form of this class, without an expression.
pub(super) fn form(class: &str) -> Option<KeyForm<Arrives>> {
    FORMS.iter().find(|(name, ..)| *name == class).map(|(class, kind, said, arrives)| KeyForm {
        class,
        kind,
        expression: String::new(),
        wire: *arrives,
        said: *said,
        long: kind.starts_with("nvarchar"),
    })
}

/// How a column is said; `None` if values of its type are not read.
pub(super) fn typed(column: &Column) -> Option<Typed<Arrives>> {
    let read = reading_of("{}", &column.kind)?;
    let cast = |to: &str| format!("CAST({read} AS {to})");
    // With all that a time has, in an order that no language changes.
    let exact = |value: &str| format!("CONVERT(nvarchar(40), {value}, 121)");
    let read_as = wire(&column.kind).unwrap_or(match column.kind {
        Kind::Old(0x22) => Wire::Bytes,
        _ => Wire::Units,
    });
    let (hash, class, key) = match read_as {
        Wire::Bit => (cast("nvarchar(1)"), "bool", read.clone()),
        Wire::Tiny | Wire::Int => (cast("nvarchar(20)"), "int", cast("bigint")),
        // 0 is -0 then, as SQL has it.
        Wire::Single => {
            let zero = format!("{read} + CAST(0 AS real)");
            (format!("CONVERT(nvarchar(40), {zero}, 3)"), "real", zero)
        }
        Wire::Double => (format!("CONVERT(nvarchar(40), {read} + 0e0, 3)"), "float", format!("{read} + 0e0")),
        Wire::Decimal(_) => (cast("nvarchar(60)"), "decimal", cast("nvarchar(60)")),
        Wire::Money => {
            let text = format!("CONVERT(nvarchar(60), {read}, 2)");
            (text.clone(), "decimal", text)
        }
        Wire::Text | Wire::Units => {
            let text = cast("nvarchar(max)");
            (text.clone(), "string", format!("{} + NCHAR({})", collated(&text), u32::from(MARK)))
        }
        Wire::Bytes => {
            let text = format!("CONVERT(nvarchar(max), {}, 1)", cast("varbinary(max)"));
            (text.clone(), "bytes", text)
        }
        Wire::Guid => (cast("nvarchar(36)"), "uuid", read.clone()),
        Wire::Date => (exact(&read), "date", read.clone()),
        Wire::Time(_) => (exact(&read), "time", cast("time(7)")),
        Wire::DateTime2(_) | Wire::SmallDateTime => (exact(&read), "timestamp", cast("datetime2(7)")),
        // Three hundred of a second are thousandths to everybody else.
        Wire::DateTime => (exact(&read), "timestamp", format!("CAST({} AS datetime2(7))", cast("datetime2(3)"))),
        Wire::Offset(_) => {
            let utc = format!("SWITCHOFFSET({read}, '+00:00')");
            (exact(&utc), "timestamptz", format!("CAST({utc} AS datetimeoffset(7))"))
        }
    };
    let key = if matches!(class, "decimal" | "bytes") { collated(&key) } else { key };
    let length = match column.kind {
        Kind::Long { code: 0xe7 | 0xef, .. } => Some(size("{}")),
        Kind::Long { .. } | Kind::Old(_) | Kind::Xml | Kind::Clr(_) => Some("DATALENGTH({})".to_owned()),
        _ => None,
    };
    let key = KeyForm { expression: key, ..form(class)? };
    Some(Typed { name: column.name.clone(), read, wire: Arrives::AsItIs, hash, length, key })
}

/// A text that is compared by its code units.
fn collated(text: &str) -> String {
    TransactSql.collated(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_arrives_is_what_was_meant() {
        let text = |text: &str| Cell::Text(text.into());
        assert_eq!(Arrives::Marked.cell(text("a \u{1}")), Some(text("a ")));
        assert_eq!(Arrives::Marked.cell(text("a ")), None);
        assert_eq!(Arrives::Hexadecimal.cell(text("0x00fF")), Some(Cell::Bytes(vec![0, 255].into())));
        assert_eq!(Arrives::Hexadecimal.cell(text("0x")), Some(Cell::Bytes(Vec::new().into())));
        for wrong in ["0", "0x0", "0xg0"] {
            assert_eq!(Arrives::Hexadecimal.cell(text(wrong)), None, "{wrong}");
        }
        assert_eq!(Arrives::Marked.cell(Cell::Null), Some(Cell::Null));
    }
}
