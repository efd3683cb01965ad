//! A definition that came with its plan is bound as the built-in ones are: to its hosts, whatever settings say, and to public addresses.

use serde_json::{Value, json};

use super::*;
use crate::open;

/// The definition of a tool whose address is a setting.
fn spec(hosts: Value) -> Value {
    json!({
        "version": 1,
        "settings": {"type": "object", "required": ["url"], "properties": {
            "url": {"type": "string", "pattern": "^https?://[a-z0-9.:-]+$", "description": "Where."},
        }},
        "auth": {"choose": [{"id": "none", "type": "none", "description": "Without."}]},
        "http": {"baseUrl": "${settings.url}", "hosts": hosts},
        "limits": {"concurrency": {"max": 1}},
        "actions": {"send": {
            "title": "Send", "description": "Sends records.", "syncModes": ["Upsert"], "idempotent": true,
            "fields": {"type": "object", "additionalProperties": true}, "batch": {"maxRecords": 10},
            "operations": [{
                "for": ["upsert"], "results": {"mode": "whole"},
                "request": {"method": "POST", "path": "/records", "item": {"key": "${rec.key}", "data": "${f}"}, "body": {"records": "$items"}},
            }],
        }},
    })
}

fn plan(hosts: Value, url: &str, local: bool) -> DestinationPlan {
    DestinationPlan {
        name: "crm".into(),
        kind: "acme".into(),
        definition: Some(spec(hosts)),
        definition_version: 1,
        auth: "none".into(),
        settings: BTreeMap::from([("url".to_owned(), json!(url))]),
        secrets: BTreeMap::new(),
        limits: DestinationLimits::default(),
        allow_loopback: local,
    }
}

fn opened(plan: &DestinationPlan) -> Result<Arc<dyn Sink>, Failure> {
    open(plan, &mapping(), &Fixed(&[]), None, watch::channel(None).1)
}

#[tokio::test]
async fn it_delivers_as_a_built_in_one_does() {
    let server = always(Answer::json(200, &json!({}))).await;
    let plan = plan(json!({"allow": ["127.0.0.1"]}), &server.url, true);
    let delivery = opened(&plan).expect("opens").deliver(&records(2)).await;
    assert_eq!(marks(&delivery), "+ +");
    assert_eq!(server.received().iter().map(numbers).collect::<Vec<_>>(), [[0, 1]]);
    // The next run of the same program reads nothing again.
    let known = backflow_definitions::planned(&plan).expect("it is known");
    assert!(std::ptr::eq(known, backflow_definitions::planned(&plan.clone()).expect("it is known")));
}

#[tokio::test]
async fn it_calls_its_hosts_and_public_addresses_alone() {
    let listed = || json!({"allow": ["crm.example.com", "10.0.0.7"]});
    for (hosts, url, admitted) in [
        (listed(), "https://crm.example.com", true),
        (listed(), "https://evil.example.com", false),
        (listed(), "http://crm.example.com", false),
        (listed(), "https://10.0.0.7", false),
        (json!({"allow": ["10.0.0.7"], "denyPrivateNetworks": false}), "https://10.0.0.7", true),
        (json!({"allow": ["127.0.0.1"], "denyPrivateNetworks": false}), "https://127.0.0.1", false),
        (json!({"userDefined": true}), "http://10.0.0.7", false),
        (json!({"userDefined": true, "denyPrivateNetworks": false}), "http://10.0.0.7", true),
        (json!({"userDefined": true, "denyPrivateNetworks": false}), "http://169.254.169.254", false),
    ] {
        let code = opened(&plan(hosts.clone(), url, false)).err().map(|failure| failure.code);
        assert_eq!(code, (!admitted).then_some(Code::AddressForbidden), "{url} with {hosts}");
    }
}

#[tokio::test]
async fn what_this_program_does_not_understand_is_a_plan_that_it_cannot_read() {
    let mut plan = plan(json!({"allow": ["crm.example.com"]}), "https://crm.example.com", false);
    plan.definition = Some(json!({"version": 1, "later": true}));
    let failure = opened(&plan).err().expect("it is not understood");
    assert_eq!(failure.code, Code::PlanInvalid);
    assert!(failure.message.contains("the definition \"acme\" cannot be used"), "{failure}");
}
