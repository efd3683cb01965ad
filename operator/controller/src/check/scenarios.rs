//! Checks against the API server in memory, with the clock in the test's hand.

use backflow_core::cell::Column;
use backflow_core::code::{Code, Failure};
use backflow_core::result::{CheckResult, Phase, RunResult};
use backflow_crds::v1alpha1::{Destination, Model, Source};
use serde_json::json;

use crate::queue::Next;
use crate::store::Key;
use crate::testkit::{BEGIN, NAMESPACE, World, set_clock};
use crate::{check, mapping};

const GROUP: &str = "/apis/backflow.dev/v1alpha1/namespaces";

/// The Model's controller looks, then the Mapping's, until neither writes anything. Returns when the Model's looks again.
async fn look(world: &World) -> Next {
    let model = || check::reconcile::<Model>(world.context.clone(), Key::new(NAMESPACE, "customers"));
    for _ in 0..10 {
        let before = world.api.calls().len();
        let next = model().await.unwrap();
        world.watch();
        mapping::reconcile(world.context.clone(), Key::new(NAMESPACE, "crm")).await.unwrap();
        world.watch();
        if world.api.calls()[before..].iter().all(|call| call.starts_with("GET")) {
            return next;
        }
    }
    panic!("it never comes to rest: {:#?}", world.api.calls());
}

/// The Model's check, if one is on.
fn open_check(world: &World) -> Option<String> {
    let jobs = world.api.all("jobs");
    let open = jobs.iter().find(|job| job["status"].is_null())?;
    Some(open["metadata"]["name"].as_str().unwrap().to_owned())
}

fn found(columns: &[&str]) -> RunResult {
    let columns = columns.iter().map(|name| Column { name: (*name).into(), kind: "text".into() }).collect();
    let check = Some(CheckResult { columns, ..CheckResult::default() });
    RunResult { phase: Phase::Succeeded, check, ..RunResult::default() }
}

/// Status and reason of an object's condition Ready.
fn ready(world: &World, plural: &str, name: &str) -> (String, String) {
    let object = world.api.get(plural, name).unwrap();
    let conditions = object["status"]["conditions"].as_array().unwrap();
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready").unwrap();
    let text = |member: &str| ready[member].as_str().unwrap().to_owned();
    (text("status"), text("reason"))
}

fn pair(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

#[tokio::test]
async fn a_mapping_whose_column_comes_later_recovers_without_an_edit() {
    let world = World::new();
    world.shop(json!({"fields": {"sku": {"column": "code"}}, "schedule": {"interval": null, "manual": {}}}));
    let path = format!("{GROUP}/{NAMESPACE}/models/customers");
    let mut model = world.api.get("models", "customers").unwrap();
    model["status"] = json!({"observedGeneration": -1});
    world.api.put(&path, model);
    world.watch();

    look(&world).await;
    world.finish_with(&open_check(&world).unwrap(), found(&["id", "name"]));
    look(&world).await;
    assert_eq!(ready(&world, "models", "customers"), pair("True", "CheckSucceeded"));
    assert_eq!(ready(&world, "mappings", "crm"), pair("False", "UnknownColumn"));
    let conditions = world.mapping().status.unwrap().conditions;
    assert!(conditions.iter().all(|condition| condition.type_ != "Stalled"), "the world is wrong, not the manifest");
    let checked = world.api.get("models", "customers").unwrap()["status"]["lastCheckTime"].clone();

    // Each check that finds the same is followed by the next, with the pauses of a failing one.
    let mut ended = BEGIN;
    for (round, pause) in [30, 60, 120, 240, 480, 600, 600].into_iter().enumerate() {
        assert_eq!(open_check(&world), None, "round {round}");
        set_clock(ended + pause - 1);
        assert_eq!(look(&world).await, Next::After(std::time::Duration::from_secs(1)), "round {round}");
        assert_eq!(open_check(&world), None, "round {round}");
        set_clock(ended + pause);
        look(&world).await;
        let check = open_check(&world).expect("the next check");
        // Who does not need the column goes on using the Model.
        assert_eq!(ready(&world, "models", "customers"), pair("True", "CheckSucceeded"));
        ended += pause + 5;
        set_clock(ended);
        // One that fails takes nothing away either.
        let unreachable = Failure::new(Code::ConnectionFailed, "nobody answers");
        let failed = RunResult { phase: Phase::Failed, failure: Some(unreachable), ..RunResult::default() };
        world.finish_with(&check, if round == 2 { failed } else { found(&["id", "name"]) });
        look(&world).await;
        assert_eq!(ready(&world, "models", "customers"), pair("True", "CheckSucceeded"));
        assert_eq!(ready(&world, "mappings", "crm"), pair("False", "UnknownColumn"));
        let model = world.api.get("models", "customers").unwrap();
        assert_eq!(model["status"]["lastCheckTime"], checked, "nothing new was found");
    }

    // The table gets its column.
    set_clock(ended + 600);
    look(&world).await;
    world.finish_with(&open_check(&world).unwrap(), found(&["id", "name", "code"]));
    assert_eq!(look(&world).await, Next::Wait, "there is nothing to find any more");
    assert_eq!(ready(&world, "mappings", "crm"), pair("True", "Accepted"));
    let jobs = world.api.all("jobs").len();
    set_clock(ended + 5_000);
    look(&world).await;
    assert_eq!(world.api.all("jobs").len(), jobs);
}

#[tokio::test]
async fn a_new_controller_goes_on_with_the_pauses_of_the_one_before() {
    let mut world = World::new();
    world.shop(json!({"fields": {"sku": {"column": "code"}}, "schedule": {"interval": null, "manual": {}}}));
    let path = format!("{GROUP}/{NAMESPACE}/models/customers");
    let mut model = world.api.get("models", "customers").unwrap();
    model["status"] = json!({"observedGeneration": -1});
    world.api.put(&path, model);
    world.watch();
    look(&world).await;
    let mut ended = BEGIN;
    for pause in [30, 60, 120] {
        world.finish_with(&open_check(&world).unwrap(), found(&["id"]));
        world = world.restart();
        look(&world).await;
        set_clock(ended + pause - 1);
        look(&world).await;
        assert_eq!(open_check(&world), None, "before {pause} s");
        set_clock(ended + pause);
        look(&world).await;
        assert!(open_check(&world).is_some(), "after {pause} s");
        ended += pause;
    }
}

/// All four look until nobody writes.
async fn look_at_all(world: &World) {
    let source = || check::reconcile::<Source>(world.context.clone(), Key::new(NAMESPACE, "warehouse"));
    let destination = || check::reconcile::<Destination>(world.context.clone(), Key::new(NAMESPACE, "hook"));
    for _ in 0..10 {
        let before = world.api.calls().len();
        source().await.unwrap();
        destination().await.unwrap();
        world.watch();
        look(world).await;
        if world.api.calls()[before..].iter().all(|call| call.starts_with("GET")) {
            return;
        }
    }
    panic!("it never comes to rest: {:#?}", world.api.calls());
}

/// A person edits an object's spec.
fn edit(world: &World, plural: &str, name: &str, spec: serde_json::Value) {
    let mut object = world.api.get(plural, name).unwrap();
    for (member, value) in spec.as_object().unwrap() {
        object["spec"][member] = value.clone();
    }
    object["metadata"]["generation"] = json!(object["metadata"]["generation"].as_i64().unwrap() + 1);
    world.api.put(&format!("{GROUP}/{NAMESPACE}/{plural}/{name}"), object);
    world.watch();
}

#[tokio::test]
async fn only_an_edit_of_what_is_checked_has_it_checked_again() {
    let world = World::new();
    world.shop(json!({"fields": {"sku": {"column": "id"}}, "schedule": {"interval": null, "manual": {}}}));
    let kinds = [("sources", "warehouse"), ("models", "customers"), ("destinations", "hook")];
    for (plural, name) in kinds {
        let mut object = world.api.get(plural, name).unwrap();
        object["status"] = json!({"observedGeneration": -1});
        world.api.put(&format!("{GROUP}/{NAMESPACE}/{plural}/{name}"), object);
    }
    world.watch();
    let work = || async {
        look_at_all(&world).await;
        while let Some(job) = open_check(&world) {
            world.finish_with(&job, found(&["id", "name"]));
            look_at_all(&world).await;
        }
    };
    work().await;
    assert_eq!(ready(&world, "mappings", "crm"), pair("True", "Accepted"));
    let checks = world.api.created("jobs").len();
    assert_eq!(checks, 3);

    // The Mapping looks first: it sees what is edited before its controller has.
    for (plural, name) in kinds {
        edit(&world, plural, name, json!({"suspend": true}));
        look_at_all(&world).await;
        assert_eq!(ready(&world, "mappings", "crm"), pair("True", "Suspended"));
        assert_eq!(ready(&world, plural, name), pair("True", "CheckSucceeded"));
        assert_eq!(world.api.get(plural, name).unwrap()["status"]["observedGeneration"], json!(2));
        edit(&world, plural, name, json!({"suspend": false}));
        mapping::reconcile(world.context.clone(), Key::new(NAMESPACE, "crm")).await.unwrap();
        world.watch();
        assert_eq!(ready(&world, "mappings", "crm"), pair("True", "Accepted"), "{plural}");
        look_at_all(&world).await;
        assert_eq!(world.api.get(plural, name).unwrap()["status"]["observedGeneration"], json!(3));
    }
    assert_eq!(world.api.created("jobs").len(), checks, "nothing that is checked was edited");

    let edits = [
        ("sources", "warehouse", json!({"worker": {"serviceAccountName": "reader"}}), 2),
        ("models", "customers", json!({"sql": "select 2 as id"}), 1),
        ("destinations", "hook", json!({"settings": {"url": "https://example.org/"}}), 1),
    ];
    let mut expected = checks;
    for (plural, name, spec, more) in edits {
        edit(&world, plural, name, spec);
        look_at_all(&world).await;
        assert_eq!(ready(&world, plural, name), pair("False", "CheckInProgress"), "{plural}");
        expected += more;
        work().await;
        assert_eq!(world.api.created("jobs").len(), expected, "{plural}");
        assert_eq!(ready(&world, "mappings", "crm"), pair("True", "Accepted"), "{plural}");
    }
}

#[tokio::test]
async fn a_destination_says_until_when_it_wants_to_be_left_alone() {
    let world = World::new();
    world.shop(json!({}));
    let look = || check::reconcile::<Destination>(world.context.clone(), Key::new(NAMESPACE, "hook"));
    assert!(world.settle().await);
    let job = world.syncs()[0].metadata.name.clone().unwrap();
    let until = jiff::Timestamp::from_second(BEGIN + 600).unwrap().to_string();
    let failure = Some(Failure::new(Code::RetriesExhausted, "it answers 429"));
    let throttled_until = Some(until.clone());
    world.finish_with(&job, RunResult { phase: Phase::Failed, failure, throttled_until, ..RunResult::default() });
    assert!(world.settle().await);
    let said = || world.api.get("destinations", "hook").unwrap()["status"]["throttledUntil"].clone();
    assert_eq!(look().await.unwrap(), Next::After(std::time::Duration::from_secs(600)));
    world.watch();
    assert_eq!(said(), json!(until));
    set_clock(BEGIN + 600);
    assert_eq!(look().await.unwrap(), Next::Wait);
    assert!(said().is_null());
}
