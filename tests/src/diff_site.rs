//! A Mapping of a table in a real Postgres, as a diff engine sees it: no destination, and a clock that tests move. With a guard between the
//! two, the Postgres is a Redshift.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a check fails by panicking, as any test")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use async_trait::async_trait;
use backflow_core::cell::Cell;
use backflow_core::change::{Identify, Memory};
use backflow_core::code::Failure;
use backflow_core::extraction::Extraction;
use backflow_core::plan::{DiffEngine, Mode, ModelPlan, ModelQuery, RunOptions, SyncPlan};
use backflow_core::report::{Progress, Reporter};
use backflow_core::result::RunResult;
use backflow_sources::diff;
use backflow_sources::warehouse::{self, Warehouse};
use jiff::Timestamp;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tempfile::TempDir;

use crate::oracle::{Asked, Engine, name_of};
use crate::postgres::PostgresServer;
use crate::redshift::{FUNCTIONS, RedshiftGuard};
use crate::webhook::Webhook;

/// Tells nobody.
pub struct Quiet;

impl Reporter for Quiet {
    fn progress(&self, _: Progress) {}
    fn provisional(&self, _: &RunResult) {}
}

/// The key of a state that nobody has yet.
pub(crate) fn new_key() -> String {
    static STATES: AtomicU64 = AtomicU64::new(0);
    format!("site/{}", STATES.fetch_add(1, Ordering::Relaxed))
}

/// A database with a model and a state schema; several sites may share one.
pub struct DiffSite {
    server: Arc<PostgresServer>,
    guard: Option<Arc<RedshiftGuard>>,
    database: String,
    admin: PgConnection,
    warehouse: Arc<dyn Warehouse>,
    scratch: TempDir,
    clock: Arc<AtomicI64>,
    faults: Option<Option<u64>>,
    /// What the next run is given.
    pub plan: SyncPlan,
    /// The columns that the Mapping uses.
    pub used: Vec<String>,
    /// The cluster that the next run belongs to.
    pub owner: String,
    /// What a row's record is found by.
    pub identify: Option<Identify>,
}

/// What makes writes of state fail after some, whoever makes them.
const FAULTS: &str = "
CREATE TABLE faults (after bigint NOT NULL);
INSERT INTO faults VALUES (1000000000);
CREATE SEQUENCE writes;
CREATE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
    IF (SELECT nextval('public.writes') > max(after) FROM public.faults) THEN RAISE EXCEPTION 'no more writes'; END IF;
    RETURN NEW;
END $$;
";

impl DiffSite {
    /// A database of its own on the server, with the empty table `model (id bigint, name text, plan text)`.
    ///
    /// # Errors
    /// What the server says.
    pub async fn new(server: &Arc<PostgresServer>, engine: DiffEngine) -> anyhow::Result<Self> {
        Self::made(server, None, engine).await
    }

    /// The same behind a guard.
    ///
    /// # Errors
    /// What the server says.
    pub async fn redshift(server: &Arc<PostgresServer>, engine: DiffEngine) -> anyhow::Result<Self> {
        let guard = RedshiftGuard::start(server.port()).await?;
        Self::made(server, Some(Arc::new(guard)), engine).await
    }

    async fn made(
        server: &Arc<PostgresServer>,
        guard: Option<Arc<RedshiftGuard>>,
        engine: DiffEngine,
    ) -> anyhow::Result<Self> {
        let database = format!("d{:016x}", fastrand::u64(..));
        server.role(&database).await?;
        server.exec("postgres", &format!("CREATE DATABASE {database} OWNER {database}")).await?;
        // Every write of its state changes the table of heads, or that of turns.
        let (functions, written) = if guard.is_some() { (FUNCTIONS, "turns") } else { ("", "mappings") };
        let site = Self::over(server, guard, &database, engine).await?;
        site.warehouse.state().prepare().await?;
        let model =
            format!("CREATE TABLE model (id bigint, name text, plan text); ALTER TABLE model OWNER TO {database};");
        let trigger = format!(
            "CREATE TRIGGER fault BEFORE INSERT OR UPDATE ON _backflow.{written} FOR EACH ROW EXECUTE FUNCTION fault();"
        );
        server.exec(&database, &format!("{functions}{model}{FAULTS}{trigger}")).await?;
        Ok(site)
    }

    /// Another state of the same model.
    ///
    /// # Errors
    /// What the server says.
    pub async fn beside(&self, engine: DiffEngine) -> anyhow::Result<Self> {
        let beside = Self::over(&self.server, self.guard.clone(), &self.database, engine).await?;
        Ok(Self { clock: Arc::clone(&self.clock), ..beside })
    }

    async fn over(
        server: &Arc<PostgresServer>,
        guard: Option<Arc<RedshiftGuard>>,
        database: &str,
        engine: DiffEngine,
    ) -> anyhow::Result<Self> {
        let Webhook { destination, mut mapping, .. } = Webhook::new("http://127.0.0.1:9/");
        mapping.state_key = new_key();
        mapping.fingerprint = "f0".into();
        mapping.scratch_bytes = 1 << 30;
        let mut source = match &guard {
            Some(guard) => guard.source(database, database),
            None => server.source(database, database),
        };
        source.diff = engine;
        let warehouse = warehouse::open(&source, &**server, "backflow/site").await?;
        let plan = SyncPlan {
            mode: Mode::Incremental,
            source,
            model: ModelPlan {
                name: "model".into(),
                query: ModelQuery::Sql("SELECT * FROM model -- all of it".into()),
                primary_key: vec!["id".into()],
            },
            mapping,
            destination,
            options: RunOptions::default(),
        };
        Ok(Self {
            server: Arc::clone(server),
            guard,
            database: database.to_owned(),
            admin: server.connect(database).await?,
            warehouse,
            scratch: tempfile::tempdir()?,
            clock: Arc::new(AtomicI64::new(1_800_000_000)),
            faults: None,
            plan,
            used: ["id", "name", "plan"].map(String::from).into(),
            owner: "cluster".into(),
            identify: None,
        })
    }

    /// From now on it is about another state of the same model, in which nothing happened yet. To connect anew takes longer than most
    /// of what a history does.
    pub fn renew(&mut self) {
        self.plan.mapping.state_key = new_key();
        self.faults = Some(None);
    }

    /// The warehouse.
    #[must_use]
    pub fn warehouse(&self) -> &Arc<dyn Warehouse> {
        &self.warehouse
    }

    /// Name of the database.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Where scratch is.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// Runs SQL as the superuser.
    ///
    /// # Panics
    /// If the server refuses it.
    pub async fn sql(&mut self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.admin).await.expect(sql);
    }

    /// One number that SQL gives.
    ///
    /// # Panics
    /// If the server refuses it.
    pub async fn number(&mut self, sql: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut self.admin).await.expect(sql)
    }

    /// Names of the tables in the state schema that are none of the store's.
    ///
    /// # Panics
    /// If the server does not say.
    pub async fn own_tables(&mut self) -> Vec<String> {
        let sql = "SELECT relname::text FROM pg_class WHERE relnamespace = '_backflow'::regnamespace AND relkind = 'r' \
                   AND relname ~ '^(entries|held|delta|found|marks|dry)_' ORDER BY 1";
        sqlx::query_scalar(sql).fetch_all(&mut self.admin).await.expect(sql)
    }

    /// Requests with statements about tables of the engine that the server's log has: the role's `log_statement` must be `all`.
    #[must_use]
    pub fn statements(&self) -> usize {
        let log = self.server.log();
        let mut requests: Vec<bool> = Vec::new();
        for line in log.lines() {
            if line.contains("LOG:  statement: ") || line.contains("LOG:  execute ") {
                requests.push(false);
            } else if !line.starts_with('\t') {
                continue;
            }
            if let Some(ours) = requests.last_mut() {
                *ours |= line.contains("\"entries_") || line.contains("\"delta_");
            }
        }
        requests.into_iter().filter(|ours| *ours).count()
    }

    /// The guard, if there is one.
    #[must_use]
    pub fn guard(&self) -> Option<Arc<RedshiftGuard>> {
        self.guard.clone()
    }

    /// The text of an object of the state.
    async fn object(&mut self, name: &str) -> String {
        let sql = format!(
            "SELECT coalesce(string_agg(content, '' ORDER BY piece), '') FROM _backflow.objects WHERE name = ({name})"
        );
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut self.admin).await.expect("an object")
    }

    /// Keys on the list of rejects, which objects hold: the newest head names them.
    async fn listed(&mut self) -> usize {
        let folder = self.plan.mapping.state_key.replace('/', "_");
        let newest = format!("SELECT max(name) FROM _backflow.objects WHERE starts_with(name, '{folder}/head/')");
        let head = self.object(&newest).await;
        let head: Value = serde_json::from_str(head.lines().next().unwrap_or("{}")).expect("a head");
        let mut keys = BTreeSet::new();
        for file in head["rejects"]["files"].as_array().into_iter().flatten() {
            let file = file.as_str().expect("a name");
            for line in self.object(&format!("'{folder}/rejects/{file}'")).await.lines() {
                let line: Value = serde_json::from_str(line).expect("a line");
                match &line["removed"] {
                    Value::Null => keys.insert(line["key"].to_string()),
                    removed => keys.remove(&removed.to_string()),
                };
            }
        }
        keys.len()
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
            owner: &self.owner,
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
    /// If the server refuses them.
    pub async fn put_rows(&mut self, rows: &[Vec<Cell>]) {
        let text = |cell: &Cell| match cell {
            Cell::Text(text) => Some(text.to_string()),
            _ => None,
        };
        let ids: Vec<Option<i64>> =
            rows.iter().map(|row| if let Cell::Int(id) = row[0] { Some(id) } else { None }).collect();
        let names: Vec<Option<String>> = rows.iter().map(|row| text(&row[1])).collect();
        let plans: Vec<Option<String>> = rows.iter().map(|row| text(&row[2])).collect();
        let mut transaction = self.admin.begin().await.expect("begin");
        sqlx::query("DELETE FROM model").execute(&mut *transaction).await.expect("delete");
        sqlx::query("INSERT INTO model SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[])")
            .bind(ids)
            .bind(names)
            .bind(plans)
            .execute(&mut *transaction)
            .await
            .expect("insert");
        transaction.commit().await.expect("commit");
    }

    /// Gives the next runs what they ask for.
    pub fn ask(&mut self, asked: &Asked) {
        self.plan.mode = asked.mode.clone();
        self.plan.mapping.fingerprint.clone_from(&asked.fingerprint);
        self.plan.mapping.on_change = asked.on_change;
        self.plan.options.retry_rejected = asked.retry_rejected;
        let by_name = |row: &[Cell]| Memory { match_key: name_of(row), ..Memory::default() };
        self.identify = asked.matched.then(|| Arc::new(by_name) as Identify);
    }

    /// The clock goes on.
    pub fn days_pass(&self, days: i64) {
        self.clock.fetch_add(days * 86_400, Ordering::Relaxed);
    }

    /// Removes the state.
    ///
    /// # Errors
    /// As [`diff::forget`].
    pub async fn forget(&self) -> Result<bool, Failure> {
        diff::forget(&*self.warehouse.state(), &self.plan.mapping.state_key, &self.owner, false).await
    }
}

#[async_trait(?Send)]
impl Engine for DiffSite {
    async fn open(&mut self, run: &str, asked: &Asked, rows: &[Vec<Cell>]) -> Result<Box<dyn Extraction>, Failure> {
        self.ask(asked);
        self.put_rows(rows).await;
        if let Some(faults) = self.faults.take() {
            let after = faults.map_or(1_000_000_000, |writes| writes + 1);
            self.sql(&format!("SELECT setval('writes', 1); UPDATE faults SET after = {after}")).await;
        }
        self.open_run(run).await
    }

    async fn store_fails_after(&mut self, writes: Option<u64>) {
        self.faults = Some(writes);
    }

    fn days_pass(&mut self, days: i64) {
        Self::days_pass(self, days);
    }

    async fn rejects(&mut self) -> usize {
        if self.guard.is_some() {
            return self.listed().await;
        }
        let sql = format!("SELECT count(*) FROM _backflow.rejects WHERE state_key = '{}'", self.plan.mapping.state_key);
        usize::try_from(self.number(&sql).await).unwrap_or_default()
    }
}
