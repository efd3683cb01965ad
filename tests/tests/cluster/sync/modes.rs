//! What people may ask for beside the schedule.

use backflow_crds::v1alpha1::{Extracted, Mapping, Sync, SyncPhase};
use backflow_tests::cluster::Scene;
use backflow_tests::cluster::manifests::{self, DESTINATION, MAPPING, MODEL, SOURCE};
use backflow_tests::cluster::scene::status;
use backflow_tests::receiver::{Fault, Script};
use serde_json::json;

fn added(added: i64) -> Option<Extracted> {
    Some(Extracted { added, ..Extracted::default() })
}

#[tokio::test]
async fn a_preview_shows_rows_and_a_test_sends_one_record_and_neither_moves_the_checkpoint() {
    let scene = Scene::with_customers("sync-preview", 20).await.unwrap();
    scene.ready().await.unwrap();
    let preview = json!({"mode": "Preview", "modelRef": {"name": MODEL}, "limit": 3});
    scene.namespace.apply(&[manifests::object("Sync", "preview", preview)]).await.unwrap();
    let ended = scene.ended("preview").await.unwrap();
    assert_eq!(status(&ended).phase, Some(SyncPhase::Succeeded));
    let log = scene.namespace.kubectl("logs job/preview").await.unwrap();
    assert!(log.contains("c1@example.com") && !log.contains("c4@example.com"), "{log}");
    assert_eq!(scene.requests(), 0);

    scene.succeed(json!({"mode": "Test", "test": {"key": "7"}})).await.unwrap();
    assert_eq!(scene.taken(), scene.expected("upsert", "id = 7").await.unwrap());
    let log = scene.namespace.kubectl("logs job/by-hand-0").await.unwrap();
    assert!(
        log.contains("c7@example.com") && log.contains("response: delivered"),
        "request and answer are shown: {log}"
    );
    let mapping = scene.namespace.get::<Mapping>(MAPPING).await.unwrap();
    assert_eq!(mapping.status.unwrap().checkpoint, None);

    let first = scene.succeed(json!({})).await.unwrap();
    assert_eq!(first.extracted, added(20));
    let absent = scene.run(json!({"mode": "Test", "test": {"key": "999"}})).await.unwrap();
    assert_eq!(status(&absent).reason.as_deref(), Some("RowNotFound"));
    scene.end();
}

#[tokio::test]
async fn full_sends_all_again_and_reset_begins_anew() {
    let scene = Scene::with_customers("sync-full", 20).await.unwrap();
    scene.ready().await.unwrap();
    scene.succeed(json!({})).await.unwrap();
    let first = scene.items();

    let full = scene.succeed(json!({"mode": "Full"})).await.unwrap();
    assert_eq!(full.extracted, Some(Extracted { updated: 20, ..Extracted::default() }));
    let second = scene.items();
    assert_eq!(second.len(), 20);
    assert!(second.iter().all(|item| first.iter().all(|before| before.key != item.key)), "Full uses new keys");

    let refused = status(&scene.run(json!({"mode": "Reset"})).await.unwrap());
    assert_eq!((refused.phase, refused.reason.as_deref()), (Some(SyncPhase::Failed), Some("ConfirmRequired")));
    assert_eq!(scene.requests(), 2);
    let reset = scene.succeed(json!({"mode": "Reset", "confirm": true})).await.unwrap();
    assert_eq!(reset.extracted, added(20));
    assert_eq!(scene.taken(), scene.expected("upsert", "true").await.unwrap());
    assert_eq!(scene.succeed(json!({})).await.unwrap().extracted, added(0));
    scene.end();
}

#[tokio::test]
async fn state_outlives_the_mapping_until_it_is_forgotten() {
    let scene = Scene::with_customers("sync-forget", 20).await.unwrap();
    scene.ready().await.unwrap();
    scene.succeed(json!({})).await.unwrap();
    scene.taken();

    scene.namespace.kubectl(&format!("delete mapping {MAPPING}")).await.unwrap();
    scene.namespace.until_gone::<Sync>("by-hand-0").await.unwrap();
    scene.sql("UPDATE customers SET plan = 'team' WHERE id = 4").await.unwrap();
    scene.ready().await.unwrap();
    let resumed = scene.succeed(json!({})).await.unwrap();
    assert_eq!(resumed.extracted, Some(Extracted { updated: 1, ..Extracted::default() }));
    scene.taken();

    scene.namespace.kubectl(&format!("delete mapping {MAPPING}")).await.unwrap();
    let state_key = format!("{}/{MAPPING}", scene.namespace.name);
    let forget = json!({"mode": "Forget", "forget": {"sourceRef": {"name": SOURCE}, "stateKey": state_key}});
    scene.namespace.apply(&[manifests::object("Sync", "forget", forget)]).await.unwrap();
    assert_eq!(status(&scene.ended("forget").await.unwrap()).phase, Some(SyncPhase::Succeeded));
    scene.ready().await.unwrap();
    assert_eq!(scene.succeed(json!({})).await.unwrap().extracted, added(20));
    scene.end();
}

#[tokio::test]
async fn a_canceled_run_keeps_what_was_acknowledged_and_the_next_sends_the_rest() {
    let scene = Scene::with_customers("sync-cancel", 5000).await.unwrap();
    let mut destination = scene.destination();
    destination["spec"]["limits"] = json!({"concurrency": 1});
    scene.namespace.apply(&[scene.mapping(), destination, scene.model(), scene.source()]).await.unwrap();
    scene.receiver.script(Script::next([Fault::Pass, Fault::Hold]));
    let name = scene.create(json!({})).await.unwrap();
    scene.receiver.holding(1).await.unwrap();
    let shown = |sync: &Sync| status(sync).progress.is_some();
    scene.namespace.until(&name, "showing its progress", shown).await.unwrap();
    scene
        .namespace
        .kubectl(&format!("patch sync {name} --type=merge -p {{\"spec\":{{\"cancel\":true}}}}"))
        .await
        .unwrap();
    let canceling = |sync: &Sync| status(sync).phase == Some(SyncPhase::Canceling);
    scene.namespace.until(&name, "canceling", canceling).await.unwrap();
    scene.receiver.release();
    let canceled = status(&scene.ended(&name).await.unwrap());
    assert_eq!(canceled.phase, Some(SyncPhase::Canceled), "{canceled:?}");
    let sent = scene.items().len();
    assert!((1000..5000).contains(&sent), "{sent} records were sent");
    assert_eq!(canceled.delivered.unwrap().upserted, i64::try_from(sent).unwrap());

    let rest = scene.succeed(json!({})).await.unwrap();
    assert_eq!(rest.extracted, added(5000 - i64::try_from(sent).unwrap()));
    assert_eq!(scene.receiver.ledger().rows().len(), 5000);
    assert_eq!(scene.receiver.ledger().summary().repeated, 0);
    scene.end();
}

#[tokio::test]
async fn rejected_rows_wait_until_they_change_or_a_person_asks() {
    let scene = Scene::with_customers("sync-rejected", 20).await.unwrap();
    scene.ready().await.unwrap();
    scene.receiver.script(Script { poison: ["4".to_owned(), "5".to_owned()].into(), ..Script::default() });
    let partial = status(&scene.run(json!({})).await.unwrap());
    assert_eq!((partial.phase, partial.rejected), (Some(SyncPhase::PartiallySucceeded), Some(2)), "{partial:?}");
    let sick = scene.mapping_is("unhealthy", |mapping| {
        mapping.status.iter().flat_map(|status| &status.conditions).any(|condition| {
            condition.type_ == "Healthy" && condition.status == "False" && condition.reason == "RowsRejected"
        })
    });
    sick.await.unwrap();
    scene.requests();
    let again = scene.run(json!({})).await.unwrap();
    assert_eq!((status(&again).skipped, scene.requests()), (Some(2), 0));

    scene.receiver.script(Script::default());
    scene.taken();
    scene.succeed(json!({"retryRejected": true})).await.unwrap();
    assert_eq!(scene.taken(), scene.expected("upsert", "id IN (4, 5)").await.unwrap());
    let well = scene.mapping_is("healthy", |mapping| {
        mapping
            .status
            .iter()
            .flat_map(|status| &status.conditions)
            .any(|condition| condition.type_ == "Healthy" && condition.status == "True")
    });
    well.await.unwrap();
    scene.end();
}

#[tokio::test]
async fn an_edited_destination_type_is_refused_with_what_was_meant() {
    let scene = Scene::with_customers("sync-type", 1).await.unwrap();
    let mut destination = scene.destination();
    destination["spec"]["type"] = json!("webhok");
    scene.namespace.apply(&[destination]).await.unwrap();
    // A definition of that name may come yet, so it waits.
    let waiting = scene
        .namespace
        .until(DESTINATION, "judged", |destination: &backflow_crds::v1alpha1::Destination| {
            destination
                .status
                .iter()
                .flat_map(|status| &status.conditions)
                .any(|condition| condition.type_ == "Ready" && condition.reason == "UnknownDestinationType")
        })
        .await
        .unwrap();
    let errors = waiting.status.unwrap().errors;
    assert!(errors.iter().any(|error| error.path == "spec.type" && error.message.contains("webhook")), "{errors:?}");
    scene.end();
}
