//! Statements over the SQL API: submitted, waited for, read page by page, cancelled.
//!
//! A statement is submitted under a request id, so that submitting it again runs it once. A read of a model is submitted to run by
//! itself, so that there is a handle to cancel it by from the first moment; when nobody waits for it any more, it is cancelled.

use std::sync::Arc;
use std::time::Duration;

use backflow_core::code::{Code, Failure};
use backflow_core::plan::Snowflake;
use backflow_core::secret::Secrets;
use reqwest::Response;
use serde_json::{Map, Value, json};
use tokio::sync::RwLock;

use super::answer::{Envelope, RowType};
use super::auth::Credential;
use super::errors::{self, Failed, SqlError};
use crate::rest::body::Body;
use crate::rest::page::{Page, Unfit};
use crate::rest::row::values;
use crate::rest::scan::Scanner;
use crate::rest::{Call, Service, request_id};

/// The longest that a read of a model may take; the service cancels it then.
const MODEL_SECONDS: u64 = 6 * 3600;
/// The same of our own statements.
const STATE_SECONDS: u64 = 600;
/// The first and the longest pause between looks at a statement that runs.
const LOOK: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How often an answer that broke off is asked for again.
const BREAKS: usize = 4;
/// Bytes of a first page that are kept with the answer; a larger one is read again as it arrives.
const KEPT: usize = 8 << 20;
/// Bytes of the result of a statement of our own.
const RESULT: usize = 1 << 30;

/// One statement.
#[derive(Clone, Debug, Default)]
pub(super) struct Statement {
    pub(super) sql: String,
    /// Texts for `?`.
    pub(super) binds: Vec<String>,
    /// How many statements it is; several run one after another, until one fails, and take no binds.
    pub(super) count: usize,
    /// Runs by itself from the first moment, so that it can be cancelled at once.
    pub(super) detached: bool,
    /// May take as long as a read of a model.
    pub(super) long: bool,
}

impl Statement {
    /// One of our own.
    pub(super) fn own(sql: impl Into<String>, binds: &[&str]) -> Self {
        let binds = binds.iter().map(|bind| (*bind).to_owned()).collect();
        Self { sql: sql.into(), binds, count: 1, ..Self::default() }
    }

    /// Several of our own.
    pub(super) fn several(statements: &[String]) -> Self {
        Self { sql: statements.join(";\n"), count: statements.len(), ..Self::default() }
    }

    /// A read of a model.
    pub(super) fn model(sql: String) -> Self {
        Self { detached: true, ..Self::long(&[sql]) }
    }

    /// Some that may take long.
    pub(super) fn long(statements: &[String]) -> Self {
        Self { long: true, ..Self::several(statements) }
    }

    /// The longest that it may take; the service cancels it then.
    fn seconds(&self) -> u64 {
        if self.long { MODEL_SECONDS } else { STATE_SECONDS }
    }
}

/// An account, with what every statement says of its session.
pub(super) struct Api {
    service: Service,
    credential: Credential,
    pub(super) plan: Snowflake,
    /// What the query history shows.
    tag: String,
    /// Read-locked by every statement that is to be cancelled when it is dropped.
    pub(super) running: Arc<RwLock<()>>,
}

/// A result, of which the first page may be here.
#[derive(Debug)]
pub(super) struct ResultSet {
    handle: String,
    pub(super) columns: Vec<RowType>,
    /// Rows of each page.
    pub(super) pages: Vec<u64>,
    /// The first page's rows as they arrived; `None` if they were too long to be kept.
    pub(super) first: Option<Vec<Box<[u8]>>>,
}

/// An answer that arrived.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) envelope: Envelope,
    pub(super) rows: Option<Vec<Box<[u8]>>>,
}

impl Api {
    pub(super) fn new(plan: &Snowflake, secrets: &dyn Secrets, tag: &str) -> Result<Self, Failure> {
        let name = format!("Snowflake account \"{}\"", plan.account);
        // Certificates name no host with an underscore.
        let account = plan.account.to_ascii_lowercase().replace('_', "-");
        let domain = if account.contains(".cn-") { "cn" } else { "com" };
        let host = format!("{account}.snowflakecomputing.{domain}");
        Ok(Self {
            service: Service::new(name, &host, plan.endpoint.as_deref())?,
            credential: Credential::read(plan, secrets)?,
            plan: plan.clone(),
            tag: tag.to_owned(),
            running: Arc::default(),
        })
    }

    /// All rows of a statement of our own.
    pub(super) async fn rows(&self, statement: &Statement) -> Result<Vec<Vec<Option<String>>>, Failed> {
        self.all(statement).await.map(|(_, rows)| rows)
    }

    /// The same, of columns by their names in lower case.
    pub(super) async fn columns(
        &self,
        statement: &Statement,
        names: &[&str],
    ) -> Result<Vec<Vec<Option<String>>>, Failed> {
        let (columns, rows) = self.all(statement).await?;
        let at = |name: &&str| columns.iter().position(|column| column.name.eq_ignore_ascii_case(name));
        let places: Option<Vec<usize>> = names.iter().map(at).collect();
        let places = places.ok_or_else(|| self.service.strange(200))?;
        Ok(rows.iter().map(|row| places.iter().map(|at| row.get(*at).cloned().flatten()).collect()).collect())
    }

    async fn all(&self, statement: &Statement) -> Result<(Vec<RowType>, Vec<Vec<Option<String>>>), Failed> {
        let result = self.wait(self.submit(statement).await?, statement).await?;
        let rows = self.whole(&result).await?;
        Ok((result.columns, rows))
    }

    /// All rows of a result.
    pub(super) async fn whole(&self, result: &ResultSet) -> Result<Vec<Vec<Option<String>>>, Failure> {
        let mut rows = Vec::new();
        let mut bytes = 0;
        let mut push = |row: &[u8]| -> Result<(), Failure> {
            bytes += row.len();
            let values = values(row).filter(|_| bytes <= RESULT).ok_or_else(|| self.service.broken())?;
            rows.push(values.into_iter().map(|value| value.0.map(Into::into)).collect());
            Ok(())
        };
        for page in 0..result.pages.len() {
            match &result.first {
                Some(first) if page == 0 => first.iter().try_for_each(|row| push(row))?,
                _ => {
                    let mut page = self.page(result, page, 0).await?;
                    while page.piece(&mut push).await? {}
                }
            }
        }
        Ok(rows)
    }

    /// A page of a result, from row `skip` of it.
    pub(super) async fn page(&self, result: &ResultSet, page: usize, skip: u64) -> Result<Page<'_>, Failure> {
        let call = self.status(&result.handle).with("partition", page.to_string());
        let response = self.service.send(&call, &self.credential).await?;
        if response.status().as_u16() != 200 {
            let answer = self.answer(response).await.map_err(Failed::into_failure)?;
            return Err(self.unfit(&answer).into_failure());
        }
        let rows = result.pages.get(page).copied().unwrap_or_default();
        Ok(Page::new(&self.service, response, Scanner::new("data", 1), rows, skip))
    }

    /// How long to wait before what broke off is tried again.
    pub(super) fn pause(&self) -> Duration {
        self.service.pauses.after(1, None)
    }

    fn status(&self, handle: &str) -> Call {
        Call::get(format!("/api/v2/statements/{handle}"))
    }

    fn body(&self, statement: &Statement) -> Value {
        let plan = &self.plan;
        let mut parameters = json!({"timezone": "UTC", "query_tag": self.tag});
        if statement.count > 1 {
            parameters["multi_statement_count"] = statement.count.into();
        }
        let mut body = json!({
            "statement": statement.sql,
            "timeout": statement.seconds(),
            "database": plan.database,
            "warehouse": plan.warehouse,
            "parameters": parameters,
        });
        for (name, value) in [("schema", &plan.schema), ("role", &plan.role)] {
            if let Some(value) = value {
                body[name] = value.as_str().into();
            }
        }
        if !statement.binds.is_empty() {
            let bind = |(at, value): (usize, &String)| ((at + 1).to_string(), json!({"type": "TEXT", "value": value}));
            body["bindings"] = Value::Object(statement.binds.iter().enumerate().map(bind).collect::<Map<_, _>>());
        }
        body
    }

    pub(super) async fn submit(&self, statement: &Statement) -> Result<Answer, Failed> {
        let body = self.body(statement).to_string();
        let mut call = Call::post("/api/v2/statements".into(), body.into()).with("requestId", request_id()?);
        call.again = Some(("retry", "true"));
        if statement.detached {
            call = call.with("async", "true");
        }
        self.exchange(call).await
    }

    /// One request, again if its answer breaks off.
    async fn exchange(&self, mut call: Call) -> Result<Answer, Failed> {
        let mut breaks = 0;
        loop {
            let response = self.service.send(&call, &self.credential).await?;
            match self.answer(response).await {
                Err(Failed::Other(failure)) if failure == self.service.broken() && breaks < BREAKS => {
                    breaks += 1;
                    tokio::time::sleep(self.pause()).await;
                    if let Some((name, value)) = call.again.take() {
                        call.query.push((name, value.to_owned()));
                    }
                }
                answer => return answer,
            }
        }
    }

    async fn answer(&self, response: Response) -> Result<Answer, Failed> {
        let status = response.status().as_u16();
        let mut scanner = Scanner::new("data", 1);
        let mut rows = Some(Vec::new());
        let mut bytes = 0;
        let mut body = Body::new(response);
        while let Some(piece) = body.next().await.map_err(|_| self.service.broken())? {
            let read = scanner.feed::<Unfit>(&piece, |row| {
                bytes += row.len();
                match &mut rows {
                    Some(rows) if bytes <= KEPT => rows.push(row.into()),
                    _ => rows = None,
                }
                Ok(())
            });
            read.map_err(|unfit| unfit.failure(&self.service, status))?;
        }
        let around = scanner.around().ok_or_else(|| match status {
            200 | 202 => self.service.broken(),
            status => self.service.strange(status),
        })?;
        let envelope = serde_json::from_slice(&around).map_err(|_| self.service.strange(status))?;
        Ok(Answer { status, envelope, rows })
    }

    /// Waits until a statement has ended.
    pub(super) async fn wait(&self, mut answer: Answer, statement: &Statement) -> Result<ResultSet, Failed> {
        let seconds = statement.seconds();
        let looks = async {
            let (mut pause, longest) = LOOK;
            while answer.status == 202 {
                let handle = self.handle(&answer)?;
                tokio::time::sleep(pause.min(self.service.pauses.longest)).await;
                pause = (pause * 3 / 2).min(longest);
                answer = self.exchange(self.status(&handle)).await?;
            }
            Ok::<_, Failed>(answer)
        };
        // The service ends it; this is for one that forgets.
        let answer =
            tokio::time::timeout(Duration::from_secs(seconds + 300), looks).await.map_err(|_| self.late(seconds))??;
        if answer.status != 200 {
            return Err(self.unfit(&answer));
        }
        let handle = self.handle(&answer)?;
        let meta = answer.envelope.result_set_meta_data.unwrap_or_default();
        if meta.format.as_deref().is_some_and(|format| format != "jsonv2") {
            return Err(self.service.strange(200).into());
        }
        let pages: Vec<u64> = meta.partition_info.iter().map(|page| page.row_count).collect();
        let first = answer.rows;
        // Several statements have a word for their result, and no page.
        if first.as_ref().is_some_and(|rows| !pages.is_empty() && pages[0] != rows.len() as u64) {
            return Err(self.service.broken().into());
        }
        Ok(ResultSet { handle, columns: meta.row_type, pages, first })
    }

    fn late(&self, seconds: u64) -> Failure {
        let message = format!("a statement in {} had no end within {seconds} s; it was cancelled", self.service.name);
        Failure::new(Code::WarehouseUnavailable, message)
    }

    /// The handle, which becomes a part of a path.
    pub(super) fn handle(&self, answer: &Answer) -> Result<String, Failure> {
        let handle = answer.envelope.statement_handle.as_deref().unwrap_or_default();
        let plain =
            !handle.is_empty() && handle.len() <= 64 && handle.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-');
        if plain { Ok(handle.to_owned()) } else { Err(self.service.strange(answer.status)) }
    }

    /// What an answer that is no result means.
    fn unfit(&self, answer: &Answer) -> Failed {
        let Envelope { code, sql_state, message, .. } = &answer.envelope;
        let code = code.clone().unwrap_or_default();
        match answer.status {
            422 => Failed::Sql(SqlError {
                code,
                state: sql_state.clone().unwrap_or_default(),
                message: message.clone().unwrap_or_default(),
            }),
            408 => self.late(MODEL_SECONDS).into(),
            401 | 403 => errors::refused(&code, &self.plan, &self.credential).into(),
            404 => {
                let message =
                    format!("{} does not know its own statement any more; it is tried again", self.service.name);
                Failure::new(Code::WarehouseUnavailable, message).into()
            }
            status => self.service.strange(status).into(),
        }
    }

    pub(super) async fn cancel(&self, handle: &str) {
        let call = Call { method: reqwest::Method::POST, ..Call::get(format!("/api/v2/statements/{handle}/cancel")) };
        match self.service.send(&call, &self.credential).await {
            // 422: it has ended meanwhile.
            Ok(response) if matches!(response.status().as_u16(), 200 | 422) => {}
            _ => tracing::warn!("the statement could not be cancelled; the service ends it after {MODEL_SECONDS} s"),
        }
    }
}

impl Failed {
    /// Where no SQL of anybody's can be at fault.
    fn into_failure(self) -> Failure {
        self.or_tell(|_| Failure::new(Code::WarehouseUnavailable, "a result is no longer there; it is tried again"))
    }
}
