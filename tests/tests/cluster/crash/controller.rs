//! Controllers die, or there are two: one Job for each run, and nothing is forgotten.

use std::sync::Arc;

use backflow_crds::v1alpha1::{Mapping, Sync, SyncPhase};
use backflow_tests::cluster::manifests::MAPPING;
use backflow_tests::cluster::scene::status;
use backflow_tests::cluster::{CONTROLLER, Cluster, OPERATOR_NAMESPACE, Operator, Scene};
use backflow_tests::receiver::{Fault, Script};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, ResourceExt as _};
use serde_json::json;
use tokio::sync::RwLock;

/// One test at a time has the controller for itself. Others, which need one that lives, read.
pub(super) static CONTROLLERS: RwLock<()> = RwLock::const_new(());

async fn holder(cluster: &Cluster) -> String {
    let leases: Api<Lease> = Api::namespaced(cluster.client.clone(), OPERATOR_NAMESPACE);
    let lease = leases.get(CONTROLLER).await.unwrap();
    lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default()
}

/// Kills the controller that leads, without notice.
async fn kill_leader(cluster: &Cluster) -> String {
    let leader = holder(cluster).await;
    let kill = ["-n", OPERATOR_NAMESPACE, "delete", "pod", &leader, "--force", "--grace-period=0"];
    cluster.kubectl(kill).await.unwrap();
    leader
}

/// Each Sync that began has one Job, which was created once.
async fn one_job_each(scene: &Scene) {
    let jobs = scene.namespace.list::<Job>().await.unwrap();
    let syncs = scene.namespace.list::<Sync>().await.unwrap();
    for sync in &syncs {
        let own = jobs
            .iter()
            .filter(|job| job.owner_references().iter().any(|owner| Some(&owner.uid) == sync.uid().as_ref()));
        assert_eq!(own.map(Job::name_any).collect::<Vec<_>>(), [sync.name_any()]);
    }
    assert_eq!(scene.receiver.ledger().summary().repeated, 0, "a run ran twice");
}

#[tokio::test]
async fn a_run_outlives_the_controller_and_is_accounted_for_by_the_next() {
    let _alone = CONTROLLERS.write().await;
    let scene = Scene::with_customers("crash-controller", 20).await.unwrap();
    scene.ready().await.unwrap();
    scene.receiver.script(Script::next([Fault::Hold]));
    let sync = scene.create(json!({})).await.unwrap();
    scene.receiver.holding(1).await.unwrap();
    kill_leader(&scene.namespace.cluster).await;
    scene.receiver.release();
    let ended = status(&scene.ended(&sync).await.unwrap());
    assert_eq!((ended.phase, ended.delivered.unwrap().upserted), (Some(SyncPhase::Succeeded), 20));
    let folded = |mapping: &Mapping| {
        mapping.status.as_ref().is_some_and(|status| status.last_sync.as_ref().is_some_and(|last| last.name == sync))
    };
    scene.mapping_is("aware of it", folded).await.unwrap();
    one_job_each(&scene).await;
    scene.end();
}

#[tokio::test]
async fn the_second_controller_takes_over_and_no_request_runs_twice() {
    let _alone = CONTROLLERS.write().await;
    let scene = Scene::with_customers("crash-two", 5).await.unwrap();
    let cluster = scene.namespace.cluster.clone();
    Operator::install(&cluster, &["replicaCount=2"]).await.unwrap();
    let mut mapping = scene.mapping();
    mapping["spec"]["runs"] = json!({"successfulLimit": 20});
    scene.namespace.apply(&[mapping, scene.destination(), scene.model(), scene.source()]).await.unwrap();
    let mut leaders = Vec::new();
    for round in 0..3 {
        scene.sql(&format!("UPDATE customers SET score = {}", 5_000 + round)).await.unwrap();
        scene
            .namespace
            .kubectl(&format!("annotate mapping {MAPPING} backflow.dev/requestedAt=round-{round} --overwrite"))
            .await
            .unwrap();
        leaders.push(kill_leader(&cluster).await);
        let handled = |mapping: &Mapping| {
            let Some(status) = &mapping.status else { return false };
            status.last_handled_request.as_deref() == Some(&format!("round-{round}")) && status.active.is_none()
        };
        scene.mapping_is("done with the round", handled).await.unwrap();
        assert_eq!(scene.taken().len(), 5, "round {round}");
    }
    assert!(leaders.windows(2).all(|pair| pair[0] != pair[1]), "another one led each time: {leaders:?}");
    let ended = |syncs: &[Arc<Sync>]| syncs.iter().all(|sync| status(sync).is_finished()).then_some(syncs.len());
    assert_eq!(scene.namespace.until_all("ended", ended).await.unwrap(), 3);
    one_job_each(&scene).await;
    Operator::install(&cluster, &["replicaCount=1"]).await.unwrap();
    scene.end();
}
