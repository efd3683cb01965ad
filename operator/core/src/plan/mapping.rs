//! What is made of rows.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::guard::Deletes;
use crate::selection::Selection;

/// A Mapping, ready to run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MappingPlan {
    /// Name of the Mapping, for messages.
    pub name: String,
    /// What its state is filed under.
    pub state_key: String,
    /// The definition's action.
    pub action: String,
    /// Which changes are sent.
    pub selection: Selection,
    /// The action's constants.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, Value>,
    /// Destination field (dotted path) → where its value comes from.
    pub fields: BTreeMap<String, Field>,
    /// The field that the destination finds a record by, if it is not the primary key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub match_by: Option<String>,
    /// The field that records are grouped by at the destination (a list, an audience).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_by: Option<String>,
    /// "Sync all columns".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include: Option<Include>,
    /// SQL over the model's columns.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "where")]
    pub filter: Option<String>,
    /// Hash of what a record is made by: fields, include, config, where. A new one is a mapping change.
    pub fingerprint: String,
    /// What a mapping change does.
    pub on_change: OnMappingChange,
    /// What the state is bound to, by name (`destination.type`, `source.database` …): a difference stops the Mapping.
    pub identity: BTreeMap<String, String>,
    /// The mass-delete guard.
    pub deletes: Deletes,
    /// Retries within a run.
    pub retry: Retry,
    /// The scratch volume in bytes.
    pub scratch_bytes: u64,
}

/// Where a destination field's value comes from, and what becomes of it on the way: `parse`, then `map`, then `default`, then `on_null`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Field {
    /// Exactly one source.
    pub from: FieldSource,
    /// What NULL becomes.
    #[serde(default)]
    pub on_null: OnNull,
    /// What the value is read as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parse: Option<Parse>,
    /// The value as text → what is sent instead. Others stay as they are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub map: BTreeMap<String, Value>,
    /// What is sent in place of NULL; never JSON null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
}

impl From<FieldSource> for Field {
    fn from(from: FieldSource) -> Self {
        Self { from, on_null: OnNull::Send, parse: None, map: BTreeMap::new(), default: None }
    }
}

/// The source of a field's value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FieldSource {
    /// A column of the model; inside of [`Items::each`] a member of the item.
    Column(String),
    /// A constant, any JSON.
    Value(Value),
    /// A text with expressions in it, in the language of Jinja.
    Template(String),
    /// An expression of the Common Expression Language.
    Cel(String),
    /// An object: its fields, by dotted paths.
    Object(BTreeMap<String, Field>),
    /// A list of objects.
    Items(Box<Items>),
}

/// A list of objects, made of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Items {
    /// The list.
    pub of: Field,
    /// The fields of each item's object, by dotted paths.
    pub each: BTreeMap<String, Field>,
}

/// What a value is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Parse {
    /// A JSON document.
    Json,
    /// A number, with all its digits.
    Number,
    /// A truth value, as Postgres spells them.
    Boolean,
    /// An instant, in UTC.
    Timestamp,
}

/// What a field does with NULL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnNull {
    /// Send JSON null.
    #[default]
    Send,
    /// Leave the field out.
    Omit,
    /// Reject the record.
    Reject,
}

/// `Mapping.spec.include`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Include {
    /// Column names; `*` for all.
    pub columns: Vec<String>,
    /// Columns to leave out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
    /// Dotted path of the object they go into; the record itself if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into: Option<String>,
}

/// What a change of the Mapping does to rows that did not change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnMappingChange {
    /// All current rows are sent again as updated.
    #[default]
    Resend,
    /// Only real row changes are sent.
    Keep,
}

/// `Mapping.spec.retry`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// Tries of one batch, the first included.
    pub max_attempts: u32,
    /// From the first failure of a batch to the last try.
    pub window_seconds: u64,
}

impl Retry {
    /// [`Retry::window_seconds`] as a duration.
    #[must_use]
    pub const fn window(&self) -> Duration {
        Duration::from_secs(self.window_seconds)
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self { max_attempts: 8, window_seconds: 15 * 60 }
    }
}
