//! The direction of dependencies: what may know what, proven on cargo's own resolution.

use std::collections::BTreeSet;
use std::process::Command;

/// Names of everything that a package alone is built with: what only its tests need is left out, and so is what other packages
/// of the workspace turn on.
fn reachable(root: &str) -> BTreeSet<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "tree",
            "--offline",
            "--package",
            root,
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let names: BTreeSet<String> = text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    assert!(names.contains(root), "cargo tree says nothing of {root}");
    names
}

fn assert_free_of(root: &str, forbidden: &[&str]) {
    let found = reachable(root);
    let broken: Vec<&&str> = forbidden.iter().filter(|name| found.contains(**name)).collect();
    assert!(broken.is_empty(), "{root} must not depend on {broken:?}");
}

#[test]
fn pure_crates_know_no_network_no_runtime_and_no_kubernetes() {
    for root in ["backflow-core", "backflow-yaml", "backflow-expressions", "backflow-definitions", "backflow-mapping"] {
        let forbidden = ["kube", "k8s-openapi", "tokio", "sqlx", "reqwest", "hyper", "backflow-crds"];
        assert_free_of(root, &forbidden);
    }
    // The language knows nothing of those who speak it.
    assert_free_of("backflow-expressions", &["backflow-definitions", "backflow-mapping", "backflow-yaml"]);
    assert_free_of("backflow-definitions", &["backflow-mapping", "backflow-plan"]);
    assert_free_of("backflow-plan", &["kube-client", "kube-runtime", "tokio", "sqlx", "reqwest", "hyper"]);
    assert_free_of("backflow-crds", &["kube-client", "kube-runtime", "tokio", "backflow-core", "backflow-plan"]);
}

#[test]
fn the_controller_has_no_drivers_and_no_connectors() {
    let forbidden = [
        "sqlx",
        "sqlx-core",
        "tiberius",
        "reqwest",
        "backflow-postgres",
        "backflow-sources",
        "backflow-destinations",
        "backflow-worker",
    ];
    assert_free_of("backflow-controller", &forbidden);
}

#[test]
fn the_worker_cannot_speak_to_kubernetes() {
    assert_free_of(
        "backflow-worker",
        &["kube", "kube-client", "kube-core", "k8s-openapi", "backflow-crds", "backflow-plan"],
    );
}

#[test]
fn connectors_do_not_know_each_other() {
    assert_free_of("backflow-sources", &["backflow-destinations", "backflow-mapping", "backflow-definitions"]);
    assert_free_of("backflow-destinations", &["backflow-sources", "backflow-mapping"]);
    // What both use knows neither of them.
    let forbidden =
        ["backflow-sources", "backflow-destinations", "backflow-definitions", "backflow-mapping", "reqwest"];
    assert_free_of("backflow-postgres", &forbidden);
}

#[test]
fn there_is_one_crypto_provider() {
    for root in ["backflow-operator", "backflow-controller", "backflow-worker", "backflow-cli"] {
        assert_free_of(root, &["openssl-sys", "native-tls"]);
        assert!(reachable(root).contains("aws-lc-rs"), "{root}");
    }
}
