//! State in a Delta table.
//!
//! Databricks checks no primary keys, and a transaction is one statement over one table. So who creates an object first does it by a MERGE
//! that also counts up one row of the same table: of two that do so at once, one finds that row changed, is refused, and tries again.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backflow_core::code::{Code, Failure};

use super::api::Api;
use super::objects::{Sql, binds};
use super::sql_error::{Failed, SqlError};
use super::statement::Statement;
use super::{errors, grants};
use crate::diff::pushdown::dialect::Dialect as _;
use crate::diff::pushdown::dialects::databricks::Databricks;
use crate::diff::pushdown::tables;
use crate::diff::pushdown::transport::Table;
use crate::state_rows::{SCHEMA_VERSION, too_new};
use crate::store::table::{DEAR, ObjectTable, Part};

/// How often a statement that another one came before is tried again, and after what pause.
const CONFLICTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(300);

/// The state schema.
pub(super) struct DatabricksTable {
    api: Arc<Api>,
    /// Its name, not quoted.
    name: String,
    sql: Sql,
}

impl DatabricksTable {
    pub(super) fn new(api: Arc<Api>, schema: &str) -> Self {
        let sql = Sql::new(api.plan.catalog.as_deref(), schema);
        Self { api, name: schema.to_owned(), sql }
    }

    /// Proves that catalog and schema are there, and that a run may use the table, or may make it.
    pub(super) async fn check(&self) -> Result<(), Failure> {
        let place = self.api.described(Statement::model("SELECT 1".into())).await;
        place.map_err(|failed| {
            failed.or_tell(|error| {
                errors::place(error, &self.api).unwrap_or_else(|| errors::state(error, &self.sql.schema, &self.api))
            })
        })?;
        for statement in self.sql.uses() {
            match self.attempt(statement).await? {
                Ok(()) => {}
                Err(error) if error.is_missing() => return self.check_making().await,
                Err(error) => return Err(self.failure(error.into())),
            }
        }
        Ok(())
    }

    async fn check_making(&self) -> Result<(), Failure> {
        let api = &self.api;
        match grants::may_make(api, &self.name).await? {
            grants::Making::Possible | grants::Making::Unknown => Ok(()),
            grants::Making::NoTables => Err(errors::state_denied(&self.sql.schema, api)),
            grants::Making::NoSchema => Err(errors::schema_missing(&self.sql.schema, api)),
        }
    }

    /// The schema, quoted, with its catalog if there is one.
    pub(super) fn schema(&self) -> &str {
        &self.sql.schema
    }

    /// What an error of a statement over the schema means.
    pub(super) fn refused(&self, error: &SqlError) -> Failure {
        errors::state(error, &self.sql.schema, &self.api)
    }

    /// The tables that the pushdown engine has for a state; `None` where there is no information schema to ask.
    pub(super) async fn own_tables(&self, state_key: &str) -> Result<Option<Vec<Table>>, Failure> {
        // Unity Catalog keeps all names in lower case.
        let binds = [("schema", self.name.to_lowercase()), ("infix", tables::infix(state_key))];
        let rows = match self.tried(Statement::own(self.sql.own_columns()).with(binds)).await {
            Ok(rows) => rows,
            Err(Failed::Sql(error)) if error.is_missing() => return Ok(None),
            Err(failed) => return Err(self.failure(failed)),
        };
        tables::found(state_key, rows).map(Some).ok_or_else(|| self.damaged())
    }

    fn failure(&self, failed: Failed) -> Failure {
        failed.or_tell(|error| errors::state(error, &self.sql.schema, &self.api))
    }

    async fn run(&self, statement: Statement) -> Result<Vec<Vec<Option<String>>>, Failure> {
        self.tried(statement).await.map_err(|failed| self.failure(failed))
    }

    async fn attempt(&self, sql: String) -> Result<Result<(), SqlError>, Failure> {
        match self.tried(Statement::own(sql)).await {
            Ok(_) => Ok(Ok(())),
            Err(Failed::Sql(error)) => Ok(Err(error)),
            Err(Failed::Other(failure)) => Err(failure),
        }
    }

    /// The rows of a statement, which is given again while nothing of it came through.
    pub(super) async fn tried(&self, statement: Statement) -> Result<Vec<Vec<Option<String>>>, Failed> {
        let mut attempt = 1;
        loop {
            match self.api.rows(statement.clone()).await {
                Err(Failed::Sql(error)) if error.is_conflict() && attempt < CONFLICTS => {
                    attempt += 1;
                    tokio::time::sleep(PAUSE.mul_f64(0.5 + fastrand::f64())).await;
                }
                other => return other,
            }
        }
    }

    async fn make(&self) -> Result<(), Failure> {
        // A principal that may not make schemas may find one that somebody made for it: the table will tell.
        if let Err(error) = self.attempt(self.sql.create_schema()).await?
            && !error.is_denied()
        {
            return Err(self.failure(error.into()));
        }
        match self.attempt(self.sql.create_table()).await? {
            Ok(()) => {}
            Err(error) if error.is_missing() => return Err(errors::schema_missing(&self.sql.schema, &self.api)),
            Err(error) => return Err(self.failure(error.into())),
        }
        self.run(Statement::own(self.sql.first_turn())).await.map(drop)
    }

    fn damaged(&self) -> Failure {
        let message = format!(
            "the table in the state schema {} has other columns than this program made; give state.schema another name, or restore it",
            self.sql.schema
        );
        Failure::new(Code::StateDamaged, message)
    }
}

#[async_trait]
impl ObjectTable for DatabricksTable {
    fn place(&self) -> String {
        format!("the state schema {}", self.sql.schema)
    }

    fn patience(&self) -> Duration {
        DEAR
    }

    async fn prepare(&self) -> Result<(), Failure> {
        match self.tried(Statement::own(self.sql.version())).await {
            Ok(rows) => match rows.first().and_then(|row| row.first()) {
                Some(Some(version)) => match version.parse::<u32>() {
                    Ok(known) if known <= SCHEMA_VERSION => Ok(()),
                    _ => Err(too_new(&format!("schema {}", self.sql.schema), version)),
                },
                // Who made the table did not get further.
                _ => self.run(Statement::own(self.sql.first_turn())).await.map(drop),
            },
            Err(Failed::Sql(error)) if error.is_missing() => self.make().await,
            Err(failed) => Err(self.failure(failed)),
        }
    }

    async fn parts(&self, name: &str) -> Result<Vec<Part>, Failure> {
        let rows = self.run(Statement::own(self.sql.parts()).with([("name", name)])).await?;
        rows.into_iter().map(|row| Part::read(name, row).ok_or_else(|| self.damaged())).collect()
    }

    async fn add(&self, part: &Part) -> Result<(), Failure> {
        self.run(Statement::own(self.sql.add()).with(binds(part))).await.map(drop)
    }

    async fn add_first(&self, part: &Part) -> Result<(), Failure> {
        self.run(Statement::own(self.sql.add_first()).with(binds(part))).await.map(drop)
    }

    async fn remove_others(&self, name: &str, writing: &str) -> Result<(), Failure> {
        let statement = Statement::own(self.sql.remove_others()).with([("name", name), ("writing", writing)]);
        self.run(statement).await.map(drop)
    }

    async fn names(&self, prefix: &str) -> Result<Vec<(String, u64)>, Failure> {
        let rows = self.run(Statement::own(self.sql.names()).with([("prefix", prefix)])).await?;
        let line = |row: Vec<Option<String>>| {
            let [name, bytes] = <[_; 2]>::try_from(row).ok()?;
            Some((name?, bytes?.parse().ok()?))
        };
        rows.into_iter().map(|row| line(row).ok_or_else(|| self.damaged())).collect()
    }

    async fn folders(&self) -> Result<Vec<String>, Failure> {
        let rows = self.run(Statement::own(self.sql.folders())).await?;
        rows.into_iter().map(|row| row.into_iter().next().flatten().ok_or_else(|| self.damaged())).collect()
    }

    async fn remove(&self, names: &[String]) -> Result<(), Failure> {
        self.run(Statement::own(self.sql.remove(names))).await.map(drop)
    }

    async fn forgotten(&self, state_key: &str) -> Result<(), Failure> {
        for table in self.own_tables(state_key).await?.unwrap_or_default() {
            self.run(Statement::own(Databricks.drop(&Databricks.table(&self.sql.schema, &table.name)))).await?;
        }
        Ok(())
    }
}
