//! Reading a model: one SELECT in one read-only snapshot, row by row as the server sends them.
//!
//! When the consumer drops the stream, the reader has the server kill the query.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backflow_core::code::{Code, Failure};
use backflow_core::encode::Encoder;
use tokio::sync::OwnedRwLockReadGuard;

use super::client::{Answer, Client, Error};
use super::connect::{Connector, LONGEST, end};
use super::errors;
use super::types::{Encoded, Wire, encode};
use super::wire::Fields;
use crate::batch::{Batch, BatchReader, End, Outlet};
use crate::rest::compose::Composed;

/// How long the server may take to take note of a kill: the run waits for it before it ends.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// One SELECT, ready to run on a connection in a snapshot.
pub(super) struct Reader {
    /// Held until nothing of it runs on the server.
    pub(super) guard: OwnedRwLockReadGuard<()>,
    pub(super) connector: Arc<Connector>,
    pub(super) client: Client,
    pub(super) model: String,
    pub(super) columns: Vec<String>,
    pub(super) wires: Vec<Wire>,
    pub(super) composed: Composed,
}

#[async_trait]
impl BatchReader for Reader {
    async fn read(&mut self, out: &Outlet) -> Result<Batch, Failure> {
        let failure = |error: Error| errors::query(&error, &self.model, &self.composed, &self.connector);
        let client = &mut self.client;
        let answer = client.start(self.composed.sql.as_bytes(), LONGEST).await.map_err(failure)?;
        let expected = self.wires.len().max(1);
        if !matches!(answer, Answer::Columns(columns) if columns.len() == expected) {
            return Err(unreadable(&self.model, None));
        }
        let mut batch = Batch::new(self.wires.len());
        let mut zero_dates = vec![false; self.wires.len()];
        while let Some(row) = client.row(LONGEST).await.map_err(failure)? {
            let mut fields = Fields(&row);
            let mut filling = batch.row();
            for (at, wire) in self.wires.iter().enumerate() {
                match fields.value().ok_or_else(|| unreadable(&self.model, None))? {
                    None => filling.null(),
                    Some(bytes) => {
                        let encoded = filling.push(|out| encode(*wire, bytes, Encoder::new(out)));
                        let encoded = encoded.ok_or_else(|| unreadable(&self.model, self.columns.get(at)))?;
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
            out.put_full(&mut batch).await;
        }
        Ok(batch)
    }

    async fn end(mut self, how: End) {
        if how == End::Whole {
            if end(&mut self.client).await.is_ok() {
                self.connector.give_back(self.client).await;
            }
        } else {
            let thread = self.client.greeting.thread;
            // In the middle of a result it is never used again.
            drop(self.client);
            kill(&self.connector, thread).await;
        }
        drop(self.guard);
    }
}

fn unreadable(model: &str, column: Option<&String>) -> Failure {
    let column = column.map_or_else(String::new, |column| format!(" of column \"{column}\""));
    Failure::new(
        Code::SqlError,
        format!(
            "model \"{model}\": a value{column} arrives in a form that this version does not read; cast it to CHAR in the SQL"
        ),
    )
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
