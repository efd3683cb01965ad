//! A definition of the user's own: it is judged, Destinations wait for it, and what is on goes on without it.

use backflow_crds::v1alpha1::SyncPhase;
use backflow_tests::cluster::Scene;
use backflow_tests::cluster::manifests::{DESTINATION, MAPPING, object};
use backflow_tests::cluster::scene::status;
use backflow_tests::receiver::{Fault, Script};
use serde_json::{Value, json};

use super::says;

/// What the receiver understands.
const WEBHOOK: &str = include_str!("../../../../operator/definitions/builtin/webhook/definition.yaml");

/// The webhook under a name of the user's own. It is the cluster's, and goes with the test's namespace all the same.
fn definition(owner: &Owner, name: &str, hosts: &Value) -> Value {
    let mut spec: Value = serde_saphyr::from_str(WEBHOOK).unwrap();
    spec.as_object_mut().unwrap().remove("definition");
    spec["http"]["hosts"] = hosts.clone();
    let mut definition = object("DestinationDefinition", name, spec);
    definition["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "Namespace", "name": owner.name, "uid": owner.uid}]);
    definition
}

/// The namespace of a test.
struct Owner {
    name: String,
    uid: String,
}

impl Owner {
    async fn of(scene: &Scene) -> Self {
        let name = scene.namespace.name.clone();
        let uid =
            scene.namespace.kubectl(&format!("get namespace {name} -o jsonpath={{.metadata.uid}}")).await.unwrap();
        Self { name, uid }
    }
}

/// What the condition Ready of a DestinationDefinition says, as soon as it says anything of this generation.
async fn judged(scene: &Scene, name: &str) -> Value {
    let wait = format!("wait destinationdefinition/{name} --for=jsonpath={{.status.observedGeneration}}=");
    let get = format!("get destinationdefinition/{name} -o json");
    let generation = |text: &str| serde_json::from_str::<Value>(text).unwrap()["metadata"]["generation"].to_string();
    let now = generation(&scene.namespace.kubectl(&get).await.unwrap());
    scene.namespace.kubectl(&format!("{wait}{now} --timeout=60s")).await.unwrap();
    serde_json::from_str::<Value>(&scene.namespace.kubectl(&get).await.unwrap()).unwrap()["status"].clone()
}

fn reason(status: &Value) -> String {
    let conditions = status["conditions"].as_array().unwrap();
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready").unwrap();
    format!("{} {}", ready["status"].as_str().unwrap(), ready["reason"].as_str().unwrap())
}

#[tokio::test]
async fn a_definition_of_ones_own_is_judged_and_waited_for_and_what_runs_outlives_it() {
    let scene = Scene::with_customers("wrong-definition", 20).await.unwrap();
    // It belongs to the whole cluster, so its name is this test's own.
    let owner = Owner::of(&scene).await;
    let name = owner.name.clone();
    let mut destination = scene.destination();
    destination["spec"]["type"] = json!(name);
    scene.namespace.apply(&[scene.mapping(), destination, scene.model(), scene.source()]).await.unwrap();
    let message = says(&scene, ("destination", DESTINATION), "Ready", "UnknownDestinationType").await;
    assert!(message.contains(&name) && message.contains("DestinationDefinition"), "{message}");

    // Everything that is wrong with it is listed at once.
    let mut wrong = definition(&owner, &name, &json!({}));
    wrong["spec"]["actions"]["send"]["operations"][0]["request"]["path"] = json!("records");
    wrong["spec"]["limits"]["concurrency"]["max"] = json!(0);
    scene.namespace.apply(&[wrong]).await.unwrap();
    let status_of = judged(&scene, &name).await;
    assert_eq!(reason(&status_of), "False InvalidSpec");
    let paths: Vec<&str> =
        status_of["errors"].as_array().unwrap().iter().map(|error| error["path"].as_str().unwrap()).collect();
    assert_eq!(
        paths,
        [
            "spec.actions.send.operations[0].request.path",
            "spec.http.baseUrl",
            "spec.http.hosts",
            "spec.limits.concurrency",
            "spec.limits.concurrency.max"
        ]
    );
    says(&scene, ("destination", DESTINATION), "Ready", "DefinitionNotReady").await;

    // The receiver is in a private network, which only who writes the definition can allow.
    scene.namespace.apply(&[definition(&owner, &name, &json!({"userDefined": true}))]).await.unwrap();
    assert_eq!(reason(&judged(&scene, &name).await), "True Accepted");
    says(&scene, ("destination", DESTINATION), "Stalled", "AddressForbidden").await;
    let allowed = definition(&owner, &name, &json!({"userDefined": true, "denyPrivateNetworks": false}));
    scene.namespace.apply(std::slice::from_ref(&allowed)).await.unwrap();
    says(&scene, ("destination", DESTINATION), "Ready", "CheckSucceeded").await;
    says(&scene, ("mapping", MAPPING), "Ready", "Accepted").await;

    // It goes while a run is on, which ends as it began.
    scene.receiver.script(Script::next([Fault::Hold]));
    let run = scene.create(json!({})).await.unwrap();
    scene.receiver.holding(1).await.unwrap();
    scene.namespace.kubectl(&format!("delete destinationdefinition/{name}")).await.unwrap();
    says(&scene, ("destination", DESTINATION), "Ready", "UnknownDestinationType").await;
    scene.receiver.release();
    let ended = status(&scene.ended(&run).await.unwrap());
    assert_eq!(ended.phase, Some(SyncPhase::Succeeded), "{ended:?}");
    assert_eq!(scene.taken(), scene.expected("upsert", "true").await.unwrap());
    says(&scene, ("mapping", MAPPING), "Ready", "DestinationNotReady").await;

    // Nothing was lost: it comes back, and so do the changes.
    scene.sql("UPDATE customers SET score = 7777 WHERE id = 7").await.unwrap();
    scene.namespace.apply(&[allowed]).await.unwrap();
    says(&scene, ("mapping", MAPPING), "Ready", "Accepted").await;
    scene.succeed(json!({})).await.unwrap();
    assert_eq!(scene.taken(), scene.expected("upsert", "id = 7").await.unwrap());
    let text = scene.namespace.kubectl("get bfdef").await.unwrap();
    let line = text.lines().find(|line| line.starts_with(&name)).unwrap().split_whitespace().collect::<Vec<_>>();
    assert_eq!(&line[1..4], ["Webhook", "1", "True"], "{text}");
    scene.namespace.kubectl(&format!("delete destinationdefinition/{name}")).await.unwrap();
    scene.end();
}

#[tokio::test]
async fn a_built_in_name_and_an_editor_are_refused() {
    let scene = Scene::with_customers("wrong-shadow", 1).await.unwrap();
    let shadow = definition(&Owner::of(&scene).await, "webhook", &json!({"userDefined": true}));
    scene.namespace.apply(&[shadow]).await.unwrap();
    let status_of = judged(&scene, "webhook").await;
    scene.namespace.kubectl("delete destinationdefinition/webhook").await.unwrap();
    assert_eq!(reason(&status_of), "False ReservedName");
    // Who may edit everything else in a namespace may read definitions, and not write them.
    let account = format!("--as=system:serviceaccount:{}:editor --as-group=nobody", scene.namespace.name);
    let namespace = &scene.namespace;
    let editor = format!("create rolebinding editor --clusterrole=edit --serviceaccount={}:editor", namespace.name);
    namespace.kubectl(&editor).await.unwrap();
    assert_eq!(
        namespace.kubectl(&format!("auth can-i create mappings.backflow.dev {account}")).await.unwrap().trim(),
        "yes"
    );
    let refused = namespace
        .kubectl(&format!("auth can-i create destinationdefinitions.backflow.dev {account}"))
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("no"), "{refused}");
    scene.end();
}
