//! JSON documents as values of expressions, with every digit of their numbers.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use backflow_core::cell::{Cell, write_string};
use serde_json::value::RawValue;

/// Lists and objects in each other, at most.
const DEPTH: usize = 64;
/// Items of one list, at most: expressions have loops.
pub const ITEMS: usize = 2_000;
/// Items of one list of an answer, at most: 100,000 records are the largest batch there is.
const ANSWERED: usize = 100_000;
/// Bytes of one computed value, at most: as many as a row may have.
pub const BYTES: usize = 512 * 1024;

/// A JSON document.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number of 64 bits.
    Int(i64),
    /// A number that a binary floating-point number says exactly.
    Float(f64),
    /// A text, or the digits of a number that no type of expressions holds.
    Text(String),
    /// A list.
    List(Vec<Self>),
    /// An object.
    Object(BTreeMap<String, Self>),
}

/// Why a text is no document that expressions can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is not JSON.
    #[error("it is no JSON")]
    Syntax,
    /// Too many brackets in each other.
    #[error("it has more than {DEPTH} lists and objects in each other")]
    TooDeep,
    /// A list is too long; of so many items at most.
    #[error("a list in it has more than {0} items")]
    TooLong(usize),
}

impl Json {
    /// Reads a document of a row.
    ///
    /// # Errors
    /// It is no JSON, or larger than a row's document may be.
    pub fn parse(text: &str) -> Result<Self, Unreadable> {
        let raw: &RawValue = serde_json::from_str(text).map_err(|_| Unreadable::Syntax)?;
        Self::of(raw.get(), 0, ITEMS)
    }

    /// Reads a destination's answer, whose lists are as long as a batch.
    ///
    /// # Errors
    /// It is no JSON, or its lists are longer than any batch.
    pub fn parse_answer(text: &str) -> Result<Self, Unreadable> {
        let raw: &RawValue = serde_json::from_str(text).map_err(|_| Unreadable::Syntax)?;
        Self::of(raw.get(), 0, ANSWERED)
    }

    fn of(text: &str, depth: usize, longest: usize) -> Result<Self, Unreadable> {
        if depth > DEPTH {
            return Err(Unreadable::TooDeep);
        }
        let syntax = |_| Unreadable::Syntax;
        Ok(match text.as_bytes().first() {
            Some(b'{') => {
                let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).map_err(syntax)?;
                let member = |(name, raw): (String, &RawValue)| Ok((name, Self::of(raw.get(), depth + 1, longest)?));
                Self::Object(members.into_iter().map(member).collect::<Result<_, _>>()?)
            }
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::from_str(text).map_err(syntax)?;
                if items.len() > longest {
                    return Err(Unreadable::TooLong(longest));
                }
                Self::List(
                    items.into_iter().map(|raw| Self::of(raw.get(), depth + 1, longest)).collect::<Result<_, _>>()?,
                )
            }
            Some(b'"') => Self::Text(serde_json::from_str(text).map_err(syntax)?),
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'n') => Self::Null,
            _ => number(text),
        })
    }
}

/// Writing: the JSON of the cells that the values would be.
impl Json {
    /// Appends the document's text, the members of objects by name.
    pub fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => Cell::Bool(*value).write_json(out),
            Self::Int(value) => Cell::Int(*value).write_json(out),
            Self::Float(value) => Cell::Float(*value).write_json(out),
            Self::Text(text) => write_string(text, out),
            Self::List(items) => {
                for (at, item) in items.iter().enumerate() {
                    out.push(if at == 0 { '[' } else { ',' });
                    item.write(out);
                }
                out.push_str(if items.is_empty() { "[]" } else { "]" });
            }
            Self::Object(members) => {
                for (at, (name, member)) in members.iter().enumerate() {
                    out.push(if at == 0 { '{' } else { ',' });
                    write_string(name, out);
                    out.push(':');
                    member.write(out);
                }
                out.push_str(if members.is_empty() { "{}" } else { "}" });
            }
        }
    }

    /// The value as a cell: a document where a cell has no other form.
    #[must_use]
    pub fn into_cell(self) -> Cell {
        match self {
            Self::Null => Cell::Null,
            Self::Bool(value) => Cell::Bool(value),
            Self::Int(value) => Cell::Int(value),
            Self::Float(value) => Cell::Float(value),
            Self::Text(text) => Cell::Text(text.into()),
            list_or_object => {
                let mut text = String::new();
                list_or_object.write(&mut text);
                Cell::Json(text.into())
            }
        }
    }

    /// Without the members of objects that are null, in objects of objects too; lists keep their items.
    #[must_use]
    pub fn omit_null(self) -> Self {
        match self {
            Self::Object(members) => {
                let members = members.into_iter().filter(|(_, member)| *member != Self::Null);
                Self::Object(members.map(|(name, member)| (name, member.omit_null())).collect())
            }
            other => other,
        }
    }

    /// One object of all values, each under the names (and positions in lists) that lead to it. Empty lists and objects vanish.
    #[must_use]
    pub fn flatten(self, separator: &str, lists: bool) -> Self {
        fn into(value: Json, path: &str, separator: &str, lists: bool, flat: &mut BTreeMap<String, Json>) {
            let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}{separator}{name}") };
            match value {
                Json::Object(members) => {
                    for (name, member) in members {
                        into(member, &below(&name), separator, lists, flat);
                    }
                }
                Json::List(items) if lists => {
                    for (at, item) in items.into_iter().enumerate() {
                        into(item, &below(&at.to_string()), separator, lists, flat);
                    }
                }
                other => {
                    flat.insert(path.to_owned(), other);
                }
            }
        }
        let mut flat = BTreeMap::new();
        into(self, "", separator, lists, &mut flat);
        Self::Object(flat)
    }
}

/// A number of JSON. What neither type holds exactly stays text, as integers and decimals of columns do.
fn number(text: &str) -> Json {
    if let Ok(value) = text.parse() {
        return Json::Int(value);
    }
    let Ok(value) = text.parse::<f64>() else { return Json::Text(text.to_owned()) };
    // As it would be written: with other digits than the text, it is another number.
    let mut written = String::new();
    Cell::Float(value).write_json(&mut written);
    if value.is_finite() && significant(text) == significant(&written) {
        Json::Float(value)
    } else {
        Json::Text(text.to_owned())
    }
}

impl Json {
    /// The member of this name, if it is an object that has one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        if let Self::Object(members) = self { members.get(name) } else { None }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The value as text: numbers by their digits. Nothing for null, lists and objects.
    #[must_use]
    pub fn text(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Self::Null | Self::List(_) | Self::Object(_) => return None,
            Self::Bool(value) => Cow::Borrowed(if *value { "true" } else { "false" }),
            Self::Int(value) => Cow::Owned(value.to_string()),
            Self::Float(_) => Cow::Owned(self.to_string()),
            Self::Text(text) => Cow::Borrowed(text),
        })
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.write(&mut text);
        f.write_str(&text)
    }
}

impl From<&serde_json::Value> for Json {
    fn from(value: &serde_json::Value) -> Self {
        match value {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(value) => Self::Bool(*value),
            serde_json::Value::Number(digits) => number(&digits.to_string()),
            serde_json::Value::String(text) => Self::Text(text.clone()),
            serde_json::Value::Array(items) => Self::List(items.iter().map(Self::from).collect()),
            serde_json::Value::Object(members) => {
                Self::Object(members.iter().map(|(name, member)| (name.clone(), Self::from(member))).collect())
            }
        }
    }
}

/// The digits of a number, without zeros at their ends.
fn significant(number: &str) -> String {
    let mantissa = number.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    digits.trim_matches('0').to_owned()
}

/// Whether a text is a number as JSON writes them.
#[must_use]
pub fn is_number(text: &str) -> bool {
    let number = text.as_bytes().first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'-');
    number && serde_json::from_str::<&RawValue>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_digit_of_a_number_survives() {
        for (text, expected) in [
            ("1", Json::Int(1)),
            ("-9223372036854775808", Json::Int(i64::MIN)),
            ("9223372036854775808", Json::Text("9223372036854775808".into())),
            ("1.10", Json::Float(1.1)),
            ("1e3", Json::Float(1000.0)),
            ("0.30000000000000004", Json::Float(0.300_000_000_000_000_04)),
            ("0.3000000000000000444", Json::Text("0.3000000000000000444".into())),
            ("123456789.123456789", Json::Text("123456789.123456789".into())),
            ("1e400", Json::Text("1e400".into())),
            ("1e-400", Json::Text("1e-400".into())),
            ("-2.180709140352477e-283", Json::Float(-2.180_709_140_352_477e-283)),
            ("5e-324", Json::Float(5e-324)),
            ("5.1e-324", Json::Text("5.1e-324".into())),
            ("0.0", Json::Float(0.0)),
            // Halfway between two texts of as many digits: it is written as the even one.
            ("2087997444506032.2", Json::Float(2_087_997_444_506_032.3)),
            ("2087997444506032.3", Json::Text("2087997444506032.3".into())),
        ] {
            assert_eq!(Json::parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn documents_are_flattened_and_freed_of_null() {
        let document = Json::parse(r#"{"a": {"b": [1, {"c": null}], "d": {}}, "e": null}"#).unwrap();
        let text = |json: Json| {
            let mut text = String::new();
            json.write(&mut text);
            text
        };
        assert_eq!(text(document.clone().flatten("_", true)), r#"{"a_b_0":1,"a_b_1_c":null,"e":null}"#);
        assert_eq!(text(document.clone().flatten(".", false)), r#"{"a.b":[1,{"c":null}],"e":null}"#);
        assert_eq!(text(document.omit_null()), r#"{"a":{"b":[1,{"c":null}],"d":{}}}"#);
    }

    #[test]
    fn documents_are_read_and_bounded() {
        let document = Json::parse(r#" {"a": [1, null, "x\n"], "b": {"c": true}} "#).unwrap();
        let list = Json::List(vec![Json::Int(1), Json::Null, Json::Text("x\n".into())]);
        let object = Json::Object([("c".to_owned(), Json::Bool(true))].into());
        assert_eq!(document, Json::Object([("a".to_owned(), list), ("b".to_owned(), object)].into()));
        for wrong in ["", "nul", "{", "[1,]", "01", "'a'", "1 2"] {
            assert_eq!(Json::parse(wrong), Err(Unreadable::Syntax), "{wrong}");
        }
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(Json::parse(&nested(DEPTH + 1)).is_ok());
        assert_eq!(Json::parse(&nested(DEPTH + 2)), Err(Unreadable::TooDeep));
        let long = |items: usize| format!("[{}0]", "0,".repeat(items - 1));
        assert!(Json::parse(&long(ITEMS)).is_ok());
        assert_eq!(Json::parse(&long(ITEMS + 1)), Err(Unreadable::TooLong(ITEMS)));
    }
}
