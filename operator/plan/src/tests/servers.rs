//! Warehouses that are a server: what their fields become, and what is refused.

use std::collections::BTreeSet;

use backflow_core::plan::DiffEngine;
use serde_json::{Value, json};

use super::manifests::{self, named, plan_between, plan_source, with};

/// The members of a Source that name such a server.
const MEMBERS: [&str; 3] = ["azureSql", "clickhouse", "mysql"];

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
    let members = ["clickhouse", "mysql"];
    let plans: BTreeSet<String> =
        members.iter().flat_map(|member| changes.iter().map(|change| planned(member, change))).collect();
    assert_eq!(plans.len(), changes.len() * members.len());
}

/// A database of Azure SQL with a login.
pub(super) fn azure_sql() -> Value {
    server()
}

/// The same with an application in place of the login.
fn application(entra: Value) -> Value {
    json!({"azureSql": with(azure_sql(), json!({"user": null, "password": null, "entra": entra}))})
}

#[test]
fn every_field_of_a_database_of_azure_does_something() {
    let login = [
        json!({}),
        json!({"host": "other"}),
        json!({"port": null}),
        json!({"database": "other"}),
        json!({"user": "other"}),
        json!({"password": key("other")}),
        json!({"tls": {"mode": "Require"}}),
        json!({"tls": null}),
    ];
    let entra = [
        json!({}),
        json!({"tenantId": "t"}),
        json!({"clientId": "c"}),
        json!({"tenantId": "t", "clientId": "c"}),
        json!({"tenantId": "t", "clientId": "c", "clientSecret": key("s")}),
    ];
    let all = login.iter().map(|changes| source("azureSql", changes.clone())).chain(entra.into_iter().map(application));
    let plans: Vec<String> =
        all.map(|manifest| serde_json::to_string(&plan_source(&manifest).unwrap()).unwrap()).collect();
    assert_eq!(plans.iter().collect::<BTreeSet<_>>().len(), plans.len());
}

#[test]
fn who_is_nobody_cannot_log_in_to_a_database_of_azure() {
    for (manifest, path) in [
        (source("azureSql", json!({"password": null})), "spec.azureSql"),
        (source("azureSql", json!({"user": null})), "spec.azureSql"),
        (source("azureSql", json!({"entra": {}})), "spec.azureSql"),
        (source("azureSql", json!({"user": null, "password": null})), "spec.azureSql"),
        (application(json!({"tenantId": "a/b"})), "spec.azureSql.entra.tenantId"),
        (application(json!({"clientId": "a&b"})), "spec.azureSql.entra.clientId"),
        (application(json!({"tenantId": "t", "clientSecret": key("s")})), "spec.azureSql.entra"),
        (
            json!({"azureSql": {"host": "h", "database": "d", "entra": {}, "tls": {"mode": "Disable"}}}),
            "spec.azureSql.tls.mode",
        ),
    ] {
        let found = named(plan_source(&manifest));
        assert_eq!(found, [(path.to_owned(), "InvalidSpec".to_owned())], "{manifest}");
    }
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
        if member == "azureSql" {
            assert_eq!(plan_source(&pushdown).unwrap().diff, DiffEngine::Pushdown);
            continue;
        }
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
        for same in [json!({"user": "other"}), json!({"password": key("other")}), json!({"tls": null})] {
            assert_eq!(identity(same.clone()), usual, "{member} {same}");
        }
        for other in [json!({"host": "other"}), json!({"port": 1}), json!({"database": "other"})] {
            assert_ne!(identity(other.clone()), usual, "{member} {other}");
        }
    }
}
