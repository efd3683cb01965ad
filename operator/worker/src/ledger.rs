//! What a run counts while it delivers, and the sum that must come out.

use std::time::Instant;

use backflow_core::change::{Change, ChangeKind};
use backflow_core::code::{Code, Failure};
use backflow_core::extraction::Findings;
use backflow_core::record::{Outcome, Rejection};
use backflow_core::report::{Progress, Reporter, Stage};
use backflow_core::result::{Counters, ErrorCounts};
use backflow_core::selection::Operation;

/// How many outcomes decide whether a run is stopped for mass rejection.
const PROBE: u64 = 200;

/// The counters of a run. Each number is counted where it happens; none is the difference of others.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// With what earlier pods of this run committed.
    pub(crate) counters: Counters,
    /// Errors by code and field, of this pod.
    pub(crate) errors: ErrorCounts,
    probed: u64,
    probed_rejected: u64,
    done: u64,
    total: u64,
    began: Instant,
}

impl Ledger {
    /// Begins with what earlier pods of this run committed, and the number of changes that are to be delivered now.
    #[must_use]
    pub(crate) fn new(carried: &Counters, total: u64) -> Self {
        // What earlier pods left (retrying, withheld, still rejected) this pod finds and counts again.
        let counters = Counters { retrying: 0, withheld: 0, still_rejected: 0, ..carried.clone() };
        Self {
            counters,
            errors: ErrorCounts::default(),
            probed: 0,
            probed_rejected: 0,
            done: 0,
            total,
            began: Instant::now(),
        }
    }

    /// A change that is not sent: not selected.
    pub(crate) fn not_selected(&mut self, change: &Change) {
        self.counters.not_selected += 1;
        self.settle(change.kind);
    }

    /// A record with its outcome.
    pub(crate) fn outcome(&mut self, change: &Change, op: Operation, outcome: &Outcome) {
        match outcome {
            Outcome::Delivered { .. } => {
                match op {
                    Operation::Insert => self.counters.inserted += 1,
                    Operation::Update => self.counters.updated += 1,
                    Operation::Upsert => self.counters.upserted += 1,
                    Operation::Delete => self.counters.deleted += 1,
                }
                self.probe(false);
                self.settle(change.kind);
            }
            Outcome::Rejected(rejection) => self.rejected(change, rejection),
            Outcome::Retrying => {
                self.counters.retrying += 1;
                self.done += 1;
            }
        }
    }

    /// A change that was rejected, here or by the destination.
    pub(crate) fn rejected(&mut self, change: &Change, rejection: &Rejection) {
        self.counters.rejected += 1;
        self.errors.count(&rejection.code, rejection.field.as_deref(), &rejection.message);
        self.probe(true);
        self.settle(change.kind);
    }

    /// Changes that were not offered to the destination, because the run ends or because they have to wait for a deletion.
    pub(crate) fn left(&mut self, count: u64) {
        self.counters.retrying += count;
        self.done += count;
    }

    fn settle(&mut self, kind: ChangeKind) {
        self.done += 1;
        match kind {
            ChangeKind::Added => self.counters.settled_added += 1,
            ChangeKind::Updated => self.counters.settled_updated += 1,
            ChangeKind::Deleted => self.counters.settled_deleted += 1,
        }
    }

    fn probe(&mut self, rejected: bool) {
        if self.probed < PROBE {
            self.probed += 1;
            self.probed_rejected += u64::from(rejected);
        }
    }

    /// Set when more than half of the first 200 records were rejected: something is wrong with all of them.
    #[must_use]
    pub(crate) fn mass_rejection(&self) -> Option<Failure> {
        (self.probed == PROBE && self.probed_rejected * 2 > PROBE).then(|| {
            Failure::new(
                Code::MassRejection,
                format!(
                    "{} of the first {PROBE} records were rejected, so the run ended early; see errors, mend the Mapping's \
                     fields or the Model, then start a Sync with retryRejected: true",
                    self.probed_rejected
                ),
            )
        })
    }

    /// Tells the reporter how far the delivery is.
    pub(crate) fn report(&self, reporter: &dyn Reporter) {
        let seconds = self.began.elapsed().as_secs_f64();
        let rows_per_second = if seconds > 0.0 { self.done as f64 / seconds } else { 0.0 };
        reporter.progress(Progress { stage: Stage::Delivering, done: self.done, total: self.total, rows_per_second });
    }

    /// What the run found, over all its pods: what was settled before and what this pod found.
    #[must_use]
    pub(crate) fn extracted(carried: &Counters, findings: &Findings) -> Findings {
        Findings {
            added: carried.settled_added + findings.added,
            updated: carried.settled_updated + findings.updated,
            deleted: carried.settled_deleted + findings.deleted,
            ..findings.clone()
        }
    }

    /// Compares what was found with what has an outcome.
    ///
    /// # Errors
    /// [`Code::LedgerMismatch`], with both sums: a wrong count is a failed run, never an adjusted number.
    pub(crate) fn balance(&self, extracted: &Findings) -> Result<(), Failure> {
        let found = extracted.added + extracted.updated + extracted.deleted + self.counters.still_rejected;
        let accounted = self.counters.accounted();
        if found == accounted {
            return Ok(());
        }
        Err(Failure::new(
            Code::LedgerMismatch,
            format!("{found} changes were found and {accounted} have an outcome; nothing is lost, please report this"),
        ))
    }
}
