//! Hashes that live in states and statuses. Another value for the same manifest would send every row again, or stop every Mapping,
//! on the day of an upgrade: the values here never change.

use serde_json::{Value, json};

use super::manifests::{self, named, plan_between, plan_mapping, plan_source, read, with};
use crate::{Place, identity_fingerprint, state_key};

fn fingerprint(changes: Value) -> String {
    plan_mapping(&with(manifests::mapping(), changes)).unwrap().fingerprint
}

fn everything() -> Value {
    json!({
        "fields": {
            "properties.firstname": {"column": "first_name", "onNull": "Omit"},
            "properties.ref": {"column": "ref", "onNull": "Reject"},
            "tags": {"value": {"b": [1, 2.5, null, true], "a": "ü"}},
        },
        "include": {"columns": ["*"], "except": ["email"], "into": "properties.all"},
        "where": "country <> 'XX'",
    })
}

#[test]
fn fingerprints_of_mappings_never_change() {
    assert_eq!(fingerprint(json!({})), "7cdbfdd8f6f718bb929535d3ce45a5be");
    assert_eq!(fingerprint(everything()), "b98c73a76f78d723cacfff32092fbff0");
}

#[test]
fn fingerprints_of_mappings_in_the_whole_language_never_change() {
    let everything = json!({
        "fields": {
            "a": {"template": "{{ id }}", "onNull": "Omit"},
            "b": {"cel": "record.id", "default": [1]},
            "c": {"column": "id", "parse": "Number", "map": {"1": "one", "0": null}},
            "d": {"object": {"e": {"column": "id"}, "f": {"value": 1}}},
            "g": {"items": {"of": {"column": "id", "parse": "Json"}, "each": {"h": {"cel": "item"}, "i": {"column": "i"}}}},
        },
    });
    assert_eq!(fingerprint(everything), "ed4fcb1dbad72c110b6b2b1fc6c21765");
}

#[test]
fn fingerprints_of_identities_never_change() {
    let identity = plan_mapping(&manifests::mapping()).unwrap().identity;
    assert_eq!(identity_fingerprint(&identity), "946679f759954e65aee901c7935075af");
}

#[test]
fn hashes_of_schedules_never_change() {
    let hash = |schedule: Value| crate::schedule(&read(&schedule)).unwrap().hash().to_owned();
    assert_eq!(hash(json!({"interval": "15m"})), "2c6faff3f08ec12c");
    let week = json!({"dayAndTime": {"days": ["Mon", "Fri"], "times": ["08:00"], "timeZone": "Europe/Berlin"}, "jitter": "30s"});
    assert_eq!(hash(week), "bd58582392b8c90b");
}

#[test]
fn what_makes_a_record_makes_the_fingerprint() {
    let usual = fingerprint(json!({}));
    for change in [
        json!({"fields": {"id": {"column": "email"}}}),
        json!({"fields": {"id": {"onNull": "Omit"}}}),
        json!({"fields": {"email": {"column": "email"}}}),
        json!({"fields": {"source": {"value": 1}}}),
        json!({"fields": {"id": {"default": 1}}}),
        json!({"fields": {"id": {"parse": "Number"}}}),
        json!({"fields": {"id": {"map": {"1": 2}}}}),
        json!({"fields": {"id": {"column": null, "template": "{{ id }}"}}}),
        json!({"fields": {"id": {"column": null, "cel": "record.id"}}}),
        json!({"include": {"columns": ["email"]}}),
        json!({"where": "id > 1"}),
    ] {
        assert_ne!(fingerprint(change.clone()), usual, "{change}");
    }
    assert_ne!(
        fingerprint(json!({"fields": {"x": {"value": 1}}})),
        fingerprint(json!({"fields": {"x": {"value": "1"}}}))
    );
}

#[test]
fn nothing_else_makes_it() {
    let usual = fingerprint(json!({}));
    for change in [
        json!({"syncMode": "Upsert"}),
        json!({"schedule": {"interval": "1h"}}),
        json!({"suspend": true}),
        json!({"deletes": {"maxPercent": 1, "action": "Fail"}}),
        json!({"onMappingChange": "Keep"}),
        json!({"stateKey": "growth/crm"}),
        json!({"retry": {"maxAttempts": 1, "window": "1m"}}),
        json!({"runs": {"deadline": "1h", "backoffLimit": 0}}),
        json!({"worker": {"scratch": "1Gi", "env": [{"name": "A", "value": "b"}]}}),
        // What is said is what is left out.
        json!({"fields": {"id": {"onNull": "Send"}}}),
    ] {
        assert_eq!(fingerprint(change.clone()), usual, "{change}");
    }
    let destination =
        with(manifests::destination(), json!({"settings": {"url": "https://other.example.com/", "method": "PUT"}}));
    let source = with(manifests::source(), json!({"postgres": {"host": "other"}}));
    assert_eq!(plan_between(&source, &destination, &manifests::mapping()).unwrap().fingerprint, usual);
}

#[test]
fn the_order_in_which_a_manifest_names_things_means_nothing() {
    let value = |text: &str| {
        let value: Value = serde_json::from_str(text).unwrap();
        fingerprint(json!({"fields": {"x": {"value": value}}}))
    };
    assert_eq!(
        value(r#"{"a": 1, "b": {"c": 2, "d": [{"e": 3, "f": 4}]}}"#),
        value(r#"{"b": {"d": [{"f": 4, "e": 3}], "c": 2}, "a": 1}"#)
    );
    assert_ne!(value("[1, 2]"), value("[2, 1]"));
}

#[test]
fn a_state_is_bound_to_account_action_and_database() {
    let identity = |source: Value, destination: Value| {
        let (source, destination) = (with(manifests::source(), source), with(manifests::destination(), destination));
        plan_between(&source, &destination, &manifests::mapping()).unwrap().identity
    };
    let usual = identity(json!({}), json!({}));
    let members: Vec<&str> = usual.keys().map(String::as_str).collect();
    assert_eq!(
        members,
        ["action", "destination.settings.url", "destination.type", "source", "source.database", "source.host"]
    );
    for (source, destination) in [
        (json!({"postgres": {"host": "other"}}), json!({})),
        (json!({"postgres": {"port": 5433}}), json!({})),
        (json!({"postgres": {"database": "other"}}), json!({})),
        (json!({}), json!({"settings": {"url": "https://example.com/other"}})),
    ] {
        assert_ne!(identity(source.clone(), destination.clone()), usual, "{source} {destination}");
    }
    // Other credentials, limits and manners reach the same rows and the same account.
    let key = json!({"secretKeyRef": {"name": "rotated", "key": "k"}});
    for (source, destination) in [
        (json!({"postgres": {"user": "other", "password": key, "tls": {"mode": "Require"}}}), json!({})),
        (json!({"maxConcurrentSyncs": 1, "worker": {"scratch": "1Gi"}}), json!({})),
        (json!({}), json!({"settings": {"method": "PUT"}, "secrets": {"authToken": key}})),
        (json!({}), json!({"limits": {"concurrency": 1}, "suspend": true})),
    ] {
        assert_eq!(identity(source.clone(), destination.clone()), usual, "{source} {destination}");
    }
}

#[test]
fn a_local_file_keeps_its_state_where_ever_it_lies() {
    let plan = |folder: &str| {
        let source =
            crate::source("s", &read(&json!({"sqlite": {"path": "shop.db"}})), &Place::Local(folder.into())).unwrap();
        let (model, destination) = (
            manifests::plan_model(&manifests::model()).unwrap(),
            manifests::plan_destination(&manifests::destination()).unwrap(),
        );
        let definitions = crate::Definitions::default();
        let parts = crate::Parts {
            source: &source,
            model: &model,
            destination: &destination,
            definitions: &definitions,
            columns: None,
        };
        (
            source.connection.clone(),
            crate::mapping("shop", "crm", &read(&manifests::mapping()), parts).unwrap().identity,
        )
    };
    assert_ne!(plan("/a").0, plan("/b").0);
    assert_eq!(plan("/a").1, plan("/b").1);
    assert_eq!(
        named(plan_source(&json!({"sqlite": {"path": "shop.db"}}))),
        [("spec.sqlite".into(), "LocalOnly".into())]
    );
}

#[test]
fn a_state_is_filed_under_its_key_or_its_mappings_name() {
    assert_eq!(state_key("shop", "crm", &read(&manifests::mapping())), "shop/crm");
    let named = with(manifests::mapping(), json!({"stateKey": "growth/crm"}));
    assert_eq!(state_key("shop", "crm", &read(&named)), "growth/crm");
    assert_eq!(plan_mapping(&named).unwrap().state_key, "growth/crm");
}
