//! What a Sync refers to: from the stores, and its Job from the API server.

use backflow_core::cell::Column;
use backflow_core::plan::Task;
use backflow_crds::conditions::Readiness;
use backflow_crds::reasons::Reason;
use backflow_crds::v1alpha1::{Destination, Finding, Mapping, Model, RunMode, Source, Sync, WorkerTemplate};
use backflow_plan::{Parts, Place, Resolved};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt as _;

use crate::check::stands;
use crate::context::Context;
use crate::error::Error;
use crate::mapping::decide::judge;
use crate::mapping::dereference::references;
use crate::mapping::status::awaits_a_person;
use crate::runs::{JobState, PodView};
use crate::status::is_ready;
use crate::store::Key;

/// What a Sync needs to start, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The Source it reads.
    pub source: Option<String>,
    /// The Destination it sends to.
    pub destination: Option<String>,
    /// The state it moves.
    pub state_key: Option<String>,
    /// Its Model is suspended.
    pub model_suspended: bool,
    /// Its Mapping is suspended.
    pub mapping_suspended: bool,
    /// What is not there or not fit, and in words.
    pub missing: Option<(Reason, String)>,
}

/// Looks up what a Sync needs.
#[must_use]
pub fn needs(context: &Context, sync: &Sync) -> Needs {
    let namespace = sync.namespace().unwrap_or_default();
    let mut needs = Needs::default();
    let mut model = None;
    if let Some(reference) = &sync.spec.mapping_ref {
        let Some(mapping) = context.stores.mappings.find(&namespace, &reference.name) else {
            needs.missing = Some((Reason::MappingNotFound, format!("Mapping {} does not exist", reference.name)));
            return needs;
        };
        needs.missing = unfit(context, sync, &mapping);
        needs.destination = Some(mapping.spec.destination_ref.name.clone());
        needs.state_key = Some(backflow_plan::state_key(&namespace, &reference.name, &mapping.spec));
        needs.mapping_suspended = mapping.spec.suspend;
        model = Some(mapping.spec.model_ref.name.clone());
    } else if let Some(reference) = &sync.spec.model_ref {
        model = Some(reference.name.clone());
    } else if let Some(forget) = &sync.spec.forget {
        needs.source = Some(forget.source_ref.name.clone());
        needs.state_key = Some(forget.state_key.clone());
    }
    if let Some(name) = model {
        match context.stores.models.find(&namespace, &name) {
            Some(model) => {
                needs.model_suspended = model.spec.suspend;
                needs.source = Some(model.spec.source_ref.name.clone());
                if sync.spec.mapping_ref.is_none() && backflow_plan::model(&name, &model.spec).is_err() {
                    needs.missing = Some((Reason::ModelNotReady, format!("Model {name} is not Ready")));
                }
            }
            None => needs.missing = Some((Reason::ModelNotFound, format!("Model {name} does not exist"))),
        }
    }
    // A run of a Mapping asks whether that is Ready. Preview and Forget need a Source that answers, and no more.
    if sync.spec.mapping_ref.is_none()
        && needs.missing.is_none()
        && let Some(name) = &needs.source
    {
        needs.missing = match context.stores.sources.find(&namespace, name) {
            None => Some((Reason::SourceNotFound, format!("Source {name} does not exist"))),
            Some(source) if !stands(context, &*source) => {
                Some((Reason::SourceNotReady, format!("Source {name} is not Ready")))
            }
            Some(_) => None,
        };
    }
    needs
}

/// Why a Mapping cannot run now.
fn unfit(context: &Context, sync: &Sync, mapping: &Mapping) -> Option<(Reason, String)> {
    let status = mapping.status.as_ref();
    let conditions = status.map(|status| status.conditions.as_slice()).unwrap_or_default();
    if is_ready(conditions, status.and_then(|status| status.observed_generation), mapping.metadata.generation) {
        return None;
    }
    // Its status may be a moment old: a Sync that it has just made must not wait for it.
    let standing = judge(mapping, &references(context, mapping));
    let (Readiness::NotReady(reason, _) | Readiness::Stalled(reason, _) | Readiness::Reconciling(reason, _)) =
        standing.readiness
    else {
        return None;
    };
    // What only a person can decide, a person's Sync decides: by Reset, or adoptState.
    if awaits_a_person(reason) && !super::is_by_controller(sync) {
        return None;
    }
    Some((Reason::MappingNotReady, format!("Mapping {} is not Ready ({reason})", mapping.name_any())))
}

/// A Model's columns, if a check has seen them all: a list that was cut is no proof that a column is missing.
#[must_use]
pub fn columns(model: &Model) -> Option<Vec<Column>> {
    let status = model.status.as_ref()?;
    let complete = status.observed_generation == model.metadata.generation && !status.columns.is_empty();
    let cut = status.conditions.iter().any(|condition| condition.message.contains(crate::model::status::COLUMNS_CUT));
    let column =
        |column: &backflow_crds::v1alpha1::Column| Column { name: column.name.clone(), kind: column.type_.clone() };
    (complete && !cut).then(|| status.columns.iter().map(column).collect())
}

/// A Sync, ready to become a Job.
#[derive(Clone, Debug)]
pub struct Ready {
    /// What runs.
    pub task: Task,
    /// Settings of the pod.
    pub template: WorkerTemplate,
    /// Seconds to the deadline.
    pub deadline_seconds: i64,
    /// Replacement pods.
    pub backoff_limit: i32,
}

/// Why there is no [`Ready`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotReady {
    /// Something is not there any more.
    Missing(Reason, String),
    /// Something does not make a plan; its own status says it, too.
    Findings(Vec<Finding>),
}

/// Seconds that a Preview or a Forget may take.
const SHORT_RUN: i64 = 3_600;

/// Plans a Sync with what it refers to as that is now.
///
/// # Errors
/// [`NotReady`].
pub fn plan(context: &Context, sync: &Sync) -> Result<Ready, NotReady> {
    let namespace = sync.namespace().unwrap_or_default();
    if let Some(reference) = &sync.spec.mapping_ref {
        let mapping = context.stores.mappings.find(&namespace, &reference.name);
        let mapping = mapping.ok_or_else(|| missing(Reason::MappingNotFound, "Mapping", &reference.name))?;
        let (model, source) = model_and_source(context, &namespace, &mapping.spec.model_ref.name)?;
        let name = &mapping.spec.destination_ref.name;
        let destination = context.stores.destinations.find(&namespace, name);
        let destination = destination.ok_or_else(|| missing(Reason::DestinationNotFound, "Destination", name))?;
        let template = context.worker([mapping.spec.worker.as_ref(), source.spec.worker.as_ref()]);
        return mapping_run(context, sync, &mapping, (&model, &source, &destination), template);
    }
    let (source, resolved) = if let Some(reference) = &sync.spec.model_ref {
        let (model, source) = model_and_source(context, &namespace, &reference.name)?;
        let resolved = Resolved::Model { source: source_plan(&source)?, model: model_plan(&model)? };
        (source, resolved)
    } else {
        let name = sync.spec.forget.as_ref().map(|forget| forget.source_ref.name.clone()).unwrap_or_default();
        let source = context.stores.sources.find(&namespace, &name);
        let source = source.ok_or_else(|| missing(Reason::SourceNotFound, "Source", &name))?;
        let resolved = Resolved::Source(source_plan(&source)?);
        (source, resolved)
    };
    Ok(Ready {
        task: backflow_plan::sync(&sync.spec, resolved).map_err(NotReady::Findings)?,
        template: context.worker([source.spec.worker.as_ref()]),
        deadline_seconds: SHORT_RUN,
        backoff_limit: if sync.spec.mode == RunMode::Forget { 2 } else { 0 },
    })
}

fn mapping_run(
    context: &Context,
    sync: &Sync,
    mapping: &Mapping,
    (model, source, destination): (&Model, &Source, &Destination),
    template: WorkerTemplate,
) -> Result<Ready, NotReady> {
    let namespace = sync.namespace().unwrap_or_default();
    let (source_part, model_part) = (source_plan(source)?, model_plan(model)?);
    let definitions = context.shelf.definitions();
    let destination_part =
        backflow_plan::destination(&destination.name_any(), &destination.spec, &definitions, &Place::Cluster);
    let destination_part = destination_part.map_err(NotReady::Findings)?;
    let columns = columns(model);
    let parts = Parts {
        source: &source_part,
        model: &model_part,
        destination: &destination_part,
        definitions: &definitions,
        columns: columns.as_deref(),
    };
    let mut plan =
        backflow_plan::mapping(&namespace, &mapping.name_any(), &mapping.spec, parts).map_err(NotReady::Findings)?;
    if let Some(scratch) = template.scratch.as_ref().and_then(backflow_plan::bytes) {
        plan.scratch_bytes = scratch;
    }
    let deadline = mapping.spec.runs.deadline.seconds().and_then(|seconds| i64::try_from(seconds).ok());
    let resolved = Resolved::Mapping {
        source: source_part,
        model: model_part,
        mapping: Box::new(plan),
        destination: Box::new(destination_part),
    };
    Ok(Ready {
        task: backflow_plan::sync(&sync.spec, resolved).map_err(NotReady::Findings)?,
        template,
        deadline_seconds: deadline.unwrap_or(SHORT_RUN),
        backoff_limit: mapping.spec.runs.backoff_limit,
    })
}

fn model_and_source(
    context: &Context,
    namespace: &str,
    name: &str,
) -> Result<(std::sync::Arc<Model>, std::sync::Arc<Source>), NotReady> {
    let model =
        context.stores.models.find(namespace, name).ok_or_else(|| missing(Reason::ModelNotFound, "Model", name))?;
    let name = &model.spec.source_ref.name;
    let source =
        context.stores.sources.find(namespace, name).ok_or_else(|| missing(Reason::SourceNotFound, "Source", name))?;
    Ok((model, source))
}

fn source_plan(source: &Source) -> Result<backflow_core::plan::SourcePlan, NotReady> {
    backflow_plan::source(&source.name_any(), &source.spec, &Place::Cluster).map_err(NotReady::Findings)
}

fn model_plan(model: &Model) -> Result<backflow_core::plan::ModelPlan, NotReady> {
    backflow_plan::model(&model.name_any(), &model.spec).map_err(NotReady::Findings)
}

fn missing(reason: Reason, kind: &str, name: &str) -> NotReady {
    NotReady::Missing(reason, format!("{kind} {name} does not exist"))
}

/// A Sync's Job.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum JobView {
    /// There is none.
    #[default]
    None,
    /// There is one of its name, and it belongs to somebody else.
    Foreign,
    /// Its own.
    Own(OwnJob),
}

/// A Job that belongs to the object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OwnJob {
    /// How far it is.
    pub state: JobState,
    /// Its uid.
    pub uid: String,
    /// When it was created.
    pub created_at: Option<jiff::Timestamp>,
    /// It is being deleted.
    pub deleting: bool,
    /// Our annotations.
    pub annotations: std::collections::BTreeMap<String, String>,
}

/// The Job of a run, read if need be: what the watch shows of it has no status. `expected`: whether one should exist.
///
/// # Errors
/// If it cannot be read.
pub async fn job(context: &Context, run: &Key, owner: &str, expected: bool) -> Result<JobView, Error> {
    let meta = context.runs.job(run);
    if meta.is_none() && !expected {
        return Ok(JobView::None);
    }
    if let (Some(meta), Some(state)) = (&meta, context.runs.state(run)) {
        if meta.owner.as_ref().is_none_or(|present| present.uid != owner) {
            return Ok(JobView::Foreign);
        }
        return Ok(JobView::Own(OwnJob {
            state,
            uid: meta.uid.clone(),
            created_at: meta.created_at,
            deleting: meta.deleting,
            annotations: meta.annotations.clone(),
        }));
    }
    let Some(job) = context.api::<Job>(&run.namespace).get_opt(&run.name).await.map_err(Error::api("get of a Job"))?
    else {
        return Ok(JobView::None);
    };
    let view = view(&job, owner);
    if let (JobView::Own(own), Some(version)) = (&view, job.resource_version()) {
        context.runs.remember(run, version, own.state.clone());
    }
    Ok(view)
}

/// Reads a Job.
#[must_use]
pub fn view(job: &Job, owner: &str) -> JobView {
    let controlled =
        job.owner_references().iter().any(|present| present.controller == Some(true) && present.uid == owner);
    if !controlled {
        return JobView::Foreign;
    }
    JobView::Own(OwnJob {
        state: JobState::of(job),
        uid: job.uid().unwrap_or_default(),
        created_at: job.creation_timestamp().map(|time| time.0),
        deleting: job.metadata.deletion_timestamp.is_some(),
        annotations: job.annotations().clone(),
    })
}

/// The pods of a run, in the order of their creation.
#[must_use]
pub fn pods(context: &Context, run: &Key, job: &JobView) -> Vec<PodView> {
    match job {
        JobView::Own(own) => context.runs.pods(run, Some(&own.uid)),
        JobView::Foreign => Vec::new(),
        JobView::None => context.runs.pods(run, None),
    }
}
