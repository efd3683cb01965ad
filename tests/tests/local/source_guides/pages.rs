//! What every guide has, and that its tables say what there is.

use std::collections::BTreeSet;
use std::path::Path;

use backflow_core::code::Code;
use backflow_crds::manifest::crds;
use regex::Regex;
use serde_json::Value;

/// Pages, and the member of a Source's spec that each is about.
const PAGES: [(&str, &str); 8] = [
    ("azuresql.md", "azureSql"),
    ("bigquery.md", "bigquery"),
    ("clickhouse.md", "clickhouse"),
    ("databricks.md", "databricks"),
    ("mysql.md", "mysql"),
    ("postgres.md", "postgres"),
    ("redshift.md", "redshift"),
    ("snowflake.md", "snowflake"),
];
const SECTIONS: [&str; 9] = [
    "## Grants",
    "## Source",
    "## Model",
    "## First sync",
    "## The least",
    "## Network",
    "## What it costs",
    "## Values",
    "## When it does not work",
];

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/sources").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What stands in backticks in the first cells of the table with this head.
fn first_cells(page: &str, head: &str) -> Vec<String> {
    let (_, table) = page.split_once(&format!("\n| {head} |")).unwrap_or_else(|| panic!("there is no table of {head}"));
    let rows = table.lines().skip(2).take_while(|line| line.starts_with("| "));
    let name = Regex::new("`([^`]+)`").unwrap();
    let cells = rows.filter_map(|row| row.split('|').nth(1));
    cells.flat_map(|cell| name.captures_iter(cell).map(|found| found[1].to_owned()).collect::<Vec<_>>()).collect()
}

/// The settings that are values, by their path. A reference to a key of a Secret is one.
fn settings(schema: &Value, at: &str, found: &mut BTreeSet<String>) {
    let members = schema["properties"].as_object().filter(|members| !members.contains_key("secretKeyRef"));
    match members {
        None => assert!(found.insert(at.to_owned())),
        Some(members) => {
            for (name, schema) in members {
                settings(schema, &if at.is_empty() { name.clone() } else { format!("{at}.{name}") }, found);
            }
        }
    }
}

#[test]
fn a_guide_has_every_setting_of_its_source_and_no_other() {
    let crds = crds();
    let source = crds.iter().find(|crd| crd.spec.names.kind == "Source").unwrap();
    let schema = serde_json::to_value(&source.spec.versions[0].schema).unwrap();
    let members = &schema["openAPIV3Schema"]["properties"]["spec"]["properties"];
    for (name, kind) in PAGES {
        let mut known = BTreeSet::new();
        settings(&members[kind], "", &mut known);
        assert!(known.len() > 4, "{kind}");
        let listed = first_cells(&page(name), "setting");
        let said: BTreeSet<String> = listed.iter().cloned().collect();
        assert_eq!(said.len(), listed.len(), "{name} says one twice");
        assert_eq!(said, known, "{name}");
    }
}

#[test]
fn a_guide_has_all_sections_and_no_reason_that_there_is_not() {
    let codes: BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    for (name, _) in PAGES {
        let page = page(name);
        for section in SECTIONS {
            assert!(page.lines().any(|line| line == section), "{name} has no {section}");
        }
        let reasons = first_cells(&page, "reason");
        for reason in &reasons {
            assert!(codes.contains(reason.as_str()), "{name}: there is no reason {reason}");
        }
        // What nobody is spared.
        for reason in ["AuthenticationFailed", "PermissionDenied", "TableNotFound", "StateSchemaMissing", "SqlError"] {
            assert!(reasons.iter().any(|known| known == reason), "{name} does not say what to do about {reason}");
        }
    }
}

#[test]
fn every_guide_is_followed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/sources");
    let there: BTreeSet<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(there, PAGES.iter().map(|(name, _)| (*name).to_owned()).collect());
    let tests = include_str!("../source_guides.rs");
    for (name, _) in PAGES {
        assert!(tests.contains(&format!("\"{name}\"")), "{name} is not followed");
    }
}
