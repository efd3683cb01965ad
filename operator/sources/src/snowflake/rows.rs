//! Reading a model: one statement, whose result the service keeps as pages for a day.
//!
//! A task of its own reads page after page, so that reading goes on while the consumer works. A page that breaks off is read again from
//! the row where it broke: it does not change. When the consumer drops the stream before the statement has ended, it is cancelled.

use std::sync::Arc;

use backflow_core::cell::Cell;
use backflow_core::code::{Code, Failure};
use futures::Stream;
use tokio::sync::mpsc;

use super::answer::values;
use super::api::{Api, ResultSet};
use super::errors::{self, Failed};
use super::running::Running;
use super::types::{Wire, cell};
use crate::batch::Batch;
use crate::rest::compose::Composed;

/// How often in a row a page may break off without a row that came through.
const BREAKS: u32 = 5;

type Sender = mpsc::Sender<Result<Batch, Failure>>;

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
        let result = match running.result().await {
            Ok(result) => result,
            Err(failed) => {
                let failure = match failed {
                    Failed::Sql(error) => errors::query(&error, &model, &composed, &api.plan),
                    Failed::Other(failure) => failure,
                };
                let _ = sender.send(Err(failure)).await;
                return;
            }
        };
        let batch = Batch::new(wires.len());
        let mut decoder = Decoder { model: &model, columns: &columns, wires: &wires, batch, full: Vec::new() };
        let read = read(&api, &result, &mut decoder, sender).await;
        let last = decoder.batch.take();
        match read {
            Ok(()) if last.is_empty() => {}
            Ok(()) => drop(sender.send(Ok(last)).await),
            Err(failure) => drop(sender.send(Err(failure)).await),
        }
    }
}

async fn read(api: &Api, result: &ResultSet, decoder: &mut Decoder<'_>, sender: &Sender) -> Result<(), Failure> {
    for number in 0..result.pages.len() {
        if let (0, Some(first)) = (number, &result.first) {
            for row in first {
                decoder.row(row)?;
                decoder.pass_on(sender).await;
            }
            continue;
        }
        let (mut done, mut breaks) = (0, 0);
        loop {
            let mut rows = 0;
            let failure = match page(api, result, (number, done), decoder, sender, &mut rows).await {
                Ok(()) => break,
                Err(failure) => failure,
            };
            let passing = matches!(failure.code, Code::ConnectionFailed | Code::WarehouseUnavailable);
            breaks = if rows > 0 { 1 } else { breaks + 1 };
            if !passing || breaks > BREAKS {
                return Err(failure);
            }
            done += rows;
            tokio::time::sleep(api.pause()).await;
        }
    }
    Ok(())
}

/// Reads a page from one of its rows; `passed` counts the rows that came through.
async fn page(
    api: &Api,
    result: &ResultSet,
    (number, skip): (usize, u64),
    decoder: &mut Decoder<'_>,
    sender: &Sender,
    passed: &mut u64,
) -> Result<(), Failure> {
    let mut page = api.page(result, number, skip).await?;
    loop {
        let more = page.piece(|row| decoder.row(row)).await;
        *passed = page.passed();
        decoder.pass_on(sender).await;
        if !more? {
            return Ok(());
        }
    }
}

/// Makes batches of rows.
struct Decoder<'a> {
    model: &'a str,
    columns: &'a [String],
    wires: &'a [Wire],
    batch: Batch,
    /// Batches that a piece of a page filled.
    full: Vec<Batch>,
}

impl Decoder<'_> {
    fn row(&mut self, row: &[u8]) -> Result<(), Failure> {
        // A read without columns has one, which is NULL.
        let values = values(row)
            .filter(|values| values.len() == self.wires.len().max(1))
            .ok_or_else(|| self.unreadable(None))?;
        let mut cells = Vec::with_capacity(self.wires.len());
        for (at, (wire, value)) in self.wires.iter().zip(&values).enumerate() {
            cells.push(match &value.0 {
                None => Cell::Null,
                Some(text) => cell(*wire, text).ok_or_else(|| self.unreadable(Some(at)))?,
            });
        }
        self.batch.push(&cells);
        if self.batch.is_full() {
            self.full.push(self.batch.take());
        }
        Ok(())
    }

    async fn pass_on(&mut self, sender: &Sender) {
        for batch in self.full.drain(..) {
            // A closed channel ends the task at its other branch.
            let _ = sender.send(Ok(batch)).await;
        }
    }

    fn unreadable(&self, column: Option<usize>) -> Failure {
        let column = column.and_then(|at| self.columns.get(at));
        let column = column.map_or_else(String::new, |column| format!(" of column \"{column}\""));
        let model = self.model;
        Failure::new(
            Code::SqlError,
            format!(
                "model \"{model}\": a value{column} arrives in a form that this version does not read; cast it to text in the SQL"
            ),
        )
    }
}
