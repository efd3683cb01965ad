//! A Mapping of a table in the fake of a warehouse, as the pushdown engine sees it: no destination, and a clock that tests move.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a check fails by panicking, as any test")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use async_trait::async_trait;
use backflow_core::cell::Cell;
use backflow_core::change::{Identify, Memory};
use backflow_core::code::Failure;
use backflow_core::extraction::Extraction;
use backflow_core::plan::{DiffEngine, Mode, ModelPlan, ModelQuery, RunOptions, SyncPlan};
use backflow_sources::diff;
use backflow_sources::warehouse::{self, Query, Warehouse};
use futures::TryStreamExt as _;
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::diff_site::Quiet;
use crate::oracle::{Asked, Engine, name_of};
use crate::warehouse::{FakeWarehouse, Service};
use crate::webhook::Webhook;

/// What a site says to a warehouse in its own words.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    /// The service.
    pub service: Service,
    /// Makes the empty table of the model: an integer `id`, texts `name` and `plan`.
    pub table: &'static str,
    /// Its name.
    pub model: &'static str,
    /// What stands before a text in quotes.
    pub text: &'static str,
    /// The table of objects of the state.
    pub objects: &'static str,
    /// Matches statements that write an object of the state.
    pub writes: &'static str,
    /// What such a statement fails with.
    pub fault: fn() -> Value,
}

/// The key of a state that nobody has yet.
fn new_key() -> String {
    static STATES: AtomicU64 = AtomicU64::new(0);
    format!("site/{}", STATES.fetch_add(1, Ordering::Relaxed))
}

/// A fake with a model and a state schema.
pub struct FakeSite {
    words: Words,
    fake: Arc<FakeWarehouse>,
    warehouse: Arc<dyn Warehouse>,
    scratch: TempDir,
    clock: Arc<AtomicI64>,
    faults: Option<Option<u64>>,
    /// What the next run is given.
    pub plan: SyncPlan,
    /// The columns that the Mapping uses.
    pub used: Vec<String>,
    /// What a row's record is found by.
    pub identify: Option<Identify>,
}

impl FakeSite {
    /// A fake of its own with the empty table of the model.
    ///
    /// # Errors
    /// What the fake says.
    pub async fn new(words: Words) -> anyhow::Result<Self> {
        let fake = Arc::new(FakeWarehouse::start(words.service, words.table).await?);
        Self::over(words, fake, DiffEngine::Pushdown).await
    }

    /// Another connection, with another state of the same model.
    ///
    /// # Errors
    /// What the fake says.
    pub async fn beside(&self, engine: DiffEngine) -> anyhow::Result<Self> {
        let beside = Self::over(self.words, Arc::clone(&self.fake), engine).await?;
        Ok(Self { clock: Arc::clone(&self.clock), ..beside })
    }

    async fn over(words: Words, fake: Arc<FakeWarehouse>, engine: DiffEngine) -> anyhow::Result<Self> {
        let Webhook { destination, mut mapping, .. } = Webhook::new("http://127.0.0.1:9/");
        mapping.state_key = new_key();
        mapping.fingerprint = "f0".into();
        mapping.scratch_bytes = 1 << 30;
        let mut source = fake.source();
        source.diff = engine;
        let warehouse = warehouse::open(&source, &*fake, "backflow/site").await?;
        let plan = SyncPlan {
            mode: Mode::Incremental,
            source,
            model: ModelPlan {
                name: "model".into(),
                query: ModelQuery::Sql(format!("SELECT * FROM {} -- all of it", words.model)),
                primary_key: vec!["id".into()],
            },
            mapping,
            destination,
            options: RunOptions::default(),
        };
        Ok(Self {
            words,
            fake,
            warehouse,
            scratch: tempfile::tempdir()?,
            clock: Arc::new(AtomicI64::new(1_800_000_000)),
            faults: None,
            plan,
            used: ["id", "name", "plan"].map(String::from).into(),
            identify: None,
        })
    }

    /// From now on it is about another state of the same model, in which nothing happened yet.
    pub fn renew(&mut self) {
        self.plan.mapping.state_key = new_key();
        self.faults = Some(None);
    }

    /// The fake.
    #[must_use]
    pub fn fake(&self) -> &FakeWarehouse {
        &self.fake
    }

    /// The warehouse.
    #[must_use]
    pub fn warehouse(&self) -> &Arc<dyn Warehouse> {
        &self.warehouse
    }

    /// Runs SQL with all rights.
    ///
    /// # Panics
    /// If the fake refuses it.
    pub async fn sql(&self, sql: &str) {
        self.fake.sql(sql).await.expect(sql);
    }

    /// Names of the tables in the state schema that are none of the store's.
    ///
    /// # Panics
    /// If the fake does not say.
    pub async fn own_tables(&self) -> Vec<String> {
        let all = self.fake.list("/tables").await.unwrap();
        let names = all.iter().filter_map(|table| table.as_str()?.rsplit('.').next().map(str::to_owned));
        let kinds = ["entries_", "held_", "delta_", "found_", "marks_", "dry_"];
        names.filter(|name| kinds.iter().any(|kind| name.to_lowercase().starts_with(kind))).collect()
    }

    /// Statements about tables of the engine that have arrived.
    ///
    /// # Panics
    /// If the fake does not say.
    pub async fn statements(&self) -> usize {
        let ours = |sql: &str| sql.contains("entries_") || sql.contains("delta_");
        self.fake.list("/statements").await.unwrap().iter().filter(|one| one["sql"].as_str().is_some_and(ours)).count()
    }

    /// Opens a run over the model as it is.
    ///
    /// # Errors
    /// As [`diff::open`].
    pub async fn open_run(&self, run: &str) -> Result<Box<dyn Extraction>, Failure> {
        let described = self.warehouse.describe(&self.plan.model).await?;
        let clock = Arc::clone(&self.clock);
        let request = diff::Request {
            plan: &self.plan,
            run,
            owner: "cluster",
            used: &self.used,
            described: &described,
            identify: self.identify.clone(),
            scratch: self.scratch.path(),
            clock: Arc::new(move || Timestamp::from_second(clock.load(Ordering::Relaxed)).unwrap_or_default()),
            reporter: Arc::new(Quiet),
        };
        diff::open(&*self.warehouse, self.warehouse.state(), request).await
    }

    /// Makes the model hold these rows of `id`, `name` and `plan`.
    ///
    /// # Panics
    /// If the fake refuses them.
    pub async fn put_rows(&self, rows: &[Vec<Cell>]) {
        let said = |cell: &Cell| match cell {
            Cell::Int(number) => number.to_string(),
            Cell::Text(text) => format!("{}'{text}'", self.words.text),
            _ => "NULL".to_owned(),
        };
        let row = |row: &Vec<Cell>| format!("({})", row.iter().map(said).collect::<Vec<_>>().join(", "));
        let model = self.words.model;
        let mut sql = format!("DELETE FROM {model}");
        if !rows.is_empty() {
            sql.push_str(&format!(
                ";\nINSERT INTO {model} VALUES {}",
                rows.iter().map(row).collect::<Vec<_>>().join(", ")
            ));
        }
        self.sql(&sql).await;
    }

    /// Removes the state.
    ///
    /// # Errors
    /// As [`diff::forget`].
    pub async fn forget(&self) -> Result<bool, Failure> {
        diff::forget(&*self.warehouse.state(), &self.plan.mapping.state_key, "cluster", false).await
    }
}

#[async_trait(?Send)]
impl Engine for FakeSite {
    async fn open(&mut self, run: &str, asked: &Asked, rows: &[Vec<Cell>]) -> Result<Box<dyn Extraction>, Failure> {
        self.plan.mode = asked.mode.clone();
        self.plan.mapping.fingerprint.clone_from(&asked.fingerprint);
        self.plan.mapping.on_change = asked.on_change;
        self.plan.options.retry_rejected = asked.retry_rejected;
        let by_name = |row: &[Cell]| Memory { match_key: name_of(row), ..Memory::default() };
        self.identify = asked.matched.then(|| Arc::new(by_name) as Identify);
        self.put_rows(rows).await;
        if let Some(faults) = self.faults.take() {
            self.fake.calm().await.unwrap();
            if let Some(writes) = faults {
                let mut fault = (self.words.fault)();
                fault["body"] = json!(self.words.writes);
                fault["skip"] = json!(writes);
                fault["times"] = Value::Null;
                self.fake.fault(fault).await.unwrap();
            }
        }
        self.open_run(run).await
    }

    async fn store_fails_after(&mut self, writes: Option<u64>) {
        self.faults = Some(writes);
    }

    fn days_pass(&mut self, days: i64) {
        self.clock.fetch_add(days * 86_400, Ordering::Relaxed);
    }

    /// The list is what its files say, one after another: the last run has left none that is not current.
    async fn rejects(&mut self) -> usize {
        let folder = format!("{}/rejects/", self.plan.mapping.state_key.replace('/', "_"));
        let sql = format!(
            "SELECT name, content FROM {} WHERE name LIKE '{folder}%' AND encoding = 'text'",
            self.words.objects
        );
        let model = ModelPlan { name: "rejects".into(), query: ModelQuery::Sql(sql), primary_key: vec!["name".into()] };
        let columns = vec!["name".to_owned(), "content".to_owned()];
        let query = Query { model, columns, filter: None, limit: None };
        let batches: Vec<_> = self.warehouse.rows(query).await.unwrap().try_collect().await.unwrap();
        let mut files: Vec<Vec<Cell>> =
            batches.iter().flat_map(|batch| batch.rows().map(|row| row.cells(2)).collect::<Vec<_>>()).collect();
        files.sort_by_key(|file| format!("{:?}", file[0]));
        let mut keys = BTreeSet::new();
        for file in files {
            let Cell::Text(lines) = &file[1] else { panic!("a file is a text") };
            for line in lines.lines() {
                let line: Value = serde_json::from_str(line).unwrap();
                match line["removed"].as_str() {
                    Some(key) => drop(keys.remove(key)),
                    None => drop(keys.insert(line["key"].as_str().unwrap().to_owned())),
                }
            }
        }
        keys.len()
    }
}
