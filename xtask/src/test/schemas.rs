//! JSON schemas for kubeconform, made from the sources of the Kubernetes that the tests run on and from our CRDs:
//! its own are on the network.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use crate::cluster::build::Build;
use crate::cluster::versions::PROGRAMS;
use crate::process::run;
use crate::workspace::Workspace;

/// Where a kind's schema is, below a folder of schemas.
pub(super) const PATTERN: &str = "{{.Group}}/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json";
const POINTER: &str = "#/definitions/";

/// What makes the schemas of Kubernetes: those that another version of it made are not used.
const MAKER: &[u8] = include_bytes!("schemas.rs");

/// Makes both sets of schemas; returns the folders of Kubernetes's kinds, which stays in the cache, and of our own.
pub(super) fn ensure(workspace: &Workspace, build: &Build) -> Result<[PathBuf; 2]> {
    let folder = build.schemas(MAKER);
    if !folder.exists() {
        let sources = build.module_folder(&PROGRAMS[0])?;
        let text = fs::read(sources.join("api/openapi-spec/swagger.json")).context("the API's description")?;
        let partial = folder.with_extension("partial");
        write_kubernetes(&serde_json::from_slice(&text)?, &partial)?;
        fs::rename(&partial, &folder)?;
    }
    let own = workspace.output().join("test-schemas");
    // kubectl reads YAML; `--local` asks no server, and the label is not kept.
    let mut kubectl = Command::new(build.program("kubectl"));
    kubectl.args(["label", "--local", "--output", "json", "read=yes", "--filename"]);
    let crds = run(kubectl.arg(workspace.root.join("crds/manifests")))?;
    for crd in serde_json::Deserializer::from_str(&crds).into_iter::<Value>() {
        write_custom(&crd?, &own)?;
    }
    Ok([folder, own])
}

/// One file for each kind, complete in itself.
fn write_kubernetes(swagger: &Value, folder: &Path) -> Result<()> {
    let mut definitions = swagger["definitions"].as_object().context("swagger.json has no definitions")?.clone();
    for (name, definition) in &mut definitions {
        strict(definition);
        if name.ends_with(".IntOrString") || name.ends_with(".Quantity") {
            *definition = json!({"type": ["string", "number"]});
        }
    }
    for (name, definition) in &definitions {
        for kind in definition["x-kubernetes-group-version-kind"].as_array().into_iter().flatten() {
            let mut reached = BTreeSet::new();
            reach(name, &definitions, &mut reached);
            let parts: Map<String, Value> =
                reached.iter().map(|name| (name.clone(), definitions[name].clone())).collect();
            let schema = json!({"$ref": format!("{POINTER}{name}"), "definitions": parts});
            write(folder, &kind["group"], &kind["kind"], &kind["version"], &schema)?;
        }
    }
    Ok(())
}

fn write_custom(crd: &Value, folder: &Path) -> Result<()> {
    let spec = &crd["spec"];
    for version in spec["versions"].as_array().into_iter().flatten() {
        let mut schema = version["schema"]["openAPIV3Schema"].clone();
        schema["properties"]["apiVersion"] = json!({"type": "string"});
        schema["properties"]["kind"] = json!({"type": "string"});
        strict(&mut schema);
        schema["properties"]["metadata"] = json!({"type": "object"});
        write(folder, &spec["group"], &spec["names"]["kind"], &version["name"], &schema)?;
    }
    Ok(())
}

fn write(folder: &Path, group: &Value, kind: &Value, version: &Value, schema: &Value) -> Result<()> {
    let (Some(group), Some(kind), Some(version)) = (group.as_str(), kind.as_str(), version.as_str()) else {
        anyhow::bail!("a kind without group, name or version");
    };
    // kubeconform takes the version for the group of the core kinds, which have none.
    let folder = folder.join(if group.is_empty() { version } else { group });
    fs::create_dir_all(&folder)?;
    Ok(fs::write(folder.join(format!("{}_{version}.json", kind.to_lowercase())), serde_json::to_vec(schema)?)?)
}

/// Names of all definitions that one refers to, itself included.
fn reach(name: &str, definitions: &Map<String, Value>, reached: &mut BTreeSet<String>) {
    if !reached.insert(name.to_owned()) {
        return;
    }
    let mut references = Vec::new();
    if let Some(definition) = definitions.get(name) {
        collect_references(definition, &mut references);
    }
    for reference in references {
        reach(&reference, definitions, reached);
    }
}

fn collect_references(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                match member.as_str().and_then(|pointer| pointer.strip_prefix(POINTER)) {
                    Some(name) if key == "$ref" => references.push(name.to_owned()),
                    _ => collect_references(member, references),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, references)),
        _ => {}
    }
}

/// Turns what OpenAPI says in its own words into plain JSON Schema, and refuses members that are not named: the API
/// server would drop them silently, or refuse them.
fn strict(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            let open = members.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
            let named = members.get("properties").is_some_and(Value::is_object);
            if named && !open && !members.contains_key("additionalProperties") {
                members.insert("additionalProperties".into(), Value::Bool(false));
            }
            if members.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
                members.insert("type".into(), json!(["string", "integer"]));
            }
            // As a keyword: the CRDs' own schema has a property of this name.
            if members.get("nullable").is_some_and(Value::is_boolean)
                && members.remove("nullable") == Some(Value::Bool(true))
                && let Some(kind) = members.get("type").and_then(Value::as_str)
            {
                let kind = kind.to_owned();
                members.insert("type".into(), json!([kind, "null"]));
            }
            // Formats are Go's (int32, byte, date-time in two spellings); types say enough.
            if members.get("format").is_some_and(Value::is_string) {
                members.remove("format");
            }
            members.values_mut().for_each(strict);
        }
        Value::Array(items) => items.iter_mut().for_each(strict),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_become_closed_unless_they_say_otherwise() {
        let mut schema = json!({"properties": {
            "closed": {"type": "object", "properties": {
                "a": {"type": "string", "nullable": true},
                "nullable": {"type": "boolean"},
            }},
            "open": {"properties": {"b": {}}, "x-kubernetes-preserve-unknown-fields": true},
            "map": {"type": "object", "additionalProperties": {"type": "string"}},
            "port": {"x-kubernetes-int-or-string": true},
        }});
        strict(&mut schema);
        let properties = &schema["properties"];
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(properties["closed"]["additionalProperties"], false);
        assert_eq!(properties["closed"]["properties"]["a"]["type"], json!(["string", "null"]));
        assert_eq!(properties["closed"]["properties"]["nullable"]["type"], "boolean");
        assert_eq!(properties["open"]["additionalProperties"], Value::Null);
        assert_eq!(properties["map"]["additionalProperties"]["type"], "string");
        assert_eq!(properties["port"]["type"], json!(["string", "integer"]));
    }

    #[test]
    fn a_schema_reaches_what_it_names_and_no_more() {
        let definitions = json!({
            "a": {"items": {"$ref": "#/definitions/b"}},
            "b": {"properties": {"self": {"$ref": "#/definitions/b"}}},
            "c": {},
        });
        let mut reached = BTreeSet::new();
        reach("a", definitions.as_object().unwrap(), &mut reached);
        assert_eq!(reached.into_iter().collect::<Vec<_>>(), ["a", "b"]);
    }
}
