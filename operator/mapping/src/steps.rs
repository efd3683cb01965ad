//! What becomes of a value between its source and the record: `parse`, then `map`, then `default`.

use std::borrow::Cow;
use std::collections::HashMap;

use backflow_core::cell::Cell;
use backflow_core::plan::{Field, Parse};
use serde_json::Value;
use serde_json::value::RawValue;

use backflow_expressions::{texts, time};

/// The steps of one field.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    parse: Option<Parse>,
    map: HashMap<String, Cell>,
    default: Option<Cell>,
}

impl Steps {
    /// The steps that a field says.
    pub(crate) fn new(field: &Field) -> Self {
        Self {
            parse: field.parse,
            map: field.map.iter().map(|(value, instead)| (value.clone(), constant(instead))).collect(),
            default: field.default.as_ref().map(constant),
        }
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.parse.is_none() && self.map.is_empty() && self.default.is_none()
    }

    /// Takes a value through the steps. No value, a member that is not there, becomes the default if there is one.
    ///
    /// # Errors
    /// In words without the value, what it is not.
    pub(crate) fn apply<'c>(&'c self, value: Option<Cow<'c, Cell>>) -> Result<Option<Cow<'c, Cell>>, &'static str> {
        let mut value = value;
        if let (Some(parse), Some(cell)) = (self.parse, value.as_ref().filter(|cell| !cell.is_null()))
            && let Some(parsed) = parsed(parse, cell)?
        {
            value = Some(Cow::Owned(parsed));
        }
        if let Some(cell) = value.as_ref().filter(|cell| !self.map.is_empty() && !cell.is_null())
            && let Some(instead) = self.map.get(&*text(cell))
        {
            value = Some(Cow::Borrowed(instead));
        }
        Ok(match &self.default {
            Some(default) if value.as_ref().is_none_or(|cell| cell.is_null()) => Some(Cow::Borrowed(default)),
            _ => value,
        })
    }
}

/// A constant as a cell.
pub(crate) fn constant(value: &Value) -> Cell {
    match value {
        Value::Null => Cell::Null,
        Value::Bool(value) => Cell::Bool(*value),
        Value::String(text) => Cell::Text(text.as_str().into()),
        other => Cell::Json(other.to_string().into()),
    }
}

/// A value as text, as the keys of `map` name it.
fn text(cell: &Cell) -> Cow<'_, str> {
    match cell {
        Cell::Decimal(text) | Cell::Text(text) | Cell::Time(text) => Cow::Borrowed(text),
        Cell::Json(text) if text.starts_with('"') => {
            serde_json::from_str::<String>(text).map_or(Cow::Borrowed(&**text), Cow::Owned)
        }
        Cell::Json(text) => Cow::Borrowed(text),
        Cell::Int(value) => Cow::Owned(value.to_string()),
        other => {
            let mut out = String::new();
            other.write_json(&mut out);
            Cow::Owned(out.trim_matches('"').to_owned())
        }
    }
}

/// What a value is read as; nothing if it is that already.
fn parsed(parse: Parse, cell: &Cell) -> Result<Option<Cell>, &'static str> {
    let read = match (parse, cell) {
        (Parse::Json, Cell::Json(_) | Cell::Bool(_) | Cell::Int(_) | Cell::Float(_))
        | (Parse::Boolean, Cell::Bool(_)) => return Ok(None),
        (Parse::Number, Cell::Float(value)) if value.is_finite() => return Ok(None),
        (Parse::Json, _) => {
            let text = text(cell);
            serde_json::from_str::<&RawValue>(&text).ok().map(|document| Cell::Json(document.get().into()))
        }
        (Parse::Number, Cell::Bool(_) | Cell::Bytes(_)) => None,
        (Parse::Number, _) => texts::number(&text(cell)).map(|number| Cell::Json(number.into())),
        (Parse::Boolean, _) => boolean(&text(cell)).map(Cell::Bool),
        (Parse::Timestamp, Cell::Bool(_) | Cell::Bytes(_) | Cell::Float(_)) => None,
        (Parse::Timestamp, _) => time::instant(&text(cell)).map(|instant| Cell::Time(instant.to_string().into())),
    };
    read.map(Some).ok_or(match parse {
        Parse::Json => "the value is no JSON",
        Parse::Number => "the value is no number",
        Parse::Boolean => "the value is no truth value (true, t, yes, y, on, 1, or false, f, no, n, off, 0)",
        Parse::Timestamp => "the value is no timestamp (ISO 8601, or seconds or milliseconds since 1970)",
    })
}

/// The spellings that Postgres reads.
fn boolean(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "on" | "1" => Some(true),
        "false" | "f" | "no" | "n" | "off" | "0" => Some(false),
        _ => None,
    }
}
