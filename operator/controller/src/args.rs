//! Flags and environment of the controller.

use std::net::SocketAddr;

use backflow_crds::v1alpha1::WorkerTemplate;
use serde_json::{Map, Value, json};

/// Watches Backflow's kinds and runs one Job for each Sync. Every flag can be given as an environment variable.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "backflow-controller", version)]
pub struct Args {
    /// Serve only this namespace; may be repeated. Default: all namespaces.
    #[arg(long = "watch-namespace", env = "BACKFLOW_WATCH_NAMESPACES", value_delimiter = ',')]
    pub watch_namespaces: Vec<String>,
    /// Whether DestinationDefinitions are read, which belong to the whole cluster: false where no ClusterRole can be had.
    #[arg(long, env = "BACKFLOW_DESTINATION_DEFINITIONS", default_value_t = true, action = clap::ArgAction::Set)]
    pub destination_definitions: bool,
    /// Image of the worker's pods: the controller's own.
    #[arg(long, env = "BACKFLOW_IMAGE")]
    pub image: String,
    /// When the kubelet pulls the worker's image: Always, IfNotPresent or Never.
    #[arg(long, env = "BACKFLOW_IMAGE_PULL_POLICY", default_value = "IfNotPresent",
          value_parser = ["Always", "IfNotPresent", "Never"])]
    pub image_pull_policy: String,
    /// Secret with credentials for the image's registry, in the Mapping's namespace; may be repeated.
    #[arg(long = "image-pull-secret", env = "BACKFLOW_IMAGE_PULL_SECRETS", value_delimiter = ',')]
    pub image_pull_secrets: Vec<String>,
    /// Settings of every worker's pod, as JSON: the fields of a Mapping's spec.worker, under what Mappings and Sources say.
    #[arg(long, env = "BACKFLOW_WORKER", default_value = "{}", value_parser = worker)]
    pub worker: WorkerTemplate,
    /// Who owns the state that this controller's workers move. Default: the uid of the namespace kube-system.
    #[arg(long, env = "BACKFLOW_CLUSTER_ID")]
    pub cluster_id: Option<String>,
    /// Name of this pod: the identity in the Lease and in events. Default, for runs outside of a cluster: a random one.
    #[arg(long, env = "POD_NAME")]
    pub pod_name: Option<String>,
    /// Namespace of this pod, in which the Lease lives.
    #[arg(long, env = "POD_NAMESPACE", default_value = "default")]
    pub pod_namespace: String,
    /// Name of the Lease by which one of several controllers leads.
    #[arg(long, env = "BACKFLOW_LEASE_NAME", default_value = "backflow")]
    pub lease_name: String,
    /// What is logged, by the controller and its workers: error, warn, info, debug, trace, or a filter per module.
    #[arg(long, env = "BACKFLOW_LOG", default_value = "info")]
    pub log: String,
    /// Where /healthz, /readyz and /metrics are served.
    #[arg(long, env = "BACKFLOW_HTTP_ADDR", default_value = "0.0.0.0:8080")]
    pub http_addr: SocketAddr,
}

impl Args {
    /// The namespaces to serve, without the empty one that an empty variable leaves. None: all.
    #[must_use]
    pub fn namespaces(&self) -> Vec<String> {
        named(&self.watch_namespaces)
    }

    /// The pull secrets that are named.
    #[must_use]
    pub fn pull_secrets(&self) -> Vec<String> {
        named(&self.image_pull_secrets)
    }
}

/// Reads the settings of workers. What nobody would act on is refused, as in a manifest.
fn worker(text: &str) -> Result<WorkerTemplate, String> {
    let given: Map<String, Value> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let template: WorkerTemplate = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let kept = serde_json::to_value(&template).map_err(|error| error.to_string())?;
    let is_empty = |value: &Value| [json!(null), json!([]), json!({}), json!("")].contains(value);
    if let Some((name, _)) = given.iter().find(|(name, value)| !is_empty(value) && kept.get(name).is_none()) {
        return Err(format!("there is no setting {name}"));
    }
    let findings = backflow_plan::worker(&template);
    match findings.first() {
        None => Ok(template),
        Some(first) => Err(format!("{}: {}", first.path, first.message)),
    }
}

fn named(all: &[String]) -> Vec<String> {
    let mut names: Vec<String> =
        all.iter().map(|name| name.trim()).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn settings_of_workers_are_those_of_a_manifest_and_nothing_else() {
        let args = |json: &str| Args::try_parse_from(["x", "--image", "i", "--worker", json]);
        let good =
            args(r#"{"tolerations": [{"key": "data", "operator": "Exists"}], "env": [], "nodeSelector": {"a": "b"}}"#);
        let worker = good.unwrap().worker;
        assert_eq!((worker.tolerations.len(), worker.node_selector["a"].as_str()), (1, "b"));
        for (wrong, name) in [
            (r#"{"toleration": [1]}"#, "toleration"),
            (r#"{"env": [{"name": "BACKFLOW_LOG", "value": "x"}]}"#, "BACKFLOW_LOG"),
            (r#"{"caBundle": {}}"#, "caBundle"),
            ("[]", "map"),
        ] {
            let said = args(wrong).unwrap_err().to_string();
            assert!(said.contains(name), "{wrong}: {said}");
        }
    }

    #[test]
    fn an_empty_list_of_namespaces_means_all() {
        let args = Args::parse_from(["backflow-controller", "--image", "i", "--watch-namespace", ""]);
        assert!(args.namespaces().is_empty());
        let args = Args::parse_from(["x", "--image", "i", "--watch-namespace", "b,a", "--watch-namespace", "b"]);
        assert_eq!(args.namespaces(), ["a", "b"]);
    }
}
