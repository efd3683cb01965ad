//! Destination: an account in a business tool.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Finding, SecretValue, schema};

/// An account in a business tool: its definition, settings and credentials.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "backflow.dev",
    version = "v1alpha1",
    kind = "Destination",
    namespaced,
    status = "DestinationStatus",
    derive = "PartialEq",
    doc = "An account in a business tool that rows are sent to: its definition, settings and credentials.",
    shortname = "bfdest",
    category = "backflow",
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Active", type_ = "integer", json_path = ".status.activeSyncs"),
    printcolumn(name = "Queued", type_ = "integer", json_path = ".status.queuedSyncs"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Account", type_ = "string", json_path = ".status.account", priority = 1),
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
pub struct DestinationSpec {
    /// Name of the definition, for example hubspot or webhook.
    #[serde(rename = "type")]
    #[schemars(
        length(min = 1, max = 63),
        extend("x-kubernetes-validations" = [{
            "rule": "self.matches('^[a-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$')",
            "message": "must be the name of a definition, like hubspot",
        }])
    )]
    pub type_: String,
    /// One of the definition's ways to authenticate; its first when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub auth: Option<String>,
    /// The definition's plain settings. A secret does not belong here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::any_map")]
    pub settings: BTreeMap<String, Value>,
    /// The definition's secret settings, each a reference to a key of a Secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub secrets: BTreeMap<String, SecretValue>,
    /// Limits of the account, shared by its running Syncs; the definition's own when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// How many Syncs may send to this account at once; the rest queue. Default 1.
    #[serde(default = "max_concurrent_syncs")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_concurrent_syncs: i32,
    /// While true, no new run to this Destination starts.
    #[serde(default)]
    pub suspend: bool,
}

/// Limits of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Requests in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub requests_per_second: Option<i32>,
    /// Requests in flight at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub concurrency: Option<i32>,
}

fn max_concurrent_syncs() -> i32 {
    1
}

/// What the controller last saw of a Destination.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DestinationStatus {
    /// Generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, and Reconciling or Stalled while true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// Version of the definition in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub definition_version: Option<String>,
    /// The account, as the last check saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub account: Option<String>,
    /// When the last check ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_check_time: Option<Time>,
    /// Digest of what the last check that passed was of. An edit that leaves it, like a suspension, needs no new check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub last_check_digest: Option<String>,
    /// Syncs that send to it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub active_syncs: Option<i32>,
    /// Syncs that wait for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub queued_syncs: Option<i32>,
    /// Until when it asked to be left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttled_until: Option<Time>,
    /// Everything that is wrong with the manifest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub errors: Vec<Finding>,
}
