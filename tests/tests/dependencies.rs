//! The direction of dependencies: what may know what, proven on cargo's own resolution.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

fn metadata() -> Metadata {
    MetadataCommand::new().manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml")).exec().unwrap()
}

/// Names of everything that a package is built with, but for what only its tests need.
fn reachable(metadata: &Metadata, root: &str) -> BTreeSet<String> {
    let names: BTreeMap<&PackageId, &str> =
        metadata.packages.iter().map(|package| (&package.id, package.name.as_str())).collect();
    let nodes: BTreeMap<_, _> = metadata.resolve.as_ref().unwrap().nodes.iter().map(|node| (&node.id, node)).collect();
    let mut queue = vec![names.iter().find(|(_, name)| **name == root).map(|(id, _)| *id).unwrap()];
    let mut seen = BTreeSet::new();
    while let Some(id) = queue.pop() {
        for dependency in &nodes[id].deps {
            let built_with = dependency.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development);
            if built_with && seen.insert(names[&dependency.pkg].to_owned()) {
                queue.push(&dependency.pkg);
            }
        }
    }
    seen
}

fn assert_free_of(metadata: &Metadata, root: &str, forbidden: &[&str]) {
    let found = reachable(metadata, root);
    let broken: Vec<&&str> = forbidden.iter().filter(|name| found.contains(**name)).collect();
    assert!(broken.is_empty(), "{root} must not depend on {broken:?}");
}

#[test]
fn pure_crates_know_no_network_no_runtime_and_no_kubernetes() {
    let metadata = metadata();
    for root in ["backflow-core", "backflow-definitions", "backflow-mapping"] {
        let forbidden = ["kube", "k8s-openapi", "tokio", "sqlx", "reqwest", "hyper", "backflow-crds"];
        assert_free_of(&metadata, root, &forbidden);
    }
    assert_free_of(&metadata, "backflow-plan", &["kube-client", "kube-runtime", "tokio", "sqlx", "reqwest", "hyper"]);
    assert_free_of(
        &metadata,
        "backflow-crds",
        &["kube-client", "kube-runtime", "tokio", "backflow-core", "backflow-plan"],
    );
}

#[test]
fn the_controller_has_no_drivers_and_no_connectors() {
    let forbidden =
        ["sqlx", "sqlx-core", "tiberius", "reqwest", "backflow-sources", "backflow-destinations", "backflow-worker"];
    assert_free_of(&metadata(), "backflow-controller", &forbidden);
}

#[test]
fn the_worker_cannot_speak_to_kubernetes() {
    assert_free_of(
        &metadata(),
        "backflow-worker",
        &["kube", "kube-client", "kube-core", "k8s-openapi", "backflow-crds", "backflow-plan"],
    );
}

#[test]
fn connectors_do_not_know_each_other() {
    let metadata = metadata();
    assert_free_of(
        &metadata,
        "backflow-sources",
        &["backflow-destinations", "backflow-mapping", "backflow-definitions", "reqwest"],
    );
    assert_free_of(&metadata, "backflow-destinations", &["backflow-sources", "backflow-mapping", "sqlx"]);
}

#[test]
fn there_is_one_crypto_provider() {
    let metadata = metadata();
    for root in ["backflow-controller", "backflow-worker", "backflow-cli"] {
        assert_free_of(&metadata, root, &["openssl-sys", "native-tls"]);
        assert!(reachable(&metadata, root).contains("aws-lc-rs"), "{root}");
    }
}
