//! The controller against an API server in memory: every call enumerated, and a fault at each.

use backflow_core::result::Phase;
use serde_json::json;

use crate::testkit::{BEGIN, Fault, NAMESPACE, World, set_clock};

/// From a new Mapping to its first run's end.
async fn first_run(mut world: World) -> World {
    if !world.settle().await {
        world = world.restart();
        assert!(world.settle().await);
    }
    let jobs = world.api.all("jobs");
    assert_eq!(jobs.len(), 1, "{:#?}", world.api.calls());
    world.finish(jobs[0]["metadata"]["name"].as_str().unwrap(), Phase::Succeeded);
    if !world.settle().await {
        world = world.restart();
        assert!(world.settle().await);
    }
    world
}

fn assert_ran_once(world: &World, at: &str) {
    assert_eq!(world.api.created("syncs").len(), 1, "{at}: {:#?}", world.api.calls());
    assert_eq!(world.api.created("jobs").len(), 1, "{at}: {:#?}", world.api.calls());
    let status = world.mapping().status.unwrap();
    let last = status.last_sync.unwrap();
    assert_eq!(world.phase(&last.name), "Succeeded", "{at}");
    assert_eq!(status.consecutive_failures, Some(0), "{at}");
    assert_eq!(status.last_schedule_time.unwrap().0.as_second(), BEGIN, "{at}");
    assert!(status.active.is_none(), "{at}");
}

#[tokio::test]
async fn the_calls_of_a_run_are_these() {
    let world = World::new();
    world.shop(json!({}));
    let mut world = first_run(world).await;
    assert_ran_once(&world, "no fault");
    insta::assert_yaml_snapshot!(world.api.calls());
    let told =
        ["Mapping SyncCreated", "Sync SyncStarted", "Mapping Ready", "Sync SyncSucceeded", "Mapping SyncSucceeded"];
    assert_eq!(world.told(), told);
}

#[tokio::test]
async fn a_crash_after_any_call_leaves_one_job_for_a_slot() {
    let calls = {
        let world = World::new();
        world.shop(json!({}));
        first_run(world).await.api.calls().len()
    };
    for call in 1..=calls {
        let world = World::new();
        world.shop(json!({}));
        world.api.fail_at(call, Fault::Crash);
        assert_ran_once(&first_run(world).await, &format!("crash after call {call}"));
    }
}

#[tokio::test]
async fn no_error_at_any_call_makes_a_second_job() {
    let calls = {
        let world = World::new();
        world.shop(json!({}));
        first_run(world).await.api.calls().len()
    };
    for call in 1..=calls {
        for fault in [Fault::Refuse(500), Fault::Refuse(409), Fault::Lost] {
            let world = World::new();
            world.shop(json!({}));
            world.api.fail_at(call, fault);
            // An error makes the queue try again later; here, a second look is that later.
            world.settle().await;
            let world = first_run(world).await;
            world.settle().await;
            assert_ran_once(&world, &format!("{fault:?} at call {call}"));
        }
    }
}

#[tokio::test]
async fn two_leaders_make_one_job_for_each_of_100_slots() {
    let one = World::new();
    one.shop(json!({"runs": {"successfulLimit": 100}}));
    let two = World::boot_beside(&one);
    for slot in 0..100 {
        set_clock(BEGIN + slot * 900);
        for world in if slot % 2 == 0 { [&one, &two] } else { [&two, &one] } {
            assert!(world.settle().await);
        }
        let jobs: Vec<_> = one.api.all("jobs").into_iter().filter(|job| job["status"].is_null()).collect();
        assert_eq!(jobs.len(), 1, "slot {slot}");
        one.finish(jobs[0]["metadata"]["name"].as_str().unwrap(), Phase::Succeeded);
        two.watch();
        for world in [&two, &one] {
            assert!(world.settle().await);
        }
    }
    let mut created = one.api.created("jobs");
    created.sort();
    created.dedup();
    assert_eq!((created.len(), one.api.created("jobs").len()), (100, 100));
}

#[tokio::test]
async fn a_job_that_the_cluster_finds_invalid_fails_the_sync() {
    let world = World::new();
    world.shop(json!({}));
    let create = calls_until(&world, "POST shop/jobs").await;
    let world = World::new();
    world.shop(json!({}));
    world.api.fail_at(create, Fault::Refuse(422));
    world.settle().await;
    let sync = world.syncs().remove(0);
    assert_eq!(sync.status.unwrap().reason.as_deref(), Some("PodRefused"));
    assert!(world.api.created("jobs").is_empty());
}

#[tokio::test]
async fn a_quota_in_the_way_is_waited_for() {
    let world = World::new();
    world.shop(json!({}));
    let create = calls_until(&world, "POST shop/jobs").await;
    let world = World::new();
    world.shop(json!({}));
    world.api.fail_at(create, Fault::Refuse(403));
    let world = first_run(world).await;
    assert_ran_once(&world, "403 at the creation of the Job");
}

/// Which call of a first run is this one.
async fn calls_until(world: &World, call: &str) -> usize {
    world.settle().await;
    world.api.calls().iter().position(|made| made == call).unwrap() + 1
}

#[tokio::test]
async fn an_unchanged_world_is_not_written_to() {
    let world = World::new();
    world.shop(json!({}));
    let world = first_run(world).await;
    let calls = world.api.calls().len();
    assert!(world.settle().await);
    assert_eq!(world.api.calls()[calls..].iter().filter(|call| !call.starts_with("GET")).count(), 0);
}

#[tokio::test]
async fn the_oldest_runs_of_its_own_are_forgotten_and_no_others() {
    let world = World::new();
    world.shop(json!({"runs": {"successfulLimit": 2}}));
    world.api.put(
        &format!("/apis/backflow.dev/v1alpha1/namespaces/{NAMESPACE}/syncs/mine"),
        json!({"apiVersion": "backflow.dev/v1alpha1", "kind": "Sync", "metadata": {"name": "mine"},
            "spec": {"mappingRef": {"name": "crm"}, "mode": "Incremental"},
            "status": {"phase": "Succeeded", "startedAt": "2025-01-01T00:00:00Z", "finishedAt": "2025-01-01T00:00:01Z"}}),
    );
    for slot in 0..5 {
        set_clock(BEGIN + slot * 900);
        assert!(world.settle().await);
        let job = world.api.all("jobs").into_iter().find(|job| job["status"].is_null()).unwrap();
        world.finish(job["metadata"]["name"].as_str().unwrap(), Phase::Succeeded);
        assert!(world.settle().await);
    }
    let names: Vec<_> = world.syncs().into_iter().map(|sync| sync.metadata.name.unwrap()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(names.contains(&"mine".to_owned()));
    // Their Jobs went with them.
    assert_eq!(world.api.all("jobs").len(), 2);
}

#[tokio::test]
async fn a_sync_of_somebody_else_with_the_name_of_a_slot_is_left_alone() {
    let world = World::new();
    world.shop(json!({}));
    let name = format!("crm-{}", BEGIN / 60);
    world.api.put(
        &format!("/apis/backflow.dev/v1alpha1/namespaces/{NAMESPACE}/syncs/{name}"),
        json!({"apiVersion": "backflow.dev/v1alpha1", "kind": "Sync", "metadata": {"name": name},
            "spec": {"mappingRef": {"name": "other"}, "mode": "Incremental"}}),
    );
    world.watch();
    assert!(world.settle().await);
    assert!(world.api.created("jobs").is_empty());
    let status = world.mapping().status.unwrap();
    assert!(status.missed_slots.is_some_and(|slots| slots > 0), "{status:?}");
}

#[tokio::test]
async fn the_syncs_of_a_deleted_mapping_go_with_it() {
    let world = World::new();
    world.shop(json!({"schedule": {"interval": null, "manual": {}}}));
    let path = format!("/apis/backflow.dev/v1alpha1/namespaces/{NAMESPACE}");
    world.api.put(
        &format!("{path}/syncs/mine"),
        json!({"apiVersion": "backflow.dev/v1alpha1", "kind": "Sync", "metadata": {"name": "mine"},
            "spec": {"mappingRef": {"name": "crm"}, "mode": "Incremental"}}),
    );
    world.watch();
    assert!(world.settle().await);
    assert_eq!(world.phase("mine"), "Running");
    world.api.remove(&format!("{path}/mappings/crm"));
    world.watch();
    let key = crate::store::Key::new(NAMESPACE, "crm");
    crate::mapping::reconcile(world.context.clone(), key).await.unwrap();
    assert!(world.api.all("syncs").is_empty());
    assert!(world.api.all("jobs").is_empty());
}
