//! No field is accepted and ignored: each one of the CRDs changes the plan, or is answered by a finding, or is the controller's.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::manifests::{self, plan_destination, plan_mapping, plan_model, plan_source, read, with};
use crate::Finding;

/// What becomes of a field.
enum Fate {
    /// With these changes of the manifest, the plan is another.
    Planned(Value),
    /// With these, there is this finding.
    Refused(Value, &'static str, &'static str),
    /// The controller reads it: when and where a run starts, and in what pod. Its own tests prove it.
    Controller,
}
use Fate::{Controller, Planned, Refused};

/// The fields of a kind's spec, as the CRD names them. Below a `Refused` one nothing needs to be named.
fn declared(kind: &str) -> BTreeSet<String> {
    let crds = backflow_crds::manifest::crds();
    let crd = crds.iter().find(|crd| crd.spec.names.kind == kind).unwrap();
    let schema = serde_json::to_value(crd.spec.versions[0].schema.as_ref().unwrap()).unwrap();
    let mut found = BTreeSet::new();
    leaves("", &schema["openAPIV3Schema"]["properties"]["spec"], &mut found);
    assert!(!found.is_empty());
    found
}

fn leaves(path: &str, schema: &Value, found: &mut BTreeSet<String>) {
    let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    if let Some(properties) = schema["properties"].as_object() {
        for (name, member) in properties {
            leaves(&join(name), member, found);
        }
    } else if schema["additionalProperties"]["properties"].is_object() {
        leaves(&join("*"), &schema["additionalProperties"], found);
    } else if schema["items"]["properties"].is_object() {
        leaves(&join("*"), &schema["items"], found);
    } else {
        found.insert(path.to_owned());
    }
}

fn prove(kind: &str, base: &Value, fates: &[(&str, Fate)], plan: impl Fn(&Value) -> Result<Value, Vec<Finding>>) {
    let usual = plan(base).unwrap();
    for (field, fate) in fates {
        match fate {
            Planned(changes) => {
                let manifest = with(base.clone(), changes.clone());
                assert_ne!(
                    plan(&manifest).unwrap_or_else(|found| panic!("{field}: {found:?}")),
                    usual,
                    "{kind} {field}"
                );
            }
            Refused(changes, path, code) => {
                let found = plan(&with(base.clone(), changes.clone())).unwrap_err();
                let named = found.iter().any(|finding| finding.path == *path && finding.code == *code);
                assert!(named, "{kind} {field}: {found:?}");
            }
            Controller => {}
        }
    }
    let covers =
        |field: &String| fates.iter().any(|(known, _)| field == known || field.starts_with(&format!("{known}.")));
    let fields = declared(kind);
    let forgotten: Vec<&String> = fields.iter().filter(|field| !covers(field)).collect();
    assert!(forgotten.is_empty(), "{kind}: nobody says what becomes of {forgotten:?}");
    let all: BTreeMap<&str, ()> = fates.iter().map(|(field, _)| (*field, ())).collect();
    let exists = |known: &str| fields.iter().any(|field| field == known || field.starts_with(&format!("{known}.")));
    let unknown: Vec<&&str> = all.keys().filter(|known| !exists(known)).collect();
    assert!(unknown.is_empty(), "{kind} has no field {unknown:?}");
}

fn json_of<T: serde::Serialize>(planned: Result<T, Vec<Finding>>) -> Result<Value, Vec<Finding>> {
    planned.map(|plan| serde_json::to_value(plan).unwrap())
}

fn key(name: &str) -> Value {
    json!({"secretKeyRef": {"name": name, "key": "k"}})
}

/// State in this store.
fn store(member: &str, store: Value) -> Value {
    json!({"state": {"schema": null, "store": {member: store}}})
}

#[test]
fn every_field_of_a_source_does_something() {
    let certificate = |member: &str| {
        json!({"postgres": {"tls": {"clientCertificate": key(if member == "certificate" { "a" } else { "b" }),
            "clientKey": key("c")}}})
    };
    let other = |member: &str, spec: Value| json!({"postgres": null, member: spec});
    let fates = [
        ("postgres.host", Planned(json!({"postgres": {"host": "other"}}))),
        ("postgres.port", Planned(json!({"postgres": {"port": 5433}}))),
        ("postgres.database", Planned(json!({"postgres": {"database": "other"}}))),
        ("postgres.user", Planned(json!({"postgres": {"user": "other"}}))),
        ("postgres.password", Planned(json!({"postgres": {"password": key("p")}}))),
        ("postgres.tls.mode", Planned(json!({"postgres": {"tls": {"mode": "Disable"}}}))),
        ("postgres.tls.ca", Planned(json!({"postgres": {"tls": {"ca": key("ca")}}}))),
        ("postgres.tls.clientCertificate", Planned(certificate("certificate"))),
        ("postgres.tls.clientKey", Planned(certificate("key"))),
        // Field by field in `cloud`.
        ("snowflake", Planned(other("snowflake", super::cloud::snowflake()))),
        ("bigquery", Planned(other("bigquery", super::cloud::bigquery()))),
        ("redshift", Planned(other("redshift", super::cloud::redshift()))),
        ("databricks", Planned(other("databricks", super::cloud::databricks()))),
        // In `servers`.
        ("clickhouse", Planned(other("clickhouse", super::servers::server()))),
        ("mysql", Planned(other("mysql", super::servers::server()))),
        ("azureSql", Planned(other("azureSql", super::servers::azure_sql()))),
        ("sqlite", Refused(other("sqlite", json!({"path": "shop.db"})), "spec.sqlite", "LocalOnly")),
        ("state.schema", Planned(json!({"state": {"schema": "elsewhere"}}))),
        ("state.store.s3.bucket", Planned(store("s3", json!({"bucket": "states"})))),
        ("state.store.s3.prefix", Planned(store("s3", json!({"bucket": "states", "prefix": "a/b"})))),
        ("state.store.s3.region", Planned(store("s3", json!({"bucket": "states", "region": "eu-west-1"})))),
        (
            "state.store.s3.endpoint",
            Planned(store("s3", json!({"bucket": "states", "endpoint": "https://minio:9000"}))),
        ),
        (
            "state.store.s3.accessKeyId",
            Planned(store("s3", json!({"bucket": "states", "accessKeyId": key("i"), "secretAccessKey": key("s")}))),
        ),
        (
            "state.store.s3.secretAccessKey",
            Refused(
                store("s3", json!({"bucket": "states", "secretAccessKey": key("s")})),
                "spec.state.store.s3",
                "InvalidSpec",
            ),
        ),
        ("state.store.gcs", Planned(store("gcs", json!({"bucket": "states", "serviceAccountKey": key("s")})))),
        (
            "state.store.azure",
            Planned(store("azure", json!({"account": "acc", "container": "con", "accountKey": key("s")}))),
        ),
        ("state.store.volume.claimName", Planned(store("volume", json!({"claimName": "states"})))),
        ("diff", Planned(json!({"diff": "Pushdown"}))),
        ("maxConcurrentSyncs", Controller),
        ("worker", Controller),
        ("suspend", Controller),
    ];
    prove("Source", &manifests::source(), &fates, |manifest| json_of(plan_source(manifest)));
}

#[test]
fn every_field_of_a_model_does_something() {
    let fates = [
        ("sourceRef.name", Controller),
        ("sql", Planned(json!({"sql": "select 1 as id"}))),
        ("table", Planned(json!({"sql": null, "table": "public.customers"}))),
        ("primaryKey", Planned(json!({"primaryKey": ["email"]}))),
        ("suspend", Controller),
    ];
    prove("Model", &manifests::model(), &fates, |manifest| json_of(plan_model(manifest)));
}

#[test]
fn every_field_of_a_destination_does_something() {
    let fates = [
        ("type", Refused(json!({"type": "abacus"}), "spec.type", "UnknownDestinationType")),
        ("auth", Planned(json!({"auth": "none"}))),
        ("settings", Planned(json!({"settings": {"method": "PUT"}}))),
        ("secrets", Planned(json!({"secrets": {"authToken": key("t")}}))),
        ("limits.requestsPerSecond", Planned(json!({"limits": {"requestsPerSecond": 8}}))),
        ("limits.concurrency", Planned(json!({"limits": {"concurrency": 2}}))),
        ("maxConcurrentSyncs", Planned(json!({"maxConcurrentSyncs": 2}))),
        ("suspend", Controller),
    ];
    prove("Destination", &manifests::destination(), &fates, |manifest| json_of(plan_destination(manifest)));
}

#[test]
fn every_field_of_a_mapping_does_something() {
    let field = |field: Value| json!({"fields": {"x": field}});
    let column = |member: &str, value: Value| field(json!({"column": "id", member: value}));
    let object = |member: &str, value: Value| field(json!({"object": {"a": {member: value}}}));
    let items = |of: Value, each: Value| field(json!({"items": {"of": of, "each": {"a": each}}}));
    let schedule = |rule: Value| Planned(json!({"schedule": with(json!({"interval": null}), rule)}));
    let fates = [
        ("modelRef.name", Controller),
        ("destinationRef.name", Controller),
        ("action", Refused(json!({"action": "dance"}), "spec.action", "UnknownAction")),
        ("syncMode", Planned(json!({"syncMode": "Upsert"}))),
        ("records", Planned(json!({"syncMode": null, "records": ["Added"]}))),
        ("config", Planned(json!({"config": {"matchBy": "id"}}))),
        ("fields.*.column", Planned(field(json!({"column": "email"})))),
        ("fields.*.value", Planned(field(json!({"value": 1})))),
        ("fields.*.onNull", Planned(json!({"fields": {"id": {"onNull": "Reject"}}}))),
        ("fields.*.template", Planned(field(json!({"template": "{{ id }}"})))),
        ("fields.*.cel", Planned(field(json!({"cel": "record.id"})))),
        ("fields.*.default", Planned(column("default", json!(0)))),
        ("fields.*.map", Planned(column("map", json!({"a": "b"})))),
        ("fields.*.parse", Planned(column("parse", json!("Json")))),
        ("fields.*.object.*.column", Planned(object("column", json!("id")))),
        ("fields.*.object.*.value", Planned(object("value", json!([])))),
        ("fields.*.object.*.template", Planned(object("template", json!("{{ id }}")))),
        ("fields.*.object.*.cel", Planned(object("cel", json!("record.id")))),
        (
            "fields.*.object.*.onNull",
            Refused(object("onNull", json!("Omit")), "spec.fields.x.object.a", "InvalidField"),
        ),
        ("fields.*.object.*.default", Refused(object("default", json!(1)), "spec.fields.x.object.a", "InvalidField")),
        ("fields.*.object.*.map", Refused(object("map", json!({})), "spec.fields.x.object.a", "InvalidField")),
        ("fields.*.object.*.parse", Refused(object("parse", json!("Json")), "spec.fields.x.object.a", "InvalidField")),
        ("fields.*.items.of", Planned(items(json!({"column": "id", "parse": "Json"}), json!({"column": "b"})))),
        ("fields.*.items.each", Planned(items(json!({"column": "id"}), json!({"cel": "item.b", "onNull": "Omit"})))),
        ("include.columns", Planned(json!({"include": {"columns": ["*"]}}))),
        ("include.except", Planned(json!({"include": {"columns": ["*"], "except": ["email"]}}))),
        ("include.into", Planned(json!({"include": {"columns": ["*"], "into": "properties"}}))),
        ("where", Planned(json!({"where": "id > 1"}))),
        ("schedule.interval", Planned(json!({"schedule": {"interval": "1h"}}))),
        ("schedule.dayAndTime", schedule(json!({"dayAndTime": {"days": ["Mon"], "times": ["08:00"]}}))),
        ("schedule.cron", schedule(json!({"cron": {"expressions": ["0 * * * *"]}}))),
        ("schedule.after", schedule(json!({"after": {"mappingRef": {"name": "other"}}}))),
        ("schedule.manual", schedule(json!({"manual": {}}))),
        ("schedule.jitter", Planned(json!({"schedule": {"jitter": "30s"}}))),
        ("schedule.startingDeadline", Planned(json!({"schedule": {"startingDeadline": "1h"}}))),
        ("suspend", Controller),
        ("deletes.maxPercent", Planned(json!({"deletes": {"maxPercent": 5}}))),
        ("deletes.maxRows", Planned(json!({"deletes": {"maxRows": 5}}))),
        ("deletes.ignoreBelow", Planned(json!({"deletes": {"ignoreBelow": 5}}))),
        ("deletes.action", Planned(json!({"deletes": {"action": "Fail"}}))),
        ("onMappingChange", Planned(json!({"onMappingChange": "Keep"}))),
        ("stateKey", Planned(json!({"stateKey": "growth/crm"}))),
        ("retry.maxAttempts", Planned(json!({"retry": {"maxAttempts": 2}}))),
        ("retry.window", Planned(json!({"retry": {"window": "1m"}}))),
        ("runs", Controller),
        ("worker.scratch", Planned(json!({"worker": {"scratch": "1Gi"}}))),
        ("worker", Controller),
    ];
    prove("Mapping", &manifests::mapping(), &fates, |manifest| {
        let schedule = crate::schedule(&read(&manifest["schedule"]))?;
        let plan = json_of(plan_mapping(manifest))?;
        Ok(json!([plan, format!("{schedule:?}")]))
    });
}

#[test]
fn every_field_of_a_sync_does_something() {
    let base = json!({"mappingRef": {"name": "crm"}});
    let replay = json!({"mode": "Replay", "replay": {"keys": ["1"]}});
    let fates = [
        ("mappingRef.name", Controller),
        ("modelRef.name", Controller),
        (
            "forget",
            Planned(
                json!({"mappingRef": null, "mode": "Forget", "forget": {"sourceRef": {"name": "warehouse"}, "stateKey": "a/b"}}),
            ),
        ),
        ("mode", Planned(json!({"mode": "Full"}))),
        // For information, and for the queue.
        ("trigger", Controller),
        ("replay", Planned(replay)),
        ("test.key", Planned(json!({"mode": "Test", "test": {"key": "42"}}))),
        (
            "limit",
            Planned(json!({"mappingRef": null, "modelRef": {"name": "customers"}, "mode": "Preview", "limit": 3})),
        ),
        ("approveDeletes", Planned(json!({"approveDeletes": 5}))),
        ("retryRejected", Planned(json!({"retryRejected": true}))),
        ("adoptState", Planned(json!({"adoptState": true}))),
        ("confirm", Planned(json!({"confirm": true}))),
        ("cancel", Controller),
    ];
    prove("Sync", &base, &fates, |manifest| json_of(super::runs::plan(manifest)));
}

#[test]
fn constants_may_be_null() {
    let planned = plan_mapping(&with(manifests::mapping(), json!({"fields": {"x": {"value": null}}}))).unwrap();
    assert!(planned.fields.contains_key("x"), "{planned:?}");
}
