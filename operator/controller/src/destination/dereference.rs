//! What the check of a Destination is made of.

use backflow_core::plan::Task;
use backflow_crds::v1alpha1::{Destination, WorkerTemplate};
use backflow_plan::Place;
use kube::ResourceExt as _;

use crate::check::Blocked;
use crate::context::Context;

/// The check of a Destination. It belongs to no Source: its pod is as the operator says for all.
///
/// # Errors
/// [`Blocked`] if the manifest is wrong.
pub fn task(context: &Context, destination: &Destination) -> Result<(Task, WorkerTemplate), Blocked> {
    let plan = backflow_plan::destination(&destination.name_any(), &destination.spec, &Place::Cluster);
    Ok((Task::CheckDestination(plan.map_err(Blocked::Findings)?), context.worker([])))
}
