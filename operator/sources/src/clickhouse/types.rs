//! ClickHouse's types: how a column is read, and what its values become.
//!
//! A type is written with what it is wrapped in: `LowCardinality(Nullable(String))`.

use std::borrow::Cow;

use backflow_core::cell::plain;
use backflow_core::encode::Encoder;

use super::api::Meta;
use crate::rest::row::{self, Described, Reading};

/// The longest name of a type that is shown whole.
const LONGEST: usize = 64;

/// How a value arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    Bool,
    /// Up to 64 bits with sign.
    Int,
    /// What may be beyond: `UInt64`, `Int256`.
    Big,
    Float,
    Decimal,
    Text,
    /// ISO 8601, perhaps with a fraction.
    Time,
    /// A number of units, with what stands around it in ISO 8601: `P…M`.
    Interval(Unit),
    Json,
}

/// A unit of an interval: how many of the ISO unit it is, where it stands, and the ISO unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    times: i64,
    /// Digits of a second's fraction.
    digits: u32,
    before: &'static str,
    after: char,
}

/// A name in backticks.
pub(super) fn quote(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

/// A text as a string of SQL.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// The type itself, without what it is wrapped in.
fn bare(kind: &str) -> &str {
    let within = |outer: &str| kind.strip_prefix(outer)?.strip_prefix('(')?.strip_suffix(')');
    if let Some(inner) = within("Nullable").or_else(|| within("LowCardinality")) {
        return bare(inner.trim());
    }
    // Its state is a value of the type that its function returns.
    let Some(inner) = within("SimpleAggregateFunction") else { return kind };
    let mut depth = 0_usize;
    let comma = inner.char_indices().find(|(_, c)| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        *c == ',' && depth == 0
    });
    comma.map_or(kind, |(at, _)| bare(inner[at + 1..].trim()))
}

/// The word before the parentheses.
fn word(kind: &str) -> &str {
    kind.split('(').next().unwrap_or_default()
}

impl Described for Meta {
    type Wire = Wire;

    fn name(&self) -> &str {
        &self.name
    }

    /// As SQL has it; a long one, which lists values or members, without them.
    fn kind(&self) -> String {
        let word = word(bare(&self.kind));
        let short = self.kind.len() > LONGEST || word.starts_with("Enum");
        if short { word.to_owned() } else { self.kind.clone() }
    }

    fn reading(&self) -> Option<Reading<Wire>> {
        let raw = format!("_m.{}", quote(&self.name));
        let wire = match word(bare(&self.kind)) {
            "Bool" => Wire::Bool,
            "Int8" | "Int16" | "Int32" | "Int64" | "UInt8" | "UInt16" | "UInt32" => Wire::Int,
            "UInt64" | "Int128" | "UInt128" | "Int256" | "UInt256" => Wire::Big,
            "Float32" | "Float64" | "BFloat16" => Wire::Float,
            "Decimal" | "Decimal32" | "Decimal64" | "Decimal128" | "Decimal256" => Wire::Decimal,
            "String" | "FixedString" | "UUID" | "Enum" | "Enum8" | "Enum16" | "IPv4" | "IPv6" | "Nothing" => Wire::Text,
            "Date" | "Date32" | "DateTime" | "DateTime64" | "Time" | "Time64" => Wire::Time,
            "Array" | "Tuple" | "Map" | "Nested" | "JSON" | "Object" | "Variant" | "Dynamic" => Wire::Json,
            "Point" | "Ring" | "LineString" | "MultiLineString" | "Polygon" | "MultiPolygon" => {
                return Some(Reading { expression: format!("wkt({raw})"), wire: Wire::Text });
            }
            other => Wire::Interval(unit(other.strip_prefix("Interval")?)?),
        };
        Some(Reading { expression: raw, wire })
    }

    fn cure(&self) -> String {
        "finalize it, or cast it to String,".into()
    }
}

fn unit(name: &str) -> Option<Unit> {
    let (times, digits, before, after) = match name {
        "Nanosecond" => (1, 9, "PT", 'S'),
        "Microsecond" => (1, 6, "PT", 'S'),
        "Millisecond" => (1, 3, "PT", 'S'),
        "Second" => (1, 0, "PT", 'S'),
        "Minute" => (1, 0, "PT", 'M'),
        "Hour" => (1, 0, "PT", 'H'),
        "Day" => (1, 0, "P", 'D'),
        "Week" => (7, 0, "P", 'D'),
        "Month" => (1, 0, "P", 'M'),
        "Quarter" => (3, 0, "P", 'M'),
        "Year" => (1, 0, "P", 'Y'),
        _ => return None,
    };
    Some(Unit { times, digits, before, after })
}

impl row::Wire for Wire {
    const TEXT: &'static str = "String";

    /// As JSON has it.
    fn encode(self, json: &str, out: Encoder<'_>) -> Option<()> {
        // Numbers stand in quotes where JSON's readers could lose digits of them.
        let digits = json.trim_matches('"');
        match self {
            Self::Bool => out.bool(json.parse().ok()?),
            Self::Int => out.int(digits.parse().ok()?),
            Self::Big => match digits.parse() {
                Ok(number) => out.int(number),
                Err(_) => out.decimal(whole(digits)?),
            },
            Self::Float => out.float(digits.parse().ok()?),
            Self::Decimal => out.decimal(decimal(digits)?),
            Self::Text => out.text(&text(json)?),
            Self::Time => out.time(&trimmed(&text(json)?)),
            Self::Interval(unit) => out.time(&interval(unit, digits.parse().ok()?)?),
            Self::Json => out.json(json),
        }
        Some(())
    }
}

fn text(json: &str) -> Option<Cow<'_, str>> {
    // Nearly all have nothing to unescape.
    let inner = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match inner.filter(|inner| plain(inner.as_bytes()) == inner.len()) {
        Some(inner) => Some(Cow::Borrowed(inner)),
        None => serde_json::from_str(json).ok(),
    }
}

fn whole(text: &str) -> Option<&str> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

fn decimal(text: &str) -> Option<&str> {
    let (before, after) = text.split_once('.').unwrap_or((text, "0"));
    (whole(before).is_some() && whole(after).is_some() && !after.starts_with('-')).then_some(text)
}

/// Without the zeros at the end of a fraction.
fn trimmed(text: &str) -> Cow<'_, str> {
    let (rest, zone) = text.strip_suffix('Z').map_or((text, ""), |rest| (rest, "Z"));
    if !rest.contains('.') {
        return text.into();
    }
    format!("{}{zone}", rest.trim_end_matches('0').trim_end_matches('.')).into()
}

/// `PT0.5S`, `P-3M`.
fn interval(unit: Unit, count: i64) -> Option<String> {
    let count = count.checked_mul(unit.times)?;
    let whole = 10_i64.checked_pow(unit.digits)?;
    let sign = if count < 0 { "-" } else { "" };
    let (seconds, fraction) =
        (count.unsigned_abs() / whole.unsigned_abs(), count.unsigned_abs() % whole.unsigned_abs());
    let fraction = format!(".{fraction:0digits$}", digits = unit.digits as usize);
    let fraction = if unit.digits == 0 { "" } else { fraction.trim_end_matches('0').trim_end_matches('.') };
    Some(format!("{}{sign}{seconds}{fraction}{}", unit.before, unit.after))
}

#[cfg(test)]
#[path = "types_tests.rs"]
mod tests;
