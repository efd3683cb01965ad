//! Statements over the API: submitted, waited for, cancelled.
//!
//! The API knows no request by an id of the client's, so that a statement whose answer is lost is run twice: each may be. No statement of
//! Backflow's goes on when nobody waits for it any more: it is cancelled.

use std::sync::Arc;
use std::time::Duration;

use backflow_core::code::{Code, Failure};
use backflow_core::plan::Databricks;
use backflow_core::secret::Secrets;
use bytes::Bytes;
use reqwest::{Method, Response};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::RwLock;

use super::answer::{Chunk, ColumnInfo, Envelope, WarehouseInfo};
use super::auth::Credential;
use super::errors;
use super::result::{Cursor, ResultSet};
use super::sql_error::{Failed, SqlError};
use super::statement::{Disposition, Statement};
use crate::rest::body::Body;
use crate::rest::page::Unfit;
use crate::rest::row::values;
use crate::rest::running::Running;
use crate::rest::scan::Scanner;
use crate::rest::{Call, Link, Service};

const STATEMENTS: &str = "/api/2.0/sql/statements";
/// How long the service may hold an answer back until a short statement has ended, in its own form.
const SHORT: &str = "10s";
/// The first and the longest pause between looks at a statement that runs. The service wants a look every 15 minutes.
const LOOK: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How often an answer that broke off is asked for again.
const BREAKS: u32 = 5;
/// Bytes of the rows within an answer: the service itself sends 25 MiB.
const INLINE: usize = 64 << 20;
/// Bytes of the result of a statement of our own.
const RESULT: usize = 1 << 30;

/// A row as it arrived.
pub(super) type Raw = Box<[u8]>;

/// A workspace, with what every statement says.
pub(super) struct Api {
    pub(super) service: Service,
    pub(super) credential: Credential,
    pub(super) plan: Databricks,
    /// What the query history shows behind each statement.
    mark: String,
    /// Read-locked by every statement that is to be cancelled when it is dropped.
    pub(super) running: Arc<RwLock<()>>,
}

/// An answer that arrived.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) envelope: Envelope,
    pub(super) rows: Vec<Raw>,
}

impl Answer {
    fn state(&self) -> &str {
        self.envelope.status.as_ref().map_or("", |status| status.state.as_str())
    }

    /// Whether the statement has not ended.
    pub(super) fn runs(&self) -> bool {
        self.status == 200 && matches!(self.state(), "PENDING" | "RUNNING")
    }
}

impl Api {
    pub(super) fn new(plan: &Databricks, secrets: &dyn Secrets, application: &str) -> Result<Self, Failure> {
        let name = format!("Databricks workspace \"{}\"", plan.host);
        let fit = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
        let application: String = application.chars().filter(fit).collect();
        Ok(Self {
            service: Service::new(name, &plan.host, plan.endpoint.as_deref())?,
            credential: Credential::read(plan, secrets)?,
            plan: plan.clone(),
            mark: format!("\n/* {application} */"),
            running: Arc::default(),
        })
    }

    /// The warehouse, which this does not start.
    pub(super) async fn warehouse(&self) -> Result<WarehouseInfo, Failure> {
        let call = Call::get(format!("/api/2.0/sql/warehouses/{}", self.plan.warehouse_id));
        let (status, body) = self.whole(&call).await?;
        if status != 200 {
            let envelope = serde_json::from_slice(&body).map_err(|_| self.service.strange(status))?;
            return Err(errors::of_request(&Answer { status, envelope, rows: Vec::new() }, self));
        }
        let info: WarehouseInfo = serde_json::from_slice(&body).map_err(|_| self.service.strange(status))?;
        match info.state.as_str() {
            "" => Err(self.service.strange(status)),
            "DELETED" | "DELETING" => Err(errors::warehouse_missing(self)),
            _ => Ok(info),
        }
    }

    /// A short answer, whole.
    async fn whole(&self, call: &Call) -> Result<(u16, Vec<u8>), Failure> {
        let mut attempt = 1;
        loop {
            let response = self.service.send(call, &self.credential).await?;
            let status = response.status().as_u16();
            match Body::new(response).whole(1 << 20).await {
                Ok(body) => return Ok((status, body)),
                Err(_) if attempt < BREAKS => tokio::time::sleep(self.pause()).await,
                Err(_) => return Err(self.service.broken()),
            }
            attempt += 1;
        }
    }

    /// All rows of a statement of our own.
    pub(super) async fn rows(self: &Arc<Self>, mut statement: Statement) -> Result<Vec<Vec<Option<String>>>, Failed> {
        let result = loop {
            match self.ended(statement.clone()).await {
                Err(Failed::Sql(error)) if error.is_too_long() && statement.disposition == Disposition::Inline => {
                    statement.disposition = Disposition::Links;
                }
                result => break result?,
            }
        };
        let (mut rows, mut bytes) = (Vec::new(), 0);
        let mut cursor = Cursor::new(self, result);
        let mut more = |row: &[u8]| {
            bytes += row.len();
            let values = values(row).filter(|_| bytes <= RESULT).ok_or_else(|| self.service.strange(200))?;
            rows.push(values.into_iter().map(|value| value.0.map(Into::into)).collect());
            Ok(())
        };
        while cursor.piece(&mut more).await? {}
        Ok(rows)
    }

    /// The columns of a statement's result.
    pub(super) async fn described(self: &Arc<Self>, statement: Statement) -> Result<Vec<ColumnInfo>, Failed> {
        Ok(self.ended(statement).await?.columns)
    }

    /// Runs a statement, which is cancelled if nobody waits for its end.
    async fn ended(self: &Arc<Self>, statement: Statement) -> Result<ResultSet, Failed> {
        Running::start(self, statement).await?.output().await
    }

    /// A part of a result, which is not the first, or is asked for once more.
    pub(super) async fn chunk(&self, id: &str, number: u64) -> Result<(Chunk, Vec<Raw>), Failure> {
        let call = Call::get(format!("{STATEMENTS}/{id}/result/chunks/{number}"));
        let response = self.service.send(&call, &self.credential).await?;
        let (status, around, rows) = self.scanned(response, 1).await?;
        if status != 200 {
            let envelope = self.parsed(status, &around)?;
            return Err(errors::of_request(&Answer { status, envelope, rows }, self));
        }
        Ok((self.parsed(status, &around)?, rows))
    }

    /// Asks for what a link leads to; `None` if the link is no longer taken.
    pub(super) async fn fetch(&self, link: &Link) -> Result<Option<Response>, Failure> {
        let response = self.service.fetch(link).await.map_err(|failure| match failure.code {
            Code::HostNotFound | Code::ConnectionFailed | Code::TlsFailed => Failure::new(
                failure.code,
                format!(
                    "{}; results are read from the storage of the workspace's cloud: allow it, too",
                    failure.message
                ),
            ),
            _ => failure,
        })?;
        Ok((response.status().as_u16() == 200).then_some(response))
    }

    /// How long to wait before what broke off is tried again.
    pub(super) fn pause(&self) -> Duration {
        self.service.pauses.after(1, None)
    }

    fn body(&self, statement: &Statement, disposition: Disposition) -> Bytes {
        let plan = &self.plan;
        let mut body = json!({
            "statement": format!("{}{}", statement.sql, self.mark),
            "warehouse_id": plan.warehouse_id,
            "disposition": disposition.as_str(),
            "format": "JSON_ARRAY",
            "wait_timeout": if statement.model { "0s" } else { SHORT },
        });
        // A schema that is not there is no concern of the state's.
        let schema = plan.schema.as_ref().filter(|_| statement.model);
        for (name, value) in [("catalog", plan.catalog.as_ref()), ("schema", schema)] {
            if let Some(value) = value {
                body[name] = value.as_str().into();
            }
        }
        if !statement.binds.is_empty() {
            let bind = |(name, value): &(&str, String)| json!({"name": name, "value": value, "type": "STRING"});
            body["parameters"] = statement.binds.iter().map(bind).collect::<Value>();
        }
        body.to_string().into()
    }

    /// Submits a statement. Where a workspace gives no links, the result comes within the answers.
    pub(super) async fn submit(&self, statement: &Statement) -> Result<Answer, Failed> {
        let mut disposition = statement.disposition;
        loop {
            let call = Call::post(STATEMENTS.into(), self.body(statement, disposition));
            let answer = self.exchange(call).await?;
            if answer.status == 200 {
                return Ok(answer);
            }
            if disposition != Disposition::Links || !errors::is_without_links(&answer) {
                return Err(self.unfit(&answer));
            }
            disposition = Disposition::Inline;
        }
    }

    async fn exchange(&self, call: Call) -> Result<Answer, Failure> {
        let mut attempt = 1;
        loop {
            let response = self.service.send(&call, &self.credential).await?;
            match self.scanned(response, 2).await {
                Ok((status, around, rows)) => {
                    return Ok(Answer { status, envelope: self.parsed(status, &around)?, rows });
                }
                Err(failure) if failure == self.service.broken() && attempt < BREAKS => {}
                Err(failure) => return Err(failure),
            }
            tokio::time::sleep(self.pause()).await;
            attempt += 1;
        }
    }

    /// An answer, with the rows that are `level` objects deep in it.
    async fn scanned(&self, response: Response, level: usize) -> Result<(u16, Vec<u8>, Vec<Raw>), Failure> {
        let status = response.status().as_u16();
        let mut scanner = Scanner::new("data_array", level);
        let (mut rows, mut bytes) = (Vec::new(), 0);
        let mut body = Body::new(response);
        while let Some(piece) = body.next().await.map_err(|_| self.service.broken())? {
            let read = scanner.feed::<Unfit>(&piece, |row| {
                bytes += row.len();
                rows.push(row.into());
                if bytes > INLINE { Err(Unfit::Row(self.service.strange(status))) } else { Ok(()) }
            });
            read.map_err(|unfit| unfit.failure(&self.service, status))?;
        }
        let around = scanner.around().ok_or_else(|| match status {
            200 => self.service.broken(),
            status => self.service.strange(status),
        })?;
        Ok((status, around, rows))
    }

    fn parsed<T: DeserializeOwned>(&self, status: u16, around: &[u8]) -> Result<T, Failure> {
        serde_json::from_slice(around).map_err(|_| self.service.strange(status))
    }

    /// Waits until a statement has ended: its result.
    pub(super) async fn wait(&self, mut answer: Answer, statement: &Statement) -> Result<ResultSet, Failed> {
        let id = self.id(&answer)?;
        let looks = async {
            let mut pause = LOOK.0;
            while answer.runs() {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LOOK.1);
                answer = self.exchange(Call::get(format!("{STATEMENTS}/{id}"))).await?;
            }
            Ok::<_, Failure>(answer)
        };
        let late = |_| {
            let minutes = statement.longest().as_secs() / 60;
            let message =
                format!("{}: a statement had no end within {minutes} minutes; it was cancelled", self.service.name);
            Failure::new(Code::WarehouseUnavailable, message)
        };
        let answer = tokio::time::timeout(statement.longest(), looks).await.map_err(late)??;
        if answer.status != 200 || answer.state() != "SUCCEEDED" {
            return Err(self.unfit(&answer));
        }
        ResultSet::read(id, answer).ok_or_else(|| errors::truncated(self).into())
    }

    /// The statement's id, which becomes a part of a path.
    pub(super) fn id(&self, answer: &Answer) -> Result<String, Failure> {
        let id = answer.envelope.statement_id.clone().unwrap_or_default();
        let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
        let fit = !id.is_empty() && id.len() <= 128 && id.bytes().all(plain);
        if fit { Ok(id) } else { Err(self.service.strange(answer.status)) }
    }

    /// Why an answer is no result.
    fn unfit(&self, answer: &Answer) -> Failed {
        if answer.status != 200 {
            return errors::of_request(answer, self).into();
        }
        let Some(status) = &answer.envelope.status else { return self.service.strange(answer.status).into() };
        match status.state.as_str() {
            "FAILED" => {}
            "CANCELED" => return errors::cancelled(self).into(),
            "CLOSED" => return errors::result_gone(self).into(),
            _ => return self.service.strange(answer.status).into(),
        }
        let error = SqlError::read(status);
        match errors::of_service(&error, self) {
            Some(failure) => failure.into(),
            None => Failed::Sql(error),
        }
    }

    pub(super) async fn cancel(&self, id: &str) {
        let call = Call { method: Method::POST, ..Call::get(format!("{STATEMENTS}/{id}/cancel")) };
        match self.service.send(&call, &self.credential).await {
            Ok(response) if response.status().is_success() => {}
            _ => tracing::warn!("the statement could not be cancelled; it ends by itself"),
        }
    }
}
