//! Each planted fault is found by what this suite runs: an engine that has it does not pass.
//!
//! Faults of pages and acknowledgements are planted between the engine and the oracle, where they show as they would from inside.

use std::panic::{AssertUnwindSafe, catch_unwind};

use async_trait::async_trait;
use backflow_core::cell::{Cell, Column};
use backflow_core::extraction::Checkpoint;
use backflow_tests::oracle::{Asked, Engine, Step, World, steps};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::*;

/// Histories that are tried before a fault counts as not found.
const CASES: usize = 40;

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The change after a full page is lost.
    OffByOnePage,
    /// The last page is lost.
    LostLastPage,
    /// The state moves when a change is handed out, and not when it is acknowledged.
    CommitBeforeAcknowledge,
    /// The run that was replaced goes on writing.
    StaleEpochWrites,
}

/// A site whose runs have a fault.
struct Faulty(DiffSite, Fault);

#[async_trait(?Send)]
impl Engine for Faulty {
    async fn open(&mut self, run: &str, asked: &Asked, rows: &[Vec<Cell>]) -> Result<Box<dyn Extraction>, Failure> {
        let run = self.0.open(run, asked, rows).await?;
        Ok(Box::new(FaultyRun { run, fault: self.1 }))
    }

    async fn store_fails_after(&mut self, writes: Option<u64>) {
        self.0.store_fails_after(writes).await;
    }

    fn days_pass(&mut self, days: i64) {
        self.0.days_pass(days);
    }

    async fn rejects(&mut self) -> usize {
        self.0.rejects().await
    }
}

struct FaultyRun {
    run: Box<dyn Extraction>,
    fault: Fault,
}

#[async_trait]
impl Extraction for FaultyRun {
    fn columns(&self) -> &[Column] {
        self.run.columns()
    }

    fn findings(&self) -> &Findings {
        self.run.findings()
    }

    fn checkpoint(&self) -> &Checkpoint {
        self.run.checkpoint()
    }

    fn incarnation(&self) -> &str {
        self.run.incarnation()
    }

    fn carried(&self) -> &Counters {
        self.run.carried()
    }

    async fn next_page(&mut self, kind: ChangeKind, max: usize) -> Result<Vec<Change>, Failure> {
        let more = usize::from(self.fault == Fault::OffByOnePage);
        let mut page = self.run.next_page(kind, max + more).await?;
        match self.fault {
            Fault::OffByOnePage => page.truncate(max),
            Fault::LostLastPage if page.len() < max => page.clear(),
            Fault::CommitBeforeAcknowledge if !page.is_empty() => {
                let acks = page.iter().cloned().map(delivered).collect();
                self.run.commit(acks, &Counters::default()).await?;
            }
            _ => {}
        }
        Ok(page)
    }

    async fn left(&mut self) -> Result<u64, Failure> {
        self.run.left().await
    }

    fn withhold_deletions(&mut self) {
        self.run.withhold_deletions();
    }

    async fn commit(&mut self, acks: Vec<Ack>, counters: &Counters) -> Result<(), Failure> {
        let acks = if self.fault == Fault::CommitBeforeAcknowledge { Vec::new() } else { acks };
        self.run.commit(acks, counters).await
    }

    async fn finish(&mut self, counters: &Counters, phase: Phase) -> Result<Checkpoint, Failure> {
        self.run.finish(counters, phase).await
    }

    async fn close(&mut self) -> Result<(), Failure> {
        self.run.close().await
    }
}

/// The same histories in every run.
fn histories() -> Vec<Vec<Step>> {
    let config = Config { failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    (0..CASES).map(|_| steps().new_tree(&mut runner).unwrap().current()).collect()
}

#[test]
fn faults_of_pages_and_acknowledgements_are_found_by_histories() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut site = Faulty(runtime.block_on(site()), Fault::OffByOnePage);
    let histories = histories();
    for fault in [Fault::OffByOnePage, Fault::LostLastPage, Fault::CommitBeforeAcknowledge] {
        let found = histories.iter().any(|steps| {
            site.0.renew();
            site.1 = fault;
            let mut world = World::new(&mut site, false);
            catch_unwind(AssertUnwindSafe(|| runtime.block_on(world.live(steps.clone())))).is_err()
        });
        assert!(found, "{fault:?} was not found");
    }
}

/// A run is replaced, and its successor has delivered everything: nothing that the old one says counts any more. With the fault, the old
/// one's head is current again while it writes, as if nobody looked at whose it is.
async fn replaced(old_site: &DiffSite, site: &mut DiffSite, fault: Option<Fault>) {
    site.sql("DELETE FROM model; INSERT INTO model SELECT n, 'name', 'a' FROM generate_series(1, 4) AS n").await;
    let key = site.plan.mapping.state_key.clone();
    let mut old = old_site.open_run("run-1").await.unwrap();
    let page = page(&mut *old, 9).await.unwrap();
    let head = format!("FROM _backflow.mappings WHERE state_key = '{key}'");
    site.sql(&format!("DROP TABLE IF EXISTS heads; CREATE TABLE heads AS SELECT * {head}")).await;
    assert_eq!(deliver(site, "run-1").await.1.len(), 4);
    let moved = |table: &str| {
        format!(
            "UPDATE _backflow.mappings AS m SET epoch = h.epoch, document = h.document FROM {table} AS h WHERE m.state_key = h.state_key"
        )
    };
    site.sql(&format!("DROP TABLE IF EXISTS heads_now; CREATE TABLE heads_now AS SELECT * {head}")).await;
    if fault == Some(Fault::StaleEpochWrites) {
        site.sql(&moved("heads")).await;
        let entries = site.own_tables().await.into_iter().find(|table| table.starts_with("entries_")).unwrap();
        let delta = entries.replace("entries_", "delta_");
        site.sql(&format!(
            "CREATE TABLE _backflow.{delta}_1 AS SELECT 3::smallint AS kind, e.place, e.born AS entry_born, e.place AS entry_place, e.hash, \
             e.key1_int, NULL::text AS record, false AS extra FROM _backflow.{entries} AS e; \
             ALTER TABLE _backflow.{delta}_1 OWNER TO {}",
            site.database()
        ))
        .await;
    }
    let refused: Vec<Ack> = page
        .into_iter()
        .map(|change| {
            let verdict = Verdict::Rejected(backflow_core::record::Rejection::new("HTTP_422", None, "too late"));
            Ack { change: Change { row: EncodedRow::default(), ..change }, verdict }
        })
        .collect();
    let committed = old.commit(refused, &Counters::default()).await;
    if fault.is_some() {
        committed.unwrap();
        site.sql(&moved("heads_now")).await;
    } else {
        is(&committed.unwrap_err(), Code::Fenced, &[]);
    }
    let rejected = site.number("SELECT count(*) FROM _backflow.rejects").await;
    assert_eq!(rejected, 0, "what a replaced run says counts");
}

#[test]
fn a_replaced_run_that_writes_is_found() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    // Two processes with one state, in a database without another.
    let two = || {
        let first = runtime.block_on(site());
        let beside = || runtime.block_on(first.beside(DiffEngine::Pushdown)).unwrap();
        let (old, mut new) = (beside(), beside());
        new.plan.mapping.state_key.clone_from(&old.plan.mapping.state_key);
        (old, new)
    };
    let (old, mut new) = two();
    runtime.block_on(replaced(&old, &mut new, None));
    let (old, mut new) = two();
    let found = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(replaced(&old, &mut new, Some(Fault::StaleEpochWrites)));
    }));
    let said = found.unwrap_err();
    let said = said.downcast_ref::<String>().map(String::as_str).unwrap_or_default();
    assert!(said.contains("what a replaced run says counts"), "{said}");
}
