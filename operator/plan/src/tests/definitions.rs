//! Definitions that users supply: what is found, and what a plan carries of them.

use std::sync::Arc;

use backflow_yaml::{Node, read};
use serde_json::{Value, json};

use super::manifests::{self, named, plan_model, plan_source, read as typed, with};
use crate::{Definitions, Parts, Place, definition, destination, mapping};

fn acme() -> Value {
    json!({
        "version": 3,
        "settings": {"type": "object", "properties": {"region": {"type": "string", "enum": ["us", "eu"], "description": "Where."}}},
        "auth": {"choose": [{"id": "none", "type": "none", "description": "Without."}]},
        "http": {"baseUrl": "https://crm.example.com", "hosts": {"allow": ["crm.example.com"]}},
        "limits": {"concurrency": {"max": 4}},
        "actions": {"upsert": {
            "title": "Upsert", "description": "Sends records.", "syncModes": ["Upsert"], "idempotent": true,
            "fields": {"type": "object", "properties": {
                "id": {"type": "integer", "description": "Key."},
                "zone": {"type": "string", "x-requiredWhen": "settings.?region.orValue('') == 'eu'", "description": "Zone."},
            }},
            "batch": {"maxRecords": 10},
            "operations": [{
                "for": ["upsert"], "results": {"mode": "whole"},
                "request": {"method": "POST", "path": "/records", "item": "${f}", "body": {"records": "$items"}},
            }],
        }},
    })
}

/// The definitions of a user who made these; what cannot be read is there, and unfit.
fn supplied(all: &[(&str, Value)]) -> Definitions {
    let mut definitions = Definitions::default();
    for (name, spec) in all {
        definitions.put(*name, definition(name, &Node::from(spec)).ok().map(Arc::new));
    }
    definitions
}

#[test]
fn everything_that_is_wrong_is_found_at_its_place_and_with_its_path_in_the_manifest() {
    let manifest = "spec:\n  version: 1\n  settings: {type: object}\n  http: {baseUrl: https://a.example.com, hosts: {}}\n  limits: {}\n";
    let document = read(manifest).documents.remove(0);
    let found = definition("acme", document.get("spec").unwrap()).unwrap_err();
    let places: Vec<_> =
        found.iter().map(|found| (found.problem.line, found.problem.path.as_str(), found.code)).collect();
    assert_eq!(
        places,
        [
            (2, "spec.actions", "InvalidSpec"),
            (2, "spec.auth", "InvalidSpec"),
            (4, "spec.http.hosts", "InvalidSpec"),
            (5, "spec.limits.concurrency", "InvalidSpec"),
        ]
    );
    let taken = definition("hubspot", &Node::from(&acme())).unwrap_err();
    assert_eq!((taken[0].code, taken[0].problem.path.as_str()), ("ReservedName", "metadata.name"));
}

#[test]
fn a_destination_finds_what_its_user_supplied_and_its_plan_carries_it() {
    let definitions = supplied(&[("acme", acme()), ("broken", json!({})), ("webhook", acme())]);
    let plan = |type_: &str| destination("crm", &typed(&json!({"type": type_})), &definitions, &Place::Cluster);
    let planned = plan("acme").unwrap();
    assert_eq!((planned.definition, planned.definition_version), (Some(acme()), 3));
    assert_eq!(named(plan("broken")), [("spec.type".to_owned(), "DefinitionNotReady".to_owned())]);
    let absent = plan("acne").unwrap_err().remove(0);
    assert_eq!(absent.code, "UnknownDestinationType");
    assert!(
        absent.message.contains("did you mean \"acme\"?") && absent.message.contains("DestinationDefinition"),
        "{absent:?}"
    );
    // A built-in name means the built-in definition, whatever there is beside it.
    let hook = destination("hook", &typed(&manifests::destination()), &definitions, &Place::Cluster).unwrap();
    assert_eq!(hook.definition, None);
}

#[test]
fn a_mapping_is_judged_by_it_and_bound_to_its_being_supplied() {
    let definitions = supplied(&[("acme", acme())]);
    let (source, model) = (plan_source(&manifests::source()).unwrap(), plan_model(&manifests::model()).unwrap());
    let plan = |region: &str, changes: Value| {
        let spec = typed(&json!({"type": "acme", "settings": {"region": region}}));
        let destination = destination("crm", &spec, &definitions, &Place::Cluster).unwrap();
        let parts = Parts {
            source: &source,
            model: &model,
            destination: &destination,
            definitions: &definitions,
            columns: None,
        };
        let manifest = with(with(manifests::mapping(), json!({"action": "upsert", "syncMode": "Upsert"})), changes);
        mapping("shop", "crm", &typed(&manifest), parts)
    };
    let planned = plan("us", json!({})).unwrap();
    assert_eq!(planned.identity["destination.definition"], "supplied");
    assert_eq!(named(plan("us", json!({"action": "upsrt"}))), [("spec.action".to_owned(), "UnknownAction".to_owned())]);
    // What a field must be depends on the Destination's settings.
    let missing = plan("eu", json!({})).unwrap_err().remove(0);
    assert!(missing.message.contains("needs the field zone"), "{missing:?}");
    assert!(plan("eu", json!({"fields": {"zone": {"value": "eu-1"}}})).is_ok());
}
