//! Flags and environment of the controller.

use std::net::SocketAddr;

/// Watches Backflow's kinds and runs one Job for each Sync. Every flag can be given as an environment variable.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "backflow-controller", version)]
pub struct Args {
    /// Serve only this namespace; may be repeated. Default: all namespaces.
    #[arg(long = "watch-namespace", env = "BACKFLOW_WATCH_NAMESPACES", value_delimiter = ',')]
    pub watch_namespaces: Vec<String>,
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
    fn an_empty_list_of_namespaces_means_all() {
        let args = Args::parse_from(["backflow-controller", "--image", "i", "--watch-namespace", ""]);
        assert!(args.namespaces().is_empty());
        let args = Args::parse_from(["x", "--image", "i", "--watch-namespace", "b,a", "--watch-namespace", "b"]);
        assert_eq!(args.namespaces(), ["a", "b"]);
    }
}
