//! The pod that does the work.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CaBundle, KeyRef, LocalRef, Quantity, schema};

/// The pod that does the work. What a Mapping says goes before what its Source says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkerTemplate {
    /// CPU and memory of the worker's container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Local disk for the changes of one run, as request and limit of ephemeral storage. Default 10Gi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scratch: Option<Quantity>,
    /// Environment of the worker, for example the address of a proxy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub env: Vec<EnvVar>,
    /// Certificate authorities that the worker trusts beside the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<CaBundle>,
    /// Labels that a node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::label_map")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the pod tolerates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub tolerations: Vec<Toleration>,
    /// ServiceAccount of the pod, for workload identity. Its token is not mounted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub service_account_name: Option<String>,
    /// PriorityClass of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,
    /// Labels of the pod, beside our own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::label_map")]
    pub pod_labels: BTreeMap<String, String>,
    /// Annotations of the pod, beside our own; at most 32 KiB in all.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::annotation_map")]
    pub pod_annotations: BTreeMap<String, String>,
    /// Secrets that hold the credentials of the image's registry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub image_pull_secrets: Vec<LocalRef>,
}

impl WorkerTemplate {
    /// This template (of a Mapping) over `defaults` (of its Source): scalars, `resources` and lists without a key
    /// replace, maps and lists with a key are merged entry by entry.
    #[must_use]
    pub fn over(&self, defaults: &Self) -> Self {
        Self {
            resources: self.resources.clone().or_else(|| defaults.resources.clone()),
            scratch: self.scratch.clone().or_else(|| defaults.scratch.clone()),
            env: merged(&defaults.env, &self.env, |var| &var.name),
            ca_bundle: self.ca_bundle.clone().or_else(|| defaults.ca_bundle.clone()),
            node_selector: merged_map(&defaults.node_selector, &self.node_selector),
            tolerations: if self.tolerations.is_empty() { &defaults.tolerations } else { &self.tolerations }.clone(),
            service_account_name: self.service_account_name.clone().or_else(|| defaults.service_account_name.clone()),
            priority_class_name: self.priority_class_name.clone().or_else(|| defaults.priority_class_name.clone()),
            pod_labels: merged_map(&defaults.pod_labels, &self.pod_labels),
            pod_annotations: merged_map(&defaults.pod_annotations, &self.pod_annotations),
            image_pull_secrets: merged(&defaults.image_pull_secrets, &self.image_pull_secrets, |secret| &secret.name),
        }
    }
}

fn merged<T: Clone>(defaults: &[T], own: &[T], key: impl Fn(&T) -> &String) -> Vec<T> {
    let kept = defaults.iter().filter(|default| own.iter().all(|entry| key(entry) != key(default)));
    kept.chain(own).cloned().collect()
}

fn merged_map(defaults: &BTreeMap<String, String>, own: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    defaults.iter().chain(own).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// CPU and memory of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// What is set aside.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub requests: BTreeMap<String, Quantity>,
    /// What is never exceeded.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub limits: BTreeMap<String, Quantity>,
}

/// One variable of the environment: a name, and at most one of value, valueFrom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("!(has(self.value) && has(self.valueFrom))", "at most one of value, valueFrom must be set"))]
pub struct EnvVar {
    /// Name of the variable.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its value; empty when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub value: Option<String>,
    /// Where its value is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<EnvSource>,
}

/// Where the value of a variable is kept: exactly one of secretKeyRef, configMapKeyRef, fieldRef.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "[has(self.secretKeyRef), has(self.configMapKeyRef), has(self.fieldRef)].exists_one(x, x)",
    "exactly one of secretKeyRef, configMapKeyRef, fieldRef must be set"
))]
pub struct EnvSource {
    /// Key of a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeyRef>,
    /// Key of a ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeyRef>,
    /// Field of the pod, for example the node's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field_ref: Option<FieldRef>,
}

/// A field of the pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FieldRef {
    /// Path of the field, for example status.hostIP.
    #[schemars(length(min = 1, max = 253))]
    pub field_path: String,
}

/// A taint that the pod tolerates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Toleration {
    /// Key of the taint; every taint when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 317))]
    pub key: Option<String>,
    /// How value is compared. Default Equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<TolerationOperator>,
    /// Value of the taint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub value: Option<String>,
    /// Effect of the taint; every effect when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<TaintEffect>,
    /// How long a NoExecute taint is tolerated, in seconds; for ever when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub toleration_seconds: Option<i64>,
}

/// How a toleration compares the taint's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum TolerationOperator {
    Exists,
    Equal,
}

/// What a taint does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum TaintEffect {
    NoSchedule,
    PreferNoSchedule,
    NoExecute,
}

impl From<Resources> for core::ResourceRequirements {
    fn from(resources: Resources) -> Self {
        let amounts = |map: BTreeMap<String, Quantity>| {
            (!map.is_empty()).then(|| map.into_iter().map(|(name, amount)| (name, amount.into())).collect())
        };
        Self { requests: amounts(resources.requests), limits: amounts(resources.limits), ..Self::default() }
    }
}

impl From<EnvVar> for core::EnvVar {
    fn from(var: EnvVar) -> Self {
        let value_from = var.value_from.map(|source| core::EnvVarSource {
            secret_key_ref: source.secret_key_ref.map(|secret| core::SecretKeySelector {
                name: secret.name,
                key: secret.key,
                optional: None,
            }),
            config_map_key_ref: source.config_map_key_ref.map(|map| core::ConfigMapKeySelector {
                name: map.name,
                key: map.key,
                optional: None,
            }),
            field_ref: source
                .field_ref
                .map(|field| core::ObjectFieldSelector { field_path: field.field_path, api_version: None }),
            ..core::EnvVarSource::default()
        });
        Self { name: var.name, value: var.value, value_from }
    }
}

impl From<Toleration> for core::Toleration {
    fn from(toleration: Toleration) -> Self {
        Self {
            key: toleration.key,
            operator: toleration.operator.map(|operator| format!("{operator:?}")),
            value: toleration.value,
            effect: toleration.effect.map(|effect| format!("{effect:?}")),
            toleration_seconds: toleration.toleration_seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(json: serde_json::Value) -> WorkerTemplate {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_mapping_goes_before_its_source() {
        let source = template(serde_json::json!({
            "env": [{"name": "HTTPS_PROXY", "value": "a"}, {"name": "NO_PROXY", "value": "b"}],
            "podLabels": {"team": "data", "tier": "x"}, "serviceAccountName": "reader",
        }));
        let mapping = template(serde_json::json!({
            "env": [{"name": "NO_PROXY", "value": "c"}], "podLabels": {"tier": "y"}, "scratch": "1Gi",
        }));
        let expected = template(serde_json::json!({
            "env": [{"name": "HTTPS_PROXY", "value": "a"}, {"name": "NO_PROXY", "value": "c"}],
            "podLabels": {"team": "data", "tier": "y"}, "serviceAccountName": "reader", "scratch": "1Gi",
        }));
        assert_eq!(mapping.over(&source), expected);
    }
}
