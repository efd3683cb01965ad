//! Charts and manifests against the schemas of the API: rendered by helm and kustomize, checked by kubeconform.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Outcome, schemas};
use crate::cluster::build::Build;
use crate::process::run;
use crate::workspace::Workspace;

/// Kinds of other projects, whose schemas are not in Kubernetes.
const FOREIGN_KINDS: &str = "PodMonitor,PrometheusRule";

/// Sets of values with which the chart is rendered, beside its defaults.
const VALUES: [(&str, &str); 2] = [
    ("everything", include_str!("../../assets/values/everything.yaml")),
    ("namespaced", include_str!("../../assets/values/namespaced.yaml")),
];

/// A rendering, by its name.
struct Rendering {
    name: String,
    text: Result<String>,
}

/// Renders everything and checks each rendering; each is one test.
pub(super) fn check(workspace: &Workspace, build: &Build, log: &File) -> Result<Outcome> {
    build.tools()?;
    let folders = schemas::ensure(workspace, build)?;
    let mut outcome = Outcome::default();
    for rendering in renderings(workspace, build)? {
        let result = rendering.text.and_then(|text| conform(workspace, build, &folders, &text));
        let mut log = log;
        match &result {
            Ok(checked) => writeln!(log, "{}: {checked} objects", rendering.name)?,
            Err(error) => writeln!(log, "{}: {error:#}", rendering.name)?,
        }
        outcome.add(Outcome::one(result.is_ok()));
    }
    Ok(outcome)
}

fn renderings(workspace: &Workspace, build: &Build) -> Result<Vec<Rendering>> {
    let root = &workspace.root;
    let values = workspace.output().join("test-values");
    fs::create_dir_all(&values)?;
    let mut all = Vec::new();
    for chart in ["backflow", "backflow-crds"] {
        all.push(helm(root, build, chart, "defaults", &[]));
    }
    for (name, content) in VALUES {
        let file = values.join(format!("{name}.yaml"));
        fs::write(&file, content)?;
        all.push(helm(root, build, "backflow", name, &[file]));
    }
    let mut folders = vec![root.join("deploy/kustomize/base")];
    folders.extend(entries(&root.join("deploy/kustomize/overlays")));
    for folder in folders {
        let text = run(Command::new(build.program("kubectl")).arg("kustomize").arg(&folder));
        all.push(Rendering { name: relative(root, &folder), text });
    }
    let mut files = vec![root.join("deploy/install.yaml")];
    files.extend(manifests(&root.join("deploy/samples")));
    for file in files {
        let text = fs::read_to_string(&file).with_context(|| relative(root, &file));
        all.push(Rendering { name: relative(root, &file), text });
    }
    Ok(all)
}

fn helm(root: &Path, build: &Build, chart: &str, name: &str, values: &[PathBuf]) -> Rendering {
    let mut helm = Command::new(build.program("helm"));
    helm.current_dir(root).args(["template", chart, &format!("charts/{chart}"), "--namespace", "backflow-system"]);
    for file in values {
        helm.arg("--values").arg(file);
    }
    Rendering { name: format!("chart {chart}, {name}"), text: run(&mut helm) }
}

/// Checks one rendering; returns the number of objects that a schema was found for.
fn conform(workspace: &Workspace, build: &Build, folders: &[PathBuf], text: &str) -> Result<u64> {
    let file = workspace.output().join("test-values/rendered.yaml");
    fs::write(&file, text)?;
    let mut kubeconform = Command::new(build.program("kubeconform"));
    kubeconform.args(["-strict", "-summary", "-output", "json", "-skip", FOREIGN_KINDS]);
    for folder in folders {
        kubeconform.arg("-schema-location").arg(folder.join(schemas::PATTERN));
    }
    let said = run(kubeconform.arg(&file))?;
    let said: Value = serde_json::from_str(&said).context("kubeconform said something else than JSON")?;
    let checked = said["summary"]["valid"].as_u64().unwrap_or(0);
    anyhow::ensure!(checked > 0, "no object was checked");
    Ok(checked)
}

/// Every YAML file below a folder.
fn manifests(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in entries(folder) {
        if path.is_dir() {
            files.extend(manifests(&path));
        } else if path.extension().is_some_and(|ending| ending == "yaml") {
            files.push(path);
        }
    }
    files
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}
