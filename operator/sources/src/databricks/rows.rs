//! Reading a model: one statement, whose result the service keeps for an hour.

use std::sync::Arc;

use async_trait::async_trait;
use backflow_core::code::Failure;
use tokio::sync::RwLock;

use super::answer::ColumnInfo;
use super::api::{Answer, Api};
use super::errors;
use super::result::{Cursor, ResultSet};
use super::sql_error::{Failed, SqlError};
use super::statement::Statement;
use super::types::Wire;
use crate::batch::Outlet;
use crate::rest::compose::Composed;
use crate::rest::read::Models;
use crate::rest::row::{Decoder, values};
use crate::rest::running::Jobs;
use crate::sql::Lexis;

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
        if answer.runs() { self.id(answer).ok() } else { None }
    }

    async fn wait(&self, answer: Answer, statement: &Statement) -> Result<ResultSet, Failed> {
        Self::wait(self, answer, statement).await
    }

    async fn cancel(&self, id: &String) {
        Self::cancel(self, id).await;
    }

    fn running(&self) -> &Arc<RwLock<()>> {
        &self.running
    }
}

#[async_trait]
impl Models for Api {
    const LEXIS: Lexis = Lexis::Databricks;
    const NAMES: &'static str = "here names are compared letter by letter";
    type Column = ColumnInfo;

    fn read(&self, sql: String) -> Statement {
        Statement::read(sql)
    }

    async fn columns(service: &Arc<Self>, sql: String) -> Result<Vec<ColumnInfo>, Failed> {
        service.described(Statement::model(sql)).await
    }

    async fn pages(&self, result: ResultSet, decoder: &mut Decoder<'_, Wire>, out: &Outlet) -> Result<(), Failed> {
        let mut cursor = Cursor::new(self, result);
        while cursor.piece(|row| decoder.row(values(row))).await? {
            decoder.pass_on(out).await;
        }
        Ok(())
    }

    fn failure(&self, error: &SqlError, model: &str, composed: &Composed) -> Failure {
        errors::query(error, model, composed, self)
    }
}
