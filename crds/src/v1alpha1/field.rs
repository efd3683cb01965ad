//! How a field of a destination gets its value.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::schema;

/// Fields of a nested object, and of each item of a list.
const NESTED: u32 = 64;

/// How one field gets its value: exactly one of column, value, template, cel, object, items.
// `value` cannot be seen by a rule, so the rule says "at most one"; the controller finds the rest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "[has(self.column), has(self.template), has(self.cel), has(self.object), has(self.items)].filter(x, x).size() <= 1",
    "exactly one of column, value, template, cel, object, items must be set"
))]
pub struct FieldMapping {
    /// A plain value; unset when `object` or `items` is set.
    #[serde(flatten)]
    pub leaf: LeafMapping,
    /// A nested object: its fields, by dotted paths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "leaves")]
    pub object: Option<BTreeMap<String, LeafMapping>>,
    /// A list of objects, made of a list in the row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Box<ItemsMapping>>,
}

/// How a plain value is made: exactly one of column, value, template, cel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeafMapping {
    /// Name of a column of the Model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub column: Option<String>,
    /// A constant: any JSON, null included.
    #[serde(default, deserialize_with = "schema::present", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any")]
    pub value: Option<Value>,
    /// A text with {{ column }} expressions and filters. NULL in it makes it NULL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub template: Option<String>,
    /// A CEL expression over record (and item, inside of items).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub cel: Option<String>,
    /// What happens to a NULL. Send: as null. Omit: the field is left out. Reject: the record is rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_null: Option<OnNull>,
    /// Used in place of NULL: any JSON but null.
    #[serde(default, deserialize_with = "schema::present", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any")]
    pub default: Option<Value>,
    /// Replaces values: the value as text, and what is sent instead of it. Other values stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any_map")]
    pub map: Option<BTreeMap<String, Value>>,
    /// Reads a text as JSON, a number, a boolean or a timestamp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parse: Option<Parse>,
}

/// A list of objects, made of a list in the row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ItemsMapping {
    /// Where the list comes from: a column or an expression that holds an array.
    #[schemars(schema_with = "leaf")]
    pub of: LeafMapping,
    /// The fields of each item; `column` names a member of the item, `cel` sees it as item.
    #[schemars(schema_with = "leaves")]
    pub each: BTreeMap<String, LeafMapping>,
}

/// What happens to a NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum OnNull {
    Send,
    Omit,
    Reject,
}

/// What a text is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum Parse {
    Json,
    Number,
    Boolean,
    Timestamp,
}

/// A leaf that stands alone has its own rule; inside of [`FieldMapping`] the rule is the whole field's.
fn leaf(generator: &mut SchemaGenerator) -> Schema {
    let mut leaf = LeafMapping::json_schema(generator);
    leaf.insert(
        "x-kubernetes-validations".into(),
        serde_json::json!([{
            "rule": "[has(self.column), has(self.template), has(self.cel)].filter(x, x).size() <= 1",
            "message": "exactly one of column, value, template, cel must be set",
        }]),
    );
    leaf
}

fn leaves(generator: &mut SchemaGenerator) -> Schema {
    let leaf = leaf(generator);
    json_schema!({ "type": "object", "additionalProperties": leaf, "minProperties": 1, "maxProperties": NESTED })
}
