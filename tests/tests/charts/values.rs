//! The values: what the schema refuses, and that schema, defaults and README tell of the same names.

use serde_json::Value;

use crate::render::{KUBE_VERSION, documents, helm_template, read};

#[test]
fn the_schema_refuses_what_is_wrong_and_names_it() {
    let wrong = [
        ("replicaCounts=2", "replicaCounts"),
        ("replicaCount=-1", "replicaCount"),
        ("replicaCount=two", "replicaCount"),
        ("image.repository=", "repository"),
        ("image.repository=backflow:1", "repository"),
        ("image.tag=a:b", "tag"),
        ("image.pullPolicy=Sometimes", "pullPolicy"),
        ("image.digest=x", "digest"),
        ("imagePullSecrets[0].nam=x", "imagePullSecrets"),
        ("imagePullSecrets={registry}", "imagePullSecrets"),
        ("watchNamespaces=growth", "watchNamespaces"),
        ("watchNamespaces={Growth}", "watchNamespaces"),
        ("watchNamespaces={a,a}", "watchNamespaces"),
        ("clusterId=two words", "clusterId"),
        ("logLevel=", "logLevel"),
        ("rbac.created=true", "created"),
        ("serviceAccount.create=maybe", "serviceAccount"),
        ("podMonitor.enable=true", "enable"),
        ("podMonitor.interval=often", "interval"),
        ("podDisruptionBudget.maxUnavailable=half", "maxUnavailable"),
        ("service.port=0", "port"),
        ("networkPolicy.apiServer.ports={http}", "ports"),
        ("networkPolicy.apiServer.cidrs={10.0.0.1}", "cidrs"),
        ("resources.limit.memory=1Gi", "limit"),
        ("tolerations.key=x", "tolerations"),
        ("worker.toleration[0].key=x", "toleration"),
        ("worker.env.HTTPS_PROXY=x", "env"),
        ("worker.caBundle.configMap.name=x", "configMap"),
        ("worker.caBundle.secretKeyRef.name=x", "secretKeyRef"),
        ("worker.imagePullSecrets={registry}", "imagePullSecrets"),
        ("fullnameOverride=Has_Underscore", "fullnameOverride"),
    ];
    for (value, name) in wrong {
        let refused = helm_template("backflow", &["--kube-version", KUBE_VERSION, "--set", value])
            .err()
            .unwrap_or_else(|| panic!("{value} was accepted"));
        assert!(refused.contains("values.schema.json") || refused.contains("the schema"), "{value}: {refused}");
        assert!(refused.contains(name), "{value}: the refusal does not name {name}: {refused}");
    }
}

#[test]
fn kubernetes_before_1_33_is_refused() {
    for version in ["1.33.0", "1.33.0-gke.100", "1.33.4+k3s1", "1.35.4"] {
        helm_template("backflow", &["--kube-version", version]).unwrap_or_else(|error| panic!("{version}: {error}"));
    }
    for version in ["1.32.9", "1.29.0"] {
        let refused = helm_template("backflow", &["--kube-version", version]).expect_err(version);
        assert!(refused.contains("1.33"), "{version}: {refused}");
    }
}

#[test]
fn schema_defaults_and_readme_have_the_same_names() {
    let schema: Value = serde_json::from_str(&read("charts/backflow/values.schema.json")).expect("JSON");
    let values = documents(&read("charts/backflow/values.yaml")).remove(0);
    let readme = read("charts/backflow/README.md");
    let mut names = Vec::new();
    compare("", &schema, &values, &mut names);
    for name in names {
        let (parent, last) = name.rsplit_once('.').unwrap_or(("", &name));
        let told = readme.contains(&format!("`{name}`"))
            || readme.lines().any(|line| line.contains(&format!("`{parent}.")) && line.contains(&format!("`.{last}`")));
        assert!(told, "charts/backflow/README.md does not have `{name}`");
    }
}

#[test]
fn the_charts_and_the_program_have_one_version() {
    for chart in ["backflow", "backflow-crds"] {
        let meta = documents(&read(&format!("charts/{chart}/Chart.yaml"))).remove(0);
        assert_eq!(meta["name"], chart);
        assert_eq!(meta["version"], env!("CARGO_PKG_VERSION"), "{chart}");
        assert_eq!(meta["appVersion"], env!("CARGO_PKG_VERSION"), "{chart}");
        assert_eq!(meta["kubeVersion"], ">=1.33.0-0", "{chart}");
    }
}

/// Walks schema and defaults side by side and collects the names of the leaves.
fn compare(path: &str, schema: &Value, values: &Value, names: &mut Vec<String>) {
    assert!(schema["title"].as_str().is_some_and(|title| title.len() > 5), "{path} has no title in the schema");
    let strict = schema["additionalProperties"] == false;
    let (Some(known), true) = (schema["properties"].as_object(), strict) else {
        names.push(path.to_owned());
        return;
    };
    let set = values.as_object().unwrap_or_else(|| panic!("{path} is no object in values.yaml"));
    // A reference that is not set.
    if set.is_empty() {
        names.push(path.to_owned());
        return;
    }
    for name in set.keys() {
        assert!(known.contains_key(name), "values.yaml has {path}.{name}, which the schema does not know");
    }
    // Helm hands `global` to every chart, and resource claims have no sensible default.
    for (name, schema) in known.iter().filter(|(name, _)| *name != "global") {
        let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        if path == "resources" {
            continue;
        }
        let value = set.get(name).unwrap_or_else(|| panic!("values.yaml does not have {inner}"));
        compare(&inner, schema, value, names);
    }
    if path == "resources" {
        names.push(path.to_owned());
    }
}
