//! What values look like: the part of JSON Schema that definitions are written in, with extensions of ours.

mod check;
mod conform;
mod format;
mod role;

use std::sync::Arc;

use backflow_expressions::Json;
use regex::Regex;
use serde_json::Value;

pub(crate) use check::{Kind as TroubleKind, type_of as json_type};
pub use conform::{Misfit, type_of};
pub use format::{Format, RESERVED_HEADERS};
pub use role::{Hash, NormalizeStep, OnNull, Role};

use crate::template::Condition;

/// A schema.
#[derive(Debug, Default)]
pub struct Schema {
    /// The types it allows; all if empty.
    pub types: Vec<Type>,
    /// Name for people.
    pub title: Option<String>,
    /// One sentence.
    pub description: Option<String>,
    /// What an absent value means.
    pub default: Option<Value>,
    /// Values for documentation.
    pub examples: Vec<Value>,
    /// The only values, if there are any here.
    pub choices: Vec<Value>,
    /// What texts must match.
    pub pattern: Option<Regex>,
    /// What kind of text it is.
    pub format: Option<Format>,
    /// Bounds of numbers, texts, lists and objects.
    pub bounds: Bounds,
    /// What each item of a list is.
    pub items: Option<Arc<Schema>>,
    /// The members of an object, in the order of the file.
    pub properties: Vec<(String, Arc<Schema>)>,
    /// Members that an object must have.
    pub required: Vec<String>,
    /// Members that are not among [`Schema::properties`].
    pub additional: Additional,
    /// At least one of them must hold.
    pub any_of: Vec<Schema>,
    /// Exactly one of them must hold.
    pub one_of: Vec<Schema>,
    /// With the first member, the others are required.
    pub dependent_required: Vec<(String, Vec<String>)>,
    /// Extensions.
    pub extra: Extra,
}

/// A type of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Text.
    String,
    /// Any number.
    Number,
    /// A number without a fraction.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// An object.
    Object,
    /// A list.
    Array,
    /// `null`.
    Null,
}

impl Type {
    /// Its name in JSON Schema.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Number => "number",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::Object => "object",
            Self::Array => "array",
            Self::Null => "null",
        }
    }
}

/// Members that a schema does not name.
#[derive(Debug, Default)]
pub enum Additional {
    /// There are none.
    #[default]
    None,
    /// They may be anything.
    Any,
    /// Each is like this.
    Like(Arc<Schema>),
}

/// Bounds, each included unless its name says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[allow(missing_docs, reason = "they are JSON Schema's own")]
pub struct Bounds {
    pub min_length: Option<u64>,
    pub max_length: Option<u64>,
    pub minimum: Option<f64>,
    pub maximum: Option<f64>,
    pub exclusive_minimum: Option<f64>,
    pub exclusive_maximum: Option<f64>,
    pub multiple_of: Option<f64>,
    pub min_items: Option<u64>,
    pub max_items: Option<u64>,
    pub unique_items: bool,
    pub min_properties: Option<u64>,
    pub max_properties: Option<u64>,
}

/// What JSON Schema does not have.
#[derive(Debug, Default)]
pub struct Extra {
    /// It comes from a Secret.
    pub secret: bool,
    /// It makes the account, or says which records are meant.
    pub identity: bool,
    /// The discovery that knows its values.
    pub choices: Option<String>,
    /// When it is required.
    pub required_when: Option<Condition>,
    /// What the destination uses it for.
    pub role: Option<Role>,
    /// What is done to it, in this order, before it is hashed.
    pub normalize: Vec<NormalizeStep>,
    /// How it is hashed.
    pub hash: Option<Hash>,
    /// Texts become numbers and numbers texts, as its type wants.
    pub coerce: bool,
    /// What NULL becomes, unless the Mapping says.
    pub on_null: Option<OnNull>,
    /// Bytes of a text, or of the JSON of another value.
    pub max_bytes: Option<u64>,
    /// It is about a person, and not shown.
    pub pii: bool,
    /// Usual names of the column.
    pub columns: Vec<String>,
}

impl Schema {
    /// The schema of a member; nothing if there can be no such member, or if it can be anything.
    #[must_use]
    pub fn member(&self, name: &str) -> Member<'_> {
        if let Some(schema) = self.property(name) {
            return Member::Known(schema);
        }
        match &self.additional {
            Additional::None if self.any_object() => Member::Any,
            Additional::None => Member::Unknown,
            Additional::Any => Member::Any,
            Additional::Like(schema) => Member::Known(schema),
        }
    }

    /// The schema of a member that it names.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&Arc<Self>> {
        self.properties.iter().find(|(own, _)| own == name).map(|(_, schema)| schema)
    }

    /// Whether it says nothing of an object's members: any value has any members.
    fn any_object(&self) -> bool {
        self.types.is_empty() && self.properties.is_empty()
    }

    /// Whether a value of this type is allowed.
    #[must_use]
    pub fn allows(&self, kind: Type) -> bool {
        let integer = kind == Type::Integer && self.types.contains(&Type::Number);
        self.types.is_empty() || integer || self.types.contains(&kind)
    }

    /// What an absent object of this schema is: the defaults of its members.
    pub fn defaults(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.properties.iter().filter_map(|(name, schema)| Some((name.as_str(), schema.default.as_ref()?)))
    }
}

/// Whether the object that a path leads into is there, and has nothing under the path's last name.
#[must_use]
pub fn lacks(object: &Json, path: &[String]) -> bool {
    match path {
        [] => false,
        [name] => matches!(object, Json::Object(_)) && object.get(name).is_none_or(|value| *value == Json::Null),
        [name, rest @ ..] => object.get(name).is_some_and(|inner| lacks(inner, rest)),
    }
}

/// What a schema knows of a member.
#[derive(Clone, Copy, Debug)]
pub enum Member<'a> {
    /// It is like this.
    Known(&'a Arc<Schema>),
    /// It may be anything.
    Any,
    /// There is none.
    Unknown,
}

impl Schema {
    /// The dotted paths of all fields that are so, in the order of the file.
    #[must_use]
    pub fn paths(&self, so: &dyn Fn(&Self) -> bool) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect("", so, &mut paths);
        paths
    }

    fn collect(&self, path: &str, so: &dyn Fn(&Self) -> bool, paths: &mut Vec<String>) {
        for (name, schema) in &self.properties {
            let name = name.replace('\\', "\\\\").replace('.', "\\.");
            let path = if path.is_empty() { name } else { format!("{path}.{name}") };
            if so(schema) {
                paths.push(path.clone());
            }
            schema.collect(&path, so, paths);
        }
    }

    /// The fields, at any depth, that are required under a condition: the names on the way, and the schema.
    #[must_use]
    pub fn conditional(&self) -> Vec<(Vec<String>, &Arc<Self>)> {
        let mut found = Vec::new();
        for (name, schema) in &self.properties {
            if schema.extra.required_when.is_some() {
                found.push((vec![name.clone()], schema));
            }
            found.extend(schema.conditional().into_iter().map(|(mut path, schema)| {
                path.insert(0, name.clone());
                (path, schema)
            }));
        }
        found
    }

    /// The discoveries that it and its members name.
    #[must_use]
    pub fn choice_lists(&self) -> Vec<&str> {
        let below = self.properties.iter().flat_map(|(_, schema)| schema.choice_lists());
        self.extra.choices.as_deref().into_iter().chain(below).collect()
    }

    /// The members, at any depth, that take the values of a discovery: their dotted paths.
    #[must_use]
    pub fn choosers(&self, list: &str) -> Vec<String> {
        let mut found = Vec::new();
        for (name, schema) in &self.properties {
            if schema.extra.choices.as_deref() == Some(list) {
                found.push(name.clone());
            }
            found.extend(schema.choosers(list).into_iter().map(|below| format!("{name}.{below}")));
        }
        found
    }
}
