//! The Argo CD scripts: those that several kinds share stand once in `deploy/argocd/scripts`, and everything stands in the ConfigMap.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

const FOLDER: &str = "deploy/argocd";
const CONFIG_MAP: &str = "deploy/argocd/argocd-cm.yaml";
/// In the layout of Argo CD's own repository.
const TREE: &str = "deploy/argocd/resource_customizations/backflow.dev";
/// In the order in which the ConfigMap has them.
const KINDS: [&str; 6] = ["Source", "Model", DEFINITION, "Destination", "Mapping", "Sync"];
/// It is read by the same health rule as those below, and has no actions.
const DEFINITION: &str = "DestinationDefinition";
/// Kinds that are suspended and resumed, and read by one health rule.
const LASTING: [&str; 4] = ["Source", "Model", "Destination", "Mapping"];
/// Those of them that have no action beside.
const PLAIN: [&str; 3] = ["Source", "Model", "Destination"];

/// Everything that is made, as path and text.
///
/// # Errors
/// A script cannot be read.
pub(crate) fn files(root: &Path) -> Result<Vec<(String, String)>> {
    let script = |name: &str| read(root, &format!("{FOLDER}/scripts/{name}.lua"));
    let mut files = Vec::new();
    for (name, place, kinds) in [
        ("health", "health.lua", &[DEFINITION][..]),
        ("health", "health.lua", &LASTING),
        ("suspend", "actions/suspend/action.lua", &LASTING),
        ("resume", "actions/resume/action.lua", &LASTING),
        ("discovery", "actions/discovery.lua", &PLAIN),
    ] {
        let text = script(name)?;
        files.extend(kinds.iter().map(|kind| (format!("{TREE}/{kind}/{place}"), text.clone())));
    }
    let map = config_map(root, &files)?;
    files.push((CONFIG_MAP.to_owned(), map));
    Ok(files)
}

/// The head that the ConfigMap has, and all scripts.
fn config_map(root: &Path, made: &[(String, String)]) -> Result<String> {
    let text = |path: &str| match made.iter().find(|(name, _)| name == path) {
        Some((_, text)) => Ok(text.clone()),
        None => read(root, path),
    };
    let present = read(root, CONFIG_MAP)?;
    let (head, _) = present.split_once("\ndata:\n").context("argocd-cm.yaml has no data")?;
    let mut map = format!("{head}\ndata:\n");
    for kind in KINDS {
        let key = "  resource.customizations";
        let _ = writeln!(map, "{key}.health.backflow.dev_{kind}: |");
        map += &indented(4, &text(&format!("{TREE}/{kind}/health.lua"))?);
        if kind == DEFINITION {
            continue;
        }
        let _ = writeln!(map, "{key}.actions.backflow.dev_{kind}: |\n    discovery.lua: |");
        map += &indented(6, &text(&format!("{TREE}/{kind}/actions/discovery.lua"))?);
        map += "    definitions:\n";
        for action in actions(root, kind, made)? {
            let _ = writeln!(map, "      - name: {action}\n        action.lua: |");
            map += &indented(10, &text(&format!("{TREE}/{kind}/actions/{action}/action.lua"))?);
        }
    }
    Ok(map)
}

/// The names of a kind's actions, sorted: those that are there, and those that are made.
fn actions(root: &Path, kind: &str, made: &[(String, String)]) -> Result<Vec<String>> {
    let place = format!("{TREE}/{kind}/actions");
    let mut names = Vec::new();
    for entry in fs::read_dir(root.join(&place)).with_context(|| place.clone())? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.extend(made.iter().filter_map(|(path, _)| {
        let rest = path.strip_prefix(&place)?.strip_prefix('/')?;
        Some(rest.strip_suffix("/action.lua")?.to_owned())
    }));
    names.sort();
    names.dedup();
    Ok(names)
}

fn indented(by: usize, text: &str) -> String {
    let line = |line: &str| if line.is_empty() { "\n".to_owned() } else { format!("{:by$}{line}\n", "") };
    text.lines().map(line).collect()
}

fn read(root: &Path, path: &str) -> Result<String> {
    fs::read_to_string(root.join(path)).with_context(|| path.to_owned())
}
