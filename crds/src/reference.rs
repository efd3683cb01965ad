//! The reference pages of the API in `docs/api`, made from the CRDs: every field with its type, its limits and what it means.

use std::fmt::Write as _;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Map, Value};

const HEAD: &str = "<!-- Made by `cargo xtask generate` from the types in crds/src. -->\n\n";

/// The pages: name and text.
///
/// # Errors
/// When a CRD cannot be written as JSON, which would be a fault of this crate.
pub fn pages(crds: &[CustomResourceDefinition]) -> Result<Vec<(String, String)>, serde_json::Error> {
    let mut index = format!(
        "{HEAD}# The API: `backflow.dev/v1alpha1`\n\n`kubectl explain mapping.spec` says the same of the cluster's own version.\n\n\
         | kind | short | scope | |\n|---|---|---|---|\n"
    );
    let mut pages = Vec::new();
    for crd in crds {
        let names = &crd.spec.names;
        let Some(version) = crd.spec.versions.first() else { continue };
        let schema = serde_json::to_value(&version.schema)?;
        let schema = &schema["openAPIV3Schema"];
        let short = names.short_names.iter().flatten().next().map(String::as_str).unwrap_or_default();
        let _ = writeln!(
            index,
            "| [{}]({}.md) | `{short}` | {} | {} |",
            names.kind,
            names.plural,
            crd.spec.scope.to_lowercase(),
            cell(about(schema))
        );
        pages.push((format!("{}.md", names.plural), page(&names.kind, schema)));
    }
    pages.push(("README.md".to_owned(), index));
    Ok(pages)
}

fn page(kind: &str, schema: &Value) -> String {
    let mut out = format!("{HEAD}# {kind}\n\n{}\n", about(schema));
    for part in ["spec", "status"] {
        let schema = &schema["properties"][part];
        let _ = write!(out, "\n## {part}\n\n{}\n\n| field | is | |\n|---|---|---|\n", about(schema));
        members(schema, "", &mut out);
        let mut said = Vec::new();
        rules(schema, "", &mut said);
        if !said.is_empty() {
            let _ = write!(out, "\nThe API server refuses what breaks one of these:\n\n{}", said.concat());
        }
    }
    out
}

/// A line for each field below `schema`, parents first.
fn members(schema: &Value, path: &str, out: &mut String) {
    let required = schema["required"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (name, member) in properties(schema) {
        let path = format!("{path}{name}");
        let _ = writeln!(
            out,
            "| `{path}` | {} | {} |",
            kind(member),
            cell(&meaning(member, required.iter().any(|required| required == name)))
        );
        below(member, &path, out);
    }
}

fn below(schema: &Value, path: &str, out: &mut String) {
    if is_secret(schema) || is_name(schema) || is_condition(&schema["items"]) {
        return;
    }
    members(schema, &format!("{path}."), out);
    let (inside, step) = match (&schema["items"], &schema["additionalProperties"]) {
        (items @ Value::Object(_), _) => (items, "[]"),
        (_, values @ Value::Object(_)) => (values, ".<name>"),
        _ => return,
    };
    below(inside, &format!("{path}{step}"), out);
}

/// What a field is, in a few words.
fn kind(schema: &Value) -> String {
    if is_secret(schema) {
        return "`secretKeyRef: {name, key}`".to_owned();
    }
    if is_name(schema) {
        return "`{name}`".to_owned();
    }
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<String> =
            values.iter().map(|value| format!("`{}`", value.as_str().unwrap_or_default())).collect();
        return values.join(", ");
    }
    if schema["x-kubernetes-int-or-string"] == true {
        return "number or text".to_owned();
    }
    match schema["type"].as_str() {
        Some("string") if schema["format"] == "date-time" => "time".to_owned(),
        Some("string") => "text".to_owned(),
        Some("boolean") => "true or false".to_owned(),
        Some("integer") => format!("whole number{}", range(schema)),
        Some("number") => format!("number{}", range(schema)),
        Some("array") if is_condition(&schema["items"]) => "[conditions](../conditions.md)".to_owned(),
        Some("array") => format!("list: {}{}", kind(&schema["items"]), up_to(schema, "maxItems")),
        Some("object") if schema["additionalProperties"].is_object() => {
            format!("map: {}{}", kind(&schema["additionalProperties"]), up_to(schema, "maxProperties"))
        }
        Some("object") => "object".to_owned(),
        _ => "anything".to_owned(),
    }
}

fn meaning(schema: &Value, required: bool) -> String {
    let mut said = about(schema).to_owned();
    if required {
        said.push_str(" **Required.**");
    }
    let default = &schema["default"];
    if !default.is_null() && !default.is_object() && !said.contains("Default") {
        let _ = write!(said, " Default `{default}`.");
    }
    said
}

/// Sentences of the rules on `schema` and what is inside of it.
fn rules(schema: &Value, path: &str, said: &mut Vec<String>) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let message = rule["message"].as_str().unwrap_or_default();
        said.push(if path.is_empty() { format!("- {message}\n") } else { format!("- `{path}`: {message}\n") });
    }
    for (name, member) in properties(schema) {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        rules(member, &path, said);
    }
    if schema["items"].is_object() {
        rules(&schema["items"], &format!("{path}[]"), said);
    }
    if schema["additionalProperties"].is_object() {
        rules(&schema["additionalProperties"], &format!("{path}.<name>"), said);
    }
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema["properties"].as_object().into_iter().flat_map(Map::iter)
}

/// A value that comes from a key of a Secret, and from nowhere else.
fn is_secret(schema: &Value) -> bool {
    properties(schema).map(|(name, _)| name).eq(["secretKeyRef"])
}

/// A reference to an object by its name.
fn is_name(schema: &Value) -> bool {
    properties(schema).map(|(name, _)| name).eq(["name"])
}

/// A condition as every kind of Kubernetes has it.
fn is_condition(schema: &Value) -> bool {
    properties(schema).any(|(name, _)| name == "lastTransitionTime")
}

fn range(schema: &Value) -> String {
    let limit = |name: &str| schema[name].as_f64().map(|limit| limit.to_string());
    match (limit("minimum"), limit("maximum")) {
        (Some(least), Some(most)) => format!(", {least} to {most}"),
        (Some(least), None) => format!(", {least} or more"),
        (None, Some(most)) => format!(", {most} or less"),
        (None, None) => String::new(),
    }
}

fn up_to(schema: &Value, limit: &str) -> String {
    schema[limit].as_u64().map(|limit| format!(", up to {limit}")).unwrap_or_default()
}

fn about(schema: &Value) -> &str {
    schema["description"].as_str().unwrap_or_default()
}

/// Text that does not end the cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ").replace('<', "&lt;")
}
