//! The case files: manifests that the API server accepts, and manifests that it refuses.
//!
//! `cases/accept/<rule>.yaml` is accepted, document by document; a later document of the same name is an update.
//! `cases/refuse/<rule>.yaml` ends with a document that is refused: the answer holds the text of each `# expect:` line, and
//! none of a `# never:` line. Only an API server evaluates rules; what is tested here is that each rule has its cases, and
//! that the types read and write all that is accepted.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{collections::BTreeMap, fs, path::Path};

use backflow_crds::{
    manifest,
    v1alpha1::{Destination, DestinationDefinition, Mapping, Model, Source, Sync},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

fn cases(folder: &str) -> BTreeMap<String, String> {
    let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(folder)).unwrap();
    files
        .map(|file| {
            let path = file.unwrap().path();
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap())
        })
        .collect()
}

fn documents(text: &str) -> Vec<Value> {
    text.split("---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect()
}

fn header<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let prefix = format!("# {name}: ");
    text.lines().filter_map(|line| line.strip_prefix(&prefix)).collect()
}

fn round_trip<T: DeserializeOwned + Serialize>(document: &Value) -> Result<Value, String> {
    let object: T = serde_json::from_value(document.clone()).map_err(|error| error.to_string())?;
    Ok(serde_json::to_value(object).unwrap())
}

fn read_and_write(document: &Value) -> Result<Value, String> {
    match document["kind"].as_str().unwrap() {
        "Source" => round_trip::<Source>(document),
        "Model" => round_trip::<Model>(document),
        "DestinationDefinition" => round_trip::<DestinationDefinition>(document),
        "Destination" => round_trip::<Destination>(document),
        "Mapping" => round_trip::<Mapping>(document),
        "Sync" => round_trip::<Sync>(document),
        kind => panic!("unknown kind {kind}"),
    }
}

/// Paths of `written` that are missing from `read`, or differ. Defaults may be added, and numbers become quantities.
fn lost(written: &Value, read: &Value, path: &str, lost_paths: &mut Vec<String>) {
    match (written, read) {
        (Value::Object(written), Value::Object(read)) => {
            for (name, value) in written {
                let path = format!("{path}.{name}");
                match read.get(name) {
                    Some(read) => lost(value, read, &path, lost_paths),
                    None if value.as_object().is_some_and(serde_json::Map::is_empty) => {}
                    None => lost_paths.push(path),
                }
            }
        }
        (Value::Array(written), Value::Array(read)) if written.len() == read.len() => {
            for (index, (written, read)) in written.iter().zip(read).enumerate() {
                lost(written, read, &format!("{path}[{index}]"), lost_paths);
            }
        }
        (Value::Number(written), Value::String(read)) if written.to_string() == *read => {}
        _ if written == read => {}
        _ => lost_paths.push(path.to_owned()),
    }
}

#[test]
fn the_types_read_and_write_what_is_accepted() {
    for (name, text) in cases("accept") {
        for document in documents(&text) {
            let again = read_and_write(&document).unwrap_or_else(|error| panic!("{name}: {error}"));
            let mut paths = Vec::new();
            lost(&document, &again, "", &mut paths);
            assert_eq!(paths, Vec::<String>::new(), "{name}");
            assert_eq!(read_and_write(&again).unwrap(), again, "{name}");
        }
    }
}

#[test]
fn every_field_of_a_spec_is_in_an_accepted_case() {
    fn used(value: &Value, path: &str, paths: &mut Vec<String>) {
        paths.push(path.to_owned());
        for (name, member) in value.as_object().into_iter().flatten() {
            used(member, &format!("{path}.{name}"), paths);
            used(member, &format!("{path}{{}}"), paths);
        }
        for item in value.as_array().into_iter().flatten() {
            used(item, &format!("{path}[]"), paths);
        }
    }
    fn fields(schema: &Value, path: &str, paths: &mut Vec<String>) {
        paths.push(path.to_owned());
        for (name, member) in schema["properties"].as_object().into_iter().flatten() {
            fields(member, &format!("{path}.{name}"), paths);
        }
        for (key, suffix) in [("additionalProperties", "{}"), ("items", "[]")] {
            if schema[key].is_object() {
                fields(&schema[key], &format!("{path}{suffix}"), paths);
            }
        }
    }
    let mut seen = Vec::new();
    for text in cases("accept").values() {
        for document in documents(text) {
            used(&document["spec"], document["kind"].as_str().unwrap(), &mut seen);
        }
    }
    let mut missing = Vec::new();
    for crd in manifest::crds() {
        let crd = serde_json::to_value(crd).unwrap();
        let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        fields(spec, crd["spec"]["names"]["kind"].as_str().unwrap(), &mut missing);
    }
    // A worker's settings are one type: seen once, they are seen in both places.
    let in_worker = |path: &str| path.split_once(".worker").map(|(_, rest)| format!("Mapping.worker{rest}"));
    missing.retain(|path| !seen.contains(path) && !in_worker(path).is_some_and(|path| seen.contains(&path)));
    // The same holds for a plain value in an object, in the items of a list, and for where these come from.
    missing.retain(|path| !path.contains(".object{}") && !path.contains(".items."));
    missing.retain(|path| !path.contains(".tls.") || path.starts_with("Source.postgres"));
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn every_rule_has_a_case_that_it_refuses_and_one_that_passes() {
    fn messages(schema: &Value, found: &mut Vec<String>) {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            found.push(rule["message"].as_str().unwrap().to_owned());
        }
        for member in schema["properties"].as_object().into_iter().flatten().map(|(_, member)| member) {
            messages(member, found);
        }
        for key in ["additionalProperties", "items"] {
            if schema[key].is_object() {
                messages(&schema[key], found);
            }
        }
    }
    let (accepted, refused) = (cases("accept"), cases("refuse"));
    for crd in manifest::crds() {
        let crd = serde_json::to_value(crd).unwrap();
        let mut rules = Vec::new();
        messages(&crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"], &mut rules);
        for rule in rules {
            let both = refused
                .iter()
                .any(|(name, text)| header(text, "expect").contains(&rule.as_str()) && accepted.contains_key(name));
            assert!(both, "no pair of cases for the rule {rule:?}");
        }
    }
}

#[test]
fn refused_cases_say_what_they_expect() {
    for (name, text) in cases("refuse") {
        assert!(!header(&text, "expect").is_empty(), "{name}");
        assert!(documents(&text).iter().all(|document| document["kind"].is_string()), "{name}");
    }
}

#[test]
fn a_plaintext_in_place_of_a_reference_is_refused_and_not_repeated() {
    for name in [
        "source-plaintext-password",
        "source-plaintext-reference",
        "source-plaintext-number",
        "destination-plaintext-secret",
    ] {
        let text = &cases("refuse")[name];
        let document = text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
        let secret = header(text, "never")[0];
        let from_json = read_and_write(&serde_saphyr::from_str(&document).unwrap()).unwrap_err();
        // A reader that quotes the manifest in its messages repeats the secret, whatever the types do.
        let options = serde_saphyr::options! { with_snippet: false };
        let from_yaml = match name.split('-').next() {
            Some("source") => {
                serde_saphyr::from_str_with_options::<Source>(&document, options).unwrap_err().to_string()
            }
            _ => serde_saphyr::from_str_with_options::<Destination>(&document, options).unwrap_err().to_string(),
        };
        for message in [&from_json, &from_yaml] {
            assert!(message.contains("expected") && message.contains("name: …, key: …"), "{name}: {message}");
        }
        assert!(!from_json.contains(secret), "{name}: {from_json}");
        assert!(!from_yaml.contains(secret), "{name}: {from_yaml}");
    }
}

#[test]
fn a_present_null_is_a_value() {
    let mapping: Mapping =
        serde_json::from_value(documents(&cases("accept")["every-field-of-mapping"]).into_iter().next().unwrap())
            .unwrap();
    assert_eq!(mapping.spec.fields["properties.nothing"].leaf.value, Some(Value::Null));
    assert_eq!(mapping.spec.fields["id"].leaf.value, None);
}

#[test]
fn a_member_of_a_newer_version_is_survived() {
    let source: Source = serde_json::from_value(serde_json::json!({
        "apiVersion": "backflow.dev/v1alpha1", "kind": "Source", "metadata": {"name": "future"},
        "spec": {"oracle": {"host": "db"}},
    }))
    .unwrap();
    assert!(source.spec.warehouse().is_none());
}
