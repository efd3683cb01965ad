//! The Job of a check.

use backflow_core::plan::{PLAN_VERSION, Plan, Task};
use backflow_crds::reasons::Reason;
use backflow_crds::v1alpha1::WorkerTemplate;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt as _;
use kube::api::PostParams;
use sha2::{Digest as _, Sha256};

use crate::check::Checked;
use crate::context::Context;
use crate::error::{Error, is_already_exists, refusal};
use crate::labels;
use crate::metrics::Kind;
use crate::sync::SMALL_SCRATCH;
use crate::sync::dereference::{JobView, view};
use crate::sync::job::{WorkerJob, build};

/// A check that lasts longer has failed. Includes the time that its image takes to arrive.
const DEADLINE_SECONDS: i64 = 600;
/// A finished check is kept for longer than the longest pause between two.
const KEPT_SECONDS: i32 = 3_600;

/// A check to be made.
#[derive(Clone, Debug)]
pub struct Check {
    /// Name of its Job.
    pub name: String,
    /// Hash of what is checked.
    pub inputs: String,
    /// Which try in a row.
    pub attempt: u32,
    /// What is checked.
    pub task: Task,
    /// Settings of the pod.
    pub template: WorkerTemplate,
}

/// Name of the Job: `{kind}-{hash}-{generation}`. Names of objects may be longer than those of Jobs; the uid keeps an object that was
/// made again apart from its namesake.
#[must_use]
pub fn name(kind: Kind, name: &str, uid: &str, generation: i64) -> String {
    let hash = hash(&[name.as_bytes(), uid.as_bytes()]);
    format!("{}-{}-{generation}", kind.as_str().to_lowercase(), &hash[..10])
}

/// Hash of what is checked, and of the pod that does it: its identity and its authorities are part of what passes or does not.
#[must_use]
pub fn inputs(task: &Task, template: &WorkerTemplate) -> String {
    // Both always serialise.
    let parts = [serde_json::to_vec(task).unwrap_or_default(), serde_json::to_vec(template).unwrap_or_default()];
    hash(&[&parts[0], &parts[1]])[..32].to_owned()
}

fn hash(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Creates the Job. Returns why the cluster refuses it, if it does.
///
/// # Errors
/// If the API server does not answer.
pub async fn create<K: Checked>(
    context: &Context,
    object: &K,
    check: Check,
) -> Result<Option<(Reason, String)>, Error> {
    let mut owner = object.controller_owner_ref(&()).unwrap_or_default();
    // Deletion never waits for us.
    owner.block_owner_deletion = Some(false);
    let namespace = object.namespace().unwrap_or_default();
    let plan = Plan {
        version: PLAN_VERSION,
        run: check.name.clone(),
        namespace: namespace.clone(),
        token: crate::token::random()?,
        owner: context.owner.clone(),
        deadline_seconds: u64::try_from(DEADLINE_SECONDS).ok(),
        task: check.task,
    };
    let encoded = match backflow_plan::encode(&plan) {
        Ok(encoded) => encoded,
        Err(too_large) => return Ok(Some((Reason::PlanTooLarge, too_large.to_string()))),
    };
    let job = build(&WorkerJob {
        plan: &plan,
        encoded,
        owner,
        kind: K::KIND.as_str(),
        mapping: None,
        annotations: labels::map([(labels::INPUTS, &check.inputs), (labels::ATTEMPT, &check.attempt.to_string())]),
        template: &check.template,
        scratch_bytes: SMALL_SCRATCH,
        deadline_seconds: DEADLINE_SECONDS,
        backoff_limit: 0,
        ttl_seconds: KEPT_SECONDS,
        image: &context.image,
        log: &context.log,
    });
    match context.api::<Job>(&namespace).create(&PostParams::default(), &job).await {
        Ok(_) => Ok(None),
        Err(error) if is_already_exists(&error) => {
            let present =
                context.api::<Job>(&namespace).get_opt(&check.name).await.map_err(Error::api("get of a Job"))?;
            let uid = object.uid().unwrap_or_default();
            let foreign = present.is_some_and(|present| view(&present, &uid) == JobView::Foreign);
            let message = format!("a Job \"{}\" exists and belongs to something else; delete it", check.name);
            Ok(foreign.then_some((Reason::NameCollision, message)))
        }
        Err(error) => match refusal(&error) {
            Some(message) => Ok(Some((Reason::PodRefused, message))),
            None => Err(Error::Api { call: "create of a check's Job", source: error }),
        },
    }
}
