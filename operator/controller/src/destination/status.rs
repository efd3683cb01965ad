//! `Destination.status`.

use backflow_core::code::cut;
use backflow_core::result::CheckResult;
use backflow_crds::v1alpha1::{Destination, DestinationStatus};
use backflow_plan::Place;
use kube::ResourceExt as _;

use crate::check::counts;
use crate::context::Context;

/// Keeps what a check found.
pub fn learn(_destination: &Destination, status: &mut DestinationStatus, found: &CheckResult) -> String {
    status.account = found.server.clone().map(|account| cut(account, 256));
    status.account.as_ref().map(|account| format!("reached {account}")).unwrap_or_default()
}

/// What needs no check.
pub fn complete(context: &Context, destination: &Destination, status: &mut DestinationStatus) {
    let name = destination.name_any();
    let plan = backflow_plan::destination(&name, &destination.spec, &Place::Cluster).ok();
    status.definition_version = plan.map(|plan| plan.definition_version.to_string());
    let (active, queued) = counts(context, &destination.namespace().unwrap_or_default(), |needs| {
        needs.destination.as_ref() == Some(&name)
    });
    (status.active_syncs, status.queued_syncs) = (Some(active), Some(queued));
}
