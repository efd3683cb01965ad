//! Reading a model: one query, whose result the service keeps as pages for a day. They are read one after another by a task of its own, so
//! that reading goes on while the consumer works.

use std::borrow::Cow;
use std::sync::Arc;

use backflow_core::cell::Cell;
use backflow_core::code::{Code, Failure};
use futures::Stream;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::api::{Api, Page};
use super::errors::{self, Failed};
use super::running::Running;
use super::types::{Wire, cell};
use crate::batch::Batch;
use crate::rest::compose::Composed;

type Sender = mpsc::Sender<Result<Batch, Failure>>;

/// `{"f": [{"v": "1"}, {"v": null}]}`.
#[derive(Deserialize)]
struct Row<'a> {
    #[serde(borrow)]
    f: Vec<Field<'a>>,
}

#[derive(Deserialize)]
struct Field<'a> {
    #[serde(borrow)]
    v: Option<Cow<'a, str>>,
}

/// The values of a row, as they arrived.
pub(super) fn values(row: &[u8]) -> Option<Vec<Option<Cow<'_, str>>>> {
    let row: Row<'_> = serde_json::from_slice(row).ok()?;
    Some(row.f.into_iter().map(|field| field.v).collect())
}

/// A read of a model that has begun.
pub(super) struct Reader {
    pub(super) api: Arc<Api>,
    pub(super) running: Running,
    pub(super) model: String,
    pub(super) columns: Vec<String>,
    pub(super) wires: Vec<Wire>,
    pub(super) composed: Composed,
}

impl Reader {
    /// Starts the task and returns what it reads.
    pub(super) fn start(self) -> impl Stream<Item = Result<Batch, Failure>> + Send + use<> {
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = sender.closed() => {}
                () = self.run(&sender) => {}
            }
        });
        futures::stream::unfold(receiver, |mut receiver| async move {
            let item = receiver.recv().await?;
            Some((item, receiver))
        })
    }

    async fn run(self, sender: &Sender) {
        let Self { api, running, model, columns, wires, composed } = self;
        let read = Read { api: &api, model: &model, columns: &columns, wires: &wires };
        let result = match running.result().await {
            Ok(page) => read.pages(page, sender).await,
            Err(failed) => Err(failed),
        };
        let result = result.map_err(|failed| match failed {
            Failed::Sql(error) => errors::query(&error, &model, &composed, &api),
            Failed::Other(failure) => failure,
        });
        match result {
            Ok(last) if last.is_empty() => {}
            last => drop(sender.send(last).await),
        }
    }
}

struct Read<'a> {
    api: &'a Api,
    model: &'a str,
    columns: &'a [String],
    wires: &'a [Wire],
}

impl Read<'_> {
    /// Sends all batches but the last, which it returns.
    async fn pages(&self, mut page: Page, sender: &Sender) -> Result<Batch, Failed> {
        let mut batch = Batch::new(self.wires.len());
        loop {
            for row in std::mem::take(&mut page.rows) {
                batch.push(&self.cells(&row)?);
                if batch.is_full() {
                    // A closed channel ends the task at its other branch.
                    let _ = sender.send(Ok(batch.take())).await;
                }
            }
            match self.api.next(&page).await? {
                Some(next) => page = next,
                None => return Ok(batch.take()),
            }
        }
    }

    fn cells(&self, row: &[u8]) -> Result<Vec<Cell>, Failure> {
        // A read without columns has one, which is NULL.
        let values = values(row).filter(|values| values.len() == self.wires.len().max(1));
        let values = values.ok_or_else(|| self.unreadable(None))?;
        let cells = self.wires.iter().zip(&values).enumerate().map(|(at, (wire, value))| match value {
            None => Ok(Cell::Null),
            Some(text) => cell(*wire, text).ok_or_else(|| self.unreadable(Some(at))),
        });
        cells.collect()
    }

    fn unreadable(&self, column: Option<usize>) -> Failure {
        let column = column.and_then(|at| self.columns.get(at));
        let column = column.map_or_else(String::new, |column| format!(" of column \"{column}\""));
        let model = self.model;
        Failure::new(
            Code::SqlError,
            format!(
                "model \"{model}\": a value{column} arrives in a form that this version does not read; cast it to STRING in the SQL"
            ),
        )
    }
}
