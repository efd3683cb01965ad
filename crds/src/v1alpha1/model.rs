//! Model: one SELECT over a Source, with the columns that identify a row.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Finding, LocalRef, schema};

/// One SELECT over a Source, with the columns that identify a row: exactly one of sql, table.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "backflow.dev",
    version = "v1alpha1",
    kind = "Model",
    namespaced,
    status = "ModelStatus",
    derive = "PartialEq",
    doc = "One SELECT over a Source, with the columns that identify a row.",
    shortname = "bfmodel",
    category = "backflow",
    selectable = ".spec.sourceRef.name",
    printcolumn(name = "Source", type_ = "string", json_path = ".spec.sourceRef.name"),
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
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("[has(self.sql), has(self.table)].exists_one(x, x)", "exactly one of sql, table must be set"))]
pub struct ModelSpec {
    /// The Source that the query runs on.
    pub source_ref: LocalRef,
    /// One SELECT statement, without a semicolon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65535))]
    pub sql: Option<String>,
    /// A table or view, as schema.name: all its rows and columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub table: Option<String>,
    /// The columns that identify a row. Rows with a NULL in one of them, and rows that share a key, are not sent.
    #[schemars(
        length(min = 1, max = 16),
        inner(length(min = 1, max = 255)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub primary_key: Vec<String>,
    /// While true, no new run of this Model's Mappings starts.
    #[serde(default)]
    pub suspend: bool,
}

/// What the controller last saw of a Model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelStatus {
    /// Generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, and Reconciling or Stalled while true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// The columns of the result, as the last check saw them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1600))]
    pub columns: Vec<Column>,
    /// The columns that identify a row, as the last check saw them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 255)))]
    pub primary_key: Vec<String>,
    /// When the last check ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_check_time: Option<Time>,
    /// Digest of what the last check that passed was of. An edit that leaves it, like a suspension, needs no new check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub last_check_digest: Option<String>,
    /// Everything that is wrong with the manifest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub errors: Vec<Finding>,
}

/// A column of a Model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Column {
    /// Its name, as the warehouse spells it.
    #[schemars(length(max = 255))]
    pub name: String,
    /// Its type, as the warehouse calls it.
    #[serde(rename = "type")]
    #[schemars(length(max = 128))]
    pub type_: String,
}
