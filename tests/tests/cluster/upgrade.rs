//! The operator comes, changes and goes; what users applied stays. And an operator whose image cannot be pulled says so.

mod scope;

use std::process::Command;

use backflow_crds::conditions::ConditionType;
use backflow_crds::v1alpha1::{Extracted, Mapping, Source, Sync, SyncPhase};
use backflow_tests::cluster::manifests::{MAPPING, SOURCE};
use backflow_tests::cluster::scene::{conditions, is_true, status};
use backflow_tests::cluster::{CONTROLLER, Cluster, OPERATOR_NAMESPACE, Operator, Scene, root};
use backflow_tests::receiver::{Fault, Script};
use kube::ResourceExt as _;
use serde_json::json;
use tokio::sync::Mutex;

/// One test at a time has the release for itself.
static RELEASE: Mutex<()> = Mutex::const_new(());

/// What users would miss: identity and contents of everything that they applied, and of what the controller wrote.
async fn kept(scene: &Scene) -> Vec<(String, String, String)> {
    let mut all = Vec::new();
    let text = scene.namespace.kubectl("get sources,models,destinations,mappings,syncs -o json").await.unwrap();
    let list: serde_json::Value = serde_json::from_str(&text).unwrap();
    for object in list["items"].as_array().unwrap() {
        let name = format!("{}/{}", object["kind"], object["metadata"]["name"]);
        all.push((name, object["metadata"]["uid"].to_string(), object["spec"].to_string()));
    }
    all.sort();
    all
}

async fn controller(cluster: &Cluster, arguments: &[&str]) -> String {
    cluster.kubectl(["-n", OPERATOR_NAMESPACE].iter().chain(arguments)).await.unwrap()
}

/// The charts as the commit before this one has them; as this one has them where that is not known.
fn previous_charts() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("charts.tar");
    let git = |commit: &str| {
        let mut git = Command::new("git");
        git.current_dir(root().unwrap()).args(["archive", "--output"]).arg(&archive).args([commit, "charts"]);
        git.output().is_ok_and(|output| output.status.success())
    };
    if git("HEAD~1") || git("HEAD") {
        let unpacked = Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(folder.path()).status();
        assert!(unpacked.unwrap().success());
    } else {
        let copied = Command::new("cp").arg("-r").arg(root().unwrap().join("charts")).arg(folder.path()).status();
        assert!(copied.unwrap().success());
    }
    folder
}

#[tokio::test]
async fn an_upgrade_keeps_everything_and_an_uninstall_keeps_the_resources() {
    let _alone = RELEASE.lock().await;
    let scene = Scene::with_customers("upgrade", 20).await.unwrap();
    let cluster = scene.namespace.cluster.clone();
    let previous = previous_charts();
    Operator::install_crds_of(&cluster, &previous.path().join("charts")).await.unwrap();
    Operator::install_of(&cluster, &previous.path().join("charts"), &[]).await.unwrap();
    scene.ready().await.unwrap();
    scene.succeed(json!({})).await.unwrap();
    scene.requests();
    let before = kept(&scene).await;
    let checkpoint = |mapping: Mapping| mapping.status.unwrap().checkpoint;
    let known = checkpoint(scene.namespace.get(MAPPING).await.unwrap());

    Operator::install_crds(&cluster).await.unwrap();
    Operator::install(&cluster, &["logLevel=debug", "podLabels.upgraded=yes"]).await.unwrap();
    assert_eq!(kept(&scene).await, before);
    // A kind that the earlier charts may not have had.
    controller(&cluster, &["get", "destinationdefinitions"]).await;
    assert_eq!(checkpoint(scene.namespace.get(MAPPING).await.unwrap()), known);
    assert_eq!(scene.succeed(json!({})).await.unwrap().extracted, Some(Extracted::default()));
    assert_eq!(scene.requests(), 0);

    // The operator goes in the middle of a run, which ends without it.
    scene.sql("UPDATE customers SET score = 7777").await.unwrap();
    scene.receiver.script(Script::next([Fault::Hold]));
    let orphan = scene.create(json!({})).await.unwrap();
    scene.receiver.holding(1).await.unwrap();
    let before = kept(&scene).await;
    cluster.helm(["uninstall", CONTROLLER, "--namespace", OPERATOR_NAMESPACE, "--wait"]).await.unwrap();
    cluster.helm(["uninstall", "backflow-crds", "--namespace", OPERATOR_NAMESPACE, "--wait"]).await.unwrap();
    assert_eq!(kept(&scene).await, before, "uninstalling the charts touched the resources");
    scene.receiver.release();
    controller(
        &cluster,
        &["wait", "-n", &scene.namespace.name, "--for=condition=Complete", &format!("job/{orphan}"), "--timeout=2m"],
    )
    .await;
    assert_eq!(scene.taken().len(), 40);

    Operator::install_crds(&cluster).await.unwrap();
    Operator::install(&cluster, &["logLevel=info"]).await.unwrap();
    let ended = status(&scene.ended(&orphan).await.unwrap());
    assert_eq!((ended.phase, ended.delivered.unwrap().upserted), (Some(SyncPhase::Succeeded), 20));
    assert_eq!(scene.succeed(json!({})).await.unwrap().extracted, Some(Extracted::default()));
    scene.end();
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_is_named_and_its_cure_is_enough() {
    let _alone = RELEASE.lock().await;
    let scene = Scene::with_customers("upgrade-image", 1).await.unwrap();
    let cluster = scene.namespace.cluster.clone();
    let deployment = format!("deployment/{CONTROLLER}");
    let right = std::env::var("BACKFLOW_IMAGE").unwrap();
    let rollout = ["rollout", "status", &deployment, "--timeout=2m"];
    controller(&cluster, &["set", "env", &deployment, "BACKFLOW_IMAGE=localhost/backflow:absent"]).await;
    controller(&cluster, &rollout).await;
    scene.namespace.apply(&[scene.source()]).await.unwrap();
    let source = |what: &'static str, reason: &'static str| {
        scene.namespace.until(SOURCE, what, move |source: &Source| {
            source
                .status
                .iter()
                .flat_map(|status| &status.conditions)
                .any(|condition| condition.type_ == ConditionType::Ready.as_str() && condition.reason == reason)
        })
    };
    let sick = source("told that the image is absent", "ImagePullFailed").await.unwrap();
    let ready = sick.status.unwrap().conditions.into_iter().find(|condition| condition.type_ == "Ready").unwrap();
    assert!(ready.message.contains("localhost/backflow:absent"), "{}", ready.message);

    controller(&cluster, &["set", "env", &deployment, &format!("BACKFLOW_IMAGE={right}")]).await;
    controller(&cluster, &rollout).await;
    // The pod that waits for the image is replaced when its check's patience is over, or by an edit of the Source.
    scene
        .namespace
        .kubectl(&format!("patch source {SOURCE} --type=merge -p {{\"spec\":{{\"maxConcurrentSyncs\":3}}}}"))
        .await
        .unwrap();
    source("Ready with the right image", "CheckSucceeded").await.unwrap();
    scene.namespace.apply(&[scene.mapping(), scene.model(), scene.destination()]).await.unwrap();
    scene.mapping_is("Ready", |mapping| is_true(&conditions(mapping), ConditionType::Ready)).await.unwrap();
    scene.succeed(json!({})).await.unwrap();
    assert!(scene.namespace.list::<Sync>().await.unwrap().iter().all(|sync| !sync.name_any().is_empty()));
    scene.end();
}
