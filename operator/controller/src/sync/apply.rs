//! What a Sync does to the cluster: creates its Job, or deletes it.

use std::collections::BTreeMap;

use backflow_core::plan::{PLAN_VERSION, Plan, Task};
use backflow_crds::reasons::Reason;
use backflow_crds::v1alpha1::Sync;
use k8s_openapi::api::batch::v1::Job;
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::{Resource, ResourceExt as _};

use crate::context::Context;
use crate::error::{Error, is_already_exists, is_not_found, refusal};
use crate::labels;
use crate::runs::{JobMeta, JobState};
use crate::store::Key;
use crate::sync::dereference::{JobView, OwnJob, Ready, view};
use crate::sync::job::{WorkerJob, build};

/// Finished Jobs are kept for a day, for their logs; the Sync's end deletes them earlier.
const KEPT_SECONDS: i32 = 86_400;

/// How an attempt to start ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Started {
    /// The Job exists and is this Sync's; `new` if it was made now.
    Job {
        /// The Job.
        job: OwnJob,
        /// It was made now.
        new: bool,
    },
    /// It can never start.
    Refused(Reason, String),
    /// The cluster refuses it for now.
    NotNow(Reason, String),
}

/// Creates the Job. Its name is the lock: if it is taken, by this very Sync, the Job is adopted.
///
/// # Errors
/// If the API server does not answer.
pub async fn start(context: &Context, sync: &Sync, ready: Ready) -> Result<Started, Error> {
    let job = match job(context, sync, ready, crate::token::random()?) {
        Ok(job) => job,
        Err(too_large) => return Ok(Started::Refused(Reason::PlanTooLarge, too_large.to_string())),
    };
    let api = context.api::<Job>(&sync.namespace().unwrap_or_default());
    let uid = sync.uid().unwrap_or_default();
    match api.create(&PostParams::default(), &job).await {
        Ok(created) => {
            saw(context, sync, &created);
            Ok(own(&created, &uid, true))
        }
        Err(error) if is_already_exists(&error) => {
            let name = sync.name_any();
            match api.get_opt(&name).await.map_err(Error::api("get of a Job"))? {
                Some(present) => Ok(own(&present, &uid, false)),
                None => Err(Error::Conflict(format!("Job {name}"))),
            }
        }
        Err(kube::Error::Api(status)) if status.is_invalid() || status.code == 400 => {
            Ok(Started::Refused(Reason::PodRefused, status.message.clone()))
        }
        Err(error) => match refusal(&error) {
            Some(message) => Ok(Started::NotNow(Reason::PodRefused, message)),
            None => Err(Error::Api { call: "create of a Job", source: error }),
        },
    }
}

/// What a watch is about to show: the Sync is looked at again, and nobody has to read the Job for that.
fn saw(context: &Context, sync: &Sync, job: &Job) {
    let run = Key::of(sync);
    context.runs.created(run.clone(), JobMeta::of(job), JobState::of(job));
    context.queues.syncs.add(run);
}

fn own(job: &Job, uid: &str, new: bool) -> Started {
    match view(job, uid) {
        JobView::Own(job) => Started::Job { job, new },
        _ => {
            let name = job.name_any();
            let message = format!("a Job \"{name}\" exists and belongs to something else; delete it");
            Started::Refused(Reason::NameCollision, message)
        }
    }
}

fn job(context: &Context, sync: &Sync, ready: Ready, token: String) -> Result<Job, backflow_plan::TooLarge> {
    let annotations = annotations(&ready.task);
    let scratch_bytes = match &ready.task {
        Task::Sync(sync) => sync.mapping.scratch_bytes,
        _ => ready.template.scratch.as_ref().and_then(backflow_plan::bytes).unwrap_or(super::SMALL_SCRATCH),
    };
    let plan = Plan {
        version: PLAN_VERSION,
        run: sync.name_any(),
        namespace: sync.namespace().unwrap_or_default(),
        token,
        owner: context.owner.clone(),
        deadline_seconds: u64::try_from(ready.deadline_seconds).ok(),
        task: ready.task,
    };
    let mut owner = sync.controller_owner_ref(&()).unwrap_or_default();
    // Deletion never waits for us.
    owner.block_owner_deletion = Some(false);
    Ok(build(&WorkerJob {
        encoded: backflow_plan::encode(&plan)?,
        plan: &plan,
        owner,
        kind: "Sync",
        mapping: sync.spec.mapping_ref.as_ref().map(|mapping| mapping.name.as_str()),
        annotations,
        template: &ready.template,
        scratch_bytes,
        deadline_seconds: ready.deadline_seconds,
        backoff_limit: ready.backoff_limit,
        ttl_seconds: KEPT_SECONDS,
        image: &context.image,
        log: &context.log,
    }))
}

/// What the status will say of the checkpoint, frozen with the plan.
fn annotations(task: &Task) -> BTreeMap<String, String> {
    let Task::Sync(sync) = task else { return BTreeMap::new() };
    labels::map([
        (labels::IDENTITY, &backflow_plan::identity_fingerprint(&sync.mapping.identity)),
        (labels::LOCATION, &sync.source.state.place(&sync.source.name)),
    ])
}

/// Deletes a Job, if it is still this one, and its pods.
///
/// # Errors
/// If the API server does not answer.
pub async fn delete_job(context: &Context, namespace: &str, name: &str, uid: &str) -> Result<(), Error> {
    let params = DeleteParams {
        preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
        ..DeleteParams::background()
    };
    match context.api::<Job>(namespace).delete(name, &params).await {
        Ok(_) => Ok(()),
        Err(error) if is_not_found(&error) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_conflict() => Ok(()),
        Err(error) => Err(Error::Api { call: "delete of a Job", source: error }),
    }
}
