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

What is required of a built-in definition's file, a DestinationDefinition may leave out where its line says so.

## What expressions see

Each place says which of these it sees. Functions are those of the [cookbook](mapping-cookbook.md#expressions).

| variable | is |
|---|---|
| `settings` | What the Destination gives, and defaults. Secrets are among them only in `auth`. |
| `cfg` | `Mapping.spec.config`, and defaults. |
| `auth` | What `capture` of the way to authenticate takes from the answer with the token. |
| `f` | The record's fields, as the action's schema makes them. Of a deletion the row is gone: only fields that the Mapping sets to a constant are there. |
| `rec.id` | The row's primary key: its value, or a list of several. |
| `rec.key` | A name of this change of the record: 22 letters, digits, `-` and `_`. Each try has the same, also after a crash, and another change has another: for `Idempotency-Key`, for ids of events, and for `mode: correlate`. |
| `rec.op` | `insert`, `update`, `upsert` or `delete`. |
| `rec.match`, `rec.matchBy` | The value, and the path, of the field that the record is found by (`x-role: matchKey`, `matchBy`). Known of a deletion, too. |
| `rec.group`, `rec.groupBy` | The same of the field that records are grouped by. |
| `rec.remoteId` | The destination's id of the record: what the lookup stored, else what an answer to an earlier delivery told (`remoteId` of results). |
| `rec.found` | All that the lookup stored, by name. |
| `batch.id` | A name of this request, made of the `rec.key` of its records: the same as long as they are. |
| `batch.size`, `batch.op`, `batch.group` | How many records it has, what `rec.op` of the first is, and the values of `groupBy`. |
| `items` | The items of the request, as a list. |
| `ensure`, `job` | By name: what must exist, and what the job captured; `job.id`. |
| `status`, `headers`, `body` | Of an answer: the number, the headers by lower-case names, and the body: a JSON document, a text if it is none, null if there is none. |
| `it`, `index` | An element of a list in the answer, and its place from 0. |

`x.name` is an error where there is no such member: in `when` the rule does not hold then, in results the answer cannot be read (the
records are rejected in the end, `UNREADABLE_ANSWER`, and the message names the expression), in `code`, `field`, `label` and `account` it is
nothing. `x.?name` is nothing instead.

## What an answer means

What no rule of `errors` holds for is judged by its status.

| status | means |
|---|---|
| 2xx | `ok`: `results` says what became of each record. A web page is `config` instead. |
| 401 | `auth` |
| 404 of a deletion | `ignore`, for it is gone already; but `config` with `hosts: {userDefined: true}`, where the address may be wrong. |
| 413 | `splitBatch` |
| 408, 425, 429, and 5xx with a header that says how long to wait | `throttle` |
| 423 and other 5xx | `retry` |
| 3xx, 403, 404, 405, 407, 410, 501, 505 | `config` |
| other 4xx | `reject`: of several records, the request is halved until those at fault are alone. |
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
