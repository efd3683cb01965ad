//! Reading a model: one query, whose rows arrive as elements of one array while the server computes them.

use std::sync::Arc;

use async_trait::async_trait;
use backflow_core::code::Failure;
use reqwest::Response;
use serde_json::value::RawValue;
use tokio::sync::RwLock;

use super::api::{Api, Document, LONGEST, Meta, Statement, exception};
use super::errors::{self, Failed, SqlError};
use super::types::Wire;
use crate::batch::Outlet;
use crate::rest::body::Body;
use crate::rest::compose::Composed;
use crate::rest::page::Unfit;
use crate::rest::read::Models;
use crate::rest::request_id;
use crate::rest::row::{Decoder, Value};
use crate::rest::running::Jobs;
use crate::rest::scan::{Scanner, Unreadable};
use crate::sql::Lexis;

/// Bytes at the end of what arrived, in which an exception is looked for.
const TAIL: usize = 32 << 10;

#[async_trait]
impl Jobs for Api {
    type Statement = Statement;
    /// The name under which the server is to know it.
    type Answer = String;
    type Job = String;
    type Output = Response;
    type Error = SqlError;

    const STREAMS: bool = true;

    /// It is sent by [`Jobs::wait`]: before its first rows the server says nothing, and until then it can be killed already.
    async fn submit(&self, _statement: &Statement) -> Result<String, Failed> {
        Ok(request_id()?)
    }

    fn job(&self, id: &String) -> Option<String> {
        Some(id.clone())
    }

    async fn wait(&self, id: String, statement: &Statement) -> Result<Response, Failed> {
        self.send(statement, &id).await
    }

    async fn cancel(&self, id: &String) {
        self.kill(id).await;
    }

    fn running(&self) -> &Arc<RwLock<()>> {
        &self.running
    }
}

#[async_trait]
impl Models for Api {
    const LEXIS: Lexis = Lexis::ClickHouse;
    const NAMES: &'static str = "here names are compared letter by letter";
    type Column = Meta;

    fn read(&self, sql: String) -> Statement {
        Statement::read(sql)
    }

    async fn columns(service: &Arc<Self>, sql: String) -> Result<Vec<Meta>, Failed> {
        service.described(&Statement::read(sql)).await
    }

    async fn pages(&self, response: Response, decoder: &mut Decoder<'_, Wire>, out: &Outlet) -> Result<(), Failed> {
        let mut body = Body::patient(response, LONGEST);
        let mut scanner = Scanner::new("data", 1);
        let (mut rows, mut tail) = (0_u64, Vec::new());
        while let Some(piece) = body.next().await.map_err(|_| self.service.broken())? {
            keep(&mut tail, &piece);
            let read = scanner.feed::<Unfit>(&piece, |row| {
                rows += 1;
                push(decoder, row).map_err(Unfit::Row)
            });
            decoder.pass_on(out).await;
            let Err(unfit) = read else { continue };
            if matches!(unfit, Unfit::Form(Unreadable::Malformed)) {
                while let Ok(Some(piece)) = body.next().await {
                    keep(&mut tail, &piece);
                }
                if let Some(error) = exception(&tail) {
                    return Err(Failed::Sql(error));
                }
            }
            return Err(unfit.failure(&self.service, 200).into());
        }
        let broken = || self.service.broken().into();
        let Some(around) = scanner.around() else {
            return Err(exception(&tail).map_or_else(broken, Failed::Sql));
        };
        let document: Document = serde_json::from_slice(&around).map_err(|_| self.service.strange(200))?;
        if let Some(text) = &document.exception {
            return Err(exception(text.as_bytes()).map_or_else(broken, Failed::Sql));
        }
        if document.rows == rows { Ok(()) } else { Err(broken()) }
    }

    fn failure(&self, error: &SqlError, model: &str, composed: &Composed) -> Failure {
        errors::query(error, model, composed, self)
    }
}

/// Takes a row, whose values are of every form that JSON has.
fn push(decoder: &mut Decoder<'_, Wire>, row: &[u8]) -> Result<(), Failure> {
    let Ok(text) = std::str::from_utf8(row) else { return Err(no_text(decoder, row)) };
    let values: Option<Vec<&RawValue>> = serde_json::from_str(text).ok();
    let values = values.map(|values| {
        let texts = values.into_iter().map(RawValue::get);
        texts.map(|text| Value((text != "null").then_some(text.into()))).collect()
    });
    decoder.row(values)
}

/// A String holds any bytes.
fn no_text(decoder: &Decoder<'_, Wire>, row: &[u8]) -> Failure {
    let text = String::from_utf8_lossy(row);
    let values: Vec<&RawValue> = serde_json::from_str(&text).unwrap_or_default();
    let at = values.iter().position(|value| value.get().contains(char::REPLACEMENT_CHARACTER));
    decoder.unfit(at, "is no text in UTF-8; read it as base64Encode(…) or hex(…) in the SQL")
}

fn keep(tail: &mut Vec<u8>, piece: &[u8]) {
    tail.extend_from_slice(&piece[piece.len().saturating_sub(TAIL)..]);
    let surplus = tail.len().saturating_sub(TAIL);
    tail.drain(..surplus);
}
