//! The pushdown engine's way to SQL Server.
//!
//! What belongs together is one batch: a transaction that ends within it. A table is made empty by such a batch, and filled by a statement
//! that stands alone. A process that dies between them leaves an empty table, which says that nothing was handed out.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backflow_core::cell::{Cell, Column};
use backflow_core::code::{Code, Failure};
use backflow_core::encode::Encoder;
use backflow_core::state::Commit;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::oneshot;

use super::client::{Answer, Client, Error};
use super::connect::LONGEST;
use super::forms::{Arrives, form, typed};
use super::product::Kind;
use super::state::texts;
use super::values::{self, encode, wire};
use super::{AzureSqlWarehouse, SNAPSHOT, USUAL, errors, types};
use crate::diff::pushdown::dialects::tsql::{TransactSql, emptied};
use crate::diff::pushdown::statement::{Around, Statement};
use crate::diff::pushdown::transport::{Fence, Plain, Reading, Table, Transport};
use crate::diff::pushdown::typed::{KeyForm, Typed};
use crate::model;
use crate::rest::compose::Composed;
use crate::sql::Lexis;
use crate::state_rows::fenced;
use crate::stream::Broken;

/// How long the server may take to stop what nobody waits for any more.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

impl AzureSqlWarehouse {
    /// Refuses products whose SQL is another one.
    pub(super) fn may_compare(&self) -> Result<(), Failure> {
        let product = match self.table.kind() {
            Kind::Server => return Ok(()),
            Kind::Pool => "a dedicated SQL pool of Synapse",
            Kind::Fabric => "a warehouse of Fabric",
        };
        Err(Failure::new(
            Code::PlanInvalid,
            format!("{product} cannot compare rows with state itself; set the Source's diff to Auto or Streaming"),
        ))
    }

    /// Does something that may take long on a task of its own: when the future of this is dropped, the server stops it.
    async fn long<T: Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c mut Client) -> BoxFuture<'c, Result<T, Error>> + Send + 'static,
    ) -> Result<Result<T, Error>, Failure> {
        let mut session = self.connector.take().await?;
        let reading = Arc::clone(&self.reading).read_owned().await;
        let connector = Arc::clone(&self.connector);
        let (mut sender, receiver) = oneshot::channel();
        tokio::spawn(async move {
            let ended = tokio::select! {
                biased;
                () = sender.closed() => None,
                ended = work(&mut session.client) => Some(ended),
            };
            match ended {
                // If it does not stop, the end of the connection stops it.
                None => drop(session.client.stop(STOP_TIMEOUT).await),
                Some(result) => {
                    if result.is_ok() {
                        connector.give_back(session).await;
                    }
                    let _ = sender.send(result);
                }
            }
            drop(reading);
        });
        receiver.await.map_err(|_| {
            Failure::new(
                Code::Internal,
                "a statement ended without an answer; this is an error of Backflow, please report it",
            )
        })
    }

    /// The name by which the server knows whether a claim is the last one; `None` for a DryRun, which has none.
    fn last_head(&self, fence: Fence<'_>) -> Result<Option<String>, Failure> {
        let Some(epoch) = fence.claim else { return Ok(None) };
        self.state.last_head(fence.state_key, epoch).map(Some).ok_or_else(|| fenced(fence.state_key))
    }

    /// Runs statements in one transaction, if the claim is still ours.
    async fn transaction(&self, fence: Fence<'_>, statements: &[String]) -> Result<Result<(), Error>, Failure> {
        let batch = self.table.sql.moving(statements, self.last_head(fence)?.as_deref(), None);
        match self
            .long(move |client| async move { client.rows_within(&batch, LONGEST).await.map(drop) }.boxed())
            .await?
        {
            Err(Error::Server(error)) if errors::is_fenced(&error) => Err(fenced(fence.state_key)),
            ended => Ok(ended),
        }
    }

    fn failure(&self, error: &Error) -> Failure {
        match error {
            Error::Server(error) => self.table.failure(error),
            error => errors::broken(error, &self.connector),
        }
    }

    /// A later claim drops the tables of an earlier one.
    fn gone(&self, error: &Error, state_key: &str) -> Failure {
        match error {
            Error::Server(error) if errors::is_gone(error) => fenced(state_key),
            error => self.failure(error),
        }
    }
}

/// Runs the statement that reads a model.
async fn fill(client: &mut Client, sql: String, snapshot: bool) -> Result<(), Error> {
    if snapshot {
        client.run(SNAPSHOT).await?;
    }
    client.rows_within(&sql, LONGEST).await?;
    if snapshot {
        client.run(USUAL).await?;
    }
    Ok(())
}

/// The rows of a query of our own, each as so many cells.
async fn cells(client: &mut Client, sql: &str, wires: &[Arrives]) -> Result<Vec<Vec<Cell>>, Error> {
    let Answer::Columns(columns) = client.start(sql, LONGEST).await? else { return Err(Broken::Malformed.into()) };
    let mut rows = Vec::new();
    while let Some(row) = client.row(LONGEST).await? {
        let cells: Option<Vec<Cell>> = row
            .values(&columns)
            .zip(columns.iter().zip(wires))
            .map(|(value, (column, arrives))| {
                arrives.cell(cell(&column.kind, value?.map(|value| value.bytes()).as_deref())?)
            })
            .collect();
        rows.push(cells.filter(|cells| cells.len() == wires.len()).ok_or(Broken::Malformed)?);
    }
    Ok(rows)
}

fn cell(kind: &types::Kind, bytes: Option<&[u8]>) -> Option<Cell> {
    let Some(bytes) = bytes else { return Some(Cell::Null) };
    let mut out = Vec::new();
    encode(wire(kind)?, bytes, Encoder::new(&mut out))?;
    Cell::decode(&mut out.as_slice())
}

#[async_trait]
impl Transport for AzureSqlWarehouse {
    type Dialect = TransactSql;
    type Wire = Arrives;

    fn dialect(&self) -> &TransactSql {
        &TransactSql
    }

    fn table(&self, name: &str) -> String {
        self.table.table(name)
    }

    /// Columns of a result say themselves what they are.
    fn wire(&self, _: Plain) -> Arrives {
        Arrives::AsItIs
    }

    fn key_form(&self, class: &str) -> Option<KeyForm<Arrives>> {
        form(class)
    }

    async fn typed(&self, reading: Reading<'_>, columns: &[Column]) -> Result<Vec<Typed<Arrives>>, Failure> {
        let Reading { model, filter } = reading;
        let mut session = self.connector.take().await?;
        let described = self.described(&mut session, model, filter).await?;
        self.connector.give_back(session).await;
        let said = columns.iter().map(|column| {
            let known = described.iter().find(|known| known.name == column.name).ok_or_else(|| {
                let names = described.iter().map(|column| column.name.as_str());
                model::unknown_column(model, &column.name, names)
            })?;
            typed(known).ok_or_else(|| values::unread(&model.name, known))
        });
        said.collect()
    }

    async fn tables(&self, state_key: &str) -> Result<Vec<Table>, Failure> {
        self.table.may_make_tables().await?;
        self.table.own_tables(state_key).await
    }

    async fn fenced(&self, fence: Fence<'_>, statements: Vec<Statement>) -> Result<(), Failure> {
        self.transaction(fence, &texts(&statements)).await?.map_err(|error| self.gone(&error, fence.state_key))
    }

    async fn make(
        &self,
        fence: Fence<'_>,
        reading: Reading<'_>,
        first: Vec<String>,
        around: Around,
        then: Vec<String>,
    ) -> Result<(), Failure> {
        let Reading { model, filter } = reading;
        let composed = |around: &Around| Composed::around(model, Lexis::TransactSql, around, filter);
        let empty = emptied(&around).ok_or_else(|| Failure::new(Code::Internal, "a comparison fills no table"))?;
        let (empty, filled) = (composed(&empty)?, composed(&around)?);
        let mut session = self.connector.take().await?;
        let snapshot = self.may_snapshot(&mut session).await?;
        let user = session.product.user.clone();
        self.connector.give_back(session).await;
        let failure =
            |error: &Error, composed: &Composed| errors::query(error, &model.name, composed, &user, &self.connector);

        let mut statements = first;
        statements.push(empty.sql.clone());
        statements.extend(then);
        self.transaction(fence, &statements).await?.map_err(|error| failure(&error, &empty))?;
        let sql = filled.sql.clone();
        let done = self.long(move |client| fill(client, sql, snapshot).boxed()).await?;
        // Not before: a claim would have to wait for it. A later one has dropped the table, and that is why it cannot be filled.
        self.transaction(fence, &[]).await?.map_err(|error| self.failure(&error))?;
        done.map_err(|error| failure(&error, &filled))
    }

    async fn numbers(&self, state_key: &str, sql: String) -> Result<Vec<Vec<i64>>, Failure> {
        let found = self.long(move |client| async move { client.rows_within(&sql, LONGEST).await }.boxed()).await?;
        let read = |row: Vec<Option<String>>| -> Option<Vec<i64>> {
            row.into_iter().next()??.split_whitespace().map(|number| number.parse().ok()).collect()
        };
        let rows: Option<Vec<Vec<i64>>> =
            found.map_err(|error| self.gone(&error, state_key))?.into_iter().map(read).collect();
        rows.ok_or_else(|| self.failure(&Broken::Malformed.into()))
    }

    async fn page(&self, state_key: &str, sql: String, wires: &[Arrives]) -> Result<Vec<Vec<Cell>>, Failure> {
        let wires = wires.to_vec();
        let found = self.long(move |client| async move { cells(client, &sql, &wires).await }.boxed()).await?;
        found.map_err(|error| self.gone(&error, state_key))
    }

    /// Given again after a lost answer, it finds its own head there: the statements have their effect once.
    async fn commit(&self, commit: Commit<'_>, statements: &[Statement], _again: bool) -> Result<(), Failure> {
        self.state.commit_with(commit, statements).await
    }
}
