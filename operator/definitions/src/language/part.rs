//! What schemas of the language are made of. Nothing is a member without a word about it.

use serde_json::{Map, Value, json};

/// A name, what it means, and what it is.
pub(super) type Member = (&'static str, &'static str, Value);

/// Members by their names, each with its meaning.
pub(super) fn described<const N: usize>(members: [Member; N]) -> Map<String, Value> {
    let described = |(name, meaning, schema): Member| {
        let mut all = Map::from_iter([("description".to_owned(), json!(meaning))]);
        if let Value::Object(schema) = schema {
            all.extend(schema);
        }
        (name.to_owned(), Value::Object(all))
    };
    members.into_iter().map(described).collect()
}

/// An object of these members and no others.
pub(super) fn object<const N: usize>(required: &[&str], members: [Member; N]) -> Value {
    json!({"type": "object", "additionalProperties": false, "required": required, "properties": described(members)})
}

pub(super) fn map(of: Value) -> Value {
    json!({"type": "object", "additionalProperties": of})
}

pub(super) fn list(of: Value) -> Value {
    json!({"type": "array", "items": of})
}

/// One of `$defs`.
pub(super) fn to(name: &str) -> Value {
    json!({"$ref": format!("#/$defs/{name}")})
}

pub(super) fn template() -> Value {
    to("template")
}

pub(super) fn expression() -> Value {
    to("expression")
}

pub(super) fn text() -> Value {
    json!({"type": "string"})
}

pub(super) fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> Value {
    json!({"enum": names.into_iter().collect::<Vec<_>>()})
}

pub(super) fn flag() -> Value {
    json!({"type": "boolean"})
}

pub(super) fn whole() -> Value {
    json!({"type": "integer", "minimum": 0})
}
