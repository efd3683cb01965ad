//! Rows and credentials stay where they belong: nothing in the cluster repeats them, and nobody is given more rights than needed.

use backflow_crds::v1alpha1::{Sync, SyncPhase};
use backflow_tests::cluster::scene::status;
use backflow_tests::cluster::{CONTROLLER, OPERATOR_NAMESPACE, Scene};
use backflow_tests::receiver::{Fault, Script};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

/// Everything that a cluster keeps about a namespace and its pods, but for Secrets.
async fn everything(scene: &Scene) -> String {
    let namespace = &scene.namespace;
    let mut all = namespace.kubectl("get backflow,jobs,pods,events.v1.events.k8s.io,events -o yaml").await.unwrap();
    all += &namespace.kubectl("logs -l backflow.dev/run --tail=-1 --prefix --all-containers").await.unwrap();
    all += &namespace.kubectl("describe backflow,jobs,pods").await.unwrap();
    let controller = ["logs", "-n", OPERATOR_NAMESPACE, "-l", "app.kubernetes.io/component=controller", "--tail=-1"];
    all + &namespace.cluster.kubectl(controller).await.unwrap()
}

#[tokio::test]
async fn rows_and_credentials_are_in_no_object_event_or_log() {
    let scene = Scene::with_customers("sync-secrecy", 0).await.unwrap();
    let canary = format!("canary{:016x}", fastrand::u64(..));
    let row = |id: u32| {
        format!("INSERT INTO customers VALUES ({id}, 'n {canary}', '{canary}@example.com', '{canary}', {id}, true)")
    };
    for id in 1..=3 {
        scene.sql(&row(id)).await.unwrap();
    }
    scene.ready().await.unwrap();
    // The receiver's answers repeat what they were sent, as vendors' do.
    for (fault, phase) in [
        (Fault::status(422), SyncPhase::PartiallySucceeded),
        (Fault::status(401), SyncPhase::Failed),
        (Fault::Html, SyncPhase::Failed),
    ] {
        scene.receiver.script(Script::always(fault));
        let ended = status(&scene.run(json!({"retryRejected": true})).await.unwrap());
        assert_eq!(ended.phase, Some(phase), "{ended:?}");
        assert!(scene.requests() > 0, "nothing was sent");
    }
    scene.receiver.script(Script::default());
    scene.succeed(json!({"retryRejected": true})).await.unwrap();
    assert!(scene.receiver.ledger().items[0].data.to_string().contains(&canary), "the canary is in what is sent");
    // So does the warehouse: 'invalid input syntax for type integer: "canary…"'.
    let mut model = scene.model();
    model["spec"] = json!({"sourceRef": {"name": "warehouse"}, "primaryKey": ["id"], "sql": "select id, plan::int as plan from customers"});
    let mut mapping = scene.mapping();
    mapping["spec"]["include"] = json!({"columns": ["plan"]});
    scene.namespace.apply(&[model, mapping]).await.unwrap();
    let name = scene.create(json!({})).await.unwrap();
    let failed = status(&scene.ended(&name).await.unwrap());
    assert_eq!(failed.phase, Some(SyncPhase::Failed), "{failed:?}");

    let all = everything(&scene).await;
    assert!(all.contains("termination") || all.contains("\"phase\":\"Failed\""), "termination messages are looked at");
    assert!(!all.contains(&canary), "a row's content is shown: {}", around(&all, &canary));
    for (what, secret) in scene.credentials().unwrap() {
        assert!(!all.contains(&secret), "the {what} is shown: {}", around(&all, &secret).replace(&secret, "…"));
    }
    scene.end();
}

fn around<'a>(text: &'a str, needle: &str) -> String {
    let lines: Vec<&'a str> = text.lines().collect();
    let at = lines.iter().position(|line| line.contains(needle)).unwrap_or_default();
    lines[at.saturating_sub(5)..(at + 5).min(lines.len())].join("\n")
}

#[tokio::test]
async fn controller_and_workers_have_no_more_rights_than_they_need() {
    let scene = Scene::with_customers("sync-rights", 1).await.unwrap();
    let controller = format!("--as=system:serviceaccount:{OPERATOR_NAMESPACE}:{CONTROLLER}");
    let may = async |what: &str| {
        let arguments = format!("auth can-i {what} {controller}");
        // `kubectl auth can-i` fails where the answer is no.
        scene.namespace.kubectl(&arguments).await.is_ok_and(|answer| answer.trim() == "yes")
    };
    for allowed in [
        "create jobs.batch",
        "list syncs.backflow.dev",
        "patch mappings.backflow.dev --subresource=status",
        "watch pods",
    ] {
        assert!(may(allowed).await, "the controller may not {allowed}");
    }
    for verb in ["get", "list", "watch", "create", "update", "patch", "delete"] {
        for kind in ["secrets", "configmaps", "serviceaccounts"] {
            assert!(!may(&format!("{verb} {kind}")).await, "the controller may {verb} {kind}");
        }
    }
    for forbidden in [
        "get pods --subresource=log",
        "create pods --subresource=exec",
        "create pods",
        "update mappings.backflow.dev",
        "create deployments.apps",
    ] {
        assert!(!may(forbidden).await, "the controller may {forbidden}");
    }

    scene.ready().await.unwrap();
    scene.receiver.script(Script::next([Fault::Hold]));
    let name = scene.create(json!({})).await.unwrap();
    scene.receiver.holding(1).await.unwrap();
    let pods = scene.namespace.list::<Pod>().await.unwrap();
    assert!(pods.len() >= 3, "checks and the run have pods");
    for pod in pods {
        let spec = pod.spec.unwrap();
        assert_eq!(spec.automount_service_account_token, Some(false));
        let projected = spec.volumes.iter().flatten().filter(|volume| volume.projected.is_some()).count();
        assert_eq!(projected, 0, "a token is mounted");
        let mounts = spec.containers.iter().flat_map(|container| container.volume_mounts.iter().flatten());
        assert!(mounts.into_iter().all(|mount| !mount.mount_path.contains("serviceaccount")));
    }
    scene.receiver.release();
    assert_eq!(status(&scene.ended(&name).await.unwrap()).phase, Some(SyncPhase::Succeeded));
    scene.namespace.get::<Sync>(&name).await.unwrap();
    scene.end();
}
