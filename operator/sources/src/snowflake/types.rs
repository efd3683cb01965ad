//! Snowflake's types: how a column is read, and what its values become.
//!
//! The API sends every value as a string in a form of its type's own (per "Handling responses" of its guide): days, seconds with a
//! fraction, hexadecimal digits. Documents and geographies are printed by the server as JSON.

use backflow_core::encode::Encoder;
use jiff::civil::Date;
use jiff::{Span, Timestamp};

use super::answer::RowType;
use crate::rest::digits::{decimal, hex, plain};
use crate::rest::row::{self, Described, Reading};
use crate::sql::quote;

/// How a value arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// `true` or `false`.
    Bool,
    /// Digits, with a point if there is a scale.
    Number,
    /// Digits with an exponent, `NaN`, `inf`.
    Float,
    /// Up to 38 digits, with an exponent if they are not enough.
    DecFloat,
    /// Itself.
    Text,
    /// Hexadecimal digits.
    Hex,
    /// Days since 1970.
    Date,
    /// Seconds since midnight.
    Time,
    /// Seconds since 1970, of no zone.
    Naive,
    /// Seconds since 1970.
    Instant,
    /// Seconds since 1970, then the zone's minutes and 1440.
    Zoned,
    /// JSON.
    Json,
}

impl Described for RowType {
    type Wire = Wire;

    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> String {
        let kind = extended(self).to_ascii_lowercase();
        match (kind.as_str(), self.precision, self.scale) {
            ("fixed", Some(precision), scale) => format!("number({precision},{})", scale.unwrap_or_default()),
            ("fixed", None, _) => "number".to_owned(),
            ("real", ..) => "float".to_owned(),
            _ => kind,
        }
    }

    fn reading(&self) -> Option<Reading<Wire>> {
        self.reading_of(&format!("_m.{}", quote(&self.name)))
    }
}

impl RowType {
    /// How a column of this type is read, where `raw` is the column.
    pub(super) fn reading_of(&self, raw: &str) -> Option<Reading<Wire>> {
        let plain = |wire| Some(Reading { expression: raw.to_owned(), wire });
        let json = |expression: String| Some(Reading { expression, wire: Wire::Json });
        match extended(self).to_ascii_uppercase().as_str() {
            "BOOLEAN" => plain(Wire::Bool),
            "FIXED" | "NUMBER" => plain(Wire::Number),
            "REAL" | "FLOAT" | "DOUBLE" => plain(Wire::Float),
            "DECFLOAT" => plain(Wire::DecFloat),
            "TEXT" | "VARCHAR" | "STRING" | "CHAR" | "UUID" => plain(Wire::Text),
            "BINARY" | "VARBINARY" => plain(Wire::Hex),
            "DATE" => plain(Wire::Date),
            "TIME" => plain(Wire::Time),
            "TIMESTAMP_NTZ" => plain(Wire::Naive),
            "TIMESTAMP_LTZ" => plain(Wire::Instant),
            "TIMESTAMP_TZ" => plain(Wire::Zoned),
            // Printed, an array's gaps are null and not `undefined`.
            "VARIANT" => json(format!("TO_JSON({raw})")),
            "OBJECT" | "ARRAY" | "MAP" => json(format!("TO_JSON({raw}::VARIANT)")),
            "VECTOR" => json(format!("TO_JSON({raw}::ARRAY)")),
            "GEOGRAPHY" | "GEOMETRY" => json(format!("TO_JSON(ST_ASGEOJSON({raw}))")),
            _ => None,
        }
    }
}

fn extended(column: &RowType) -> &str {
    column.ext_type_name.as_deref().filter(|name| !name.is_empty()).unwrap_or(&column.kind)
}

impl row::Wire for Wire {
    const TEXT: &'static str = "text";

    fn encode(self, text: &str, out: Encoder<'_>) -> Option<()> {
        match self {
            Self::Bool => out.bool(text.parse().ok()?),
            // Every whole number is NUMBER(38,0) in Snowflake, so that the value itself says whether it fits 64 bits.
            Self::Number => match text.parse() {
                Ok(number) if !text.starts_with('+') => out.int(number),
                _ => out.decimal(decimal(text)?),
            },
            Self::Float => out.float(text.parse().ok()?),
            Self::DecFloat => out.decimal(&plain(text)?),
            Self::Text => out.text(text),
            Self::Hex => out.bytes(&hex(text)?),
            Self::Date => out.time(&date(text)?),
            Self::Time => out.time(&time(text)?),
            Self::Naive => out.time(moment(text)?.strip_suffix('Z')?),
            Self::Instant => out.time(&moment(text)?),
            Self::Zoned => {
                let (seconds, offset) = text.split_once(' ')?;
                let offset: u32 = offset.parse().ok()?;
                (offset <= 2880).then_some(())?;
                out.time(&moment(seconds)?);
            }
            Self::Json => out.json(text),
        }
        Some(())
    }
}

fn date(text: &str) -> Option<String> {
    let days: i64 = text.parse().ok()?;
    let date = Date::constant(1970, 1, 1).checked_add(Span::new().try_days(days).ok()?).ok()?;
    Some(date.to_string())
}

/// Whole seconds, rounded down, and nanoseconds.
fn seconds(text: &str) -> Option<(i64, i32)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = fraction.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let nanos = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    let nanos = nanos.fold(0, |nanos, digit| nanos * 10 + i32::from(digit - b'0'));
    let seconds: i64 = whole.parse().ok()?;
    match whole.starts_with('-') && nanos > 0 {
        true => Some((seconds - 1, 1_000_000_000 - nanos)),
        false => Some((seconds, nanos)),
    }
}

fn time(text: &str) -> Option<String> {
    let (seconds, nanos) = seconds(text)?;
    (0..86_400).contains(&seconds).then(|| {
        let mut out = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
        if nanos > 0 {
            out.push_str(format!(".{nanos:09}").trim_end_matches('0'));
        }
        out
    })
}

/// Date and time of a moment, in UTC.
fn moment(text: &str) -> Option<String> {
    let (seconds, nanos) = seconds(text)?;
    // Not one negative and the other not: jiff's own parts have one sign.
    let timestamp = match seconds < 0 && nanos > 0 {
        true => Timestamp::new(seconds + 1, nanos - 1_000_000_000),
        false => Timestamp::new(seconds, nanos),
    };
    Some(timestamp.ok()?.to_string())
}

#[cfg(test)]
#[path = "types_tests.rs"]
mod tests;
