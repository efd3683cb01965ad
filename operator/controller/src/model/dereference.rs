//! What the check of a Model is made of: its Source, and itself.

use std::sync::Arc;

use backflow_core::plan::Task;
use backflow_crds::reasons::Reason;
use backflow_crds::v1alpha1::{Mapping, Model, WorkerTemplate};
use backflow_plan::Place;
use jiff::Timestamp;
use kube::ResourceExt as _;

use crate::check::{Blocked, stands};
use crate::context::Context;

/// The check of a Model. It begins when its Source has passed its own.
///
/// # Errors
/// [`Blocked`] if the manifest is wrong, or the Source is not there or not Ready.
pub fn task(context: &Context, model: &Model) -> Result<(Task, WorkerTemplate), Blocked> {
    let plan = backflow_plan::model(&model.name_any(), &model.spec).map_err(Blocked::Findings)?;
    let name = &model.spec.source_ref.name;
    let source = context.stores.sources.find(&model.namespace().unwrap_or_default(), name);
    let source =
        source.ok_or_else(|| Blocked::Waits(Reason::SourceNotFound, format!("Source {name} does not exist")))?;
    let not_ready = || Blocked::Waits(Reason::SourceNotReady, format!("Source {name} is not Ready"));
    let of_source = backflow_plan::source(name, &source.spec, &Place::Cluster).map_err(|_| not_ready())?;
    if !stands(context, &*source) {
        return Err(not_ready());
    }
    Ok((Task::CheckModel(of_source, plan), context.worker([source.spec.worker.as_ref()])))
}

/// When its Source was last checked: it may be another warehouse now.
#[must_use]
pub fn source_checked_at(context: &Context, model: &Model) -> Option<Timestamp> {
    let source = context.stores.sources.find(&model.namespace().unwrap_or_default(), &model.spec.source_ref.name);
    source.and_then(|source| source.status.as_ref()?.last_check_time.clone()).map(|time| time.0)
}

/// The Mappings that read it.
#[must_use]
pub fn mappings(context: &Context, model: &Model) -> Vec<Arc<Mapping>> {
    let name = model.name_any();
    let reads = |mapping: &Mapping| mapping.spec.model_ref.name == name;
    context.stores.mappings.select(&model.namespace().unwrap_or_default(), reads)
}
