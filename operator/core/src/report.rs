//! The seam between a run and whoever watches it: a pod's termination message and progress port, or a terminal.

use serde::{Deserialize, Serialize};

use crate::result::RunResult;

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// Connecting, claiming the state.
    Starting,
    /// Reading the model. The total is not known.
    Extracting,
    /// Comparing with the state.
    Comparing,
    /// Sending changes.
    Delivering,
    /// Folding the state.
    Finishing,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Where it is.
    pub stage: Stage,
    /// Rows read, or changes that have an outcome.
    pub done: u64,
    /// Of how many; 0 while unknown.
    pub total: u64,
    /// Rows a second in this stage.
    pub rows_per_second: f64,
}

/// Receives what a run says of itself. Called often: implementations must not block.
pub trait Reporter: Send + Sync {
    /// The run has moved on.
    fn progress(&self, progress: Progress);

    /// The result so far, after each commit: what remains if the process is killed.
    fn provisional(&self, result: &RunResult);
}
