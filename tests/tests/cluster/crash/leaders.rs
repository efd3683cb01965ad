//! Two controllers that both believe that they lead, on one API server: one Sync and one Job for each slot.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use backflow_crds::conditions::ConditionType;
use backflow_crds::v1alpha1::{Mapping, Sync, SyncPhase};
use backflow_tests::cluster::manifests::{DESTINATION, MODEL, SOURCE};
use backflow_tests::cluster::scene::{conditions, is_true, status};
use backflow_tests::cluster::{CONTROLLER, OPERATOR_NAMESPACE, Operator, RIVAL, Scene};
use futures::future::try_join_all;
use futures::{StreamExt as _, pin_mut};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::events::v1::Event;
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

/// Mappings, and slots of each: the first is of the schedule, the others are asked for.
const MAPPINGS: usize = 20;
const ROUNDS: usize = 5;

fn name(number: usize) -> String {
    format!("m-{number:02}")
}

/// Applies Source, Model and Destination with places for all, and waits until they are Ready.
async fn ready_for_all(scene: &Scene) {
    let (mut source, mut destination) = (scene.source(), scene.destination());
    source["spec"]["maxConcurrentSyncs"] = json!(MAPPINGS);
    destination["spec"]["maxConcurrentSyncs"] = json!(MAPPINGS);
    scene.namespace.apply(&[source, scene.model(), destination]).await.unwrap();
    let objects = [("source", SOURCE), ("model", MODEL), ("destination", DESTINATION)];
    let wait = objects.map(|(kind, name)| format!("{kind}/{name}")).join(" ");
    scene.namespace.kubectl(&format!("wait --for=condition=Ready --timeout=2m {wait}")).await.unwrap();
}

fn mappings(scene: &Scene) -> Vec<Value> {
    let mapping = |number| {
        let mut mapping = scene.mapping();
        mapping["metadata"]["name"] = json!(name(number));
        mapping["spec"]["schedule"] = json!({"interval": "12h"});
        mapping["spec"]["runs"] = json!({"failedLimit": 100});
        mapping
    };
    (0..MAPPINGS).map(mapping).collect()
}

/// Who holds a Lease.
async fn holder(scene: &Scene, namespace: &str, name: &str) -> String {
    let leases: Api<Lease> = Api::namespaced(scene.namespace.cluster.client.clone(), namespace);
    let held = leases.get(name).await.unwrap().spec.and_then(|spec| spec.holder_identity);
    held.filter(|holder| !holder.is_empty()).expect("a leader")
}

/// Every Job that was ever there: its uid, its name, and its owner's uid.
type Jobs = Mutex<BTreeMap<String, (String, String)>>;

fn saw(jobs: &Jobs, job: &Job) {
    let owner = job.owner_references().iter().find(|owner| owner.kind == "Sync").map(|owner| owner.uid.clone());
    if let (Some(uid), Some(owner)) = (job.uid(), owner) {
        jobs.lock().unwrap().insert(uid, (job.name_any(), owner));
    }
}

/// Ends the runs of a round: no pod ever comes, so each is canceled when it has its Job.
async fn end_round(scene: &Scene, round: usize) {
    let running = |syncs: &[Arc<Sync>]| {
        let running: Vec<String> = syncs
            .iter()
            .filter(|sync| status(sync).phase == Some(SyncPhase::Running))
            .map(|sync| sync.name_any())
            .collect();
        (running.len() == MAPPINGS).then_some(running)
    };
    let names = scene.namespace.until_all("all running", running).await.unwrap();
    let syncs = scene.namespace.api::<Sync>();
    let cancel = Patch::Merge(json!({"spec": {"cancel": true}}));
    let params = PatchParams::default();
    try_join_all(names.iter().map(|name| syncs.patch(name, &params, &cancel))).await.unwrap();
    let folded = |mappings: &[Arc<Mapping>]| {
        let done = mappings.iter().filter(|mapping| {
            let Some(status) = &mapping.status else { return false };
            let last = status.last_sync.as_ref().map(|last| last.name.clone());
            status.active.is_none() && last.is_some_and(|last| names.contains(&last))
        });
        (done.count() == MAPPINGS).then_some(())
    };
    scene.namespace.until_all(&format!("done with round {round}"), folded).await.unwrap();
}

#[tokio::test]
async fn two_leaders_make_one_job_for_each_of_100_slots() {
    let scene = Scene::with_customers("crash-leaders", 1).await.unwrap();
    let namespace = &scene.namespace;
    Operator::install_beside(&namespace.cluster, &namespace.name).await.unwrap();
    let rival = holder(&scene, &namespace.name, RIVAL).await;
    assert_ne!(rival, holder(&scene, OPERATOR_NAMESPACE, CONTROLLER).await);
    ready_for_all(&scene).await;
    // From here on no pod begins: a Job is all that is wanted.
    let full = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "full"}, "spec": {"hard": {"pods": "0"}}});
    namespace.apply(&[full]).await.unwrap();
    namespace
        .until("full", "in force", |quota: &k8s_openapi::api::core::v1::ResourceQuota| {
            quota
                .status
                .as_ref()
                .is_some_and(|status| status.hard.as_ref().is_some_and(|hard| hard.contains_key("pods")))
        })
        .await
        .unwrap();

    let jobs = Jobs::default();
    let watching = async {
        let events = watcher(namespace.api::<Job>(), watcher::Config::default()).default_backoff();
        pin_mut!(events);
        while let Some(event) = events.next().await {
            if let Ok(watcher::Event::Apply(job) | watcher::Event::InitApply(job) | watcher::Event::Delete(job)) = event
            {
                saw(&jobs, &job);
            }
        }
    };
    let rounds = async {
        namespace.apply(&mappings(&scene)).await.unwrap();
        end_round(&scene, 0).await;
        for round in 1..ROUNDS {
            namespace
                .kubectl(&format!("annotate mappings --all --overwrite backflow.dev/requestedAt=round-{round}"))
                .await
                .unwrap();
            end_round(&scene, round).await;
        }
    };
    tokio::select! {
        () = watching => panic!("the watch ended"),
        () = rounds => {}
    }

    let syncs = namespace.list::<Sync>().await.unwrap();
    assert_eq!(syncs.len(), MAPPINGS * ROUNDS);
    let slots = syncs.iter().filter(|sync| sync.annotations().contains_key("backflow.dev/slot")).count();
    assert!(slots >= MAPPINGS, "{slots} slots of the schedule");
    // The watch may be a moment behind; what it has not seen go is still there.
    for job in namespace.list::<Job>().await.unwrap() {
        saw(&jobs, &job);
    }
    let jobs = jobs.into_inner().unwrap();
    assert_eq!(jobs.len(), MAPPINGS * ROUNDS, "one Job for each slot");
    let owners: BTreeSet<&String> = jobs.values().map(|(_, owner)| owner).collect();
    assert_eq!(owners, syncs.iter().map(|sync| sync.metadata.uid.as_ref().unwrap()).collect());
    let ready = |mappings: &[Arc<Mapping>]| {
        mappings.iter().all(|mapping| is_true(&conditions(mapping), ConditionType::Ready)).then_some(())
    };
    namespace.until_all("all Ready", ready).await.unwrap();
    // Both took part: each tells of what it has made.
    let creators = |events: &[Arc<Event>]| {
        let created = events.iter().filter(|event| event.reason.as_deref() == Some("SyncCreated"));
        let creators: BTreeSet<String> = created.filter_map(|event| event.reporting_instance.clone()).collect();
        (creators.len() > 1 && creators.contains(&rival)).then_some(())
    };
    namespace.until_all("of two makers", creators).await.unwrap();
    scene.end();
}
