//! State in a table of the server. Who creates an object that nobody may create twice does so under a unique key.

use std::sync::Arc;

use async_trait::async_trait;
use backflow_core::code::{Code, Failure};

use super::client::{Error, ServerError};
use super::connect::Connector;
use super::errors;
use super::objects::Sql;
use super::types::quote;
use crate::state_rows::{SCHEMA_VERSION, too_new};
use crate::store::table::{ObjectTable, Part};

/// How often a statement is given that another transaction came before, or whose connection broke: each has the same effect twice.
const ATTEMPTS: u32 = 4;

type Rows = Vec<Vec<Option<String>>>;

/// The database of the state.
pub(super) struct MySqlTable {
    connector: Arc<Connector>,
    name: String,
    sql: Sql,
}

impl MySqlTable {
    pub(super) fn new(connector: Arc<Connector>, database: &str) -> Self {
        Self { connector, name: database.to_owned(), sql: Sql::new(database) }
    }

    /// Proves that a run may use the tables, or may make them.
    pub(super) async fn check(&self) -> Result<(), Failure> {
        let (database, tables) = self.found().await?;
        if tables == 2 {
            self.check_version().await?;
            for statement in self.sql.uses() {
                self.run(&statement).await?;
            }
            return Ok(());
        }
        // A role may give what the user has not himself: then the run will tell.
        let role = self.attempt("SELECT CURRENT_ROLE()").await?.unwrap_or_default();
        let role = role.into_iter().flatten().flatten().any(|role| role != "NONE");
        let may = self.run(&self.sql.may_create()).await?.into_iter().flatten().flatten().any(|grants| grants != "0");
        match (may || role, database) {
            (true, _) => Ok(()),
            (false, true) => Err(errors::state_denied(&self.name, &self.connector)),
            (false, false) => Err(errors::schema_missing(&self.name, &self.connector)),
        }
    }

    /// Whether the database can be seen, and how many of the tables.
    async fn found(&self) -> Result<(bool, u64), Failure> {
        let rows = self.run(&self.sql.found()).await?;
        let counts: Vec<u64> = rows.into_iter().flatten().flatten().filter_map(|count| count.parse().ok()).collect();
        match counts.as_slice() {
            [database, tables] => Ok((*database > 0, *tables)),
            _ => Err(self.damaged()),
        }
    }

    async fn check_version(&self) -> Result<(), Failure> {
        let version = self.run(&self.sql.version()).await?.into_iter().flatten().next().flatten();
        match version.as_deref().map(str::parse::<u32>) {
            Some(Ok(known)) if known <= SCHEMA_VERSION => Ok(()),
            Some(_) => Err(too_new(&self.place(), version.as_deref().unwrap_or_default())),
            // Who made the tables did not get further.
            None => self.run(&self.sql.first_version()).await.map(drop),
        }
    }

    async fn once(&self, sql: &str) -> Result<Result<Rows, Error>, Failure> {
        let mut client = self.connector.take().await?;
        let result = client.rows(sql).await;
        // After an error of the server's own, the connection is as it was.
        if matches!(&result, Ok(_) | Err(Error::Server(_))) {
            self.connector.give_back(client).await;
        }
        Ok(result)
    }

    async fn attempt(&self, sql: &str) -> Result<Result<Rows, ServerError>, Failure> {
        let mut attempt = 1;
        loop {
            match self.once(sql).await? {
                Ok(rows) => return Ok(Ok(rows)),
                Err(Error::Server(error)) if error.is_conflict() && attempt < ATTEMPTS => {}
                Err(Error::Server(error)) => return Ok(Err(error)),
                Err(Error::Broken(_)) if attempt < ATTEMPTS => {}
                Err(error) => return Err(errors::broken(&error, &self.connector)),
            }
            attempt += 1;
        }
    }

    async fn run(&self, sql: &str) -> Result<Rows, Failure> {
        self.attempt(sql).await?.map_err(|error| self.failure(error))
    }

    fn failure(&self, error: ServerError) -> Failure {
        errors::state(&Error::Server(error), &self.name, &self.connector)
    }

    /// Adds a row. That it is there already is what was wanted: of the same writing by an attempt whose answer was lost, or else
    /// whoever looks finds whose it is.
    async fn insert(&self, part: &Part, first: bool) -> Result<(), Failure> {
        match self.attempt(&self.sql.add(part, first)).await? {
            Ok(_) => Ok(()),
            Err(error) if error.is_duplicate() => Ok(()),
            Err(error) => Err(self.failure(error)),
        }
    }

    fn damaged(&self) -> Failure {
        let message = format!(
            "the tables in the database {} have other columns than this program made; give state.schema another name, or restore them",
            quote(&self.name)
        );
        Failure::new(Code::StateDamaged, message)
    }
}

#[async_trait]
impl ObjectTable for MySqlTable {
    fn place(&self) -> String {
        format!("the database {}", quote(&self.name))
    }

    async fn prepare(&self) -> Result<(), Failure> {
        let (database, tables) = self.found().await?;
        if tables == 2 {
            return self.check_version().await;
        }
        if !database {
            // It may be there, made by somebody and not to be seen: the tables will tell.
            match self.attempt(&self.sql.create_database()).await? {
                Ok(_) => {}
                Err(error) if error.is_denied() => {}
                Err(error) => return Err(self.failure(error)),
            }
        }
        for statement in self.sql.create_tables() {
            match self.attempt(&statement).await? {
                Ok(_) => {}
                Err(error) if !database && (error.is_denied() || error.is_missing()) => {
                    return Err(errors::schema_missing(&self.name, &self.connector));
                }
                Err(error) => return Err(self.failure(error)),
            }
        }
        self.check_version().await
    }

    async fn parts(&self, name: &str) -> Result<Vec<Part>, Failure> {
        let rows = self.run(&self.sql.parts(name)).await?;
        rows.into_iter().map(|row| Part::read(name, row).ok_or_else(|| self.damaged())).collect()
    }

    async fn add(&self, part: &Part) -> Result<(), Failure> {
        self.insert(part, false).await
    }

    async fn add_first(&self, part: &Part) -> Result<(), Failure> {
        self.insert(part, true).await
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
