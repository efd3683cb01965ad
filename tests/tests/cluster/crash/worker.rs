//! Workers die while a batch is in flight.

use std::collections::{BTreeMap, BTreeSet};

use backflow_crds::v1alpha1::{Extracted, SyncPhase};
use backflow_tests::cluster::scene::status;
use backflow_tests::cluster::{Scene, is_running, kill_worker};
use backflow_tests::receiver::{Fault, Script};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use serde_json::json;

use super::controller::CONTROLLERS;

const ROWS: u32 = 5_000;
/// Records that may be sent and not yet committed.
const WINDOW: usize = 10_000;

/// A scene whose third batch is held: the first two are acknowledged, and the worker is in the middle.
async fn in_the_middle(name: &str) -> (Scene, String, Pod) {
    let scene = Scene::with_customers(name, ROWS).await.unwrap();
    let mut destination = scene.destination();
    destination["spec"]["limits"] = json!({"concurrency": 1});
    scene.namespace.apply(&[scene.mapping(), destination, scene.model(), scene.source()]).await.unwrap();
    scene.receiver.script(Script::next([Fault::Pass, Fault::Pass, Fault::Hold]));
    let sync = scene.create(json!({})).await.unwrap();
    scene.receiver.holding(1).await.unwrap();
    let pod = scene.pod_of(&sync, "running", is_running).await.unwrap();
    (scene, sync, pod)
}

/// Every row arrived; what came twice came with one key, and is no more than one window.
fn complete(scene: &Scene) {
    let ledger = scene.receiver.ledger();
    assert_eq!(ledger.rows().len(), ROWS as usize);
    assert!(ledger.summary().repeated <= WINDOW);
    let mut keys: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for item in &ledger.items {
        keys.entry(item.id.to_string()).or_default().insert(&item.key);
    }
    let changed: Vec<_> = keys.iter().filter(|(_, keys)| keys.len() > 1).collect();
    assert!(changed.is_empty(), "sent twice with another key: {changed:?}");
    assert_eq!(ledger.violations, Vec::<String>::new());
}

/// After the crash nothing is left to do: the checkpoint knows of every row.
pub(crate) async fn settled(scene: &Scene) {
    scene.requests();
    let after = scene.succeed(json!({})).await.unwrap();
    assert_eq!((after.extracted, scene.requests()), (Some(Extracted::default()), 0));
}

#[tokio::test]
async fn a_worker_that_is_killed_is_replaced_and_goes_on() {
    let (scene, sync, pod) = in_the_middle("crash-kill").await;
    kill_worker(&pod).unwrap();
    scene.receiver.release();
    let ended = status(&scene.ended(&sync).await.unwrap());
    assert_eq!(ended.phase, Some(SyncPhase::Succeeded), "{ended:?}");
    assert_eq!(scene.pods_of(&sync).await.unwrap(), 2);
    complete(&scene);
    settled(&scene).await;
    scene.end();
}

#[tokio::test]
async fn a_pod_that_is_deleted_by_force_while_it_sends_commits_nothing_twice() {
    let (scene, sync, pod) = in_the_middle("crash-force").await;
    scene.namespace.kubectl(&format!("delete pod {} --force --grace-period=0", pod.name_any())).await.unwrap();
    // The replacement begins while the old one's request is still open at the receiver.
    let old = pod.uid();
    let new = scene.pod_of(&sync, "replaced", |pod| pod.uid() != old).await.unwrap();
    assert_ne!(new.name_any(), pod.name_any());
    scene.receiver.release();
    let ended = status(&scene.ended(&sync).await.unwrap());
    assert_eq!(ended.phase, Some(SyncPhase::Succeeded), "{ended:?}");
    complete(&scene);
    settled(&scene).await;
    scene.end();
}

#[tokio::test]
async fn a_pod_that_is_asked_to_go_ends_its_batch_and_its_replacement_the_rest() {
    // The last words of a pod that goes are heard by a controller that lives, or by none.
    let _living = CONTROLLERS.read().await;
    let (scene, sync, pod) = in_the_middle("crash-drain").await;
    scene.namespace.kubectl(&format!("delete pod {} --wait=false", pod.name_any())).await.unwrap();
    let asked = |pod: &Pod| pod.metadata.deletion_timestamp.is_some();
    scene.namespace.until(&pod.name_any(), "asked to go", asked).await.unwrap();
    scene.receiver.release();
    let ended = status(&scene.ended(&sync).await.unwrap());
    assert_eq!(ended.phase, Some(SyncPhase::Succeeded), "{ended:?}");
    complete(&scene);
    settled(&scene).await;
    scene.end();
}

#[tokio::test]
async fn a_worker_without_memory_says_so_and_the_next_run_goes_on() {
    let scene = Scene::with_customers("crash-memory", ROWS).await.unwrap();
    let mut mapping = scene.mapping();
    mapping["spec"]["runs"] = json!({"backoffLimit": 0});
    mapping["spec"]["worker"] = json!({"resources": {"limits": {"memory": "8Mi"}}});
    scene.namespace.apply(&[mapping, scene.destination(), scene.model(), scene.source()]).await.unwrap();
    let failed = status(&scene.run(json!({})).await.unwrap());
    assert_eq!((failed.phase, failed.reason.as_deref()), (Some(SyncPhase::Failed), Some("OutOfMemory")), "{failed:?}");
    assert!(failed.errors[0].message.contains("worker.resources.limits.memory"), "{:?}", failed.errors);

    scene.namespace.apply(&[scene.mapping()]).await.unwrap();
    scene.succeed(json!({})).await.unwrap();
    complete(&scene);
    scene.end();
}
