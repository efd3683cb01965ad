//! Pieces of schema that the derive macros cannot write.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Any JSON value, nulls kept. `nullable` is needed: without it the API server drops nulls silently.
pub(super) fn any(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "nullable": true, "x-kubernetes-preserve-unknown-fields": true })
}

/// Named values of any JSON: settings, constants, value maps.
pub(super) fn any_map(generator: &mut SchemaGenerator) -> Schema {
    let value = any(generator);
    json_schema!({ "type": "object", "additionalProperties": value, "maxProperties": 256 })
}

/// Labels: values as short as Kubernetes wants them.
pub(super) fn label_map(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": { "type": "string", "maxLength": 63 },
        "maxProperties": 64,
    })
}

/// Annotations.
pub(super) fn annotation_map(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": { "type": "string", "maxLength": 32768 },
        "maxProperties": 64,
    })
}

/// Conditions, merged by type.
pub(super) fn conditions(generator: &mut SchemaGenerator) -> Schema {
    let condition = Condition::json_schema(generator);
    json_schema!({
        "type": "array",
        "items": condition,
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    })
}

/// Name of a Mapping's state.
pub(super) fn state_key(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": 128,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?$')",
            "message": "must be made of letters, digits, '.', '_', '-' and '/', like namespace/name",
        }],
    })
}

/// Reads a present `null` as a value of its own instead of as an absent field.
pub(super) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}
