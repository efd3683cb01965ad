//! What a run writes to the journal: marks of changes before they are handed out, and what became of them.

use backflow_core::change::{Change, ChangeKind, Memory};
use backflow_core::code::Failure;
use backflow_core::extraction::{Ack, Verdict};
use backflow_core::plan::Mode;
use backflow_core::state::{Commit, RejectChange, RunRow};

use super::changes::{Offered, is_extra};
use super::document::Document;
use super::entry::{Doubt, Entry, Kind, Rejected};
use super::packed::{Content, Packer};
use super::run::{Streaming, unix_seconds};

/// The most changes that are marked and wait to be handed out: as many as are acknowledged in two commits, so that each commit of
/// acknowledgements finds room to mark as many again.
const WINDOW_CHANGES: usize = 20_000;
/// And the most bytes of their rows, about.
const WINDOW_BYTES: usize = 3 * 1024 * 1024;

/// Entries of one segment, encoded one after another. A run writes hundreds of segments of thousands of entries: they have the same room.
#[derive(Default)]
pub(super) struct Segment {
    bytes: Vec<u8>,
    /// Bytes of acknowledgements, which come before the marks.
    acked: usize,
    /// Acknowledgements of changes that were marked, and nothing of the mark counts any more.
    settled: u64,
}

impl Segment {
    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        (self.acked, self.settled) = (0, 0);
    }
}

impl Streaming {
    /// What an acknowledgement makes of the state.
    fn entry(&self, ack: &Ack) -> Option<Entry> {
        if !is_extra(&ack.change) {
            return Some(self.acknowledged(ack));
        }
        // A record that is refused its deletion is offered again: there is nobody else to remember it.
        let refused = matches!(ack.verdict, Verdict::Rejected(_));
        (!refused).then(|| Entry::release(ack.change.key.encode().into(), ack.change.memory.clone()))
    }

    fn acknowledged(&self, ack: &Ack) -> Entry {
        let change = &ack.change;
        let entry = Entry::new(change.key.encode().into(), self.head.epoch, self.document.spec, Kind::Kept);
        match (&ack.verdict, change.kind) {
            (Verdict::Rejected(rejection), kind) => {
                let rejected = Rejected {
                    deletion: kind == ChangeKind::Deleted,
                    hash: change.hash,
                    spec: self.document.spec,
                    code: rejection.code.as_str().into(),
                };
                Entry { rejected: Some(Box::new(rejected)), ..entry }
            }
            (_, ChangeKind::Deleted) => {
                Entry { kind: Kind::Tombstone(unix_seconds(&self.clock)), memory: change.memory.clone(), ..entry }
            }
            (Verdict::Delivered(memory), _) => {
                let mut memory = memory.clone();
                // Many destinations tell their id only when they create the record.
                memory.remote_id = memory.remote_id.or_else(|| change.memory.remote_id.clone());
                if fault!(NoMatchKey) {
                    memory.match_key = None;
                }
                Entry { kind: Kind::Delivered(change.hash), memory, ..entry }
            }
            // What was sent before stays sent: its later versions are known without being sent.
            (Verdict::Seen, ChangeKind::Updated) if !change.unsent => {
                Entry { kind: Kind::Delivered(change.hash), memory: change.memory.clone(), ..entry }
            }
            (Verdict::Seen, _) => Entry { kind: Kind::Seen(change.hash), memory: change.memory.clone(), ..entry },
        }
    }

    /// Takes the next changes of a kind in, as many as may wait beside those that do. Returns how many waited.
    pub(super) fn look_ahead(&mut self, kind: ChangeKind) -> Result<usize, Failure> {
        let waiting = self.ahead.len();
        let mut bytes: usize = self.ahead.iter().map(|offered| offered.bytes).sum();
        while self.ahead.len() < WINDOW_CHANGES && bytes < WINDOW_BYTES {
            let Some(offered) = self.changes.next(kind)? else { break };
            bytes += offered.bytes;
            self.ahead.push_back(offered);
        }
        Ok(waiting)
    }

    /// Whether the journal holds something of a change before it is handed out: it is sent.
    fn is_marked(&self, change: &Change) -> bool {
        let sent =
            !change.duplicate && !is_extra(change) && self.selection.operation(change.kind, change.unsent).is_some();
        sent && self.mode != Mode::DryRun && !fault!(NoMark)
    }

    /// Whether keys have one change each. Where they may stand for each other's records, a key may have two, and the mark may tell of one.
    fn is_alone(&self) -> bool {
        self.identify.is_none()
    }

    fn mark(&self, offered: &Offered) -> Entry {
        let Offered { change, doubtful, .. } = offered;
        if fault!(CommitBeforeAcknowledge) {
            let verdict = Verdict::Delivered(change.memory.clone());
            return self.acknowledged(&Ack { change: change.clone(), verdict });
        }
        let deletion = change.kind == ChangeKind::Deleted;
        let memory = match &self.identify {
            Some(identify) if !deletion => {
                Memory { remote_id: change.memory.remote_id.clone(), ..identify(&change.row.cells()) }
            }
            _ => change.memory.clone(),
        };
        let doubt = Doubt {
            epoch: self.head.epoch,
            rev: change.rev,
            deletion,
            earlier: *doubtful,
            hash: change.hash,
            spec: self.document.spec,
            memory,
        };
        Entry::mark(change.key.encode().into(), doubt)
    }

    /// Begins a segment with what became of these changes.
    pub(super) fn acked(&mut self, acks: &[Ack]) -> Segment {
        let mut segment = std::mem::take(&mut self.room);
        segment.clear();
        for ack in acks {
            if let Some(entry) = self.entry(ack) {
                entry.encode(&mut segment.bytes);
            }
            let refused = matches!(ack.verdict, Verdict::Rejected(_));
            segment.settled += u64::from(!refused && self.is_alone() && self.is_marked(&ack.change));
        }
        segment.acked = segment.bytes.len();
        segment
    }

    /// Adds what the journal must hold before the changes that wait, but for the first ones, are handed out.
    pub(super) fn add_marks(&self, segment: &mut Segment, first: usize) {
        for offered in self.ahead.range(first..) {
            if self.is_marked(&offered.change) {
                self.mark(offered).encode(&mut segment.bytes);
            }
        }
    }

    /// Appends a segment to the journal, and moves head, run and rejects.
    pub(super) async fn append(
        &mut self,
        segment: Segment,
        document: Document,
        run: RunRow,
        rejects: &[RejectChange],
    ) -> Result<(), Failure> {
        let mut head = self.head.clone();
        let mut packed = None;
        if fault!(StaleEpochWrites)
            && let Some(theirs) = self.store.head(&self.state_key).await?
        {
            head.epoch = theirs.epoch;
        }
        if !segment.is_empty() {
            head.segment += 1;
            let mut packer = Packer::new(Content::Segment { number: head.segment })?;
            packer.push_all(&segment.bytes)?;
            packed = Some(packer.finish()?);
            head.document = document.text()?;
        }
        let commit = Commit { state_key: &self.state_key, head: &head, segment: packed.as_deref(), run: &run, rejects };
        self.store.commit(commit).await?;
        self.head = head;
        self.run = run;
        self.document = document;
        // If scratch fails now, the journal still has the entries, and the next run folds them.
        let (acked, marks) = segment.bytes.split_at(segment.acked);
        self.whole &= match self.is_alone() {
            true => self.overlay.lay_alone(acked, segment.settled, marks).is_ok(),
            false => self.overlay.lay(&segment.bytes).is_ok(),
        };
        self.room = segment;
        Ok(())
    }
}
