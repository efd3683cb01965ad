//! The language's page in the documentation, made from its schema.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::json_schema;

/// Where [`reference_page`] is committed, from this crate's folder.
pub const REFERENCE_FILE: &str = "../../docs/definition-reference.md";

const HEAD: &str = "<!-- Made by `cargo xtask generate` from operator/definitions/src/language. -->

# The language of definitions

What a destination definition may say, member by member. It is the `spec` of a DestinationDefinition, and a built-in definition's file.
[write-a-definition.md](write-a-definition.md) goes from an empty one to delivered records; [definition-fixtures.md](definition-fixtures.md)
says how the built-in ones are tested. Editors show the same from
[schemas/destination-definition.json](../schemas/destination-definition.json), and `backflow validate` also checks what no schema can say.

Expressions see these variables, each where its place says so: `settings` (no secrets but in `auth`), `cfg` (the Mapping's config), `auth`
(what the way to authenticate captures), `f` (the record's fields), `rec` (`id`, `key`, `op`, `match`, `group`, `remoteId`, `found`, `matchBy`,
`groupBy`), `batch` (`id`, `size`, `op`, `group`), `items`, `ensure`, `job`, and of an answer `status`, `headers`, `body`, `it` and `index`.
What is required of a built-in definition's file, a DestinationDefinition may leave out where its line says so.
";

/// The text of the page.
#[must_use]
pub fn reference_page() -> String {
    let schema = json_schema();
    let mut out = format!("{HEAD}\n## The top level\n");
    table(&schema, &mut out);
    for (name, part) in entries(&schema["$defs"]) {
        let _ = write!(out, "\n## {name}\n\n{}\n", about(part));
        match part["properties"].is_object() {
            true => table(part, &mut out),
            false => drop(write!(out, "\nIt is {}.\n", kind(part))),
        }
    }
    out
}

fn table(schema: &Value, out: &mut String) {
    out.push_str("\n| member | is | |\n|---|---|---|\n");
    members(schema, "", out);
}

/// A line for each member of `schema`, and for those inside of it that have no section of their own.
fn members(schema: &Value, path: &str, out: &mut String) {
    let required = schema["required"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (name, member) in entries(&schema["properties"]) {
        let path = format!("{path}{name}");
        let needed = if required.iter().any(|required| required == name) { " **Required.**" } else { "" };
        let _ = writeln!(out, "| `{path}` | {} | {}{needed} |", kind(member), cell(about(member)));
        members(member, &format!("{path}."), out);
        members(&member["items"], &format!("{path}[]."), out);
    }
}

/// What a value is, in a few words.
fn kind(schema: &Value) -> String {
    let any_of = |all: &[Value]| all.iter().map(kind).collect::<Vec<_>>().join(" or ");
    if let Some(name) = schema["$ref"].as_str().and_then(|to| to.strip_prefix("#/$defs/")) {
        return format!("[{name}](#{})", name.to_lowercase());
    }
    if let Some(choices) = schema["enum"].as_array() {
        let choices: Vec<String> = choices.iter().map(|choice| format!("`{}`", word(choice))).collect();
        return choices.join(", ");
    }
    if let Some(all) = schema["anyOf"].as_array() {
        return any_of(all);
    }
    match &schema["type"] {
        Value::Array(types) => types.iter().map(typed).collect::<Vec<_>>().join(" or "),
        kind if kind == "array" => format!("list: {}", self::kind(&schema["items"])),
        kind if kind == "object" && schema["additionalProperties"].is_object() => {
            format!("map: {}", self::kind(&schema["additionalProperties"]))
        }
        kind if kind == "integer" => format!("whole number, {} or more", schema["minimum"]),
        kind => typed(kind),
    }
}

fn typed(name: &Value) -> String {
    let word = match name.as_str() {
        Some("string") => "text",
        Some("boolean") => "true or false",
        Some("integer") => "whole number",
        Some(other) => other,
        None => "anything",
    };
    word.to_owned()
}

/// A value of an `enum`, as a table of the page shows it.
fn word(choice: &Value) -> String {
    cell(choice.as_str().unwrap_or_default()).replace('\t', "\\t")
}

fn about(schema: &Value) -> &str {
    schema["description"].as_str().unwrap_or_default()
}

fn entries(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.as_object().into_iter().flat_map(Map::iter)
}

/// Text that does not end the cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
