//! How far a run is, told to its reporter.

use std::sync::Arc;
use std::time::Instant;

use backflow_core::report::{Progress, Reporter, Stage};

/// Measures one stage after another.
pub(super) struct Meter {
    reporter: Arc<dyn Reporter>,
    stage: Stage,
    since: Instant,
}

impl Meter {
    pub(super) fn new(reporter: Arc<dyn Reporter>) -> Self {
        Self { reporter, stage: Stage::Starting, since: Instant::now() }
    }

    /// The run is at `done` of `total` in `stage`.
    pub(super) fn at(&mut self, stage: Stage, done: u64, total: u64) {
        if stage != self.stage {
            self.stage = stage;
            self.since = Instant::now();
        }
        let seconds = self.since.elapsed().as_secs_f64();
        let rows_per_second = if seconds > 0.0 { done as f64 / seconds } else { 0.0 };
        self.reporter.progress(Progress { stage, done, total, rows_per_second });
    }
}
