//! State in two tables of a schema.
//!
//! Redshift checks no primary keys. Who writes locks the table `turns` first and counts it up, so that writers come one after another: none
//! finds that another one was in its way, and who creates an object first looks whether there is one.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backflow_core::code::{Code, Failure};
use sqlx::PgConnection;

use super::connect::{Sessions, run, texts};
use super::errors;
use super::objects::Sql;
use crate::state_rows::{SCHEMA_VERSION, too_new};
use crate::store::table::{Encoding, ObjectTable, Part};

/// How often a transaction that another one was in the way of is tried again, and after what pause.
const CONFLICTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(200);

/// The state schema.
pub(super) struct RedshiftTable {
    sessions: Arc<Sessions>,
    sql: Sql,
}

/// What a transaction writes.
enum Change<'a> {
    /// These statements.
    All(Vec<String>),
    /// A part, if there is none of its name.
    First(&'a Part),
}

/// How a statement of the state ended: `Err` inside if the server refused it.
type Tried<T> = Result<Result<T, sqlx::Error>, Failure>;

impl RedshiftTable {
    pub(super) fn new(sessions: Arc<Sessions>, schema: &str) -> Self {
        // As the server keeps the name.
        Self { sessions, sql: Sql::new(&schema.to_lowercase()) }
    }

    /// Makes what is missing, writes and takes it all back: proves that a run may.
    pub(super) async fn check(&self) -> Result<(), Failure> {
        let (_, mut connection) = self.sessions.take().await?;
        let probe = Part {
            name: "check".into(),
            writing: "check".into(),
            part: 0,
            parts: 1,
            encoding: Encoding::Text,
            content: String::new(),
            bytes: 0,
        };
        run(&mut connection, "BEGIN").await.map_err(|error| self.failure(&error))?;
        self.ensure(&mut connection).await?;
        let [removal, insertion] = self.sql.add(&probe);
        for sql in [self.sql.lock(), self.sql.turn(), insertion, removal] {
            run(&mut connection, sql).await.map_err(|error| self.failure(&error))?;
        }
        run(&mut connection, "ROLLBACK").await.map_err(|error| self.failure(&error))
    }

    /// Makes schema and tables in the transaction that the caller began.
    async fn ensure(&self, connection: &mut PgConnection) -> Result<(), Failure> {
        let [schemas, tables] = self.sql.look();
        if self.number(connection, schemas).await? == 0
            && let Err(error) = run(&mut *connection, self.sql.create_schema()).await
        {
            return Err(match errors::is_denied(&error) {
                true => errors::schema_missing(&self.sql.schema, &self.sessions),
                false => self.failure(&error),
            });
        }
        if self.number(connection, tables).await? < 2 {
            for sql in self.sql.create_tables() {
                run(&mut *connection, sql).await.map_err(|error| self.failure(&error))?;
            }
        }
        let version = self.number(connection, self.sql.version()).await?;
        if version > u64::from(SCHEMA_VERSION) {
            return Err(too_new(&format!("schema {}", self.sql.schema), &version.to_string()));
        }
        Ok(())
    }

    async fn number(&self, connection: &mut PgConnection, sql: String) -> Result<u64, Failure> {
        let rows = texts(connection, sql).await.map_err(|error| self.failure(&error))?;
        let number = rows.first().and_then(|row| row.first()?.as_ref()?.parse().ok());
        number.ok_or_else(|| self.damaged())
    }

    fn failure(&self, error: &sqlx::Error) -> Failure {
        errors::state(error, &self.sql.schema, &self.sessions)
    }

    fn damaged(&self) -> Failure {
        let message = format!(
            "the tables in the state schema {} have other columns than this program made; give state.schema another name, or restore them",
            self.sql.schema
        );
        Failure::new(Code::StateDamaged, message)
    }

    /// One statement that reads.
    async fn read(&self, sql: String) -> Tried<Vec<Vec<Option<String>>>> {
        let (connector, mut connection) = self.sessions.take().await?;
        let rows = texts(&mut connection, sql).await;
        if rows.is_ok() {
            connector.give_back(connection).await;
        }
        Ok(rows)
    }

    async fn rows(&self, sql: String) -> Result<Vec<Vec<Option<String>>>, Failure> {
        self.read(sql).await?.map_err(|error| self.failure(&error))
    }

    /// One transaction that writes, after all others that do. A connection that is not given back is closed, and its transaction broken off.
    async fn write(&self, change: Change<'_>) -> Result<(), Failure> {
        let mut attempt = 1;
        loop {
            let (connector, mut connection) = self.sessions.take().await?;
            match self.changed(&mut connection, &change).await {
                Ok(()) => {
                    connector.give_back(connection).await;
                    return Ok(());
                }
                Err(error) if errors::is_conflict(&error) && attempt < CONFLICTS => {
                    drop(connection);
                    attempt += 1;
                    tokio::time::sleep(PAUSE.mul_f64(0.5 + fastrand::f64())).await;
                }
                Err(error) => return Err(self.failure(&error)),
            }
        }
    }

    async fn changed(&self, connection: &mut PgConnection, change: &Change<'_>) -> Result<(), sqlx::Error> {
        for sql in ["BEGIN".to_owned(), self.sql.lock(), self.sql.turn()] {
            run(&mut *connection, sql).await?;
        }
        let statements = match change {
            Change::All(statements) => statements.clone(),
            Change::First(part) => {
                let found = texts(&mut *connection, self.sql.count(&part.name)).await?;
                let none = found.first().and_then(|row| row.first()) == Some(&Some("0".to_owned()));
                if none { self.sql.add(part).to_vec() } else { Vec::new() }
            }
        };
        for sql in statements.into_iter().chain(["COMMIT".to_owned()]) {
            run(&mut *connection, sql).await?;
        }
        Ok(())
    }

    /// Rows of pieces as parts; one of which pieces are missing is none.
    fn joined(&self, name: &str, rows: Vec<Vec<Option<String>>>) -> Result<Vec<Part>, Failure> {
        let mut parts: Vec<Part> = Vec::new();
        let mut missing = 0_usize;
        for mut row in rows {
            let mut number = || row.pop().flatten().and_then(|text| text.parse::<usize>().ok());
            let (pieces, piece) = number().zip(number()).ok_or_else(|| self.damaged())?;
            let read = Part::read(name, row).ok_or_else(|| self.damaged())?;
            match parts.last_mut() {
                _ if piece == 0 => {
                    if missing > 0 {
                        parts.pop();
                    }
                    parts.push(read);
                    missing = pieces.saturating_sub(1);
                }
                Some(part) if missing > 0 && (&part.writing, part.part) == (&read.writing, read.part) => {
                    part.content.push_str(&read.content);
                    missing -= 1;
                }
                _ => return Err(self.damaged()),
            }
        }
        if missing > 0 {
            parts.pop();
        }
        Ok(parts)
    }
}

#[async_trait]
impl ObjectTable for RedshiftTable {
    fn place(&self) -> String {
        format!("the state schema {}", self.sql.schema)
    }

    async fn prepare(&self) -> Result<(), Failure> {
        match self.read(self.sql.version()).await? {
            Ok(rows) => {
                let version = rows.first().and_then(|row| row.first()?.as_ref()?.parse::<u32>().ok());
                match version {
                    Some(known) if known <= SCHEMA_VERSION && self.tables().await? => return Ok(()),
                    Some(known) if known > SCHEMA_VERSION => {
                        return Err(too_new(&format!("schema {}", self.sql.schema), &known.to_string()));
                    }
                    _ => {}
                }
            }
            Err(error) if errors::is_missing(&error) || errors::is_denied(&error) => {}
            Err(error) => return Err(self.failure(&error)),
        }
        let mut attempt = 1;
        loop {
            let made = self.make().await;
            // Of two that make them at once, one is refused: the other one's are there then.
            if made.is_ok()
                || attempt >= CONFLICTS
                || !matches!(&made, Err(failure) if failure.code == Code::WarehouseUnavailable)
            {
                return made;
            }
            attempt += 1;
            tokio::time::sleep(PAUSE.mul_f64(0.5 + fastrand::f64())).await;
        }
    }

    async fn parts(&self, name: &str) -> Result<Vec<Part>, Failure> {
        let rows = self.rows(self.sql.parts(name)).await?;
        self.joined(name, rows)
    }

    async fn add(&self, part: &Part) -> Result<(), Failure> {
        self.write(Change::All(self.sql.add(part).to_vec())).await
    }

    async fn add_first(&self, part: &Part) -> Result<(), Failure> {
        self.write(Change::First(part)).await
    }

    async fn remove_others(&self, name: &str, writing: &str) -> Result<(), Failure> {
        self.write(Change::All(vec![self.sql.remove_others(name, writing)])).await
    }

    async fn names(&self, prefix: &str) -> Result<Vec<(String, u64)>, Failure> {
        let rows = self.rows(self.sql.names(prefix)).await?;
        let line = |row: Vec<Option<String>>| {
            let [name, bytes] = <[_; 2]>::try_from(row).ok()?;
            Some((name?, bytes?.parse().ok()?))
        };
        rows.into_iter().map(|row| line(row).ok_or_else(|| self.damaged())).collect()
    }

    async fn folders(&self) -> Result<Vec<String>, Failure> {
        let rows = self.rows(self.sql.folders()).await?;
        rows.into_iter().map(|row| row.into_iter().next().flatten().ok_or_else(|| self.damaged())).collect()
    }

    async fn remove(&self, names: &[String]) -> Result<(), Failure> {
        self.write(Change::All(vec![self.sql.remove(names)])).await
    }
}

impl RedshiftTable {
    /// Whether both tables are there.
    async fn tables(&self) -> Result<bool, Failure> {
        let [_, tables] = self.sql.look();
        let rows = self.rows(tables).await?;
        Ok(rows.first().and_then(|row| row.first()) == Some(&Some("2".to_owned())))
    }

    async fn make(&self) -> Result<(), Failure> {
        let (connector, mut connection) = self.sessions.take().await?;
        run(&mut connection, "BEGIN").await.map_err(|error| self.failure(&error))?;
        self.ensure(&mut connection).await?;
        run(&mut connection, "COMMIT").await.map_err(|error| self.failure(&error))?;
        connector.give_back(connection).await;
        Ok(())
    }
}
