//! A wrong manifest ends in `Stalled`, with everything that is wrong with it; nothing is accepted and ignored.

use backflow_crds::v1alpha1::{Finding, Mapping, Source, SyncPhase};
use backflow_tests::cluster::Scene;
use backflow_tests::cluster::manifests::{MAPPING, MODEL, object};
use backflow_tests::cluster::scene::status;
use serde_json::json;

use super::says;

fn found(errors: &[Finding]) -> Vec<(String, String)> {
    let mut found: Vec<_> = errors.iter().map(|error| (error.path.clone(), error.code.clone())).collect();
    found.sort();
    found
}

fn expected(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut all: Vec<_> = pairs.iter().map(|(path, code)| ((*path).to_owned(), (*code).to_owned())).collect();
    all.sort();
    all
}

#[tokio::test]
async fn all_findings_are_listed_at_once_and_an_edit_cures_them() {
    let scene = Scene::with_customers("wrong-manifest", 3).await.unwrap();
    let mut mapping = scene.mapping();
    let spec = &mut mapping["spec"];
    spec["action"] = json!("sendd");
    spec["fields"] = json!({
        "full": {"template": "{{ name"}, "score": {"cel": "score"}, "plan": {"value": "p1", "map": {"p1": "Pro"}},
        "tags": {"object": {"a": {}}},
    });
    spec["schedule"] = json!({"cron": {"expressions": ["0 25 * * *"], "timeZone": "Europe/Belin"}});
    spec["runs"] = json!({"deadline": "1m"});
    spec["worker"] = json!({"env": [{"name": "BACKFLOW_LOG", "value": "debug"}]});
    scene.namespace.apply(&[mapping, scene.destination(), scene.model(), scene.source()]).await.unwrap();
    let stalled = scene
        .mapping_is("stalled with all findings", |mapping: &Mapping| {
            mapping.status.as_ref().is_some_and(|status| status.errors.len() >= 9)
        })
        .await
        .unwrap();
    let errors = stalled.status.unwrap().errors;
    assert_eq!(
        found(&errors),
        expected(&[
            ("spec.action", "UnknownAction"),
            ("spec.fields.full.template", "InvalidTemplate"),
            ("spec.fields.plan.map", "InvalidField"),
            ("spec.fields.score.cel", "InvalidExpression"),
            ("spec.fields.tags.object.a", "InvalidField"),
            ("spec.runs.deadline", "InvalidQuantity"),
            ("spec.schedule.cron.expressions[0]", "InvalidSchedule"),
            ("spec.schedule.cron.timeZone", "UnknownTimeZone"),
            ("spec.worker.env[0].name", "InvalidSpec"),
        ])
    );
    assert!(errors.iter().all(|error| error.message.len() > 10), "{errors:?}");
    assert!(errors.iter().any(|error| error.message.contains("send")), "the actions that there are: {errors:?}");
    says(&scene, ("mapping", MAPPING), "Stalled", "InvalidSpec").await;

    scene.namespace.apply(&[scene.mapping()]).await.unwrap();
    says(&scene, ("mapping", MAPPING), "Ready", "Accepted").await;
    scene.succeed(json!({})).await.unwrap();
    scene.end();
}

#[tokio::test]
async fn what_this_version_cannot_do_is_never_accepted_and_ignored() {
    let scene = Scene::with_customers("wrong-unsupported", 3).await.unwrap();
    let clickhouse = json!({"diff": "Pushdown", "clickhouse": {
        "host": "h", "database": "d", "user": "u", "password": {"secretKeyRef": {"name": "s", "key": "k"}},
    }});
    let mut after = scene.mapping();
    after["metadata"]["name"] = json!("after-itself");
    after["spec"]["schedule"] = json!({"after": {"mappingRef": {"name": "after-itself"}}});
    scene
        .namespace
        .apply(&[
            after,
            scene.model(),
            scene.source(),
            scene.destination(),
            scene.mapping(),
            object("Source", "clickhouse", clickhouse),
            object("Source", "local", json!({"sqlite": {"path": "shop.db"}})),
        ])
        .await
        .unwrap();
    for (name, reason) in [("clickhouse", "NotSupported"), ("local", "LocalOnly")] {
        says(&scene, ("source", name), "Stalled", reason).await;
        let errors = scene.namespace.get::<Source>(name).await.unwrap().status.unwrap().errors;
        assert!(errors.len() == 1 && errors[0].path.starts_with("spec."), "{name}: {errors:?}");
    }
    says(&scene, ("mapping", "after-itself"), "Stalled", "ScheduleCycle").await;
    says(&scene, ("mapping", MAPPING), "Ready", "Accepted").await;
    let forgotten = json!({"mode": "Replay", "replay": {"syncRef": {"name": "never"}}});
    let refused = status(&scene.run(forgotten).await.unwrap());
    assert_eq!((refused.phase, refused.reason.as_deref()), (Some(SyncPhase::Failed), Some("RunNotFound")));
    let absent = json!({"mode": "Preview", "modelRef": {"name": "absent"}});
    scene.namespace.apply(&[object("Sync", "waits", absent)]).await.unwrap();
    let waits = |sync: &backflow_crds::v1alpha1::Sync| status(sync).reason.as_deref() == Some("ModelNotFound");
    scene.namespace.until("waits", "waiting for its Model", waits).await.unwrap();
    assert_eq!((MODEL, scene.requests()), ("customers", 0));
    scene.end();
}
