//! A wrong world: `Ready=False` with its reason, and Ready again by itself when the world is mended.
//!
//! All cases of a test fail and recover together: what fails is tried again after 30 s.

use std::net::SocketAddr;
use std::sync::Arc;

use backflow_tests::cluster::manifests::{SOURCE, key_of, object, secret};
use backflow_tests::cluster::{Cluster, Operator, Scene};
use backflow_tests::postgres::{PostgresServer, ServerTls};
use serde_json::{Value, json};

use super::says;

/// The scene's Source under another name, changed.
fn source(scene: &Scene, name: &str, change: impl Fn(&mut Value)) -> Value {
    let mut source = scene.source();
    source["metadata"]["name"] = json!(name);
    change(&mut source["spec"]);
    source
}

fn model(name: &str, spec: Value) -> Value {
    let mut all = json!({"sourceRef": {"name": SOURCE}, "primaryKey": ["id"]});
    all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    object("Model", name, all)
}

/// A name of the namespace for this machine.
fn service(name: &str, target: SocketAddr) -> [Value; 2] {
    let ports = json!([{"port": target.port()}]);
    [
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"clusterIP": "None", "ports": ports}}),
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": format!("{name}-1"), "labels": {"kubernetes.io/service-name": name}},
            "ports": ports, "endpoints": [{"addresses": [target.ip().to_string()]}],
        }),
    ]
}

#[tokio::test]
async fn sources_and_destinations_say_what_is_wrong_and_recover_by_themselves() {
    let cluster = Cluster::connect().await.unwrap();
    Operator::ensure(&cluster).await.unwrap();
    let server = Arc::new(PostgresServer::start_at(cluster.host, ServerTls::Off).await.unwrap());
    let scene = Scene::on(server, &cluster, "wrong-sources", 3).await.unwrap();
    let authority = scene.server.authority().certificate().to_owned();
    scene.server.role("poor").await.unwrap();
    let poor = scene.server.password("poor").unwrap();
    let secrets = [
        secret("wrong", &[("password", "wrong"), ("token", "wrong")]),
        secret("keyless", &[("other", "x")]),
        secret("poor", &[("password", &poor)]),
        secret("authority", &[("ca.crt", &authority)]),
    ];
    scene.namespace.apply(&secrets).await.unwrap();
    let password = |name: &'static str| move |spec: &mut Value| spec["postgres"]["password"] = key_of(name, "password");
    let tls = |mode: &'static str| {
        move |spec: &mut Value| spec["postgres"]["tls"] = json!({"mode": mode, "ca": key_of("authority", "ca.crt")})
    };
    let missing_database = format!("{}_later", scene.database);
    let mut hook = scene.destination();
    let mut named = |name: &str, change: &dyn Fn(&mut Value)| {
        hook = scene.destination();
        hook["metadata"]["name"] = json!(name);
        change(&mut hook["spec"]);
        hook.clone()
    };
    let port = scene.receiver.address().port();
    let wrong = [
        source(&scene, "wrong-password", password("wrong")),
        source(&scene, "no-secret", password("absent")),
        source(&scene, "no-key", password("keyless")),
        source(&scene, "no-host", |spec| spec["postgres"]["host"] = json!("late")),
        source(&scene, "no-port", |spec| spec["postgres"]["port"] = json!(1)),
        source(&scene, "no-tls", |spec| spec["postgres"]["tls"] = json!({"mode": "Require"})),
        source(&scene, "no-proof", tls("VerifyCa")),
        source(&scene, "no-database", |spec| spec["postgres"]["database"] = json!(missing_database)),
        source(&scene, "no-schema", |spec| {
            spec["postgres"]["user"] = json!("poor");
            password("poor")(spec);
        }),
        source(&scene, "no-node", |spec| spec["worker"] = json!({"nodeSelector": {"backflow.dev/nowhere": "yes"}})),
        named("no-token", &|spec| spec["secrets"]["authToken"] = key_of("absent", "token")),
        named("wrong-token", &|spec| spec["secrets"]["authToken"] = key_of("wrong", "token")),
        named("no-receiver", &|spec| spec["settings"]["url"] = json!(format!("http://late-hook:{port}/hook"))),
        named("forbidden", &|spec| spec["settings"]["url"] = json!("http://127.0.0.1:8080/hook")),
    ];
    scene.namespace.apply(&wrong).await.unwrap();
    for (name, reason, cure) in [
        ("wrong-password", "AuthenticationFailed", "password"),
        ("no-secret", "SecretNotFound", "absent"),
        ("no-key", "SecretKeyNotFound", "keyless"),
        ("no-host", "HostNotFound", "late"),
        ("no-port", "ConnectionFailed", "port"),
        ("no-tls", "TlsFailed", "tls"),
        ("no-proof", "TlsFailed", "tls"),
        ("no-database", "DatabaseNotFound", "later"),
        ("no-schema", "StateSchemaMissing", "_backflow"),
        ("no-node", "PodUnschedulable", "node"),
    ] {
        let message = says(&scene, ("source", name), "Ready", reason).await;
        assert!(message.to_lowercase().contains(cure), "{name}: {message}");
    }
    for (name, kind, reason, cure) in [
        ("no-token", "Ready", "SecretNotFound", "absent"),
        ("wrong-token", "Ready", "DestinationUnauthorized", "secret"),
        ("no-receiver", "Ready", "DestinationUnreachable", "late-hook"),
        ("forbidden", "Stalled", "AddressForbidden", "address"),
    ] {
        let message = says(&scene, ("destination", name), kind, reason).await;
        assert!(message.to_lowercase().contains(cure), "{name}: {message}");
    }

    // The world is mended; nobody touches the objects of the first kind.
    scene.server.restart_with(ServerTls::Good).unwrap();
    let credentials: std::collections::BTreeMap<_, _> = scene.credentials().unwrap().into_iter().collect();
    let (right, token) = (&credentials["password"], &credentials["token"]);
    let mut cures = vec![
        secret("absent", &[("password", right), ("token", token)]),
        secret("keyless", &[("password", right)]),
        secret("wrong", &[("password", right), ("token", token)]),
    ];
    cures.extend(service("late", SocketAddr::from((cluster.host, scene.server.port()))));
    cures.extend(service("late-hook", scene.receiver.address()));
    scene.namespace.apply(&cures).await.unwrap();
    let owner = &scene.database;
    scene.server.exec("postgres", &format!("CREATE DATABASE {missing_database} OWNER {owner}")).await.unwrap();
    scene.server.exec(owner, "CREATE SCHEMA _backflow; GRANT ALL ON SCHEMA _backflow TO poor").await.unwrap();
    scene.server.exec(owner, &format!("GRANT ALL ON SCHEMA _backflow TO {owner}")).await.unwrap();
    // These are mended in their manifests.
    scene
        .namespace
        .apply(&[source(&scene, "no-port", |_| {}), source(&scene, "no-node", |_| {}), named("forbidden", &|_| {})])
        .await
        .unwrap();
    for name in [
        "wrong-password",
        "no-secret",
        "no-key",
        "no-host",
        "no-port",
        "no-tls",
        "no-proof",
        "no-database",
        "no-schema",
        "no-node",
    ] {
        says(&scene, ("source", name), "Ready", "CheckSucceeded").await;
    }
    for name in ["no-receiver", "forbidden", "no-token", "wrong-token"] {
        says(&scene, ("destination", name), "Ready", "CheckSucceeded").await;
    }
    scene.end();
}

#[tokio::test]
async fn models_and_mappings_say_what_is_missing_and_recover_by_themselves() {
    let scene = Scene::with_customers("wrong-models", 3).await.unwrap();
    scene.sql("CREATE TABLE plain (id bigint, name text)").await.unwrap();
    scene.server.exec(&scene.database, "CREATE TABLE secluded (id bigint)").await.unwrap();
    let mapping = |name: &str, model: &str, destination: &str| {
        let mut mapping = scene.mapping();
        mapping["metadata"]["name"] = json!(name);
        mapping["spec"]["modelRef"]["name"] = json!(model);
        mapping["spec"]["destinationRef"]["name"] = json!(destination);
        mapping
    };
    let mut unknown = mapping("unknown-column", "known", "hook");
    unknown["spec"]["fields"] = json!({"sku": {"column": "code"}});
    scene
        .namespace
        .apply(&[
            scene.source(),
            scene.destination(),
            model("no-table", json!({"table": "later"})),
            model("no-column", json!({"sql": "select id, code from plain"})),
            model("no-key", json!({"table": "plain", "primaryKey": ["code"]})),
            model("no-grant", json!({"table": "secluded"})),
            model("wrong-sql", json!({"sql": "selec id from plain"})),
            model("semicolon", json!({"sql": "select id from plain;"})),
            model("two", json!({"sql": "select id from plain; drop table plain"})),
            model("known", json!({"table": "plain"})),
            mapping("no-model", "absent", "hook"),
            mapping("no-destination", "known", "absent"),
            unknown,
        ])
        .await
        .unwrap();
    for (name, kind, reason, cure) in [
        ("no-table", "Ready", "TableNotFound", "table does not exist"),
        ("no-column", "Ready", "ColumnNotFound", "code"),
        ("no-key", "Ready", "PrimaryKeyMissing", "code"),
        ("no-grant", "Ready", "PermissionDenied", "secluded"),
        ("wrong-sql", "Stalled", "SqlError", "sql"),
        ("semicolon", "Stalled", "SqlError", "semicolon"),
        ("two", "Stalled", "MultipleStatements", "semicolon"),
    ] {
        let message = says(&scene, ("model", name), kind, reason).await;
        assert!(message.to_lowercase().contains(cure), "{name}: {message}");
    }
    for (name, reason, cure) in [
        ("no-model", "ModelNotFound", "absent"),
        ("no-destination", "DestinationNotFound", "absent"),
        ("unknown-column", "UnknownColumn", "id, name"),
    ] {
        let message = says(&scene, ("mapping", name), "Ready", reason).await;
        assert!(message.contains(cure), "{name}: {message}");
    }
    assert_eq!(
        scene.server.query(&scene.database, "SELECT count(*)::text FROM plain").await.unwrap()[0][0].as_deref(),
        Some("0")
    );

    scene.sql("CREATE TABLE later (id bigint); ALTER TABLE plain ADD COLUMN code text").await.unwrap();
    scene.server.exec(&scene.database, &format!("GRANT SELECT ON secluded TO {}", scene.database)).await.unwrap();
    let mut absent = scene.destination();
    absent["metadata"]["name"] = json!("absent");
    scene
        .namespace
        .apply(&[
            absent,
            model("absent", json!({"table": "plain"})),
            model("wrong-sql", json!({"sql": "select id from plain"})),
            model("semicolon", json!({"sql": "select id from plain"})),
            model("two", json!({"sql": "select id from plain"})),
        ])
        .await
        .unwrap();
    for name in ["no-table", "no-column", "no-key", "no-grant", "wrong-sql", "semicolon", "two"] {
        says(&scene, ("model", name), "Ready", "CheckSucceeded").await;
    }
    for name in ["no-model", "no-destination", "unknown-column"] {
        says(&scene, ("mapping", name), "Ready", "Accepted").await;
    }
    scene.end();
}
