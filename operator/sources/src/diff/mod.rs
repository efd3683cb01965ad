//! The diff engines: what changed in a model since it was last delivered.
//!
//! There are two, with one contract: [`pushdown`], in which the warehouse compares, and the streaming engine, through which the model
//! passes once and is compared with packed state. `Source.spec.diff` chooses. Claim, document and rules are the same.
//!
//! The streaming engine: [`open`] claims the state ([`claim`]), reads the model into scratch ([`extract`]), compares it with the state ([`compare`]) and
//! returns the changes. The returned [`Extraction`] hands them out and moves the state by what was acknowledged ([`run`]); at the end
//! the journal is folded into the partitions ([`fold`]). What is stored, byte by byte, is in `docs/state-format.md`.
//!
//! Rows and entries are processed in the order of a 128-bit hash of their keys, in 256 buckets: only one bucket of rows and one
//! partition of the state are in memory at a time, whatever the number of rows.

/// Whether a test has planted this fault; always false in a program that is not a test.
macro_rules! fault {
    ($fault:ident) => {{
        #[cfg(test)]
        let planted = super::planted::planted() == Some(super::planted::Fault::$fault);
        #[cfg(not(test))]
        let planted = false;
        planted
    }};
}

mod ahead;
mod changes;
mod claim;
mod compare;
mod damage;
mod document;
mod entry;
mod extract;
mod fold;
mod hash;
mod holders;
mod journal;
mod known;
mod layout;
mod leaving;
mod listed;
mod matches;
mod opening;
mod packed;
mod payload;
#[cfg(test)]
mod planted;
mod progress;
pub(crate) mod pushdown;
mod replay;
mod rules;
mod run;
mod spool;
mod stored;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use backflow_core::cell::Column;
use backflow_core::change::Identify;
use backflow_core::code::Failure;
use backflow_core::extraction::Extraction;
use backflow_core::plan::{DiffEngine, SyncPlan};
use backflow_core::report::Reporter;
use backflow_core::state::StateStore;
use jiff::Timestamp;

pub use self::claim::forget;
use crate::warehouse::Warehouse;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What a run asks of the engine.
pub struct Request<'a> {
    /// The run's plan; its mode is any but Test.
    pub plan: &'a SyncPlan,
    /// Name of the run. A replacement pod has the same.
    pub run: &'a str,
    /// The cluster that runs it.
    pub owner: &'a str,
    /// The model's columns that the Mapping uses: hashes cover them.
    pub used: &'a [String],
    /// The model's columns.
    pub described: &'a [Column],
    /// What a deletion will have to go by, if that is more than the key.
    pub identify: Option<Identify>,
    /// A folder on a local disk with room for `plan.mapping.scratch_bytes`. Files in it have no names and go with the process.
    pub scratch: &'a Path,
    /// For what the state records.
    pub clock: Clock,
    /// Is told how far the run is.
    pub reporter: Arc<dyn Reporter>,
}

/// Claims the state, reads the model and compares: everything but delivery. The warehouse's snapshot is closed when this returns.
/// Dropping the future cancels the query; the state has not moved then, but for the claim.
///
/// # Errors
/// State that is not this run's to move: `StateOwnedElsewhere`, `StateTooNew`, `IdentityChanged`, `PrimaryKeyChanged`,
/// `ConfirmRequired`, `StateDamaged`, `Fenced`. `ColumnNotFound`, `PrimaryKeyMissing`, `LimitExceeded`, `ScratchFull` (the disk is
/// smaller than the limit); what warehouse and store say.
pub async fn open(
    warehouse: &dyn Warehouse,
    store: Arc<dyn StateStore>,
    request: Request<'_>,
) -> Result<Box<dyn Extraction>, Failure> {
    match request.plan.source.diff {
        DiffEngine::Streaming => Ok(Box::new(opening::open(warehouse, store, request).await?)),
        DiffEngine::Pushdown => warehouse.pushdown(request).await,
    }
}
