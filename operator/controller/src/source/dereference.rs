//! What the check of a Source is made of.

use backflow_core::plan::Task;
use backflow_crds::v1alpha1::{Source, WorkerTemplate};
use backflow_plan::Place;
use kube::ResourceExt as _;

use crate::check::Blocked;
use crate::context::Context;

/// The check of a Source.
///
/// # Errors
/// [`Blocked`] if the manifest is wrong.
pub fn task(context: &Context, source: &Source) -> Result<(Task, WorkerTemplate), Blocked> {
    let plan = backflow_plan::source(&source.name_any(), &source.spec, &Place::Cluster).map_err(Blocked::Findings)?;
    Ok((Task::CheckSource(plan), context.worker([source.spec.worker.as_ref()])))
}
