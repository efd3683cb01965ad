//! State in a table of the server.
//!
//! ClickHouse has no transactions and checks no keys. But it takes one of two inserts that bring the same token, whoever sends them: so
//! who creates an object first looks whether it is there, and inserts it under a token that is made of its name.

use std::sync::Arc;

use async_trait::async_trait;
use backflow_core::code::{Code, Failure};

use super::api::{Api, Statement};
use super::errors::{self, Failed, SqlError};
use super::objects::{COMMENT, Sql};
use super::types::quote;
use crate::state_rows::{SCHEMA_VERSION, too_new};
use crate::store::table::{ObjectTable, Part};

/// The database of the state.
pub(super) struct ClickHouseTable {
    api: Arc<Api>,
    name: String,
    sql: Sql,
}

impl ClickHouseTable {
    pub(super) fn new(api: Arc<Api>, database: &str) -> Self {
        Self { api, name: database.to_owned(), sql: Sql::new(database) }
    }

    /// Proves that a run may use the table, or may make it.
    pub(super) async fn check(&self) -> Result<(), Failure> {
        if self.version().await? {
            return self.granted(self.sql.may_use(), errors::state_denied).await;
        }
        if self.run(self.sql.database()).await?.is_empty() {
            self.granted(self.sql.may_create_database(), errors::schema_missing).await
        } else {
            self.granted(self.sql.may_create_table(), errors::state_denied).await
        }
    }

    async fn granted(&self, sql: String, denied: fn(&str, &Api) -> Failure) -> Result<(), Failure> {
        match self.attempt(Statement::own(sql)).await? {
            Ok(rows) if rows.iter().flatten().flatten().any(|result| result == "0") => {
                Err(denied(&self.name, &self.api))
            }
            Ok(_) => Ok(()),
            // A user may always ask about himself, but versions before 24.10 cannot be asked: the run will tell.
            Err(error) if error.is_syntax() => Ok(()),
            Err(error) => Err(self.failure(Failed::Sql(error))),
        }
    }

    /// Whether there is a table, of a version that is known.
    async fn version(&self) -> Result<bool, Failure> {
        let rows = self.run(self.sql.version()).await?;
        let Some(comment) = rows.into_iter().next().and_then(|row| row.into_iter().next()) else { return Ok(false) };
        match comment
            .as_deref()
            .and_then(|comment| comment.strip_prefix(COMMENT))
            .map(|version| (version, version.parse::<u32>()))
        {
            Some((_, Ok(known))) if known <= SCHEMA_VERSION => Ok(true),
            Some((version, _)) => Err(too_new(&self.place(), version)),
            None => Err(self.damaged()),
        }
    }

    fn failure(&self, failed: Failed) -> Failure {
        failed.or_tell(|error| errors::state(error, &self.name, &self.api))
    }

    async fn attempt(&self, statement: Statement) -> Result<Result<Vec<Vec<Option<String>>>, SqlError>, Failure> {
        match self.api.rows(&statement).await {
            Ok(rows) => Ok(Ok(rows)),
            Err(Failed::Sql(error)) => Ok(Err(error)),
            Err(Failed::Other(failure)) => Err(failure),
        }
    }

    async fn run(&self, sql: String) -> Result<Vec<Vec<Option<String>>>, Failure> {
        self.api.rows(&Statement::own(sql)).await.map_err(|failed| self.failure(failed))
    }

    async fn insert(&self, part: &Part, token: String) -> Result<(), Failure> {
        let statement = Statement::once(self.sql.add(part), token);
        self.api.rows(&statement).await.map(drop).map_err(|failed| self.failure(failed))
    }

    fn damaged(&self) -> Failure {
        let message = format!(
            "the table `objects` in the database {} was not made by this program; give state.schema another name, or restore it",
            quote(&self.name)
        );
        Failure::new(Code::StateDamaged, message)
    }
}

#[async_trait]
impl ObjectTable for ClickHouseTable {
    fn place(&self) -> String {
        format!("the database {}", quote(&self.name))
    }

    async fn prepare(&self) -> Result<(), Failure> {
        if self.version().await? {
            return Ok(());
        }
        // A user who may not make databases may find one that somebody made for him: the table will tell.
        match self.attempt(Statement::own(self.sql.create_database())).await? {
            Ok(_) => {}
            Err(error) if error.is_denied() => {}
            Err(error) => return Err(self.failure(Failed::Sql(error))),
        }
        match self.attempt(Statement::own(self.sql.create_table())).await? {
            Ok(_) => Ok(()),
            Err(error) if error.is_missing() => Err(errors::schema_missing(&self.name, &self.api)),
            Err(error) if error.is_denied() && self.run(self.sql.database()).await?.is_empty() => {
                Err(errors::schema_missing(&self.name, &self.api))
            }
            Err(error) => Err(self.failure(Failed::Sql(error))),
        }
    }

    async fn parts(&self, name: &str) -> Result<Vec<Part>, Failure> {
        let rows = self.run(self.sql.parts(name)).await?;
        rows.into_iter().map(|row| Part::read(name, row).ok_or_else(|| self.damaged())).collect()
    }

    async fn add(&self, part: &Part) -> Result<(), Failure> {
        self.insert(part, format!("{} {}", part.writing, part.part)).await
    }

    async fn add_first(&self, part: &Part) -> Result<(), Failure> {
        if self.run(self.sql.exists(&part.name)).await?.is_empty() {
            self.insert(part, part.name.clone()).await?;
        }
        Ok(())
    }

    async fn remove_others(&self, name: &str, writing: &str) -> Result<(), Failure> {
        if !self.run(self.sql.others(name, writing)).await?.is_empty() {
            self.run(self.sql.remove_others(name, writing)).await?;
        }
        Ok(())
    }

    async fn names(&self, prefix: &str) -> Result<Vec<(String, u64)>, Failure> {
        let line = |row: Vec<Option<String>>| {
            let [name, bytes] = <[_; 2]>::try_from(row).ok()?;
            Some((name?, bytes?.parse().ok()?))
        };
        let rows = self.run(self.sql.names(prefix)).await?;
        rows.into_iter().map(|row| line(row).ok_or_else(|| self.damaged())).collect()
    }

    async fn folders(&self) -> Result<Vec<String>, Failure> {
        let rows = self.run(self.sql.folders()).await?;
        rows.into_iter().map(|row| row.into_iter().next().flatten().ok_or_else(|| self.damaged())).collect()
    }

    async fn remove(&self, names: &[String]) -> Result<(), Failure> {
        if names.is_empty() {
            return Ok(());
        }
        self.run(self.sql.remove(names)).await.map(drop)
    }
}
