//! Segment's actions, by the package that is installed in the cache.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;

use serde_json::{Map, Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::cases::{Case, Change, FORGET, Row, Tool, folder};
use super::read::Request;

/// What Segment's package does with all cases of a tool.
pub(crate) struct Theirs {
    pub(crate) actions: BTreeSet<String>,
    /// The requests of each case, or why there are none.
    pub(crate) runs: Vec<Result<Vec<Request>, String>>,
}

/// Runs them: `package` is the folder that the package is installed in.
pub(crate) async fn run(package: &Path, tool: &Tool, secrets: &BTreeMap<String, String>) -> Theirs {
    let runs: Vec<Value> = tool.cases.iter().map(given).collect();
    let input = json!({
        "destination": tool.destination,
        "settings": with_secrets(&tool.settings, secrets),
        "auth": with_secrets(&tool.auth, secrets),
        "runs": runs,
    });
    let mut node = Command::new("node");
    node.arg(folder().join("segment.js"))
        .env("NODE_PATH", package.join("node_modules"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    let mut node = node.spawn().expect("node is not installed");
    node.stdin.take().unwrap().write_all(input.to_string().as_bytes()).await.unwrap();
    let output = tokio::time::timeout(backflow_tests::PATIENCE, node.wait_with_output()).await;
    let output = output.expect("Segment's package does not end").unwrap();
    assert!(output.status.success(), "Segment's package does not run: see above");
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let names = said["actions"].as_array().unwrap().iter().map(|action| action["name"].as_str().unwrap().to_owned());
    Theirs { actions: names.collect(), runs: said["runs"].as_array().unwrap().iter().map(requests).collect() }
}

fn requests(run: &Value) -> Result<Vec<Request>, String> {
    if let Some(why) = run["failed"].as_str() {
        return Err(format!("Segment's action fails: {why}"));
    }
    run["requests"].as_array().unwrap().iter().map(Request::caught).collect()
}

fn given(case: &Case) -> Value {
    let theirs = &case.segment;
    let event = match (theirs.action.as_str(), case.change) {
        (FORGET, _) => FORGET,
        (_, Change::Added) => "new",
        (_, Change::Updated) => "updated",
        (_, Change::Deleted) => "deleted",
    };
    json!({
        "action": theirs.action,
        "event": event,
        "batch": theirs.batch,
        "rows": case.rows,
        "mapping": mapping(case),
        "features": theirs.features,
        "answers": theirs.answers,
    })
}

fn mapping(case: &Case) -> Value {
    let theirs = &case.segment;
    let mut mapping = Map::new();
    let columns: BTreeSet<&String> = case.rows.iter().flat_map(Row::keys).collect();
    for column in columns {
        let field = theirs.rename.get(column).unwrap_or(column);
        if !field.is_empty() {
            set(&mut mapping, field, json!({"@path": format!("$.properties.{column}")}));
        }
    }
    for (field, value) in &theirs.fields {
        set(&mut mapping, field, value.clone());
    }
    if let Some(mode) = &theirs.sync_mode {
        mapping.insert("__segment_internal_sync_mode".into(), json!(mode));
    }
    mapping.into()
}

/// Sets what is at a dotted path.
fn set(mapping: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            mapping.insert(path.to_owned(), value);
        }
        Some((first, rest)) => {
            let inner = mapping.entry(first).or_insert_with(|| json!({}));
            set(inner.as_object_mut().expect("a field is both a value and an object"), rest, value);
        }
    }
}

fn with_secrets(value: &Value, secrets: &BTreeMap<String, String>) -> Value {
    let mut text = value.to_string();
    for (name, secret) in secrets {
        text = text.replace(&format!("<<secret:{name}>>"), secret);
    }
    serde_json::from_str(&text).unwrap()
}
