//! Reading a model: one SELECT in one read transaction, which is SQLite's snapshot.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use backflow_core::code::{Code, Failure};
use futures::StreamExt as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use super::cells::{Declared, cell};
use super::errors;
use crate::batch::{Batch, BatchReader, End, Outlet};

/// Virtual machine steps between two looks at whether anybody still reads.
const STEPS: i32 = 10_000;

/// One SELECT, ready to run.
pub(crate) struct Reader {
    pub(crate) connection: SqliteConnection,
    pub(crate) sql: String,
    pub(crate) kinds: Vec<Declared>,
    pub(crate) model: String,
    pub(crate) path: String,
    /// That nobody reads any more.
    pub(crate) stop: Arc<AtomicBool>,
}

#[async_trait]
impl BatchReader for Reader {
    async fn read(&mut self, out: &Outlet) -> Result<Batch, Failure> {
        let failure = |error| errors::query(&error, &self.model, &self.path);
        let stop = Arc::clone(&self.stop);
        let mut handle = self.connection.lock_handle().await.map_err(failure)?;
        handle.set_progress_handler(STEPS, move || !stop.load(Ordering::Relaxed));
        drop(handle);
        let mut stream = sqlx::query(AssertSqlSafe(self.sql.clone())).fetch(&mut self.connection);
        let mut batch = Batch::new(self.kinds.len());
        while let Some(row) = stream.next().await {
            push(&mut batch, &row.map_err(failure)?, &self.kinds).map_err(|_| {
                let message = format!("model \"{}\": a value cannot be read; cast it to text in the SQL", self.model);
                Failure::new(Code::SqlError, message)
            })?;
            out.put_full(&mut batch).await;
        }
        Ok(batch)
    }

    async fn end(self, end: End) {
        if end == End::Unwanted {
            self.stop.store(true, Ordering::Relaxed);
        } else {
            // The read transaction ends: the state is written to the same file.
            let _ = self.connection.close().await;
        }
    }
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
