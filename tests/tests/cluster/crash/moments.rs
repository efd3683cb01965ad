//! Workers die at seeded moments, again and again, and two pods of one run are alive at once.

use std::collections::{BTreeMap, BTreeSet};

use backflow_crds::v1alpha1::{Extracted, SyncPhase};
use backflow_tests::cluster::scene::status;
use backflow_tests::cluster::{Scene, is_running, until_gone, worker_processes};
use backflow_tests::receiver::{Fault, Script};
use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{ObjectMeta, PostParams};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::worker::settled;

/// Mappings, and moments of each: 20 in all.
const LANES: u32 = 4;
const MOMENTS: u32 = 5;
/// Rows that change before each moment: a batch of 200, and two of at most 1,000.
const CHANGED: u32 = 2_000;

/// One batch in flight at a time, and a run ends with its pod: the next Sync goes on.
async fn scene(name: &str, rows: u32, backoff_limit: u32) -> Scene {
    let scene = Scene::with_customers(name, rows).await.unwrap();
    let (mut mapping, mut destination) = (scene.mapping(), scene.destination());
    mapping["spec"]["runs"] = json!({"backoffLimit": backoff_limit});
    destination["spec"]["limits"] = json!({"concurrency": 1});
    scene.namespace.apply(&[mapping, destination, scene.model(), scene.source()]).await.unwrap();
    scene
}

/// What a row was sent with, and by which keys: a delivery has one, however often it is repeated.
fn keys_are_of_deliveries(scene: &Scene) {
    let ledger = scene.receiver.ledger();
    let mut keys: BTreeMap<(String, String), BTreeSet<&str>> = BTreeMap::new();
    let mut deliveries: BTreeMap<&str, BTreeSet<(String, String)>> = BTreeMap::new();
    for item in &ledger.items {
        let delivery = (item.id.to_string(), item.data.to_string());
        keys.entry(delivery.clone()).or_default().insert(&item.key);
        deliveries.entry(&item.key).or_default().insert(delivery);
    }
    let several: Vec<_> = keys.iter().filter(|(_, keys)| keys.len() > 1).collect();
    assert!(several.is_empty(), "sent twice with another key: {several:?}");
    let shared: Vec<_> = deliveries.iter().filter(|(_, deliveries)| deliveries.len() > 1).collect();
    assert!(shared.is_empty(), "one key for two deliveries: {shared:?}");
    assert_eq!(ledger.violations, Vec::<String>::new());
}

#[tokio::test]
async fn kills_at_20_seeded_moments_lose_nothing_and_repeat_with_the_same_keys() {
    // Side by side: most of a moment is waiting for a pod to begin.
    join_all((0..LANES).map(|lane| dies_again_and_again(u64::from(lane)))).await;
}

/// One Mapping whose worker dies at moments that follow from the seed.
async fn dies_again_and_again(seed: u64) {
    let scene = scene(&format!("crash-moments-{seed}"), MOMENTS * CHANGED, 0).await;
    scene.succeed(json!({})).await.unwrap();
    let mut moments = fastrand::Rng::with_seed(seed);
    for moment in 0..MOMENTS {
        let update = format!("UPDATE customers SET score = {} WHERE id % {MOMENTS} = {moment}", 5_000 + moment);
        scene.sql(&update).await.unwrap();
        let passed = moments.usize(0..3);
        // Some die while their batch is in flight, some while its answer is, or later.
        let (answered, by_force) = (moments.bool(), moments.bool());
        scene.receiver.script(Script::next(std::iter::repeat_n(Fault::Pass, passed).chain([Fault::Hold])));
        let sync = scene.create(json!({})).await.unwrap();
        scene.receiver.holding(1).await.unwrap();
        let pod = scene.pod_of(&sync, "running", is_running).await.unwrap();
        let process = worker_processes(&pod.uid().unwrap()).unwrap()[0];
        if answered {
            scene.receiver.release();
        }
        if by_force {
            let delete = format!("delete pod {} --force --grace-period=0 --wait=false", pod.name_any());
            scene.namespace.kubectl(&delete).await.unwrap();
        } else {
            // It may have ended by itself just now.
            let _ = kill_process(Pid::from_raw(process).unwrap(), Signal::KILL);
        }
        scene.receiver.release();
        scene.ended(&sync).await.unwrap();
        // A pod that is deleted by force may still send for a while. It must not use up what the next run is to meet.
        until_gone(process).await.unwrap();
    }
    scene.succeed(json!({})).await.unwrap();
    keys_are_of_deliveries(&scene);
    // Every row arrived as it was at first, and as it is now.
    let ledger = scene.receiver.ledger();
    assert_eq!(ledger.rows().len(), (MOMENTS * CHANGED) as usize);
    let mut scores: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
    for item in &ledger.items {
        scores.entry(item.id.to_string()).or_default().insert(item.data["score"].as_i64().unwrap());
    }
    for (id, scores) in scores {
        let id: i64 = id.parse().unwrap();
        assert_eq!(scores, [id % 1_000, 5_000 + id % i64::from(MOMENTS)].into(), "row {id}");
    }
    settled(&scene).await;
    scene.end();
}

#[tokio::test]
async fn of_two_pods_of_one_run_the_older_commits_nothing_more() {
    let rows = 5_000;
    let scene = scene("crash-twins", rows, 2).await;
    // Nothing is acknowledged when the twin takes over, or the older one would learn of it as soon as its next commit is due.
    scene.receiver.script(Script::next([Fault::Hold, Fault::Hold]));
    let sync = scene.create(json!({})).await.unwrap();
    scene.receiver.holding(1).await.unwrap();
    let old = scene.pod_of(&sync, "running", is_running).await.unwrap();
    // A pod that outlives its node's connection is replaced while it still sends. Here its replacement is a copy, which the Job
    // knows nothing of.
    let mut spec = old.spec.clone().unwrap();
    spec.node_name = None;
    let twin = Pod {
        metadata: ObjectMeta {
            name: Some("twin".into()),
            annotations: old.metadata.annotations.clone(),
            ..ObjectMeta::default()
        },
        spec: Some(spec),
        status: None,
    };
    scene.namespace.api::<Pod>().create(&PostParams::default(), &twin).await.unwrap();
    // Both are in the middle of a batch.
    scene.receiver.holding(2).await.unwrap();
    assert!(is_running(&scene.namespace.get::<Pod>(&old.name_any()).await.unwrap()));
    scene.receiver.release();
    let succeeded = |pod: &Pod| pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Succeeded"));
    scene.namespace.until("twin", "done", succeeded).await.unwrap();
    let ended = status(&scene.ended(&sync).await.unwrap());
    assert_eq!(ended.phase, Some(SyncPhase::Succeeded), "{ended:?}");
    assert_eq!(ended.extracted, Some(Extracted { added: i64::from(rows), ..Extracted::default() }));
    // The older one was told that another had taken over.
    let log = scene.namespace.kubectl(&format!("logs {}", old.name_any())).await.unwrap();
    assert!(log.contains("Fenced"), "{log}");
    assert_eq!(scene.receiver.ledger().rows().len(), rows as usize);
    keys_are_of_deliveries(&scene);
    settled(&scene).await;
    scene.end();
}
