//! Resources together: names, references, state, circles.

use std::collections::BTreeMap;

use backflow_core::decide::after_cycles;
use backflow_core::finding::nearest;
use backflow_core::secret::SecretRef;

use crate::manifests::{Manifests, Resource, Spec};
use crate::problem::{Problem, Severity};
use crate::secrets::{Given, variable};
use backflow_yaml::{Kind, Node};

/// Checks all resources together.
pub(super) fn check(manifests: &Manifests, given: &Given, problems: &mut Vec<Problem>) {
    names(manifests, problems);
    for resource in &manifests.resources {
        for (kind, path) in references_of(resource.kind) {
            reference(manifests, resource, kind, path, problems);
        }
        if let Some(spec) = resource.node.get("spec") {
            secrets(manifests, given, resource, spec, "spec", problems);
        }
    }
    state_keys(manifests, problems);
    circles(manifests, problems);
}

/// The references of a kind: what they name, and where they are.
fn references_of(kind: &str) -> &'static [(&'static str, &'static [&'static str])] {
    match kind {
        "Model" => &[("Source", &["sourceRef"])],
        "Mapping" => &[
            ("Model", &["modelRef"]),
            ("Destination", &["destinationRef"]),
            ("Mapping", &["schedule", "after", "mappingRef"]),
        ],
        "Sync" => &[("Mapping", &["mappingRef"]), ("Model", &["modelRef"]), ("Source", &["forget", "sourceRef"])],
        _ => &[],
    }
}

fn names(manifests: &Manifests, problems: &mut Vec<Problem>) {
    let mut seen: BTreeMap<(&str, &str, &str), &Resource> = BTreeMap::new();
    for resource in manifests.resources.iter().filter(|resource| !resource.name.is_empty()) {
        let place = (resource.kind, &*resource.namespace, &*resource.name);
        if let Some(first) = seen.get(&place) {
            let message = format!(
                "there is a {} of this name already, at {}:{}; rename or remove one, for `kubectl apply` keeps only the last",
                resource.kind,
                first.file,
                first.node.locate("metadata.name").line
            );
            problems.push(resource.problem("metadata.name", "DuplicateName", message));
        } else {
            seen.insert(place, resource);
        }
    }
}

fn reference(manifests: &Manifests, resource: &Resource, kind: &str, path: &[&str], problems: &mut Vec<Problem>) {
    let Some(name) = resource.refers_to(path) else { return };
    if name.is_empty() || manifests.find(kind, &resource.namespace, name).is_some() {
        return;
    }
    let same = |other: &&Resource| other.namespace == resource.namespace && !other.name.is_empty();
    let hint = nearest(name, manifests.of_kind(kind).filter(same).map(|other| &*other.name))
        .map(|other| format!("did you mean \"{other}\"? else "))
        .unwrap_or_default();
    let message =
        format!("there is no {kind} \"{name}\" in these manifests; {hint}add it, unless the cluster has it already");
    let path = format!("spec.{}.name", path.join("."));
    problems.push(warning(resource.problem(path, &format!("{kind}NotFound"), message)));
}

/// Every `secretKeyRef` of a spec.
fn secrets(
    manifests: &Manifests,
    given: &Given,
    resource: &Resource,
    node: &Node,
    path: &str,
    problems: &mut Vec<Problem>,
) {
    match &node.kind {
        Kind::Map(entries) => {
            for entry in entries {
                let below = format!("{path}.{}", entry.key);
                if entry.key == "secretKeyRef" {
                    let text = |key: &str| entry.value.get(key).and_then(Node::text).unwrap_or_default().to_owned();
                    let reference = SecretRef { name: text("name"), key: text("key") };
                    if !reference.name.is_empty() && !reference.key.is_empty() {
                        problems.extend(secret(manifests, given, resource, &reference, &below));
                    }
                } else {
                    secrets(manifests, given, resource, &entry.value, &below, problems);
                }
            }
        }
        Kind::List(items) => {
            for (index, item) in items.iter().enumerate() {
                secrets(manifests, given, resource, item, &format!("{path}[{index}]"), problems);
            }
        }
        Kind::Scalar(_) => {}
    }
}

fn secret(
    manifests: &Manifests,
    given: &Given,
    resource: &Resource,
    reference: &SecretRef,
    path: &str,
) -> Option<Problem> {
    let SecretRef { name, key } = reference;
    if given.has(reference) {
        return None;
    }
    let variable = variable(reference);
    let here = format!("for a local run add it, or give --secret {name}/{key}=@FILE or {variable}");
    match manifests.secrets.get(&(resource.namespace.clone(), name.clone())) {
        Some(keys) if keys.contains_key(key) => None,
        Some(keys) => {
            let known = backflow_core::finding::hint(key, keys.keys().map(String::as_str));
            let message = format!("Secret \"{name}\" has no key \"{key}\" {known}; {here}");
            Some(warning(resource.problem(format!("{path}.key"), "SecretKeyNotFound", message)))
        }
        None => {
            let message =
                format!("there is no Secret \"{name}\" in these manifests; the cluster must have it, and {here}");
            Some(warning(resource.problem(format!("{path}.name"), "SecretNotFound", message)))
        }
    }
}

fn state_keys(manifests: &Manifests, problems: &mut Vec<Problem>) {
    let mut seen: BTreeMap<String, &Resource> = BTreeMap::new();
    for resource in manifests.of_kind("Mapping") {
        let Some(Spec::Mapping(spec)) = &resource.spec else { continue };
        let key = backflow_plan::state_key(&resource.namespace, &resource.name, spec);
        match seen.get(&key) {
            Some(first) if first.name != resource.name || first.namespace != resource.namespace => {
                let message = format!(
                    "Mapping \"{}\" ({}) has the state \"{key}\" too; two Mappings with one state would undo each other's work, so give \
                     one of them another stateKey",
                    first.name, first.file
                );
                problems.push(resource.problem("spec.stateKey", "DuplicateStateKey", message));
            }
            _ => drop(seen.insert(key, resource)),
        }
    }
}

fn circles(manifests: &Manifests, problems: &mut Vec<Problem>) {
    let path = ["schedule", "after", "mappingRef"];
    let mut namespaces: Vec<&str> = manifests.of_kind("Mapping").map(|mapping| &*mapping.namespace).collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    for namespace in namespaces {
        let pairs: Vec<(&str, &str)> = manifests
            .of_kind("Mapping")
            .filter(|mapping| mapping.namespace == namespace)
            .filter_map(|mapping| Some((&*mapping.name, mapping.refers_to(&path)?)))
            .collect();
        for circle in after_cycles(&pairs) {
            let Some(resource) = circle.first().and_then(|name| manifests.find("Mapping", namespace, name)) else {
                continue;
            };
            let chain = circle.iter().chain(circle.first()).copied().collect::<Vec<_>>().join(" → ");
            let message = format!(
                "Mappings that follow each other in a circle never run ({chain}); give one of them another schedule"
            );
            problems.push(resource.problem("spec.schedule.after.mappingRef.name", "ScheduleCycle", message));
        }
    }
}

fn warning(problem: Problem) -> Problem {
    Problem { severity: Severity::Warning, ..problem }
}
