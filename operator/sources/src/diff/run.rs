//! One run of the streaming engine, from claim to fold.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backflow_core::cell::Column;
use backflow_core::change::{Change, ChangeKind, Identify};
use backflow_core::code::Failure;
use backflow_core::extraction::{Ack, Checkpoint, Extraction, Findings, Verdict};
use backflow_core::failpoint;
use backflow_core::plan::Mode;
use backflow_core::report::Stage;
use backflow_core::result::{Counters, Phase};
use backflow_core::selection::Selection;
use backflow_core::state::{Commit, Head, RejectChange, RejectRow, RunRow, StateStore};

use super::Clock;
use super::changes::{Changes, Offered, is_extra, rank};
use super::damage::internal;
use super::document::Document;
use super::entry::take_bytes;
use super::fold::Fold;
use super::hash::key_hash;
use super::journal::Segment;
use super::progress::Meter;
use super::spool::Spool;
use super::stored::Overlay;

/// A page holds about this many bytes of rows at most, whatever `max` allows.
const PAGE_BYTES: usize = 2 * 1024 * 1024;

/// A journal of less than this part of the entries is not folded.
const FOLD_SHARE: u64 = 16;
/// Unless it has so many segments, each of which the next run has to ask for.
const FOLD_SEGMENTS: u64 = 32;

/// Rejects that are taken off the list in one commit at the end.
pub(super) const CLEARED_PER_COMMIT: usize = 10_000;

/// The engine's side of a run.
pub(super) struct Streaming {
    pub store: Arc<dyn StateStore>,
    pub state_key: String,
    pub selection: Selection,
    pub clock: Clock,
    pub meter: Meter,
    pub head: Head,
    pub document: Document,
    pub run: RunRow,
    pub carried: Counters,
    pub mode: Mode,
    pub columns: Vec<Column>,
    pub identify: Option<Identify>,
    /// Changes of one kind that are marked and not handed out yet.
    pub ahead: VecDeque<Offered>,
    /// For what is written next.
    pub room: Segment,
    pub findings: Findings,
    pub before: Checkpoint,
    pub changes: Changes,
    pub overlay: Overlay,
    pub cleared: Spool,
    /// See [`super::compare::Found`].
    pub rejected: Option<HashSet<u128>>,
    pub specs: BTreeSet<u32>,
    pub expired: BTreeSet<usize>,
    pub entries: u64,
    pub acked_updates: u64,
    pub acked_adds: u64,
    /// The overlay has everything that was committed.
    pub whole: bool,
    /// The overlay has entries that the journal does not.
    pub upkeep: bool,
}

impl Streaming {
    fn reject_change(&self, ack: &Ack) -> Option<RejectChange> {
        if is_extra(&ack.change) {
            return None;
        }
        let mut key = String::new();
        if let Verdict::Rejected(rejection) = &ack.verdict {
            ack.change.key.write_json(&mut key);
            let operation = self.selection.operation(ack.change.kind, ack.change.unsent);
            return Some(RejectChange::Put(RejectRow {
                key,
                operation: operation.map_or("none", |operation| operation.as_str()).to_owned(),
                rejection: rejection.clone(),
            }));
        }
        let listed =
            |rejected: &HashSet<u128>| !rejected.is_empty() && rejected.contains(&key_hash(&ack.change.key.encode()));
        if !self.rejected.as_ref().is_none_or(listed) {
            return None;
        }
        ack.change.key.write_json(&mut key);
        Some(RejectChange::Remove(key))
    }

    /// Whether the journal is to become part of the partitions: a few changes in each of many partitions are read back sooner than all
    /// partitions are written.
    fn is_due(&self) -> bool {
        let long = self.head.segment - self.document.folded >= FOLD_SEGMENTS;
        long || self.upkeep || !self.expired.is_empty() || self.overlay.entries() >= self.entries / FOLD_SHARE
    }

    fn run_row(&self, counters: &Counters, phase: Phase) -> RunRow {
        RunRow { counters: counters.clone(), phase, updated_at: (self.clock)().to_string(), ..self.run.clone() }
    }

    /// Takes keys that are no longer rejected off the list, a bounded number at a time. What is left for the last commit is returned.
    async fn clear_rejects(&mut self, run: &RunRow) -> Result<Vec<RejectChange>, Failure> {
        let mut removes = Vec::new();
        let mut block = 0;
        while let Some(bytes) = self.cleared.block(0, block)? {
            block += 1;
            let mut input = bytes.as_slice();
            while !input.is_empty() {
                let key = take_bytes(&mut input).and_then(|key| String::from_utf8(key.to_vec()).ok());
                removes
                    .push(RejectChange::Remove(key.ok_or_else(|| internal("a key in scratch cannot be read back"))?));
            }
            if removes.len() >= CLEARED_PER_COMMIT {
                let commit =
                    Commit { state_key: &self.state_key, head: &self.head, segment: None, run, rejects: &removes };
                self.store.commit(commit).await?;
                removes.clear();
            }
        }
        Ok(removes)
    }
}

#[async_trait]
impl Extraction for Streaming {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn findings(&self) -> &Findings {
        &self.findings
    }

    fn checkpoint(&self) -> &Checkpoint {
        &self.before
    }

    fn patience(&self) -> Duration {
        self.store.patience()
    }

    fn incarnation(&self) -> &str {
        &self.document.incarnation
    }

    fn carried(&self) -> &Counters {
        &self.carried
    }

    async fn next_page(&mut self, kind: ChangeKind, max: usize) -> Result<Vec<Change>, Failure> {
        if self.ahead.front().is_some_and(|offered| rank(offered.change.kind) > rank(kind)) {
            return Ok(Vec::new());
        }
        if self.ahead.front().is_some_and(|offered| offered.change.kind != kind) {
            self.ahead.clear();
        }
        if self.ahead.is_empty() {
            self.look_ahead(kind)?;
            let mut segment = self.acked(&[]);
            self.add_marks(&mut segment, 0);
            if !segment.is_empty() {
                self.append(segment, self.document.clone(), self.run.clone(), &[]).await?;
                failpoint::hit("after-mark");
            }
        }
        let mut page = Vec::with_capacity(max.min(self.ahead.len()));
        let mut bytes = 0;
        while page.len() < max && bytes < PAGE_BYTES {
            let Some(offered) = self.ahead.pop_front() else { break };
            bytes += offered.bytes;
            page.push(offered.change);
        }
        if fault!(OffByOnePage) && page.len() == max {
            self.ahead.pop_front();
        }
        if fault!(LostLastPage) && page.len() < max {
            page.clear();
        }
        if fault!(KeyOfTheRun) {
            page.iter_mut().for_each(|change| change.rev = self.head.epoch);
        }
        Ok(page)
    }

    async fn left(&mut self) -> Result<u64, Failure> {
        let ahead = self.ahead.len() as u64;
        self.ahead.clear();
        Ok(ahead + self.changes.left()?)
    }

    fn withhold_deletions(&mut self) {
        self.changes.skip_deletes();
    }

    async fn commit(&mut self, acks: Vec<Ack>, counters: &Counters) -> Result<(), Failure> {
        let rejects: Vec<RejectChange> = acks.iter().filter_map(|ack| self.reject_change(ack)).collect();
        let mut segment = self.acked(&acks);
        let run = self.run_row(counters, Phase::Running);
        let mut document = self.document.clone();
        if !acks.is_empty() {
            document.committed_at = Some(run.updated_at.clone());
            document.sync_name = Some(run.name.clone());
        }
        for Ack { change, verdict } in &acks {
            match (change.kind, verdict) {
                (_, Verdict::Rejected(_)) | (ChangeKind::Updated, _) => {}
                (ChangeKind::Added, _) => document.rows += 1,
                (ChangeKind::Deleted, _) => document.rows = document.rows.saturating_sub(u64::from(change.known)),
            }
        }
        // The marks of the next changes go with the acknowledgements of these.
        if let Some(kind) = self.ahead.back().map(|offered| offered.change.kind) {
            let waiting = self.look_ahead(kind)?;
            self.add_marks(&mut segment, waiting);
        }
        self.append(segment, document, run, &rejects).await?;
        failpoint::hit("after-commit");
        for Ack { change, verdict } in &acks {
            match change.kind {
                ChangeKind::Added => self.acked_adds += 1,
                ChangeKind::Updated => self.acked_updates += 1,
                ChangeKind::Deleted if matches!(verdict, Verdict::Rejected(_)) => {}
                ChangeKind::Deleted if self.findings.rekeyed > 0 && !is_extra(change) => {
                    self.changes.freed(&change.key)?
                }
                ChangeKind::Deleted => {}
            }
        }
        Ok(())
    }

    async fn finish(&mut self, counters: &Counters, phase: Phase) -> Result<Checkpoint, Failure> {
        self.meter.at(Stage::Finishing, 0, 0);
        let run = self.run_row(counters, phase);
        let rejects = self.clear_rejects(&run).await?;
        let mut document = self.document.clone();
        let all_sent = self.findings.updated == self.acked_updates && !self.findings.scratch_full;
        if all_sent
            && !matches!(self.mode, Mode::Replay(_))
            && let Some(full) = &mut document.full
        {
            full.below = 0;
        }
        let current = document.spec;
        document.specs.retain(|id, _| *id == current || self.specs.contains(id));
        for partition in &self.expired {
            self.overlay.touch(*partition);
        }
        let mut head = self.head.clone();
        let folds = self.whole && self.overlay.touched().contains(&true) && self.is_due();
        if folds {
            head.generation += 1;
            let fold = Fold {
                store: self.store.as_ref(),
                state_key: &self.state_key,
                epoch: head.epoch,
                generation: head.generation,
                entries: self.entries + self.acked_adds,
                prune: Some(unix_seconds(&self.clock)),
            };
            fold.write(&mut document, &self.overlay).await?;
            document.folded = head.segment;
            failpoint::hit("before-fold");
        }
        head.document = document.text()?;
        let commit = Commit { state_key: &self.state_key, head: &head, segment: None, run: &run, rejects: &rejects };
        if folds {
            self.store.fold(commit, &document.current()).await?;
        } else {
            self.store.commit(commit).await?;
        }
        self.head = head;
        self.document = document;
        self.run = run;
        Ok(self.document.checkpoint())
    }
}

pub(super) fn unix_seconds(clock: &Clock) -> u64 {
    u64::try_from(clock().as_second()).unwrap_or_default()
}
