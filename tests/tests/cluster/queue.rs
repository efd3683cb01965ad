//! Many runs for few places: limits hold, whoever came first is first, and who is suspended waits.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use backflow_crds::conditions::ConditionType;
use backflow_crds::v1alpha1::{Mapping, Sync, SyncPhase};
use backflow_tests::cluster::Scene;
use backflow_tests::cluster::manifests::{DESTINATION, MAPPING, MODEL, SOURCE, sync};
use backflow_tests::cluster::scene::{conditions, is_true, status};
use backflow_tests::receiver::{Fault, Script};
use kube::ResourceExt as _;
use serde_json::{Value, json};

/// Mappings of the great queue, and how many of them share the Destination that takes one at a time.
const MAPPINGS: usize = 50;
const NARROW: usize = 15;
const SOURCE_LIMIT: usize = 4;

fn phase(sync: &Sync) -> Option<SyncPhase> {
    status(sync).phase
}

fn behind(sync: &Sync) -> String {
    status(sync).queued_behind.unwrap_or_default()
}

/// The Mapping of this number: the first ones send to the narrow Destination.
fn numbered(scene: &Scene, number: usize) -> Value {
    let mut mapping = scene.mapping();
    mapping["metadata"]["name"] = json!(format!("m-{number:02}"));
    let destination = if number < NARROW { "narrow" } else { "wide" };
    mapping["spec"]["destinationRef"]["name"] = json!(destination);
    mapping
}

fn destination(scene: &Scene, name: &str, places: usize) -> Value {
    let mut destination = scene.destination();
    destination["metadata"]["name"] = json!(name);
    destination["spec"]["maxConcurrentSyncs"] = json!(places);
    destination["spec"]["settings"]["url"] = json!(format!("{}/{name}", scene.receiver.url()));
    destination
}

/// Looks at the server's connections until it is told to stop: the most runs that were there at once.
async fn most_connected(scene: &Scene, over: &AtomicBool) -> usize {
    let sql = format!(
        "SELECT DISTINCT application_name FROM pg_stat_activity WHERE datname = '{}' AND application_name LIKE 'backflow/sync-%'",
        scene.database
    );
    let mut most = 0;
    while !over.load(SeqCst) {
        most = most.max(scene.server.query("postgres", &sql).await.unwrap().len());
    }
    most
}

#[tokio::test]
async fn fifty_mappings_run_within_the_limits_and_in_the_order_of_their_coming() {
    let scene = Scene::with_customers("queue-fifty", 20).await.unwrap();
    let mut source = scene.source();
    source["spec"]["maxConcurrentSyncs"] = json!(SOURCE_LIMIT);
    let mut all = vec![source, scene.model(), destination(&scene, "narrow", 1), destination(&scene, "wide", 10)];
    all.extend((0..MAPPINGS + SOURCE_LIMIT).map(|number| numbered(&scene, number)));
    scene.namespace.apply(&all).await.unwrap();
    let ready = |mappings: &[Arc<Mapping>]| {
        let ready = mappings.iter().filter(|mapping| is_true(&conditions(mapping), ConditionType::Ready));
        (ready.count() == MAPPINGS + SOURCE_LIMIT).then_some(())
    };
    scene.namespace.until_all("all Ready", ready).await.unwrap();

    // The whole queue stands before the door opens, so that who comes first is certain: others have all the places until then.
    let syncs = |numbers: Range<usize>| -> Vec<Value> {
        let of = |number| sync(&format!("sync-{number:02}"), json!({"mappingRef": {"name": format!("m-{number:02}")}}));
        numbers.map(of).collect()
    };
    scene.receiver.script(Script::always(Fault::Hold));
    scene.namespace.apply(&syncs(MAPPINGS..MAPPINGS + SOURCE_LIMIT)).await.unwrap();
    scene.receiver.holding(SOURCE_LIMIT).await.unwrap();
    scene.namespace.apply(&syncs(0..MAPPINGS)).await.unwrap();
    let waiting = |syncs: &[Arc<Sync>]| {
        let waiting =
            syncs.iter().filter(|sync| phase(sync) == Some(SyncPhase::Queued) && behind(sync).contains(SOURCE));
        (waiting.count() == MAPPINGS).then_some(())
    };
    scene.namespace.until_all("all waiting for the Source", waiting).await.unwrap();

    let (over, most_running) = (AtomicBool::new(false), AtomicUsize::new(0));
    scene.receiver.script(Script::default());
    scene.receiver.release();
    let done = async {
        let ended = |syncs: &[Arc<Sync>]| {
            let running = syncs.iter().filter(|sync| phase(sync) == Some(SyncPhase::Running)).count();
            most_running.fetch_max(running, SeqCst);
            syncs.iter().all(|sync| status(sync).is_finished()).then(|| syncs.to_vec())
        };
        let ended = scene.namespace.until_all("all ended", ended).await;
        over.store(true, SeqCst);
        ended.unwrap()
    };
    let (connected, ended) = tokio::join!(most_connected(&scene, &over), done);
    assert!(ended.iter().all(|sync| phase(sync) == Some(SyncPhase::Succeeded)));
    assert!((2..=SOURCE_LIMIT).contains(&connected), "{connected} runs were connected at once");
    assert!((2..=SOURCE_LIMIT).contains(&most_running.into_inner()), "too many ran at once");

    let started: BTreeMap<String, _> =
        ended.iter().map(|sync| (sync.name_any(), status(sync).started_at.unwrap().0)).collect();
    // A run begins when every older one has its place. As the places are few, few of the older ones can still be on their way to a
    // Job: those that got their places in the same pass.
    let in_order = |from: usize, to: usize, places: usize| {
        let times: Vec<_> = (from..to).map(|number| started[&format!("sync-{number:02}")]).collect();
        let overtaken = |number: usize| times[..number].iter().filter(|older| **older > times[number]).count();
        assert!((0..times.len()).all(|number| overtaken(number) < places), "the oldest did not start first: {times:?}");
    };
    in_order(0, NARROW, 1);
    in_order(NARROW, MAPPINGS, SOURCE_LIMIT);
    // One at a time at the narrow Destination: a run had ended before the next began.
    for pair in (0..NARROW).collect::<Vec<_>>().windows(2) {
        let of = |number: usize| ended.iter().find(|sync| sync.name_any() == format!("sync-{number:02}")).unwrap();
        assert!(status(of(pair[0])).finished_at.unwrap().0 <= status(of(pair[1])).started_at.unwrap().0);
    }
    let ledger = scene.receiver.ledger();
    let rows = (MAPPINGS + SOURCE_LIMIT) * 20;
    assert_eq!((ledger.items.len(), ledger.violations.len()), (rows, 0));
    let keys: BTreeSet<&str> = ledger.items.iter().map(|item| item.key.as_str()).collect();
    assert_eq!(keys.len(), rows);
    scene.end();
}

#[tokio::test]
async fn who_waits_can_be_canceled_and_absorbs_later_slots() {
    let scene = Scene::with_customers("queue-slots", 20).await.unwrap();
    let mut first = scene.mapping();
    first["metadata"]["name"] = json!("first");
    let mut second = scene.mapping();
    second["spec"]["schedule"] = json!({"interval": "1m"});
    // A worker gives up a request after half a minute, and tries again.
    scene.receiver.script(Script::always(Fault::Hold));
    scene.namespace.apply(&[scene.source(), scene.model(), scene.destination(), first]).await.unwrap();
    scene.namespace.apply(&[sync("occupies", json!({"mappingRef": {"name": "first"}}))]).await.unwrap();
    scene.receiver.holding(1).await.unwrap();

    scene.namespace.apply(&[second]).await.unwrap();
    let queued = |syncs: &[Arc<Sync>]| {
        let of =
            syncs.iter().find(|sync| sync.spec.mapping_ref.as_ref().is_some_and(|mapping| mapping.name == MAPPING))?;
        (phase(of) == Some(SyncPhase::Queued) && behind(of).contains(DESTINATION)).then(|| of.name_any())
    };
    let waits = scene.namespace.until_all("waiting for the Destination", queued).await.unwrap();
    let slot = |mapping: &Mapping| mapping.status.as_ref().and_then(|status| status.next_schedule_time.clone());
    let mapping = scene.mapping_is("scheduled", |mapping| slot(mapping).is_some()).await.unwrap();
    let next = slot(&mapping).unwrap();

    // A Sync made by hand queues behind it, and goes away when it is canceled.
    let by_hand = scene.create(json!({})).await.unwrap();
    scene.namespace.until(&by_hand, "queued", |sync: &Sync| phase(sync) == Some(SyncPhase::Queued)).await.unwrap();
    let cancel = format!("patch sync {by_hand} --type=merge -p {{\"spec\":{{\"cancel\":true}}}}");
    scene.namespace.kubectl(&cancel).await.unwrap();
    let canceled = status(&scene.ended(&by_hand).await.unwrap());
    assert_eq!((canceled.phase, canceled.started_at), (Some(SyncPhase::Canceled), None));

    // The next slot passes: the Sync that waits stands for it, too.
    scene.mapping_is("past its next slot", |mapping| slot(mapping).is_some_and(|slot| slot.0 > next.0)).await.unwrap();
    let of_mapping = |syncs: Vec<Sync>| {
        let scheduled = syncs.into_iter().filter(|sync| sync.name_any().starts_with(MAPPING));
        scheduled.map(|sync| sync.name_any()).collect::<Vec<_>>()
    };
    assert_eq!(of_mapping(scene.namespace.list::<Sync>().await.unwrap()), std::slice::from_ref(&waits));
    scene.receiver.script(Script::default());
    scene.receiver.release();
    assert_eq!(phase(&scene.ended(&waits).await.unwrap()), Some(SyncPhase::Succeeded));
    assert_eq!(phase(&scene.ended("occupies").await.unwrap()), Some(SyncPhase::Succeeded));
    scene.end();
}

#[tokio::test]
async fn each_of_the_four_gates_holds_runs_back_until_it_opens() {
    let scene = Scene::with_customers("queue-gates", 5).await.unwrap();
    let mut mapping = scene.mapping();
    mapping["spec"]["schedule"] = json!({"interval": "1m"});
    mapping["spec"]["suspend"] = json!(true);
    scene.namespace.apply(&[mapping, scene.destination(), scene.model(), scene.source()]).await.unwrap();
    let suspended = scene
        .mapping_is("suspended", |mapping| conditions(mapping).iter().any(|condition| condition.reason == "Suspended"))
        .await
        .unwrap();
    assert!(is_true(&conditions(&suspended), ConditionType::Ready), "a suspended Mapping is Ready");
    assert!(scene.namespace.list::<Sync>().await.unwrap().is_empty(), "a suspended Mapping has no scheduled runs");
    scene.succeed(json!({})).await.unwrap();
    assert_eq!(scene.taken().len(), 5);

    for (kind, name) in [("source", SOURCE), ("model", MODEL), ("destination", DESTINATION)] {
        let suspend = |on: bool| format!("patch {kind} {name} --type=merge -p {{\"spec\":{{\"suspend\":{on}}}}}");
        scene.namespace.kubectl(&suspend(true)).await.unwrap();
        let seen = |mapping: &Mapping| {
            let text = conditions(mapping).iter().map(|condition| condition.message.to_lowercase()).collect::<String>();
            text.contains(&format!("its {kind}"))
        };
        scene.mapping_is("told who is suspended", seen).await.unwrap();
        let waits = scene.create(json!({})).await.unwrap();
        let queued = |sync: &Sync| phase(sync) == Some(SyncPhase::Queued) && behind(sync).contains("suspended");
        scene.namespace.until(&waits, "held back", queued).await.unwrap();
        scene.namespace.kubectl(&suspend(false)).await.unwrap();
        assert_eq!(phase(&scene.ended(&waits).await.unwrap()), Some(SyncPhase::Succeeded), "{kind}");
    }
    scene.end();
}
