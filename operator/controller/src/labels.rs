//! Labels and annotations that the controller writes.

use std::collections::BTreeMap;

/// Label of everything that the controller creates.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Its value.
pub const BACKFLOW: &str = "backflow";
/// Label: what the object is in Backflow.
pub const COMPONENT: &str = "app.kubernetes.io/component";
/// Label: which program.
pub const NAME: &str = "app.kubernetes.io/name";
/// Label of Jobs and pods: the run, which is the Job's name.
pub const RUN: &str = "backflow.dev/run";
/// Label of Jobs and pods: what the run is for, Sync or the kind that is checked.
pub const KIND: &str = "backflow.dev/kind";
/// Label of Syncs, Jobs and pods: the Mapping.
pub const MAPPING: &str = "backflow.dev/mapping";
/// Annotation of Syncs that the controller made: the slot, RFC 3339.
pub const SLOT: &str = "backflow.dev/slot";
/// Annotation of pods: the plan.
pub const PLAN: &str = "backflow.dev/plan";
/// Annotation of pods: what the progress port wants to hear. It is in the plan, too; here the controller finds it without unpacking.
pub const TOKEN: &str = "backflow.dev/token";
/// Annotation of Jobs: hash of the checkpoint's identity.
pub const IDENTITY: &str = "backflow.dev/identity";
/// Annotation of Jobs: where the checkpoint lives.
pub const LOCATION: &str = "backflow.dev/location";
/// Annotation of check Jobs: hash of what is checked.
pub const INPUTS: &str = "backflow.dev/inputs";
/// Annotation of check Jobs: which try in a row it is, from 1.
pub const ATTEMPT: &str = "backflow.dev/attempt";

/// Selects what the controller's workers run in.
#[must_use]
pub fn selector() -> String {
    format!("{MANAGED_BY}={BACKFLOW},{RUN}")
}

/// Whether a key belongs to the project.
#[must_use]
pub fn is_ours(key: &str) -> bool {
    key.starts_with("backflow.dev/")
}

/// Labels from pairs.
#[must_use]
pub fn map<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}
