use std::fs;
use std::path::Path;

use regex::Regex;

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
    if let (Some(pattern), Some(text)) = (schema["pattern"].as_str(), value.as_str())
        && !Regex::new(pattern).expect("a pattern").is_match(text)
    {
        found.push(format!("{path}: not like {pattern}"));
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
        ("per: 10s, tun", "per: 10 s, tun"),
        ("from: \"${body.lists}\"", "from: body.lists"),
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

/// Every member of a schema and of what is inside of it: its name, and its own schema.
fn every_member<'a>(schema: &'a Value, found: &mut Vec<(String, &'a Value)>) {
    match schema {
        Value::Object(parts) => {
            let named = ["properties", "$defs"].into_iter().filter_map(|part| parts.get(part)?.as_object());
            found.extend(named.flatten().map(|(name, member)| (name.clone(), member)));
            for (name, part) in parts {
                match (name.as_str(), part) {
                    ("properties" | "$defs", Value::Object(members)) => {
                        members.values().for_each(|member| every_member(member, found));
                    }
                    _ => every_member(part, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| every_member(item, found)),
        _ => {}
    }
}

#[test]
fn every_member_has_its_meaning() {
    let schema = json_schema();
    let mut members = Vec::new();
    every_member(&schema, &mut members);
    assert!(members.len() > 250, "{}", members.len());
    for (name, member) in members {
        let meaning = member["description"].as_str().unwrap_or_default();
        assert!(meaning.ends_with('.'), "{name}: {meaning:?} is no sentence");
    }
}

#[test]
fn the_page_names_every_member_where_it_belongs() {
    let schema = json_schema();
    let page = reference_page();
    // Before them, the page says what expressions see and what answers mean.
    let sections: Vec<&str> = page.split("\n## ").skip_while(|section| !section.starts_with("The top level")).collect();
    let defs = schema["$defs"].as_object().expect("definitions");
    let parts =
        std::iter::once(("The top level", &schema)).chain(defs.iter().map(|(name, part)| (name.as_str(), part)));
    let mut named = 0;
    for ((name, part), section) in parts.zip(&sections) {
        assert_eq!(section.lines().next(), Some(name));
        let (mut members, mut top) = (Vec::new(), part.clone());
        top["$defs"] = Value::Null;
        every_member(&top, &mut members);
        let lines: Vec<&str> = section.lines().filter(|line| line.starts_with("| `")).collect();
        let paths = lines.iter().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        let names: Vec<&str> = paths.filter_map(|(path, _)| path.rsplit('.').next()).collect();
        for (member, schema) in &members {
            let meaning = schema["description"].as_str().expect("a meaning").replace('|', "\\|");
            assert!(names.contains(&member.as_str()), "{name} has {member}");
            assert!(lines.iter().any(|line| line.contains(&meaning)), "{name} says what {member} is");
        }
        assert_eq!(names.len(), members.len(), "{name}");
        named += members.len();
    }
    assert_eq!((sections.len(), named > 240), (defs.len() + 1, true), "{named}");
}

#[test]
fn links_of_the_page_lead_to_its_sections() {
    let page = reference_page();
    let headings: Vec<String> =
        page.lines().filter_map(|line| Some(format!("#{}", line.strip_prefix("## ")?.to_lowercase()))).collect();
    let links: Vec<&str> = page.split("](#").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(links.len() > 100, "{}", links.len());
    for link in links {
        assert!(headings.contains(&format!("#{link}")), "{link}");
    }
}

#[test]
fn the_committed_files_are_current() {
    for (file, text) in [(crate::SCHEMA_FILE, crate::schema_text()), (crate::REFERENCE_FILE, reference_page())] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == text, "{} is stale: run `cargo xtask generate`", path.display());
    }
}
