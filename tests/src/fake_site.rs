//! A Mapping of a model in a fake warehouse, as a diff engine sees it: the same as [`crate::diff_site`] of a Postgres.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a check fails by panicking, as any test")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

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

use crate::diff_site::{Quiet, new_key};
use crate::oracle::{Asked, Engine, name_of};
use crate::warehouse::{FakeWarehouse, Service};
use crate::webhook::Webhook;

/// A fake with a model and a state; several sites may share one.
pub struct FakeSite {
    /// The fake.
    pub fake: Arc<FakeWarehouse>,
    warehouse: Arc<dyn Warehouse>,
    /// The model is a table.
    tabled: bool,
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
    /// A fake of its own, with a model of the columns `id`, `name` and `plan`, in no row.
    ///
    /// # Errors
    /// What the fake says.
    pub async fn new(service: Service, engine: DiffEngine) -> anyhow::Result<Self> {
        let fake = Arc::new(FakeWarehouse::start(service, "").await?);
        let mut site = Self::over(&fake, engine).await?;
        site.put_rows(&[]);
        Ok(site)
    }

    /// As [`FakeSite::new`], with a table of the model, `model`, that `create` makes.
    ///
    /// # Errors
    /// What the fake says.
    pub async fn with_table(service: Service, create: &str) -> anyhow::Result<Self> {
        let fake = Arc::new(FakeWarehouse::start(service, create).await?);
        let mut site = Self::over(&fake, DiffEngine::Pushdown).await?;
        site.select("SELECT * FROM model -- all of it");
        site.tabled = true;
        Ok(site)
    }

    /// Runs SQL with all rights.
    ///
    /// # Panics
    /// If the fake refuses it.
    pub async fn sql(&self, sql: &str) {
        self.fake.sql(sql).await.expect(sql);
    }

    /// Another state of the same model.
    ///
    /// # Errors
    /// What the fake says.
    pub async fn beside(&self, engine: DiffEngine) -> anyhow::Result<Self> {
        let mut beside = Self::over(&self.fake, engine).await?;
        beside.clock = Arc::clone(&self.clock);
        beside.plan.model = self.plan.model.clone();
        beside.tabled = self.tabled;
        Ok(beside)
    }

    /// The same state, by a connection as the plan's Source says it now.
    ///
    /// # Errors
    /// What the fake says.
    pub async fn reopened(&self) -> anyhow::Result<Self> {
        let mut again = self.beside(self.plan.source.diff).await?;
        again.warehouse = warehouse::open(&self.plan.source, &*self.fake, "backflow/site").await?;
        again.plan = self.plan.clone();
        again.used.clone_from(&self.used);
        Ok(again)
    }

    async fn over(fake: &Arc<FakeWarehouse>, engine: DiffEngine) -> anyhow::Result<Self> {
        let Webhook { destination, mut mapping, .. } = Webhook::new("http://127.0.0.1:9/");
        mapping.state_key = new_key();
        mapping.fingerprint = "f0".into();
        mapping.scratch_bytes = 1 << 30;
        let mut source = fake.source();
        source.diff = engine;
        let warehouse = warehouse::open(&source, &**fake, "backflow/site").await?;
        let model =
            ModelPlan { name: "model".into(), query: ModelQuery::Sql(String::new()), primary_key: vec!["id".into()] };
        let plan =
            SyncPlan { mode: Mode::Incremental, source, model, mapping, destination, options: RunOptions::default() };
        Ok(Self {
            fake: Arc::clone(fake),
            warehouse,
            tabled: false,
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

    /// The warehouse.
    #[must_use]
    pub fn warehouse(&self) -> &Arc<dyn Warehouse> {
        &self.warehouse
    }

    /// Makes the model this SELECT.
    pub fn select(&mut self, sql: impl Into<String>) {
        self.plan.model.query = ModelQuery::Sql(sql.into());
    }

    /// Makes the model hold these rows of `id`, `name` and `plan`.
    pub fn put_rows(&mut self, rows: &[Vec<Cell>]) {
        let (number, text) = types(self.fake.service);
        let [id, name, plan] = ["id", "name", "plan"].map(|column| quoted(self.fake.service, column));
        let mut sql = format!(
            "SELECT {id}, {name}, {plan} FROM (SELECT CAST(NULL AS {number}) AS {id}, CAST(NULL AS {text}) AS {name}, \
             CAST(NULL AS {text}) AS {plan}, 0 AS there"
        );
        for row in rows {
            let cells: Vec<String> = row.iter().map(|cell| literal(self.fake.service, cell)).collect();
            sql.push_str(&format!(" UNION ALL SELECT {}, 1", cells.join(", ")));
        }
        sql.push_str(") AS given WHERE there = 1");
        self.select(sql);
    }

    /// Makes the table of the model hold these rows.
    ///
    /// # Panics
    /// If the fake refuses them.
    pub async fn fill(&self, rows: &[Vec<Cell>]) {
        let mut sql = "DELETE FROM model".to_owned();
        for (at, row) in rows.iter().enumerate() {
            let cells: Vec<String> = row.iter().map(|cell| literal(self.fake.service, cell)).collect();
            sql.push_str(if at == 0 { ";\nINSERT INTO model VALUES " } else { ", " });
            sql.push_str(&format!("({})", cells.join(", ")));
        }
        self.sql(&sql).await;
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

    /// Removes the state.
    ///
    /// # Errors
    /// As [`diff::forget`].
    pub async fn forget(&self) -> Result<bool, Failure> {
        diff::forget(&*self.warehouse.state(), &self.plan.mapping.state_key, "cluster", false).await
    }

    /// Names of the tables that the engine has beside the store's.
    ///
    /// # Panics
    /// If the fake does not say.
    pub async fn own_tables(&self) -> Vec<String> {
        let kinds = ["entries_", "held_", "delta_", "found_", "marks_", "dry_"];
        let all = self.fake.list("/tables").await.unwrap();
        let names = all.iter().filter_map(|table| Some(table.as_str()?.rsplit('.').next()?.to_lowercase()));
        names.filter(|name| kinds.iter().any(|kind| name.starts_with(kind))).collect()
    }

    /// Statements about tables of the engine that the fake was given so far.
    ///
    /// # Panics
    /// If the fake does not say.
    pub async fn statements(&self) -> usize {
        let all = self.fake.list("/statements").await.unwrap();
        let texts = all.iter().filter_map(|statement| statement["sql"].as_str()).map(str::to_lowercase);
        // Snowflake lists a request with several of them beside them.
        let one = |sql: &String| self.fake.service != Service::Snowflake || !sql.contains(";\n");
        texts.filter(one).filter(|sql| sql.contains("entries_") || sql.contains("delta_")).count()
    }

    /// Objects of the state in one of its folders: names and contents.
    ///
    /// # Panics
    /// If they cannot be read.
    pub async fn objects(&self, folder: &str) -> Vec<(String, String)> {
        let state = self.plan.mapping.state_key.replace('/', "_");
        let service = self.fake.service;
        let table = if service == Service::Snowflake { "_BACKFLOW.OBJECTS" } else { "_backflow.objects" };
        let [name, content] = ["name", "content"].map(|column| quoted(service, column));
        let sql =
            format!("SELECT name AS {name}, content AS {content} FROM {table} WHERE name LIKE '{state}/{folder}/%'");
        let model = ModelPlan { name: "objects".into(), query: ModelQuery::Sql(sql), primary_key: vec!["name".into()] };
        let columns = vec!["name".into(), "content".into()];
        let rows = self.warehouse.rows(Query { model, columns, filter: None, limit: None }).await.unwrap();
        let batches: Vec<_> = rows.try_collect().await.unwrap();
        let mut objects = Vec::new();
        for row in batches.into_iter().flatten() {
            let [Cell::Text(name), Cell::Text(content)] = row.as_slice() else { panic!("an object is two texts") };
            objects.push((name.to_string(), content.to_string()));
        }
        objects.sort();
        objects
    }
}

/// A name in lower case.
fn quoted(service: Service, name: &str) -> String {
    match service {
        Service::Snowflake => format!("\"{name}\""),
        Service::AzureSql => format!("[{name}]"),
        Service::BigQuery | Service::Databricks | Service::ClickHouse => name.to_owned(),
    }
}

/// Types of whole numbers and of texts.
fn types(service: Service) -> (&'static str, &'static str) {
    match service {
        Service::BigQuery => ("INT64", "STRING"),
        Service::Databricks => ("BIGINT", "STRING"),
        Service::Snowflake | Service::ClickHouse => ("BIGINT", "VARCHAR"),
        Service::AzureSql => ("BIGINT", "NVARCHAR(MAX)"),
    }
}

fn literal(service: Service, cell: &Cell) -> String {
    match cell {
        Cell::Int(number) => number.to_string(),
        Cell::Text(text) => match service {
            Service::Snowflake | Service::AzureSql => format!("'{}'", text.replace('\'', "''")),
            _ => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
        },
        _ => "NULL".into(),
    }
}

/// What adds a head fails, and is not tried again.
fn fault(service: Service) -> Value {
    match service {
        Service::AzureSql => {
            json!({"kind": "error", "number": 50_100, "body": r"INSERT INTO \[_backflow\]\.\[objects\]"})
        }
        Service::Snowflake => json!({"kind": "html", "status": 400, "body": "INSERT INTO.*/head/"}),
        Service::Databricks => json!({"kind": "html", "status": 404, "body": "INSERT.*/head/|/head/.*MERGE INTO"}),
        Service::BigQuery | Service::ClickHouse => json!({"kind": "html", "status": 404, "body": "INSERT.*/head/"}),
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
        if self.tabled {
            self.fill(rows).await;
        } else {
            self.put_rows(rows);
        }
        if let Some(faults) = self.faults.take() {
            self.fake.calm().await.unwrap();
            if let Some(writes) = faults {
                let mut fault = fault(self.fake.service);
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

    async fn rejects(&mut self) -> usize {
        let lines = |text: &str| -> Vec<Value> {
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).filter(Value::is_object).collect()
        };
        let (_, newest) = self.objects("head").await.pop().expect("a state has a head");
        let files = self.objects("rejects").await;
        let mut listed = BTreeSet::new();
        for file in lines(&newest)[0]["rejects"]["files"].as_array().into_iter().flatten() {
            let name = format!("/rejects/{}", file.as_str().unwrap());
            let (_, content) = files.iter().find(|(object, _)| object.ends_with(&name)).expect("a file that is named");
            for line in lines(content) {
                match (line["key"].as_str(), line["removed"].as_str()) {
                    (Some(key), _) => drop(listed.insert(key.to_owned())),
                    (_, removed) => drop(listed.remove(removed.unwrap())),
                }
            }
        }
        listed.len()
    }
}
