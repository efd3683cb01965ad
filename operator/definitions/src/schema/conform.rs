//! A record's value as a destination takes it: normalised, hashed, of the right type; or why it cannot be.

use backflow_expressions::{Json, texts};
use serde_json::Value;

use super::{Member, OnNull, Schema, Type};

/// Why a value cannot be sent: in words without the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Where below the field: empty, or `.member`, `[0]`.
    pub path: String,
    /// What it is about: `INVALID_FIELD`, `MISSING_FIELD`, `TOO_LARGE`.
    pub code: &'static str,
    /// What is wrong: goes behind the field's name.
    pub message: String,
}

impl Misfit {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { path: String::new(), code, message: message.into() }
    }

    fn below(mut self, step: &str) -> Self {
        self.path.insert_str(0, step);
        self
    }
}

fn no_value() -> Misfit {
    Misfit::new("MISSING_FIELD", "has no value and is required")
}

impl Schema {
    /// Whether it demands nothing but a type of values, so that they can be sent as they are.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        let extra = &self.extra;
        let changes = !extra.normalize.is_empty() || extra.hash.is_some() || extra.coerce || extra.max_bytes.is_some();
        let changes = changes || (self.is_open() && matches!(extra.on_null, Some(OnNull::Omit | OnNull::Reject)));
        let inside = !self.properties.is_empty() || self.items.is_some() || !self.required.is_empty();
        !changes
            && !inside
            && !self.demands()
            && matches!(self.additional, super::Additional::None | super::Additional::Any)
            && (!self.types.contains(&Type::Object) || self.is_open())
    }

    /// Whether it demands anything but types and members.
    fn demands(&self) -> bool {
        let alternatives = !self.any_of.is_empty() || !self.one_of.is_empty() || !self.dependent_required.is_empty();
        let words = !self.choices.is_empty() || self.pattern.is_some() || self.format.is_some();
        alternatives || words || self.bounds != super::Bounds::default()
    }

    /// What NULL becomes. `parent`: the object that it is a member of.
    #[must_use]
    pub fn null_policy(&self, parent: &Self, required: bool) -> OnNull {
        let default = match required {
            true => OnNull::Reject,
            false if self.allows(Type::Null) => OnNull::Send,
            false => OnNull::Omit,
        };
        let inherited = parent.extra.on_null.filter(|_| parent.is_open());
        self.extra.on_null.or(inherited).unwrap_or(default)
    }

    /// The value as the destination takes it; null where it is none after all.
    ///
    /// # Errors
    /// Why it cannot be sent.
    pub fn conform(&self, value: Json) -> Result<Json, Misfit> {
        let value = self.coerced(self.hashed(self.normalized(value)));
        if value == Json::Null {
            return Ok(value);
        }
        if !self.allows(type_of(&value)) {
            return Err(Misfit::new("INVALID_FIELD", format!("must be {}", self.noun())));
        }
        let value = match value {
            Json::Object(members) => self.conform_members(members)?,
            Json::List(items) => match &self.items {
                Some(schema) => {
                    let item = |(at, item)| schema.conform(item).map_err(|misfit| misfit.below(&format!("[{at}]")));
                    let items = items.into_iter().enumerate().map(item).collect::<Result<Vec<_>, _>>()?;
                    // What is none after all is no item.
                    Json::List(
                        items.into_iter().filter(|item| *item != Json::Null || schema.allows(Type::Null)).collect(),
                    )
                }
                None => Json::List(items),
            },
            other => other,
        };
        self.bounded(&value)?;
        Ok(value)
    }

    fn bounded(&self, value: &Json) -> Result<(), Misfit> {
        if self.demands() {
            let read: Value = serde_json::from_str(&value.to_string()).unwrap_or(Value::Null);
            if let Some(mismatch) = self.mismatch(&read) {
                let mismatch = mismatch.strip_prefix("it ").unwrap_or(&mismatch).to_owned();
                // Which value it should have been is known from the definition; which it was is the row's.
                let mismatch = mismatch.split(" \"").next().unwrap_or_default().to_owned();
                let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let message = match self.choices.iter().take(12).map(text).collect::<Vec<_>>().join(", ") {
                    known if mismatch == "cannot be" => format!("cannot be this value; there are: {known}"),
                    _ => mismatch,
                };
                return Err(Misfit::new("INVALID_FIELD", message));
            }
        }
        if let Some(most) = self.extra.max_bytes {
            let size = value.as_text().map_or_else(|| value.to_string().len(), str::len);
            if size as u64 > most {
                return Err(Misfit::new("TOO_LARGE", format!("is longer than {most} bytes")));
            }
        }
        Ok(())
    }

    fn conform_members(&self, members: std::collections::BTreeMap<String, Json>) -> Result<Json, Misfit> {
        let mut kept = std::collections::BTreeMap::new();
        for (name, value) in members {
            let step = format!(".{name}");
            match self.member(&name) {
                Member::Any => match (value, self.extra.on_null.filter(|_| self.is_open())) {
                    (Json::Null, Some(OnNull::Omit)) => {}
                    (Json::Null, Some(OnNull::Reject)) => return Err(no_value().below(&step)),
                    (value, _) => _ = kept.insert(name, value),
                },
                Member::Unknown => return Err(Misfit::new("INVALID_FIELD", "is not known").below(&step)),
                Member::Known(schema) => {
                    let value = schema.conform(value).map_err(|misfit| misfit.below(&step))?;
                    let policy = schema.null_policy(self, self.required.contains(&name));
                    match (value, policy) {
                        (Json::Null, OnNull::Omit) => {}
                        (Json::Null, OnNull::Reject) => return Err(no_value().below(&step)),
                        (value, _) => _ = kept.insert(name, value),
                    }
                }
            }
        }
        match self.required.iter().find(|name| !kept.contains_key(*name)) {
            Some(name) => Err(no_value().below(&format!(".{name}"))),
            None => Ok(Json::Object(kept)),
        }
    }

    fn normalized(&self, value: Json) -> Json {
        self.extra.normalize.iter().fold(value, |value, step| match value.text() {
            Some(text) => step.of(&text).unwrap_or(Json::Null),
            None => value,
        })
    }

    fn hashed(&self, value: Json) -> Json {
        match (self.extra.hash, value.text()) {
            (Some(hash), Some(text)) => hash.of(&text).map_or(Json::Null, Json::Text),
            _ => value,
        }
    }

    /// Texts of numbers as numbers, numbers as texts: where the schema says so.
    fn coerced(&self, value: Json) -> Json {
        if !self.extra.coerce || self.allows(type_of(&value)) {
            return value;
        }
        match value {
            Json::Text(text) if self.allows(Type::Integer) || self.allows(Type::Number) => {
                let number = texts::number(&text).and_then(|number| Json::parse(&number).ok());
                number.filter(|number| self.allows(type_of(number))).unwrap_or(Json::Text(text))
            }
            Json::Text(text) if self.allows(Type::Boolean) => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "t" | "yes" | "1" => Json::Bool(true),
                "false" | "f" | "no" | "0" => Json::Bool(false),
                _ => Json::Text(text),
            },
            Json::Int(1) if self.allows(Type::Boolean) => Json::Bool(true),
            Json::Int(0) if self.allows(Type::Boolean) => Json::Bool(false),
            Json::Bool(_) | Json::Int(_) | Json::Float(_) if self.allows(Type::String) => {
                value.text().map_or(Json::Null, |text| Json::Text(text.into_owned()))
            }
            other => other,
        }
    }
}

/// The narrowest type of a value.
#[must_use]
pub fn type_of(value: &Json) -> Type {
    match value {
        Json::Null => Type::Null,
        Json::Bool(_) => Type::Boolean,
        Json::Int(_) => Type::Integer,
        Json::Float(number) if number.fract() == 0.0 => Type::Integer,
        Json::Float(_) => Type::Number,
        Json::Text(_) => Type::String,
        Json::List(_) => Type::Array,
        Json::Object(_) => Type::Object,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::schema::Schema;
    use crate::{builtin, load};

    use super::*;

    /// The fields of the webhook's action with another schema.
    fn fields(properties: &str) -> Arc<Schema> {
        assert!(builtin("webhook").is_some());
        let webhook = include_str!("../../builtin/webhook/definition.yaml");
        let open = "fields: {type: object, additionalProperties: true}";
        let changed = webhook.replace(open, &format!("fields: {{type: object, {properties}}}"));
        let definition = load(&changed).unwrap_or_else(|error| panic!("{error}"));
        Arc::clone(&definition.action("send").expect("there is one").fields)
    }

    fn conformed(properties: &str, value: &str) -> Result<String, String> {
        let conformed = fields(properties).conform(Json::parse(value).expect("JSON"));
        conformed
            .map(|json| json.to_string())
            .map_err(|misfit| format!("{}{} {}", misfit.code, misfit.path, misfit.message))
    }

    #[test]
    fn values_become_what_the_schema_says() {
        let hash = "b5fc85e55755f9e0d030a10ab4429b6b2944855f9a0d60077fe832becbc41d72";
        let email = "properties: {e: {type: string, x-normalize: [email], x-hash: sha256}}";
        let hashed = format!("{{\"e\":\"{hash}\"}}");
        assert_eq!(conformed(email, r#"{"e": " Ada@Example.COM"}"#), Ok(hashed.clone()));
        assert_eq!(conformed(email, &hashed), Ok(hashed), "nothing is hashed twice");
        assert_eq!(conformed(email, r#"{"e": ""}"#), Ok("{}".into()), "nothing is not hashed");
        assert_eq!(conformed(email, r#"{"e": "nobody"}"#), Ok("{}".into()));
        let list = "properties: {l: {type: array, items: {type: string, x-normalize: [trim], x-hash: md5}}}";
        assert_eq!(
            conformed(list, r#"{"l": [" abc ", ""]}"#),
            Ok(r#"{"l":["900150983cd24fb0d6963f7d28e17f72"]}"#.into())
        );
        let time = "properties: {t: {type: integer, x-normalize: [unix]}}";
        assert_eq!(conformed(time, r#"{"t": "2026-03-01T12:00:00Z"}"#), Ok(r#"{"t":1772366400}"#.into()));
        let id = "properties: {id: {type: string, x-coerce: true}, num: {type: number, x-coerce: true}, b: {type: boolean, x-coerce: true}}";
        assert_eq!(
            conformed(id, r#"{"id": 7, "num": " 1.50", "b": "yes"}"#),
            Ok(r#"{"b":true,"id":"7","num":1.5}"#.into())
        );
    }

    #[test]
    fn null_becomes_what_the_schema_says() {
        for (property, expected) in [
            ("{type: string}", Ok("{}")),
            ("{type: [string, \"null\"]}", Ok(r#"{"a":null}"#)),
            ("{type: string, x-onNull: send}", Ok(r#"{"a":null}"#)),
            ("{type: [string, \"null\"], x-onNull: omit}", Ok("{}")),
            ("{type: string, x-onNull: reject}", Err("MISSING_FIELD.a has no value and is required")),
        ] {
            let found = conformed(&format!("properties: {{a: {property}}}"), r#"{"a": null}"#);
            assert_eq!(found.as_deref().map_err(String::as_str), expected, "{property}");
        }
        let open = "properties: {p: {type: object, additionalProperties: {type: string}, x-onNull: send}}";
        assert_eq!(conformed(open, r#"{"p": {"x": null}}"#), Ok(r#"{"p":{"x":null}}"#.into()));
        let any = |policy: &str| {
            let schema = format!("properties: {{p: {{type: object, additionalProperties: true, x-onNull: {policy}}}}}");
            conformed(&schema, r#"{"p": {"x": null, "y": 1}}"#)
        };
        assert_eq!(any("omit"), Ok(r#"{"p":{"y":1}}"#.into()));
        assert_eq!(any("reject"), Err("MISSING_FIELD.p.x has no value and is required".into()));
    }

    #[test]
    fn what_does_not_fit_is_told_without_the_value() {
        for (properties, value, expected) in [
            ("properties: {a: {type: string}}", r#"{"a": 777}"#, "INVALID_FIELD.a must be text"),
            ("properties: {a: {type: integer}}", r#"{"a": 7.5}"#, "INVALID_FIELD.a must be a whole number"),
            ("properties: {a: {type: string}}", r#"{"b": 777}"#, "INVALID_FIELD.b is not known"),
            (
                "properties: {a: {type: string, enum: [x, z]}}",
                r#"{"a": "777"}"#,
                "INVALID_FIELD.a cannot be this value; there are: x, z",
            ),
            (
                "properties: {a: {type: string, maxLength: 2}}",
                r#"{"a": "777"}"#,
                "INVALID_FIELD.a must have at most 2 characters",
            ),
            ("properties: {a: {type: string, x-maxBytes: 2}}", r#"{"a": "777"}"#, "TOO_LARGE.a is longer than 2 bytes"),
            (
                "properties: {a: {type: object, required: [b], properties: {b: {type: string}}}}",
                r#"{"a": {}}"#,
                "MISSING_FIELD.a.b has no value and is required",
            ),
            (
                "properties: {a: {type: array, items: {type: string}}}",
                r#"{"a": ["x", 777]}"#,
                "INVALID_FIELD.a[1] must be text",
            ),
        ] {
            let found = conformed(properties, value).expect_err(properties);
            assert_eq!(found, expected);
            assert!(!found.contains("777"));
        }
    }

    #[test]
    fn steps_of_a_hundredth_are_taken_as_people_count_them() {
        let price = |step: &str, value: &str| {
            let schema = format!("properties: {{a: {{type: number, multipleOf: {step}}}}}");
            conformed(&schema, &format!("{{\"a\": {value}}}")).is_ok()
        };
        assert!(price("0.01", "0.29") && price("0.1", "-0.7") && price("5", "10") && price("0.01", "0"));
        assert!(!price("0.01", "0.295") && !price("5", "7") && !price("1", "10000000000.5"));
    }

    #[test]
    fn what_demands_only_a_type_is_plain() {
        let plain = |property: &str| {
            let fields = fields(&format!("properties: {{a: {property}}}"));
            fields.property("a").expect("there is one").is_plain()
        };
        assert!(plain("{type: string}") && plain("{type: object, additionalProperties: true}") && plain("{}"));
        assert!(!plain("{type: string, x-coerce: true}") && !plain("{type: string, minLength: 1}"));
        assert!(!plain("{type: object}") && !plain("{type: array, items: {type: string}}"));
    }
}
