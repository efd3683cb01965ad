//! MySQL's and MariaDB's types: what a column of a result is, how it is read, and what its values become.
//!
//! Values arrive as text. What a column is, is said by a type's number with flags and the character set, of which one means bytes.

use std::borrow::Cow;

use backflow_core::encode::Encoder;

use super::client::Definition;

/// The character set of what is no text.
const BINARY: u16 = 63;

const UNSIGNED: u16 = 1 << 5;
const ENUM: u16 = 1 << 8;
const SET: u16 = 1 << 11;

/// How a value arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    Int,
    /// Beyond 63 bits.
    Unsigned,
    /// Bits, the most significant byte first.
    Bit,
    /// Of 32 bits, read as one of 64.
    Single,
    Double,
    Decimal,
    Text,
    Bytes,
    Date,
    /// Date and time, and what stands behind them in ISO 8601.
    DateTime(&'static str),
    /// May be negative, or beyond a day.
    Time,
    Json,
}

/// A column as it is selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) expression: String,
    pub(super) wire: Wire,
}

/// What became of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoded {
    Value,
    /// A date that is none, such as 0000-00-00: NULL.
    ZeroDate,
}

/// A name in backticks.
pub(super) fn quote(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// The type's name as SQL has it.
pub(super) fn name(column: &Definition) -> String {
    let binary = column.charset == BINARY;
    let characters = if binary { column.length } else { column.length / 4 };
    let fraction = |name: &str| match column.decimals {
        0 | 7.. => name.to_owned(),
        digits => format!("{name}({digits})"),
    };
    let number = |name: &str| if column.flags & UNSIGNED != 0 { format!("{name} unsigned") } else { name.to_owned() };
    match (column.kind, column.format.as_str()) {
        (0xf5, _) | (_, "json") => "json".into(),
        (0xfe | 0xfd, format) if !format.is_empty() => format.into(),
        (0x00 | 0xf6, _) => {
            let signs = u32::from(column.decimals > 0) + u32::from(column.flags & UNSIGNED == 0);
            number(&format!("decimal({},{})", column.length.saturating_sub(signs), column.decimals))
        }
        (0x01, _) => number("tinyint"),
        (0x02, _) => number("smallint"),
        (0x03, _) => number("int"),
        (0x08, _) => number("bigint"),
        (0x09, _) => number("mediumint"),
        (0x04, _) => "float".into(),
        (0x05, _) => "double".into(),
        (0x06, _) => "null".into(),
        (0x07, _) => fraction("timestamp"),
        (0x0a | 0x0e, _) => "date".into(),
        (0x0b, _) => fraction("time"),
        (0x0c, _) => fraction("datetime"),
        (0x0d, _) => "year".into(),
        (0x10, _) => format!("bit({})", column.length),
        (0xff, _) => "geometry".into(),
        (0xf2, _) => "vector".into(),
        _ if column.flags & ENUM != 0 => "enum".into(),
        _ if column.flags & SET != 0 => "set".into(),
        (0xf9..=0xfc, _) => if binary { "blob" } else { "text" }.into(),
        (0x0f | 0xfd, _) => format!("{}({characters})", if binary { "varbinary" } else { "varchar" }),
        (0xfe, _) => format!("{}({characters})", if binary { "binary" } else { "char" }),
        (other, _) => format!("type {other}"),
    }
}

/// How a column is read; `None` if values of its type have no known form.
pub(super) fn reading(column: &Definition) -> Option<Reading> {
    let raw = format!("_m.{}", quote(&column.name));
    let wire = match (column.kind, column.format.as_str()) {
        (0xf5, _) | (_, "json") => Wire::Json,
        // Addresses and UUIDs of MariaDB.
        (0xfe | 0xfd, format) if !format.is_empty() => Wire::Text,
        (0x00 | 0xf6, _) => Wire::Decimal,
        (0x08, _) if column.flags & UNSIGNED != 0 => Wire::Unsigned,
        (0x01 | 0x02 | 0x03 | 0x08 | 0x09 | 0x0d, _) => Wire::Int,
        // As it is, it would be sent with six digits.
        (0x04, _) => return Some(Reading { expression: format!("{raw} + 0e0"), wire: Wire::Single }),
        (0x05, _) => Wire::Double,
        (0x06, _) => Wire::Text,
        (0x07, _) => Wire::DateTime("Z"),
        (0x0a | 0x0e, _) => Wire::Date,
        (0x0b, _) => Wire::Time,
        (0x0c, _) => Wire::DateTime(""),
        (0x10, _) => Wire::Bit,
        (0xff, _) => return Some(Reading { expression: format!("ST_AsText({raw})"), wire: Wire::Text }),
        (0x0f | 0xf7..=0xfe, _) if column.charset == BINARY && column.flags & (ENUM | SET) == 0 => Wire::Bytes,
        (0x0f | 0xf7..=0xfe, _) => Wire::Text,
        _ => return None,
    };
    Some(Reading { expression: raw, wire })
}

/// Encodes one value; `None` if it is not in its type's form.
pub(super) fn encode(wire: Wire, bytes: &[u8], out: Encoder<'_>) -> Option<Encoded> {
    if wire == Wire::Bytes {
        out.bytes(bytes);
        return Some(Encoded::Value);
    }
    if wire == Wire::Bit {
        let number =
            (bytes.len() <= 8).then(|| bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)))?;
        unsigned(number, out);
        return Some(Encoded::Value);
    }
    let text = std::str::from_utf8(bytes).ok()?;
    match wire {
        Wire::Int => out.int(text.parse().ok()?),
        Wire::Unsigned => unsigned(text.parse().ok()?, out),
        Wire::Single => out.float(single(text.parse().ok()?)?),
        Wire::Double => out.float(text.parse().ok()?),
        Wire::Decimal => out.decimal(decimal(text)?),
        Wire::Text => out.text(text),
        Wire::Json => {
            // In MariaDB it is a text, which a constraint keeps to be a document.
            serde_json::from_str::<&serde_json::value::RawValue>(text).ok()?;
            out.json(text.trim());
        }
        Wire::Time => out.time(&trimmed(text)),
        Wire::Date if zero(text) => return zero_date(out),
        Wire::Date => out.time(text.len().eq(&10).then_some(text)?),
        Wire::DateTime(_) if zero(text.get(..10)?) => return zero_date(out),
        Wire::DateTime(zone) => {
            let (date, time) = text.split_once(' ')?;
            out.time(&format!("{date}T{}{zone}", trimmed(time)));
        }
        Wire::Bytes | Wire::Bit => return None,
    }
    Some(Encoded::Value)
}

fn unsigned(number: u64, out: Encoder<'_>) {
    match i64::try_from(number) {
        Ok(number) => out.int(number),
        Err(_) => out.decimal(&number.to_string()),
    }
}

/// The shortest number that means the same in 32 bits.
fn single(number: f64) -> Option<f64> {
    #[allow(clippy::cast_possible_truncation, reason = "it was one of 32 bits")]
    let number = number as f32;
    number.to_string().parse().ok()
}

fn decimal(text: &str) -> Option<&str> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    (all(whole) && all(fraction)).then_some(text)
}

/// Without the zeros at the end of a fraction.
fn trimmed(text: &str) -> Cow<'_, str> {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').into() } else { text.into() }
}

/// A date without a month or a day, which is on no calendar.
fn zero(date: &str) -> bool {
    date.get(5..7) == Some("00") || date.get(8..10) == Some("00")
}

fn zero_date(out: Encoder<'_>) -> Option<Encoded> {
    out.null();
    Some(Encoded::ZeroDate)
}

#[cfg(test)]
#[path = "types_tests.rs"]
mod tests;
