//! DestinationDefinition: a business tool that Backflow does not know by itself.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Finding, schema};

/// A business tool that Backflow does not know by itself, in the language of the built-in definitions.
///
/// The API server checks its first level, so that `kubectl explain` and a mistyped key help at once. All of it is read strictly by the
/// controller: a schema of the whole language would be larger than many a definition, it cannot say that schemas are in schemas, and
/// what counts most (expressions, what one part says of another) no schema says.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "backflow.dev",
    version = "v1alpha1",
    kind = "DestinationDefinition",
    status = "DestinationDefinitionStatus",
    derive = "PartialEq",
    doc = "A business tool of your own for Destinations: endpoints, authentication, limits and actions. Its name is the type that a Destination names.",
    shortname = "bfdef",
    category = "backflow",
    validation = Rule::new("self.metadata.name.size() <= 63 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name must begin with a letter and be at most 63 lower case letters, digits and dashes"),
    validation = Rule::new("!has(self.spec.definition) || self.spec.definition == self.metadata.name")
        .message("spec.definition must be metadata.name, or be left out"),
    printcolumn(name = "Title", type_ = "string", json_path = ".spec.title"),
    printcolumn(name = "Version", type_ = "integer", json_path = ".spec.version"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    )
)]
#[serde(transparent)]
pub struct DestinationDefinitionSpec(pub Map<String, Value>);

impl JsonSchema for DestinationDefinitionSpec {
    fn schema_name() -> Cow<'static, str> {
        "DestinationDefinitionSpec".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let text = |longest: u32, description: &str| json!({"type": "string", "minLength": 1, "maxLength": longest, "description": description});
        let free = |kind: &str, description: &str| json!({"type": kind, "nullable": true, "x-kubernetes-preserve-unknown-fields": true, "description": description});
        let list = |items: Value, description: &str| json!({"type": "array", "maxItems": 256, "items": items, "description": description});
        let any = Value::from(schema::any(generator));
        json_schema!({
            "type": "object",
            "description": "The definition; docs/write-a-definition.md begins with an empty one.",
            "required": ["version", "settings", "auth", "http", "limits", "actions"],
            "properties": {
                "definition": text(63, "metadata.name again, as in a definition's file; may be left out."),
                "version": {"type": "integer", "format": "int32", "minimum": 1, "maximum": 1_000_000,
                    "description": "Raised with every change of behaviour."},
                "title": text(256, "Name for people."),
                "description": text(1024, "One sentence."),
                "docsUrl": text(2048, "The tool's documentation."),
                "category": text(63, "What kind of tool it is, such as crm or analytics."),
                "verification": text(63, "What it was checked against."),
                "provenance": list(any.clone(), "Where facts are from: fact, source and the day on which that was looked up."),
                "settings": free("object", "JSON Schema of what a Destination gives: settings, and those with x-secret as secrets."),
                "auth": free("object", "Ways to authenticate: choose (a Destination names one) and always."),
                "http": free("object", "Where requests go: baseUrl, the hosts that may be called, headers and timeouts."),
                "limits": free("object", "What an account allows: rate, concurrency, headers and retry."),
                "errors": list(any.clone(), "What answers mean: the first rule that matches counts."),
                "check": free("object", "The request that tries the credentials of a Destination."),
                "discover": list(any.clone(), "Requests that list choices, such as object types."),
                "actions": {"type": "object", "minProperties": 1, "maxProperties": 128, "additionalProperties": any,
                    "description": "What a Mapping may do, by name: fields, batches, requests and how answers are read."},
            },
        })
    }
}

/// What the controller last saw of a DestinationDefinition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DestinationDefinitionStatus {
    /// Generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, and Stalled while true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// When the spec that this status describes was accepted: Destinations that were checked before are checked again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_time: Option<Time>,
    /// Everything that is wrong with the definition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub errors: Vec<Finding>,
}
