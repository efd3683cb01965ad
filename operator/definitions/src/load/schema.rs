//! Schemas of settings, config and fields.

mod spot;

use std::sync::Arc;

use backflow_core::finding::hint;
use regex::RegexBuilder;
use serde_json::Value;

use self::spot::Spot;
use super::place::{Object, Place};
use super::values;
use crate::problem::Problems;
use crate::schema::{Additional, Bounds, Extra, Format, Hash, NormalizeStep, OnNull, Role, Schema, Type, json_type};
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

/// Keywords that say nothing of values of other types.
const OF_TYPES: [(&[&str], &[Type]); 5] = [
    (&["pattern", "format", "minLength", "maxLength"], &[Type::String]),
    (&["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"], &[Type::Number, Type::Integer]),
    (&["items", "minItems", "maxItems", "uniqueItems"], &[Type::Array]),
    (
        &["properties", "required", "additionalProperties", "dependentRequired", "minProperties", "maxProperties"],
        &[Type::Object],
    ),
    (&["x-normalize"], &[Type::String, Type::Number, Type::Integer]),
];

/// What texts and numbers can become.
const SCALARS: [Type; 4] = [Type::String, Type::Number, Type::Integer, Type::Boolean];

/// Reads schemas of one purpose. `conditions`: what `x-requiredWhen` may name.
pub(super) struct Reader<'a> {
    pub(super) purpose: Purpose,
    pub(super) conditions: Option<Allowed<'a>>,
}

impl Reader<'_> {
    /// The schema of an object: of all settings, of the config, of all fields.
    pub(super) fn root(&self, place: &Place<'_>, problems: &mut Problems) -> Option<Schema> {
        let schema = self.schema(place, Spot::Root, 0, problems)?;
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
        self.secrets(place, &schema, problems);
        Some(schema)
    }

    /// What is required of settings is not asked of secrets.
    fn secrets(&self, place: &Place<'_>, schema: &Schema, problems: &mut Problems) {
        let groups = schema.any_of.iter().chain(&schema.one_of).flat_map(|group| &group.required);
        let dependent = schema.dependent_required.iter().flat_map(|(name, others)| others.iter().chain([name]));
        let named = schema.required.iter().chain(groups).chain(dependent);
        for name in named.filter(|name| schema.property(name).is_some_and(|one| one.extra.secret)) {
            let message = format!("\"{name}\" is a secret, and required by the scheme of auth that names it: not here");
            place.wrong(problems, message);
        }
    }

    fn schema(&self, place: &Place<'_>, spot: Spot, depth: usize, problems: &mut Problems) -> Option<Schema> {
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
            choices: object.get("enum").map(|place| choices(&place, problems)).unwrap_or_default(),
            pattern: object.get("pattern").and_then(|place| pattern(&place, problems)),
            format: object.get("format").and_then(|place| place.one(&Format::NAMES, problems)),
            bounds: bounds(&mut object, problems),
            extra: self.extra(&mut object, problems),
            ..Schema::default()
        };
        if let Some(constant) = object.get("const") {
            schema.choices = vec![constant.json()];
        }
        if object.has("enum") && object.has("const") {
            place.wrong(problems, "enum and const both say the only values: remove one of them");
        }
        self.members(&mut object, &mut schema, spot, depth, problems);
        schema.any_of = self.alternatives(object.get("anyOf"), &schema, spot, depth, problems);
        schema.one_of = self.alternatives(object.get("oneOf"), &schema, spot, depth, problems);
        spot.check(self.purpose, place, problems);
        self.sense(place, &schema, spot, problems);
        object.finish(problems);
        Some(schema)
    }

    fn members(&self, object: &mut Object<'_>, schema: &mut Schema, spot: Spot, depth: usize, problems: &mut Problems) {
        if let Some(items) = object.get("items") {
            schema.items = self.schema(&items, spot.of_items(), depth + 1, problems).map(Arc::new);
        }
        if let Some(properties) = object.get("properties") {
            let entries = properties.entries(problems).unwrap_or_default();
            if entries.len() > MEMBERS {
                properties.wrong(problems, format!("has {} members, more than {MEMBERS}", entries.len()));
            }
            for (name, place) in entries {
                if let Some(member) = self.schema(&place, spot.of_properties(), depth + 1, problems) {
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
                    .schema(&additional, spot.of_others(), depth + 1, problems)
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

    /// Groups of which some hold. `around`: the schema that they are of.
    fn alternatives(
        &self,
        place: Option<Place<'_>>,
        around: &Schema,
        spot: Spot,
        depth: usize,
        problems: &mut Problems,
    ) -> Vec<Schema> {
        let Some(place) = place else { return Vec::new() };
        let items = place.items(16, problems).unwrap_or_default();
        if items.is_empty() {
            place.wrong(problems, "is empty; remove it");
        }
        let mut groups = Vec::new();
        for item in &items {
            let Some(group) = self.schema(item, Spot::Group, depth + 1, problems) else { continue };
            if spot == Spot::Root && item.node.entries().iter().any(|entry| entry.key != "required") {
                item.wrong(problems, "of all of them together, a group says required alone");
            }
            // A group without members of its own speaks of those around it.
            if group.types.is_empty() && group.properties.is_empty() && !around.is_open() {
                known_members(item, &group.required, around, problems);
            }
            groups.push(group);
        }
        groups
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
    fn sense(&self, place: &Place<'_>, schema: &Schema, spot: Spot, problems: &mut Problems) {
        let extra = &schema.extra;
        if extra.secret && schema.types != [Type::String] {
            place.wrong(problems, "x-secret is for settings of type string that stand directly in properties");
        }
        if extra.secret && (schema.default.is_some() || extra.identity) {
            place.wrong(problems, "a secret has no default and is no identity: both would be shown");
        }
        if schema.format == Some(Format::Field) && (self.purpose != Purpose::Config || spot != Spot::Direct) {
            place.wrong(problems, "format: field is for what stands directly in properties of config");
        }
        if extra.on_null.is_some() && spot == Spot::Root && !schema.is_open() {
            place.wrong(problems, "x-onNull of all fields is about those of additionalProperties, and there are none");
        }
        if extra.coerce && !SCALARS.iter().any(|kind| schema.types.contains(kind)) {
            place.wrong(problems, "x-coerce is for a type that texts and numbers can become, and there is none");
        }
        if extra.hash.is_some() && schema.types != [Type::String] {
            place.wrong(problems, "x-hash is for type: string");
        }
        for (keys, kinds) in OF_TYPES {
            for key in keys.iter().filter(|key| place.node.get(key).is_some()) {
                let one = *key == "format" && schema.format == Some(Format::HttpHeaders);
                let kinds = if one { &[Type::Object][..] } else { kinds };
                if !kinds.iter().any(|kind| schema.allows(*kind)) {
                    let kinds = kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(" or ");
                    let path = format!("{}.{key}", place.path);
                    problems.add(place.key_at(key), &path, format!("is for type: {kinds}"));
                }
            }
        }
        for choice in schema.choices.iter().filter(|choice| !schema.allows(json_type(choice))) {
            let (kind, cure) = (json_type(choice).as_str(), "put quotes around what is meant as text");
            place.wrong(problems, format!("{choice} is of type {kind}, which type does not allow; {cure}"));
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

fn choices(place: &Place<'_>, problems: &mut Problems) -> Vec<Value> {
    let choices = place.items(512, problems).map(all).unwrap_or_default();
    if choices.is_empty() {
        place.wrong(problems, "has no value");
    }
    choices
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
    bounds.multiple_of = number("multipleOf");
    if bounds.multiple_of.is_some_and(|step| step <= 0.0) {
        object.wrong(problems, "multipleOf must be more than 0");
    }
    bounds
}
