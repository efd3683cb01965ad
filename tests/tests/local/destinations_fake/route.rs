//! A Mapping of a SQLite table to a fake vendor, run by the worker's library.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use backflow_core::code::Failure;
use backflow_core::guard::Deletes;
use backflow_core::plan::{
    Connection, DestinationLimits, DestinationPlan, DiffEngine, Field, FieldSource, MappingPlan, Mode, ModelPlan,
    ModelQuery, OnMappingChange, OnNull, PLAN_VERSION, Parse, Plan, Retry, RunOptions, SourcePlan, Sqlite,
    StateLocation, SyncPlan, Task,
};
use backflow_core::report::{Progress, Reporter};
use backflow_core::result::RunResult;
use backflow_core::secret::{SecretRef, Secrets};
use backflow_definitions::Definition;
use backflow_tests::destinations::Credentials;
use backflow_worker::Environment;
use backflow_worker::stop::Stop;
use secrecy::SecretString;
use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use tempfile::TempDir;

use super::fixture::Fixture;

/// How long a run goes on with what is not taken, in seconds: longer than definitions wait for a throttling vendor.
const WINDOW: u64 = 1_000;

pub(crate) struct Route<'a> {
    fixture: &'a Fixture,
    credentials: &'a Credentials,
    folder: TempDir,
    runs: usize,
}

impl<'a> Route<'a> {
    /// A table without rows.
    pub(crate) async fn new(fixture: &'a Fixture, credentials: &'a Credentials) -> Self {
        let folder = tempfile::Builder::new().prefix("backflow-route-").tempdir().unwrap();
        std::fs::create_dir(folder.path().join("scratch")).unwrap();
        let route = Self { fixture, credentials, folder, runs: 0 };
        let columns: Vec<String> = fixture.columns().iter().map(|name| format!("{} TEXT", quoted(name))).collect();
        route.sql(&format!("CREATE TABLE records (\"row id\" INTEGER PRIMARY KEY, {})", columns.join(", "))).await;
        route
    }

    async fn sql(&self, sql: &str) {
        let options = SqliteConnectOptions::new().filename(self.table()).create_if_missing(true);
        let mut connection = options.disable_statement_logging().connect().await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    fn table(&self) -> PathBuf {
        self.folder.path().join("rows.db")
    }

    /// Writes rows in this version.
    pub(crate) async fn write(&self, rows: std::ops::Range<usize>, version: usize) {
        let columns: Vec<String> = self.fixture.columns().into_iter().collect();
        let mut sql = String::from("BEGIN;\n");
        for n in rows {
            let fields = self.fixture.row(n, version);
            let value = |name: &String| match fields.get(name) {
                None => "NULL".to_owned(),
                Some(value) => format!("'{}'", value.to_string().replace('\'', "''")),
            };
            let values: Vec<String> = columns.iter().map(value).collect();
            sql.push_str(&format!("INSERT OR REPLACE INTO records VALUES ({}, {});\n", n + 1, values.join(", ")));
        }
        self.sql(&format!("{sql}COMMIT;")).await;
    }

    /// Removes rows.
    pub(crate) async fn remove(&self, rows: std::ops::Range<usize>) {
        self.sql(&format!("DELETE FROM records WHERE \"row id\" > {} AND \"row id\" <= {}", rows.start, rows.end))
            .await;
    }

    fn plan(&self, run: &str) -> Plan {
        let fixture = self.fixture;
        let destination = destination(fixture.definition, &fixture.destination, self.credentials);
        let column = |name: String| {
            let from = Field::from(FieldSource::Column(name.clone()));
            (name, Field { parse: Some(Parse::Json), on_null: OnNull::Omit, ..from })
        };
        let action = fixture.action();
        let mapped = |path: &str| fixture.has(path);
        let mapping = MappingPlan {
            name: "records".into(),
            state_key: "shop/records".into(),
            action: fixture.action.clone(),
            selection: fixture.selection.clone(),
            fields: fixture.columns().into_iter().map(column).collect(),
            match_by: action.match_field(&fixture.config, &mapped),
            group_by: action.group_field(&fixture.config, &mapped),
            config: fixture.config.clone(),
            include: None,
            filter: None,
            fingerprint: "fields-1".into(),
            on_change: OnMappingChange::Resend,
            identity: BTreeMap::from([("destination.type".to_owned(), fixture.name.clone())]),
            deletes: Deletes::default(),
            retry: Retry { max_attempts: 8, window_seconds: WINDOW },
            scratch_bytes: 1 << 28,
        };
        let source = SourcePlan {
            name: "local".into(),
            connection: Connection::Sqlite(Sqlite { path: self.table().to_str().unwrap().into() }),
            state: StateLocation::Schema("_backflow".into()),
            diff: DiffEngine::Streaming,
        };
        let model = ModelPlan {
            name: "records".into(),
            query: ModelQuery::Table("records".into()),
            primary_key: vec!["row id".into()],
        };
        let sync =
            SyncPlan { mode: Mode::Incremental, source, model, mapping, destination, options: RunOptions::default() };
        Plan {
            version: PLAN_VERSION,
            run: run.to_owned(),
            namespace: "shop".into(),
            token: "port-token".into(),
            owner: "cluster-a".into(),
            deadline_seconds: None,
            task: Task::Sync(Box::new(sync)),
        }
    }

    /// Runs the worker's library to its end.
    pub(crate) async fn run(&mut self) -> RunResult {
        self.runs += 1;
        let plan = self.plan(&format!("run-{}", self.runs));
        let environment = Environment {
            secrets: Arc::new(Secret(self.credentials.clone())),
            scratch: self.folder.path().join("scratch"),
            reporter: Arc::new(Nobody),
            stop: Stop::default(),
            output: Arc::new(Mutex::new(std::io::sink())),
        };
        backflow_worker::execute(&plan, &environment).await
    }
}

/// A Destination as a `destination.yaml` says it.
pub(crate) fn destination(definition: &Definition, account: &Value, credentials: &Credentials) -> DestinationPlan {
    let secret = |name: &String| (name.clone(), SecretRef { name: "account".into(), key: name.clone() });
    let first = &definition.auth.choose[0].id;
    DestinationPlan {
        name: "account".into(),
        kind: definition.id.clone(),
        definition_version: definition.version,
        definition: None,
        auth: account["auth"].as_str().unwrap_or(first).to_owned(),
        settings: serde_json::from_value(account["settings"].clone()).unwrap_or_default(),
        secrets: credentials.keys().map(secret).collect(),
        limits: DestinationLimits::default(),
        allow_loopback: false,
    }
}

/// The secrets of the account, by their keys.
pub(crate) struct Secret(pub(crate) Credentials);

impl Secrets for Secret {
    fn read(&self, reference: &SecretRef) -> Result<SecretString, Failure> {
        let value = self.0.get(&reference.key).ok_or_else(|| reference.key_not_found())?;
        Ok(SecretString::from(value.clone()))
    }
}

struct Nobody;

impl Reporter for Nobody {
    fn progress(&self, _progress: Progress) {}

    fn provisional(&self, _result: &RunResult) {}
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
