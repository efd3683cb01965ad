//! State in a table of a dataset.
//!
//! BigQuery checks no primary keys. So who creates an object first takes the turn of the one row of a second table in one transaction: of
//! two that do so at once, one is refused and tries again.
//!
//! The pushdown engine's tables are in the same dataset. What moves them takes the turn in its transaction, too, and proves there that no
//! later claim has begun: a commit by adding its head as the last, everything else by finding that its own is. No transaction makes or
//! drops a table. So what is made is made before, empty or of no use to others until it is named; and what is dropped is dropped after,
//! a delta emptied in the transaction: wherever a script ends, entries say what is so.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backflow_core::code::{Code, Failure};

use super::api::{Api, Page, Raw, Statement};
use super::errors::{self, Failed, SqlError};
use super::objects::Sql;
use crate::diff::pushdown::dialect::Dialect as _;
use crate::diff::pushdown::dialects::bigquery::BigQuery;
use crate::diff::pushdown::statement::{Bind, Statement as Step};
use crate::diff::pushdown::tables;
use crate::diff::pushdown::transport::Table;
use crate::rest::running::Running;
use crate::state_rows::{SCHEMA_VERSION, too_new};
use crate::store::table::{DEAR, ObjectTable, Part};

/// How often a transaction that another one came before is tried again, and after what pause.
const CONFLICTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(300);

/// The longest pause is so many of them.
const LONGER: u32 = 10;

fn is_conflict(failed: &Failed) -> bool {
    matches!(failed, Failed::Sql(error) if error.is_conflict())
}

/// Lets the other transaction end: one that moves entries takes longer than one that adds a row.
async fn pause(attempt: &mut u32) {
    tokio::time::sleep(PAUSE.mul_f64((0.5 + fastrand::f64()) * f64::from((*attempt).min(LONGER)))).await;
    *attempt += 1;
}

/// Values of statements, in the order in which a script has them: those that have some are moves, which stay in their order.
fn values(steps: &[Step]) -> Vec<String> {
    let binds = steps.iter().flat_map(|step| &step.binds);
    let texts = binds.filter_map(|bind| match bind {
        Bind::Texts(texts) => Some(texts.iter().flatten().map(|text| text.to_string())),
        Bind::Numbers(_) => None,
    });
    texts.flatten().collect()
}

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

    /// Proves that a run may use the tables, or may make them: compiled, which checks permissions, and not run. `makes`: also if they are
    /// there, the account must be allowed to make others.
    pub(super) async fn check(&self, makes: bool) -> Result<(), Failure> {
        if makes {
            self.check_making().await?;
        }
        for statement in self.sql.uses() {
            match self.compile(statement).await? {
                Ok(()) => {}
                Err(error) if error.is_missing() => return if makes { Ok(()) } else { self.check_making().await },
                Err(error) => return Err(self.failure(Failed::Sql(error))),
            }
        }
        Ok(())
    }

    /// Proves that the account may make tables.
    pub(super) async fn check_making(&self) -> Result<(), Failure> {
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

    pub(super) fn failure(&self, failed: Failed) -> Failure {
        failed.or_tell(|error| errors::state(error, &self.name, &self.api))
    }

    async fn run(&self, sql: String, binds: &[&str]) -> Result<Vec<Vec<Option<String>>>, Failure> {
        let statement = Statement::own(sql, binds);
        let mut attempt = 1;
        loop {
            match self.api.rows(&statement).await {
                Err(failed) if is_conflict(&failed) && attempt < CONFLICTS => pause(&mut attempt).await,
                other => return other.map_err(|failed| self.failure(failed)),
            }
        }
    }

    /// Runs statements of the pushdown engine, those that move rows in one transaction; with `last`, if the object of that name is the last
    /// of its folder. Whether it was. When this is dropped, the service is told to stop.
    pub(super) async fn run_steps(&self, last: Option<&str>, steps: &[Step]) -> Result<bool, Failure> {
        let sql = match last {
            Some(name) => self.sql.while_last(name, steps),
            None => steps.iter().map(|step| step.sql.as_str()).collect::<Vec<_>>().join(";\n"),
        };
        let statement = Statement { binds: values(steps), ..Statement::own(sql, &[]) };
        let mut attempt = 1;
        loop {
            match self.output(statement.clone()).await {
                Err(failed) if is_conflict(&failed) && attempt < CONFLICTS => pause(&mut attempt).await,
                other => return self.unless_fenced(other.map(drop)),
            }
        }
    }

    async fn output(&self, statement: Statement) -> Result<Page, Failed> {
        Running::start(&self.api, statement).await?.output().await
    }

    /// Rows of tables of the pushdown engine; `None`: one of them is not there. When this is dropped, the service is told to stop.
    pub(super) async fn read(&self, sql: String) -> Result<Option<Raw>, Failure> {
        match self.all_pages(sql).await {
            Err(Failed::Sql(error)) if error.is_missing() => Ok(None),
            other => other.map(Some).map_err(|failed| self.failure(failed)),
        }
    }

    async fn all_pages(&self, sql: String) -> Result<Raw, Failed> {
        let mut page = self.output(Statement::own(sql, &[])).await?;
        let mut rows = std::mem::take(&mut page.rows);
        while let Some(mut next) = self.api.next(&page).await? {
            rows.append(&mut next.rows);
            page = next;
        }
        Ok(rows)
    }

    fn unless_fenced(&self, ran: Result<(), Failed>) -> Result<bool, Failure> {
        match ran {
            Ok(()) => Ok(true),
            Err(Failed::Sql(error)) if error.is_fenced() => Ok(false),
            Err(failed) => Err(self.failure(failed)),
        }
    }

    /// A table of the dataset, quoted.
    pub(super) fn table(&self, name: &str) -> String {
        self.sql.table(name)
    }

    /// The tables that the pushdown engine has for a state.
    pub(super) async fn own_tables(&self, state_key: &str) -> Result<Vec<Table>, Failure> {
        let rows = self.run(self.sql.columns(), &[&tables::infix(state_key)]).await?;
        tables::found(state_key, rows).ok_or_else(|| self.damaged())
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

    fn patience(&self) -> Duration {
        DEAR
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

    async fn add_last(&self, part: &Part, with: &[Step]) -> Result<bool, Failure> {
        let statement = Statement { binds: values(with), ..Statement::own(self.sql.add_last(part, with), &[]) };
        let mut attempt = 1;
        loop {
            match self.api.rows(&statement).await {
                Err(failed) if is_conflict(&failed) && attempt < CONFLICTS => pause(&mut attempt).await,
                other => return self.unless_fenced(other.map(drop)),
            }
        }
    }

    /// Emptied together with the head that says that they are gone, then dropped.
    async fn forgetting(&self, state_key: &str) -> Result<Vec<Step>, Failure> {
        let names = self.own_tables(state_key).await?.into_iter().map(|table| self.table(&table.name));
        let steps = names.flat_map(|table| [format!("DELETE FROM {table} WHERE TRUE"), BigQuery.drop(&table)]);
        Ok(steps.map(Step::plain).collect())
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
