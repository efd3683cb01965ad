//! How T-SQL's values are read: what a column is selected by, in what form it arrives, and what it becomes.

use std::fmt::Write as _;

use backflow_core::code::{Code, Failure};
use backflow_core::encode::Encoder;

use super::types::{Column, Kind, name, quote};
use super::wire::{number, utf16};

/// How a value arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    Bit,
    Tiny,
    Int,
    Single,
    Double,
    Decimal(u8),
    Money,
    /// Text in UTF-8.
    Text,
    /// Text in UTF-16.
    Units,
    Bytes,
    Guid,
    Date,
    Time(u8),
    DateTime2(u8),
    Offset(u8),
    DateTime,
    SmallDateTime,
}

/// How values arrive; `None` for what is not read as it is.
pub(super) fn wire(kind: &Kind) -> Option<Wire> {
    Some(match kind {
        Kind::Fixed { code: 0x1f, .. } => Wire::Text,
        Kind::Fixed { code: 0x30, .. } | Kind::Sized { code: 0x26, bytes: 1, .. } => Wire::Tiny,
        Kind::Fixed { code: 0x34 | 0x38 | 0x7f, .. } | Kind::Sized { code: 0x26, .. } => Wire::Int,
        Kind::Fixed { code: 0x32, .. } | Kind::Sized { code: 0x68, .. } => Wire::Bit,
        Kind::Fixed { code: 0x3b, .. } | Kind::Sized { code: 0x6d, bytes: 4, .. } => Wire::Single,
        Kind::Fixed { code: 0x3e, .. } | Kind::Sized { code: 0x6d, .. } => Wire::Double,
        Kind::Fixed { code: 0x3c | 0x7a, .. } | Kind::Sized { code: 0x6e, .. } => Wire::Money,
        Kind::Fixed { code: 0x3a, .. } | Kind::Sized { code: 0x6f, bytes: 4, .. } => Wire::SmallDateTime,
        Kind::Fixed { .. } | Kind::Sized { code: 0x6f, .. } => Wire::DateTime,
        Kind::Sized { code: 0x24, .. } => Wire::Guid,
        Kind::Sized { code: 0x28, .. } => Wire::Date,
        Kind::Sized { code: 0x29, scale, .. } => Wire::Time(*scale),
        Kind::Sized { code: 0x2a, scale, .. } => Wire::DateTime2(*scale),
        Kind::Sized { code: 0x2b, scale, .. } => Wire::Offset(*scale),
        Kind::Sized { scale, .. } => Wire::Decimal(*scale),
        Kind::Long { code: 0xa5 | 0xad, .. } => Wire::Bytes,
        Kind::Long { code: 0xe7 | 0xef, .. } => Wire::Units,
        Kind::Long { utf8: true, .. } => Wire::Text,
        Kind::Long { .. } | Kind::Old(_) | Kind::Xml | Kind::Variant | Kind::Clr(_) => return None,
    })
}

/// What a column is selected by, so that it arrives in a form that [`wire`] knows; `None` if there is none for values of its type.
pub(super) fn reading(column: &Column) -> Option<String> {
    reading_of(&format!("_m.{}", quote(&column.name)), &column.kind)
}

/// The same of a value that is said so.
pub(super) fn reading_of(raw: &str, kind: &Kind) -> Option<String> {
    Some(match kind {
        kind if wire(kind).is_some() => raw.to_owned(),
        // Text of a code page: the server makes it Unicode.
        Kind::Long { bytes: bytes @ 0..=4000, .. } => format!("CAST({raw} AS nvarchar({}))", bytes.max(&1)),
        Kind::Long { .. } | Kind::Old(0x23 | 0x63) | Kind::Xml => format!("CAST({raw} AS nvarchar(max))"),
        Kind::Old(_) => format!("CAST({raw} AS varbinary(max))"),
        Kind::Clr(name) => match name.as_str() {
            "geography" | "geometry" => format!("{raw}.STAsText()"),
            "hierarchyid" => format!("{raw}.ToString()"),
            _ => return None,
        },
        _ => return None,
    })
}

/// Why a column cannot be selected.
pub(super) fn unread(model: &str, column: &Column) -> Failure {
    let (name, kind) = (&column.name, name(&column.kind));
    let message = format!(
        "model \"{model}\": column \"{name}\" has the type {kind}, which is not read; cast it to nvarchar in the SQL"
    );
    Failure::new(Code::SqlError, message)
}

/// Encodes one value; `None` if it is not in its type's form.
pub(super) fn encode(wire: Wire, bytes: &[u8], out: Encoder<'_>) -> Option<()> {
    let signed = |bytes: &[u8]| -> Option<i64> {
        let unused = 64 - 8 * bytes.len().clamp(1, 8);
        (1..=8).contains(&bytes.len()).then(|| (number(bytes) << unused) as i64 >> unused)
    };
    match wire {
        Wire::Bit => out.bool(*bytes.first()? != 0),
        Wire::Tiny => out.int((*bytes.first()?).into()),
        Wire::Int => out.int(signed(bytes)?),
        Wire::Single => out.float(single(f32::from_le_bytes(bytes.try_into().ok()?))?),
        Wire::Double => out.float(f64::from_le_bytes(bytes.try_into().ok()?)),
        Wire::Decimal(scale) => out.decimal(&decimal(bytes, scale)?),
        Wire::Money if bytes.len() == 4 => out.decimal(&point(signed(bytes)?.into(), 4)),
        Wire::Money => {
            let (high, low) = bytes.split_at_checked(4)?;
            let whole = signed(high)?.checked_mul(1 << 32)?.checked_add(number(low) as i64)?;
            out.decimal(&point(whole.into(), 4));
        }
        Wire::Text => out.text(std::str::from_utf8(bytes).ok()?),
        Wire::Units => out.text(&utf16(bytes)),
        Wire::Bytes => out.bytes(bytes),
        Wire::Guid => out.text(&guid(bytes)?),
        Wire::Date => out.time(&date(number(bytes) as i64)),
        Wire::Time(scale) => out.time(&clock(number(bytes), scale)?),
        Wire::DateTime2(scale) => {
            let (time, days) = bytes.split_at_checked(bytes.len().checked_sub(3)?)?;
            out.time(&format!("{}T{}", date(number(days) as i64), clock(number(time), scale)?));
        }
        // Date and time are UTC already.
        Wire::Offset(scale) => {
            let (time, rest) = bytes.split_at_checked(bytes.len().checked_sub(5)?)?;
            let days = number(rest.get(..3)?) as i64;
            out.time(&format!("{}T{}Z", date(days), clock(number(time), scale)?));
        }
        Wire::DateTime => {
            let (days, ticks) = bytes.split_at_checked(4)?;
            // Three hundred of a second, shown in thousandths.
            let thousandths = (number(ticks) * 10 + 1) / 3;
            out.time(&format!("{}T{}", date(signed(days)? + SINCE_1900), clock(thousandths, 3)?));
        }
        Wire::SmallDateTime => {
            let (days, minutes) = bytes.split_at_checked(2)?;
            out.time(&format!("{}T{}", date(number(days) as i64 + SINCE_1900), clock(number(minutes) * 60, 0)?));
        }
    }
    Some(())
}

/// Days from 0001-01-01 to 1900-01-01.
const SINCE_1900: i64 = 693_595;

/// The shortest number that means the same in 32 bits.
fn single(number: f32) -> Option<f64> {
    number.to_string().parse().ok()
}

fn decimal(bytes: &[u8], scale: u8) -> Option<String> {
    let (sign, magnitude) = bytes.split_first()?;
    let mut all = [0; 16];
    all.get_mut(..magnitude.len())?.copy_from_slice(magnitude);
    let magnitude = i128::try_from(u128::from_le_bytes(all)).ok()?;
    Some(point(if *sign == 0 { -magnitude } else { magnitude }, scale))
}

/// A number with so many digits behind its point.
fn point(number: i128, scale: u8) -> String {
    let scale = usize::from(scale);
    let sign = if number < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", number.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// The first three groups have their least significant byte first.
fn guid(bytes: &[u8]) -> Option<String> {
    const ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    let mut out = String::with_capacity(36);
    for (at, from) in ORDER.into_iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        let _ = write!(out, "{:02x}", bytes.get(from)?);
    }
    Some(out)
}

/// A date, by its days from 0001-01-01.
fn date(days: i64) -> String {
    // Of the calendar that counts from March, in eras of 400 years.
    let days = days + 306;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (year, month + 3) } else { (year + 1, month - 9) };
    format!("{:04}-{month:02}-{day:02}", year + era * 400)
}

/// A time of day, by what is counted in so many digits of a second.
fn clock(count: u64, scale: u8) -> Option<String> {
    let unit = 10_u64.checked_pow(scale.into())?;
    let (seconds, fraction) = (count / unit, count % unit);
    let mut out = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction > 0 {
        let digits = format!("{fraction:0width$}", width = usize::from(scale));
        let _ = write!(out, ".{}", digits.trim_end_matches('0'));
    }
    (seconds < 86_400).then_some(out)
}

#[cfg(test)]
#[path = "values_tests.rs"]
mod tests;
