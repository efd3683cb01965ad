//! Databricks' types: how a column is read, and what its values become.
//!
//! The API sends every value as a string. Instants would come in milliseconds, so that they are read as numbers of microseconds; what is
//! nested, and documents, are printed by the server as JSON, with all digits of their instants and with the fields that are NULL.

use backflow_core::encode::Encoder;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use super::answer::ColumnInfo;
use crate::rest::digits::{decimal, plain, trimmed};
use crate::rest::row::{self, Described, Reading};

/// How nested values are printed: the defaults leave NULL fields out and cut instants to milliseconds, in a zone of the session's.
const PRINTED: &str = "map('ignoreNullFields', 'false', 'timeZone', 'UTC', \
                       'timestampFormat', 'yyyy-MM-dd\\'T\\'HH:mm:ss.SSSSSSXXX', \
                       'timestampNTZFormat', 'yyyy-MM-dd\\'T\\'HH:mm:ss.SSSSSS')";

/// How a value arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Bool,
    Int,
    Float,
    Decimal,
    Text,
    /// Base64.
    Bytes,
    Date,
    /// Microseconds since 1970.
    Instant,
    /// Date and time with a blank between.
    Naive,
    /// `INTERVAL '1-2' YEAR TO MONTH`.
    Interval,
    Json,
    /// Hexadecimal digits of bytes.
    Hex,
}

/// A name in backticks.
pub(super) fn quote(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

impl ColumnInfo {
    /// The type in capital letters, without digits, members, collation: `DECIMAL(10,2)`, `ARRAY<INT>`, `STRING COLLATE UTF8_LCASE`.
    pub(super) fn plain(&self) -> String {
        self.type_text.split(['(', '<', ' ']).next().unwrap_or_default().to_ascii_uppercase()
    }

    /// How what `raw` stands for is read.
    pub(super) fn reading_of(&self, raw: &str) -> Option<Reading<Wire>> {
        let own = || raw.to_owned();
        let (expression, wire) = match self.plain().as_str() {
            "BOOLEAN" => (own(), Wire::Bool),
            "TINYINT" | "SMALLINT" | "INT" | "INTEGER" | "BIGINT" | "BYTE" | "SHORT" | "LONG" => (own(), Wire::Int),
            "FLOAT" | "DOUBLE" | "REAL" => (own(), Wire::Float),
            "DECIMAL" | "DEC" | "NUMERIC" => (own(), Wire::Decimal),
            "STRING" | "CHAR" | "VARCHAR" | "VOID" => (own(), Wire::Text),
            "BINARY" => (format!("base64({raw})"), Wire::Bytes),
            "DATE" => (own(), Wire::Date),
            "TIMESTAMP" | "TIMESTAMP_LTZ" => (format!("unix_micros({raw})"), Wire::Instant),
            "TIMESTAMP_NTZ" => (format!("CAST({raw} AS STRING)"), Wire::Naive),
            "INTERVAL" => (format!("CAST({raw} AS STRING)"), Wire::Interval),
            "ARRAY" | "MAP" | "STRUCT" => (format!("to_json({raw}, {PRINTED})"), Wire::Json),
            "VARIANT" => (format!("to_json({raw})"), Wire::Json),
            "GEOGRAPHY" | "GEOMETRY" => (format!("st_asgeojson({raw})"), Wire::Json),
            _ => return None,
        };
        Some(Reading { expression, wire })
    }
}

impl Described for ColumnInfo {
    type Wire = Wire;

    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> String {
        self.type_text.to_ascii_lowercase()
    }

    fn reading(&self) -> Option<Reading<Wire>> {
        self.reading_of(&format!("_m.{}", quote(&self.name)))
    }
}

impl row::Wire for Wire {
    const TEXT: &'static str = "STRING";

    fn encode(self, text: &str, out: Encoder<'_>) -> Option<()> {
        match self {
            Self::Bool => out.bool(text.parse().ok()?),
            Self::Int => out.int(text.parse().ok()?),
            Self::Float => out.float(text.parse().ok()?),
            Self::Decimal => out.decimal(&plain(text)?),
            Self::Text => out.text(text),
            Self::Bytes => out.bytes(&STANDARD.decode(text.replace(['\r', '\n'], "")).ok()?),
            Self::Date => out.time(date(text)?),
            Self::Instant => out.time(&Timestamp::from_microsecond(text.parse().ok()?).ok()?.to_string()),
            Self::Naive => {
                let (day, clock) = text.split_once(' ')?;
                out.time(&format!("{}T{}", date(day)?, trimmed(clock)));
            }
            Self::Interval => out.time(&interval(text)?),
            Self::Json => out.json(text),
            Self::Hex => {
                let digits = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
                let bytes: Option<Vec<u8>> = digits.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect();
                out.bytes(&bytes?);
            }
        }
        Some(())
    }
}

/// A day of the years that RFC 3339 knows.
fn date(text: &str) -> Option<&str> {
    text.parse::<jiff::civil::Date>().ok().filter(|date| date.year() >= 0 && text.len() == 10).map(|_| text)
}

/// `INTERVAL '1-2' YEAR TO MONTH` is P1Y2M, `INTERVAL '3 04:05:06.7' DAY TO SECOND` is P3DT4H5M6.7S. One sign holds for all.
fn interval(text: &str) -> Option<String> {
    let (value, unit) = text.strip_prefix("INTERVAL '")?.split_once("' ")?;
    let (sign, value) = match value.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", value),
    };
    let all = ["YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND"];
    let (first, last) = unit.split_once(" TO ").unwrap_or((unit, unit));
    let at = |unit: &str| all.iter().position(|known| *known == unit);
    let (first, last) = (at(first)?, at(last)?);
    let numbers: Vec<&str> = value.split(['-', ' ', ':']).collect();
    if first > last || numbers.len() != last - first + 1 {
        return None;
    }
    let mut out = String::from("P");
    for (number, at) in numbers.iter().zip(first..) {
        let number = decimal(number).filter(|number| !number.starts_with('-'))?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        if whole.is_empty() && fraction.is_empty() {
            continue;
        }
        if at >= 3 && !out.contains('T') {
            out.push('T');
        }
        out.push_str(sign);
        out.push_str(if whole.is_empty() { "0" } else { whole });
        if !fraction.is_empty() {
            out.push('.');
            out.push_str(fraction);
        }
        out.push(['Y', 'M', 'D', 'H', 'M', 'S'][at]);
    }
    Some(if out == "P" { "PT0S".into() } else { out })
}

#[cfg(test)]
#[path = "types_tests.rs"]
mod tests;
