//! What goes wrong in a run: a reason, a cure, and the next run brings everything.

use backflow_crds::v1alpha1::{Mapping, SyncPhase};
use backflow_tests::cluster::Scene;
use backflow_tests::cluster::scene::{conditions, status};
use backflow_tests::receiver::{Fault, Script};
use serde_json::json;

#[tokio::test]
async fn a_destination_that_refuses_fails_the_run_and_the_next_brings_everything() {
    let scene = Scene::with_customers("wrong-answers", 10).await.unwrap();
    let mut mapping = scene.mapping();
    mapping["spec"]["retry"] = json!({"maxAttempts": 1, "window": "1m"});
    scene.namespace.apply(&[mapping, scene.destination(), scene.model(), scene.source()]).await.unwrap();
    for (fault, reason, cure) in [
        (Fault::status(401), "DestinationUnauthorized", "secret"),
        (Fault::status(404), "DestinationMisconfigured", "url"),
        (Fault::Html, "DestinationMisconfigured", "page"),
        (Fault::status(500), "RetriesExhausted", "500"),
        (Fault::Reset, "DestinationUnreachable", "connection"),
    ] {
        scene.receiver.script(Script::always(fault.clone()));
        let failed = status(&scene.run(json!({})).await.unwrap());
        assert_eq!(
            (failed.phase, failed.reason.as_deref()),
            (Some(SyncPhase::Failed), Some(reason)),
            "{fault:?}: {failed:?}"
        );
        let message = failed.errors[0].message.to_lowercase();
        assert!(message.contains(cure), "{fault:?}: {message}");
        let says = |mapping: &Mapping| {
            conditions(mapping)
                .iter()
                .any(|condition| condition.type_ == "LastSyncSucceeded" && condition.reason == reason)
        };
        scene.mapping_is("told why its run failed", says).await.unwrap();
        assert_eq!(scene.taken(), []);
    }
    scene.receiver.script(Script::default());
    scene.succeed(json!({})).await.unwrap();
    assert_eq!(scene.taken(), scene.expected("upsert", "true").await.unwrap());
    scene.end();
}

#[tokio::test]
async fn rows_without_a_key_of_their_own_are_counted_and_the_others_arrive() {
    let scene = Scene::with_customers("wrong-rows", 10).await.unwrap();
    scene.ready().await.unwrap();
    scene.sql("INSERT INTO customers (id) VALUES (NULL), (3)").await.unwrap();
    let first = status(&scene.run(json!({})).await.unwrap());
    assert_eq!(first.extracted.unwrap().invalid, 3, "{first:?}");
    let mut codes: Vec<_> = first.errors.iter().map(|error| (error.code.as_str(), error.count)).collect();
    codes.sort_unstable();
    assert_eq!(codes, [("DUPLICATE_KEY", 2), ("NULL_KEY", 1)]);
    assert_eq!(scene.taken(), scene.expected("upsert", "id <> 3").await.unwrap());
    let sick = |mapping: &Mapping| {
        conditions(mapping).iter().any(|condition| condition.type_ == "Healthy" && condition.status == "False")
    };
    scene.mapping_is("unhealthy", sick).await.unwrap();

    scene.sql("DELETE FROM customers WHERE id IS NULL OR (id = 3 AND name IS NULL)").await.unwrap();
    scene.succeed(json!({})).await.unwrap();
    assert_eq!(scene.taken(), scene.expected("upsert", "id = 3").await.unwrap());
    scene.end();
}

#[tokio::test]
async fn sql_that_fails_at_a_row_and_a_table_that_is_gone_fail_the_run_only() {
    let scene = Scene::with_customers("wrong-query", 10).await.unwrap();
    let mut model = scene.model();
    model["spec"] = json!({
        "sourceRef": {"name": "warehouse"}, "primaryKey": ["id"], "sql": "select id, 100 / score as share from customers",
    });
    scene.namespace.apply(&[scene.mapping(), scene.destination(), model, scene.source()]).await.unwrap();
    scene.succeed(json!({})).await.unwrap();
    scene.taken();

    scene.sql("UPDATE customers SET score = 0 WHERE id = 10").await.unwrap();
    let failed = status(&scene.run(json!({})).await.unwrap());
    assert_eq!((failed.phase, failed.reason.as_deref()), (Some(SyncPhase::Failed), Some("SqlError")), "{failed:?}");
    scene.sql("UPDATE customers SET score = 1 WHERE id = 10; ALTER TABLE customers RENAME TO moved").await.unwrap();
    let failed = status(&scene.run(json!({})).await.unwrap());
    assert_eq!(
        (failed.phase, failed.reason.as_deref()),
        (Some(SyncPhase::Failed), Some("TableNotFound")),
        "{failed:?}"
    );
    assert_eq!(scene.requests(), 1);

    scene.sql("ALTER TABLE moved RENAME TO customers").await.unwrap();
    scene.succeed(json!({})).await.unwrap();
    assert_eq!(scene.taken().len(), 1);
    scene.end();
}
