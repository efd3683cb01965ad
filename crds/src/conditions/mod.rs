//! Conditions as kstatus, Flux and `kubectl wait` read them.
//!
//! `Ready` is always there; `Reconciling`, `Stalled` and `DeletesWithheld` only while they are true. [`Readiness`] sets
//! `Ready`, `Reconciling` and `Stalled` together, so that they never contradict each other. [`check()`] says whether they do.

mod check;
#[cfg(test)]
mod tests;

pub use check::{Violation, check, check_step};

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::reasons::Reason;

/// The longest message of a condition, in bytes.
pub const MESSAGE_MAX: usize = 1024;

/// The types of condition, in the order in which a status lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionType {
    /// Accepted, resolved, and fit to be used.
    Ready,
    /// Work on the newest spec is going on. Only while true.
    Reconciling,
    /// The manifest is wrong, and nothing but an edit can mend it; or a Sync has ended without success, and is never tried again.
    /// Only while true.
    Stalled,
    /// Mapping: whether the last run succeeded; Unknown before the first.
    LastSyncSucceeded,
    /// Mapping: False while records stay rejected.
    Healthy,
    /// Mapping and Sync: deletions wait for approval. Only while true.
    DeletesWithheld,
    /// Sync: it has ended.
    Complete,
    /// Sync: whether it succeeded; Unknown until it has ended.
    Succeeded,
}

impl ConditionType {
    /// Every type.
    pub const ALL: [Self; 8] = [
        Self::Ready,
        Self::Reconciling,
        Self::Stalled,
        Self::LastSyncSucceeded,
        Self::Healthy,
        Self::DeletesWithheld,
        Self::Complete,
        Self::Succeeded,
    ];

    /// The type as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::LastSyncSucceeded => "LastSyncSucceeded",
            Self::Healthy => "Healthy",
            Self::DeletesWithheld => "DeletesWithheld",
            Self::Complete => "Complete",
            Self::Succeeded => "Succeeded",
        }
    }

    /// Whether it is there only while it is true.
    #[must_use]
    pub const fn only_while_true(self) -> bool {
        matches!(self, Self::Reconciling | Self::Stalled | Self::DeletesWithheld)
    }
}

impl fmt::Display for ConditionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum ConditionStatus {
    True,
    False,
    Unknown,
}

impl ConditionStatus {
    /// The status as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for ConditionStatus {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// What is said of an object at one moment.
#[derive(Clone, Debug)]
pub struct Moment {
    /// Generation of the spec that it is said of.
    pub generation: i64,
    /// When it is said.
    pub now: Time,
}

/// Sets one condition. Its `lastTransitionTime` moves only with its status, and never back. A type that is there only
/// while true is removed by any other status. Messages are cut to [`MESSAGE_MAX`]; an empty one becomes the reason's
/// meaning.
///
/// `Ready`, `Reconciling` and `Stalled` belong together: set them by [`Readiness`].
pub fn set(
    conditions: &mut Vec<Condition>,
    type_: ConditionType,
    status: ConditionStatus,
    reason: Reason,
    message: &str,
    at: &Moment,
) {
    if type_.only_while_true() && status != ConditionStatus::True {
        return remove(conditions, type_);
    }
    let before = conditions.iter().find(|condition| condition.type_ == type_.as_str());
    let last_transition_time = match before {
        Some(before) if before.status == status.as_str() => before.last_transition_time.clone(),
        Some(before) => before.last_transition_time.clone().max(at.now.clone()),
        None => at.now.clone(),
    };
    let message = if message.trim().is_empty() { reason.meaning() } else { message };
    let condition = Condition {
        type_: type_.as_str().into(),
        status: status.as_str().into(),
        reason: reason.as_str().into(),
        message: cut(message).into(),
        last_transition_time,
        observed_generation: Some(at.generation),
    };
    conditions.retain(|other| other.type_ != condition.type_);
    conditions.push(condition);
    conditions.sort_by_key(|condition| {
        ConditionType::ALL.iter().position(|known| known.as_str() == condition.type_).unwrap_or(usize::MAX)
    });
}

/// Removes a condition.
pub fn remove(conditions: &mut Vec<Condition>, type_: ConditionType) {
    conditions.retain(|condition| condition.type_ != type_.as_str());
}

/// The status of a condition; `None` when it is not there.
#[must_use]
pub fn status(conditions: &[Condition], type_: ConditionType) -> Option<ConditionStatus> {
    let condition = conditions.iter().find(|condition| condition.type_ == type_.as_str())?;
    [ConditionStatus::True, ConditionStatus::False, ConditionStatus::Unknown]
        .into_iter()
        .find(|status| status.as_str() == condition.status)
}

fn cut(message: &str) -> &str {
    &message[..message.floor_char_boundary(MESSAGE_MAX)]
}

/// How an object stands with its manifest. Each says a reason and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Fit to be used: `Ready=True`.
    Ready(Reason, String),
    /// Work is going on: `Ready=False`, `Reconciling=True`.
    Reconciling(Reason, String),
    /// The world is wrong, and is tried again: `Ready=False`.
    NotReady(Reason, String),
    /// Nothing is tried until somebody acts: `Ready=False`, `Stalled=True`.
    Stalled(Reason, String),
}

impl Readiness {
    /// The reading that fits the reason's scope: a wrong manifest stalls, a wrong world does not.
    #[must_use]
    pub fn of(reason: Reason, message: String) -> Self {
        if reason.stalls() { Self::Stalled(reason, message) } else { Self::NotReady(reason, message) }
    }

    /// The reading of something that has ended for good, as of a Job: who waits for it learns at once how it went, and never waits
    /// for a failure to go away.
    #[must_use]
    pub fn ended(well: bool, reason: Reason, message: String) -> Self {
        if well { Self::Ready(reason, message) } else { Self::Stalled(reason, message) }
    }

    /// Sets `Ready`, `Reconciling` and `Stalled`. All other conditions are said again of this generation: tools take a
    /// condition of an older generation for unfinished work.
    pub fn set(&self, conditions: &mut Vec<Condition>, at: &Moment) {
        let (Self::Ready(reason, message)
        | Self::Reconciling(reason, message)
        | Self::NotReady(reason, message)
        | Self::Stalled(reason, message)) = self;
        let mut put = |type_, holds: bool| set(conditions, type_, ConditionStatus::from(holds), *reason, message, at);
        put(ConditionType::Ready, matches!(self, Self::Ready(..)));
        put(ConditionType::Reconciling, matches!(self, Self::Reconciling(..)));
        put(ConditionType::Stalled, matches!(self, Self::Stalled(..)));
        for condition in conditions {
            condition.observed_generation = Some(at.generation);
        }
    }
}
