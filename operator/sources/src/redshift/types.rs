//! Redshift's types: how a column is read, and what its values become.
//!
//! Values arrive as text, in the formats that a session is set to; types are known by the ids that the server tells with a row. What has
//! no text of its own (`SUPER`, `VARBYTE`, geometries) is printed by the server.

use backflow_core::encode::Encoder;

use crate::rest::digits::{decimal, hex, trimmed};
use crate::rest::row::{self, Described, Reading};
use crate::sql::quote;

/// How a value arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// `t` or `f`.
    Bool,
    Int,
    Float,
    Decimal,
    Text,
    /// With a character at its end that is none of it.
    Ended,
    /// Hexadecimal digits.
    Hex,
    Date,
    Time,
    /// With an offset: `12:30:00+01`.
    TimeTz,
    /// Date and time with a blank between.
    Naive,
    /// The same in UTC, with `+00`.
    Instant,
    /// A number of months.
    Months,
    /// A number of seconds.
    Seconds,
    Json,
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub(super) struct ResultColumn {
    pub(super) name: String,
    /// Of its type.
    pub(super) id: u32,
}

impl Described for ResultColumn {
    type Wire = Wire;

    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> String {
        let name = match self.id {
            16 => "boolean",
            18 => "\"char\"",
            19 => "name",
            20 => "bigint",
            21 => "smallint",
            23 => "integer",
            25 => "text",
            26 => "oid",
            700 => "real",
            701 => "double precision",
            705 => "unknown",
            1042 => "char",
            1043 => "varchar",
            1082 => "date",
            1083 => "time",
            1114 => "timestamp",
            1184 => "timestamptz",
            1188 => "interval year to month",
            1190 => "interval day to second",
            1266 => "timetz",
            1700 => "numeric",
            2935 => "hllsketch",
            3000 => "geometry",
            3001 => "geography",
            4000 => "super",
            6551 => "varbyte",
            id => return format!("type {id}"),
        };
        name.to_owned()
    }

    fn reading(&self) -> Option<Reading<Wire>> {
        reading_of(self.id, &format!("_m.{}", quote(&self.name)))
    }
}

/// How a value of a type is read.
pub(super) fn reading_of(id: u32, raw: &str) -> Option<Reading<Wire>> {
    let (expression, wire) = match id {
        16 => (raw.to_owned(), Wire::Bool),
        20 | 21 | 23 | 26 => (raw.to_owned(), Wire::Int),
        700 | 701 => (raw.to_owned(), Wire::Float),
        1700 => (raw.to_owned(), Wire::Decimal),
        18 | 19 | 25 | 705 | 1042 | 1043 => (raw.to_owned(), Wire::Text),
        1082 => (raw.to_owned(), Wire::Date),
        1083 => (raw.to_owned(), Wire::Time),
        1266 => (raw.to_owned(), Wire::TimeTz),
        1114 => (raw.to_owned(), Wire::Naive),
        1184 => (raw.to_owned(), Wire::Instant),
        1188 => (format!("EXTRACT(YEAR FROM {raw}) * 12 + EXTRACT(MONTH FROM {raw})"), Wire::Months),
        1190 => (format!("EXTRACT(EPOCH FROM {raw})"), Wire::Seconds),
        3000 | 3001 => (format!("ST_ASGEOJSON({raw})"), Wire::Json),
        4000 => (format!("JSON_SERIALIZE({raw})"), Wire::Json),
        6551 => (format!("TO_HEX({raw})"), Wire::Hex),
        _ => return None,
    };
    Some(Reading { expression, wire })
}

impl row::Wire for Wire {
    const TEXT: &'static str = "varchar";

    fn encode(self, text: &str, out: Encoder<'_>) -> Option<()> {
        match self {
            Self::Bool => match text {
                "t" => out.bool(true),
                "f" => out.bool(false),
                _ => return None,
            },
            Self::Int => out.int(text.parse().ok()?),
            Self::Float => out.float(text.parse().ok()?),
            Self::Decimal if text == "NaN" => out.decimal(text),
            Self::Decimal => out.decimal(decimal(text)?),
            Self::Text => out.text(text),
            Self::Ended => out.text(text.strip_suffix('\u{1}')?),
            Self::Hex => out.bytes(&hex(text)?),
            Self::Date => out.time(date(text)?),
            Self::Time => out.time(clock(text)?),
            Self::TimeTz => out.time(&with_offset(text)?),
            Self::Naive => {
                let (day, time) = text.split_once(' ')?;
                out.time(&format!("{}T{}", date(day)?, clock(time)?));
            }
            Self::Instant => {
                let (day, time) = text.strip_suffix("+00")?.split_once(' ')?;
                out.time(&format!("{}T{}Z", date(day)?, clock(time)?));
            }
            Self::Months => out.time(&months(text)?),
            Self::Seconds => out.time(&seconds(text)?),
            Self::Json => out.json(text),
        }
        Some(())
    }
}

/// A day of the years that RFC 3339 knows.
fn date(text: &str) -> Option<&str> {
    (text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()).then_some(text)
}

/// A time of day, without the zeros at the end of its fraction.
fn clock(text: &str) -> Option<&str> {
    let text = trimmed(text);
    let fit = text.len() >= 8 && text.bytes().all(|c| c.is_ascii_digit() || matches!(c, b':' | b'.'));
    fit.then_some(text)
}

/// `12:30:00+01` is 12:30:00+01:00.
fn with_offset(text: &str) -> Option<String> {
    let at = text.rfind(['+', '-'])?;
    let (time, offset) = text.split_at(at);
    let fit = offset.len() >= 3 && offset[1..].bytes().all(|c| c.is_ascii_digit() || c == b':');
    let minutes = if offset.contains(':') { "" } else { ":00" };
    fit.then_some(())?;
    Some(format!("{}{offset}{minutes}", clock(time)?))
}

/// Months as ISO 8601 writes them.
fn months(text: &str) -> Option<String> {
    let months: i64 = decimal(text)?.split('.').next()?.parse().ok()?;
    let part = |value: i64, unit: char| if value == 0 { String::new() } else { format!("{value}{unit}") };
    Some(match months {
        0 => "PT0S".to_owned(),
        months => format!("P{}{}", part(months / 12, 'Y'), part(months % 12, 'M')),
    })
}

/// Seconds as ISO 8601 writes them.
fn seconds(text: &str) -> Option<String> {
    Some(format!("PT{}S", trimmed(decimal(text)?)))
}

#[cfg(test)]
#[path = "types_tests.rs"]
mod tests;
