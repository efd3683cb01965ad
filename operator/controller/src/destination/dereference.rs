//! What the check of a Destination is made of.

use backflow_core::plan::{DestinationPlan, Task};
use backflow_crds::v1alpha1::{Destination, Finding, WorkerTemplate};
use backflow_plan::Place;
use jiff::Timestamp;
use kube::ResourceExt as _;

use crate::check::Blocked;
use crate::context::Context;
use crate::triggers::accepted;

/// The check of a Destination. It belongs to no Source: its pod is as the operator says for all.
///
/// # Errors
/// [`Blocked`] if the manifest is wrong.
pub fn task(context: &Context, destination: &Destination) -> Result<(Task, WorkerTemplate), Blocked> {
    let plan = plan(context, destination).map_err(Blocked::Findings)?;
    Ok((Task::CheckDestination(plan), context.worker([])))
}

/// What a run is given of it now.
///
/// # Errors
/// All findings.
pub fn plan(context: &Context, destination: &Destination) -> Result<DestinationPlan, Vec<Finding>> {
    let definitions = context.shelf.definitions();
    backflow_plan::destination(&destination.name_any(), &destination.spec, &definitions, &Place::Cluster)
}

/// When the definition that a user supplied for it was accepted: what was checked before, was checked with another one.
#[must_use]
pub fn definition_accepted_at(context: &Context, destination: &Destination) -> Option<Timestamp> {
    let definition = context.stores.definitions.find("", &destination.spec.type_)?;
    accepted(&definition).map(|time| time.0)
}
