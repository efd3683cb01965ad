//! From a record's JSON to the text that a column's type reads. What is sure not to be read is said here, with its field: that costs no
//! statement.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

/// What a column takes, as far as it is known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `boolean`.
    Bool,
    /// Integers between these, both included.
    Int(i64, i64),
    /// `real` and `double precision`, with the name.
    Float,
    /// `numeric`, with so many digits before the point if that is limited.
    Numeric(Option<u32>),
    /// `text`, `varchar`, `char`, with so many characters if that is limited.
    Text(Option<u32>),
    /// `uuid`.
    Uuid,
    /// `json` and `jsonb`.
    Json,
    /// `bytea`.
    Bytes,
    /// One of these words.
    Enum(Vec<String>),
    /// A list of values of one kind.
    Array(Box<Kind>),
    /// The server knows.
    Other,
}

/// Why a value is none that the column takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) code: &'static str,
    /// What it must be, without what it is.
    pub(super) must: Cow<'static, str>,
}

impl Kind {
    /// The kind of a type of the server's own. `modifier`: its limits, as the catalogue holds them.
    pub(super) fn named(name: &str, modifier: i32) -> Self {
        let limit = u32::try_from(modifier.saturating_sub(4)).ok().filter(|_| modifier >= 4);
        match name {
            "bool" => Self::Bool,
            "int2" => Self::Int(i64::from(i16::MIN), i64::from(i16::MAX)),
            "int4" => Self::Int(i64::from(i32::MIN), i64::from(i32::MAX)),
            "int8" => Self::Int(i64::MIN, i64::MAX),
            "float4" | "float8" => Self::Float,
            "numeric" => Self::Numeric(limit.and_then(|limit| {
                let (precision, scale) = (limit >> 16, limit & 0x7ff);
                // Scales below zero, or above the precision, are for the server.
                (scale < 0x400).then(|| precision.checked_sub(scale)).flatten()
            })),
            "text" => Self::Text(None),
            "varchar" | "bpchar" => Self::Text(limit),
            "uuid" => Self::Uuid,
            "json" | "jsonb" => Self::Json,
            "bytea" => Self::Bytes,
            _ => Self::Other,
        }
    }

    /// Whether the server may still refuse what is taken here.
    pub(super) fn is_sure(&self) -> bool {
        matches!(self, Self::Bool | Self::Int(..) | Self::Text(_) | Self::Uuid | Self::Bytes | Self::Enum(_))
    }

    /// Appends the text of a value, or says that it is SQL NULL.
    pub(super) fn write(&self, json: &str, out: &mut String) -> Result<bool, Wrong> {
        if json == "null" {
            return Ok(false);
        }
        if let Self::Json = self {
            out.push_str(json);
            return Ok(true);
        }
        let first = json.as_bytes().first().copied().unwrap_or_default();
        if let Self::Array(element) = self
            && first == b'['
        {
            element.list(json, out)?;
            return Ok(true);
        }
        let text: Cow<'_, str> = match first {
            b'"' => decoded(json).ok_or_else(|| wrong("a text"))?,
            // A document as text, where its type is not a document's.
            b'{' | b'[' if matches!(self, Self::Text(_) | Self::Other) => Cow::Borrowed(json),
            b'{' | b'[' => return Err(self.wrong()),
            _ => Cow::Borrowed(json),
        };
        if text.contains('\0') {
            let must = "must be a text without the character NUL, which Postgres cannot store".into();
            return Err(Wrong { code: "INVALID_CHARACTER", must });
        }
        let boolean = matches!(first, b't' | b'f');
        match self {
            Self::Bool if is_boolean(&text) => out.push_str(&text),
            Self::Int(least, most) if !boolean => {
                let number = whole(&text).filter(|number| (least..=most).contains(&number));
                out.push_str(itoa::Buffer::new().format(number.ok_or_else(|| self.wrong())?));
            }
            Self::Float if !boolean && is_float(&text) => out.push_str(&text),
            Self::Numeric(digits) if !boolean && is_number(&text) => {
                let before = text.trim_start_matches(['-', '+', '0']).split('.').next().unwrap_or_default().len();
                let plain = !text.contains(['e', 'E']);
                if plain && digits.is_some_and(|digits| before > digits as usize) {
                    let digits = digits.unwrap_or_default();
                    let must = format!("must have at most {digits} digits before the point").into();
                    return Err(Wrong { code: "NUMBER_OUT_OF_RANGE", must });
                }
                out.push_str(&text);
            }
            Self::Text(limit) => {
                let longest = limit.map_or(usize::MAX, |limit| limit as usize);
                // Blanks at the end do not count, as SQL has it.
                if text.len() > longest && text.trim_end_matches(' ').chars().count() > longest {
                    let must = format!("must have at most {longest} characters").into();
                    return Err(Wrong { code: "TOO_LONG", must });
                }
                out.push_str(&text);
            }
            Self::Uuid if first == b'"' && is_uuid(&text) => out.push_str(&text),
            Self::Bytes if first == b'"' => {
                let bytes = STANDARD.decode(&*text).map_err(|_| self.wrong())?;
                out.push_str("\\x");
                for byte in bytes {
                    out.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
                    out.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
                }
            }
            Self::Enum(words) if words.iter().any(|word| *word == text) => out.push_str(&text),
            // An array as the server writes it.
            Self::Array(_) if first == b'"' => out.push_str(&text),
            Self::Other => out.push_str(&text),
            _ => return Err(self.wrong()),
        }
        Ok(true)
    }

    /// A JSON list as a literal of an array of this kind.
    fn list(&self, json: &str, out: &mut String) -> Result<(), Wrong> {
        let items: Vec<&RawValue> = serde_json::from_str(json).map_err(|_| wrong("a list"))?;
        out.push('{');
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            let item = item.get().trim();
            if item.starts_with('[') && *self != Self::Json {
                self.list(item, out)?;
                continue;
            }
            let mut text = String::new();
            if self.write(item, &mut text)? {
                out.push('"');
                for char in text.chars() {
                    if matches!(char, '"' | '\\') {
                        out.push('\\');
                    }
                    out.push(char);
                }
                out.push('"');
            } else {
                out.push_str("NULL");
            }
        }
        out.push('}');
        Ok(())
    }

    fn wrong(&self) -> Wrong {
        match self {
            Self::Bool => wrong("true or false"),
            Self::Int(least, most) => {
                Wrong { code: "INVALID_FIELD", must: format!("must be a whole number from {least} to {most}").into() }
            }
            Self::Float | Self::Numeric(_) => wrong("a number"),
            Self::Text(_) | Self::Other => wrong("a text"),
            Self::Uuid => wrong("a UUID"),
            Self::Json => wrong("a JSON document"),
            Self::Bytes => wrong("bytes as a text in base64"),
            Self::Enum(words) => {
                let shown = words.iter().take(20).map(String::as_str).collect::<Vec<_>>().join(", ");
                let more = if words.len() > 20 { ", …" } else { "" };
                Wrong { code: "INVALID_FIELD", must: format!("must be one of: {shown}{more}").into() }
            }
            Self::Array(_) => wrong("a list"),
        }
    }
}

fn wrong(what: &str) -> Wrong {
    Wrong { code: "INVALID_FIELD", must: format!("must be {what}").into() }
}

/// The text that a JSON string holds.
fn decoded(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.get(1..json.len().checked_sub(1)?)?;
    if inner.contains('\\') { serde_json::from_str(json).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}

/// The items of a JSON list, each as it is written; of anything else, it.
pub(super) fn items(json: &str) -> Vec<String> {
    match serde_json::from_str::<Vec<&RawValue>>(json) {
        Ok(items) => items.iter().map(|item| item.get().trim().to_owned()).collect(),
        Err(_) => vec![json.to_owned()],
    }
}

fn is_boolean(text: &str) -> bool {
    let spelled = ["true", "t", "yes", "y", "on", "1", "false", "f", "no", "n", "off", "0"];
    spelled.iter().any(|word| text.trim().eq_ignore_ascii_case(word))
}

/// A whole number, however it is written: `3`, `3.0`, `3e2`.
fn whole(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    if let Some((whole, fraction)) = text.split_once('.')
        && fraction.bytes().all(|digit| digit == b'0')
    {
        return whole.parse().ok();
    }
    let number: f64 = text.parse().ok()?;
    // Beyond this not every whole number is a float.
    (number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0).then_some(number as i64)
}

/// A number with any digits. One that is too large for a float may still be a `numeric`.
fn is_number(text: &str) -> bool {
    let digits = text.trim().trim_start_matches(['-', '+']);
    is_float(text) || (digits.contains(|c: char| c.is_ascii_digit()) && digits.parse::<f64>().is_ok())
}

/// A number that a float can be, or one of the words for what is none.
fn is_float(text: &str) -> bool {
    let text = text.trim();
    let words = ["nan", "infinity", "-infinity", "inf", "-inf"];
    words.iter().any(|word| text.eq_ignore_ascii_case(word))
        || text.parse::<f64>().is_ok_and(|number| number.is_finite())
}

fn is_uuid(text: &str) -> bool {
    let text = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
    let digits = text.bytes().filter(u8::is_ascii_hexdigit).count();
    digits == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

#[cfg(test)]
#[path = "values_tests.rs"]
mod tests;
