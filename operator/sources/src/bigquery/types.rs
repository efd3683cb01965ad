//! BigQuery's types: how a column is read, and what its values become.
//!
//! Values arrive as strings. What is nested, and documents, are printed by the server as JSON.

use backflow_core::encode::Encoder;
use jiff::Timestamp;
use serde::Deserialize;

use crate::rest::digits::{decimal, trimmed};
use crate::rest::row::{self, Described, Reading};

/// A column, as a schema names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Field {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// `NULLABLE`, `REQUIRED` or `REPEATED`.
    pub(super) mode: Option<String>,
}

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
    /// ISO 8601 already.
    Date,
    /// With a fraction.
    Clock,
    /// Microseconds since 1970.
    Instant,
    /// `Y-M D H:M:S`.
    Interval,
    Json,
}

/// A name in backticks. The characters that would have to be escaped are in no name of a column.
pub(crate) fn quote(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

impl Field {
    fn repeated(&self) -> bool {
        self.mode.as_deref() == Some("REPEATED")
    }

    /// A single GEOGRAPHY.
    pub(super) fn is_place(&self) -> bool {
        self.kind == "GEOGRAPHY" && !self.repeated()
    }

    /// A single RANGE.
    pub(super) fn is_range(&self) -> bool {
        self.kind == "RANGE" && !self.repeated()
    }
}

impl Described for Field {
    type Wire = Wire;

    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> String {
        let kind = match self.kind.as_str() {
            "INTEGER" => "int64",
            "FLOAT" => "float64",
            "BOOLEAN" => "bool",
            "RECORD" => "struct",
            other => &other.to_ascii_lowercase(),
        };
        if self.repeated() { format!("array<{kind}>") } else { kind.to_owned() }
    }

    fn reading(&self) -> Option<Reading<Wire>> {
        self.reading_of(&format!("_m.{}", quote(&self.name)))
    }
}

impl Field {
    /// How it is read where SQL calls it `raw`.
    pub(super) fn reading_of(&self, raw: &str) -> Option<Reading<Wire>> {
        let json = |expression| Some(Reading { expression, wire: Wire::Json });
        if self.repeated() {
            return json(format!("TO_JSON_STRING({raw})"));
        }
        let wire = match self.kind.as_str() {
            "BOOL" | "BOOLEAN" => Wire::Bool,
            "INT64" | "INTEGER" => Wire::Int,
            "FLOAT64" | "FLOAT" => Wire::Float,
            "NUMERIC" | "BIGNUMERIC" => Wire::Decimal,
            "STRING" => Wire::Text,
            "BYTES" => Wire::Bytes,
            "DATE" => Wire::Date,
            "TIME" | "DATETIME" => Wire::Clock,
            "TIMESTAMP" => Wire::Instant,
            "INTERVAL" => Wire::Interval,
            // Printed, an absent document is the text `null`.
            "STRUCT" | "RECORD" | "JSON" => return json(format!("IF({raw} IS NULL, NULL, TO_JSON_STRING({raw}))")),
            "GEOGRAPHY" => return json(format!("ST_ASGEOJSON({raw})")),
            "RANGE" => {
                let parts = format!("STRUCT(RANGE_START({raw}) AS `start`, RANGE_END({raw}) AS `end`)");
                return json(format!("IF({raw} IS NULL, NULL, TO_JSON_STRING({parts}))"));
            }
            _ => return None,
        };
        Some(Reading { expression: raw.to_owned(), wire })
    }
}

impl row::Wire for Wire {
    const TEXT: &'static str = "STRING";

    fn encode(self, text: &str, out: Encoder<'_>) -> Option<()> {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD;
        match self {
            Self::Bool => out.bool(text.parse().ok()?),
            Self::Int => out.int(text.parse().ok()?),
            Self::Float => out.float(text.parse().ok()?),
            Self::Decimal => out.decimal(decimal(text)?),
            Self::Text => out.text(text),
            Self::Bytes => out.bytes(&STANDARD.decode(text).ok()?),
            Self::Date => out.time(text),
            Self::Clock => out.time(trimmed(text)),
            Self::Instant => out.time(&Timestamp::from_microsecond(text.parse().ok()?).ok()?.to_string()),
            Self::Interval => out.time(&interval(text)?),
            Self::Json => out.json(text),
        }
        Some(())
    }
}

/// `1-2 3 4:5:6.7` is P1Y2M3DT4H5M6.7S. Each of the three parts has a sign of its own.
fn interval(text: &str) -> Option<String> {
    let mut parts = text.split(' ');
    let (months, days, clock) = (parts.next()?, parts.next()?, parts.next()?);
    let signed = |text: &'_ str| match text.strip_prefix('-') {
        Some(rest) => ("-", rest.to_owned()),
        None => ("", text.to_owned()),
    };
    let (sign, months) = signed(months);
    let (years, months) = months.split_once('-')?;
    let mut out = String::from("P");
    let mut push = |sign: &str, number: &str, unit: char| -> Option<()> {
        let plain = decimal(number)?;
        if plain.bytes().any(|byte| !matches!(byte, b'0' | b'.')) {
            out.push_str(sign);
            out.push_str(trimmed(plain));
            out.push(unit);
        }
        Some(())
    };
    push(sign, years, 'Y')?;
    push(sign, months, 'M')?;
    let (sign, days) = signed(days);
    push(sign, &days, 'D')?;
    let (sign, clock) = signed(clock);
    let mut clock = clock.split(':');
    let mut time = String::new();
    for unit in ['H', 'M', 'S'] {
        let number = decimal(clock.next()?)?;
        if number.bytes().any(|byte| !matches!(byte, b'0' | b'.')) {
            time.push_str(sign);
            time.push_str(trimmed(number));
            time.push(unit);
        }
    }
    if !time.is_empty() {
        out.push('T');
        out.push_str(&time);
    }
    Some(if out == "P" { "PT0S".into() } else { out })
}

#[cfg(test)]
#[path = "types_tests.rs"]
mod tests;
