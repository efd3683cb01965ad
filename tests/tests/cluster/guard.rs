//! What must not go wrong at the destination: mass deletions, a swapped account or warehouse, and more rows than memory.

use std::io::{Write as _, stdout};
use std::net::SocketAddr;

use backflow_crds::conditions::ConditionType;
use backflow_crds::v1alpha1::{Extracted, Mapping, Sync, SyncPhase};
use backflow_tests::cluster::Scene;
use backflow_tests::cluster::manifests::MAPPING;
use backflow_tests::cluster::scene::{conditions, is_true, status};
use backflow_tests::receiver::{Fault, Receiver, Script};
use k8s_openapi::api::batch::v1::Job;
use serde_json::json;

fn reason_of(mapping: &Mapping, kind: ConditionType) -> Option<String> {
    let conditions = conditions(mapping);
    let found = conditions.iter().find(|condition| condition.type_ == kind.as_str() && condition.status == "True");
    found.map(|condition| condition.reason.clone())
}

#[tokio::test]
async fn an_emptied_model_deletes_nothing_until_a_person_approves() {
    let scene = Scene::with_customers("guard-deletes", 300).await.unwrap();
    scene.ready().await.unwrap();
    scene.succeed(json!({})).await.unwrap();
    scene.taken();

    scene.sql("DELETE FROM customers").await.unwrap();
    let emptied = status(&scene.run(json!({})).await.unwrap());
    assert_eq!((emptied.withheld_deletes, scene.taken().len()), (Some(300), 0), "{emptied:?}");
    scene.mapping_is("told", |mapping| is_true(&conditions(mapping), ConditionType::DeletesWithheld)).await.unwrap();
    let told = scene.namespace.until_all(
        "told by an event",
        |events: &[std::sync::Arc<k8s_openapi::api::events::v1::Event>]| {
            events
                .iter()
                .find(|event| event.reason.as_deref() == Some("DeletesWithheld"))
                .and_then(|event| event.note.clone())
        },
    );
    assert!(told.await.unwrap().contains("approveDeletes: 300"));

    // Most rows are back: what is still gone is above the limit, but not what was approved for less.
    scene.add_customers(1, 100).await.unwrap();
    let too_few = status(&scene.run(json!({"approveDeletes": 199})).await.unwrap());
    assert_eq!((too_few.withheld_deletes, scene.taken().len()), (Some(200), 0), "{too_few:?}");
    let approved = scene.succeed(json!({"approveDeletes": 200})).await.unwrap();
    assert_eq!(approved.delivered.unwrap().deleted, 200);
    let taken = scene.taken();
    assert!(taken.iter().all(|(id, op, _)| op == "delete" && id.parse::<u32>().unwrap() > 100) && taken.len() == 200);
    let calm = |mapping: &Mapping| !is_true(&conditions(mapping), ConditionType::DeletesWithheld);
    scene.mapping_is("calm again", calm).await.unwrap();
    assert_eq!(scene.receiver.ledger().rows().len(), 100);
    scene.end();
}

#[tokio::test]
async fn another_account_or_warehouse_stops_the_mapping_until_a_person_decides() {
    let scene = Scene::with_customers("guard-identity", 10).await.unwrap();
    scene.ready().await.unwrap();
    scene.succeed(json!({})).await.unwrap();
    scene.taken();
    let changed = |mapping: &Mapping| reason_of(mapping, ConditionType::Stalled).as_deref() == Some("IdentityChanged");
    let ready = |mapping: &Mapping| is_true(&conditions(mapping), ConditionType::Ready);

    let mut sandbox = scene.destination();
    let other =
        Receiver::bind(SocketAddr::from((scene.namespace.cluster.host, 0)), scene.expect().clone()).await.unwrap();
    sandbox["spec"]["settings"]["url"] = json!(other.url());
    scene.namespace.apply(&[sandbox]).await.unwrap();
    scene.mapping_is("stopped", changed).await.unwrap();
    scene.namespace.apply(&[scene.destination()]).await.unwrap();
    scene.mapping_is("Ready again", ready).await.unwrap();

    scene
        .server
        .exec("postgres", &format!("CREATE DATABASE {0}_copy TEMPLATE {0} OWNER {0}", scene.database))
        .await
        .unwrap();
    let mut copy = scene.source();
    copy["spec"]["postgres"]["database"] = json!(format!("{}_copy", scene.database));
    scene.namespace.apply(&[copy]).await.unwrap();
    scene.mapping_is("stopped", changed).await.unwrap();
    let adopted = scene.succeed(json!({"adoptState": true})).await.unwrap();
    assert_eq!(adopted.extracted, Some(Extracted::default()));
    scene.mapping_is("Ready again", ready).await.unwrap();
    assert_eq!((scene.taken().len(), other.ledger().requests.len()), (0, 0));
    scene.end();
}

#[tokio::test]
async fn a_hundred_thousand_rows_fit_a_pod_of_64_mib() {
    const ROWS: u32 = 100_000;
    let scene = Scene::with_customers("guard-memory", ROWS).await.unwrap();
    let mut mapping = scene.mapping();
    mapping["spec"]["worker"] = json!({"resources": {"limits": {"memory": "64Mi"}}});
    scene.namespace.apply(&[scene.source(), scene.model(), scene.destination(), mapping]).await.unwrap();
    scene.mapping_is("Ready", |mapping| is_true(&conditions(mapping), ConditionType::Ready)).await.unwrap();

    scene.receiver.script(Script::next([Fault::Hold]));
    let asked = std::time::Instant::now();
    let name = scene.create(json!({})).await.unwrap();
    scene.namespace.until(&name, "there", |_: &Job| true).await.unwrap();
    let job = asked.elapsed();
    scene.receiver.holding(1).await.unwrap();
    let request = asked.elapsed() - job;
    scene.receiver.release();
    let ended = status(&scene.ended(&name).await.unwrap());
    let took = asked.elapsed();
    // Straight to the output: what a passing test prints is not shown.
    writeln!(stdout(), "asked → Job {job:?}, Job → first request {request:?}, 100,000 rows in {took:?}").unwrap();
    assert_eq!(ended.phase, Some(SyncPhase::Succeeded), "{ended:?}");
    assert_eq!(ended.extracted, Some(Extracted { added: i64::from(ROWS), ..Extracted::default() }));
    let ledger = scene.receiver.ledger();
    let summary = ledger.summary();
    assert_eq!((summary.rows, summary.repeated, summary.violations), (ROWS as usize, 0, 0));
    assert_eq!(scene.taken().len(), ROWS as usize);

    let settled =
        scene.mapping_is("done", |mapping| mapping.status.as_ref().is_some_and(|status| status.checkpoint.is_some()));
    let checkpoint = settled.await.unwrap().status.unwrap().checkpoint.unwrap();
    assert_eq!((checkpoint.rows, checkpoint.sync_name), (Some(i64::from(ROWS)), Some(name)));
    assert!(
        scene.namespace.get::<Mapping>(MAPPING).await.is_ok()
            && scene.namespace.list::<Sync>().await.unwrap().len() == 1
    );
    scene.end();
}
