//! What the README tells a newcomer to apply is right, and what it links to is there.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use backflow_tests::program::program;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

const README: &str = include_str!("../../../README.md");

/// The fenced blocks of this language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    page.split(&fence).skip(1).filter_map(|rest| rest.split("```").next()).map(str::to_owned).collect()
}

#[test]
fn the_first_mapping_has_no_mistakes() {
    let manifests = blocks(README, "yaml");
    assert_eq!(manifests.len(), 1);
    let mut validate = Command::new(program("backflow-cli", "backflow").unwrap())
        .args(["validate", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    validate.stdin.take().unwrap().write_all(manifests[0].as_bytes()).unwrap();
    let output = validate.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("error"), "{said}");
}

#[test]
fn the_commands_name_what_the_manifests_name() {
    let commands = blocks(README, "sh").join("\n");
    for name in [
        "secret generic shop --from-literal=password",
        "secret generic crm --from-literal=token",
        "mapping/customers-to-crm",
    ] {
        assert!(commands.contains(name), "{name}");
    }
}

#[test]
fn every_link_leads_somewhere() {
    for page in [
        "README.md",
        "docs/development.md",
        "docs/cli.md",
        "docs/mapping-cookbook.md",
        "docs/schedules.md",
        "docs/state.md",
        "docs/state-format.md",
        "docs/write-a-definition.md",
        "docs/definition-reference.md",
        "docs/sources/azuresql.md",
        "docs/sources/bigquery.md",
        "docs/sources/clickhouse.md",
        "docs/sources/databricks.md",
        "docs/sources/mysql.md",
        "docs/sources/postgres.md",
        "docs/sources/redshift.md",
        "docs/sources/snowflake.md",
    ] {
        let text = std::fs::read_to_string(Path::new(ROOT).join(page)).unwrap();
        let folder = Path::new(ROOT).join(page).parent().unwrap().to_owned();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap_or_default();
            if !path.is_empty() && !path.contains("://") {
                assert!(folder.join(path).exists(), "{page} links to {link}");
            }
        }
    }
}
