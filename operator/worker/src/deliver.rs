//! From changes to acknowledgements: batch, send, commit.

use std::sync::Arc;
use std::time::Instant;

use backflow_core::change::{Change, ChangeKind};
use backflow_core::code::{Code, Failure};
use backflow_core::extraction::{Ack, Extraction, Verdict};
use backflow_core::failpoint;
use backflow_core::record::{Outcome, Record};
use backflow_core::report::Reporter;
use backflow_core::result::{Phase, RESULT_VERSION, RunResult};
use backflow_core::selection::Operation;
use backflow_core::sink::{BatchLimits, Delivery, Sink};
use tokio::task::JoinSet;

use crate::gather::{Gathered, Gathering};
use crate::ledger::Ledger;
use crate::render::{Page, Rendered, Rendering};
use crate::stop::Stop;

/// Records that may be sent and not yet committed: after a crash at most this many are sent again.
const WINDOW_RECORDS: usize = 10_000;
/// Deletions come first: an address that moves to another record is free by then.
pub(crate) const ORDER: [ChangeKind; 3] = [ChangeKind::Deleted, ChangeKind::Updated, ChangeKind::Added];
/// The first batch of a run is small: if all is rejected, little quota is burnt.
const FIRST_BATCH: usize = 200;

/// What a delivery needs beside the extraction.
pub(crate) struct Delivering<'a> {
    /// Name of the run.
    pub(crate) run: &'a str,
    /// What records are made by.
    pub(crate) rendering: Arc<Rendering>,
    /// The destination.
    pub(crate) sink: Arc<dyn Sink>,
    /// Whoever watches.
    pub(crate) reporter: &'a dyn Reporter,
    /// A request to end.
    pub(crate) stop: &'a Stop,
}

/// A batch on its way, and the changes that it is made of.
struct Sent {
    changes: Vec<Change>,
    op: Operation,
    delivery: Delivery,
}

/// The loop's own state.
struct Loop<'a, 'b> {
    given: &'a Delivering<'b>,
    limits: BatchLimits,
    ledger: &'a mut Ledger,
    in_flight: JoinSet<Sent>,
    records_in_flight: usize,
    acks: Vec<Ack>,
    oldest_ack: Option<Instant>,
    /// What an earlier pod of this run sent.
    gathering: Gathering,
    first: bool,
    ended: Option<Failure>,
}

/// A batch that is being filled: records of one operation.
#[derive(Default)]
struct Batch {
    changes: Vec<Change>,
    records: Vec<Record>,
    bytes: usize,
}

/// Whether one record more, of `next` bytes, needs another batch than one of so many records and bytes.
pub(crate) fn batch_is_full(records: usize, bytes: usize, next: usize, max_records: usize, max_bytes: usize) -> bool {
    records > 0 && (records >= max_records || bytes + next > max_bytes)
}

/// Delivers everything that the extraction offers, or as much as can be. Returns why it ended early, if it did.
///
/// # Errors
/// If scratch cannot be read or the checkpoint cannot be committed: then what was not committed comes again.
pub(crate) async fn deliver(
    extraction: &mut dyn Extraction,
    given: &Delivering<'_>,
    ledger: &mut Ledger,
) -> Result<Option<Failure>, Failure> {
    let limits = given.sink.limits();
    let mut running = Loop {
        given,
        limits,
        ledger,
        in_flight: JoinSet::new(),
        records_in_flight: 0,
        acks: Vec::new(),
        oldest_ack: None,
        gathering: Gathering::new(given.sink.unfinished().await),
        first: true,
        ended: None,
    };
    for kind in ORDER {
        let mut ahead: Option<Page> = None;
        loop {
            let page =
                if running.ended() { Vec::new() } else { extraction.next_page(kind, limits.max_records).await? };
            let next = given.rendering.begin(page);
            let last = next.is_none();
            if let Some(page) = std::mem::replace(&mut ahead, next) {
                running.page(extraction, page.rendered().await?).await?;
            }
            if last {
                break;
            }
        }
        let rest = running.gathering.rest();
        running.send_anew(extraction, rest).await?;
        // Deletions are through before updates begin, and updates before additions.
        running.settle_all(extraction).await?;
        running.commit(extraction).await?;
        if running.ended() {
            break;
        }
    }
    // What is left is counted; of a pod that is taken away, its replacement does that.
    if !given.stop.is(Code::Terminated) {
        running.ledger.left(extraction.left().await?);
    }
    Ok(running.ended)
}

/// Records of a batch; the first one of a run is small.
pub(crate) fn batch_records(first: bool, limits: BatchLimits) -> usize {
    if first { limits.max_records.min(FIRST_BATCH) } else { limits.max_records }
}

impl Loop<'_, '_> {
    async fn page(&mut self, extraction: &mut dyn Extraction, page: Vec<Rendered>) -> Result<(), Failure> {
        let mut batch = Batch::default();
        for rendered in page {
            if self.ended() {
                self.ledger.left(1);
                continue;
            }
            match rendered {
                Rendered::NotSelected(change) => {
                    self.ledger.not_selected(&change);
                    self.acknowledge(change, Verdict::Seen);
                }
                Rendered::Rejected(change, rejection) => {
                    self.ledger.rejected(&change, &rejection);
                    self.acknowledge(change, Verdict::Rejected(rejection));
                    self.stop_on_mass_rejection();
                }
                Rendered::Record(change, record) if self.gathering.wants(&record) => {
                    if let Some(whole) = self.gathering.take(change, record) {
                        self.send(extraction, Batch::of(whole)).await?;
                    }
                }
                Rendered::Record(change, record) => {
                    if batch.full(self.batch_records(), self.limits.max_bytes, record.data.len()) {
                        let full = std::mem::take(&mut batch);
                        self.send(extraction, full).await?;
                    }
                    batch.push(change, record, self.batch_records());
                }
            }
        }
        if !batch.records.is_empty() {
            self.send(extraction, batch).await?;
        }
        self.commit_if_due(extraction).await
    }

    /// Sends records whose batch did not come together again.
    async fn send_anew(&mut self, extraction: &mut dyn Extraction, records: Gathered) -> Result<(), Failure> {
        let mut batch = Batch::default();
        for (change, record) in records {
            let other = batch.records.first().is_some_and(|first| first.op != record.op);
            if other || batch.full(self.batch_records(), self.limits.max_bytes, record.data.len()) {
                let full = std::mem::take(&mut batch);
                self.send(extraction, full).await?;
            }
            batch.push(change, record, self.batch_records());
        }
        if batch.records.is_empty() { Ok(()) } else { self.send(extraction, batch).await }
    }

    fn batch_records(&self) -> usize {
        batch_records(self.first, self.limits)
    }

    fn ended(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = self.given.stop.failure();
        }
        self.ended.is_some()
    }

    fn stop_on_mass_rejection(&mut self) {
        if self.ended.is_none() {
            self.ended = self.ledger.mass_rejection();
        }
    }

    /// Hands a batch to the sink, waiting for a place if as many are in flight as the destination takes.
    async fn send(&mut self, extraction: &mut dyn Extraction, batch: Batch) -> Result<(), Failure> {
        let Some(op) = batch.records.first().map(|record| record.op) else { return Ok(()) };
        let places = if self.first { 1 } else { self.limits.concurrency };
        while self.in_flight.len() >= places {
            self.settle_one(extraction).await?;
        }
        self.make_room(extraction, batch.records.len()).await?;
        if self.ended() {
            self.ledger.left(batch.changes.len() as u64);
            return Ok(());
        }
        let sink = self.given.sink.clone();
        let Batch { changes, records, .. } = batch;
        self.records_in_flight += records.len();
        self.in_flight.spawn(async move { Sent { delivery: sink.deliver(&records).await, changes, op } });
        if std::mem::take(&mut self.first) {
            // The first batch tells whether the destination takes anything at all.
            self.settle_all(extraction).await?;
        }
        Ok(())
    }

    /// Commits, and waits for batches, until `records` more fit the window.
    async fn make_room(&mut self, extraction: &mut dyn Extraction, records: usize) -> Result<(), Failure> {
        while self.acks.len() + self.records_in_flight + records > WINDOW_RECORDS {
            if !self.acks.is_empty() {
                self.commit(extraction).await?;
            } else if !self.in_flight.is_empty() {
                self.settle_one(extraction).await?;
            } else {
                break;
            }
        }
        Ok(())
    }

    async fn settle_all(&mut self, extraction: &mut dyn Extraction) -> Result<(), Failure> {
        while !self.in_flight.is_empty() {
            self.settle_one(extraction).await?;
        }
        Ok(())
    }

    /// Waits for one batch and takes over its outcomes.
    async fn settle_one(&mut self, extraction: &mut dyn Extraction) -> Result<(), Failure> {
        let patience = extraction.patience();
        let due = self.oldest_ack.map(|oldest| patience.saturating_sub(oldest.elapsed()));
        let joined = tokio::select! {
            joined = self.in_flight.join_next() => joined,
            () = tokio::time::sleep(due.unwrap_or_default()), if due.is_some() => {
                return self.commit(extraction).await;
            }
        };
        match joined {
            Some(Ok(sent)) => self.settle(sent),
            // A sink must not panic; if it does, its records have no outcome and come again.
            Some(Err(error)) => {
                return Err(Failure::new(Code::Internal, format!("a delivery task ended: {}", error.is_panic())));
            }
            None => {}
        }
        self.commit_if_due(extraction).await
    }

    fn settle(&mut self, sent: Sent) {
        failpoint::hit("after-send");
        let Sent { changes, op, delivery } = sent;
        self.records_in_flight -= changes.len();
        self.ledger.counters.requests += delivery.requests;
        self.ledger.counters.bytes += delivery.bytes;
        self.ledger.counters.traffic.add(&delivery.traffic);
        for (change, outcome) in changes.into_iter().zip(delivery.outcomes) {
            self.ledger.outcome(&change, op, &outcome);
            match outcome {
                Outcome::Delivered { remote_id } => {
                    let mut memory = change.memory.clone();
                    memory.remote_id = remote_id.or(memory.remote_id);
                    self.acknowledge(change, Verdict::Delivered(memory));
                }
                Outcome::Rejected(rejection) => self.acknowledge(change, Verdict::Rejected(rejection)),
                Outcome::Retrying => {}
            }
        }
        if let Some(failure) = delivery.stop {
            // A person's or the kubelet's request to stop says more than the sink's echo of it.
            if !self.ended() {
                self.ended = Some(failure);
            }
        }
        self.stop_on_mass_rejection();
        self.ledger.report(self.given.reporter);
        failpoint::hit("after-acknowledge");
    }

    fn acknowledge(&mut self, change: Change, verdict: Verdict) {
        self.oldest_ack.get_or_insert_with(Instant::now);
        if self.acks.is_empty() {
            self.acks.reserve(WINDOW_RECORDS);
        }
        self.acks.push(Ack { change, verdict });
    }

    async fn commit_if_due(&mut self, extraction: &mut dyn Extraction) -> Result<(), Failure> {
        let late = self.oldest_ack.is_some_and(|oldest| oldest.elapsed() >= extraction.patience());
        if self.acks.len() >= WINDOW_RECORDS || late { self.commit(extraction).await } else { Ok(()) }
    }

    async fn commit(&mut self, extraction: &mut dyn Extraction) -> Result<(), Failure> {
        if self.acks.is_empty() {
            return Ok(());
        }
        self.oldest_ack = None;
        extraction.commit(std::mem::take(&mut self.acks), &self.ledger.counters).await?;
        self.given.reporter.provisional(&RunResult {
            v: RESULT_VERSION,
            run: self.given.run.to_owned(),
            phase: Phase::Running,
            findings: Some(Ledger::extracted(extraction.carried(), extraction.findings())),
            counters: self.ledger.counters.clone(),
            errors: self.ledger.errors.to_vec(),
            ..RunResult::default()
        });
        Ok(())
    }
}

impl Batch {
    fn of(records: Gathered) -> Self {
        let mut batch = Self::default();
        let count = records.len();
        records.into_iter().for_each(|(change, record)| batch.push(change, record, count));
        batch
    }

    fn full(&self, max_records: usize, max_bytes: usize, next: usize) -> bool {
        batch_is_full(self.records.len(), self.bytes, next, max_records, max_bytes)
    }

    /// Adds a record to what will be so many at most.
    fn push(&mut self, change: Change, record: Record, max: usize) {
        if self.records.is_empty() {
            let max = max.min(WINDOW_RECORDS);
            self.records.reserve(max);
            self.changes.reserve(max);
        }
        self.bytes += record.data.len();
        self.records.push(record);
        self.changes.push(change);
    }
}

#[cfg(test)]
#[path = "deliver_tests.rs"]
mod tests;
