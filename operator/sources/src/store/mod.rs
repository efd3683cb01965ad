//! State as objects: outside of the warehouse, for sources that may only be read, in a bucket or in a folder of a volume; and in a table
//! of a warehouse that has no transactions over several requests.
//!
//! [`packed`] keeps the state as objects, fenced by a [`chain`] of numbered heads that only one writer can extend; [`objects`] is what
//! it asks of a place, [`cloud`], [`directory`] and [`table`] are the places. The layout is in `docs/state-format.md`.

mod chain;
mod cloud;
mod cloud_errors;
mod directory;
mod head;
mod listing;
mod name;
mod objects;
mod packed;
mod parts;
mod rejects;
mod runs;
pub(crate) mod table;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use backflow_core::code::Failure;
use backflow_core::plan::StateStorePlan;
use backflow_core::secret::Secrets;

use self::cloud::Cloud;
use self::directory::Directory;
use self::objects::Objects;
pub(crate) use self::packed::PackedState;

/// The store that a plan names. Nothing is contacted and no file is touched.
///
/// # Errors
/// `SecretNotFound`, `SecretKeyNotFound`; `AuthenticationFailed` for keys and addresses of a wrong form.
pub(crate) fn open(plan: &StateStorePlan, secrets: &dyn Secrets) -> Result<PackedState, Failure> {
    let objects: Arc<dyn Objects> = match plan {
        StateStorePlan::S3(plan) => Arc::new(Cloud::s3(plan, secrets)?),
        StateStorePlan::Gcs(plan) => Arc::new(Cloud::gcs(plan, secrets)?),
        StateStorePlan::Azure(plan) => Arc::new(Cloud::azure(plan, secrets)?),
        StateStorePlan::Directory(plan) => Arc::new(Directory::new(Path::new(&plan.path), plan.claim.as_deref())),
    };
    Ok(PackedState::new(objects))
}
