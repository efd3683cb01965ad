//! The samples are manifests of the API as it is, refer to each other, and show every form that there is.

use std::collections::BTreeSet;

use backflow_core::{
    cell::Column,
    plan::{DestinationPlan, ModelPlan, SourcePlan},
};
use backflow_crds::v1alpha1::{Destination, DestinationDefinition, Mapping, Model, Source, Sync};
use backflow_plan::{Definitions, Finding, Parts, Place};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::render::{documents, files_under, read, root};

const SAMPLES: &str = "deploy/samples";

#[test]
fn every_sample_is_of_the_api() {
    let resources = resources("");
    assert!(resources.len() >= 20, "{}", resources.len());
    for (path, resource) in &resources {
        match resource["kind"].as_str().expect("a kind") {
            "Source" => known::<Source>(path, resource),
            "Model" => known::<Model>(path, resource),
            "DestinationDefinition" => known::<DestinationDefinition>(path, resource),
            "Destination" => known::<Destination>(path, resource),
            "Mapping" => known::<Mapping>(path, resource),
            "Sync" => known::<Sync>(path, resource),
            other => panic!("{path}: there is no kind {other}"),
        }
        let longest = if resource["kind"] == "Mapping" { 50 } else { 59 };
        assert!(name(resource).len() <= longest, "{path}: the name is too long");
        assert!(resource["metadata"].get("namespace").is_none(), "{path}: a sample goes where its reader puts it");
    }
}

#[test]
fn samples_refer_to_samples() {
    for local in [true, false] {
        let resources: Vec<_> =
            resources("").into_iter().filter(|(path, _)| path.contains("/local/") == local).collect();
        let exists = |kind: &str, reference: &Value| {
            resources.iter().any(|(_, other)| other["kind"] == kind && other["metadata"]["name"] == reference["name"])
        };
        for (path, resource) in &resources {
            let spec = &resource["spec"];
            let references = [
                ("Source", &spec["sourceRef"]),
                ("Source", &spec["forget"]["sourceRef"]),
                ("Model", &spec["modelRef"]),
                ("Destination", &spec["destinationRef"]),
                ("Mapping", &spec["mappingRef"]),
                ("Mapping", &spec["schedule"]["after"]["mappingRef"]),
            ];
            for (kind, reference) in references.iter().filter(|(_, reference)| !reference.is_null()) {
                assert!(exists(kind, reference), "{path}: there is no {kind} {reference} among the samples");
            }
        }
    }
}

#[test]
fn every_sample_plans_without_a_finding() {
    for local in [true, false] {
        let place = if local { Place::Local(root().join(SAMPLES).join("local")) } else { Place::Cluster };
        // Of the definition and what is of its type, a test of `backflow validate` says the same.
        let here = |path: &str| path.contains("/local/") == local && !path.contains("/definition/");
        let resources: Vec<_> = resources("").into_iter().filter(|(path, _)| here(path)).collect();
        let (source, model, destination) = referred(&resources, &place);
        let columns = columns();
        let parts = Parts {
            source: &source,
            model: &model,
            destination: &destination,
            definitions: &Definitions::default(),
            columns: Some(&columns),
        };
        for (path, resource) in &resources {
            if resource["kind"] == "Source" {
                planned(path, backflow_plan::source(name(resource), &typed::<Source>(resource).spec, &place));
            } else if resource["kind"] == "Mapping" {
                let mapping: Mapping = typed(resource);
                planned(path, backflow_plan::mapping("shop", name(resource), &mapping.spec, parts));
                planned(path, backflow_plan::schedule(&mapping.spec.schedule));
            } else if resource["kind"] == "Sync" {
                let sync: Sync = typed(resource);
                assert_eq!(backflow_plan::check_sync(&sync.spec), [], "{path}");
            }
        }
    }
}

#[test]
fn samples_show_every_schedule_sync_mode_and_run_mode() {
    let resources = resources("");
    let of = |kind: &str| -> Vec<Value> {
        resources
            .iter()
            .filter(|(_, resource)| resource["kind"] == kind)
            .map(|(_, resource)| resource["spec"].clone())
            .collect()
    };
    let schedules: BTreeSet<_> = of("Mapping")
        .iter()
        .flat_map(|spec| spec["schedule"].as_object().expect("a schedule").keys().cloned().collect::<Vec<_>>())
        .collect();
    for form in ["interval", "dayAndTime", "cron", "after", "manual"] {
        assert!(schedules.contains(form), "no sample has the schedule {form}");
    }
    let modes = texts(&of("Mapping"), "syncMode");
    assert_eq!(modes, set(&["Delete", "Insert", "Mirror", "Update", "Upsert"]));
    assert!(of("Mapping").iter().any(|spec| spec["records"].is_array()), "no sample has records");
    let modes = texts(&of("Sync"), "mode");
    assert_eq!(modes, set(&["DryRun", "Forget", "Full", "Incremental", "Preview", "Replay", "Reset", "Test"]));
}

#[test]
fn samples_use_only_fields_that_this_version_supports() {
    for (path, resource) in resources("") {
        if resource["kind"] != "Mapping" || path.contains("/definition/") {
            continue;
        }
        assert_eq!(resource["spec"]["action"], "send", "{path}");
        for (field, rule) in resource["spec"]["fields"].as_object().into_iter().flatten() {
            for member in rule.as_object().expect("a field").keys() {
                assert!(["column", "value", "onNull"].contains(&member.as_str()), "{path}: {field}.{member}");
            }
        }
    }
}

#[test]
fn the_secrets_of_the_samples_are_placeholders_and_complete() {
    let text = read(&format!("{SAMPLES}/secrets.yaml.example"));
    let secrets = documents(&text);
    for secret in &secrets {
        for (key, value) in secret["stringData"].as_object().expect("stringData") {
            assert!(value.as_str().is_some_and(|value| value.starts_with("REPLACE-ME")), "{key}");
        }
    }
    let mut references = Vec::new();
    for (path, resource) in resources("") {
        secret_references(&resource, &mut references);
        assert!(!path.ends_with("secrets.yaml"), "{path} is a Secret of somebody");
    }
    assert!(references.len() >= 3);
    for reference in references {
        let found = secrets.iter().any(|secret| {
            secret["metadata"]["name"] == reference["name"]
                && secret["stringData"].get(reference["key"].as_str().expect("a key")).is_some()
        });
        assert!(found, "secrets.yaml.example does not have {reference}");
    }
}

#[test]
fn the_local_samples_need_no_secret_and_no_cluster() {
    let local = resources("local");
    assert_eq!(local.len(), 4);
    let mut references = Vec::new();
    for (_, resource) in &local {
        secret_references(resource, &mut references);
    }
    assert!(references.is_empty(), "{references:?}");
    let source = &local.iter().find(|(_, resource)| resource["kind"] == "Source").expect("a Source").1;
    assert_eq!(source["spec"]["sqlite"]["path"], "shop.db");
    let destination = &local.iter().find(|(_, resource)| resource["kind"] == "Destination").expect("a Destination").1;
    assert!(destination["spec"]["settings"]["url"].as_str().is_some_and(|url| url.starts_with("http://127.0.0.1:")));
}

/// The one Source, Model and Destination of a set of samples, planned.
fn referred(resources: &[(String, Value)], place: &Place) -> (SourcePlan, ModelPlan, DestinationPlan) {
    let of = |kind: &str| {
        let (path, resource) =
            resources.iter().find(|(_, resource)| resource["kind"] == kind).expect("one of each kind");
        (path, resource, name(resource))
    };
    let (path, resource, name) = of("Source");
    let source = planned(path, backflow_plan::source(name, &typed::<Source>(resource).spec, place));
    let (path, resource, name) = of("Model");
    let model = planned(path, backflow_plan::model(name, &typed::<Model>(resource).spec));
    let (path, resource, name) = of("Destination");
    let spec = &typed::<Destination>(resource).spec;
    let destination = planned(path, backflow_plan::destination(name, spec, &Definitions::default(), place));
    (source, model, destination)
}

/// The columns of the sample Model, in both databases.
fn columns() -> Vec<Column> {
    let names = ["id", "email", "first_name", "last_name", "plan", "mrr_cents", "country", "updated_at"];
    names.map(|name| Column { name: name.into(), kind: "text".into() }).to_vec()
}

fn typed<T: DeserializeOwned>(resource: &Value) -> T {
    serde_json::from_value(resource.clone()).expect("checked by every_sample_is_of_the_api")
}

fn planned<T>(path: &str, plan: Result<T, Vec<Finding>>) -> T {
    plan.unwrap_or_else(|findings| panic!("{path}: {findings:?}"))
}

/// The resources of a folder of the samples, with the path of their file; NetworkPolicies are not ours.
fn resources(folder: &str) -> Vec<(String, Value)> {
    let mut resources = Vec::new();
    for file in files_under(&format!("{SAMPLES}/{folder}")) {
        if file.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let path = file.strip_prefix(root()).expect("inside of the project").to_str().expect("UTF-8").to_owned();
        for resource in documents(&read(&path)) {
            if !["NetworkPolicy", "PersistentVolumeClaim"].iter().any(|kind| resource["kind"] == *kind) {
                assert_eq!(resource["apiVersion"], "backflow.dev/v1alpha1", "{path}");
                resources.push((path.clone(), resource));
            }
        }
    }
    resources
}

#[test]
fn samples_show_every_place_of_state() {
    let places: BTreeSet<String> = resources("")
        .iter()
        .filter_map(|(_, resource)| resource["spec"]["state"]["store"].as_object()?.keys().next().cloned())
        .collect();
    assert_eq!(places, set(&["azure", "gcs", "s3", "volume"]));
}

/// Every field of the manifest is still there, with its value, after it went through the API's type.
fn known<T: Serialize + DeserializeOwned>(path: &str, resource: &Value) {
    let typed: T = serde_json::from_value(resource.clone()).unwrap_or_else(|error| panic!("{path}: {error}"));
    kept(path, resource, &serde_json::to_value(typed).expect("JSON"));
}

fn kept(path: &str, written: &Value, read: &Value) {
    match written {
        Value::Object(members) => {
            for (name, value) in members {
                let found = read.get(name).unwrap_or_else(|| panic!("{path}.{name} is not in the API"));
                kept(&format!("{path}.{name}"), value, found);
            }
        }
        _ => assert_eq!(read, written, "{path}"),
    }
}

fn secret_references(value: &Value, found: &mut Vec<Value>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                if name == "secretKeyRef" { found.push(value.clone()) } else { secret_references(value, found) }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| secret_references(item, found)),
        _ => {}
    }
}

fn name(resource: &Value) -> &str {
    resource["metadata"]["name"].as_str().expect("a name")
}

fn texts(specs: &[Value], member: &str) -> BTreeSet<String> {
    specs.iter().filter_map(|spec| spec[member].as_str()).map(str::to_owned).collect()
}

fn set(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
