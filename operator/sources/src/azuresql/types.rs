//! T-SQL's types: what a column of a result is.

use super::tokens::Value;
use super::wire::Fields;
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
