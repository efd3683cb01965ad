//! Reading a model: one SELECT in one read-only snapshot, row by row as the server sends them.
//!
//! A task of its own owns the connection, so that reading goes on while the consumer works; when the consumer drops the stream, the task has
//! the server kill the query.

use std::sync::Arc;
use std::time::Duration;

use backflow_core::code::{Code, Failure};
use backflow_core::encode::Encoder;
use futures::Stream;
use tokio::sync::{OwnedRwLockReadGuard, mpsc};

use super::client::{Answer, Client, Error};
use super::connect::{Connector, LONGEST, end};
use super::errors;
use super::types::{Encoded, Wire, encode};
use super::wire::Fields;
use crate::batch::Batch;
use crate::rest::compose::Composed;

/// How long the server may take to take note of a kill: the run waits for it before it ends.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// One SELECT, ready to run on a connection in a snapshot.
pub(super) struct Reader {
    /// Held until nothing of it runs on the server.
    pub(super) guard: OwnedRwLockReadGuard<()>,
    pub(super) connector: Arc<Connector>,
    pub(super) client: Client,
    pub(super) read: Read,
}

/// What is read.
pub(super) struct Read {
    pub(super) model: String,
    pub(super) columns: Vec<String>,
    pub(super) wires: Vec<Wire>,
    pub(super) composed: Composed,
}

impl Reader {
    /// Starts the task and returns what it reads.
    pub(super) fn start(self) -> impl Stream<Item = Result<Batch, Failure>> + Send + use<> {
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(self.run(sender));
        futures::stream::unfold(receiver, |mut receiver| async move {
            let item = receiver.recv().await?;
            Some((item, receiver))
        })
    }

    async fn run(mut self, sender: mpsc::Sender<Result<Batch, Failure>>) {
        let thread = self.client.greeting.thread;
        let result = tokio::select! {
            // Dropped within a result, the connection is closed below, never used again.
            biased;
            () = sender.closed() => None,
            result = self.read.rows(&mut self.client, &self.connector, &sender) => Some(result),
        };
        match result {
            Some(Ok(last)) => {
                // The snapshot ends before the consumer sees the end.
                if end(&mut self.client).await.is_ok() {
                    self.connector.give_back(self.client).await;
                }
                if !last.is_empty() {
                    let _ = sender.send(Ok(last)).await;
                }
            }
            Some(Err(failure)) => {
                drop(self.client);
                let _ = sender.send(Err(failure)).await;
                kill(&self.connector, thread).await;
            }
            None => {
                kill(&self.connector, thread).await;
                drop(self.client);
            }
        }
        drop(self.guard);
    }
}

impl Read {
    /// Sends all batches but the last, which it returns.
    async fn rows(
        &self,
        client: &mut Client,
        connector: &Connector,
        sender: &mpsc::Sender<Result<Batch, Failure>>,
    ) -> Result<Batch, Failure> {
        let failure = |error: Error| errors::query(&error, &self.model, &self.composed, connector);
        let answer = client.start(self.composed.sql.as_bytes(), LONGEST).await.map_err(failure)?;
        let expected = self.wires.len().max(1);
        if !matches!(answer, Answer::Columns(columns) if columns.len() == expected) {
            return Err(self.unreadable(None));
        }
        let mut batch = Batch::new(self.wires.len());
        let mut zero_dates = vec![false; self.wires.len()];
        while let Some(row) = client.row(LONGEST).await.map_err(failure)? {
            let mut fields = Fields(&row);
            let mut filling = batch.row();
            for (at, wire) in self.wires.iter().enumerate() {
                match fields.value().ok_or_else(|| self.unreadable(None))? {
                    None => filling.null(),
                    Some(bytes) => {
                        let encoded = filling.push(|out| encode(*wire, bytes, Encoder::new(out)));
                        let encoded = encoded.ok_or_else(|| self.unreadable(Some(at)))?;
                        if encoded == Encoded::ZeroDate && !std::mem::replace(&mut zero_dates[at], true) {
                            tracing::warn!(
                                model = self.model,
                                column = self.columns[at],
                                "A date of zeros is read as NULL."
                            );
                        }
                    }
                }
            }
            filling.finish();
            if batch.is_full() {
                // A closed channel ends the task at its other branch.
                let _ = sender.send(Ok(batch.take())).await;
            }
        }
        Ok(batch)
    }

    fn unreadable(&self, at: Option<usize>) -> Failure {
        let column = at.and_then(|at| self.columns.get(at));
        let column = column.map_or_else(String::new, |column| format!(" of column \"{column}\""));
        let model = &self.model;
        Failure::new(
            Code::SqlError,
            format!(
                "model \"{model}\": a value{column} arrives in a form that this version does not read; cast it to CHAR in the SQL"
            ),
        )
    }
}

/// Asks the server to stop what a connection does: it may compute for hours before it notices that nobody reads.
async fn kill(connector: &Connector, thread: u32) {
    let killed = async {
        let mut client = connector.connect().await.ok()?;
        // That it has ended already is no error to anybody.
        let result = client.run(format!("KILL QUERY {thread}").as_bytes()).await;
        matches!(&result, Ok(_) | Err(Error::Server(_))).then(|| ())?;
        connector.give_back(client).await;
        Some(())
    };
    if !matches!(tokio::time::timeout(KILL_TIMEOUT, killed).await, Ok(Some(()))) {
        tracing::warn!("the query could not be killed; the server ends it when it next sends rows");
    }
}
