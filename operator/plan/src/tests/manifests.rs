//! Manifests that every test starts from.

use backflow_core::plan::{DestinationPlan, MappingPlan, ModelPlan, SourcePlan};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{Definitions, Finding, Parts, Place};

pub(super) fn source() -> Value {
    json!({"postgres": {"host": "db", "port": 5432, "database": "shop", "user": "backflow", "tls": {"mode": "VerifyFull"}}})
}

pub(super) fn model() -> Value {
    json!({"sourceRef": {"name": "warehouse"}, "sql": "select id, email from customers", "primaryKey": ["id"]})
}

pub(super) fn destination() -> Value {
    json!({"type": "webhook", "settings": {"url": "https://example.com/hook"}})
}

pub(super) fn mapping() -> Value {
    json!({"modelRef": {"name": "customers"}, "destinationRef": {"name": "hook"}, "action": "send", "syncMode": "Mirror",
        "fields": {"id": {"column": "id"}}, "schedule": {"interval": "15m"}})
}

/// `manifest` with everything of `changes` in it; null takes out.
pub(super) fn with(mut manifest: Value, changes: Value) -> Value {
    merge(&mut manifest, changes);
    manifest
}

fn merge(target: &mut Value, changes: Value) {
    let (Value::Object(members), true) = (&changes, target.is_object()) else {
        *target = changes;
        return;
    };
    for (name, change) in members {
        let present = target.as_object_mut().unwrap();
        if change.is_null() {
            present.remove(name);
        } else {
            let member = present.entry(name).or_insert(Value::Null);
            // What is new comes as it is, with the nulls that it holds.
            if member.is_null() { *member = change.clone() } else { merge(member, change.clone()) }
        }
    }
}

pub(super) fn read<T: DeserializeOwned>(manifest: &Value) -> T {
    serde_json::from_value(manifest.clone()).unwrap_or_else(|error| panic!("{error}: {manifest}"))
}

pub(super) fn plan_source(manifest: &Value) -> Result<SourcePlan, Vec<Finding>> {
    crate::source("warehouse", &read(manifest), &Place::Cluster)
}

pub(super) fn plan_model(manifest: &Value) -> Result<ModelPlan, Vec<Finding>> {
    crate::model("customers", &read(manifest))
}

pub(super) fn plan_destination(manifest: &Value) -> Result<DestinationPlan, Vec<Finding>> {
    crate::destination("hook", &read(manifest), &Definitions::default(), &Place::Cluster)
}

pub(super) fn plan_mapping(manifest: &Value) -> Result<MappingPlan, Vec<Finding>> {
    plan_between(&source(), &destination(), manifest)
}

/// A Mapping's plan with another Source and Destination.
pub(super) fn plan_between(source: &Value, destination: &Value, manifest: &Value) -> Result<MappingPlan, Vec<Finding>> {
    let (source, model, destination) =
        (plan_source(source).unwrap(), plan_model(&model()).unwrap(), plan_destination(destination).unwrap());
    let definitions = Definitions::default();
    let parts =
        Parts { source: &source, model: &model, destination: &destination, definitions: &definitions, columns: None };
    crate::mapping("shop", "crm", &read(manifest), parts)
}

/// Paths and codes, in order.
pub(super) fn named<T: std::fmt::Debug>(planned: Result<T, Vec<Finding>>) -> Vec<(String, String)> {
    planned.unwrap_err().into_iter().map(|finding| (finding.path, finding.code)).collect()
}
