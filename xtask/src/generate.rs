//! Writes the committed files that are made from others, or says which of them are stale.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::argocd;
use crate::cluster::build::Build;
use crate::process::run;
use crate::steps::{say, step};
use crate::workspace::Workspace;

/// The namespace of the plain manifests.
const NAMESPACE: &str = "backflow-system";
/// The oldest Kubernetes the charts accept: what they render for it, every later one takes.
const KUBE_VERSION: &str = "1.33.0";
const BASE: &str = "deploy/kustomize/base";
const INSTALL: &str = "deploy/install.yaml";

/// Regenerates all files; with `check`, only compares them. True if they were (or now are) current.
///
/// # Errors
/// A generator failed. Stale files are no error.
pub fn generate(workspace: &Workspace, check: bool) -> Result<bool> {
    let build = Build::locate(workspace);
    build.tools()?;
    let crds = step("CRDs from the types", || generator(workspace, "crdgen", check))?;
    let definitions =
        step("schema, reference and catalogue of definitions", || generator(workspace, "definition-files", check))?;
    let manifests = step("manifests from the charts", || {
        write(workspace, manifests(workspace, &build)?, check, "what the charts say")
    })?;
    let scripts = step("Argo CD's scripts", || {
        write(workspace, argocd::files(&workspace.root)?, check, "what deploy/argocd/scripts says")
    })?;
    Ok(crds && definitions && manifests && scripts)
}

/// A program of the project that writes files, or says with `--check` which are stale.
fn generator(workspace: &Workspace, name: &str, check: bool) -> Result<bool> {
    let [program] = workspace.programs([name])?;
    let mut generator = Command::new(program);
    if !check {
        return run(&mut generator).map(|_| true);
    }
    let output = generator.arg("--check").output().with_context(|| format!("cannot start {name}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => Ok(true),
        // It lists stale files and fails; anything else it says is a failure of its own.
        Some(1) if said.contains(&format!("run {name}")) => {
            say(&format!("\n{}", said.trim_end()));
            Ok(false)
        }
        _ => bail!("{name} failed:\n{said}"),
    }
}

/// The charts rendered with their defaults, for kustomize; and all of it in one file, under the head it has.
fn manifests(workspace: &Workspace, build: &Build) -> Result<Vec<(String, String)>> {
    let root = &workspace.root;
    let crds = render(root, build, "backflow-crds")?;
    let controller = render(root, build, "backflow")?;
    let namespace = fs::read_to_string(root.join(BASE).join("namespace.yaml")).context("deploy/kustomize/base")?;
    let present = fs::read_to_string(root.join(INSTALL)).context("deploy/install.yaml")?;
    let head: String = present.lines().take_while(|line| *line != "---").flat_map(|line| [line, "\n"]).collect();
    Ok(vec![
        (format!("{BASE}/crds.yaml"), crds.clone()),
        (format!("{BASE}/controller.yaml"), controller.clone()),
        (INSTALL.to_owned(), [head, namespace, crds, controller].concat()),
    ])
}

/// Writes the files, or compares them: `what` says what they should be.
fn write(workspace: &Workspace, files: Vec<(String, String)>, check: bool, what: &str) -> Result<bool> {
    let mut current = true;
    for (name, text) in files {
        let path = workspace.root.join(&name);
        if fs::read_to_string(&path).is_ok_and(|present| present == text) {
            continue;
        }
        if check {
            say(&format!("\n{name} is not {what}: run `cargo xtask generate`"));
            current = false;
        } else {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(&path, text).with_context(|| format!("cannot write {name}"))?;
        }
    }
    Ok(current)
}

fn render(root: &Path, build: &Build, chart: &str) -> Result<String> {
    let mut helm = Command::new(build.program("helm"));
    helm.current_dir(root).args(["template", chart, &format!("charts/{chart}")]);
    run(helm.args(["--namespace", NAMESPACE, "--kube-version", KUBE_VERSION]))
}
