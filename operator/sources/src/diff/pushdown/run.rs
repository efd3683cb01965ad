//! One run of the pushdown engine, from delta to the end.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use async_trait::async_trait;
use backflow_core::cell::{Cell, Column};
use backflow_core::change::{Change, ChangeKind, Memory};
use backflow_core::code::Failure;
use backflow_core::extraction::{Ack, Checkpoint, Extraction, Findings, Verdict};
use backflow_core::failpoint;
use backflow_core::report::Stage;
use backflow_core::result::{Counters, Phase};
use backflow_core::selection::{Selection, SyncMode};
use backflow_core::state::{Commit, Head, RejectChange, RejectRow, RunRow};

use super::super::Clock;
use super::super::compare::MAX_REMEMBERED;
use super::super::document::Document;
use super::super::hash::key_hash;
use super::super::progress::Meter;
use super::super::run::{CLEARED_PER_COMMIT, unix_seconds};
use super::codes::{entry, kind};
use super::dialect::{BUCKET, BUCKETS, Dialect};
use super::page::{Shape, number_of};
use super::statement::{After, Applied, Doubt, Move, Statement};
use super::summary::Summary;
use super::transport::{Fence, Transport};
use super::typed::Names;

/// A page holds about this many bytes of rows at most, whatever `max` allows.
const PAGE_BYTES: usize = 2 * 1024 * 1024;

/// The order of delivery.
pub(super) const KINDS: [ChangeKind; 3] = [ChangeKind::Deleted, ChangeKind::Updated, ChangeKind::Added];

/// So many places in a row have about twice the changes of a page, of this many in all; `None`: it takes all places.
fn slice(found: u64, max: usize) -> Option<i64> {
    let buckets = (2 * max as u64).saturating_mul(BUCKETS).div_ceil(found.max(1)).saturating_add(1);
    (buckets < BUCKETS).then(|| (buckets * BUCKET) as i64)
}

/// How far pages of one kind were handed out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offered {
    kind: ChangeKind,
    place: i64,
    changes: u64,
}

/// The engine's side of a run.
pub(super) struct Pushdown<T: Transport> {
    pub transport: T,
    pub names: Names,
    pub shape: Shape<T::Wire>,
    pub state_key: String,
    /// `None` in a DryRun.
    pub claim: Option<u64>,
    pub selection: Selection,
    /// Only some rows were asked for.
    pub replay: bool,
    /// Rows stand for records.
    pub identifies: bool,
    /// The longest that an acknowledgement should wait for its commit.
    pub patience: Duration,
    pub clock: Clock,
    pub meter: Meter,
    pub head: Head,
    pub document: Document,
    pub run: RunRow,
    pub carried: Counters,
    pub columns: Vec<Column>,
    pub findings: Findings,
    pub summary: Summary,
    pub before: Checkpoint,
    /// Key hashes of rejected keys that were handed out again; `None`: too many to remember.
    pub rejected: Option<HashSet<u128>>,
    /// Places of deletions that were handed out and are about records alone: their keys stay as they are.
    pub extra: HashSet<u64>,
    pub offered: Vec<Offered>,
    /// Acknowledged changes of each kind.
    pub acked: BTreeMap<ChangeKind, u64>,
    pub withheld: bool,
}

impl<T: Transport> Pushdown<T> {
    fn fence(&self) -> Fence<'_> {
        Fence { state_key: &self.state_key, claim: self.claim }
    }

    fn acked(&self, kind: ChangeKind) -> u64 {
        self.acked.get(&kind).copied().unwrap_or_default()
    }

    /// The next page of a kind.
    async fn page(&mut self, kind: ChangeKind, max: usize) -> Result<Vec<Change>, Failure> {
        let before = self.offered.iter().find(|offered| offered.kind == kind);
        let found = match kind {
            ChangeKind::Deleted => self.findings.deleted,
            ChangeKind::Updated => self.findings.updated,
            ChangeKind::Added => self.findings.added,
        };
        // That there is no more is known without asking.
        if before.map_or(0, |before| before.changes) >= found {
            return Ok(Vec::new());
        }
        let place = before.map_or(-1, |before| before.place);
        let mut after = After { kind: number_of(kind), place, upto: None, rows: max, bytes: PAGE_BYTES };
        if T::Dialect::DIVIDED {
            after.upto = slice(found, max).map(|places| place + places);
        }
        let mut rows = self.rows(after).await?;
        if rows.is_empty() && after.upto.is_some() {
            rows = self.rows(After { upto: None, ..after }).await?;
        }
        let mut page = Vec::with_capacity(rows.len());
        for cells in rows {
            let paged = self.shape.change(kind, cells)?;
            if paged.rejected
                && let Some(rejected) = &mut self.rejected
            {
                rejected.insert(key_hash(&paged.change.key.encode()));
                if rejected.len() > MAX_REMEMBERED {
                    self.rejected = None;
                }
            }
            if paged.extra {
                self.extra.insert(paged.change.place);
            }
            page.push(paged.change);
        }
        if let Some(last) = page.last() {
            let (place, changes) = (last.place as i64, page.len() as u64);
            match self.offered.iter_mut().find(|offered| offered.kind == kind) {
                Some(offered) => *offered = Offered { place, changes: offered.changes + changes, ..*offered },
                None => self.offered.push(Offered { kind, place, changes }),
            }
        }
        Ok(page)
    }

    async fn rows(&self, after: After) -> Result<Vec<Vec<Cell>>, Failure> {
        let sql = self.transport.dialect().page(&self.names, self.columns.len(), after, self.head.epoch);
        self.transport.page(&self.state_key, sql, &self.shape.page).await
    }

    /// What an acknowledgement makes of the state.
    fn moved(ack: &Ack) -> Move {
        let change = &ack.change;
        let plain = Move { kind: number_of(change.kind), place: change.place, ..Move::default() };
        let with = |becomes: i64, memory: &Memory| Move {
            becomes,
            match_key: memory.match_key.clone(),
            group_key: memory.group_key.clone(),
            remote_id: memory.remote_id.clone(),
            ..plain.clone()
        };
        match (&ack.verdict, change.kind) {
            (Verdict::Rejected(rejection), _) => Move {
                becomes: entry::NEVER_DELIVERED,
                rejected: Some(rejection.code.as_str().into()),
                ..plain.clone()
            },
            (_, ChangeKind::Deleted) => Move { becomes: entry::TOMBSTONE, ..plain.clone() },
            (Verdict::Delivered(memory), _) => {
                let mut memory = memory.clone();
                // Many destinations tell their id only when they create the record.
                memory.remote_id = memory.remote_id.or_else(|| change.memory.remote_id.clone());
                Move { wrote: true, ..with(entry::DELIVERED, &memory) }
            }
            // What was sent before stays sent: its later versions are known without being sent.
            (Verdict::Seen, ChangeKind::Updated) if !change.unsent => with(entry::DELIVERED, &change.memory),
            (Verdict::Seen, _) => with(entry::SEEN, &change.memory),
        }
    }

    fn reject_change(&self, ack: &Ack) -> Option<RejectChange> {
        let mut key = String::new();
        ack.change.key.write_json(&mut key);
        if self.is_extra(&ack.change) {
            // Its key is on the list for what else is said of it.
            return None;
        }
        if let Verdict::Rejected(rejection) = &ack.verdict {
            let operation = self.selection.operation(ack.change.kind, ack.change.unsent);
            return Some(RejectChange::Put(RejectRow {
                key,
                operation: operation.map_or("none", |operation| operation.as_str()).to_owned(),
                rejection: rejection.clone(),
            }));
        }
        let listed = |rejected: &HashSet<u128>| rejected.contains(&key_hash(&ack.change.key.encode()));
        self.rejected.as_ref().is_none_or(listed).then_some(RejectChange::Remove(key))
    }

    fn is_extra(&self, change: &Change) -> bool {
        change.kind == ChangeKind::Deleted && self.extra.contains(&change.place)
    }

    fn run_row(&self, counters: &Counters, phase: Phase) -> RunRow {
        RunRow { counters: counters.clone(), phase, updated_at: (self.clock)().to_string(), ..self.run.clone() }
    }

    /// Takes keys that are no longer rejected off the list, a bounded number at a time. What is left for the last commit is returned.
    async fn clear_rejects(&self, run: &RunRow) -> Result<Vec<RejectChange>, Failure> {
        let mut removes = Vec::new();
        if self.summary.cleared == 0 {
            return Ok(removes);
        }
        for kind in [kind::REFRESHED, kind::BURIED] {
            let mut after = After { kind, place: -1, upto: None, rows: CLEARED_PER_COMMIT, bytes: usize::MAX };
            loop {
                let sql = self.transport.dialect().cleared(&self.names, after);
                let rows = self.transport.page(&self.state_key, sql, &self.shape.cleared).await?;
                let last = rows.len() < after.rows;
                for cells in rows {
                    let (place, key) = self.shape.place_and_key(cells)?;
                    after.place = place as i64;
                    let mut json = String::new();
                    key.write_json(&mut json);
                    removes.push(RejectChange::Remove(json));
                }
                if removes.len() >= CLEARED_PER_COMMIT {
                    let commit = self.commit_of(&self.head, run, &removes);
                    self.transport.commit(commit, &[], true).await?;
                    removes.clear();
                }
                if last {
                    break;
                }
            }
        }
        Ok(removes)
    }

    fn commit_of<'a>(&'a self, head: &'a Head, run: &'a RunRow, rejects: &'a [RejectChange]) -> Commit<'a> {
        Commit { state_key: &self.state_key, head, segment: None, run, rejects }
    }

    /// Statements of the last commit, what they make of the document, and one that must follow: a tombstone may go when the head has the
    /// floor that stands for it, and not before.
    fn last_statements(&self, document: &mut Document) -> (Vec<Statement>, Option<Statement>) {
        let dialect = self.transport.dialect();
        let now = unix_seconds(&self.clock) as i64;
        let mut statements = Vec::new();
        if self.summary.quiet > 0 {
            statements.push(dialect.refresh(&self.names, document.spec, now));
            document.rows = document.rows.saturating_sub(self.summary.superseded_known);
        }
        if !self.replay
            && self.findings.updated == self.acked(ChangeKind::Updated)
            && let Some(full) = &mut document.full
        {
            full.below = 0;
        }
        let mut prune = None;
        if self.summary.expired > 0 && !self.replay {
            prune = Some(Statement::plain(dialect.prune(&self.names, self.summary.expired_before)));
            document.rev_floor = document.rev_floor.max(self.summary.expired_rev);
        }
        let left: Vec<(u8, i64)> = self
            .offered
            .iter()
            .filter(|offered| offered.changes > self.acked(offered.kind))
            .map(|offered| (number_of(offered.kind), offered.place))
            .collect();
        if !left.is_empty() {
            let keys: Vec<String> = self.names.keys.iter().map(|key| key.name.clone()).collect();
            let Names { entries, held, delta, .. } = &self.names;
            statements.extend(dialect.doubt(&Doubt {
                entries,
                held: self.identifies.then_some(held),
                delta,
                keys: &keys,
                epoch: self.head.epoch,
                offered: Some(&left),
            }));
        }
        statements.push(dialect.drop(&self.names.delta));
        let (current, used) = (document.spec, &self.summary.specs);
        document.specs.retain(|id, _| *id == current || used.contains(id));
        (statements.into_iter().map(Statement::plain).collect(), prune)
    }
}

#[async_trait]
impl<T: Transport> Extraction for Pushdown<T> {
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
        self.patience
    }

    fn incarnation(&self) -> &str {
        &self.document.incarnation
    }

    fn carried(&self) -> &Counters {
        &self.carried
    }

    async fn next_page(&mut self, kind: ChangeKind, max: usize) -> Result<Vec<Change>, Failure> {
        if !self.withheld {
            return self.page(kind, max).await;
        }
        if self.offered.is_empty() && kind == ChangeKind::Deleted {
            // Taken out, so that a run after a crash does not think that they were sent.
            let withhold = self.transport.dialect().withhold(&self.names);
            self.transport.fenced(self.fence(), vec![Statement::plain(withhold)]).await?;
        }
        if kind == ChangeKind::Deleted { Ok(Vec::new()) } else { self.page(kind, max).await }
    }

    async fn left(&mut self) -> Result<u64, Failure> {
        let Findings { added, updated, deleted, rekeyed, .. } = self.findings;
        let found = updated + if self.withheld { added - rekeyed } else { added + deleted };
        Ok(found - self.offered.iter().map(|offered| offered.changes).sum::<u64>())
    }

    fn withhold_deletions(&mut self) {
        self.withheld = true;
    }

    async fn commit(&mut self, acks: Vec<Ack>, counters: &Counters) -> Result<(), Failure> {
        let moves: Vec<Move> = acks.iter().map(Self::moved).collect();
        let rejects: Vec<RejectChange> = acks.iter().filter_map(|ack| self.reject_change(ack)).collect();
        let run = self.run_row(counters, Phase::Running);
        let mut head = self.head.clone();
        let mut document = self.document.clone();
        let mut statements = Vec::new();
        if !moves.is_empty() {
            let now = unix_seconds(&self.clock) as i64;
            let to = Applied {
                names: &self.names,
                epoch: head.epoch,
                spec: document.spec,
                now,
                identifies: self.identifies,
                mirror: self.selection == Selection::SyncMode(SyncMode::Mirror),
            };
            statements.extend(self.transport.dialect().apply(&to, &moves));
            for ack in &acks {
                match (ack.change.kind, &ack.verdict) {
                    (_, Verdict::Rejected(_)) | (ChangeKind::Updated, _) => {}
                    (ChangeKind::Added, _) => document.rows += 1,
                    (ChangeKind::Deleted, _) => document.rows -= u64::from(ack.change.known).min(document.rows),
                }
            }
            document.committed_at = Some(run.updated_at.clone());
            document.sync_name = Some(run.name.clone());
            head.document = document.text()?;
        }
        self.transport.commit(self.commit_of(&head, &run, &rejects), &statements, true).await?;
        failpoint::hit("after-commit");
        self.head = head;
        self.document = document;
        self.run = run;
        for ack in &acks {
            *self.acked.entry(ack.change.kind).or_default() += 1;
        }
        Ok(())
    }

    async fn finish(&mut self, counters: &Counters, phase: Phase) -> Result<Checkpoint, Failure> {
        self.meter.at(Stage::Finishing, 0, 0);
        let run = self.run_row(counters, phase);
        let rejects = self.clear_rejects(&run).await?;
        let mut document = self.document.clone();
        let (statements, prune) = self.last_statements(&mut document);
        let mut head = self.head.clone();
        head.document = document.text()?;
        failpoint::hit("before-fold");
        self.transport.commit(self.commit_of(&head, &run, &rejects), &statements, false).await?;
        self.head = head;
        self.document = document;
        self.run = run;
        // All is said and done: what is not removed now is by the next run.
        if let Some(prune) = prune
            && let Err(failure) = self.transport.fenced(self.fence(), vec![prune]).await
        {
            tracing::warn!(code = %failure.code, message = failure.message, "Tombstones stay until the next run.");
        }
        Ok(self.document.checkpoint())
    }

    async fn close(&mut self) -> Result<(), Failure> {
        let drop = self.transport.dialect().drop(&self.names.delta);
        self.transport.fenced(self.fence(), vec![Statement::plain(drop)]).await
    }
}
