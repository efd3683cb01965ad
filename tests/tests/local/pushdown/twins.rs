//! Both engines over the same histories: they find the same changes, run by run.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use backflow_core::cell::{Cell, Column};
use backflow_core::extraction::Checkpoint;
use backflow_core::plan::Mode;
use backflow_tests::oracle::{Asked, Engine, World};

use super::*;

/// Two states of one model. What happens to one happens to the other, but for faults of the store: they count its writes.
struct Twins {
    pushdown: DiffSite,
    streaming: DiffSite,
    /// A run was opened and has not ended.
    left: Arc<AtomicBool>,
}

#[async_trait(?Send)]
impl Engine for Twins {
    async fn open(&mut self, run: &str, asked: &Asked, rows: &[Vec<Cell>]) -> Result<Box<dyn Extraction>, Failure> {
        let pushdown = self.pushdown.open(run, asked, rows).await?;
        let dry = asked.mode == Mode::DryRun;
        if dry && self.left.load(Ordering::Relaxed) {
            // It changes no table, so that what a killed run left in doubt counts from the next real run, where the warehouse compares.
            return Ok(pushdown);
        }
        self.left.fetch_or(!dry, Ordering::Relaxed);
        self.streaming.ask(asked);
        let streaming = self.streaming.open_run(run).await?;
        assert_eq!(pushdown.findings(), streaming.findings());
        assert_eq!(pushdown.columns().len(), streaming.columns().len());
        assert_eq!(pushdown.checkpoint(), streaming.checkpoint());
        let mut both = Both { pushdown, streaming, pages: Vec::new(), left: Arc::clone(&self.left) };
        both.fill().await?;
        Ok(Box::new(both))
    }

    async fn store_fails_after(&mut self, _: Option<u64>) {}

    /// Time stands still: what is old is forgotten by the one with its next run, and by the other when it folds.
    fn days_pass(&mut self, _: i64) {}

    async fn rejects(&mut self) -> usize {
        let (one, other) = (self.pushdown.rejects().await, self.streaming.rejects().await);
        assert_eq!(one, other, "both list the same rejects");
        one
    }
}

/// A change, as each engine says it.
type Pair = (Change, Change);

/// One run of both.
struct Both {
    pushdown: Box<dyn Extraction>,
    streaming: Box<dyn Extraction>,
    /// Everything that both have handed out, last first. They do it at once, so that both have the same doubts wherever the run dies.
    pages: Vec<Pair>,
    /// Of [`Twins`].
    left: Arc<AtomicBool>,
}

impl Both {
    async fn all(extraction: &mut dyn Extraction) -> Result<Vec<Change>, Failure> {
        let mut all = Vec::new();
        loop {
            let next = page(extraction, 1000).await?;
            if next.is_empty() {
                return Ok(all);
            }
            all.extend(next);
        }
    }

    /// But for `rev`, which means something to its own engine only: it grows past what was forgotten, and they forget at different times.
    /// That no key of a delivery comes twice is what the histories of each engine show.
    async fn fill(&mut self) -> Result<(), Failure> {
        let (mut one, mut other) = (Self::all(&mut *self.pushdown).await?, Self::all(&mut *self.streaming).await?);
        // Each in its own order within a kind.
        one.sort_by_key(|change| (std::cmp::Reverse(change.kind), change.key.encode()));
        other.sort_by_key(|change| (std::cmp::Reverse(change.kind), change.key.encode()));
        let said = |change: &Change| (seen(change), change.unsent, change.known, change.memory.clone());
        assert_eq!(one.iter().map(said).collect::<Vec<_>>(), other.iter().map(said).collect::<Vec<_>>());
        self.pages = one.into_iter().zip(other).rev().collect();
        Ok(())
    }
}

#[async_trait]
impl Extraction for Both {
    fn columns(&self) -> &[Column] {
        self.pushdown.columns()
    }

    fn findings(&self) -> &Findings {
        self.pushdown.findings()
    }

    fn checkpoint(&self) -> &Checkpoint {
        self.pushdown.checkpoint()
    }

    fn incarnation(&self) -> &str {
        self.pushdown.incarnation()
    }

    fn carried(&self) -> &Counters {
        self.pushdown.carried()
    }

    async fn next_page(&mut self, kind: ChangeKind, max: usize) -> Result<Vec<Change>, Failure> {
        let mut next = Vec::new();
        while next.len() < max {
            // The streaming engine needs nothing that is not in the other's change but the hash, which is its own.
            let Some((one, other)) = self.pages.pop_if(|(change, _)| change.kind == kind) else { break };
            next.push(Change { hash: other.hash, ..one });
        }
        Ok(next)
    }

    async fn left(&mut self) -> Result<u64, Failure> {
        assert_eq!((self.pushdown.left().await?, self.streaming.left().await?), (0, 0), "both have handed out all");
        Ok(self.pages.len() as u64)
    }

    fn withhold_deletions(&mut self) {
        self.pages.retain(|(change, _)| change.kind != ChangeKind::Deleted);
    }

    async fn commit(&mut self, acks: Vec<Ack>, counters: &Counters) -> Result<(), Failure> {
        self.pushdown.commit(acks.clone(), counters).await?;
        self.streaming.commit(acks, counters).await
    }

    async fn finish(&mut self, counters: &Counters, phase: Phase) -> Result<Checkpoint, Failure> {
        let one = self.pushdown.finish(counters, phase).await?;
        let other = self.streaming.finish(counters, phase).await?;
        assert_eq!(one, other, "both end with the same checkpoint");
        self.left.store(false, Ordering::Relaxed);
        Ok(one)
    }

    async fn close(&mut self) -> Result<(), Failure> {
        self.pushdown.close().await?;
        self.streaming.close().await
    }
}

#[test]
fn both_engines_find_the_same_changes_in_every_history() {
    let twins = async || {
        let pushdown = site().await;
        let streaming = pushdown.beside(DiffEngine::Streaming).await.unwrap();
        Twins { pushdown, streaming, left: Arc::default() }
    };
    super::histories::every_history(40, twins, async |twins, steps| {
        twins.pushdown.renew();
        twins.streaming.renew();
        twins.left.store(false, Ordering::Relaxed);
        World::new(twins, false).live(steps).await;
    });
}
