//! A value against a schema.

use backflow_core::finding::hint;
use serde_json::{Map, Value};

use super::{Additional, Member, Schema, Type};

/// One thing that is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// Where, from the root that was given.
    pub(crate) path: String,
    /// What kind.
    pub(crate) kind: Kind,
    /// What and where, without the value.
    pub(crate) message: String,
}

/// What kind of thing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A member that is required is not there.
    Missing,
    /// A member that is there is unknown.
    Unknown,
    /// A value is not what it must be.
    Wrong,
}

impl Schema {
    /// Everything that is wrong with a value. No value is repeated, but for those that should be one of a few.
    pub(crate) fn troubles(&self, path: &str, value: &Value) -> Vec<Trouble> {
        let mut found = Vec::new();
        self.check(path, value, &mut found);
        found
    }

    /// The first thing that is wrong with a value, in words that go with its name: `must be text`.
    #[must_use]
    pub fn mismatch(&self, value: &Value) -> Option<String> {
        let mut found = Vec::new();
        self.check("it", value, &mut found);
        found.into_iter().next().map(|trouble| trouble.message)
    }

    fn check(&self, path: &str, value: &Value, found: &mut Vec<Trouble>) {
        let wrong = |message: String| Trouble { path: path.to_owned(), kind: Kind::Wrong, message };
        if !self.allows(type_of(value)) {
            found.push(wrong(format!("{path} must be {}", self.noun())));
            return;
        }
        if !self.choices.is_empty() && !self.choices.contains(value) {
            let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let choices: Vec<String> = self.choices.iter().map(shown).collect();
            let known = hint(&shown(value), choices.iter().map(String::as_str));
            found.push(wrong(format!("{path} cannot be \"{}\" {known}", shown(value))));
        }
        if let Some(message) = self.out_of_bounds(value) {
            found.push(wrong(format!("{path} {message}")));
        }
        if let (Some(pattern), Value::String(text)) = (&self.pattern, value)
            && !pattern.is_match(text)
        {
            found.push(wrong(format!("{path} does not match the pattern {pattern}")));
        }
        if let Some(format) = self.format {
            format.check(path, value, &mut |path, message| {
                found.push(Trouble { path: path.to_owned(), kind: Kind::Wrong, message });
            });
        }
        match value {
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    if let Some(schema) = &self.items {
                        schema.check(&format!("{path}[{at}]"), item, found);
                    }
                }
            }
            Value::Object(members) => self.check_members(path, members, found),
            _ => {}
        }
        self.check_alternatives(path, value, found);
    }

    fn check_members(&self, path: &str, members: &Map<String, Value>, found: &mut Vec<Trouble>) {
        for (name, value) in members {
            let path = format!("{path}.{name}");
            match self.member(name) {
                Member::Known(schema) => schema.check(&path, value, found),
                Member::Any => {}
                Member::Unknown => {
                    let known = hint(name, self.properties.iter().map(|(name, _)| name.as_str()));
                    let message = format!("there is no {path} {known}");
                    found.push(Trouble { path, kind: Kind::Unknown, message });
                }
            }
        }
        let dependent = self.dependent_required.iter().filter(|(name, _)| members.contains_key(name));
        let dependent = dependent.flat_map(|(_, others)| others);
        for name in self.required.iter().chain(dependent).filter(|name| !members.contains_key(*name)) {
            let about = self.properties.iter().find(|(own, _)| own == name);
            let about = about.and_then(|(_, schema)| schema.description.as_deref());
            let about = about.map(|about| format!(": {about}")).unwrap_or_default();
            let path = format!("{path}.{name}");
            let message = format!("{path} is required{about}");
            found.push(Trouble { path, kind: Kind::Missing, message });
        }
    }

    fn check_alternatives(&self, path: &str, value: &Value, found: &mut Vec<Trouble>) {
        let holds = |schema: &&Schema| schema.troubles(path, value).is_empty();
        if !self.any_of.is_empty() && !self.any_of.iter().any(|schema| holds(&schema)) {
            found.push(self.no_alternative(path, &self.any_of, "at least one"));
        }
        if !self.one_of.is_empty() && self.one_of.iter().filter(holds).count() != 1 {
            found.push(self.no_alternative(path, &self.one_of, "exactly one"));
        }
    }

    fn no_alternative(&self, path: &str, alternatives: &[Schema], how_many: &str) -> Trouble {
        let groups: Vec<String> = alternatives.iter().map(|schema| schema.required.join(" and ")).collect();
        let groups = if groups.iter().all(|group| !group.is_empty()) {
            format!("{path} needs {how_many} of: {}", groups.join("; "))
        } else {
            format!("{path} must be {how_many} of the forms that its schema has")
        };
        Trouble { path: path.to_owned(), kind: Kind::Missing, message: groups }
    }

    fn out_of_bounds(&self, value: &Value) -> Option<String> {
        let bounds = &self.bounds;
        let (size, least, most, unit) = match value {
            Value::String(text) => (text.chars().count() as u64, bounds.min_length, bounds.max_length, "characters"),
            Value::Array(items) => (items.len() as u64, bounds.min_items, bounds.max_items, "items"),
            Value::Object(members) => (members.len() as u64, bounds.min_properties, bounds.max_properties, "members"),
            Value::Number(number) => return self.number_out_of_bounds(number.as_f64()?),
            Value::Null | Value::Bool(_) => return None,
        };
        if size == 0 && least == Some(1) {
            return Some("must not be empty".to_owned());
        }
        if least.is_some_and(|least| size < least) || most.is_some_and(|most| size > most) {
            let least = least.map(|least| format!(" at least {least}")).unwrap_or_default();
            let most = most.map(|most| format!(" at most {most}")).unwrap_or_default();
            return Some(format!("must have{least}{most} {unit}"));
        }
        match value {
            Value::Array(items)
                if bounds.unique_items && items.iter().enumerate().any(|(at, one)| items[..at].contains(one)) =>
            {
                Some("has an item twice".to_owned())
            }
            _ => None,
        }
    }

    fn number_out_of_bounds(&self, number: f64) -> Option<String> {
        let bounds = &self.bounds;
        let checks = [
            (bounds.minimum, number >= bounds.minimum.unwrap_or(number), "at least"),
            (bounds.maximum, number <= bounds.maximum.unwrap_or(number), "at most"),
            (bounds.exclusive_minimum, bounds.exclusive_minimum.is_none_or(|bound| number > bound), "more than"),
            (bounds.exclusive_maximum, bounds.exclusive_maximum.is_none_or(|bound| number < bound), "less than"),
            (bounds.multiple_of, bounds.multiple_of.is_none_or(|step| is_multiple(number, step)), "a multiple of"),
        ];
        let broken = checks.into_iter().find(|(_, holds, _)| !holds)?;
        Some(format!("must be {} {}", broken.2, broken.0?))
    }

    /// The types it allows, in words.
    #[must_use]
    pub fn noun(&self) -> String {
        let noun = |kind: &Type| match kind {
            Type::String => "text",
            Type::Number => "a number",
            Type::Integer => "a whole number",
            Type::Boolean => "true or false",
            Type::Object => "an object",
            Type::Array => "a list",
            Type::Null => "null",
        };
        match (self.format, &self.types[..]) {
            (Some(super::Format::Url), [Type::String]) => "a URL as text".to_owned(),
            (Some(super::Format::HttpHeaders), _) => "an object of header names and values".to_owned(),
            (Some(super::Format::Field), _) => "a field of the records, as fields names it".to_owned(),
            (_, []) => "anything".to_owned(),
            (_, types) => types.iter().map(noun).collect::<Vec<_>>().join(" or "),
        }
    }

    /// Whether an object may have members that the schema does not name.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        !matches!(self.additional, Additional::None)
    }
}

/// As far as doubles can tell: a hundredth is none of theirs.
fn is_multiple(number: f64, step: f64) -> bool {
    let times = number / step;
    (times - times.round()).abs() <= times.abs() * 4.0 * f64::EPSILON
}

/// The narrowest type of a value.
pub(crate) fn type_of(value: &Value) -> Type {
    match value {
        Value::Null => Type::Null,
        Value::Bool(_) => Type::Boolean,
        Value::Number(number) if number.is_i64() || number.is_u64() => Type::Integer,
        // As JSON Schema has it, 1.0 is a whole number.
        Value::Number(number) if number.as_f64().is_some_and(|number| number.fract() == 0.0) => Type::Integer,
        Value::Number(_) => Type::Number,
        Value::String(_) => Type::String,
        Value::Array(_) => Type::Array,
        Value::Object(_) => Type::Object,
    }
}
