//! State in a table of a dataset.
//!
//! BigQuery checks no primary keys. So who creates an object first takes the turn of the one row of a second table in one transaction: of
//! two that do so at once, one is refused and tries again.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backflow_core::code::{Code, Failure};

use super::api::{Api, Statement};
use super::errors::{self, Failed, SqlError};
use super::objects::Sql;
use crate::state_rows::{SCHEMA_VERSION, too_new};
use crate::store::table::{ObjectTable, Part};

/// How often a transaction that another one came before is tried again, and after what pause.
const CONFLICTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(300);

/// The dataset of the state.
pub(super) struct BigQueryTable {
    api: Arc<Api>,
    /// `project.dataset`, for messages.
    name: String,
    sql: Sql,
}

impl BigQueryTable {
    pub(super) fn new(api: Arc<Api>, dataset: &str) -> Self {
        let sql = Sql::new(&api.plan.project, dataset, &api.plan.location);
        Self { name: format!("{}.{dataset}", api.plan.project), api, sql }
    }

    /// Proves that a run may use the tables, or may make them: compiled, which checks permissions, and not run.
    pub(super) async fn check(&self) -> Result<(), Failure> {
        for statement in self.sql.uses() {
            match self.compile(statement).await? {
                Ok(()) => {}
                Err(error) if error.is_missing() => return self.check_making().await,
                Err(error) => return Err(self.failure(Failed::Sql(error))),
            }
        }
        Ok(())
    }

    async fn check_making(&self) -> Result<(), Failure> {
        let [table, _] = self.sql.create_tables();
        match self.compile(table).await? {
            Ok(()) => return Ok(()),
            Err(error) if error.is_missing() => {}
            Err(error) => return Err(self.failure(Failed::Sql(error))),
        }
        match self.compile(self.sql.create_dataset()).await? {
            Ok(()) => Ok(()),
            Err(error) if error.is_denied() => Err(errors::dataset_missing(&self.name, &self.api)),
            Err(error) => Err(self.failure(Failed::Sql(error))),
        }
    }

    async fn compile(&self, sql: String) -> Result<Result<(), SqlError>, Failure> {
        let statement = Statement { dry: true, ..Statement::own(sql, &[]) };
        match self.api.compile(&statement).await {
            Ok(_) => Ok(Ok(())),
            Err(Failed::Sql(error)) => Ok(Err(error)),
            Err(Failed::Other(failure)) => Err(failure),
        }
    }

    fn failure(&self, failed: Failed) -> Failure {
        failed.or_tell(|error| errors::state(error, &self.name, &self.api))
    }

    async fn run(&self, sql: String, binds: &[&str]) -> Result<Vec<Vec<Option<String>>>, Failure> {
        let statement = Statement::own(sql, binds);
        let mut attempt = 1;
        loop {
            match self.api.rows(&statement).await {
                Err(Failed::Sql(error)) if error.is_conflict() && attempt < CONFLICTS => {
                    attempt += 1;
                    tokio::time::sleep(PAUSE.mul_f64(0.5 + fastrand::f64())).await;
                }
                other => return other.map_err(|failed| self.failure(failed)),
            }
        }
    }

    async fn make(&self) -> Result<(), Failure> {
        match self.api.rows(&Statement::own(self.sql.create_dataset(), &[])).await {
            Ok(_) => {}
            // It may be there, made by somebody for this account: the tables will tell.
            Err(Failed::Sql(error)) if error.is_denied() => {}
            Err(failed) => return Err(self.failure(failed)),
        }
        for sql in self.sql.create_tables() {
            match self.api.rows(&Statement::own(sql, &[])).await {
                Ok(_) => {}
                Err(Failed::Sql(error)) if error.is_missing() => {
                    return Err(errors::dataset_missing(&self.name, &self.api));
                }
                Err(failed) => return Err(self.failure(failed)),
            }
        }
        self.run(self.sql.first_turn(), &[]).await.map(drop)
    }

    fn damaged(&self) -> Failure {
        let message = format!(
            "the tables in the dataset {} have other columns than this program made; give state.schema another name, or restore them",
            self.name
        );
        Failure::new(Code::StateDamaged, message)
    }
}

#[async_trait]
impl ObjectTable for BigQueryTable {
    fn place(&self) -> String {
        format!("the dataset {}", self.name)
    }

    async fn prepare(&self) -> Result<(), Failure> {
        match self.api.rows(&Statement::own(self.sql.version(), &[])).await {
            Ok(rows) => match rows.first().and_then(|row| row.first()) {
                Some(Some(version)) => match version.parse::<u32>() {
                    Ok(known) if known <= SCHEMA_VERSION => Ok(()),
                    _ => Err(too_new(&self.place(), version)),
                },
                // Who made the tables did not get further.
                _ => self.run(self.sql.first_turn(), &[]).await.map(drop),
            },
            Err(Failed::Sql(error)) if error.is_missing() => self.make().await,
            Err(failed) => Err(self.failure(failed)),
        }
    }

    async fn parts(&self, name: &str) -> Result<Vec<Part>, Failure> {
        let rows = self.run(self.sql.parts(), &[name]).await?;
        rows.into_iter().map(|row| Part::read(name, row).ok_or_else(|| self.damaged())).collect()
    }

    async fn add(&self, part: &Part) -> Result<(), Failure> {
        let [number, parts, bytes] = [part.part, part.parts, part.bytes].map(|number| number.to_string());
        let [number, parts, bytes] = [number.as_str(), parts.as_str(), bytes.as_str()];
        let encoding = part.encoding.as_str();
        let binds = [part.name.as_str(), &part.writing, number, parts, encoding, &part.content, bytes];
        self.run(self.sql.add(), &binds).await.map(drop)
    }

    async fn add_first(&self, part: &Part) -> Result<(), Failure> {
        self.run(self.sql.add_first(part), &[]).await.map(drop)
    }

    async fn remove_others(&self, name: &str, writing: &str) -> Result<(), Failure> {
        self.run(self.sql.remove_others(), &[name, writing]).await.map(drop)
    }

    async fn names(&self, prefix: &str) -> Result<Vec<(String, u64)>, Failure> {
        let rows = self.run(self.sql.names(), &[prefix]).await?;
        let line = |row: Vec<Option<String>>| {
            let [name, bytes] = <[_; 2]>::try_from(row).ok()?;
            Some((name?, bytes?.parse().ok()?))
        };
        rows.into_iter().map(|row| line(row).ok_or_else(|| self.damaged())).collect()
    }

    async fn folders(&self) -> Result<Vec<String>, Failure> {
        let rows = self.run(self.sql.folders(), &[]).await?;
        rows.into_iter().map(|row| row.into_iter().next().flatten().ok_or_else(|| self.damaged())).collect()
    }

    async fn remove(&self, names: &[String]) -> Result<(), Failure> {
        let binds: Vec<&str> = names.iter().map(String::as_str).collect();
        self.run(self.sql.remove(names.len()), &binds).await.map(drop)
    }
}
