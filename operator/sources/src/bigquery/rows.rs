//! Reading a model: one query, whose result the service keeps as pages for a day.

use std::sync::Arc;

use async_trait::async_trait;
use backflow_core::code::Failure;
use serde::Deserialize;
use tokio::sync::RwLock;

use super::api::{Answer, Api, JobReference, Page, Statement};
use super::errors::{self, Failed, SqlError};
use super::types::{Field, Wire};
use crate::batch::Outlet;
use crate::rest::compose::Composed;
use crate::rest::read::Models;
use crate::rest::row::{Decoder, Value};
use crate::rest::running::Jobs;
use crate::sql::Lexis;

/// `{"f": [{"v": "1"}, {"v": null}]}`.
#[derive(Deserialize)]
struct Row<'a> {
    #[serde(borrow)]
    f: Vec<Cell<'a>>,
}

#[derive(Deserialize)]
struct Cell<'a> {
    #[serde(borrow)]
    v: Value<'a>,
}

/// The values of a row, as they arrived.
pub(super) fn values(row: &[u8]) -> Option<Vec<Value<'_>>> {
    let row: Row<'_> = serde_json::from_slice(row).ok()?;
    Some(row.f.into_iter().map(|cell| cell.v).collect())
}

#[async_trait]
impl Jobs for Api {
    type Statement = Statement;
    type Answer = Answer;
    type Job = JobReference;
    type Output = Page;
    type Error = SqlError;

    async fn submit(&self, statement: &Statement) -> Result<Answer, Failed> {
        Self::submit(self, statement).await
    }

    fn job(&self, answer: &Answer) -> Option<JobReference> {
        let runs = answer.status == 200 && !answer.envelope.job_complete;
        if runs { Self::job(self, answer).ok() } else { None }
    }

    async fn wait(&self, answer: Answer, _statement: &Statement) -> Result<Page, Failed> {
        Self::wait(self, answer).await
    }

    async fn cancel(&self, job: &JobReference) {
        Self::cancel(self, job).await;
    }

    fn running(&self) -> &Arc<RwLock<()>> {
        &self.running
    }
}

#[async_trait]
impl Models for Api {
    const LEXIS: Lexis = Lexis::BigQuery;
    const NAMES: &'static str = "here names are compared letter by letter";
    type Column = Field;

    fn read(&self, sql: String) -> Statement {
        Statement { model: true, ..Statement::own(sql, &[]) }
    }

    async fn columns(service: &Arc<Self>, sql: String) -> Result<Vec<Field>, Failed> {
        service.compile(&Statement { dry: true, ..service.read(sql) }).await
    }

    async fn pages(&self, mut page: Page, decoder: &mut Decoder<'_, Wire>, out: &Outlet) -> Result<(), Failed> {
        loop {
            for row in std::mem::take(&mut page.rows) {
                decoder.row(values(&row))?;
                decoder.pass_on(out).await;
            }
            match self.next(&page).await? {
                Some(next) => page = next,
                None => return Ok(()),
            }
        }
    }

    fn failure(&self, error: &SqlError, model: &str, composed: &Composed) -> Failure {
        errors::query(error, model, composed, self)
    }
}
