//! `deploy/`: install.yaml, kustomize, Flux and Argo CD are made from the charts, or point at what is there.

use serde_json::Value;

use crate::render::{KUBE_VERSION, NAMESPACE, documents, helm_template, identities, kustomize, only, read, root};

const KINDS: [&str; 6] = ["destinationdefinitions", "destinations", "mappings", "models", "sources", "syncs"];
const BASE: &str = "deploy/kustomize/base";

#[test]
fn the_kinds_come_from_their_own_chart_and_survive_its_removal() {
    let crds = documents(&helm_template("backflow-crds", &["--kube-version", KUBE_VERSION]).expect("rendered"));
    let names: Vec<_> = identities(&crds);
    assert_eq!(names, KINDS.map(|kind| format!("CustomResourceDefinition -/{kind}.backflow.dev")));
    for crd in &crds {
        assert_eq!(crd["metadata"]["annotations"]["helm.sh/resource-policy"], "keep", "{}", crd["metadata"]["name"]);
    }
    let controller = helm_template("backflow", &["--kube-version", KUBE_VERSION, "--include-crds"]).expect("rendered");
    assert!(!controller.contains("CustomResourceDefinition"), "an upgrade of the controller would not upgrade them");
}

#[test]
fn install_yaml_and_the_kustomize_base_are_current() {
    let controller = helm_template("backflow", &["--kube-version", KUBE_VERSION]).expect("rendered");
    let crds = helm_template("backflow-crds", &["--kube-version", KUBE_VERSION]).expect("rendered");
    current(&format!("{BASE}/controller.yaml"), &controller);
    current(&format!("{BASE}/crds.yaml"), &crds);

    let install = read("deploy/install.yaml");
    let body = install.find("---\n").expect("a head, and then documents");
    let (head, body) = install.split_at(body);
    assert!(head.lines().all(|line| line.is_empty() || line.starts_with('#')), "{head}");
    let expected = read(&format!("{BASE}/namespace.yaml")) + &crds + &controller;
    assert!(body == expected, "deploy/install.yaml is not what its head says: run `cargo xtask generate`");
}

#[test]
fn install_yaml_is_complete_and_in_order() {
    let objects = documents(&read("deploy/install.yaml"));
    let kinds: Vec<_> = objects.iter().map(|object| object["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds[0], "Namespace");
    assert_eq!(kinds[1..7], ["CustomResourceDefinition"; 6]);
    assert_eq!(only(&objects, "Namespace")["metadata"]["name"], NAMESPACE);
    assert_eq!(only(&objects, "Deployment")["metadata"]["namespace"], NAMESPACE);
}

#[test]
fn kustomize_builds_the_same_objects() {
    assert_eq!(identities(&kustomize(BASE)), identities(&documents(&read("deploy/install.yaml"))));
}

#[test]
fn the_example_overlay_changes_the_workers_image_too() {
    let objects = kustomize("deploy/kustomize/overlays/example");
    let deployment = only(&objects, "Deployment");
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let image = "registry.example.com/platform/backflow:0.1.0";
    assert_eq!(deployment["spec"]["replicas"], 2);
    assert_eq!(container["image"], image);
    let variables = container["env"].as_array().unwrap();
    let workers = variables.iter().find(|variable| variable["name"] == "BACKFLOW_IMAGE").unwrap();
    assert_eq!(workers["value"], image);
    assert_eq!(container["resources"]["limits"]["memory"], "512Mi");
}

#[test]
fn flux_installs_the_kinds_before_the_controller_and_waits_for_ready() {
    let releases = documents(&read("deploy/flux/helmrelease.yaml"));
    assert_eq!(identities(&releases), ["HelmRelease flux-system/backflow", "HelmRelease flux-system/backflow-crds"]);
    for release in &releases {
        exists(&release["spec"]["chart"]["spec"]["chart"]);
        assert_eq!(release["spec"]["targetNamespace"], NAMESPACE);
        assert_source(&release["spec"]["chart"]["spec"]["sourceRef"]["name"]);
    }
    assert_eq!(releases[1]["spec"]["dependsOn"][0]["name"], releases[0]["metadata"]["name"]);
    for kustomization in documents(&read("deploy/flux/kustomization.yaml")) {
        assert_eq!(kustomization["spec"]["wait"], true);
        assert_source(&kustomization["spec"]["sourceRef"]["name"]);
    }
}

#[test]
fn argo_cd_applications_point_at_the_charts() {
    let applications = documents(&read("deploy/argocd/application.yaml"));
    assert_eq!(applications.len(), 3);
    for application in &applications[..2] {
        exists(&application["spec"]["source"]["path"]);
        assert_eq!(application["spec"]["destination"]["namespace"], NAMESPACE);
    }
}

#[test]
fn the_containerfile_has_the_program_the_public_roots_and_nothing_else() {
    let text = read("deploy/Containerfile");
    let steps: Vec<_> = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let roots = "/etc/ssl/certs/ca-certificates.crt";
    let expected = [
        "FROM scratch".to_owned(),
        format!("COPY ca-certificates.crt {roots}"),
        "COPY root/ /".to_owned(),
        format!("ENV SSL_CERT_FILE={roots} MIMALLOC_PURGE_DELAY=0"),
        "USER 65532:65532".to_owned(),
        "EXPOSE 8080".to_owned(),
        r#"ENTRYPOINT ["/backflow-controller"]"#.to_owned(),
    ];
    assert_eq!(steps, expected);
}

fn current(path: &str, rendered: &str) {
    assert!(read(path) == rendered, "{path} is not what the chart renders: run `cargo xtask generate`");
}

fn exists(path: &Value) {
    let path = root().join(path.as_str().expect("a path")).join("Chart.yaml");
    assert!(path.is_file(), "{} is not there", path.display());
}

fn assert_source(name: &Value) {
    let sources = documents(&read("deploy/flux/gitrepository.yaml"));
    assert!(sources.iter().any(|source| source["metadata"]["name"] == *name), "no GitRepository {name}");
}
