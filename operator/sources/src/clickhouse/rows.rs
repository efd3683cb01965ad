//! Reading a model: one query, whose rows arrive as elements of one array. They are read by a task of its own, so that reading goes on
//! while the consumer works; when the consumer drops the stream, the task has the server kill the query.

use std::borrow::Cow;
use std::sync::Arc;

use backflow_core::code::{Code, Failure};
use futures::Stream;
use serde_json::value::RawValue;
use tokio::sync::{OwnedRwLockReadGuard, mpsc};

use super::api::{Api, Document, LONGEST, Statement, exception};
use super::errors::{self, Failed};
use super::types::{Wire, cell};
use crate::batch::Batch;
use crate::rest::body::Body;
use crate::rest::compose::Composed;
use crate::rest::scan::{Scanner, Unreadable};

/// Bytes at the end of what arrived, in which an exception is looked for.
const TAIL: usize = 32 << 10;

/// A read of a model that is to begin.
pub(super) struct Reader {
    /// Held until nothing of it runs on the server.
    pub(super) guard: OwnedRwLockReadGuard<()>,
    pub(super) api: Arc<Api>,
    pub(super) statement: Statement,
    pub(super) model: String,
    pub(super) columns: Vec<String>,
    pub(super) wires: Vec<Wire>,
    pub(super) composed: Composed,
}

/// Why a row is not taken.
enum Unfit {
    Document(Unreadable),
    Row(Failure),
}

impl From<Unreadable> for Unfit {
    fn from(unreadable: Unreadable) -> Self {
        Self::Document(unreadable)
    }
}

impl Reader {
    /// Starts the task and returns what it reads.
    pub(super) fn start(self) -> impl Stream<Item = Result<Batch, Failure>> + Send + use<> {
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            let last = tokio::select! {
                biased;
                () = sender.closed() => None,
                last = self.read(&sender) => Some(last),
            };
            match last {
                Some(Ok(last)) if last.is_empty() => {}
                Some(Ok(last)) => drop(sender.send(Ok(last)).await),
                Some(Err(Failed::Sql(error))) => {
                    let failure = errors::query(&error, &self.model, &self.composed, &self.api);
                    let _ = sender.send(Err(failure)).await;
                }
                Some(Err(Failed::Other(failure))) => {
                    let _ = sender.send(Err(failure)).await;
                    self.api.kill(&self.statement.id).await;
                }
                None => self.api.kill(&self.statement.id).await,
            }
            drop(self.guard);
        });
        futures::stream::unfold(receiver, |mut receiver| async move {
            let item = receiver.recv().await?;
            Some((item, receiver))
        })
    }

    /// Sends all batches but the last, which it returns.
    async fn read(&self, sender: &mpsc::Sender<Result<Batch, Failure>>) -> Result<Batch, Failed> {
        let mut body = Body::patient(self.api.send(&self.statement).await?, LONGEST);
        let mut scanner = Scanner::new("data", 1);
        let mut batch = Batch::new(self.wires.len());
        let (mut rows, mut tail) = (0_u64, Vec::new());
        while let Some(piece) = body.next().await.map_err(|_| self.api.service.broken())? {
            keep(&mut tail, &piece);
            let read = scanner.feed::<Unfit>(&piece, |row| {
                rows += 1;
                self.push(row, &mut batch).map_err(Unfit::Row)
            });
            match read {
                Ok(()) => {}
                Err(Unfit::Row(failure)) => return Err(failure.into()),
                Err(Unfit::Document(Unreadable::TooLong)) => {
                    let message =
                        format!("model \"{}\": a row has more than 64 MiB; leave long columns out", self.model);
                    return Err(Failure::new(Code::LimitExceeded, message).into());
                }
                Err(Unfit::Document(Unreadable::Malformed)) => {
                    while let Ok(Some(piece)) = body.next().await {
                        keep(&mut tail, &piece);
                    }
                    let strange = || self.api.service.strange(200).into();
                    return Err(exception(&tail).map_or_else(strange, Failed::Sql));
                }
            }
            if batch.is_full() {
                // A closed channel ends the task at its other branch.
                let _ = sender.send(Ok(batch.take())).await;
            }
        }
        let broken = || self.api.service.broken();
        let Some(around) = scanner.around() else {
            return Err(exception(&tail).map_or_else(|| broken().into(), Failed::Sql));
        };
        let document: Document = serde_json::from_slice(&around).map_err(|_| self.api.service.strange(200))?;
        if let Some(text) = &document.exception {
            return Err(exception(text.as_bytes()).map_or_else(|| broken().into(), Failed::Sql));
        }
        if document.rows != rows { Err(broken().into()) } else { Ok(batch) }
    }

    fn push(&self, row: &[u8], batch: &mut Batch) -> Result<(), Failure> {
        let text = std::str::from_utf8(row).map_err(|_| self.no_text(row))?;
        let values: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| self.unreadable(None))?;
        // A read without columns has one, which is NULL.
        if values.len() != self.wires.len().max(1) {
            return Err(self.unreadable(None));
        }
        let mut filling = batch.row();
        for (at, (wire, value)) in self.wires.iter().zip(&values).enumerate() {
            let cell = cell(*wire, value.get()).ok_or_else(|| self.unreadable(Some(at)))?;
            filling.push(|out| cell.encode(out));
        }
        filling.finish();
        Ok(())
    }

    /// A String holds any bytes.
    fn no_text(&self, row: &[u8]) -> Failure {
        let text: Cow<'_, str> = String::from_utf8_lossy(row);
        let values: Vec<&RawValue> = serde_json::from_str(&text).unwrap_or_default();
        let at = values.iter().position(|value| value.get().contains(char::REPLACEMENT_CHARACTER));
        let (model, column) = (&self.model, self.column(at));
        let message = format!(
            "model \"{model}\": a value{column} is no text in UTF-8; read it as base64Encode(…) or hex(…) in the SQL"
        );
        Failure::new(Code::SqlError, message)
    }

    fn unreadable(&self, at: Option<usize>) -> Failure {
        let (model, column) = (&self.model, self.column(at));
        Failure::new(
            Code::SqlError,
            format!(
                "model \"{model}\": a value{column} arrives in a form that this version does not read; cast it to String in the SQL"
            ),
        )
    }

    fn column(&self, at: Option<usize>) -> String {
        let column = at.and_then(|at| self.columns.get(at));
        column.map_or_else(String::new, |column| format!(" of column \"{column}\""))
    }
}

fn keep(tail: &mut Vec<u8>, piece: &[u8]) {
    tail.extend_from_slice(&piece[piece.len().saturating_sub(TAIL)..]);
    let surplus = tail.len().saturating_sub(TAIL);
    tail.drain(..surplus);
}
