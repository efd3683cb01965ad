//! How a Mapping stands, and what it does now. The schedule's decisions are `backflow_core::decide`'s.

use backflow_core::decide::{Phase, Suspended, SyncView, Trigger, UpstreamRun};
use backflow_core::plan::{PLAN_VERSION, Plan, Task};
use backflow_core::schedule::Schedule;
use backflow_crds::conditions::Readiness;
use backflow_crds::reasons::Reason;
use backflow_crds::v1alpha1::{self as api, Finding, Mapping, MappingStatus, Sync, SyncPhase};
use backflow_plan::{Parts, Place, Resolved};
use kube::ResourceExt as _;

use crate::check::of_findings;
use crate::labels;
use crate::mapping::dereference::References;
use crate::mapping::status::held;
use crate::sync::dereference::columns;
use crate::sync::is_by_controller;

/// How a Mapping stands with its manifest.
#[derive(Clone, Debug)]
pub struct Standing {
    /// For the conditions.
    pub readiness: Readiness,
    /// Everything that is wrong with it.
    pub findings: Vec<Finding>,
    /// Its schedule, if that can be read.
    pub schedule: Option<Schedule>,
    /// Who is suspended.
    pub suspended: Suspended,
}

impl Standing {
    /// Whether a run could start.
    #[must_use]
    pub fn is_fit(&self) -> bool {
        matches!(self.readiness, Readiness::Ready(..))
    }
}

/// Judges a Mapping.
#[must_use]
pub fn judge(mapping: &Mapping, references: &References) -> Standing {
    let suspended = Suspended {
        mapping: mapping.spec.suspend,
        source: references.source.as_ref().is_some_and(|source| source.spec.suspend),
        model: references.model.as_ref().is_some_and(|model| model.spec.suspend),
        destination: references.destination.as_ref().is_some_and(|destination| destination.spec.suspend),
    };
    let mut findings = Vec::new();
    let schedule = match backflow_plan::schedule(&mapping.spec.schedule) {
        Ok(schedule) => Some(schedule),
        Err(more) => {
            findings.extend(more);
            None
        }
    };
    findings.extend(beside_others(references));
    let readiness = match plan(mapping, references) {
        Err(Unfit::Findings(more)) => {
            findings.extend(more);
            of_findings(&findings)
        }
        _ if !findings.is_empty() => of_findings(&findings),
        Err(Unfit::Waits(readiness)) => readiness,
        Ok(identity) => accepted(mapping, references, &identity, suspended),
    };
    Standing { readiness, findings: backflow_plan::fit(findings), schedule, suspended }
}

fn accepted(mapping: &Mapping, references: &References, identity: &str, suspended: Suspended) -> Readiness {
    let status = mapping.status.clone().unwrap_or_default();
    let known = status.checkpoint.as_ref().and_then(|checkpoint| checkpoint.fingerprint.as_deref());
    if known.is_some_and(|known| known != identity) {
        let message = "the Mapping points at another account, action or database than its state does; point it back, or create a \
                       Sync of mode Reset, or one with adoptState: true";
        return Readiness::Stalled(Reason::IdentityChanged, message.into());
    }
    if let Some((reason, message)) = held(&status, mapping.metadata.generation, last_check(references)) {
        return Readiness::Stalled(reason, message);
    }
    let who: Vec<&str> = [
        (suspended.source, "its Source"),
        (suspended.model, "its Model"),
        (suspended.destination, "its Destination"),
        (suspended.mapping, "the Mapping"),
    ]
    .into_iter()
    .filter_map(|(is, who)| is.then_some(who))
    .collect();
    if who.is_empty() {
        Readiness::Ready(Reason::Accepted, String::new())
    } else {
        Readiness::Ready(Reason::Suspended, format!("no scheduled run starts: {} is suspended", who.join(" and ")))
    }
}

/// When something that the Mapping refers to was last checked.
fn last_check(references: &References) -> Option<jiff::Timestamp> {
    let source = references.source.as_ref().and_then(|source| source.status.as_ref()?.last_check_time.clone());
    let model = references.model.as_ref().and_then(|model| model.status.as_ref()?.last_check_time.clone());
    let destination =
        references.destination.as_ref().and_then(|destination| destination.status.as_ref()?.last_check_time.clone());
    [source, model, destination].into_iter().flatten().map(|time| time.0).max()
}

/// What is wrong with a Mapping only beside others.
fn beside_others(references: &References) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(first) = references.cycle.first() {
        findings.push(Finding {
            path: "spec.schedule.after.mappingRef.name".into(),
            code: Reason::ScheduleCycle.to_string(),
            message: format!(
                "these Mappings run after each other in a circle: {} -> {first}; give one of them another schedule",
                references.cycle.join(" -> ")
            ),
        });
    }
    if let Some(other) = &references.shares_state_with {
        findings.push(Finding {
            path: "spec.stateKey".into(),
            code: Reason::DuplicateStateKey.to_string(),
            message: format!("Mapping {other} has the same state; give one of them another stateKey"),
        });
    }
    findings
}

enum Unfit {
    Findings(Vec<Finding>),
    Waits(Readiness),
}

/// Plans the Mapping as a run would. Returns the hash of its identity.
fn plan(mapping: &Mapping, references: &References) -> Result<String, Unfit> {
    let missing = |reason: Reason, kind: &str, name: &str| {
        Unfit::Waits(Readiness::NotReady(reason, format!("{kind} {name} does not exist")))
    };
    let spec = &mapping.spec;
    let model =
        references.model.as_ref().ok_or_else(|| missing(Reason::ModelNotFound, "Model", &spec.model_ref.name))?;
    let source_name = &model.spec.source_ref.name;
    let source = references.source.as_ref().ok_or_else(|| missing(Reason::SourceNotFound, "Source", source_name))?;
    let destination = references.destination.as_ref();
    let destination_name = &spec.destination_ref.name;
    let destination =
        destination.ok_or_else(|| missing(Reason::DestinationNotFound, "Destination", destination_name))?;
    let unfit = |reason: Reason, kind: &str, name: &str| {
        Unfit::Waits(Readiness::NotReady(reason, format!("{kind} {name} is not Ready; see its conditions")))
    };
    let source_plan = backflow_plan::source(source_name, &source.spec, &Place::Cluster)
        .map_err(|_| unfit(Reason::SourceNotReady, "Source", source_name))?;
    let model_plan = backflow_plan::model(&model.name_any(), &model.spec)
        .map_err(|_| unfit(Reason::ModelNotReady, "Model", &model.name_any()))?;
    let definitions = &*references.definitions;
    let destination_plan =
        backflow_plan::destination(destination_name, &destination.spec, definitions, &Place::Cluster)
            .map_err(|_| unfit(Reason::DestinationNotReady, "Destination", destination_name))?;
    let columns = columns(model);
    let parts = Parts {
        source: &source_plan,
        model: &model_plan,
        destination: &destination_plan,
        definitions,
        columns: columns.as_deref(),
    };
    let namespace = mapping.namespace().unwrap_or_default();
    let plan = backflow_plan::mapping(&namespace, &mapping.name_any(), spec, parts).map_err(Unfit::Findings)?;
    let identity = backflow_plan::identity_fingerprint(&plan.identity);
    let resolved = Resolved::Mapping {
        source: source_plan,
        model: model_plan,
        mapping: Box::new(plan),
        destination: Box::new(destination_plan),
    };
    fits_an_annotation(mapping, resolved)?;
    let usable = references.usable;
    if !usable.source {
        return Err(unfit(Reason::SourceNotReady, "Source", source_name));
    }
    if !usable.model {
        return Err(unfit(Reason::ModelNotReady, "Model", &model.name_any()));
    }
    if !usable.destination {
        return Err(unfit(Reason::DestinationNotReady, "Destination", destination_name));
    }
    Ok(identity)
}

/// Whether a run's plan is small enough. Only a plan that could be too large is packed to see.
fn fits_an_annotation(mapping: &Mapping, resolved: Resolved) -> Result<(), Unfit> {
    /// What JSON of this size compresses to, with base64 and all, is never too large.
    const SMALL: usize = backflow_plan::MAX_ENCODED / 2;
    let spec = incremental(&mapping.name_any(), api::Trigger::Schedule);
    let task: Task = backflow_plan::sync(&spec, resolved).map_err(Unfit::Findings)?;
    if serde_json::to_vec(&task).map_or(usize::MAX, |json| json.len()) <= SMALL {
        return Ok(());
    }
    let plan = Plan {
        version: PLAN_VERSION,
        run: mapping.name_any(),
        namespace: mapping.namespace().unwrap_or_default(),
        token: "0".repeat(32),
        owner: "0".repeat(36),
        deadline_seconds: Some(u64::from(u32::MAX)),
        task,
    };
    match backflow_plan::encode(&plan) {
        Ok(_) => Ok(()),
        Err(too_large) => Err(Unfit::Findings(vec![Finding {
            path: "spec".into(),
            code: Reason::PlanTooLarge.to_string(),
            message: too_large.to_string(),
        }])),
    }
}

/// The spec of a Sync that the controller makes.
#[must_use]
pub fn incremental(mapping: &str, trigger: api::Trigger) -> api::SyncSpec {
    api::SyncSpec {
        mapping_ref: Some(api::LocalRef::new(mapping)),
        model_ref: None,
        forget: None,
        mode: api::RunMode::Incremental,
        trigger,
        replay: None,
        test: None,
        limit: None,
        approve_deletes: None,
        retry_rejected: false,
        adopt_state: false,
        confirm: false,
        cancel: false,
    }
}

/// A Sync as the schedule sees it.
#[must_use]
pub fn view<'a>(mapping: &Mapping, sync: &'a Sync) -> SyncView<'a> {
    let uid = mapping.uid();
    let status = sync.status.as_ref();
    let finished = status.filter(|status| status.is_finished());
    let at = finished.and_then(|status| status.finished_at.as_ref()).map(|time| time.0);
    SyncView {
        name: sync.metadata.name.as_deref().unwrap_or_default(),
        by_controller: is_by_controller(sync),
        owned: sync.owner_references().iter().any(|owner| Some(&owner.uid) == uid.as_ref()),
        trigger: match sync.spec.trigger {
            api::Trigger::Schedule => Trigger::Schedule,
            api::Trigger::Manual => Trigger::Manual,
            api::Trigger::After => Trigger::After,
        },
        slot: sync.annotations().get(labels::SLOT).and_then(|slot| slot.parse().ok()),
        started_at: status.and_then(|status| status.started_at.as_ref()).map(|time| time.0),
        phase: match (finished, status.and_then(|status| status.phase)) {
            (Some(status), _) => {
                Phase::Finished { at: at.unwrap_or_default(), succeeded: status.phase == Some(SyncPhase::Succeeded) }
            }
            (None, Some(SyncPhase::Running | SyncPhase::Canceling)) => Phase::Running,
            (None, _) => Phase::Queued,
        },
    }
}

/// The last run of the Mapping that is followed.
#[must_use]
pub fn upstream(status: Option<&MappingStatus>) -> Option<UpstreamRun<'_>> {
    let last = status?.last_sync.as_ref()?;
    let delivered = last.delivered.unwrap_or_default();
    let found = last.extracted.unwrap_or_default();
    let succeeded = last.phase == Some(SyncPhase::Succeeded);
    Some(UpstreamRun {
        sync: &last.name,
        finished_at: last.finished_at.as_ref()?.0,
        delivered: delivered.inserted + delivered.updated + delivered.upserted + delivered.deleted > 0,
        nothing_to_do: succeeded && found.added + found.updated + found.deleted == 0,
    })
}
