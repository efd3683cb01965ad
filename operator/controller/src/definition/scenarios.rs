//! A definition of the user's own, from its manifest to the plan of a run, against the API server in memory.

use backflow_core::plan::Task;
use backflow_core::result::{CheckResult, Phase, RunResult};
use backflow_crds::v1alpha1::Destination;
use serde_json::{Value, json};

use crate::store::Key;
use crate::testkit::{BEGIN, NAMESPACE, World, set_clock};
use crate::{check, definition, mapping, sync};

const GROUP: &str = "/apis/backflow.dev/v1alpha1";

/// A CRM that has one action.
fn acme() -> Value {
    json!({
        "version": 1,
        "settings": {"type": "object", "properties": {}},
        "auth": {"choose": [{"id": "none", "type": "none", "description": "Without."}]},
        "http": {"baseUrl": "https://crm.example.com", "hosts": {"allow": ["crm.example.com"]}},
        "limits": {"concurrency": {"max": 1}},
        "actions": {"upsert": {
            "title": "Upsert", "description": "Sends records.", "syncModes": ["Upsert"], "idempotent": true,
            "fields": {"type": "object", "additionalProperties": true},
            "batch": {"maxRecords": 10},
            "operations": [{
                "for": ["upsert"],
                "request": {"method": "POST", "path": "/records", "item": "${f}", "body": {"records": "$items"}},
                "results": {"mode": "whole"},
            }],
        }},
    })
}

/// Applies a definition, as `kubectl apply` does: another spec is another generation.
fn apply(world: &World, name: &str, spec: Value) {
    let present = world.api.get("destinationdefinitions", name);
    let mut object = present.unwrap_or_else(|| {
        json!({"apiVersion": "backflow.dev/v1alpha1", "kind": "DestinationDefinition", "metadata": {"name": name},
            "status": {"observedGeneration": -1}})
    });
    if object["spec"] != spec && object["metadata"]["generation"].is_i64() {
        object["metadata"]["generation"] = json!(object["metadata"]["generation"].as_i64().unwrap() + 1);
    }
    object["spec"] = spec;
    world.api.put(&format!("{GROUP}/destinationdefinitions/{name}"), object);
    world.watch();
}

fn remove(world: &World, name: &str) {
    world.api.remove(&format!("{GROUP}/destinationdefinitions/{name}"));
    world.watch();
}

/// A shop whose Mapping sends to the user's own CRM.
fn shop(world: &World) {
    world.shop(json!({"action": "upsert", "syncMode": "Upsert", "schedule": {"interval": null, "manual": {}}}));
    let mut hook = world.api.get("destinations", "hook").unwrap();
    hook["spec"] = json!({"type": "acme"});
    hook["status"] = json!({"observedGeneration": -1});
    world.api.put(&format!("{GROUP}/namespaces/{NAMESPACE}/destinations/hook"), hook);
    world.watch();
}

/// Definition, Destination and Mapping look until nothing moves; checks of the Destination pass.
async fn look(world: &World) {
    for _ in 0..20 {
        let before = world.api.calls().len();
        for key in world.context.stores.definitions.keys() {
            definition::reconcile(world.context.clone(), key).await.unwrap();
        }
        world.watch();
        check::reconcile::<Destination>(world.context.clone(), Key::new(NAMESPACE, "hook")).await.unwrap();
        world.watch();
        mapping::reconcile(world.context.clone(), Key::new(NAMESPACE, "crm")).await.unwrap();
        world.watch();
        let open = world.api.all("jobs").into_iter().find(|job| job["status"].is_null());
        if let Some(job) = open {
            let check = Some(CheckResult::default());
            let passed = RunResult { phase: Phase::Succeeded, check, ..RunResult::default() };
            world.finish_with(job["metadata"]["name"].as_str().unwrap(), passed);
        } else if world.api.calls()[before..].iter().all(|call| call.starts_with("GET")) {
            return;
        }
    }
    panic!("it never comes to rest: {:#?}", world.api.calls());
}

fn ready(world: &World, plural: &str, name: &str) -> String {
    let object = world.api.get(plural, name).unwrap();
    let conditions = object["status"]["conditions"].as_array().unwrap().clone();
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready").unwrap();
    let stalled = conditions.iter().any(|condition| condition["type"] == "Stalled");
    let more = if stalled { " Stalled" } else { "" };
    format!("{} {}{more}", ready["status"].as_str().unwrap(), ready["reason"].as_str().unwrap())
}

/// How many checks of the Destination were made.
fn checks(world: &World) -> usize {
    world.api.created("jobs").len()
}

#[tokio::test]
async fn a_destination_waits_for_its_definition_and_is_told_of_each_change() {
    let world = World::new();
    shop(&world);
    look(&world).await;
    assert_eq!(ready(&world, "destinations", "hook"), "False UnknownDestinationType");
    assert_eq!(ready(&world, "mappings", "crm"), "False DestinationNotReady");
    assert_eq!(checks(&world), 0);

    let mut wrong = acme();
    wrong["actions"]["upsert"]["operations"][0]["request"]["path"] = json!("records");
    wrong["http"]["hosts"] = json!({});
    apply(&world, "acme", wrong);
    look(&world).await;
    assert_eq!(ready(&world, "destinationdefinitions", "acme"), "False InvalidSpec Stalled");
    let status = world.api.get("destinationdefinitions", "acme").unwrap()["status"].clone();
    let paths: Vec<&str> =
        status["errors"].as_array().unwrap().iter().map(|error| error["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["spec.actions.upsert.operations[0].request.path", "spec.http.hosts"], "{status:#}");
    assert!(status["acceptedTime"].is_null());
    assert_eq!(ready(&world, "destinations", "hook"), "False DefinitionNotReady");

    apply(&world, "acme", acme());
    look(&world).await;
    assert_eq!(ready(&world, "destinationdefinitions", "acme"), "True Accepted");
    assert!(world.api.get("destinationdefinitions", "acme").unwrap()["status"]["errors"].is_null());
    assert_eq!(ready(&world, "destinations", "hook"), "True CheckSucceeded");
    assert_eq!(ready(&world, "mappings", "crm"), "True Accepted");
    assert_eq!(checks(&world), 1);

    // A change is checked again, also when the Job of the last check is long gone.
    for job in world.api.all("jobs") {
        let name = job["metadata"]["name"].as_str().unwrap();
        world.api.remove(&format!("/apis/batch/v1/namespaces/{NAMESPACE}/jobs/{name}"));
    }
    set_clock(BEGIN + 10_000);
    world.watch();
    look(&world).await;
    assert_eq!(checks(&world), 1, "nothing changed");
    let mut changed = acme();
    changed["version"] = json!(2);
    apply(&world, "acme", changed);
    look(&world).await;
    assert_eq!(checks(&world), 2);
    assert_eq!(ready(&world, "destinations", "hook"), "True CheckSucceeded");
    assert_eq!(world.api.get("destinations", "hook").unwrap()["status"]["definitionVersion"], "2");

    remove(&world, "acme");
    look(&world).await;
    assert_eq!(ready(&world, "destinations", "hook"), "False UnknownDestinationType");
    assert_eq!(ready(&world, "mappings", "crm"), "False DestinationNotReady");
    // A Job that has just checked something else is not replaced at once.
    set_clock(BEGIN + 20_000);
    apply(&world, "acme", acme());
    look(&world).await;
    assert_eq!(ready(&world, "mappings", "crm"), "True Accepted");
}

#[tokio::test]
async fn a_run_carries_its_definition_and_goes_on_with_it_when_that_is_gone() {
    let world = World::new();
    shop(&world);
    apply(&world, "acme", acme());
    look(&world).await;
    let manual = json!({"apiVersion": "backflow.dev/v1alpha1", "kind": "Sync", "metadata": {"name": "by-hand"},
        "spec": {"mappingRef": {"name": "crm"}, "mode": "Incremental"}});
    world.api.put(&format!("{GROUP}/namespaces/{NAMESPACE}/syncs/by-hand"), manual);
    world.watch();
    assert!(world.settle().await);
    let job = world.api.get("jobs", "by-hand").unwrap();
    let plan = job["spec"]["template"]["metadata"]["annotations"]["backflow.dev/plan"].as_str().unwrap();
    let Task::Sync(plan) = backflow_plan::decode(plan).unwrap().task else { panic!("a Sync's plan") };
    assert_eq!(plan.destination.definition, Some(acme()));
    assert_eq!(plan.mapping.identity["destination.definition"], "supplied");

    // What runs has all that it needs.
    remove(&world, "acme");
    assert!(world.settle().await);
    world.finish("by-hand", Phase::Succeeded);
    assert!(world.settle().await);
    assert_eq!(world.phase("by-hand"), "Succeeded");
    // What comes now waits.
    let next = json!({"apiVersion": "backflow.dev/v1alpha1", "kind": "Sync", "metadata": {"name": "next"},
        "spec": {"mappingRef": {"name": "crm"}, "mode": "Incremental"}});
    world.api.put(&format!("{GROUP}/namespaces/{NAMESPACE}/syncs/next"), next);
    world.watch();
    look(&world).await;
    sync::reconcile(world.context.clone(), Key::new(NAMESPACE, "next")).await.unwrap();
    assert!(world.api.get("jobs", "next").is_none());
    apply(&world, "acme", acme());
    look(&world).await;
    assert!(world.settle().await);
    assert!(world.api.get("jobs", "next").is_some(), "nothing is lost");
}

#[tokio::test]
async fn nothing_takes_the_place_of_a_built_in_definition() {
    let world = World::new();
    world.shop(json!({"schedule": {"interval": null, "manual": {}}}));
    apply(&world, "webhook", acme());
    look(&world).await;
    assert_eq!(ready(&world, "destinationdefinitions", "webhook"), "False ReservedName Stalled");
    assert_eq!(ready(&world, "mappings", "crm"), "True Accepted");
    let errors = world.api.get("destinationdefinitions", "webhook").unwrap()["status"]["errors"].clone();
    assert!(errors[0]["message"].as_str().unwrap().contains("choose another name"), "{errors}");
}
