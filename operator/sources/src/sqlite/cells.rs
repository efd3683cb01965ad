//! Cells from SQLite's values: a value has its own type, and the column's declared type says what is meant.

use backflow_core::cell::Cell;
use serde::de::IgnoredAny;
use sqlx::sqlite::SqliteValueRef;
use sqlx::{Decode, Sqlite, TypeInfo, ValueRef};

/// What a column's declared type means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Declared {
    /// 0 and 1 are truth values.
    Boolean,
    /// Numbers are decimals.
    Decimal,
    /// Texts that look like one are a date or a time.
    Time,
    /// Texts that parse are documents.
    Json,
    /// The value speaks for itself.
    Other,
}

impl Declared {
    /// From the type's name in lower case, with or without sizes.
    pub(crate) fn of(kind: &str) -> Self {
        match kind.split('(').next().unwrap_or_default().trim() {
            "boolean" | "bool" => Self::Boolean,
            "decimal" => Self::Decimal,
            "date" | "time" | "datetime" | "timestamp" => Self::Time,
            "json" | "jsonb" => Self::Json,
            _ => Self::Other,
        }
    }
}

/// One value. Text that is not UTF-8 stays what it is: bytes.
pub(crate) fn cell(declared: Declared, value: SqliteValueRef<'_>) -> Result<Cell, sqlx::error::BoxDynError> {
    if value.is_null() {
        return Ok(Cell::Null);
    }
    let kind = value.type_info();
    Ok(match kind.name() {
        "INTEGER" => {
            let number = <i64 as Decode<Sqlite>>::decode(value)?;
            match declared {
                Declared::Boolean if number == 0 || number == 1 => Cell::Bool(number == 1),
                Declared::Decimal => Cell::Decimal(number.to_string().into()),
                _ => Cell::Int(number),
            }
        }
        "REAL" => {
            let number = <f64 as Decode<Sqlite>>::decode(value)?;
            match declared {
                Declared::Decimal if number.is_finite() => Cell::Decimal(number.to_string().into()),
                _ => Cell::Float(number),
            }
        }
        "BLOB" => Cell::Bytes(<&[u8] as Decode<Sqlite>>::decode(value)?.into()),
        _ => {
            let bytes = <&[u8] as Decode<Sqlite>>::decode(value)?;
            match std::str::from_utf8(bytes) {
                Ok(text) => text_cell(declared, text),
                Err(_) => Cell::Bytes(bytes.into()),
            }
        }
    })
}

fn text_cell(declared: Declared, text: &str) -> Cell {
    match declared {
        Declared::Json if serde_json::from_str::<IgnoredAny>(text).is_ok() => Cell::Json(text.into()),
        Declared::Time => match time(text) {
            Some(time) => Cell::Time(time.into()),
            None => Cell::Text(text.into()),
        },
        _ => Cell::Text(text.into()),
    }
}

/// SQLite's own forms of date and time, in ISO 8601: a `T` between date and time, digits as they are but for trailing zeros of the
/// fraction.
fn time(text: &str) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    let (date, rest) = match text.as_bytes() {
        [_, _, _, _, b'-', ..] => text.split_at_checked(10)?,
        _ => ("", text),
    };
    let shape = |text: &str, shape: &[u8]| {
        text.len() == shape.len()
            && text
                .bytes()
                .zip(shape)
                .all(|(byte, shape)| if *shape == b'9' { byte.is_ascii_digit() } else { byte == *shape })
    };
    if !date.is_empty() && !shape(date, b"9999-99-99") {
        return None;
    }
    if rest.is_empty() {
        return Some(date.to_owned());
    }
    let clock = if date.is_empty() { rest } else { rest.strip_prefix([' ', 'T'])? };
    let (clock, zone) = match clock.strip_suffix('Z') {
        Some(clock) => (clock, "Z"),
        None => match clock.rfind(['+', '-']) {
            Some(at) if shape(&clock[at + 1..], b"99:99") => clock.split_at(at),
            Some(_) => return None,
            None => (clock, ""),
        },
    };
    let (seconds, fraction) = match clock.split_once('.') {
        Some((seconds, fraction)) if !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit()) => {
            (seconds, fraction.trim_end_matches('0'))
        }
        Some(_) => return None,
        None => (clock, ""),
    };
    let seconds = if shape(seconds, b"99:99") {
        format!("{seconds}:00")
    } else if shape(seconds, b"99:99:99") {
        seconds.to_owned()
    } else {
        return None;
    };
    let mut out = String::with_capacity(text.len());
    out.push_str(date);
    if !date.is_empty() {
        out.push('T');
    }
    out.push_str(&seconds);
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
    out.push_str(zone);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_become_iso_and_other_texts_stay() {
        for (text, wanted) in [
            ("2026-01-02", Some("2026-01-02")),
            ("2026-01-02 03:04", Some("2026-01-02T03:04:00")),
            ("2026-01-02 03:04:05.600", Some("2026-01-02T03:04:05.6")),
            ("2026-01-02T03:04:05Z", Some("2026-01-02T03:04:05Z")),
            ("2026-01-02 03:04:05-03:30", Some("2026-01-02T03:04:05-03:30")),
            ("03:04:05", Some("03:04:05")),
            ("yesterday", None),
            ("2026-1-2", None),
            ("2026-01-02 noon", None),
            ("2026-01-0é", None),
            ("", None),
        ] {
            assert_eq!(time(text).as_deref(), wanted, "{text}");
        }
    }

    #[test]
    fn declared_types_are_read_without_their_sizes() {
        assert_eq!(Declared::of("decimal(10,2)"), Declared::Decimal);
        assert_eq!(Declared::of("bool"), Declared::Boolean);
        assert_eq!(Declared::of("varchar(20)"), Declared::Other);
    }
}
