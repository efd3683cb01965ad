//! Reading a model: one SELECT in one read transaction, which is SQLite's snapshot.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use backflow_core::code::{Code, Failure};
use futures::{Stream, StreamExt};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Connection, Row};
use tokio::sync::mpsc;

use super::cells::{Declared, cell};
use super::errors;
use crate::batch::Batch;

/// Virtual machine steps between two looks at whether anybody still reads.
const STEPS: i32 = 10_000;

/// One SELECT, ready to run.
pub(crate) struct Reader {
    pub(crate) connection: SqliteConnection,
    pub(crate) sql: String,
    pub(crate) kinds: Vec<Declared>,
    pub(crate) model: String,
    pub(crate) path: String,
}

impl Reader {
    /// Starts a task that reads, and returns what it reads.
    pub(crate) fn start(self) -> impl Stream<Item = Result<Batch, Failure>> + Send + use<> {
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(self.run(sender));
        futures::stream::unfold(receiver, |mut receiver| async move {
            let item = receiver.recv().await?;
            Some((item, receiver))
        })
    }

    async fn run(mut self, sender: mpsc::Sender<Result<Batch, Failure>>) {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        match self.connection.lock_handle().await {
            Ok(mut handle) => handle.set_progress_handler(STEPS, move || !stopped.load(Ordering::Relaxed)),
            Err(error) => {
                let _ = sender.send(Err(errors::query(&error, &self.model, &self.path))).await;
                return;
            }
        }
        let result = tokio::select! {
            biased;
            () = sender.closed() => {
                stop.store(true, Ordering::Relaxed);
                return;
            }
            result = read(&mut self.connection, &self.sql, &self.kinds, &self.model, &self.path, &sender) => result,
        };
        // The read transaction ends before the consumer sees the end: the state is written to the same file.
        let _ = self.connection.close().await;
        match result {
            Ok(last) if last.is_empty() => {}
            result => {
                let _ = sender.send(result).await;
            }
        }
    }
}

async fn read(
    connection: &mut SqliteConnection,
    sql: &str,
    kinds: &[Declared],
    model: &str,
    path: &str,
    sender: &mpsc::Sender<Result<Batch, Failure>>,
) -> Result<Batch, Failure> {
    let mut stream = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch(connection);
    let mut batch = Batch::new(kinds.len());
    while let Some(row) = stream.next().await {
        let row = row.map_err(|error| errors::query(&error, model, path))?;
        push(&mut batch, &row, kinds).map_err(|_| {
            Failure::new(
                Code::SqlError,
                format!("model \"{model}\": a value cannot be read; cast it to text in the SQL"),
            )
        })?;
        if batch.is_full() {
            // A closed channel ends the task at its other branch.
            let _ = sender.send(Ok(batch.take())).await;
        }
    }
    Ok(batch)
}

fn push(batch: &mut Batch, row: &SqliteRow, kinds: &[Declared]) -> Result<(), sqlx::error::BoxDynError> {
    let mut filling = batch.row();
    for (at, kind) in kinds.iter().enumerate() {
        let cell = cell(*kind, row.try_get_raw(at)?)?;
        filling.push(|out| cell.encode(out));
    }
    filling.finish();
    Ok(())
}
