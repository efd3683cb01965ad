//! State in a table of the warehouse.
//!
//! Snowflake checks no primary keys, and a transaction lives within one request. So who creates an object first takes the turn of the
//! one row of a second table, which no other writer gets before the transaction has ended, and looks then.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backflow_core::code::{Code, Failure};

use super::api::{Api, Statement};
use super::errors::{self, Failed, SqlError};
use super::grants;
use super::objects::Sql;
use crate::diff::pushdown::dialect::Dialect as _;
use crate::diff::pushdown::dialects::snowflake::Snowflake;
use crate::diff::pushdown::statement::Statement as Step;
use crate::diff::pushdown::tables;
use crate::diff::pushdown::transport::Table;
use crate::rest::running::Running;
use crate::state_rows::{SCHEMA_VERSION, too_new};
use crate::store::table::{DEAR, ObjectTable, Part};

/// A statement of several is refused beyond a megabyte.
const LONGEST: usize = 900_000;

/// How often a statement is given that nothing of came through: too many wait for one lock, or an error of the service itself.
const ATTEMPTS: u32 = 10;

/// The state schema of a database.
pub(super) struct SnowflakeTable {
    api: Arc<Api>,
    pub(super) sql: Sql,
}

impl SnowflakeTable {
    pub(super) fn new(api: Arc<Api>, schema: &str) -> Self {
        let sql = Sql::new(&api.plan.database, schema);
        Self { api, sql }
    }

    /// Proves that a run may use the tables, or may make them, without a virtual warehouse. `more`: it makes others beside them.
    pub(super) async fn check(&self, role: &str, more: bool) -> Result<(), Failure> {
        let database = self.api.plan.database.as_str();
        let schema = [database, self.sql.name.as_str()];
        match self.api.columns(&Statement::own(self.sql.show(), &[]), &["name"]).await {
            Ok(tables) if !tables.is_empty() => {
                // Compiled, which checks the grants, and not run.
                for statement in self.sql.uses() {
                    self.run(&Statement::own(format!("EXPLAIN USING TEXT {statement}"), &[])).await?;
                }
                if !more {
                    return Ok(());
                }
                let may = grants::has(&self.api, role, &["CREATE TABLE"], "SCHEMA", &schema).await;
                self.unless_denied(may, errors::state_denied)
            }
            Ok(_) => {
                let may = grants::has(&self.api, role, &["CREATE TABLE"], "SCHEMA", &schema).await;
                self.unless_denied(may, errors::state_denied)
            }
            Err(Failed::Sql(error)) if error.is_missing() => {
                let may = grants::has(&self.api, role, &["CREATE SCHEMA"], "DATABASE", &[database]).await;
                self.unless_denied(may, errors::schema_missing)
            }
            Err(failed) => Err(self.failure(failed)),
        }
    }

    fn unless_denied(
        &self,
        may: Result<Option<bool>, Failed>,
        denied: fn(&str, &backflow_core::plan::Snowflake) -> Failure,
    ) -> Result<(), Failure> {
        match may.map_err(|failed| self.failure(failed))? {
            Some(false) => Err(denied(&self.sql.schema, &self.api.plan)),
            Some(true) | None => Ok(()),
        }
    }

    pub(super) fn failure(&self, failed: Failed) -> Failure {
        failed.or_tell(|error| errors::state(error, &self.sql.schema, &self.api.plan))
    }

    async fn run(&self, statement: &Statement) -> Result<Vec<Vec<Option<String>>>, Failure> {
        self.tried(statement).await.map_err(|failed| self.failure(failed))
    }

    async fn attempt(&self, sql: String) -> Result<Result<(), SqlError>, Failure> {
        match self.tried(&Statement::own(sql, &[])).await {
            Ok(_) => Ok(Ok(())),
            Err(Failed::Sql(error)) => Ok(Err(error)),
            Err(Failed::Other(failure)) => Err(failure),
        }
    }

    /// The rows of a statement, which is given again while nothing of it came through.
    async fn tried(&self, statement: &Statement) -> Result<Vec<Vec<Option<String>>>, Failed> {
        let mut attempt = 1;
        loop {
            let rows = if statement.long { self.running(statement).await } else { self.api.rows(statement).await };
            match rows {
                Err(Failed::Sql(error)) if error.is_passing() && attempt < ATTEMPTS => {
                    attempt += 1;
                    tokio::time::sleep(self.api.pause()).await;
                }
                other => return other,
            }
        }
    }

    async fn running(&self, statement: &Statement) -> Result<Vec<Vec<Option<String>>>, Failed> {
        let result = Running::start(&self.api, statement.clone()).await?.output().await?;
        Ok(self.api.whole(&result).await?)
    }

    /// The rows of statements that may take long, and that are cancelled when this is dropped.
    pub(super) async fn long(&self, statements: &[String]) -> Result<Vec<Vec<Option<String>>>, Failed> {
        self.tried(&Statement::long(statements)).await
    }

    /// The tables that the pushdown engine has of a state. Names are in lower case there.
    pub(super) async fn own_tables(&self, state_key: &str) -> Result<Vec<Table>, Failure> {
        let infix = tables::infix(state_key).to_ascii_uppercase();
        let rows = self.run(&Statement::own(self.sql.own_tables(&infix), &[])).await?;
        let lower = |row: Vec<Option<String>>| row.into_iter().map(|name| name.map(|name| name.to_ascii_lowercase()));
        tables::found(state_key, rows.into_iter().map(|row| lower(row).collect()).collect())
            .ok_or_else(|| self.damaged())
    }

    /// Refuses what is too long for one request.
    fn bounded(&self, statement: &Statement, part: &Part) -> Result<(), Failure> {
        if statement.sql.len() <= LONGEST {
            return Ok(());
        }
        let message = format!(
            "{} has {} bytes, more than one statement of Snowflake may have; please report it",
            part.name, part.bytes
        );
        Err(Failure::new(Code::Internal, message))
    }

    async fn make(&self) -> Result<(), Failure> {
        // A role that may not make schemas may find one that somebody made for it: the tables will tell.
        if let Err(error) = self.attempt(self.sql.create_schema()).await?
            && !error.is_denied()
            && !error.is_missing()
        {
            return Err(self.failure(error.into()));
        }
        for sql in self.sql.create_tables() {
            match self.attempt(sql).await? {
                Ok(()) => {}
                Err(error) if error.is_missing() => {
                    return Err(errors::schema_missing(&self.sql.schema, &self.api.plan));
                }
                Err(error) => return Err(self.failure(error.into())),
            }
        }
        self.run(&Statement::own(self.sql.first_turn(), &[])).await.map(drop)
    }

    fn damaged(&self) -> Failure {
        let message = format!(
            "the tables in the state schema {} have other columns than this program made; give state.schema another name, or restore them",
            self.sql.schema
        );
        Failure::new(Code::StateDamaged, message)
    }
}

impl From<SqlError> for Failed {
    fn from(error: SqlError) -> Self {
        Self::Sql(error)
    }
}

#[async_trait]
impl ObjectTable for SnowflakeTable {
    fn place(&self) -> String {
        format!("the state schema {}", self.sql.schema)
    }

    fn patience(&self) -> Duration {
        DEAR
    }

    async fn prepare(&self) -> Result<(), Failure> {
        match self.api.rows(&Statement::own(self.sql.version(), &[])).await {
            Ok(rows) => match rows.first().and_then(|row| row.first()) {
                Some(Some(version)) => match version.parse::<u32>() {
                    Ok(known) if known <= SCHEMA_VERSION => Ok(()),
                    _ => Err(too_new(&format!("schema {}", self.sql.schema), version)),
                },
                // Who made the tables did not get further.
                _ => self.run(&Statement::own(self.sql.first_turn(), &[])).await.map(drop),
            },
            Err(Failed::Sql(error)) if error.is_missing() => self.make().await,
            Err(failed) => Err(self.failure(failed)),
        }
    }

    async fn parts(&self, name: &str) -> Result<Vec<Part>, Failure> {
        let rows = self.run(&Statement::own(self.sql.parts(), &[name])).await?;
        rows.into_iter().map(|row| Part::read(name, row).ok_or_else(|| self.damaged())).collect()
    }

    async fn add(&self, part: &Part) -> Result<(), Failure> {
        let [number, parts, bytes] = [part.part, part.parts, part.bytes].map(|number| number.to_string());
        let [number, parts, bytes] = [number.as_str(), parts.as_str(), bytes.as_str()];
        let encoding = part.encoding.as_str();
        let binds = [part.name.as_str(), &part.writing, number, parts, encoding, &part.content, bytes];
        self.run(&Statement::own(self.sql.add(), &binds)).await.map(drop)
    }

    async fn add_first(&self, part: &Part) -> Result<(), Failure> {
        let statement = Statement::several(&self.sql.add_first(part));
        self.bounded(&statement, part)?;
        self.run(&statement).await.map(drop)
    }

    async fn add_last(&self, part: &Part, with: &[Step]) -> Result<bool, Failure> {
        let steps: Vec<String> = with.iter().map(|step| step.sql.clone()).collect();
        let statement = Statement::long(&self.sql.add_last(part, &steps));
        self.bounded(&statement, part)?;
        let Err(failed) = self.tried(&statement).await else { return Ok(true) };
        // Another one is there, or this one was written and its answer lost; and what fails after the transaction's end changes nothing of it.
        let there = self.parts(&part.name).await.map(|parts| parts.iter().any(|found| found.writing == part.writing));
        match (there, failed) {
            (Ok(true), _) => Ok(true),
            (Ok(false), Failed::Sql(error)) if error.is_no_number() => Ok(false),
            (_, failed) => Err(self.failure(failed)),
        }
    }

    async fn forgetting(&self, state_key: &str) -> Result<Vec<Step>, Failure> {
        let tables = self.own_tables(state_key).await?.into_iter();
        let drop = |table: Table| Snowflake.drop(&Snowflake.table(&self.sql.schema, &table.name));
        Ok(tables.map(|table| Step::plain(drop(table))).collect())
    }

    async fn remove_others(&self, name: &str, writing: &str) -> Result<(), Failure> {
        self.run(&Statement::own(self.sql.remove_others(), &[name, writing])).await.map(drop)
    }

    async fn names(&self, prefix: &str) -> Result<Vec<(String, u64)>, Failure> {
        let rows = self.run(&Statement::own(self.sql.names(), &[prefix])).await?;
        let line = |row: Vec<Option<String>>| {
            let [name, bytes] = <[_; 2]>::try_from(row).ok()?;
            Some((name?, bytes?.parse().ok()?))
        };
        rows.into_iter().map(|row| line(row).ok_or_else(|| self.damaged())).collect()
    }

    async fn folders(&self) -> Result<Vec<String>, Failure> {
        let rows = self.run(&Statement::own(self.sql.folders(), &[])).await?;
        rows.into_iter().map(|row| row.into_iter().next().flatten().ok_or_else(|| self.damaged())).collect()
    }

    async fn remove(&self, names: &[String]) -> Result<(), Failure> {
        let binds: Vec<&str> = names.iter().map(String::as_str).collect();
        self.run(&Statement::own(self.sql.remove(names.len()), &binds)).await.map(drop)
    }
}
