//! Reading models: the same for every service, but for what it is told and how its pages are read.
//!
//! One statement, whose result the service keeps as pages, or sends while it computes. When the consumer drops the stream before the
//! statement has ended, it is cancelled.

use std::sync::Arc;

use async_trait::async_trait;
use backflow_core::cell::Column;
use backflow_core::code::{Code, Failure};
use backflow_core::plan::ModelPlan;

use super::compose::Composed;
use super::row::{Decoder, Described};
use super::running::{Failed, Jobs, Running};
use crate::batch::{self, Batch, BatchReader, Outlet};
use crate::model;
use crate::sql::Lexis;
use crate::warehouse::{Query, Rows};

/// How values of a service arrive.
type WireOf<S> = <<S as Models>::Column as Described>::Wire;

/// A service whose models are read.
#[async_trait]
pub(crate) trait Models: Jobs {
    /// How its SQL is written.
    const LEXIS: Lexis;
    /// How it folds names, for a message: `X, and {NAMES}: write primaryKey with the same letters`.
    const NAMES: &'static str;
    /// What it says of a column.
    type Column: Described;

    /// A statement that reads rows of a model.
    fn read(&self, sql: String) -> Self::Statement;

    /// The columns of a statement of a model, which has no rows.
    async fn columns(service: &Arc<Self>, sql: String) -> Result<Vec<Self::Column>, Failed<Self::Error>>;

    /// Reads a result's pages, or the rows that are streamed, to their end.
    async fn pages(
        &self,
        result: Self::Output,
        decoder: &mut Decoder<'_, WireOf<Self>>,
        out: &Outlet,
    ) -> Result<(), Failed<Self::Error>>;

    /// What an error of a statement with the user's SQL means.
    fn failure(&self, error: &Self::Error, model: &str, composed: &Composed) -> Failure;
}

/// The model's columns, without reading rows.
pub(crate) async fn describe<S: Models>(service: &Arc<S>, model: &ModelPlan) -> Result<Vec<Column>, Failure> {
    let columns = columns(service, model, None).await?;
    Ok(columns.iter().map(|column| Column { kind: column.kind(), name: column.name().to_owned() }).collect())
}

/// The columns of the model under a filter, as the service describes them.
pub(crate) async fn columns<S: Models>(
    service: &Arc<S>,
    model: &ModelPlan,
    filter: Option<&str>,
) -> Result<Vec<S::Column>, Failure> {
    let composed = Composed::describe(model, S::LEXIS, filter)?;
    let columns = S::columns(service, composed.sql.clone()).await;
    let columns = columns.map_err(|failed| failed.or_tell(|error| service.failure(error, &model.name, &composed)))?;
    model::check_columns(model, columns.iter().map(Described::name), S::NAMES)?;
    Ok(columns)
}

/// That a column is of a type whose values are not read.
pub(crate) fn unread(model: &ModelPlan, column: &impl Described) -> Failure {
    let (model, name, kind, cure) = (&model.name, column.name(), column.kind(), column.cure());
    let message =
        format!("model \"{model}\": column \"{name}\" has the type {kind}, which is not read; {cure} in the SQL");
    Failure::new(Code::SqlError, message)
}

/// Reads a model.
pub(crate) async fn rows<S: Models>(service: &Arc<S>, query: Query) -> Result<Rows, Failure> {
    let Query { model, columns: names, filter, limit } = query;
    let described = columns(service, &model, filter.as_deref()).await?;
    let (mut expressions, mut wires) = (Vec::new(), Vec::new());
    for name in &names {
        let Some(column) = described.iter().find(|column| column.name() == name) else {
            return Err(model::unknown_column(&model, name, described.iter().map(Described::name)));
        };
        let reading = column.reading().ok_or_else(|| unread(&model, column))?;
        expressions.push(reading.expression);
        wires.push(reading.wire);
    }
    let composed = Composed::read(&model, S::LEXIS, &expressions, filter.as_deref(), limit)?;
    let started = Running::start(service, service.read(composed.sql.clone())).await;
    let running = started.map_err(|failed| failed.or_tell(|error| service.failure(error, &model.name, &composed)))?;
    let service = Arc::clone(service);
    Ok(batch::read(Reader { service, running, model: model.name, columns: names, wires, composed }))
}

/// A read of a model that has begun.
struct Reader<S: Models> {
    service: Arc<S>,
    running: Running<S>,
    model: String,
    columns: Vec<String>,
    wires: Vec<WireOf<S>>,
    composed: Composed,
}

#[async_trait]
impl<S: Models> BatchReader for Reader<S> {
    async fn read(&mut self, out: &Outlet) -> Result<Batch, Failure> {
        let mut decoder = Decoder::new(&self.model, &self.columns, &self.wires);
        let read = match self.running.output().await {
            Ok(result) => self.service.pages(result, &mut decoder, out).await,
            Err(failed) => Err(failed),
        };
        self.running.ended(&read);
        let failure = |error: &S::Error| self.service.failure(error, &self.model, &self.composed);
        read.map_err(|failed| failed.or_tell(failure))?;
        Ok(decoder.rest(out).await)
    }
}
