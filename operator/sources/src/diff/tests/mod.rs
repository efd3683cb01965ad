//! The engine on a warehouse of rows in memory and a store in memory.

mod claims;
mod damage;
mod doubt;
mod faults;
mod golden;
mod history;
mod inputs;
mod known;
mod modes;
// The suites of both engines on real servers use it too.
#[path = "../../../../../tests/src/oracle/mod.rs"]
#[allow(unreachable_pub, reason = "it is public in the test kit")]
mod oracle;
mod records;
mod rules;
mod store;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use backflow_core::cell::{Cell, Column};
use backflow_core::change::{Change, ChangeKind, Identify, Memory};
use backflow_core::code::{Code, Failure};
use backflow_core::encode::EncodedRow;
use backflow_core::extraction::{Ack, Extraction, Findings, Verdict};
use backflow_core::guard::Deletes;
use backflow_core::plan::{
    Connection, DestinationPlan, DiffEngine, MappingPlan, Mode, ModelPlan, ModelQuery, OnMappingChange, Retry,
    RunOptions, SourcePlan, Sqlite, StateLocation, SyncPlan,
};
use backflow_core::record::{Rejection, idempotency_key};
use backflow_core::report::{Progress, Reporter};
use backflow_core::result::{Counters, Phase, RunResult};
use backflow_core::selection::{Operation, Selection, SyncMode};
use backflow_core::state::StateStore;
use futures::StreamExt as _;
use jiff::Timestamp;

use self::oracle::{id, texts};
use self::store::MemoryStore;
use super::{Request, open};
use crate::warehouse::{Query, Rows, Warehouse};

struct Quiet;

impl Reporter for Quiet {
    fn progress(&self, _: Progress) {}
    fn provisional(&self, _: &RunResult) {}
}

/// Rows in memory: a table of named columns.
#[derive(Clone, Default)]
struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

#[async_trait]
impl Warehouse for Table {
    async fn server(&self) -> Result<String, Failure> {
        Ok("memory".into())
    }

    async fn check(&self) -> Result<String, Failure> {
        self.server().await
    }

    async fn describe(&self, _: &ModelPlan) -> Result<Vec<Column>, Failure> {
        Ok(self.described())
    }

    async fn rows(&self, query: Query) -> Result<Rows, Failure> {
        let places: Vec<usize> =
            query.columns.iter().map(|name| self.columns.iter().position(|column| column == name).unwrap()).collect();
        let pick = |row: &Vec<Cell>| places.iter().map(|at| row[*at].clone()).collect::<Vec<Cell>>();
        let batches: Vec<_> = self.rows.chunks(100).map(|rows| Ok(rows.iter().map(pick).collect())).collect();
        Ok(futures::stream::iter(batches).boxed())
    }

    fn state(&self) -> Arc<dyn StateStore> {
        Arc::<MemoryStore>::default()
    }
}

impl Table {
    fn described(&self) -> Vec<Column> {
        self.columns.iter().map(|name| Column { name: name.clone(), kind: "text".into() }).collect()
    }
}

/// `id` and two texts for each row.
fn table(rows: &[(i64, &str, &str)]) -> Table {
    let text = |text: &str| if text == "NULL" { Cell::Null } else { Cell::Text(text.into()) };
    Table {
        columns: ["id", "name", "plan"].map(String::from).into(),
        rows: rows.iter().map(|(id, name, plan)| vec![Cell::Int(*id), text(name), text(plan)]).collect(),
    }
}

/// A place to run a mapping in: state, clock, and a plan to change between runs.
struct Place {
    store: Arc<MemoryStore>,
    clock: Arc<AtomicI64>,
    plan: SyncPlan,
    used: Vec<String>,
    owner: String,
    identify: Option<Identify>,
    scratch: tempfile::TempDir,
}

impl Place {
    fn new(selection: SyncMode) -> Self {
        let source = SourcePlan {
            name: "warehouse".into(),
            connection: Connection::Sqlite(Sqlite { path: "unused".into() }),
            state: StateLocation::Schema("_backflow".into()),
            diff: DiffEngine::Streaming,
        };
        let model = ModelPlan {
            name: "customers".into(),
            query: ModelQuery::Sql("select".into()),
            primary_key: vec!["id".into()],
        };
        let mapping = MappingPlan {
            name: "crm".into(),
            state_key: "growth/crm".into(),
            action: "send".into(),
            selection: Selection::SyncMode(selection),
            config: BTreeMap::new(),
            fields: BTreeMap::new(),
            match_by: None,
            group_by: None,
            include: None,
            filter: None,
            fingerprint: "f1".into(),
            on_change: OnMappingChange::Resend,
            identity: BTreeMap::from([("destination.type".into(), "webhook".into())]),
            deletes: Deletes::default(),
            retry: Retry::default(),
            scratch_bytes: 1 << 30,
        };
        let destination = DestinationPlan {
            name: "crm".into(),
            kind: "webhook".into(),
            definition: None,
            definition_version: 1,
            auth: "none".into(),
            settings: BTreeMap::new(),
            secrets: BTreeMap::new(),
            limits: backflow_core::plan::DestinationLimits::default(),
            allow_loopback: true,
        };
        Self {
            store: Arc::default(),
            clock: Arc::new(AtomicI64::new(1_800_000_000)),
            plan: SyncPlan {
                mode: Mode::Incremental,
                source,
                model,
                mapping,
                destination,
                options: RunOptions::default(),
            },
            used: ["id", "name", "plan"].map(String::from).into(),
            owner: "cluster".into(),
            identify: None,
            scratch: tempfile::tempdir().unwrap(),
        }
    }

    async fn open(&self, run: &str, table: &Table) -> Result<Box<dyn Extraction>, Failure> {
        let clock = Arc::clone(&self.clock);
        let request = Request {
            plan: &self.plan,
            run,
            owner: &self.owner,
            used: &self.used,
            described: &table.described(),
            identify: self.identify.clone(),
            scratch: self.scratch.path(),
            clock: Arc::new(move || Timestamp::from_second(clock.load(Ordering::Relaxed)).unwrap()),
            reporter: Arc::new(Quiet),
        };
        open(table, Arc::clone(&self.store) as Arc<dyn StateStore>, request).await
    }

    async fn refused(&self, run: &str, table: &Table) -> Failure {
        self.open(run, table).await.err().expect("the claim is refused")
    }

    fn days_pass(&self, days: i64) {
        self.clock.fetch_add(days * 86_400, Ordering::Relaxed);
    }

    /// A run that delivers everything, one change a commit; returns what was sent.
    async fn deliver(&self, run: &str, table: &Table) -> Sent {
        self.settle(run, table, |_| Verdict::Delivered(Memory::default())).await
    }

    /// A run that acknowledges every change by `verdict`.
    async fn settle(&self, run: &str, table: &Table, verdict: impl Fn(&Change) -> Verdict) -> Sent {
        let mut extraction = self.open(run, table).await.unwrap();
        let mut sent = Sent { findings: extraction.findings().clone(), changes: Vec::new() };
        loop {
            let page = page(&mut extraction, 2).await;
            if page.is_empty() {
                break;
            }
            let mut acks = Vec::new();
            for change in page {
                let verdict = verdict(&change);
                sent.changes.push(self.sent(extraction.as_ref(), &change));
                acks.push(Ack { change: Change { row: EncodedRow::default(), ..change }, verdict });
            }
            extraction.commit(acks, &Counters::default()).await.unwrap();
        }
        extraction.finish(&Counters::default(), Phase::Succeeded).await.unwrap();
        sent
    }

    fn sent(&self, extraction: &dyn Extraction, change: &Change) -> SentChange {
        SentChange { id: id(change), kind: change.kind, key: self.key(extraction, change), row: texts(change) }
    }

    fn key(&self, extraction: &dyn Extraction, change: &Change) -> String {
        let operation = match change.kind {
            ChangeKind::Deleted => Operation::Delete,
            _ => Operation::Upsert,
        };
        idempotency_key(extraction.incarnation(), change, &self.plan.mapping.fingerprint, operation)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct SentChange {
    id: i64,
    kind: ChangeKind,
    key: String,
    row: Vec<String>,
}

struct Sent {
    findings: Findings,
    changes: Vec<SentChange>,
}

impl Sent {
    /// Ids of one kind, ascending.
    fn ids(&self, kind: ChangeKind) -> Vec<i64> {
        let mut ids: Vec<i64> =
            self.changes.iter().filter(|change| change.kind == kind).map(|change| change.id).collect();
        ids.sort_unstable();
        ids
    }

    fn added(&self) -> Vec<i64> {
        self.ids(ChangeKind::Added)
    }

    fn updated(&self) -> Vec<i64> {
        self.ids(ChangeKind::Updated)
    }

    fn deleted(&self) -> Vec<i64> {
        self.ids(ChangeKind::Deleted)
    }

    fn key_of(&self, id: i64) -> &str {
        &self.changes.iter().find(|change| change.id == id).expect("it was sent").key
    }
}

/// The next changes, at most `max`, whatever their kind.
async fn page(extraction: &mut Box<dyn Extraction>, max: usize) -> Vec<Change> {
    for kind in [ChangeKind::Deleted, ChangeKind::Updated, ChangeKind::Added] {
        let page = extraction.next_page(kind, max).await.unwrap();
        if !page.is_empty() {
            return page;
        }
    }
    Vec::new()
}

fn delivered(text: &str) -> Verdict {
    Verdict::Delivered(Memory { match_key: Some(text.into()), group_key: None, remote_id: None })
}

fn rejection() -> Verdict {
    Verdict::Rejected(Rejection::new("HTTP_422", Some("email"), "the destination refuses the content"))
}

fn is(failure: &Failure, code: Code, words: &[&str]) {
    assert_eq!(failure.code, code, "{failure}");
    for word in words {
        assert!(failure.message.contains(word), "{failure} says nothing of {word}");
    }
}

impl Place {
    /// As [`Place::deliver`] in large pages; returns how many changes there were.
    async fn settle_in_pages(&self, run: &str, table: &Table, max: usize) -> usize {
        let mut extraction = self.open(run, table).await.unwrap();
        let mut count = 0;
        loop {
            let page = page(&mut extraction, max).await;
            if page.is_empty() {
                break;
            }
            count += page.len();
            let ack = |change| Ack { change, verdict: Verdict::Delivered(Memory::default()) };
            extraction.commit(page.into_iter().map(ack).collect(), &Counters::default()).await.unwrap();
        }
        extraction.finish(&Counters::default(), Phase::Succeeded).await.unwrap();
        count
    }
}
