//! The generated files are what the types say, and the CRDs keep the API's conventions.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{collections::BTreeSet, fs, path::Path};

use backflow_crds::{
    manifest,
    v1alpha1::{MAPPING_NAME_MAX, Mapping, SYNC_NAME_MAX, Sync},
};
use kube::CustomResourceExt;
use serde_json::{Value, json};

fn crds() -> Vec<Value> {
    manifest::crds().iter().map(|crd| serde_json::to_value(crd).unwrap()).collect()
}

fn schema(crd: &Value) -> &Value {
    &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
}

/// Visits every schema below `schema`, with its path.
fn walk(schema: &Value, path: &str, visit: &mut dyn FnMut(&str, &Value)) {
    visit(path, schema);
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        walk(member, &format!("{path}.{name}"), visit);
    }
    if schema["additionalProperties"].is_object() {
        walk(&schema["additionalProperties"], &format!("{path}{{}}"), visit);
    }
    if schema["items"].is_object() {
        walk(&schema["items"], &format!("{path}[]"), visit);
    }
}

fn findings(check: impl Fn(&str, &Value) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for crd in crds() {
        let kind = crd["spec"]["names"]["kind"].as_str().unwrap().to_owned();
        walk(schema(&crd), &kind, &mut |path, schema| {
            if check(path, schema) {
                found.push(path.to_owned());
            }
        });
    }
    found
}

#[test]
fn generated_files_are_current() {
    for (path, text) in manifest::generated().unwrap() {
        let present = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&path)).unwrap_or_default();
        assert!(present == text, "{path} is not what the types say: run `cargo run -p backflow-crds`");
    }
}

#[test]
fn no_other_file_stands_beside_the_generated_ones() {
    let generated: BTreeSet<_> = manifest::generated().unwrap().into_iter().map(|(path, _)| path).collect();
    for folder in ["manifests", "../charts/backflow-crds/templates", "../docs/api"] {
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
            let path = format!("{folder}/{}", entry.unwrap().file_name().into_string().unwrap());
            assert!(generated.contains(&path), "{path} is not generated");
        }
    }
}

#[test]
fn everything_that_a_person_writes_has_a_maximum() {
    let unbounded = findings(|path, schema| {
        path.contains(".spec")
            && match schema["type"].as_str() {
                Some("string") => schema["maxLength"].is_null() && schema["enum"].is_null(),
                Some("array") => schema["maxItems"].is_null(),
                Some("object") => schema["additionalProperties"].is_object() && schema["maxProperties"].is_null(),
                _ => schema["x-kubernetes-int-or-string"] == true && schema["maxLength"].is_null(),
            }
    });
    assert_eq!(unbounded, Vec::<String>::new());
}

#[test]
fn everything_has_a_description() {
    let silent = findings(|path, schema| {
        let member = path.rsplit(['.', '}', ']']).next().is_some_and(|name| !name.is_empty());
        member && path.contains('.') && schema["description"].is_null() && !path.contains(".conditions")
    });
    assert_eq!(silent, Vec::<String>::new());
}

#[test]
fn null_is_kept_in_free_form_values_only() {
    let nullable = findings(|_, schema| {
        (schema["nullable"] == true) != (schema["x-kubernetes-preserve-unknown-fields"] == true)
            || schema["enum"].as_array().is_some_and(|values| values.contains(&Value::Null))
    });
    assert_eq!(nullable, Vec::<String>::new());
}

#[test]
fn every_rule_has_a_message() {
    let silent = findings(|_, schema| {
        let mut rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
        rules.any(|rule| rule["message"].as_str().is_none_or(str::is_empty))
    });
    assert_eq!(silent, Vec::<String>::new());
}

#[test]
fn kinds_keep_the_conventions() {
    for (crd, (kind, short)) in crds().iter().zip([
        ("Source", "bfsource"),
        ("Model", "bfmodel"),
        ("DestinationDefinition", "bfdef"),
        ("Destination", "bfdest"),
        ("Mapping", "bfmap"),
        ("Sync", "bfsync"),
    ]) {
        let scope = if kind == "DestinationDefinition" { "Cluster" } else { "Namespaced" };
        let (names, version) = (&crd["spec"]["names"], &crd["spec"]["versions"][0]);
        assert_eq!(
            (&names["kind"], &names["shortNames"], &names["categories"]),
            (&json!(kind), &json!([short]), &json!(["backflow"]))
        );
        assert_eq!(
            (&crd["spec"]["group"], &crd["spec"]["scope"], &version["name"]),
            (&json!("backflow.dev"), &json!(scope), &json!("v1alpha1"))
        );
        assert_eq!(version["subresources"]["status"], json!({}));
        assert_eq!(schema(crd)["properties"]["status"]["default"], json!({"observedGeneration": -1}));
        assert!(version["selectableFields"].as_array().is_none_or(|fields| fields.len() <= 8), "{kind}");
        for column in version["additionalPrinterColumns"].as_array().unwrap() {
            // A time that lies ahead prints <invalid> in a column of type date.
            assert_eq!(column["type"] == "date", column["name"] == "Age", "{kind}: {column}");
        }
    }
}

#[test]
fn the_chart_keeps_the_crds_and_has_this_version() {
    for crd in manifest::crds() {
        let template = manifest::chart_template(&crd).unwrap();
        assert_eq!(template.matches("helm.sh/resource-policy: keep").count(), 1);
        // What Helm prints for an escaped brace is what the plain manifest says.
        let escaped = manifest::yaml(&crd).unwrap().matches("{{").count();
        assert_eq!(template.matches("{{ \"{{\" }}").count(), escaped);
        assert_eq!(template.replace("{{ \"{{\" }}", "").matches("{{").count(), 8, "only the metadata is templated");
    }
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/backflow-crds/Chart.yaml");
    let chart: Value = serde_saphyr::from_str(&fs::read_to_string(chart).unwrap()).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!((&chart["version"], &chart["appVersion"]), (&json!(version), &json!(version)));
}

#[test]
fn the_longest_names_are_those_of_the_constants() {
    for (crd, max) in [(Mapping::crd(), MAPPING_NAME_MAX), (Sync::crd(), SYNC_NAME_MAX)] {
        let crd = serde_json::to_value(crd).unwrap();
        let rule = format!("self.metadata.name.size() <= {max}");
        assert_eq!(schema(&crd)["x-kubernetes-validations"][0]["rule"], json!(rule));
    }
}
