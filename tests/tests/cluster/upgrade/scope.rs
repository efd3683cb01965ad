//! An operator that serves some namespaces, and one that comes before its kinds do.

use std::process::Stdio;

use anyhow::Context as _;
use backflow_crds::v1alpha1::{Destination, Mapping, Model, Source, Sync, SyncPhase};
use backflow_tests::PATIENCE;
use backflow_tests::cluster::manifests::{DESTINATION, MAPPING, MODEL, SOURCE};
use backflow_tests::cluster::scene::status;
use backflow_tests::cluster::{CONTROLLER, Cluster, OPERATOR_NAMESPACE, Operator, Scene};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt as _};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::{RELEASE, controller};

/// Whether the controller's ServiceAccount may do something in a namespace: `create jobs`.
async fn may(cluster: &Cluster, namespace: &str, what: &str) -> bool {
    let who = format!("--as=system:serviceaccount:{OPERATOR_NAMESPACE}:{CONTROLLER}");
    let ask = ["auth", "can-i", "-n", namespace, &who].into_iter().chain(what.split(' '));
    // The answer is the exit code.
    cluster.kubectl(ask).await.is_ok()
}

#[tokio::test]
async fn of_all_namespaces_only_those_that_are_named_are_served() {
    let _alone = RELEASE.lock().await;
    let within = Scene::with_customers("upgrade-within", 5).await.unwrap();
    let without = Scene::with_customers("upgrade-without", 5).await.unwrap();
    let cluster = within.namespace.cluster.clone();
    let (ours, theirs) = (within.namespace.name.clone(), without.namespace.name.clone());
    Operator::install(&cluster, &[&format!("watchNamespaces={{{ours}}}")]).await.unwrap();
    without.namespace.apply(&without.all()).await.unwrap();
    let ignored = without.create(json!({})).await.unwrap();
    within.ready().await.unwrap();
    within.succeed(json!({})).await.unwrap();
    assert_eq!(within.taken().len(), 5);

    // What came earlier, and to another namespace, is as it was applied.
    macro_rules! untouched {
        ($kind:ty, $name:expr) => {{
            let object = without.namespace.get::<$kind>($name).await.unwrap();
            let observed = object.status.as_ref().and_then(|status| status.observed_generation);
            assert!(observed.unwrap_or(-1) < 0, "{object:?}");
        }};
    }
    untouched!(Source, SOURCE);
    untouched!(Model, MODEL);
    untouched!(Destination, DESTINATION);
    untouched!(Mapping, MAPPING);
    untouched!(Sync, &ignored);
    assert!(without.namespace.list::<Job>().await.unwrap().is_empty());
    assert_eq!(without.requests(), 0);
    for what in
        ["list mappings.backflow.dev", "create jobs", "watch pods", "patch mappings.backflow.dev --subresource=status"]
    {
        assert!(may(&cluster, &ours, what).await, "{what} in a namespace that is served");
        assert!(!may(&cluster, &theirs, what).await, "{what} in another");
    }
    assert!(!may(&cluster, &ours, "get secrets").await);

    // The list is a choice of today: without it, everybody is served.
    Operator::install(&cluster, &[]).await.unwrap();
    assert!(may(&cluster, &theirs, "create jobs").await);
    let served = status(&without.ended(&ignored).await.unwrap());
    assert_eq!((served.phase, without.taken().len()), (Some(SyncPhase::Succeeded), 5));
    within.end();
    without.end();
}

/// Label of the controller's pods.
const COMPONENT: &str = "app.kubernetes.io/component=controller";

/// Waits until the controller has said something in its log.
async fn logged(cluster: &Cluster, text: &str) {
    let kubectl = std::env::var_os("BACKFLOW_KUBECTL").unwrap_or_else(|| "kubectl".into());
    let mut log = tokio::process::Command::new(kubectl)
        .args(["logs", "--follow", "-n", OPERATOR_NAMESPACE, &format!("deployment/{CONTROLLER}")])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(log.stdout.take().unwrap()).lines();
    let found = async {
        loop {
            let line = lines.next_line().await.unwrap().context("the log ended").unwrap();
            if line.contains(text) {
                return;
            }
        }
    };
    let waited = tokio::time::timeout(PATIENCE, found).await;
    assert!(
        waited.is_ok(),
        "it never said {text:?}: {}",
        controller(cluster, &["logs", &format!("deployment/{CONTROLLER}")]).await
    );
}

/// What the controller's pod answers at `/readyz`.
async fn readyz(cluster: &Cluster) -> (u16, String) {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), OPERATOR_NAMESPACE);
    let ours = kube::api::ListParams::default().labels(COMPONENT);
    let pods = pods.list(&ours).await.unwrap();
    let [pod] = &pods.items[..] else {
        panic!("one pod: {:?}", pods.items.iter().map(Pod::name_any).collect::<Vec<_>>())
    };
    let address = pod.status.as_ref().and_then(|status| status.pod_ip.clone()).unwrap();
    let answer = reqwest::get(format!("http://{address}:8080/readyz")).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn a_controller_that_comes_before_its_kinds_waits_for_them_and_goes_on() {
    let _alone = RELEASE.lock().await;
    let cluster = Cluster::connect().await.unwrap();
    Operator::ensure(&cluster).await.unwrap();
    cluster.helm(["uninstall", CONTROLLER, "--namespace", OPERATOR_NAMESPACE, "--wait"]).await.unwrap();
    let kinds = ["sources", "models", "destinations", "mappings", "syncs"].map(|kind| format!("{kind}.backflow.dev"));
    let delete = ["delete", "crd", "--timeout=2m"].map(str::to_owned);
    cluster.kubectl(delete.into_iter().chain(kinds)).await.unwrap();

    controller(&cluster, &["wait", "--for=delete", "pod", "-l", COMPONENT, "--timeout=2m"]).await;
    Operator::begin(&cluster).await.unwrap();
    controller(&cluster, &["wait", "--for=create", "pod", "-l", COMPONENT, "--timeout=2m"]).await;
    controller(&cluster, &["wait", "--for=jsonpath={.status.phase}=Running", "pod", "-l", COMPONENT, "--timeout=2m"])
        .await;
    logged(&cluster, "waiting for them").await;
    let (code, said) = readyz(&cluster).await;
    assert_eq!(code, 503, "{said}");
    assert!(said.contains("CRDs of backflow.dev/v1alpha1") && said.contains("backflow-crds"), "{said}");

    // They come; nobody touches the controller.
    let before = controller(&cluster, &["get", "pods", "-o", "jsonpath={.items[*].metadata.uid}"]).await;
    Operator::install_crds(&cluster).await.unwrap();
    logged(&cluster, "work begins").await;
    assert_eq!(readyz(&cluster).await, (200, "ok\n".to_owned()));
    let scene = Scene::with_customers("upgrade-late", 3).await.unwrap();
    scene.ready().await.unwrap();
    scene.succeed(json!({})).await.unwrap();
    let after = controller(&cluster, &["get", "pods", "-o", "jsonpath={.items[*].metadata.uid}"]).await;
    assert_eq!(before, after, "it never restarted");
    assert_eq!(scene.taken().len(), 3);
    scene.end();
}
