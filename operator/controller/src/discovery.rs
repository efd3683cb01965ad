//! What must be known of the cluster before work begins. Nothing of it is a reason to stop: what is missing may come.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::Api;
use kube::{Client, ResourceExt as _};
use tokio::time::{sleep, timeout};

use crate::metrics::Kind;
use crate::server::Readiness;

/// The longest that one answer may take: the client has no limit of its own.
const ANSWER: Duration = Duration::from_secs(15);
/// Time between two looks.
const EVERY: Duration = Duration::from_secs(3);

/// Returns when the API server serves all kinds; `definitions`: the DestinationDefinitions among them.
pub async fn kinds(client: &Client, definitions: bool, readiness: &Readiness) {
    let waiting = "the CRDs of backflow.dev/v1alpha1; install the chart backflow-crds";
    readiness.wait_for(waiting);
    let mut said = false;
    loop {
        match timeout(ANSWER, client.list_api_group_resources("backflow.dev/v1alpha1")).await {
            Ok(Ok(list)) => {
                let missing: Vec<&str> = Kind::ALL
                    .iter()
                    .filter(|kind| definitions || **kind != Kind::DestinationDefinition)
                    .map(|kind| kind.as_str())
                    .filter(|kind| list.resources.iter().all(|served| served.kind != *kind))
                    .collect();
                if missing.is_empty() {
                    readiness.done(waiting);
                    return;
                }
                if !said {
                    tracing::warn!(missing = missing.join(", "), "CRDs are missing; waiting for them.");
                }
            }
            Ok(Err(error)) if !said => tracing::warn!(%error, "The CRDs cannot be found; waiting for them."),
            Ok(Err(_)) => {}
            Err(_) => tracing::warn!("The API server does not answer about the CRDs; asked again."),
        }
        said = true;
        sleep(EVERY).await;
    }
}

/// The cluster's identity as the owner of state: what was given, or the uid of `kube-system`.
pub async fn owner(client: &Client, given: Option<&str>, readiness: &Readiness) -> String {
    if let Some(given) = given.filter(|given| !given.is_empty()) {
        return given.to_owned();
    }
    let waiting = "the uid of namespace kube-system; grant get on it, or set clusterId";
    readiness.wait_for(waiting);
    let namespaces: Api<Namespace> = Api::all(client.clone());
    loop {
        match timeout(ANSWER, namespaces.get_metadata("kube-system"))
            .await
            .map(|namespace| namespace.map(|it| it.uid()))
        {
            Ok(Ok(Some(uid))) => {
                readiness.done(waiting);
                return uid;
            }
            Ok(Ok(None)) => tracing::warn!("Namespace kube-system has no uid; set clusterId."),
            Ok(Err(error)) => {
                tracing::warn!(%error, "Namespace kube-system cannot be read; grant get on it, or set clusterId.")
            }
            Err(_) => tracing::warn!("The API server does not answer about namespace kube-system; asked again."),
        }
        sleep(EVERY).await;
    }
}
