//! Cells and documents as values of templates, and back.

use std::collections::BTreeMap;

use backflow_core::cell::Cell;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind};

use backflow_expressions::Json;
use backflow_expressions::json::Unreadable;

/// A cell. Decimals and times are the text that their cell holds.
pub(super) fn of_cell(cell: &Cell) -> Result<Value, Unreadable> {
    Ok(match cell {
        Cell::Null => Value::from(()),
        Cell::Bool(value) => Value::from(*value),
        Cell::Int(value) => Value::from(*value),
        Cell::Float(value) => Value::from(*value),
        Cell::Decimal(text) | Cell::Text(text) | Cell::Time(text) => Value::from(&**text),
        Cell::Bytes(bytes) => Value::from(STANDARD.encode(bytes)),
        Cell::Json(text) => of_json(Json::parse(text)?),
    })
}

/// A document.
pub(super) fn of_json(json: Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(value) => Value::from(value),
        Json::Int(value) => Value::from(value),
        Json::Float(value) => Value::from(value),
        Json::Text(text) => Value::from(text),
        Json::List(items) => items.into_iter().map(of_json).collect(),
        Json::Object(members) => Value::from_pairs(members.into_iter().map(|(name, member)| (name, of_json(member)))),
    }
}

/// What a value is in JSON.
pub(super) fn to_json(value: &Value) -> Result<Json, Error> {
    let unsayable = || Error::new(ErrorKind::BadSerialization, "a value has no form in JSON");
    Ok(match value.kind() {
        ValueKind::None => Json::Null,
        ValueKind::Bool => Json::Bool(value.is_true()),
        ValueKind::Number => match value.as_i64().filter(|_| value.is_integer()) {
            Some(whole) => Json::Int(whole),
            None => match f64::try_from(value.clone()).ok().filter(|_| !value.is_integer()) {
                Some(number) => Json::Float(number),
                None => Json::Text(value.to_string()),
            },
        },
        ValueKind::String => Json::Text(value.as_str().ok_or_else(unsayable)?.to_owned()),
        ValueKind::Seq | ValueKind::Iterable => {
            Json::List(value.try_iter()?.map(|item| to_json(&item)).collect::<Result<_, _>>()?)
        }
        ValueKind::Map => {
            let mut members = BTreeMap::new();
            for name in value.try_iter()? {
                members.insert(name.to_string(), to_json(&value.get_item(&name)?)?);
            }
            Json::Object(members)
        }
        ValueKind::Undefined => return Err(Error::from(ErrorKind::UndefinedError)),
        _ => return Err(unsayable()),
    })
}
