//! Reading a model: one query in a transaction that only reads, whose rows the server sends as they come.
//!
//! There is no cursor: Redshift keeps a cursor's whole result on its leader node before the first row. When the consumer drops the stream,
//! the query is cancelled.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backflow_core::code::Failure;
use backflow_postgres::Connector;
use futures::TryStreamExt as _;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, Row as _, ValueRef as _};
use tokio::sync::OwnedRwLockReadGuard;

use super::connect::{Sessions, run, texts};
use super::errors;
use super::types::Wire;
use crate::batch::{Batch, BatchReader, End, Outlet};
use crate::rest::compose::Composed;
use crate::rest::row::{Decoder, Value};

/// How long the server may take to take note of a cancel: the run waits for it before it ends.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(10);

/// A read of a model, on a connection in a transaction.
pub(super) struct Reader {
    /// Held until nothing of it runs on the server.
    pub(super) reading: OwnedRwLockReadGuard<()>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) connector: Arc<Connector>,
    pub(super) connection: PgConnection,
    /// Of `connection`: what a cancel names.
    pub(super) backend: i32,
    pub(super) model: String,
    pub(super) columns: Vec<String>,
    pub(super) wires: Vec<Wire>,
    pub(super) composed: Composed,
    /// The server may still compute or send.
    pub(super) running: bool,
}

#[async_trait]
impl BatchReader for Reader {
    async fn read(&mut self, out: &Outlet) -> Result<Batch, Failure> {
        let Self { sessions, connection, model, columns, wires, composed, running, .. } = self;
        let failure = |error| errors::query(&error, model, composed, &composed.sql, sessions);
        let mut decoder = Decoder::new(model, columns, wires);
        *running = true;
        let mut stream = sqlx::raw_sql(AssertSqlSafe(composed.sql.clone())).fetch(connection);
        while let Some(row) = stream.try_next().await.inspect_err(|_| *running = false).map_err(failure)? {
            decoder.row(values(&row))?;
            decoder.pass_on(out).await;
        }
        drop(stream);
        *running = false;
        Ok(decoder.rest(out).await)
    }

    async fn end(mut self, end: End) {
        match end {
            End::Whole => {
                if run(&mut self.connection, "ROLLBACK").await.is_ok() {
                    self.connector.give_back(self.connection).await;
                }
            }
            // The connection may be in the middle of a message: it is never used again.
            End::Failed | End::Unwanted => {
                drop(self.connection);
                if self.running {
                    cancel(&self.sessions, self.backend).await;
                }
            }
        }
        drop(self.reading);
    }
}

/// The values of a row, as they arrived.
fn values(row: &PgRow) -> Option<Vec<Value<'_>>> {
    let value = |at| {
        let value = row.try_get_raw(at).ok()?;
        let text = if value.is_null() { None } else { Some(Cow::Borrowed(value.as_str().ok()?)) };
        Some(Value(text))
    };
    (0..row.len()).map(value).collect()
}

/// Asks the server to stop what a process of its does.
pub(super) async fn cancel(sessions: &Sessions, backend: i32) {
    let cancelled = async {
        let (connector, mut connection) = sessions.take().await.ok()?;
        texts(&mut connection, format!("SELECT pg_cancel_backend({backend})")).await.ok()?;
        connector.give_back(connection).await;
        Some(())
    };
    if !matches!(tokio::time::timeout(CANCEL_TIMEOUT, cancelled).await, Ok(Some(()))) {
        tracing::warn!("the query could not be cancelled; the server ends it when it next sends rows");
    }
}
