use std::fs;
use std::path::Path;

use super::*;
use crate::load;

/// What is wrong with a value, by the keywords that the schema uses; empty if nothing is.
fn wrong(root: &Value, schema: &Value, value: &Value, path: &str) -> Vec<String> {
    if let Some(name) = schema["$ref"].as_str().and_then(|to| to.strip_prefix("#/$defs/")) {
        assert!(root["$defs"][name].is_object(), "there is a {name}");
        return wrong(root, &root["$defs"][name], value, path);
    }
    let mut found = Vec::new();
    if let Some(any) = schema["anyOf"].as_array()
        && !any.iter().any(|one| wrong(root, one, value, path).is_empty())
    {
        found.push(format!("{path}: none of anyOf"));
    }
    if let Some(choices) = schema["enum"].as_array()
        && !choices.contains(value)
    {
        found.push(format!("{path}: not in enum"));
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let fits = |name: &Value| name == kind || (name == "number" && kind == "integer");
    let typed = match &schema["type"] {
        Value::Array(all) => all.iter().any(fits),
        Value::Null => true,
        one => fits(one),
    };
    if !typed {
        found.push(format!("{path}: {kind}"));
    }
    for item in value.as_array().into_iter().flatten().filter(|_| schema["items"].is_object()) {
        found.extend(wrong(root, &schema["items"], item, &format!("{path}[]")));
    }
    for (name, member) in value.as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        match (&schema["properties"][name], &schema["additionalProperties"]) {
            (Value::Null, Value::Bool(false)) => found.push(format!("{path}: unknown")),
            (Value::Null, Value::Object(_)) => {
                found.extend(wrong(root, &schema["additionalProperties"], member, &path))
            }
            (Value::Null, _) => {}
            (known, _) => found.extend(wrong(root, known, member, &path)),
        }
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.as_object().is_some_and(|members| !members.contains_key(name)) {
            found.push(format!("{path}: {name} is missing"));
        }
    }
    found
}

fn document(text: &str) -> Value {
    backflow_yaml::read(text).documents.first().expect("a document").to_json()
}

#[test]
fn the_schema_takes_what_the_loader_takes() {
    let schema = json_schema();
    let sample = include_str!("../load/sample.yaml");
    assert_eq!(wrong(&schema, &schema, &document(sample), ""), [""; 0]);
    let builtin = Path::new(env!("CARGO_MANIFEST_DIR")).join("builtin");
    for folder in fs::read_dir(builtin).expect("a folder") {
        let path = folder.expect("a folder").path().join("definition.yaml");
        let text = fs::read_to_string(&path).expect("a file");
        assert!(load(&text).is_ok(), "{}", path.display());
        assert_eq!(wrong(&schema, &schema, &document(&text), ""), [""; 0], "{}", path.display());
    }
}

#[test]
fn what_the_schema_does_not_take_the_loader_does_not_either() {
    let schema = json_schema();
    let sample = include_str!("../load/sample.yaml");
    for (part, instead) in [
        ("version: 1", "version: 1\nversoin: 2"),
        ("category: crm", "category: crn"),
        ("per: 10s, tun", "per: 10s, tunabel: 1, tun"),
        ("mode: correlate", "mode: corelate"),
        ("x-hash: sha256", "x-hash: sha3"),
        ("onMissing: succeed", "onMissing: ignore"),
        ("every: 5s", "evry: 5s"),
        ("    title: Upsert contact\n", ""),
    ] {
        assert!(sample.contains(part), "{part}");
        let text = sample.replacen(part, instead, 1);
        assert!(!wrong(&schema, &schema, &document(&text), "").is_empty(), "{instead}");
        assert!(load(&text).is_err(), "{instead}");
    }
}

#[test]
fn the_committed_schema_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(crate::SCHEMA_FILE);
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == crate::schema_text(), "{} is stale: run `cargo xtask generate`", path.display());
}
