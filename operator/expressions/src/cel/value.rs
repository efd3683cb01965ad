//! Cells and documents as values of CEL, and back.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use backflow_core::cell::Cell;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cel::ExecutionError;
use cel::common::types::{
    CelBool, CelBytes, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelOptional, CelString, CelUInt, Kind,
};
use cel::common::value::Val;

use crate::json::{Json, Unreadable};

/// A value that lives for `'v`.
pub(super) type Value<'v> = Box<dyn Val + 'v>;

/// A cell. Integers are CEL's int, decimals and times the text that their cell holds.
pub(super) fn of_cell(cell: &Cell) -> Result<Value<'_>, Unreadable> {
    Ok(match cell {
        Cell::Null => Box::new(CelNull),
        Cell::Bool(value) => Box::new(CelBool::from(*value)),
        Cell::Int(value) => Box::new(CelInt::from(*value)),
        Cell::Float(value) => Box::new(CelDouble::from(*value)),
        Cell::Decimal(text) | Cell::Text(text) | Cell::Time(text) => Box::new(CelString::from(&**text)),
        Cell::Bytes(bytes) => Box::new(CelBytes::from(bytes.to_vec())),
        Cell::Json(text) => of_json(Json::parse(text)?),
    })
}

/// A document.
pub(super) fn of_json<'v>(json: Json) -> Value<'v> {
    match json {
        Json::Null => Box::new(CelNull),
        Json::Bool(value) => Box::new(CelBool::from(value)),
        Json::Int(value) => Box::new(CelInt::from(value)),
        Json::Float(value) => Box::new(CelDouble::from(value)),
        Json::Text(text) => Box::new(CelString::from(text)),
        Json::List(items) => Box::new(CelList::from(items.into_iter().map(of_json).collect::<Vec<Value<'v>>>())),
        Json::Object(members) => {
            let members = members.into_iter().map(|(name, member)| (CelMapKey::from(name), of_json(member)));
            Box::new(CelMap::from(members.collect::<HashMap<CelMapKey<'v>, Value<'v>>>()))
        }
    }
}

/// What a value is in JSON; nothing for `optional.none()`, which is left out of lists and objects, too.
pub(super) fn to_json(value: &dyn Val) -> Result<Option<Json>, ExecutionError> {
    let said = match value.get_type().kind() {
        Kind::NullType => Some(Json::Null),
        Kind::Boolean => value.downcast_ref::<CelBool>().map(|value| Json::Bool(*value.inner())),
        Kind::Int => value.downcast_ref::<CelInt>().map(|value| Json::Int(*value.inner())),
        Kind::UInt => value.downcast_ref::<CelUInt>().map(|value| {
            i64::try_from(*value.inner()).map_or_else(|_| Json::Text(value.inner().to_string()), Json::Int)
        }),
        Kind::Double => value.downcast_ref::<CelDouble>().map(|value| Json::Float(*value.inner())),
        Kind::String => value.downcast_ref::<CelString>().map(|value| Json::Text(value.inner().to_owned())),
        Kind::Bytes => value.downcast_ref::<CelBytes>().map(|value| Json::Text(STANDARD.encode(value.inner()))),
        Kind::List => match value.downcast_ref::<CelList>() {
            Some(list) => Some(Json::List(
                list.inner().iter().filter_map(|item| to_json(item.as_ref()).transpose()).collect::<Result<_, _>>()?,
            )),
            None => None,
        },
        Kind::Map => match value.downcast_ref::<CelMap>() {
            Some(map) => Some(Json::Object(members(map)?)),
            None => None,
        },
        _ => match value.downcast_ref::<CelOptional>() {
            Some(optional) => return optional.option().map_or(Ok(None), to_json),
            None => None,
        },
    };
    said.map(Some).ok_or_else(|| ExecutionError::UnexpectedType {
        got: value.get_type().name().to_owned(),
        want: "a value that JSON has".to_owned(),
    })
}

fn members(map: &CelMap<'_>) -> Result<BTreeMap<String, Json>, ExecutionError> {
    let mut members = BTreeMap::new();
    for (key, member) in map.inner() {
        let name = match key {
            CelMapKey::Bool(key) => key.inner().to_string(),
            CelMapKey::Int(key) => key.inner().to_string(),
            CelMapKey::UInt(key) => key.inner().to_string(),
            CelMapKey::String(key) => key.inner().to_owned(),
        };
        if let Some(member) = to_json(member.as_ref())? {
            members.insert(name, member);
        }
    }
    Ok(members)
}

/// A value as text, for functions of texts: numbers are their digits. Nothing for null and `optional.none()`.
pub(super) fn text<'b>(value: &'b dyn Val) -> Result<Option<Cow<'b, str>>, ExecutionError> {
    if let Some(text) = value.downcast_ref::<CelString>() {
        return Ok(Some(Cow::Borrowed(text.inner())));
    }
    match to_json(value)? {
        None | Some(Json::Null) => Ok(None),
        Some(Json::Int(number)) => Ok(Some(number.to_string().into())),
        Some(Json::Float(number)) => Ok(Some(number.to_string().into())),
        Some(_) => {
            Err(ExecutionError::UnexpectedType { got: value.get_type().name().to_owned(), want: "string".to_owned() })
        }
    }
}
