//! The four manifests of a Mapping, as values that a test may change before it applies them.

use serde_json::{Value, json};

use super::Scene;

/// Name of the Source.
pub const SOURCE: &str = "warehouse";
/// Name of the Model, and of its table.
pub const MODEL: &str = "customers";
/// Name of the Destination.
pub const DESTINATION: &str = "hook";
/// Name of the Mapping.
pub const MAPPING: &str = "customers-to-hook";

/// An object of ours.
#[must_use]
pub fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": "backflow.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

/// A Secret.
#[must_use]
pub fn secret(name: &str, entries: &[(&str, &str)]) -> Value {
    let data: serde_json::Map<String, Value> =
        entries.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data})
}

/// A Sync of the Mapping; `spec` adds to its mapping reference.
#[must_use]
pub fn sync(name: &str, spec: Value) -> Value {
    let mut all = json!({"mappingRef": {"name": MAPPING}});
    if let (Some(all), Value::Object(spec)) = (all.as_object_mut(), spec) {
        all.extend(spec);
    }
    object("Sync", name, all)
}

/// A reference to a Secret's key.
#[must_use]
pub fn key_of(name: &str, key: &str) -> Value {
    json!({"secretKeyRef": {"name": name, "key": key}})
}

impl Scene {
    /// The scene's database.
    #[must_use]
    pub fn source(&self) -> Value {
        object(
            "Source",
            SOURCE,
            json!({"postgres": {
                "host": self.namespace.cluster.host.to_string(), "port": self.server.port(), "database": self.database,
                "user": self.database, "password": key_of("warehouse", "password"), "tls": {"mode": "Disable"},
            }}),
        )
    }

    /// The table `customers`.
    #[must_use]
    pub fn model(&self) -> Value {
        object("Model", MODEL, json!({"sourceRef": {"name": SOURCE}, "table": MODEL, "primaryKey": ["id"]}))
    }

    /// The scene's receiver.
    #[must_use]
    pub fn destination(&self) -> Value {
        object(
            "Destination",
            DESTINATION,
            json!({
                "type": "webhook",
                "settings": {"url": self.receiver.url()},
                "secrets": {"authToken": key_of("hook", "token"), "signingKey": key_of("hook", "signing-key")},
            }),
        )
    }

    /// A Mirror of all columns that runs when it is asked to.
    #[must_use]
    pub fn mapping(&self) -> Value {
        object(
            "Mapping",
            MAPPING,
            json!({
                "modelRef": {"name": MODEL}, "destinationRef": {"name": DESTINATION}, "action": "send", "syncMode": "Mirror",
                "include": {"columns": ["*"]}, "schedule": {"manual": {}},
            }),
        )
    }

    /// All four. References come before what they refer to: the order of creation does not matter.
    #[must_use]
    pub fn all(&self) -> Vec<Value> {
        vec![self.mapping(), self.destination(), self.model(), self.source()]
    }
}
