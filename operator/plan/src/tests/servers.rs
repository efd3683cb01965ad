//! Warehouses that are a server: what their fields become, and what is refused.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::manifests::{self, named, plan_between, plan_source, with};

/// The members of a Source that name such a server.
const MEMBERS: [&str; 2] = ["clickhouse", "mysql"];

fn key(name: &str) -> Value {
    json!({"secretKeyRef": {"name": name, "key": "k"}})
}

/// A server with every field.
pub(super) fn server() -> Value {
    json!({"host": "db.internal", "port": 8123, "database": "shop", "user": "backflow", "password": key("p"),
        "tls": {"mode": "VerifyCa", "ca": key("ca"), "clientCertificate": key("c"), "clientKey": key("k")}})
}

fn source(member: &str, changes: Value) -> Value {
    json!({member: with(server(), changes)})
}

#[test]
fn every_field_of_a_server_does_something() {
    let changes = [
        json!({}),
        json!({"host": "other"}),
        json!({"port": null}),
        json!({"database": "other"}),
        json!({"user": "other"}),
        json!({"password": null}),
        json!({"tls": {"mode": "VerifyFull"}}),
        json!({"tls": {"mode": "Require"}}),
        json!({"tls": {"ca": null}}),
        json!({"tls": {"clientCertificate": null, "clientKey": null}}),
        json!({"tls": null}),
    ];
    let planned = |member: &str, changes: &Value| {
        serde_json::to_string(&plan_source(&source(member, changes.clone())).unwrap()).unwrap()
    };
    let plans: BTreeSet<String> =
        MEMBERS.iter().flat_map(|member| changes.iter().map(|change| planned(member, change))).collect();
    assert_eq!(plans.len(), changes.len() * MEMBERS.len());
}

#[test]
fn what_no_server_could_take_is_refused() {
    for member in MEMBERS {
        let off = json!({"tls": {"mode": "Disable"}});
        for (changes, path) in [
            (json!({"port": 65536}), format!("spec.{member}.port")),
            (json!({"tls": {"clientKey": null}}), format!("spec.{member}.tls")),
            (off, format!("spec.{member}.tls.mode")),
        ] {
            let found = named(plan_source(&source(member, changes.clone())));
            assert!(found.contains(&(path, "InvalidSpec".to_owned())), "{member} {changes}: {found:?}");
        }
        let pushdown = with(source(member, json!({})), json!({"diff": "Pushdown"}));
        let code = if member == "mysql" { "InvalidSpec" } else { "NotSupported" };
        assert_eq!(named(plan_source(&pushdown)), [("spec.diff".to_owned(), code.to_owned())]);
    }
}

#[test]
fn the_server_and_the_database_are_the_identity() {
    for member in MEMBERS {
        let identity = |changes| {
            plan_between(&source(member, changes), &manifests::destination(), &manifests::mapping()).unwrap().identity
        };
        let usual = identity(json!({}));
        assert_eq!(usual["source"], member);
        for same in [json!({"user": "other"}), json!({"password": null}), json!({"tls": null})] {
            assert_eq!(identity(same.clone()), usual, "{member} {same}");
        }
        for other in [json!({"host": "other"}), json!({"port": 1}), json!({"database": "other"})] {
            assert_ne!(identity(other.clone()), usual, "{member} {other}");
        }
    }
}
