//! One value of a row, as every warehouse delivers it and every destination receives it.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::encode::Encoder;

/// The greatest integer magnitude that every JSON reader keeps exactly: 2^53 - 1.
const EXACT: u64 = (1 << 53) - 1;

/// A value of a row. Textual kinds hold their canonical form: sources convert, nothing later does.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// SQL NULL.
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer of up to 64 bits. JSON: a number within ±(2^53-1), beyond that a string.
    Int(i64),
    /// A binary floating-point number. JSON: a number; `"NaN"`, `"Infinity"` and `"-Infinity"` as strings.
    Float(f64),
    /// A decimal or an integer beyond 64 bits, as plain digits. JSON: a string, so that no digit is lost.
    Decimal(Box<str>),
    /// Text.
    Text(Box<str>),
    /// Bytes. JSON: standard base64.
    Bytes(Box<[u8]>),
    /// Date, time, zone-less timestamp, instant (`…Z`) or interval in its ISO 8601 form. JSON: a string.
    Time(Box<str>),
    /// A JSON document, as the warehouse printed it. JSON: itself.
    Json(Box<str>),
}

impl Cell {
    /// Whether this is SQL NULL. (The JSON document `null` is a value.)
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Appends this cell's encoding: see [`Encoder`].
    pub fn encode(&self, out: &mut Vec<u8>) {
        let out = Encoder::new(out);
        match self {
            Self::Null => out.null(),
            Self::Bool(value) => out.bool(*value),
            Self::Int(value) => out.int(*value),
            Self::Float(value) => out.float(*value),
            Self::Decimal(digits) => out.decimal(digits),
            Self::Text(text) => out.text(text),
            Self::Bytes(bytes) => out.bytes(bytes),
            Self::Time(text) => out.time(text),
            Self::Json(text) => out.json(text),
        }
    }

    /// Reads one cell from the front of `input`, the inverse of [`Cell::encode`]. `None` if the bytes are not an encoding.
    #[must_use]
    pub fn decode(input: &mut &[u8]) -> Option<Self> {
        fn take<'a>(input: &mut &'a [u8], n: usize) -> Option<&'a [u8]> {
            let (head, tail) = input.split_at_checked(n)?;
            *input = tail;
            Some(head)
        }
        fn sized<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
            let length = u32::from_le_bytes(take(input, 4)?.try_into().ok()?);
            take(input, length as usize)
        }
        fn text(input: &mut &[u8]) -> Option<Box<str>> {
            std::str::from_utf8(sized(input)?).ok().map(Box::from)
        }
        Some(match take(input, 1)?[0] {
            0 => Self::Null,
            1 => Self::Bool(false),
            2 => Self::Bool(true),
            3 => Self::Int(i64::from_le_bytes(take(input, 8)?.try_into().ok()?)),
            4 => Self::Float(f64::from_le_bytes(take(input, 8)?.try_into().ok()?)),
            5 => Self::Decimal(text(input)?),
            6 => Self::Text(text(input)?),
            7 => Self::Bytes(sized(input)?.into()),
            8 => Self::Time(text(input)?),
            9 => Self::Json(text(input)?),
            _ => return None,
        })
    }

    /// Appends the JSON text of this cell.
    pub fn write_json(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Int(value) if value.unsigned_abs() <= EXACT => out.push_str(itoa::Buffer::new().format(*value)),
            Self::Int(value) => {
                out.push('"');
                out.push_str(itoa::Buffer::new().format(*value));
                out.push('"');
            }
            Self::Float(value) => write_float(*value, out),
            Self::Decimal(text) | Self::Text(text) | Self::Time(text) => write_string(text, out),
            Self::Bytes(bytes) => {
                out.push('"');
                STANDARD.encode_string(bytes, out);
                out.push('"');
            }
            Self::Json(text) => out.push_str(text),
        }
    }

    /// This cell as JSON.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let mut text = String::new();
        self.write_json(&mut text);
        serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text))
    }
}

fn write_float(value: f64, out: &mut String) {
    if value.is_nan() {
        out.push_str("\"NaN\"");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" });
    } else if let Some(number) = serde_json::Number::from_f64(value) {
        let _ = write!(out, "{number}");
    }
}

/// Appends `text` as a JSON string with the escapes that JSON demands and no others.
pub fn write_string(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    loop {
        let (plain, escaped) = rest.split_at(plain(rest.as_bytes()));
        out.push_str(plain);
        let Some(&byte) = escaped.as_bytes().first() else { break };
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x08 => out.push_str("\\b"),
            0x0c => out.push_str("\\f"),
            _ => {
                let _ = write!(out, "\\u{byte:04x}");
            }
        }
        // All bytes with an escape are characters of their own.
        rest = &escaped[1..];
    }
    out.push('"');
}

/// How many bytes at the front need no escape in a JSON string. Eight at a time: nearly all text is plain.
#[must_use]
pub fn plain(bytes: &[u8]) -> usize {
    const EACH: u64 = u64::MAX / 255;
    // The high bit of each byte that is below `bound`; where there is none, of no byte. (Of bytes behind one it may be wrong.)
    let below = |word: u64, bound: u64| word.wrapping_sub(EACH * bound) & !word & (EACH << 7);
    let (words, _) = bytes.as_chunks::<8>();
    let all_plain = |word: &&[u8; 8]| {
        let word = u64::from_le_bytes(**word);
        let is = |byte: u8| below(word ^ (EACH * u64::from(byte)), 1);
        below(word, 0x20) | is(b'"') | is(b'\\') == 0
    };
    let from = 8 * words.iter().take_while(all_plain).count();
    let escaped = |byte: &u8| matches!(byte, 0..=0x1f | b'"' | b'\\');
    from + bytes[from..].iter().position(escaped).unwrap_or(bytes.len() - from)
}

/// A column of a model, as the warehouse describes it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Column {
    /// Name, as the model's result has it.
    pub name: String,
    /// The warehouse's own name of the type, such as `timestamptz`.
    #[serde(rename = "type")]
    pub kind: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(cell: &Cell) -> String {
        let mut out = String::new();
        cell.write_json(&mut out);
        out
    }

    #[test]
    fn json_keeps_what_it_can_say_exactly_and_quotes_the_rest() {
        assert_eq!(json(&Cell::Int(9_007_199_254_740_991)), "9007199254740991");
        assert_eq!(json(&Cell::Int(9_007_199_254_740_992)), "\"9007199254740992\"");
        assert_eq!(json(&Cell::Int(i64::MIN)), "\"-9223372036854775808\"");
        assert_eq!(json(&Cell::Float(0.1)), "0.1");
        assert_eq!(json(&Cell::Float(f64::NEG_INFINITY)), "\"-Infinity\"");
        assert_eq!(json(&Cell::Decimal("1.10".into())), "\"1.10\"");
        assert_eq!(json(&Cell::Bytes([0, 255].into())), "\"AP8=\"");
        assert_eq!(json(&Cell::Json("{\"a\":null}".into())), "{\"a\":null}");
        assert_eq!(json(&Cell::Text("a\"\\\n\u{1}é".into())), "\"a\\\"\\\\\\n\\u0001é\"");
    }

    #[test]
    fn an_escape_is_found_wherever_it_is() {
        for byte in 0..=0x7f_u8 {
            for (before, after) in (0..20).flat_map(|before| (0..20).map(move |after| (before, after))) {
                let text = format!("{}{}{}", "é".repeat(before), char::from(byte), "\u{7f}".repeat(after));
                let json = json(&Cell::Text(text.as_str().into()));
                assert_eq!(json, serde_json::to_string(&text).unwrap(), "{before} {byte} {after}");
            }
        }
    }

    #[test]
    fn encoding_tells_null_from_empty_and_round_trips() {
        let cells = [
            Cell::Null,
            Cell::Text("".into()),
            Cell::Bytes([].into()),
            Cell::Bool(true),
            Cell::Int(-1),
            Cell::Float(1.5),
            Cell::Decimal("1".into()),
            Cell::Time("2026-01-01".into()),
            Cell::Json("null".into()),
        ];
        let encodings: std::collections::BTreeSet<Vec<u8>> = cells
            .iter()
            .map(|cell| {
                let mut out = Vec::new();
                cell.encode(&mut out);
                assert_eq!(Cell::decode(&mut out.as_slice()).as_ref(), Some(cell));
                out
            })
            .collect();
        assert_eq!(encodings.len(), cells.len());
    }

    #[test]
    fn decoding_refuses_truncated_bytes() {
        let mut out = Vec::new();
        Cell::Text("hello".into()).encode(&mut out);
        for end in 0..out.len() {
            assert_eq!(Cell::decode(&mut &out[..end]), None);
        }
    }
}
