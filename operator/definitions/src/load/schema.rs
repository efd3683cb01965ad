//! Schemas of settings, config and fields.

use std::sync::Arc;

use backflow_core::finding::hint;
use regex::RegexBuilder;
use serde_json::Value;

use super::place::{Object, Place};
use super::values;
use crate::problem::Problems;
use crate::schema::{Additional, Bounds, Extra, Format, Hash, NormalizeStep, OnNull, Role, Schema, Type};
use crate::template::Allowed;

/// Schemas in each other, at most.
const DEEPEST: usize = 12;
/// Members of one object, at most: as many fields as a Mapping may have.
const MEMBERS: usize = 512;

/// What a schema is for: what it may say depends on that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Settings,
    Config,
    Fields,
}

const TYPES: [(&str, Type); 7] = [
    ("string", Type::String),
    ("number", Type::Number),
    ("integer", Type::Integer),
    ("boolean", Type::Boolean),
    ("object", Type::Object),
    ("array", Type::Array),
    ("null", Type::Null),
];

/// Reads schemas of one purpose. `conditions`: what `x-requiredWhen` may name.
pub(super) struct Reader<'a> {
    pub(super) purpose: Purpose,
    pub(super) conditions: Option<Allowed<'a>>,
}

impl Reader<'_> {
    /// The schema of an object: of all settings, of the config, of all fields.
    pub(super) fn root(&self, place: &Place<'_>, problems: &mut Problems) -> Option<Schema> {
        let schema = self.schema(place, 0, problems)?;
        if schema.types != [Type::Object] {
            place.wrong(problems, "must be a schema with type: object");
        }
        for (name, member) in &schema.properties {
            let described = member.description.is_some() || self.purpose == Purpose::Fields;
            if !described {
                let path = format!("{}.properties.{name}", place.path);
                problems.add(
                    property_at(place, name),
                    &path,
                    "description is missing: one sentence for those who set it",
                );
            }
        }
        Some(schema)
    }

    fn schema(&self, place: &Place<'_>, depth: usize, problems: &mut Problems) -> Option<Schema> {
        if depth > DEEPEST {
            place.wrong(problems, format!("more than {DEEPEST} schemas in each other"));
            return None;
        }
        let mut object = place.object(problems)?;
        let mut schema = Schema {
            types: object.get("type").map(|place| types(&place, problems)).unwrap_or_default(),
            title: object.get("title").and_then(|place| place.text(problems)),
            description: object.get("description").and_then(|place| place.text(problems)),
            default: object.get("default").map(|place| place.json()),
            examples: object.get("examples").and_then(|place| place.items(16, problems)).map(all).unwrap_or_default(),
            choices: object.get("enum").and_then(|place| place.items(512, problems)).map(all).unwrap_or_default(),
            pattern: object.get("pattern").and_then(|place| pattern(&place, problems)),
            format: object.get("format").and_then(|place| place.one(&Format::NAMES, problems)),
            bounds: bounds(&mut object, problems),
            extra: self.extra(&mut object, problems),
            ..Schema::default()
        };
        if let Some(constant) = object.get("const") {
            schema.choices = vec![constant.json()];
        }
        self.members(&mut object, &mut schema, depth, problems);
        schema.any_of = self.alternatives(object.get("anyOf"), depth, problems);
        schema.one_of = self.alternatives(object.get("oneOf"), depth, problems);
        self.sense(place, &schema, depth, problems);
        object.finish(problems);
        Some(schema)
    }

    fn members(&self, object: &mut Object<'_>, schema: &mut Schema, depth: usize, problems: &mut Problems) {
        if let Some(items) = object.get("items") {
            schema.items = self.schema(&items, depth + 1, problems).map(Arc::new);
        }
        if let Some(properties) = object.get("properties") {
            let entries = properties.entries(problems).unwrap_or_default();
            if entries.len() > MEMBERS {
                properties.wrong(problems, format!("has {} members, more than {MEMBERS}", entries.len()));
            }
            for (name, place) in entries {
                if let Some(member) = self.schema(&place, depth + 1, problems) {
                    schema.properties.push((name, Arc::new(member)));
                }
            }
        }
        if let Some(required) = object.get("required") {
            schema.required = required.texts(MEMBERS, problems).unwrap_or_default();
            known_members(&required, &schema.required, schema, problems);
        }
        if let Some(additional) = object.get("additionalProperties") {
            schema.additional = match additional.json() {
                Value::Bool(true) => Additional::Any,
                Value::Bool(false) => Additional::None,
                _ => self
                    .schema(&additional, depth + 1, problems)
                    .map_or(Additional::None, |schema| Additional::Like(Arc::new(schema))),
            };
        }
        if let Some(dependent) = object.get("dependentRequired") {
            for (name, place) in dependent.entries(problems).unwrap_or_default() {
                let others = place.texts(MEMBERS, problems).unwrap_or_default();
                known_members(&place, &others, schema, problems);
                known_members(&place, std::slice::from_ref(&name), schema, problems);
                schema.dependent_required.push((name, others));
            }
        }
    }

    fn alternatives(&self, place: Option<Place<'_>>, depth: usize, problems: &mut Problems) -> Vec<Schema> {
        let Some(place) = place else { return Vec::new() };
        let items = place.items(16, problems).unwrap_or_default();
        items.iter().filter_map(|item| self.schema(item, depth + 1, problems)).collect()
    }

    fn extra(&self, object: &mut Object<'_>, problems: &mut Problems) -> Extra {
        let mut extra = Extra::default();
        let fields = self.purpose == Purpose::Fields;
        if self.purpose == Purpose::Settings {
            extra.secret = flag(object, "x-secret", problems);
        }
        if !fields {
            extra.identity = flag(object, "x-identity", problems);
        }
        extra.choices = object.get("x-choices").and_then(|place| place.text(problems));
        extra.pii = flag(object, "x-pii", problems);
        if let (Some(allowed), Some(place)) = (&self.conditions, object.get("x-requiredWhen")) {
            extra.required_when = values::condition(&place, allowed, problems);
        }
        if !fields {
            return extra;
        }
        extra.role = object.get("x-role").and_then(|place| {
            let roles = [
                ("matchKey", Role::MatchKey),
                ("groupKey", Role::GroupKey),
                ("eventId", Role::EventId),
                ("eventTime", Role::EventTime),
            ];
            place.one(&roles, problems)
        });
        if let Some(place) = object.get("x-normalize") {
            for item in place.items(8, problems).unwrap_or_default() {
                let Some(name) = item.text(problems) else { continue };
                match NormalizeStep::named(&name) {
                    Some(step) => extra.normalize.push(step),
                    None => {
                        let known = hint(&name, NormalizeStep::names());
                        item.wrong(problems, format!("there is no way to normalize called \"{name}\" {known}"));
                    }
                }
            }
        }
        extra.hash = object.get("x-hash").and_then(|place| {
            place.one(&[("sha256", Hash::Sha256), ("sha1", Hash::Sha1), ("md5", Hash::Md5)], problems)
        });
        extra.coerce = flag(object, "x-coerce", problems);
        extra.on_null = object.get("x-onNull").and_then(|place| {
            place.one(&[("send", OnNull::Send), ("omit", OnNull::Omit), ("reject", OnNull::Reject)], problems)
        });
        extra.max_bytes = object.get("x-maxBytes").and_then(|place| place.size(problems));
        extra.columns = object.get("x-columns").and_then(|place| place.texts(32, problems)).unwrap_or_default();
        extra
    }

    /// What contradicts itself.
    fn sense(&self, place: &Place<'_>, schema: &Schema, depth: usize, problems: &mut Problems) {
        let extra = &schema.extra;
        if extra.secret && (depth != 1 || schema.types != [Type::String]) {
            place.wrong(problems, "x-secret is for settings of type string that stand directly in properties");
        }
        if extra.secret && (schema.default.is_some() || extra.identity) {
            place.wrong(problems, "a secret has no default and is no identity: both would be shown");
        }
        if extra.identity && depth != 1 {
            place.wrong(problems, "x-identity is for what stands directly in properties");
        }
        if schema.format == Some(Format::Field) && self.purpose != Purpose::Config {
            place.wrong(problems, "format: field is for config");
        }
        if extra.hash.is_some() && schema.types != [Type::String] {
            place.wrong(problems, "x-hash is for type: string");
        }
        if schema.pattern.is_some() && !schema.allows(Type::String) {
            place.wrong(problems, "pattern is for type: string");
        }
        if (!schema.properties.is_empty() || schema.is_open()) && !schema.allows(Type::Object) {
            place.wrong(problems, "properties and additionalProperties are for type: object");
        }
        if let Some(default) = &schema.default
            && let Some(mismatch) = schema.mismatch(default)
        {
            let mismatch = mismatch.trim_start_matches("it ").to_owned();
            problems.add(place.key_at("default"), &format!("{}.default", place.path), mismatch);
        }
    }
}

/// Whether what is required is there; of an open object everything may be.
fn known_members(place: &Place<'_>, names: &[String], schema: &Schema, problems: &mut Problems) {
    // A group of anyOf names members of the schema around it.
    if schema.types.is_empty() && schema.properties.is_empty() {
        return;
    }
    for name in names.iter().filter(|name| !schema.properties.iter().any(|(own, _)| own == *name)) {
        let known = hint(name, schema.properties.iter().map(|(name, _)| name.as_str()));
        place.wrong(problems, format!("\"{name}\" is not among properties {known}"));
    }
}

fn property_at(place: &Place<'_>, name: &str) -> backflow_yaml::Position {
    let entry = place.node.get("properties").and_then(|properties| properties.entry(name));
    entry.map_or(place.node.at, |entry| entry.at)
}

fn flag(object: &mut Object<'_>, key: &'static str, problems: &mut Problems) -> bool {
    object.get(key).and_then(|place| place.boolean(problems)).unwrap_or_default()
}

fn all(items: Vec<Place<'_>>) -> Vec<Value> {
    items.iter().map(Place::json).collect()
}

fn types(place: &Place<'_>, problems: &mut Problems) -> Vec<Type> {
    if place.node.text().is_some() {
        return place.one(&TYPES, problems).into_iter().collect();
    }
    let items = place.items(TYPES.len(), problems).unwrap_or_default();
    // `null` without quotes is what people mean, too.
    let kind = |item: &Place<'_>, problems: &mut Problems| match item.node.is_null() {
        true => Some(Type::Null),
        false => item.one(&TYPES, problems),
    };
    items.iter().filter_map(|item| kind(item, problems)).collect()
}

fn pattern(place: &Place<'_>, problems: &mut Problems) -> Option<regex::Regex> {
    let text = place.text(problems)?;
    let built = RegexBuilder::new(&text).size_limit(1 << 20).build();
    let wrong = |error: regex::Error| {
        let error = error.to_string();
        // What comes before repeats the expression, with a mark below it.
        let why = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
        place.wrong(problems, format!("is no regular expression: {why}; write it as the crate regex does"));
    };
    built.map_err(wrong).ok()
}

fn bounds(object: &mut Object<'_>, problems: &mut Problems) -> Bounds {
    let mut whole = |key, problems: &mut Problems| {
        object.get(key).and_then(|place: Place<'_>| place.whole(0..=u64::from(u32::MAX), problems))
    };
    let mut bounds = Bounds {
        min_length: whole("minLength", problems),
        max_length: whole("maxLength", problems),
        min_items: whole("minItems", problems),
        max_items: whole("maxItems", problems),
        min_properties: whole("minProperties", problems),
        max_properties: whole("maxProperties", problems),
        ..Bounds::default()
    };
    bounds.unique_items = flag(object, "uniqueItems", problems);
    let mut number = |key| {
        let place = object.get(key)?;
        let value = place.json().as_f64();
        if value.is_none() {
            place.wrong(problems, "must be a number");
        }
        value
    };
    bounds.minimum = number("minimum");
    bounds.maximum = number("maximum");
    bounds.exclusive_minimum = number("exclusiveMinimum");
    bounds.exclusive_maximum = number("exclusiveMaximum");
    bounds.multiple_of = number("multipleOf").filter(|step| *step > 0.0);
    bounds
}
