//! Reading a model: `COPY … TO STDOUT (FORMAT binary)` in one read-only snapshot.
//!
//! COPY streams: neither side holds more than a batch. When the consumer drops the stream, the reader has the server cancel the query.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backflow_core::code::{Code, Failure};
use backflow_core::encode::Encoder;
use backflow_postgres::{Connector, end};
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use sqlx::PgConnection;
use tokio::sync::OwnedRwLockReadGuard;

use super::compose::Composed;
use super::decode::{Input, encode};
use super::errors;
use super::types::Wire;
use crate::batch::{Batch, BatchReader, End, Outlet};

/// `PGCOPY\n\xff\r\n\0`, flags, length of the header's extension.
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// How long the server may take to take note of a cancel: the run waits for it before it ends.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(10);

/// One COPY, ready to run on a connection in a read-only transaction.
pub(crate) struct Reader {
    /// Held until nothing of it runs on the server.
    pub(crate) reading: OwnedRwLockReadGuard<()>,
    pub(crate) connector: Arc<Connector>,
    pub(crate) connection: PgConnection,
    /// Of `connection`: what a cancel names.
    pub(crate) backend: i32,
    pub(crate) model: String,
    pub(crate) columns: Vec<String>,
    pub(crate) wires: Vec<Wire>,
    pub(crate) composed: Composed,
}

#[async_trait]
impl BatchReader for Reader {
    async fn read(&mut self, out: &Outlet) -> Result<Batch, Failure> {
        let target = &self.connector.target;
        let failure = |error: sqlx::Error| errors::query(&error, &self.model, &self.composed, target);
        let mut stream = self.connection.copy_out_raw(&self.composed.sql).await.map_err(failure)?;
        let mut parser = Parser::default();
        let mut batch = Batch::new(self.wires.len());
        while let Some(chunk) = stream.next().await {
            let mut chunk = parser.join(chunk.map_err(failure)?);
            loop {
                match parser.row(&mut chunk, &self.wires, &mut batch) {
                    Parsed::Row => out.put_full(&mut batch).await,
                    Parsed::More => break,
                    Parsed::Wrong(at) => return Err(unreadable(&self.model, self.columns.get(at))),
                }
            }
            parser.keep(&chunk);
        }
        if !parser.ended {
            let message =
                format!("{} ended the rows of model \"{}\" early; it is tried again", target.address(), self.model);
            return Err(Failure::new(Code::ConnectionFailed, message));
        }
        Ok(batch)
    }

    async fn end(mut self, how: End) {
        match how {
            End::Whole => {
                let _ = end(&mut self.connection, "ROLLBACK").await;
                self.connector.give_back(self.connection).await;
            }
            // The connection is in the middle of a message: it is never used again.
            End::Failed => drop(self.connection),
            End::Unwanted => {
                drop(self.connection);
                cancel(&self.connector, self.backend).await;
            }
        }
        drop(self.reading);
    }
}

/// Runs a COPY of a bounded number of rows and returns them; `None` if they are not in the form that `wires` say.
pub(super) async fn copy_all(
    connection: &mut PgConnection,
    sql: &str,
    wires: &[Wire],
) -> Result<Option<Batch>, sqlx::Error> {
    let mut stream = connection.copy_out_raw(sql).await?;
    let mut parser = Parser::default();
    let mut rows = Batch::new(wires.len());
    let mut readable = true;
    while let Some(chunk) = stream.next().await {
        let mut chunk = parser.join(chunk?);
        // Also what cannot be read is received, or the connection could not be used again.
        while readable {
            match parser.row(&mut chunk, wires, &mut rows) {
                Parsed::Row => {}
                Parsed::More => break,
                Parsed::Wrong(_) => readable = false,
            }
        }
        parser.keep(&chunk);
    }
    Ok((readable && parser.ended).then_some(rows))
}

fn unreadable(model: &str, column: Option<&String>) -> Failure {
    let column = column.map_or_else(String::new, |column| format!(" of column \"{column}\""));
    Failure::new(
        Code::SqlError,
        format!(
            "model \"{model}\": a value{column} arrives in a form that this version does not read; cast it to text in the SQL"
        ),
    )
}

/// Asks the server to stop what a backend does: it may compute for hours before it notices that nobody reads.
pub(super) async fn cancel(connector: &Connector, backend: i32) {
    let Ok(mut connection) = connector.take().await else {
        tracing::warn!("the query could not be cancelled: no connection; the server ends it when it next sends rows");
        return;
    };
    let query = sqlx::query("SELECT pg_cancel_backend($1)").bind(backend).persistent(false);
    match tokio::time::timeout(CANCEL_TIMEOUT, query.execute(&mut connection)).await {
        Ok(Ok(_)) => connector.give_back(connection).await,
        _ => tracing::warn!("the query could not be cancelled; the server ends it when it next sends rows"),
    }
}

/// COPY's binary stream: its chunks end where the server likes.
#[derive(Default)]
struct Parser {
    pending: BytesMut,
    header: bool,
    ended: bool,
    /// For values whose text has to be made.
    text: String,
}

enum Parsed {
    /// It is in the batch.
    Row,
    /// The chunk ends within a row, or with one.
    More,
    /// The column at this index, or the frame itself, is not as it should be.
    Wrong(usize),
}

impl Parser {
    /// What is left of the last chunk, and this one behind it.
    fn join(&mut self, chunk: Bytes) -> Bytes {
        if self.pending.is_empty() {
            return chunk;
        }
        self.pending.extend_from_slice(&chunk);
        self.pending.split().freeze()
    }

    fn keep(&mut self, rest: &Bytes) {
        self.pending.extend_from_slice(rest);
    }

    fn row(&mut self, chunk: &mut Bytes, wires: &[Wire], batch: &mut Batch) -> Parsed {
        if !self.header {
            match header(chunk) {
                Some(Ok(length)) => {
                    let _ = chunk.split_to(length);
                    self.header = true;
                }
                Some(Err(())) => return Parsed::Wrong(usize::MAX),
                None => return Parsed::More,
            }
        }
        let mut input = Input(chunk);
        let before = input.0.len();
        let Some(count) = input.short() else { return Parsed::More };
        if count == -1 {
            self.ended = true;
            chunk.clear();
            return Parsed::More;
        }
        if usize::try_from(count) != Ok(wires.len()) {
            return Parsed::Wrong(usize::MAX);
        }
        let mut row = batch.row();
        for (at, wire) in wires.iter().enumerate() {
            match input.value() {
                None => return Parsed::More,
                Some(None) => row.null(),
                Some(Some(bytes)) => {
                    let text = &mut self.text;
                    if row.push(|out| encode(wire, bytes, text, Encoder::new(out))).is_none() {
                        return Parsed::Wrong(at);
                    }
                }
            }
        }
        row.finish();
        let used = before - input.0.len();
        let _ = chunk.split_to(used);
        Parsed::Row
    }
}

/// Length of the header, once all of it is there.
fn header(chunk: &[u8]) -> Option<Result<usize, ()>> {
    let mut input = Input(chunk);
    if input.take(SIGNATURE.len())? != SIGNATURE {
        return Some(Err(()));
    }
    let _flags = input.int()?;
    let Ok(extension) = usize::try_from(input.int()?) else { return Some(Err(())) };
    input.take(extension)?;
    Some(Ok(chunk.len() - input.0.len()))
}

#[cfg(test)]
mod tests {
    use backflow_core::cell::Cell;

    use super::*;

    #[test]
    fn rows_are_found_however_the_stream_is_cut() {
        let mut whole = SIGNATURE.to_vec();
        whole.extend_from_slice(&[0; 8]);
        for value in [7_i32, 8] {
            whole.extend_from_slice(&[0, 2, 0, 0, 0, 4]);
            whole.extend_from_slice(&value.to_be_bytes());
            whole.extend_from_slice(&(-1_i32).to_be_bytes());
        }
        whole.extend_from_slice(&[0xff, 0xff]);
        for cut in 0..=whole.len() {
            let mut parser = Parser::default();
            let mut rows = Batch::new(2);
            for part in [&whole[..cut], &whole[cut..]] {
                let mut chunk = parser.join(Bytes::copy_from_slice(part));
                while let Parsed::Row = parser.row(&mut chunk, &[Wire::Int4, Wire::Text], &mut rows) {}
                parser.keep(&chunk);
            }
            assert!(parser.ended, "cut at {cut}");
            let rows: Vec<_> = rows.into_iter().collect();
            assert_eq!(rows, [vec![Cell::Int(7), Cell::Null], vec![Cell::Int(8), Cell::Null]]);
        }
    }
}
