//! The controller's Deployment and what stands around it.

use backflow_crds::v1alpha1::WorkerTemplate;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
    rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::render::{NAMESPACE, only, rendered};

/// Everything that can be switched on, with every list filled.
const EVERYTHING: &[&str] = &[
    "replicaCount=2",
    "image.repository=registry.example.com:5000/platform/backflow",
    "image.tag=9.9.9",
    "imagePullSecrets[0].name=registry",
    "imagePullSecrets[1].name=mirror",
    "commonLabels.team=data",
    "watchNamespaces={growth,sales}",
    "clusterId=blue",
    "serviceAccount.annotations.note=x",
    "podAnnotations.note=x",
    "podLabels.zone=a",
    "nodeSelector.kind=small",
    "tolerations[0].key=small",
    "tolerations[0].operator=Exists",
    "affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight=1",
    "affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.topologyKey=zone",
    "topologySpreadConstraints[0].maxSkew=1",
    "topologySpreadConstraints[0].topologyKey=zone",
    "topologySpreadConstraints[0].whenUnsatisfiable=ScheduleAnyway",
    "priorityClassName=high",
    "worker.nodeSelector.kind=big",
    "worker.env[0].name=HTTPS_PROXY",
    "worker.env[0].value=http://proxy:3128",
    "worker.caBundle.configMapKeyRef.name=corporate-ca",
    "worker.caBundle.configMapKeyRef.key=ca.crt",
    "podDisruptionBudget.enabled=true",
    "service.annotations.note=x",
    "networkPolicy.enabled=true",
    "networkPolicy.metricsFrom[0].podSelector.matchLabels.app=prometheus",
    "podMonitor.enabled=true",
    "prometheusRule.enabled=true",
    "grafanaDashboard.enabled=true",
];

#[test]
fn every_object_is_what_kubernetes_takes() {
    for values in [&[] as &[&str], EVERYTHING] {
        for object in rendered(values) {
            match object["kind"].as_str().unwrap() {
                "Deployment" => survives::<Deployment>(&object),
                "Service" => survives::<Service>(&object),
                "ServiceAccount" => survives::<ServiceAccount>(&object),
                "ConfigMap" => survives::<ConfigMap>(&object),
                "NetworkPolicy" => survives::<NetworkPolicy>(&object),
                "PodDisruptionBudget" => survives::<PodDisruptionBudget>(&object),
                "Role" => survives::<Role>(&object),
                "RoleBinding" => survives::<RoleBinding>(&object),
                "ClusterRole" => survives::<ClusterRole>(&object),
                "ClusterRoleBinding" => survives::<ClusterRoleBinding>(&object),
                "PodMonitor" | "PrometheusRule" => assert_eq!(object["apiVersion"], "monitoring.coreos.com/v1"),
                other => panic!("the chart has a {other}, which this test does not know"),
            }
        }
    }
}

#[test]
fn the_pod_meets_the_restricted_standard() {
    let deployment = only(&rendered(&[]), "Deployment").clone();
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    let containers = pod["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 1);
    let context = &containers[0]["securityContext"];
    assert_eq!(context["allowPrivilegeEscalation"], false);
    assert_eq!(context["readOnlyRootFilesystem"], true);
    assert_eq!(context["runAsNonRoot"], true);
    assert_eq!(context["capabilities"], json!({"drop": ["ALL"]}));
    for never in ["volumes", "hostNetwork", "hostPID", "hostIPC", "initContainers"] {
        assert!(pod.get(never).is_none(), "{never}");
    }
    let container = &containers[0];
    assert!(
        container["resources"]["requests"]["memory"].is_string()
            && container["resources"]["limits"]["memory"].is_string()
    );
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        assert_eq!(container[probe]["httpGet"]["port"], "http", "{probe}");
    }
}

#[test]
fn the_settings_reach_the_controller() {
    let default = only(&rendered(&[]), "Deployment").clone();
    assert_eq!(container(&default)["command"], json!(["/backflow-controller"]));
    assert_eq!(variable(&default, "BACKFLOW_IMAGE"), container(&default)["image"].as_str());
    assert_eq!(container(&default)["image"], format!("registry.backflow.dev/backflow:{}", env!("CARGO_PKG_VERSION")));
    assert_eq!(variable(&default, "BACKFLOW_IMAGE_PULL_POLICY"), Some("IfNotPresent"));
    assert_eq!(variable(&default, "BACKFLOW_LEASE_NAME"), Some("backflow"));
    assert_eq!(variable(&default, "BACKFLOW_LOG"), Some("info"));
    assert_eq!(variable(&default, "BACKFLOW_HTTP_ADDR"), Some("0.0.0.0:8080"));
    for unset in ["BACKFLOW_WATCH_NAMESPACES", "BACKFLOW_CLUSTER_ID", "BACKFLOW_IMAGE_PULL_SECRETS", "BACKFLOW_WORKER"]
    {
        assert_eq!(variable(&default, unset), None, "{unset}");
    }

    let full = only(&rendered(EVERYTHING), "Deployment").clone();
    assert_eq!(full["spec"]["replicas"], 2);
    assert_eq!(variable(&full, "BACKFLOW_IMAGE"), Some("registry.example.com:5000/platform/backflow:9.9.9"));
    assert_eq!(variable(&full, "BACKFLOW_IMAGE"), container(&full)["image"].as_str());
    assert_eq!(variable(&full, "BACKFLOW_IMAGE_PULL_SECRETS"), Some("registry,mirror"));
    assert_eq!(variable(&full, "BACKFLOW_WATCH_NAMESPACES"), Some("growth,sales"));
    assert_eq!(variable(&full, "BACKFLOW_CLUSTER_ID"), Some("blue"));
    // Of the settings of workers only those that are set, in the words of a manifest.
    let worker: Value = serde_json::from_str(variable(&full, "BACKFLOW_WORKER").expect("settings of workers")).unwrap();
    let expected = json!({
        "nodeSelector": {"kind": "big"}, "env": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
        "caBundle": {"configMapKeyRef": {"name": "corporate-ca", "key": "ca.crt"}},
    });
    assert_eq!(worker, expected);
    let template: WorkerTemplate = serde_json::from_value(worker).unwrap();
    assert_eq!(serde_json::to_value(template).unwrap(), expected);
    let pod = &full["spec"]["template"]["spec"];
    for set in [
        "imagePullSecrets",
        "nodeSelector",
        "tolerations",
        "affinity",
        "topologySpreadConstraints",
        "priorityClassName",
    ] {
        assert!(pod.get(set).is_some(), "{set}");
    }
}

#[test]
fn labels_of_the_user_never_break_the_selector() {
    let key = r"app\.kubernetes\.io/name";
    let values = [format!("commonLabels.{key}=mine"), format!("podLabels.{key}=mine"), "podLabels.zone=a".into()];
    let objects = rendered(&values.each_ref().map(String::as_str));
    let deployment = only(&objects, "Deployment");
    let pod = &deployment["spec"]["template"]["metadata"]["labels"];
    assert_eq!(pod["zone"], "a");
    for selector in [&deployment["spec"]["selector"]["matchLabels"], &only(&objects, "Service")["spec"]["selector"]] {
        for (key, value) in selector.as_object().expect("a selector") {
            assert_eq!(&pod[key], value, "{key}");
        }
    }
}

#[test]
fn names_follow_the_release_and_the_overrides() {
    let name = |values: &[&str]| only(&rendered(values), "Deployment")["metadata"]["name"].as_str().unwrap().to_owned();
    assert_eq!(name(&[]), "backflow");
    assert_eq!(name(&["nameOverride=etl"]), "backflow-etl");
    assert_eq!(name(&["fullnameOverride=reverse"]), "reverse");
    let account = |values: &[&str]| {
        only(&rendered(values), "Deployment")["spec"]["template"]["spec"]["serviceAccountName"].clone()
    };
    assert_eq!(account(&[]), "backflow");
    assert_eq!(account(&["serviceAccount.name=robot"]), "robot");
    assert_eq!(account(&["serviceAccount.create=false"]), "default");
}

#[test]
fn the_network_policy_allows_dns_the_api_server_the_workers_and_metrics() {
    let policy = only(&rendered(EVERYTHING), "NetworkPolicy").clone();
    let spec = &policy["spec"];
    assert_eq!(spec["policyTypes"], json!(["Ingress", "Egress"]));
    assert_eq!(spec["ingress"].as_array().unwrap().len(), 1);
    assert_eq!(spec["ingress"][0]["ports"], json!([{"protocol": "TCP", "port": "http"}]));
    assert_eq!(spec["ingress"][0]["from"], json!([{"podSelector": {"matchLabels": {"app": "prometheus"}}}]));
    let ports: Vec<Vec<i64>> = spec["egress"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| rule["ports"].as_array().unwrap().iter().map(|port| port["port"].as_i64().unwrap()).collect())
        .collect();
    assert_eq!(ports, [vec![53, 53], vec![443, 6443], vec![8080]]);
    let workers = &spec["egress"][2]["to"][0]["podSelector"]["matchLabels"];
    assert_eq!(workers, &json!({"app.kubernetes.io/managed-by": "backflow"}));
}

#[test]
fn namespaced_objects_say_their_namespace() {
    for object in rendered(EVERYTHING) {
        let kind = object["kind"].as_str().unwrap();
        if kind.starts_with("Cluster") {
            continue;
        }
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_else(|| panic!("{kind} has no namespace"));
        assert!([NAMESPACE, "growth", "sales"].contains(&namespace), "{kind} is in {namespace}");
    }
}

fn container(deployment: &Value) -> &Value {
    &deployment["spec"]["template"]["spec"]["containers"][0]
}

fn variable<'a>(deployment: &'a Value, name: &str) -> Option<&'a str> {
    let variables = container(deployment)["env"].as_array().expect("variables");
    variables.iter().find(|variable| variable["name"] == name)?["value"].as_str()
}

/// A field that Kubernetes does not know, or has another type for, is lost or refused on the way through its types.
fn survives<T: Serialize + DeserializeOwned>(object: &Value) {
    let typed: T = serde_json::from_value(object.clone()).unwrap_or_else(|error| panic!("{error}: {object}"));
    assert_eq!(&serde_json::to_value(typed).expect("JSON"), object);
}
