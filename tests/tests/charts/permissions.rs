//! What the controller's ServiceAccount may do, compared with the whole list that the design allows.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::render::{NAMESPACE, rendered};

/// Group, resource, verbs: what the controller may do in the namespaces that it serves.
const SERVED: &[(&str, &str, &str)] = &[
    ("backflow.dev", "sources", "get list watch"),
    ("backflow.dev", "models", "get list watch"),
    ("backflow.dev", "destinations", "get list watch"),
    ("backflow.dev", "mappings", "get list watch"),
    ("backflow.dev", "syncs", "get list watch create delete"),
    ("backflow.dev", "sources/status", "patch"),
    ("backflow.dev", "models/status", "patch"),
    ("backflow.dev", "destinations/status", "patch"),
    ("backflow.dev", "mappings/status", "patch"),
    ("backflow.dev", "syncs/status", "patch"),
    ("batch", "jobs", "get list watch create delete"),
    ("", "pods", "get list watch"),
    ("events.k8s.io", "events", "create patch"),
];
/// What belongs to the whole cluster.
const DEFINITIONS: &[(&str, &str, &str)] = &[
    ("backflow.dev", "destinationdefinitions", "get list watch"),
    ("backflow.dev", "destinationdefinitions/status", "patch"),
];
const LEASES: &[(&str, &str, &str)] = &[("coordination.k8s.io", "leases", "get create update patch")];
const IDENTITY: &[(&str, &str, &str)] = &[("", "namespaces", "get")];

#[test]
fn all_namespaces_take_one_cluster_role() {
    let mut expected = permissions("*", SERVED, "");
    expected.extend(permissions(NAMESPACE, LEASES, ""));
    expected.extend(permissions("*", IDENTITY, "kube-system"));
    expected.extend(permissions("*", DEFINITIONS, ""));
    assert_eq!(granted(&rendered(&[])), expected);
}

#[test]
fn a_cluster_id_takes_the_namespace_kube_system_away() {
    let mut expected = permissions("*", SERVED, "");
    expected.extend(permissions(NAMESPACE, LEASES, ""));
    expected.extend(permissions("*", DEFINITIONS, ""));
    assert_eq!(granted(&rendered(&["clusterId=blue"])), expected);
}

#[test]
fn listed_namespaces_take_a_role_in_each() {
    let mut expected = permissions("growth", SERVED, "");
    expected.extend(permissions("sales", SERVED, ""));
    expected.extend(permissions(NAMESPACE, LEASES, ""));
    expected.extend(permissions("*", IDENTITY, "kube-system"));
    expected.extend(permissions("*", DEFINITIONS, ""));
    assert_eq!(granted(&rendered(&["watchNamespaces={growth,sales}"])), expected);
}

#[test]
fn an_installation_without_any_cluster_wide_object_is_possible() {
    let objects = rendered(&[
        "watchNamespaces={growth}",
        "clusterId=blue",
        "rbac.aggregateToUserRoles=false",
        "destinationDefinitions=false",
    ]);
    let mut expected = permissions("growth", SERVED, "");
    expected.extend(permissions(NAMESPACE, LEASES, ""));
    assert_eq!(granted(&objects), expected);
    for object in &objects {
        assert!(object["metadata"]["namespace"].is_string(), "{} is cluster-wide", object["kind"]);
    }
}

#[test]
fn no_secret_no_config_map_no_log_and_no_wildcard() {
    let sets: [&[&str]; 3] = [&[], &["clusterId=blue"], &["watchNamespaces={growth}"]];
    for permission in sets.iter().flat_map(|values| granted(&rendered(values))) {
        for forbidden in ["secrets", "configmaps", "pods/log", "pods/exec", "finalizers", " * "] {
            assert!(!permission.contains(forbidden), "{permission}");
        }
    }
}

#[test]
fn without_rbac_the_chart_has_no_role() {
    let objects = rendered(&["rbac.create=false"]);
    assert!(objects.iter().all(|object| !object["kind"].as_str().unwrap().contains("Role")));
}

#[test]
fn roles_for_people_are_about_our_own_kinds_and_bound_to_nobody() {
    let objects = rendered(&[]);
    let bound: BTreeSet<_> = bindings(&objects).map(|binding| binding["roleRef"]["name"].clone().to_string()).collect();
    let people: Vec<_> =
        roles(&objects).filter(|role| !bound.contains(&role["metadata"]["name"].to_string())).collect();
    assert_eq!(people.len(), 2);
    for role in people {
        assert!(role["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-edit"] == "true", "{role}");
        for rule in role["rules"].as_array().unwrap() {
            assert_eq!(rule["apiGroups"], serde_json::json!(["backflow.dev"]));
            assert!(!rule.to_string().contains("status"), "people do not write status: {rule}");
            // Who writes definitions decides where data and credentials go.
            let about_definitions = rule.to_string().contains("destinationdefinitions");
            assert!(!about_definitions || rule["verbs"] == serde_json::json!(["get", "list", "watch"]), "{rule}");
        }
    }
}

/// The permissions of a table, one line for each verb: `scope group/resource verb names`.
fn permissions(scope: &str, table: &[(&str, &str, &str)], names: &str) -> BTreeSet<String> {
    let verbs = table.iter().flat_map(|(group, resource, verbs)| {
        verbs.split(' ').map(move |verb| format!("{scope} {group}/{resource} {verb} {names}"))
    });
    verbs.collect()
}

/// What bindings give to the controller's ServiceAccount; `*` is the scope of the whole cluster.
fn granted(objects: &[Value]) -> BTreeSet<String> {
    let account = crate::render::only(objects, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"].clone();
    let mut granted = BTreeSet::new();
    for binding in bindings(objects) {
        let subjects = binding["subjects"].as_array().expect("subjects");
        assert_eq!(subjects.len(), 1, "{binding}");
        assert_eq!(subjects[0]["kind"], "ServiceAccount");
        assert_eq!((&subjects[0]["name"], &subjects[0]["namespace"]), (&account, &Value::from(NAMESPACE)));
        let scope = binding["metadata"]["namespace"].as_str().unwrap_or("*");
        let role = roles(objects)
            .find(|role| {
                role["kind"] == binding["roleRef"]["kind"]
                    && role["metadata"]["name"] == binding["roleRef"]["name"]
                    && (role["kind"] == "ClusterRole" || role["metadata"]["namespace"] == scope)
            })
            .unwrap_or_else(|| panic!("{binding} names no role of the chart"));
        for rule in role["rules"].as_array().expect("rules") {
            let names = list(&rule["resourceNames"]).join(",");
            for group in list(&rule["apiGroups"]) {
                for resource in list(&rule["resources"]) {
                    for verb in list(&rule["verbs"]) {
                        let new = granted.insert(format!("{scope} {group}/{resource} {verb} {names}"));
                        assert!(new, "{group}/{resource} {verb} is granted twice");
                    }
                }
            }
        }
    }
    granted
}

fn list(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().map(|item| item.as_str().expect("a string")).collect()
}

fn roles(objects: &[Value]) -> impl Iterator<Item = &Value> {
    objects.iter().filter(|object| object["kind"] == "Role" || object["kind"] == "ClusterRole")
}

fn bindings(objects: &[Value]) -> impl Iterator<Item = &Value> {
    objects.iter().filter(|object| object["kind"] == "RoleBinding" || object["kind"] == "ClusterRoleBinding")
}
