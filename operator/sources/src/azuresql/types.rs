//! T-SQL's types: what a column of a result is, how it is read, and what its values become.

use std::fmt::Write as _;

use backflow_core::code::{Code, Failure};
use backflow_core::encode::Encoder;

use super::tokens::Value;
use super::wire::{Fields, number, utf16};
use crate::stream::Broken;

/// Whose name a type is of: a `rowversion` is eight bytes else.
const ROWVERSION: u64 = 0x50;
/// Of a collation: text is in UTF-8.
const UTF8: u64 = 1 << 26;
/// A length that means no limit.
const MAX: u16 = 0xffff;

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// What its values are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Bytes of a number, which are always there.
    Fixed {
        code: u8,
        bytes: u8,
    },
    /// Behind a length of one byte; 0 is NULL. What stands for precision and scale, where there are such.
    Sized {
        code: u8,
        bytes: u8,
        precision: u8,
        scale: u8,
    },
    /// Text or bytes behind a length of two bytes.
    Long {
        code: u8,
        bytes: u16,
        utf8: bool,
        rowversion: bool,
    },
    /// `text`, `ntext`, `image`.
    Old(u8),
    Xml,
    Variant,
    /// A type of the CLR, of this name.
    Clr(String),
}

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

/// A name in brackets.
pub(crate) fn quote(name: &str) -> String {
    format!("[{}]", name.replace(']', "]]"))
}

impl Column {
    /// Reads what is said of one; `None` if it is not there whole.
    pub(super) fn read(fields: &mut Fields<'_>) -> Result<Option<Self>, Broken> {
        let Some((user, code)) = fields.int(4).zip(fields.int(2).and_then(|_| fields.int(1))) else { return Ok(None) };
        let kind = match Kind::of(code as u8) {
            Some(kind) => kind,
            None => return Err(Broken::Malformed),
        };
        Ok((|| {
            let kind = kind.read(fields, user)?;
            if let Kind::Old(_) = kind {
                // The table's name, in parts.
                for _ in 0..fields.int(1)? {
                    fields.text(2)?;
                }
            }
            Some(Self { name: fields.text(1)?, kind })
        })())
    }
}

impl Kind {
    /// By its code, without what follows that.
    fn of(code: u8) -> Option<Self> {
        let sized = |bytes| Self::Sized { code, bytes, precision: 0, scale: 0 };
        Some(match code {
            0x1f => Self::Fixed { code, bytes: 0 },
            0x30 | 0x32 => Self::Fixed { code, bytes: 1 },
            0x34 => Self::Fixed { code, bytes: 2 },
            0x38 | 0x3a | 0x3b | 0x7a => Self::Fixed { code, bytes: 4 },
            0x3c | 0x3d | 0x3e | 0x7f => Self::Fixed { code, bytes: 8 },
            0x24 | 0x26 | 0x68 | 0x6a | 0x6c | 0x6d | 0x6e | 0x6f => sized(0),
            0x28..=0x2b => sized(0),
            0xa5 | 0xa7 | 0xad | 0xaf | 0xe7 | 0xef => Self::Long { code, bytes: 0, utf8: false, rowversion: false },
            0x22 | 0x23 | 0x63 => Self::Old(code),
            0xf1 => Self::Xml,
            0x62 => Self::Variant,
            0xf0 => Self::Clr(String::new()),
            _ => return None,
        })
    }

    /// What follows the code.
    fn read(self, fields: &mut Fields<'_>, user: u64) -> Option<Self> {
        Some(match self {
            Self::Sized { code: code @ 0x28, .. } => Self::Sized { code, bytes: 3, precision: 0, scale: 0 },
            Self::Sized { code: code @ 0x29..=0x2b, .. } => {
                Self::Sized { code, bytes: 0, precision: 0, scale: fields.int(1)? as u8 }
            }
            Self::Sized { code, .. } => {
                let bytes = fields.int(1)? as u8;
                let decimal = matches!(code, 0x6a | 0x6c);
                let (precision, scale) = if decimal { (fields.int(1)? as u8, fields.int(1)? as u8) } else { (0, 0) };
                Self::Sized { code, bytes, precision, scale }
            }
            Self::Long { code, .. } => {
                let bytes = fields.int(2)? as u16;
                let text = matches!(code, 0xa7 | 0xaf | 0xe7 | 0xef);
                let utf8 = text && collation(fields)?;
                Self::Long { code, bytes, utf8, rowversion: user == ROWVERSION }
            }
            Self::Old(code) => {
                fields.int(4)?;
                if code != 0x22 {
                    collation(fields)?;
                }
                Self::Old(code)
            }
            Self::Xml => {
                if fields.int(1)? != 0 {
                    fields.text(1)?;
                    fields.text(1)?;
                    fields.text(2)?;
                }
                Self::Xml
            }
            Self::Variant => {
                fields.int(4)?;
                Self::Variant
            }
            Self::Clr(_) => {
                fields.int(2)?;
                fields.text(1)?;
                fields.text(1)?;
                let name = fields.text(1)?;
                fields.text(2)?;
                Self::Clr(name)
            }
            fixed @ Self::Fixed { .. } => fixed,
        })
    }

    /// The next value of a row: `Some(None)` is NULL.
    pub(super) fn value<'a>(&self, fields: &mut Fields<'a>) -> Option<Option<Value<'a>>> {
        let bytes = match self {
            Self::Fixed { code: 0x1f, .. } => return Some(None),
            Self::Fixed { bytes, .. } => fields.take((*bytes).into())?,
            Self::Sized { .. } => match fields.sized(1)? {
                [] => return Some(None),
                bytes => bytes,
            },
            Self::Long { bytes: MAX, .. } | Self::Xml | Self::Clr(_) => return pieces(fields),
            Self::Long { .. } => match fields.int(2)? {
                0xffff => return Some(None),
                length => fields.take(length as usize)?,
            },
            Self::Old(_) => {
                if fields.sized(1)?.is_empty() {
                    return Some(None);
                }
                fields.take(8)?;
                fields.sized(4)?
            }
            Self::Variant => match fields.sized(4)? {
                [] => return Some(None),
                bytes => bytes,
            },
        };
        Some(Some(Value::Whole(bytes)))
    }
}

/// Whether text of a collation is in UTF-8.
fn collation(fields: &mut Fields<'_>) -> Option<bool> {
    let utf8 = fields.int(4)? & UTF8 != 0;
    fields.int(1)?;
    Some(utf8)
}

/// A value whose length may not be known before its end.
fn pieces<'a>(fields: &mut Fields<'a>) -> Option<Option<Value<'a>>> {
    if fields.int(8)? == u64::MAX {
        return Some(None);
    }
    let all = fields.0;
    while !fields.sized(4)?.is_empty() {}
    Some(Some(Value::Pieces(&all[..all.len() - fields.0.len()])))
}

/// The type's name as T-SQL has it.
pub(super) fn name(kind: &Kind) -> String {
    let length = |name: &str, bytes: u16, unit: u16| match bytes {
        MAX => format!("{name}(max)"),
        bytes => format!("{name}({})", bytes / unit),
    };
    let plain = match kind {
        Kind::Fixed { code, bytes } => match (code, bytes) {
            (0x1f, _) => "null",
            (0x30, _) => "tinyint",
            (0x32, _) => "bit",
            (0x34, _) => "smallint",
            (0x38, _) => "int",
            (0x7f, _) => "bigint",
            (0x3a, _) => "smalldatetime",
            (0x3d, _) => "datetime",
            (0x3b, _) => "real",
            (0x3e, _) => "float",
            (0x7a, _) => "smallmoney",
            _ => "money",
        },
        Kind::Sized { code, bytes, precision, scale } => match (code, bytes) {
            (0x24, _) => "uniqueidentifier",
            (0x26, 1) => "tinyint",
            (0x26, 2) => "smallint",
            (0x26, 4) => "int",
            (0x26, _) => "bigint",
            (0x68, _) => "bit",
            (0x6d, 4) => "real",
            (0x6d, _) => "float",
            (0x6e, 4) => "smallmoney",
            (0x6e, _) => "money",
            (0x6f, 4) => "smalldatetime",
            (0x6f, _) => "datetime",
            (0x28, _) => "date",
            (0x29, _) => return format!("time({scale})"),
            (0x2a, _) => return format!("datetime2({scale})"),
            (0x2b, _) => return format!("datetimeoffset({scale})"),
            _ => return format!("decimal({precision},{scale})"),
        },
        Kind::Long { rowversion: true, .. } => "rowversion",
        Kind::Long { code, bytes, .. } => {
            return match code {
                0xa5 => length("varbinary", *bytes, 1),
                0xad => length("binary", *bytes, 1),
                0xa7 => length("varchar", *bytes, 1),
                0xaf => length("char", *bytes, 1),
                0xe7 => length("nvarchar", *bytes, 2),
                _ => length("nchar", *bytes, 2),
            };
        }
        Kind::Old(0x22) => "image",
        Kind::Old(0x23) => "text",
        Kind::Old(_) => "ntext",
        Kind::Xml => "xml",
        Kind::Variant => "sql_variant",
        Kind::Clr(name) => name,
    };
    plain.to_owned()
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
#[path = "types_tests.rs"]
mod tests;
