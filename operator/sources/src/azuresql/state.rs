//! State in a table of the database.
//!
//! Not all of the products enforce keys, so who creates an object first takes the turn of the one row of a second table, which no other writer gets
//! before the transaction has ended, and looks then. A batch is a transaction whole or not at all: a connection on which one failed is not
//! used again.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backflow_core::code::{Code, Failure};

use super::client::{Error, PATIENCE};
use super::connect::{Connector, LONGEST};
use super::errors;
use super::objects::Sql;
use super::product::{Kind, Product};
use super::tokens::ServerError;
use crate::diff::pushdown::dialect::Dialect as _;
use crate::diff::pushdown::dialects::tsql::TransactSql;
use crate::diff::pushdown::statement::Statement;
use crate::diff::pushdown::tables;
use crate::diff::pushdown::transport::Table;
use crate::state_rows::{SCHEMA_VERSION, too_new};
use crate::store::table::{ObjectTable, Part};
use crate::stream::Broken;

/// How often a statement is given that another transaction came before, or whose connection broke: each has the same effect twice. Between them
/// is a pause, or half as much more or less.
const CONFLICTS: u32 = 20;
const BREAKS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);

type Rows = Vec<Vec<Option<String>>>;

/// The schema of the state.
pub(super) struct AzureSqlTable {
    connector: Arc<Connector>,
    product: Product,
    pub(super) sql: Sql,
}

impl AzureSqlTable {
    pub(super) fn new(connector: Arc<Connector>, schema: &str, product: Product) -> Self {
        let sql = Sql::new(schema, product.kind);
        Self { connector, product, sql }
    }

    /// Proves that a run may use the tables, or may make them. `more`: it makes tables of its own, too.
    pub(super) async fn check(&self, more: bool) -> Result<(), Failure> {
        let (schema, tables) = self.found().await?;
        if tables == 2 {
            self.check_version().await?;
            if more {
                self.may_make_tables().await?;
            }
            return if self.all_granted(&self.sql.uses()).await? { Ok(()) } else { Err(self.denied()) };
        }
        match (self.all_granted(&self.sql.may_create(schema)).await?, schema) {
            (true, _) => Ok(()),
            (false, true) => Err(self.denied()),
            (false, false) => Err(self.missing()),
        }
    }

    /// The tables that the pushdown engine has for a state.
    pub(super) async fn own_tables(&self, state_key: &str) -> Result<Vec<Table>, Failure> {
        let rows = self.run(&self.sql.columns_of(&tables::infix(state_key))).await?;
        tables::found(state_key, rows).ok_or_else(|| self.damaged())
    }

    /// What the server is.
    pub(super) fn kind(&self) -> Kind {
        self.product.kind
    }

    /// Refuses unless the user may make tables in the schema.
    pub(super) async fn may_make_tables(&self) -> Result<(), Failure> {
        if self.all_granted(&self.sql.may_create(true)).await? { Ok(()) } else { Err(self.denied()) }
    }

    /// A table of the schema, as SQL names it.
    pub(super) fn table(&self, name: &str) -> String {
        TransactSql.table(&self.sql.schema, name)
    }

    /// Adds an object and moves what goes along, unless another one is there: then nothing has moved. Who has added that has dropped tables,
    /// and what is about them fails.
    async fn move_with(&self, part: &Part, with: &[Statement]) -> Result<(), Failure> {
        let sql = self.sql.moving(&texts(with), None, Some(part));
        match self.attempt_within(&sql, LONGEST).await? {
            Err(error) if !errors::is_fenced(&error) && !errors::is_gone(&error) => Err(self.failure(&error)),
            _ => Ok(()),
        }
    }

    async fn all_granted(&self, question: &str) -> Result<bool, Failure> {
        let row = self.run(question).await?.into_iter().flatten();
        // It is NULL of what does not exist, or cannot be seen.
        Ok(row.into_iter().all(|granted| granted.as_deref() == Some("1")))
    }

    /// Whether the schema can be seen, and how many of the tables.
    async fn found(&self) -> Result<(bool, u64), Failure> {
        let rows = self.run(&self.sql.found()).await?;
        let counts: Vec<u64> = rows.into_iter().filter_map(|row| row.into_iter().nth(1)??.parse().ok()).collect();
        match counts.as_slice() {
            [schema, tables] => Ok((*schema > 0, *tables)),
            _ => Err(self.damaged()),
        }
    }

    async fn check_version(&self) -> Result<(), Failure> {
        let version = self.run(&self.sql.version()).await?.into_iter().flatten().next().flatten();
        match version.as_deref().map(str::parse::<u32>) {
            Some(Ok(known)) if known <= SCHEMA_VERSION => Ok(()),
            Some(_) => Err(too_new(&self.place(), version.as_deref().unwrap_or_default())),
            // Who made the tables did not get further.
            None => self.run(&self.sql.first_turn()).await.map(drop),
        }
    }

    async fn attempt(&self, sql: &str) -> Result<Result<Rows, ServerError>, Failure> {
        self.attempt_within(sql, PATIENCE).await
    }

    async fn attempt_within(&self, sql: &str, patience: Duration) -> Result<Result<Rows, ServerError>, Failure> {
        let mut attempt = 1;
        loop {
            let mut session = self.connector.take().await?;
            match session.client.rows_within(sql, patience).await {
                Ok(rows) => {
                    self.connector.give_back(session).await;
                    return Ok(Ok(rows));
                }
                Err(Error::Server(error)) if errors::is_conflict(&error) && attempt < CONFLICTS => {}
                Err(Error::Server(error)) => return Ok(Err(error)),
                // Whoever was silent for so long will be so again.
                Err(Error::Broken(broken)) if !matches!(broken, Broken::Silent(_)) && attempt < BREAKS => {}
                Err(error) => return Err(errors::broken(&error, &self.connector)),
            }
            attempt += 1;
            tokio::time::sleep(PAUSE.mul_f64(0.5 + fastrand::f64())).await;
        }
    }

    async fn run(&self, sql: &str) -> Result<Rows, Failure> {
        self.attempt(sql).await?.map_err(|error| self.failure(&error))
    }

    /// Runs what somebody else may have done already.
    async fn unless_there(&self, sql: &str) -> Result<Result<(), ServerError>, Failure> {
        Ok(match self.attempt(sql).await? {
            Ok(_) => Ok(()),
            Err(error) if errors::is_there(&error) => Ok(()),
            Err(error) => Err(error),
        })
    }

    pub(super) fn failure(&self, error: &ServerError) -> Failure {
        errors::state(error, &self.sql.schema, &self.product.user, &self.connector)
    }

    fn denied(&self) -> Failure {
        errors::state_denied(&self.sql.schema, &self.product.user)
    }

    fn missing(&self) -> Failure {
        errors::schema_missing(&self.sql.schema, &self.product.user)
    }

    fn damaged(&self) -> Failure {
        let message = format!(
            "the tables in the schema {} have other columns than this program made; give state.schema another name, or restore them",
            self.sql.schema
        );
        Failure::new(Code::StateDamaged, message)
    }
}

/// Statements whose values are in their texts.
pub(super) fn texts(statements: &[Statement]) -> Vec<String> {
    statements.iter().map(|statement| statement.sql.clone()).collect()
}

#[async_trait]
impl ObjectTable for AzureSqlTable {
    fn place(&self) -> String {
        format!("the schema {}", self.sql.schema)
    }

    async fn prepare(&self) -> Result<(), Failure> {
        let (schema, tables) = self.found().await?;
        if tables == 2 {
            return self.check_version().await;
        }
        // It may be there, made by somebody and not to be seen: the tables will tell.
        if !schema
            && let Err(error) = self.unless_there(&self.sql.create_schema()).await?
            && !errors::is_denied(&error)
        {
            return Err(self.failure(&error));
        }
        for statement in self.sql.create_tables() {
            match self.unless_there(&statement).await? {
                Ok(()) => {}
                Err(error) if !schema && errors::is_denied(&error) => return Err(self.missing()),
                Err(error) => return Err(self.failure(&error)),
            }
        }
        self.check_version().await
    }

    async fn parts(&self, name: &str) -> Result<Vec<Part>, Failure> {
        let rows = self.run(&self.sql.parts(name)).await?;
        rows.into_iter().map(|row| Part::read(name, row).ok_or_else(|| self.damaged())).collect()
    }

    /// That it is there already is of an attempt whose answer was lost.
    async fn add(&self, part: &Part) -> Result<(), Failure> {
        self.unless_there(&self.sql.add(part)).await?.map_err(|error| self.failure(&error))
    }

    async fn add_first(&self, part: &Part) -> Result<(), Failure> {
        self.run(&self.sql.add_first(part)).await.map(drop)
    }

    /// Who has added it is known by looking, also if an answer was lost.
    async fn add_last(&self, part: &Part, with: &[Statement]) -> Result<bool, Failure> {
        self.move_with(part, with).await?;
        Ok(self.parts(&part.name).await?.iter().any(|found| found.writing == part.writing))
    }

    async fn forgetting(&self, state_key: &str) -> Result<Vec<Statement>, Failure> {
        let tables = self.own_tables(state_key).await?.into_iter();
        Ok(tables.map(|table| Statement::plain(TransactSql.drop(&self.table(&table.name)))).collect())
    }

    async fn remove_others(&self, name: &str, writing: &str) -> Result<(), Failure> {
        self.run(&self.sql.remove_others(name, writing)).await.map(drop)
    }

    async fn names(&self, prefix: &str) -> Result<Vec<(String, u64)>, Failure> {
        let line = |row: Vec<Option<String>>| {
            let [name, bytes] = <[_; 2]>::try_from(row).ok()?;
            Some((name?, bytes?.parse().ok()?))
        };
        let rows = self.run(&self.sql.names(prefix)).await?;
        rows.into_iter().map(|row| line(row).ok_or_else(|| self.damaged())).collect()
    }

    async fn folders(&self) -> Result<Vec<String>, Failure> {
        let rows = self.run(&self.sql.folders()).await?;
        rows.into_iter().map(|row| row.into_iter().next().flatten().ok_or_else(|| self.damaged())).collect()
    }

    async fn remove(&self, names: &[String]) -> Result<(), Failure> {
        if names.is_empty() {
            return Ok(());
        }
        self.run(&self.sql.remove(names)).await.map(drop)
    }
}
