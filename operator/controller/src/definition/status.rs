//! `DestinationDefinition.status`.

use backflow_crds::conditions::Readiness;
use backflow_crds::reasons::Reason;
use backflow_crds::v1alpha1::{DestinationDefinition, DestinationDefinitionStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;

use crate::check::of_findings;
use crate::context::Context;
use crate::status::{is_ready, moment};

/// What the status says now.
#[must_use]
pub fn of(context: &Context, definition: &DestinationDefinition) -> DestinationDefinitionStatus {
    let findings = context.shelf.findings(&definition.name_any());
    let generation = definition.metadata.generation;
    let mut status = definition.status.clone().unwrap_or_default();
    let readiness = if findings.is_empty() {
        if !is_ready(&status.conditions, status.observed_generation, generation) {
            status.accepted_time = Some(Time(context.now()));
        }
        let message =
            match definition.spec.0.get("actions").and_then(|actions| actions.as_object()).map_or(0, |all| all.len()) {
                1 => "it has 1 action".to_owned(),
                count => format!("it has {count} actions"),
            };
        Readiness::Ready(Reason::Accepted, message)
    } else {
        of_findings(&findings)
    };
    readiness.set(&mut status.conditions, &moment(generation, context.now()));
    status.observed_generation = generation;
    status.errors = backflow_plan::fit(findings.to_vec());
    status
}
