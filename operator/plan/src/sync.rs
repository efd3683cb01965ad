//! Sync → [`Task`].

use backflow_core::plan::{
    DestinationPlan, ForgetPlan, MappingPlan, Mode, ModelPlan, PreviewPlan, Replay, RunOptions, SourcePlan, SyncPlan,
    Task,
};
use backflow_crds::v1alpha1::{RunMode, SyncSpec};

use crate::finding::{Finding, Findings};

/// Rows that a Preview prints unless told.
const PREVIEW_ROWS: u32 = 10;

/// What a Sync refers to, already planned.
#[derive(Clone, Debug)]
pub enum Resolved {
    /// A Mapping with all that it needs.
    Mapping {
        /// The Source of the Model.
        source: SourcePlan,
        /// The Model.
        model: ModelPlan,
        /// The Mapping.
        mapping: Box<MappingPlan>,
        /// The Destination.
        destination: Box<DestinationPlan>,
    },
    /// A Model, for Preview.
    Model {
        /// Its Source.
        source: SourcePlan,
        /// The Model.
        model: ModelPlan,
    },
    /// A Source, for Forget.
    Source(SourcePlan),
}

/// Findings of a Sync's own spec: what can be said without what it refers to.
#[must_use]
pub fn check_sync(spec: &SyncSpec) -> Vec<Finding> {
    let mut findings = Findings::default();
    let references = [spec.mapping_ref.is_some(), spec.model_ref.is_some(), spec.forget.is_some()];
    let wanted = match spec.mode {
        RunMode::Preview => ([false, true, false], "modelRef"),
        RunMode::Forget => ([false, false, true], "forget"),
        _ => ([true, false, false], "mappingRef"),
    };
    if references != wanted.0 {
        findings.add(
            "spec.mode",
            "InvalidSpec",
            format!("mode {:?} needs {} and nothing beside it", spec.mode, wanted.1),
        );
    }
    match spec.mode {
        RunMode::Replay if replay(spec).is_none() => {
            findings.add(
                "spec.replay",
                "InvalidSpec",
                "mode Replay needs exactly one of replay.syncRef (all rows of a past Sync) and replay.keys (primary keys)",
            );
        }
        RunMode::Test if spec.test.is_none() => {
            findings.add(
                "spec.test",
                "InvalidSpec",
                "mode Test needs test: {key: …}, the primary key of the row to send",
            );
        }
        _ => {}
    }
    findings.finish(()).err().unwrap_or_default()
}

/// What a Replay sends again, if the spec says exactly one thing.
fn replay(spec: &SyncSpec) -> Option<Replay> {
    let replay = spec.replay.as_ref()?;
    match (&replay.sync_ref, &replay.keys) {
        (Some(sync), None) => Some(Replay::Run(sync.name.clone())),
        (None, Some(keys)) if !keys.is_empty() => Some(Replay::Keys(keys.clone())),
        _ => None,
    }
}

/// Plans a Sync.
///
/// # Errors
/// All findings of its spec.
pub fn sync(spec: &SyncSpec, resolved: Resolved) -> Result<Task, Vec<Finding>> {
    let findings = check_sync(spec);
    if !findings.is_empty() {
        return Err(findings);
    }
    Ok(match resolved {
        Resolved::Mapping { source, model, mapping, destination } => Task::Sync(Box::new(SyncPlan {
            mode: match (spec.mode, &spec.test, replay(spec)) {
                (RunMode::Full, ..) => Mode::Full,
                (RunMode::Reset, ..) => Mode::Reset,
                (RunMode::DryRun, ..) => Mode::DryRun,
                (RunMode::Replay, _, Some(replay)) => Mode::Replay(replay),
                (RunMode::Test, Some(test), _) => Mode::Test { key: test.key.clone() },
                _ => Mode::Incremental,
            },
            source,
            model,
            mapping: *mapping,
            destination: *destination,
            options: RunOptions {
                approve_deletes: spec.approve_deletes.map(|ceiling| u64::try_from(ceiling).unwrap_or_default()),
                retry_rejected: spec.retry_rejected,
                adopt_state: spec.adopt_state,
                confirm: spec.confirm,
            },
        })),
        Resolved::Model { source, model } => {
            let limit = spec.limit.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(PREVIEW_ROWS);
            Task::Preview(source, model, PreviewPlan { limit })
        }
        Resolved::Source(source) => Task::Forget(
            source,
            ForgetPlan {
                state_key: spec.forget.as_ref().map(|forget| forget.state_key.clone()).unwrap_or_default(),
                adopt_state: spec.adopt_state,
            },
        ),
    })
}
