//! Reading a model: one statement, whose result the service keeps as pages for a day.
//!
//! A page that breaks off is read again from the row where it broke: it does not change.

use std::sync::Arc;

use async_trait::async_trait;
use backflow_core::code::{Code, Failure};
use tokio::sync::RwLock;

use super::answer::RowType;
use super::api::{Answer, Api, ResultSet, Statement};
use super::errors::{self, Failed, SqlError};
use super::types::Wire;
use crate::batch::Outlet;
use crate::rest::compose::Composed;
use crate::rest::read::Models;
use crate::rest::row::{Decoder, values};
use crate::rest::running::{Jobs, Running};
use crate::sql::Lexis;

/// How often in a row a page may break off without a row that came through.
const BREAKS: u32 = 5;

#[async_trait]
impl Jobs for Api {
    type Statement = Statement;
    type Answer = Answer;
    type Job = String;
    type Output = ResultSet;
    type Error = SqlError;

    async fn submit(&self, statement: &Statement) -> Result<Answer, Failed> {
        Self::submit(self, statement).await
    }

    fn job(&self, answer: &Answer) -> Option<String> {
        if answer.status == 202 { self.handle(answer).ok() } else { None }
    }

    async fn wait(&self, answer: Answer, statement: &Statement) -> Result<ResultSet, Failed> {
        Self::wait(self, answer, statement).await
    }

    async fn cancel(&self, handle: &String) {
        Self::cancel(self, handle).await;
    }

    fn running(&self) -> &Arc<RwLock<()>> {
        &self.running
    }
}

#[async_trait]
impl Models for Api {
    const LEXIS: Lexis = Lexis::Snowflake;
    const NAMES: &'static str = "Snowflake folds names without double quotes to upper case";
    type Column = RowType;

    fn read(&self, sql: String) -> Statement {
        Statement::model(sql)
    }

    async fn columns(service: &Arc<Self>, sql: String) -> Result<Vec<RowType>, Failed> {
        Ok(Running::start(service, Statement::model(sql)).await?.output().await?.columns)
    }

    async fn pages(&self, result: ResultSet, decoder: &mut Decoder<'_, Wire>, out: &Outlet) -> Result<(), Failed> {
        for number in 0..result.pages.len() {
            match &result.first {
                Some(first) if number == 0 => {
                    for row in first {
                        decoder.row(values(row))?;
                        decoder.pass_on(out).await;
                    }
                }
                _ => whole(self, &result, number, decoder, out).await?,
            }
        }
        Ok(())
    }

    fn failure(&self, error: &SqlError, model: &str, composed: &Composed) -> Failure {
        errors::query(error, model, composed, &self.plan)
    }
}

/// Reads a page, again if it breaks off.
async fn whole(
    api: &Api,
    result: &ResultSet,
    number: usize,
    decoder: &mut Decoder<'_, Wire>,
    out: &Outlet,
) -> Result<(), Failure> {
    let (mut done, mut breaks) = (0, 0);
    loop {
        let mut rows = 0;
        let failure = match page(api, result, (number, done), decoder, out, &mut rows).await {
            Ok(()) => return Ok(()),
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

/// Reads a page from one of its rows; `passed` counts the rows that came through.
async fn page(
    api: &Api,
    result: &ResultSet,
    (number, skip): (usize, u64),
    decoder: &mut Decoder<'_, Wire>,
    out: &Outlet,
    passed: &mut u64,
) -> Result<(), Failure> {
    let mut page = api.page(result, number, skip).await?;
    loop {
        let more = page.piece(|row| decoder.row(values(row))).await;
        *passed = page.passed();
        decoder.pass_on(out).await;
        if !more? {
            return Ok(());
        }
    }
}
