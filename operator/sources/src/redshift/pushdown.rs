//! The pushdown engine's way to Redshift.
//!
//! What moves entries is a transaction that locks the table `turns` first, as every claim does, and then looks whether the newest head of the
//! state is the one that this process wrote last. A delta is made without that lock, because to make one may take hours; the lock comes
//! before its transaction ends, and the head is looked at by another session: the snapshot of this one is as old as what it has read.

use std::sync::Arc;

use async_trait::async_trait;
use backflow_core::cell::{Cell, Column};
use backflow_core::code::{Code, Failure};
use backflow_core::state::Commit;
use backflow_postgres::Connector;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use sqlx::PgConnection;
use tokio::sync::oneshot;

use super::connect::{self, run, texts};
use super::rows::cancel;
use super::state::{CONFLICTS, Change, pause};
use super::types::Wire;
use super::{RedshiftWarehouse, errors, forms};
use crate::diff::pushdown::dialect::Dialect as _;
use crate::diff::pushdown::dialects::redshift::{Redshift, spoken};
use crate::diff::pushdown::statement::{Around, Statement};
use crate::diff::pushdown::transport::{Fence, Plain, Reading, Table, Transport};
use crate::diff::pushdown::typed::{KeyForm, Typed};
use crate::model;
use crate::rest::compose::Composed;
use crate::rest::row::Wire as _;
use crate::sql::Lexis;
use crate::state_rows::fenced;

/// Work on a session that is given back.
type Work<T, E> = BoxFuture<'static, Result<(PgConnection, T), E>>;

impl RedshiftWarehouse {
    /// Runs `work` on a task of its own: when the future of this is dropped, the server cancels what it does.
    async fn long<T: Send + 'static, E: Send + 'static>(
        &self,
        (connector, mut connection): (Arc<Connector>, PgConnection),
        work: impl FnOnce(PgConnection) -> Work<T, E> + Send + 'static,
    ) -> Result<Result<T, E>, Failure> {
        let backend = connect::backend(&mut connection).await.map_err(|error| errors::own(&error, &self.sessions))?;
        let reading = Arc::clone(&self.reading).read_owned().await;
        let sessions = Arc::clone(&self.sessions);
        let (mut sender, receiver) = oneshot::channel();
        tokio::spawn(async move {
            let ended = tokio::select! {
                // Dropping the work closes its connection in the middle of what it does.
                biased;
                () = sender.closed() => None,
                ended = work(connection) => Some(ended),
            };
            let result = match ended {
                None => return cancel(&sessions, backend).await,
                Some(Ok((connection, value))) => {
                    connector.give_back(connection).await;
                    Ok(value)
                }
                Some(Err(error)) => Err(error),
            };
            let _ = sender.send(result);
            drop(reading);
        });
        receiver.await.map_err(|_| {
            Failure::new(
                Code::Internal,
                "a statement ended without an answer; this is an error of Backflow, please report it",
            )
        })
    }

    /// The head that a claim wrote last; `None` in a DryRun, which has none.
    fn last_head(&self, fence: Fence<'_>) -> Result<Option<String>, Failure> {
        let Some(epoch) = fence.claim else { return Ok(None) };
        self.state.last_head(fence.state_key, epoch).map(Some).ok_or_else(|| fenced(fence.state_key))
    }

    /// All rows of a statement over tables that a later claim drops.
    async fn read(&self, state_key: &str, sql: String) -> Result<Vec<Vec<Option<String>>>, Failure> {
        let rows = self.long(self.sessions.take_for_entries().await?, |mut connection| {
            async move {
                let rows = texts(&mut connection, sql).await?;
                Ok::<_, sqlx::Error>((connection, rows))
            }
            .boxed()
        });
        rows.await?
            .map_err(|error| if errors::is_missing(&error) { fenced(state_key) } else { self.table.failure(&error) })
    }
}

#[async_trait]
impl Transport for RedshiftWarehouse {
    type Dialect = Redshift;
    type Wire = Wire;

    fn dialect(&self) -> &Redshift {
        &Redshift
    }

    fn table(&self, name: &str) -> String {
        Redshift.table(&self.table.sql.schema, name)
    }

    fn wire(&self, plain: Plain) -> Wire {
        match plain {
            Plain::Int => Wire::Int,
            Plain::Bool => Wire::Bool,
            Plain::Bytes => Wire::Hex,
            Plain::Text => Wire::Text,
        }
    }

    fn key_form(&self, class: &str) -> Option<KeyForm<Wire>> {
        forms::form(class)
    }

    async fn typed(&self, reading: Reading<'_>, columns: &[Column]) -> Result<Vec<Typed<Wire>>, Failure> {
        let Reading { model, filter } = reading;
        let (connector, mut connection) = self.sessions.take_for_model().await?;
        let described = self.described(&mut connection, model, filter).await?;
        connector.give_back(connection).await;
        let said = columns.iter().map(|column| {
            let known = described.iter().find(|known| known.name == column.name).ok_or_else(|| {
                model::unknown_column(model, &column.name, described.iter().map(|column| column.name.as_str()))
            })?;
            forms::typed(known).ok_or_else(|| errors::unread(&model.name, known))
        });
        said.collect()
    }

    async fn tables(&self, state_key: &str) -> Result<Vec<Table>, Failure> {
        self.table.may_make_tables().await?;
        self.table.own_tables(state_key).await
    }

    async fn fenced(&self, fence: Fence<'_>, statements: Vec<Statement>) -> Result<(), Failure> {
        let head = self.last_head(fence)?;
        let messages: Arc<[String]> = statements.iter().flat_map(spoken).collect();
        let mut attempt = 1;
        loop {
            let (table, head, messages) = (Arc::clone(&self.table), head.clone(), Arc::clone(&messages));
            let changed = self.long(self.sessions.take_for_entries().await?, move |mut connection| {
                async move {
                    let change =
                        head.as_deref().map_or(Change::Apart(&messages), |head| Change::While(head, &messages));
                    let so = table.changed(&mut connection, &change).await?;
                    Ok::<_, sqlx::Error>((connection, so))
                }
                .boxed()
            });
            match changed.await? {
                Ok(true) => return Ok(()),
                Ok(false) => return Err(fenced(fence.state_key)),
                Err(error) if errors::is_conflict(&error) && attempt < CONFLICTS => {
                    attempt += 1;
                    pause().await;
                }
                Err(error) => return Err(self.table.failure(&error)),
            }
        }
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
        let head = self.last_head(fence)?;
        let composed = Composed::around(model, Lexis::Redshift, &around, filter)?;
        let (table, sessions) = (Arc::clone(&self.table), Arc::clone(&self.sessions));
        let (model, state_key) = (model.name.clone(), fence.state_key.to_owned());
        let made = self.long(self.sessions.take_for_model().await?, move |mut connection| {
            async move {
                let failure = |error: sqlx::Error| table.failure(&error);
                for sql in ["BEGIN".to_owned()].into_iter().chain(first) {
                    run(&mut connection, sql).await.map_err(failure)?;
                }
                run(&mut connection, composed.sql.as_str())
                    .await
                    .map_err(|error| errors::query(&error, &model, &composed, &composed.sql, &sessions))?;
                for sql in then {
                    run(&mut connection, sql).await.map_err(failure)?;
                }
                if let Some(head) = head {
                    run(&mut connection, table.sql.lock()).await.map_err(failure)?;
                    let (connector, mut other) = sessions.take().await?;
                    let newest = table.newest(&mut other, &head).await.map_err(failure)?;
                    connector.give_back(other).await;
                    if newest.as_deref() != Some(head.as_str()) {
                        return Err(fenced(&state_key));
                    }
                }
                run(&mut connection, "COMMIT").await.map_err(failure)?;
                Ok((connection, ()))
            }
            .boxed()
        });
        made.await?
    }

    async fn numbers(&self, state_key: &str, sql: String) -> Result<Vec<Vec<i64>>, Failure> {
        let numbers = |row: Vec<Option<String>>| {
            let line = row.into_iter().next().flatten()?;
            line.split(',').map(|number| number.parse().ok()).collect::<Option<Vec<i64>>>()
        };
        let rows: Option<_> = self.read(state_key, sql).await?.into_iter().map(numbers).collect();
        rows.ok_or_else(|| {
            Failure::new(
                Code::Internal,
                "the warehouse counts in a form that this version does not read; please report it",
            )
        })
    }

    async fn page(&self, state_key: &str, sql: String, wires: &[Wire]) -> Result<Vec<Vec<Cell>>, Failure> {
        let cell = |(wire, text): (&Wire, Option<String>)| text.map_or(Some(Cell::Null), |text| wire.cell(&text));
        let row = |row: Vec<Option<String>>| wires.iter().zip(row).map(cell).collect::<Option<Vec<Cell>>>();
        let rows: Option<_> = self.read(state_key, sql).await?.into_iter().map(row).collect();
        rows.ok_or_else(|| {
            Failure::new(
                Code::SqlError,
                "a value of the model arrives in a form that this version does not read, such as a year before 1; cast its column to varchar \
                 in the SQL",
            )
        })
    }

    async fn commit(&self, commit: Commit<'_>, statements: &[Statement], _again: bool) -> Result<(), Failure> {
        self.state.commit_with(commit, statements).await
    }
}
