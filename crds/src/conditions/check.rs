//! The rules that tools rely on: those by which Flux checks its own controllers (fluxcd/pkg, `runtime/conditions/check`),
//! and ours.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{ConditionStatus, ConditionType, status};

/// A rule that a status breaks, in words.
pub type Violation = &'static str;

/// Checks a status as a reconcile leaves it: the `conditions` and `observedGeneration` of an object of this `generation`.
#[must_use]
pub fn check(conditions: &[Condition], observed_generation: Option<i64>, generation: i64) -> Vec<Violation> {
    use ConditionStatus::{False, True, Unknown};
    use ConditionType::{Complete, Ready, Reconciling, Stalled};

    let observed = observed_generation.unwrap_or(-1);
    let ready = status(conditions, Ready);
    let is_ready = ready == Some(True);
    let (reconciling, stalled) = (status(conditions, Reconciling), status(conditions, Stalled));
    let of = |generation: i64| conditions.iter().all(|condition| condition.observed_generation == Some(generation));
    let types: BTreeSet<_> = conditions.iter().map(|condition| &condition.type_).collect();
    let absent_or_true = |type_: &ConditionType| {
        !type_.only_while_true() || status(conditions, *type_).is_none_or(|status| status == True)
    };

    // The numbers are Flux's. FAIL0010 (the root's generation lags while Reconciling) is not asked of a final status.
    let rules = [
        (
            is_ready && (reconciling == Some(True) || stalled == Some(True)),
            "FAIL0001: Ready beside Reconciling or Stalled",
        ),
        (ready.is_none(), "FAIL0002: Ready is missing"),
        (reconciling == Some(True) && ready != Some(False), "FAIL0003: Reconciling, but Ready is not False"),
        (stalled == Some(True) && ready != Some(False), "FAIL0004: Stalled, but Ready is not False"),
        (reconciling.is_some() && stalled.is_some(), "FAIL0005: Reconciling and Stalled at once"),
        (observed > generation, "FAIL0006: observedGeneration is ahead of the object"),
        (observed < generation && is_ready, "FAIL0007: Ready, but observedGeneration lags"),
        (is_ready && !of(generation), "FAIL0008: Ready, but a condition is of another generation"),
        (is_ready && !of(observed), "FAIL0009: Ready, but a condition differs from observedGeneration"),
        (ready == Some(Unknown) && reconciling != Some(True), "FAIL0011: Ready is Unknown, but not Reconciling"),
        (
            status(conditions, Complete) == Some(True) && !is_ready && stalled != Some(True),
            "it has ended, but who waits for it waits on: neither Ready nor Stalled",
        ),
        (types.len() < conditions.len(), "a condition is listed twice"),
        (!ConditionType::ALL.iter().all(absent_or_true), "a condition that is there only while true is not true"),
        (
            conditions.iter().any(|condition| condition.reason.is_empty() || condition.message.is_empty()),
            "a condition has no reason or no message",
        ),
    ];
    rules.into_iter().filter(|(broken, _)| *broken).map(|(_, rule)| rule).collect()
}

/// Checks a step of a status' history: conditions and `observedGeneration` before and after.
#[must_use]
pub fn check_step(before: (&[Condition], Option<i64>), after: (&[Condition], Option<i64>)) -> Vec<Violation> {
    let pairs = || before.0.iter().filter_map(|old| Some((old, after.0.iter().find(|new| new.type_ == old.type_)?)));
    let rules = [
        (after.1 < before.1, "observedGeneration decreases"),
        (pairs().any(|(old, new)| new.last_transition_time < old.last_transition_time), "a transition time moves back"),
        (
            pairs().any(|(old, new)| old.status == new.status && old.last_transition_time != new.last_transition_time),
            "a transition time moves though the status does not",
        ),
    ];
    rules.into_iter().filter(|(broken, _)| *broken).map(|(_, rule)| rule).collect()
}
