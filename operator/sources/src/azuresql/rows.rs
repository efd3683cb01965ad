//! Reading a model: one SELECT, row by row as the server sends them.
//!
//! When the consumer drops the stream, the reader asks the server to stop, and waits until it has.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backflow_core::code::{Code, Failure};
use backflow_core::encode::Encoder;
use tokio::sync::OwnedRwLockReadGuard;

use super::client::{Answer, Error};
use super::connect::{Connector, LONGEST, Session};
use super::errors;
use super::values::{encode, wire};
use super::{SNAPSHOT, USUAL};
use crate::batch::{Batch, BatchReader, End, Outlet};
use crate::rest::compose::Composed;

/// How long the server may take to stop: the run waits for it before it ends.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// One SELECT, ready to run.
pub(super) struct Reader {
    /// Held until nothing of it runs on the server.
    pub(super) guard: OwnedRwLockReadGuard<()>,
    pub(super) connector: Arc<Connector>,
    pub(super) session: Session,
    /// It reads in a snapshot.
    pub(super) snapshot: bool,
    pub(super) model: String,
    pub(super) columns: Vec<String>,
    pub(super) composed: Composed,
}

impl Reader {
    async fn rows(&mut self, out: &Outlet) -> Result<Batch, Failure> {
        let user = self.session.product.user.clone();
        let failure = |error: Error| errors::query(&error, &self.model, &self.composed, &user, &self.connector);
        let client = &mut self.session.client;
        if self.snapshot {
            client.run(SNAPSHOT).await.map_err(failure)?;
        }
        let answer = client.start(&self.composed.sql, LONGEST).await.map_err(failure)?;
        let unreadable = |column: Option<&String>| unreadable(&self.model, column);
        let Answer::Columns(columns) = answer else { return Err(unreadable(None)) };
        if columns.len() != self.columns.len().max(1) {
            return Err(unreadable(None));
        }
        // A model without a column that is used has a column of NULLs, which nobody wants.
        let names = self.columns.iter();
        let wires =
            names.clone().zip(&columns).map(|(name, column)| wire(&column.kind).ok_or_else(|| unreadable(Some(name))));
        let wires = wires.collect::<Result<Vec<_>, _>>()?;
        let mut batch = Batch::new(wires.len());
        while let Some(row) = client.row(LONGEST).await.map_err(failure)? {
            let mut filling = batch.row();
            for ((wire, name), value) in wires.iter().zip(names.clone()).zip(row.values(&columns)) {
                match value.ok_or_else(|| unreadable(None))? {
                    None => filling.null(),
                    Some(value) => {
                        let encoded = filling.push(|out| encode(*wire, &value.bytes(), Encoder::new(out)));
                        encoded.ok_or_else(|| unreadable(Some(name)))?;
                    }
                }
            }
            filling.finish();
            out.put_full(&mut batch).await;
        }
        Ok(batch)
    }
}

#[async_trait]
impl BatchReader for Reader {
    async fn read(&mut self, out: &Outlet) -> Result<Batch, Failure> {
        let model = self.model.clone();
        tokio::time::timeout(LONGEST, self.rows(out)).await.unwrap_or_else(|_| {
            let hours = LONGEST.as_secs() / 3600;
            let message = format!("model \"{model}\": its query takes more than {hours} hours; make it read less");
            Err(Failure::new(Code::LimitExceeded, message))
        })
    }

    async fn end(mut self, how: End) {
        let client = &mut self.session.client;
        match how {
            End::Whole if !self.snapshot || client.run(USUAL).await.is_ok() => {
                self.connector.give_back(self.session).await;
            }
            End::Whole => {}
            // If it does not stop, the end of the connection stops it.
            End::Failed | End::Unwanted => {
                if client.stop(STOP_TIMEOUT).await.is_err() && how == End::Unwanted {
                    tracing::warn!("the query could not be stopped; the server ends it when it next sends rows");
                }
            }
        }
        drop(self.guard);
    }
}

fn unreadable(model: &str, column: Option<&String>) -> Failure {
    let column = column.map_or_else(String::new, |column| format!(" of column \"{column}\""));
    Failure::new(
        Code::SqlError,
        format!(
            "model \"{model}\": a value{column} arrives in a form that this version does not read; cast it to nvarchar in the SQL"
        ),
    )
}
