//! Where records go.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::secret::SecretRef;

/// An account in a business tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DestinationPlan {
    /// Name of the Destination, for messages.
    pub name: String,
    /// The definition.
    #[serde(rename = "type")]
    pub kind: String,
    /// The definition itself, if it is none of the built-in ones: as it was when the run was planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<Value>,
    /// The definition's version that was validated against.
    pub definition_version: u32,
    /// The definition's authentication scheme.
    pub auth: String,
    /// Plain settings, checked against the definition.
    pub settings: BTreeMap<String, Value>,
    /// Secret settings.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, SecretRef>,
    /// The account's limits.
    #[serde(default)]
    pub limits: DestinationLimits,
    /// Loopback and link-local addresses may be called: in local runs. In a cluster they are the pod itself and the cloud's metadata.
    pub allow_loopback: bool,
}

/// `Destination.spec.limits`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DestinationLimits {
    /// Requests in any second; unset: the definition's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<u32>,
    /// Requests in flight; unset: the definition's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
}
