//! State in two tables of a schema.
//!
//! Redshift checks no primary keys. Who writes locks the table `turns` first and counts it up, so that writers come one after another: none
//! finds that another one was in its way, and who creates an object first looks whether there is one.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backflow_core::code::{Code, Failure};
use backflow_core::failpoint;
use sqlx::PgConnection;

use super::connect::{Sessions, run, texts};
use super::errors;
use super::objects::Sql;
use crate::diff::pushdown::dialect::Dialect as _;
use crate::diff::pushdown::dialects::redshift::{Redshift, spoken};
use crate::diff::pushdown::statement::Statement;
use crate::state_rows::{SCHEMA_VERSION, too_new};
use crate::store::table::{DEAR, Encoding, ObjectTable, Part};

/// How often a transaction that another one was in the way of is tried again, and after what pause.
pub(super) const CONFLICTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(200);

/// The state schema.
#[derive(Clone)]
pub(super) struct RedshiftTable {
    pub(super) sessions: Arc<Sessions>,
    pub(super) sql: Arc<Sql>,
}

/// What a transaction writes.
pub(super) enum Change<'a> {
    /// These statements.
    All(Vec<String>),
    /// A part, if there is none of its name.
    First(&'a Part),
    /// A part and these messages, if there is no such name beside it, nor a greater one.
    Newest(&'a Part, &'a [String]),
    /// These messages, while this is the greatest of the names beside it.
    While(&'a str, &'a [String]),
    /// These messages, whoever has the state: they touch nothing of it.
    Apart(&'a [String]),
}

/// The folder of a name, with the slash.
fn folder(name: &str) -> &str {
    name.rfind('/').map_or("", |end| &name[..=end])
}

/// Before something is tried again that another transaction was in the way of.
pub(super) async fn pause() {
    tokio::time::sleep(PAUSE.mul_f64(0.5 + fastrand::f64())).await;
}

/// The one value of a result.
pub(super) fn one(rows: Vec<Vec<Option<String>>>) -> Option<String> {
    rows.into_iter().flatten().flatten().next()
}

/// How a statement of the state ended: `Err` inside if the server refused it.
type Tried<T> = Result<Result<T, sqlx::Error>, Failure>;

impl RedshiftTable {
    pub(super) fn new(sessions: Arc<Sessions>, schema: &str) -> Self {
        // As the server keeps the name.
        Self { sessions, sql: Arc::new(Sql::new(&schema.to_lowercase())) }
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

    pub(super) fn failure(&self, error: &sqlx::Error) -> Failure {
        errors::state(error, &self.sql.schema, &self.sessions)
    }

    pub(super) fn damaged(&self) -> Failure {
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

    pub(super) async fn rows(&self, sql: String) -> Result<Vec<Vec<Option<String>>>, Failure> {
        self.read(sql).await?.map_err(|error| self.failure(&error))
    }

    /// One transaction that writes, after all others that do. A connection that is not given back is closed, and its transaction broken off.
    pub(super) async fn write(&self, change: Change<'_>) -> Result<(), Failure> {
        let mut attempt = 1;
        loop {
            let (connector, mut connection) = match change {
                Change::All(_) | Change::First(_) => self.sessions.take().await?,
                _ => self.sessions.take_for_entries().await?,
            };
            match self.changed(&mut connection, &change).await {
                Ok(_) => {
                    connector.give_back(connection).await;
                    return Ok(());
                }
                Err(error) if errors::is_conflict(&error) && attempt < CONFLICTS => {
                    drop(connection);
                    attempt += 1;
                    pause().await;
                }
                Err(error) => return Err(self.failure(&error)),
            }
        }
    }

    /// The transaction, once. Whether what it goes by is the case: otherwise it has changed nothing.
    pub(super) async fn changed(
        &self,
        connection: &mut PgConnection,
        change: &Change<'_>,
    ) -> Result<bool, sqlx::Error> {
        run(&mut *connection, "BEGIN").await?;
        if !matches!(change, Change::Apart(_)) {
            for sql in [self.sql.lock(), self.sql.turn()] {
                run(&mut *connection, sql).await?;
            }
        }
        let (so, part, messages) = match change {
            Change::All(statements) => (true, None, statements.as_slice()),
            Change::Apart(messages) => (true, None, *messages),
            Change::First(part) => {
                let found = texts(&mut *connection, self.sql.count(&part.name)).await?;
                (one(found).as_deref() == Some("0"), Some(part), &[][..])
            }
            Change::Newest(part, messages) => {
                let newest = self.newest(&mut *connection, &part.name).await?;
                (newest.is_none_or(|newest| newest < part.name), Some(part), *messages)
            }
            Change::While(name, messages) => {
                (self.newest(&mut *connection, name).await?.as_deref() == Some(*name), None, *messages)
            }
        };
        if so {
            for sql in part.map(|part| self.sql.add(part)).into_iter().flatten() {
                run(&mut *connection, sql).await?;
            }
            for sql in messages {
                run(&mut *connection, sql.as_str()).await?;
                failpoint::hit("inside-apply");
            }
        }
        run(&mut *connection, if so { "COMMIT" } else { "ROLLBACK" }).await?;
        Ok(so)
    }

    /// The greatest of the names beside this one.
    pub(super) async fn newest(
        &self,
        connection: &mut PgConnection,
        name: &str,
    ) -> Result<Option<String>, sqlx::Error> {
        texts(connection, self.sql.newest(folder(name))).await.map(one)
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

    fn patience(&self) -> Duration {
        DEAR
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
            pause().await;
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

    /// Who has added it is known by looking, also if an answer was lost.
    async fn add_last(&self, part: &Part, with: &[Statement]) -> Result<bool, Failure> {
        let messages: Vec<String> = with.iter().flat_map(spoken).collect();
        self.write(Change::Newest(part, &messages)).await?;
        Ok(self.parts(&part.name).await?.iter().any(|found| found.writing == part.writing))
    }

    async fn forgetting(&self, state_key: &str) -> Result<Vec<Statement>, Failure> {
        let tables = self.own_tables(state_key).await?.into_iter();
        let drop = |name: &str| Redshift.drop(&Redshift.table(&self.sql.schema, name));
        Ok(tables.map(|table| Statement::plain(drop(&table.name))).collect())
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
