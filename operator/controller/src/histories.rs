//! What a Mapping's status keeps of its runs, told against the API server in memory.

use backflow_core::result::Phase;
use backflow_crds::reasons::Reason;
use backflow_crds::v1alpha1::MappingStatus;
use serde_json::{Value, json};

use crate::testkit::{BEGIN, Fault, NAMESPACE, World, set_clock};

const GROUP: &str = "/apis/backflow.dev/v1alpha1/namespaces";

fn put_sync(world: &World, name: &str, spec: Value) {
    let object =
        json!({"apiVersion": "backflow.dev/v1alpha1", "kind": "Sync", "metadata": {"name": name}, "spec": spec});
    world.api.put(&format!("{GROUP}/{NAMESPACE}/syncs/{name}"), object);
    world.watch();
}

fn status(world: &World) -> MappingStatus {
    world.mapping().status.unwrap()
}

fn condition(status: &MappingStatus, type_: &str) -> Option<(String, String)> {
    let condition = status.conditions.iter().find(|condition| condition.type_ == type_)?;
    Some((condition.status.clone(), condition.reason.clone()))
}

fn open_job(world: &World) -> String {
    let jobs = world.api.all("jobs");
    let open = jobs.iter().find(|job| job["status"].is_null()).unwrap();
    open["metadata"]["name"].as_str().unwrap().to_owned()
}

/// A Mapping whose last run was refused by its state.
async fn refused_by_its_state(reason: Reason) -> World {
    let world = World::new();
    world.shop(json!({}));
    assert!(world.settle().await);
    let mut mapping = world.api.get("mappings", "crm").unwrap();
    let (at, reason) = ("2026-01-01T00:00:00Z", reason.as_str());
    let said = |type_: &str, status: &str| {
        json!({"type": type_, "status": status, "reason": reason, "message": "It stopped.", "lastTransitionTime": at,
            "observedGeneration": 1})
    };
    mapping["status"]["conditions"] =
        json!([said("Ready", "False"), said("Stalled", "True"), said("LastSyncSucceeded", "False")]);
    mapping["status"]["lastSync"] = json!({"name": "crm-0", "phase": "Failed", "finishedAt": at});
    let job = open_job(&world);
    world.api.remove(&format!("/apis/batch/v1/namespaces/{NAMESPACE}/jobs/{job}"));
    world.api.remove(&format!("{GROUP}/{NAMESPACE}/syncs/{job}"));
    mapping["status"]["active"] = Value::Null;
    world.api.put(&format!("{GROUP}/{NAMESPACE}/mappings/crm"), mapping);
    world.watch();
    world
}

#[tokio::test]
async fn what_a_person_decided_ends_the_stall() {
    for (reason, spec) in [
        (Reason::StateOwnedElsewhere, json!({"adoptState": true})),
        (Reason::IdentityChanged, json!({"adoptState": true})),
        (Reason::PrimaryKeyChanged, json!({"mode": "Reset", "confirm": true})),
        (Reason::StateDamaged, json!({"mode": "Reset", "confirm": true})),
    ] {
        let world = refused_by_its_state(reason).await;
        set_clock(BEGIN + 900);
        assert!(world.settle().await);
        assert_eq!(condition(&status(&world), "Stalled"), Some(("True".into(), reason.to_string())));
        assert_eq!(world.api.all("jobs").len(), 0, "no slot starts a run");

        let mut wanted = json!({"mappingRef": {"name": "crm"}});
        wanted.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        put_sync(&world, "decided", wanted);
        assert!(world.settle().await);
        assert_eq!(world.phase("decided"), "Running", "{reason}");
        set_clock(BEGIN + 1_000);
        world.finish("decided", Phase::Succeeded);
        assert!(world.settle().await);
        let after = status(&world);
        assert_eq!(condition(&after, "Stalled"), None, "{reason}");
        assert_eq!(condition(&after, "Ready"), Some(("True".into(), "Accepted".into())), "{reason}");
    }
}

#[tokio::test]
async fn a_run_that_is_not_kept_is_counted_first() {
    // At each call after its end: the Mapping's status may be refused, or the controller may die.
    for fault in [Fault::Refuse(409), Fault::Refuse(500), Fault::Crash] {
        for call in 1..7 {
            let mut world = World::new();
            world.shop(json!({"runs": {"successfulLimit": 0}}));
            assert!(world.settle().await);
            let job = open_job(&world);
            world.finish(&job, Phase::Succeeded);
            world.api.fail_at(world.api.calls().len() + call, fault);
            if !world.settle().await {
                world = world.restart();
            }
            for _ in 0..3 {
                if !world.settle().await {
                    world = world.restart();
                }
            }
            let status = status(&world);
            let last = status.last_sync.unwrap_or_else(|| panic!("{fault:?} at call {call}: {:#?}", world.api.calls()));
            assert_eq!((last.name, status.consecutive_failures), (job, Some(0)), "{fault:?} at call {call}");
        }
    }
}

#[tokio::test]
async fn runs_that_the_cluster_refuses_are_failures_of_the_mapping() {
    let create = {
        let world = World::new();
        world.shop(json!({}));
        world.settle().await;
        world.api.calls().iter().position(|made| made == "POST shop/jobs").unwrap() + 1
    };
    let world = World::new();
    world.shop(json!({}));
    world.api.fail_at(create, Fault::Refuse(422));
    assert!(world.settle().await);
    let status = status(&world);
    assert_eq!(status.consecutive_failures, Some(1));
    assert_eq!(condition(&status, "LastSyncSucceeded"), Some(("False".into(), "PodRefused".into())));
}

/// A second Mapping beside `crm`, with everything that it needs Ready.
fn put_mapping(world: &World, name: &str, changes: &[(&str, Value)]) {
    let mut mapping = world.api.get("mappings", "crm").unwrap();
    let generation =
        world.api.get("mappings", name).map_or(1, |known| known["metadata"]["generation"].as_i64().unwrap() + 1);
    mapping["metadata"] =
        world.api.get("mappings", name).map_or(json!({"name": name}), |known| known["metadata"].clone());
    for (member, value) in changes {
        mapping["spec"][*member] = value.clone();
    }
    mapping["status"] = world.api.get("mappings", name).map_or(json!({}), |known| known["status"].clone());
    if generation > 1 {
        mapping["metadata"]["generation"] = json!(generation);
    }
    world.api.put(&format!("{GROUP}/{NAMESPACE}/mappings/{name}"), mapping);
}

/// Which Mappings are looked at because of what the watches bring now.
async fn woken(world: &World) -> Vec<String> {
    let queue = &world.context.queues.mappings;
    let drain = || async {
        let mut names = Vec::new();
        while let Ok(key) = tokio::time::timeout(std::time::Duration::ZERO, queue.next()).await {
            queue.done(&key, crate::queue::Next::Wait);
            names.push(key.name);
        }
        names
    };
    drain().await;
    world.watch();
    let mut names = drain().await;
    names.sort();
    names
}

#[tokio::test(start_paused = true)]
async fn whoever_is_judged_beside_an_edited_mapping_is_judged_again() {
    let manual = json!({"manual": {}});
    let follows = |name: &str| json!({"after": {"mappingRef": {"name": name}}});
    let world = World::new();
    world.shop(json!({"schedule": {"interval": null, "manual": {}}}));
    put_mapping(&world, "a", &[("schedule", follows("b"))]);
    put_mapping(&world, "b", &[("schedule", follows("c"))]);
    put_mapping(&world, "c", &[("schedule", manual.clone()), ("stateKey", json!("shop/crm"))]);
    woken(&world).await;
    // A circle is closed, and opened: all of it knows.
    for schedule in [follows("a"), manual.clone()] {
        put_mapping(&world, "c", &[("schedule", schedule), ("stateKey", json!("shop/crm"))]);
        assert_eq!(woken(&world).await, ["a", "b", "c", "crm"]);
    }
    // A state is no longer shared: whoever had it with this one knows.
    put_mapping(&world, "c", &[("schedule", manual), ("stateKey", json!("shop/other"))]);
    assert!(woken(&world).await.contains(&"crm".to_owned()));
    assert!(!woken(&world).await.contains(&"crm".to_owned()));
}

#[tokio::test]
async fn a_quota_is_waited_for_from_its_first_refusal_on() {
    let world = World::new();
    world.shop(json!({"schedule": {"interval": null, "manual": {}}}));
    assert!(world.settle().await);
    // It waited for an hour before its turn came.
    put_sync(&world, "mine", json!({"mappingRef": {"name": "crm"}}));
    set_clock(BEGIN + 3_600);
    world.api.fail_at(world.api.calls().len() + 1, Fault::Refuse(403));
    world.settle().await;
    assert_ne!(world.phase("mine"), "Failed", "{:#?}", world.api.calls());
}

#[tokio::test]
async fn the_pod_of_a_deleted_sync_ends_before_the_next_run_begins() {
    use crate::runs::{PodView, Seen};
    use crate::store::Key;
    let world = World::new();
    world.shop(json!({"schedule": {"interval": null, "manual": {}}}));
    put_sync(&world, "first", json!({"mappingRef": {"name": "crm"}}));
    assert!(world.settle().await);
    let job = world.api.get("jobs", "first").unwrap()["metadata"]["uid"].as_str().unwrap().to_owned();
    let pod = PodView {
        name: "first-x".into(),
        job: Some(job),
        mapping: Some("crm".into()),
        running: true,
        ..PodView::default()
    };
    let saw = |pod: &PodView, seen| {
        crate::triggers::pod(&world.context, &Key::new(NAMESPACE, "first"), true, pod.clone(), seen);
    };
    saw(&pod, Seen::Present);
    world.api.remove(&format!("{GROUP}/{NAMESPACE}/syncs/first"));
    world.api.remove(&format!("/apis/batch/v1/namespaces/{NAMESPACE}/jobs/first"));
    // Even one of the same name is another.
    for name in ["next", "first"] {
        put_sync(&world, name, json!({"mappingRef": {"name": "crm"}}));
        assert!(world.settle().await);
        saw(&pod, Seen::Present);
        assert!(world.settle().await);
        assert_eq!(world.phase(name), "Queued", "{name}");
    }
    assert!(world.api.all("jobs").is_empty());
    saw(&pod, Seen::Deleted);
    assert!(world.settle().await);
    assert_eq!(world.api.all("jobs").len(), 1);
}
