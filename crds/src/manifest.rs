//! The CRDs as the API server gets them.

use std::error::Error;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;
use serde_json::{Value, json};

use crate::reference;
use crate::v1alpha1::{Destination, DestinationDefinition, Mapping, Model, Source, Sync};

/// The six CRDs, in the order in which they depend on each other.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    let all =
        [Source::crd(), Model::crd(), DestinationDefinition::crd(), Destination::crd(), Mapping::crd(), Sync::crd()];
    all.map(canonical).into()
}

/// Every generated file: its path, relative to this crate's folder, and its text.
///
/// # Errors
/// As [`yaml`].
pub fn generated() -> Result<Vec<(String, String)>, Box<dyn Error>> {
    let mut files = Vec::new();
    let crds = crds();
    for (name, text) in reference::pages(&crds)? {
        files.push((format!("../docs/api/{name}"), text));
    }
    for crd in &crds {
        let name = &crd.spec.names.plural;
        files.push((format!("manifests/{name}.yaml"), yaml(crd)?));
        files.push((format!("../charts/backflow-crds/templates/{name}.yaml"), chart_template(crd)?));
    }
    Ok(files)
}

/// A CRD as YAML, with a line on top that says where it comes from.
///
/// # Errors
/// When the CRD cannot be written as YAML, which would be a fault of this crate.
pub fn yaml(crd: &CustomResourceDefinition) -> Result<String, Box<dyn Error>> {
    let mut manifest = serde_json::to_value(crd)?;
    whole_numbers(&mut manifest);
    Ok(format!("# Made by crdgen from the types in crds/src. Do not edit.\n{}", serde_saphyr::to_string(&manifest)?))
}

/// The same CRD as a template of the chart `backflow-crds`: kept when the chart is removed, with labels and annotations
/// from its values.
///
/// # Errors
/// As [`yaml`].
pub fn chart_template(crd: &CustomResourceDefinition) -> Result<String, Box<dyn Error>> {
    // Descriptions may hold what Helm would take for its own.
    let text = yaml(crd)?.replace("{{", "{{ \"{{\" }}");
    let name = format!("metadata:\n  name: {}.{}\n", crd.spec.names.plural, crd.spec.group);
    Ok(text.replacen(&name, &format!("{name}{CHART_METADATA}"), 1))
}

const CHART_METADATA: &str = r#"  annotations:
    helm.sh/resource-policy: keep
    {{- with .Values.annotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  labels:
    app.kubernetes.io/name: backflow
    app.kubernetes.io/part-of: backflow
    app.kubernetes.io/managed-by: {{ .Release.Service }}
    helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
    {{- with .Values.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
"#;

fn canonical(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        let Some(root) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) else {
            continue;
        };
        strip(root);
        if let Some(status) = root.properties.as_mut().and_then(|properties| properties.get_mut("status")) {
            // Until the controller has seen a new object, kstatus and Flux must not take it for finished.
            status.default = Some(JSON(json!({"observedGeneration": -1})));
        }
    }
    crd
}

/// Takes out what makes the API server's messages worse or makes it warn: `null` as a possible value, and formats that
/// it does not know.
fn strip(schema: &mut JSONSchemaProps) {
    if schema.x_kubernetes_preserve_unknown_fields != Some(true) {
        schema.nullable = None;
    }
    if !matches!(schema.format.as_deref(), Some("int32" | "int64" | "date-time")) {
        schema.format = None;
    }
    if let Some(values) = &mut schema.enum_ {
        values.retain(|value| value.0 != Value::Null);
    }
    if let Some(properties) = &mut schema.properties {
        properties.values_mut().for_each(strip);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        strip(values);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        strip(items);
    }
}

/// Limits are floats in the CRD's type; `maximum: 65535.0` would differ from what the API server answers.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Object(members) => members.values_mut().for_each(whole_numbers),
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Number(number) => {
            if let Some(whole) = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 1e15) {
                *value = json!(whole as i64);
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}
