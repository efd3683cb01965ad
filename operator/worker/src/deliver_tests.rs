//! What a pod sends when the one before it was taken away in the middle.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use backflow_core::cell::{Cell, Column};
use backflow_core::change::{Key, Memory};
use backflow_core::encode::EncodedRow;
use backflow_core::extraction::{Checkpoint, Findings};
use backflow_core::guard::Deletes;
use backflow_core::plan::{FieldSource, MappingPlan, OnMappingChange, Retry};
use backflow_core::report::Progress;
use backflow_core::result::Counters;
use backflow_core::selection::{Selection, SyncMode};
use backflow_core::sink::KEY_BEGINNING;
use backflow_core::traffic::Traffic;

use super::*;

/// Additions of the rows with these numbers.
struct Rows {
    left: Vec<Change>,
    findings: Findings,
    checkpoint: Checkpoint,
    carried: Counters,
}

fn rows(numbers: impl Iterator<Item = i64>) -> Rows {
    let change = |n: i64| Change {
        kind: ChangeKind::Added,
        key: Key(vec![Cell::Int(n)].into()),
        row: EncodedRow::default(),
        rev: 0,
        hash: 7,
        unsent: false,
        known: false,
        duplicate: false,
        memory: Memory::default(),
        place: 0,
    };
    let (findings, checkpoint, carried) = (Findings::default(), Checkpoint::default(), Counters::default());
    Rows { left: numbers.map(change).collect(), findings, checkpoint, carried }
}

#[async_trait]
impl Extraction for Rows {
    fn columns(&self) -> &[Column] {
        &[]
    }

    fn findings(&self) -> &Findings {
        &self.findings
    }

    fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    fn incarnation(&self) -> &str {
        "incarnation"
    }

    fn carried(&self) -> &Counters {
        &self.carried
    }

    async fn next_page(&mut self, kind: ChangeKind, max: usize) -> Result<Vec<Change>, Failure> {
        if kind != ChangeKind::Added {
            return Ok(Vec::new());
        }
        let rest = self.left.split_off(self.left.len().min(max));
        Ok(std::mem::replace(&mut self.left, rest))
    }

    async fn left(&mut self) -> Result<u64, Failure> {
        Ok(self.left.len() as u64)
    }

    fn withhold_deletions(&mut self) {}

    async fn commit(&mut self, _: Vec<Ack>, _: &Counters) -> Result<(), Failure> {
        Ok(())
    }

    async fn finish(&mut self, _: &Counters, _: Phase) -> Result<Checkpoint, Failure> {
        Ok(self.checkpoint.clone())
    }
}

/// Takes everything, and keeps what it got.
#[derive(Default)]
struct Taker {
    unfinished: Vec<Vec<String>>,
    batches: Mutex<Vec<Vec<Record>>>,
}

#[async_trait]
impl Sink for Taker {
    fn limits(&self) -> BatchLimits {
        BatchLimits { max_records: 400, max_bytes: 1 << 20, concurrency: 3 }
    }

    async fn unfinished(&self) -> Vec<Vec<String>> {
        self.unfinished.clone()
    }

    async fn deliver(&self, batch: &[Record]) -> Delivery {
        self.batches.lock().unwrap().push(batch.to_vec());
        let outcomes = vec![Outcome::Delivered { remote_id: None }; batch.len()];
        Delivery { outcomes, requests: 1, bytes: 0, traffic: Traffic::default(), stop: None }
    }
}

struct Nobody;

impl Reporter for Nobody {
    fn progress(&self, _: Progress) {}

    fn provisional(&self, _: &RunResult) {}
}

/// The batches of a pod that finds these rows, each the ids of its records.
async fn batches(numbers: impl Iterator<Item = i64>, sink: Arc<Taker>) -> Vec<Vec<Record>> {
    let plan = MappingPlan {
        name: "crm".into(),
        state_key: "growth/crm".into(),
        action: "send".into(),
        selection: Selection::SyncMode(SyncMode::Upsert),
        config: BTreeMap::new(),
        fields: BTreeMap::from([("a".to_owned(), FieldSource::Value(1.into()).into())]),
        match_by: None,
        group_by: None,
        include: None,
        filter: None,
        fingerprint: "f".into(),
        on_change: OnMappingChange::Resend,
        identity: BTreeMap::new(),
        deletes: Deletes::default(),
        retry: Retry::default(),
        scratch_bytes: 1 << 30,
    };
    let mut extraction = rows(numbers);
    let count = extraction.left.len() as u64;
    let mapping = backflow_mapping::compile(&plan, &[], None).unwrap();
    let stop = Stop::default();
    let delivering = Delivering {
        run: "run",
        rendering: Arc::new(Rendering::new(&mapping, &plan, &extraction).unwrap()),
        sink: Arc::clone(&sink) as Arc<dyn Sink>,
        reporter: &Nobody,
        stop: &stop,
    };
    let mut ledger = Ledger::new(&Counters::default(), count);
    assert_eq!(deliver(&mut extraction, &delivering, &mut ledger).await.unwrap(), None);
    assert_eq!(ledger.counters.upserted, count, "each is sent once");
    std::mem::take(&mut *sink.batches.lock().unwrap())
}

fn keys(batch: &[Record]) -> Vec<String> {
    batch.iter().map(|record| record.key[..KEY_BEGINNING].to_owned()).collect()
}

#[tokio::test]
async fn batches_that_were_on_when_a_pod_was_taken_away_come_together_again() {
    let first = batches(0..1400, Arc::default()).await;
    let sizes: Vec<usize> = first.iter().map(Vec::len).collect();
    assert_eq!(sizes, [200, 200, 400, 400, 200], "the first is small");
    // The first, second and fourth were acknowledged: what is left begins in the middle of what is asked for at once.
    let (third, last) = (keys(&first[2]), keys(&first[4]));
    let acknowledged: Vec<i64> = (0..400).chain(800..1200).collect();
    let sink = Arc::new(Taker { unfinished: vec![last.clone(), third.clone()], ..Taker::default() });
    let left = (0..1400).filter(|n| !acknowledged.contains(n));
    let second = batches(left, sink).await;
    let together: Vec<Vec<String>> = second.iter().map(|batch| keys(batch)).collect();
    assert!(
        together.contains(&third) && together.contains(&last),
        "{:?}",
        second.iter().map(Vec::len).collect::<Vec<_>>()
    );
    assert_eq!(together.len(), 2);
}

#[tokio::test]
async fn a_batch_of_which_a_row_has_changed_is_sent_anew_with_the_others() {
    let first = batches(0..300, Arc::default()).await;
    let sink = Arc::new(Taker { unfinished: vec![keys(&first[0])], ..Taker::default() });
    // Row 7 is gone meanwhile.
    let second = batches((0..300).filter(|n| *n != 7), sink).await;
    assert_eq!(second.iter().map(Vec::len).sum::<usize>(), 299);
}
