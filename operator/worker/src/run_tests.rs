//! The guard over several pods of one run, on an extraction without a warehouse.

use std::collections::BTreeMap;

use async_trait::async_trait;
use backflow_core::cell::Column;
use backflow_core::change::{Change, ChangeKind};
use backflow_core::extraction::{Ack, Checkpoint};
use backflow_core::guard::Deletes;
use backflow_core::plan::{
    Connection, DestinationLimits, DestinationPlan, DiffEngine, MappingPlan, Mode, ModelPlan, ModelQuery,
    OnMappingChange, Retry, RunOptions, SourcePlan, Sqlite, StateLocation,
};
use backflow_core::result::Counters;
use backflow_core::selection::{Selection, SyncMode};

use super::*;

/// What a pod found, and what the pods before it did.
#[derive(Default)]
struct Found {
    findings: Findings,
    carried: Counters,
    checkpoint: Checkpoint,
    withheld: bool,
}

#[async_trait]
impl Extraction for Found {
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

    async fn next_page(&mut self, _: ChangeKind, _: usize) -> Result<Vec<Change>, Failure> {
        Ok(Vec::new())
    }

    async fn left(&mut self) -> Result<u64, Failure> {
        Ok(0)
    }

    fn withhold_deletions(&mut self) {
        self.withheld = true;
    }

    async fn commit(&mut self, _: Vec<Ack>, _: &Counters) -> Result<(), Failure> {
        Ok(())
    }

    async fn finish(&mut self, _: &Counters, _: Phase) -> Result<Checkpoint, Failure> {
        Ok(self.checkpoint.clone())
    }
}

fn sync(deletes: Deletes, approved: Option<u64>) -> SyncPlan {
    let text = String::from;
    SyncPlan {
        mode: Mode::Incremental,
        source: SourcePlan {
            name: text("warehouse"),
            connection: Connection::Sqlite(Sqlite { path: text("unused") }),
            state: StateLocation::Schema(text("_backflow")),
            diff: DiffEngine::Streaming,
        },
        model: ModelPlan {
            name: text("customers"),
            query: ModelQuery::Sql(text("select")),
            primary_key: vec![text("id")],
        },
        mapping: MappingPlan {
            name: text("crm"),
            state_key: text("growth/crm"),
            action: text("send"),
            selection: Selection::SyncMode(SyncMode::Mirror),
            config: BTreeMap::new(),
            fields: BTreeMap::new(),
            match_by: None,
            group_by: None,
            include: None,
            filter: None,
            fingerprint: text("f1"),
            on_change: OnMappingChange::Resend,
            identity: BTreeMap::new(),
            deletes,
            retry: Retry::default(),
            scratch_bytes: 1 << 30,
        },
        destination: DestinationPlan {
            name: text("crm"),
            kind: text("webhook"),
            definition: None,
            definition_version: 1,
            auth: text("none"),
            settings: BTreeMap::new(),
            secrets: BTreeMap::new(),
            limits: DestinationLimits::default(),
            allow_loopback: true,
        },
        options: RunOptions { approve_deletes: approved, ..RunOptions::default() },
    }
}

/// One pod's guard; the ledger and what it must balance with.
fn guarded(sync: &SyncPlan, pod: &mut Found) -> (Ledger, Findings, Option<Failure>) {
    let mut found = pod.findings.clone();
    let mut ledger = Ledger::new(&pod.carried, found.added + found.updated + found.deleted);
    let carried = pod.carried.clone();
    let refused = guard(sync, &mut found, pod, &mut ledger);
    (ledger, Ledger::extracted(&carried, &found), refused)
}

#[test]
fn counts_add_up_when_a_replacement_pod_withholds_again() {
    let sync = sync(Deletes::default(), None);
    let findings = Findings { rows: 100, known: 1000, deleted: 900, deleted_unsent: 300, ..Findings::default() };
    let mut first = Found { findings: findings.clone(), ..Found::default() };
    let (ledger, found, _) = guarded(&sync, &mut first);
    assert!(first.withheld);
    assert_eq!(ledger.counters.withheld, 600, "what a person has to approve");
    ledger.balance(&found).unwrap();

    let mut second = Found { findings, carried: ledger.counters, ..Found::default() };
    let (ledger, found, _) = guarded(&sync, &mut second);
    assert_eq!(ledger.counters.withheld, 600);
    ledger.balance(&found).unwrap();
}

#[test]
fn an_approval_counts_once_for_all_pods_of_a_run() {
    let sync = sync(Deletes::default(), Some(300));
    let findings = Findings { rows: 500, known: 800, deleted: 300, ..Findings::default() };
    let carried = Counters { deleted: 200, settled_deleted: 200, ..Counters::default() };
    let mut pod = Found { findings, carried, ..Found::default() };
    let (ledger, found, _) = guarded(&sync, &mut pod);
    assert!(pod.withheld, "200 are deleted, 300 more would be 500 of 300 approved");
    assert_eq!((ledger.counters.withheld, ledger.counters.deleted), (300, 200));
    ledger.balance(&found).unwrap();
}

#[test]
fn a_replacement_pod_with_nothing_left_to_delete_is_not_refused() {
    let sync = sync(Deletes { action: DeletesAction::Fail, ..Deletes::default() }, None);
    let findings = Findings { rows: 100, known: 100, ..Findings::default() };
    let carried = Counters { deleted: 900, settled_deleted: 900, ..Counters::default() };
    let mut pod = Found { findings, carried, ..Found::default() };
    assert_eq!(guarded(&sync, &mut pod).2, None);
}

#[test]
fn counters_that_do_not_add_up_fail_the_run() {
    let sync = sync(Deletes::default(), None);
    let findings = Findings { rows: 10, known: 10, added: 2, updated: 1, ..Findings::default() };
    let mut pod = Found { findings, ..Found::default() };
    let (mut ledger, found, _) = guarded(&sync, &mut pod);
    ledger.counters.upserted = 2;
    let mismatch = ledger.balance(&found).unwrap_err();
    assert_eq!(mismatch.code, Code::LedgerMismatch);
    let (phase, failure) = verdict(&ledger, &found, None, Some(mismatch.clone()));
    assert_eq!((phase, failure), (Phase::Failed, Some(mismatch)));
    ledger.left(1);
    ledger.balance(&found).unwrap();
    ledger.left(1);
    assert!(ledger.balance(&found).is_err(), "too many is as wrong as too few");
}

#[test]
fn additions_that_need_their_deletion_wait_with_it() {
    let sync = sync(Deletes::default(), None);
    let findings = Findings { rows: 1000, known: 1000, added: 410, deleted: 400, rekeyed: 400, ..Findings::default() };
    let mut pod = Found { findings, ..Found::default() };
    let (mut ledger, found, _) = guarded(&sync, &mut pod);
    assert!(pod.withheld);
    assert_eq!((ledger.counters.withheld, found.added), (400, 10));
    ledger.counters.upserted = 10;
    ledger.balance(&found).unwrap();
}
