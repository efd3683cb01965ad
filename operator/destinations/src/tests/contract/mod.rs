//! Every built-in definition against the cases in its `fixtures`: given the records, the engine makes exactly the requests that are written
//! there, each valid at its endpoint by `fixtures/api.yaml` and `fixtures/schemas`, and with the answers that are written there every record
//! has exactly the outcome that is written there.
//!
//! There is no socket: the client hands requests to a [`network::Script`], and the clock is tokio's paused one.

mod case;
mod compare;
mod network;
mod schema;
mod tokens;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use case::{Case, Folder};

fn builtin() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../definitions/builtin")
}

fn yaml(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The YAML files of a folder, in the order of their names.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .collect();
    files.sort();
    files
}

/// The files that hold cases: `<action>-<operation>.yaml`.
fn case_files(folder: &Path) -> Vec<PathBuf> {
    let is_case = |path: &PathBuf| path.file_stem().is_some_and(|name| name.to_string_lossy().contains('-'));
    files(&folder.join("fixtures")).into_iter().filter(is_case).collect()
}

/// The definitions that have cases. `CONTRACT` in the environment names one, for the one who writes it.
fn folders() -> Vec<Folder> {
    let only = std::env::var("CONTRACT").ok();
    backflow_definitions::builtin_ids()
        .filter(|name| only.as_deref().is_none_or(|only| only == *name))
        .filter(|name| !case_files(&builtin().join(name)).is_empty())
        .filter_map(|name| Folder::read(name, &builtin().join(name)))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn every_case_of_every_definition_goes_as_its_fixture_says() {
    let (mut run, mut wrong) = (0, Vec::new());
    for folder in folders() {
        for path in case_files(&folder.path) {
            let file = yaml(&path);
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            for case in file["cases"].as_array().into_iter().flatten() {
                run += 1;
                let case = Case::new(&folder, &file, case);
                if let Err(why) = case.run().await {
                    wrong.push(format!("{}/{name}: {}\n    {}", folder.name, case.name(), why.replace('\n', "\n    ")));
                }
            }
        }
    }
    assert!(run > 0, "there are no cases");
    assert!(wrong.is_empty(), "{} of {run} cases:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn every_check_succeeds_and_fails_as_its_fixture_says() {
    let (mut run, mut wrong) = (0, Vec::new());
    for folder in folders() {
        let path = folder.path.join("fixtures/check.yaml");
        let checks = folder.definition.http().is_some_and(|http| http.check.is_some());
        if checks != path.exists() {
            wrong.push(format!("{}: check of the definition and fixtures/check.yaml go together", folder.name));
        }
        if !(checks && path.exists()) {
            continue;
        }
        let file = yaml(&path);
        let cases: Vec<&Value> = file["cases"].as_array().into_iter().flatten().collect();
        let succeeds = cases.iter().any(|case| case["account"].is_string());
        let refused = cases.iter().any(|case| case["failure"]["code"] == "DestinationUnauthorized");
        // Where a vendor never says that credentials are wrong, the file says so.
        if !succeeds || refused == file["neverRefused"].is_string() {
            wrong.push(format!("{}: check.yaml needs a case that succeeds, and one of wrong credentials", folder.name));
        }
        for case in cases {
            run += 1;
            let case = Case::new(&folder, &file, case);
            if let Err(why) = case.check().await {
                wrong.push(format!("{}/check: {}\n    {}", folder.name, case.name(), why.replace('\n', "\n    ")));
            }
        }
    }
    assert!(run > 0, "there are no checks");
    assert!(wrong.is_empty(), "{} of {run} cases:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_schema_is_read_and_every_endpoint_finds_its_own() {
    let (mut read, mut wrong) = (0, Vec::new());
    for folder in folders() {
        let fixtures = folder.path.join("fixtures");
        let mut named: Vec<PathBuf> = Vec::new();
        for (endpoint, defined) in folder.endpoints() {
            let Some(file) = defined["schema"].as_str() else { continue };
            named.push(fixtures.join(file));
            match schema::Schema::read(&fixtures.join(file)) {
                Ok(_) => read += 1,
                Err(error) => wrong.push(format!("{}: {endpoint}: {error:#}", folder.name)),
            }
        }
        for entry in fs::read_dir(fixtures.join("schemas")).into_iter().flatten() {
            let path = entry.unwrap().path();
            if !named.contains(&path) {
                wrong.push(format!("{}: no endpoint has the schema {}", folder.name, path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(read > 0, "there are no schemas");
}

#[test]
fn every_operation_of_every_action_has_its_cases() {
    let mut wrong = Vec::new();
    for folder in folders() {
        let mut covered: Vec<(String, String)> = Vec::new();
        for path in case_files(&folder.path) {
            let file = yaml(&path);
            let (action, operation) = (file["action"].as_str().unwrap_or(""), file["operation"].as_str().unwrap_or(""));
            covered.push((action.to_owned(), operation.to_owned()));
        }
        for (name, action) in &folder.definition.actions {
            for operation in &action.operations {
                let names: Vec<&str> = operation.ops.iter().map(|op| op.as_str()).collect();
                if !names.iter().any(|op| covered.iter().any(|(a, o)| a == name && o == op)) {
                    wrong.push(format!("{}: no cases of {name} for {}", folder.name, names.join(", ")));
                }
            }
        }
        for (action, operation) in covered {
            let known = folder.definition.actions.get(&action);
            if !known
                .is_some_and(|action| action.operations.iter().any(|o| o.ops.iter().any(|op| op.as_str() == operation)))
            {
                wrong.push(format!("{}: {action}-{operation} is no operation of the definition", folder.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
