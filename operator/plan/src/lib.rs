//! From manifests to plans: the one place where what users write becomes what runs.
//!
//! Pure. Each kind has a function that takes its spec (and what it refers to, already planned) and returns its part of the
//! [`backflow_core::plan::Plan`], or **all** findings at once. Whatever a manifest may say and this version cannot do is a finding
//! with the code `NotSupported`: nothing is accepted and ignored.

mod cloud;
mod definition;
mod destination;
mod fields;
mod finding;
mod mapping;
mod model;
mod quantity;
mod schedule;
mod source;
mod state;
mod sync;
mod sync_status;

pub use backflow_core::codec::{MAX_ENCODED, TooLarge, decode, encode};
pub use definition::{DefinitionProblem, Definitions, Known, Supplied, definition};
pub use destination::destination;
pub use finding::{Finding, Findings, fit};
pub use mapping::{Parts, identity_fingerprint, mapping, state_key};
pub use model::model;
pub use quantity::bytes;
pub use schedule::schedule;
pub use source::{source, worker};
pub use sync::{Resolved, check_sync, sync};
pub use sync_status::{ERRORS_MAX, Ended, FIELD_MAX, MESSAGE_MAX, STILL_REJECTED, reason, sync_status};

/// Where a plan will run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a pod of a cluster: no SQLite, no loopback.
    Cluster,
    /// On the user's own machine. Relative paths in manifests start at this folder.
    Local(std::path::PathBuf),
}

#[cfg(test)]
mod tests;
