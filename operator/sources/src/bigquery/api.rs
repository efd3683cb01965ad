//! Queries over the REST API (version 2): submitted, waited for, read page by page, cancelled.
//!
//! A query is submitted under a request id, so that submitting it again within 15 minutes runs it once. It becomes a job, whose result any
//! process can read for a day; a read of a model that nobody waits for any more has its job cancelled.

use std::sync::Arc;
use std::time::Duration;

use backflow_core::code::{Code, Failure};
use backflow_core::plan::BigQuery;
use backflow_core::secret::Secrets;
use reqwest::{Method, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::RwLock;

use super::auth::Credential;
use super::errors::{self, Failed, SqlError};
use super::types::Field;
use crate::rest::body::Body;
use crate::rest::scan::{Scanner, Unreadable};
use crate::rest::{Call, Service, request_id};

/// How long one request waits for a query.
const WAIT: Duration = Duration::from_secs(10);
/// The longest that a query may take.
const LONGEST: Duration = Duration::from_secs(6 * 3600);
/// How often an answer that broke off, or said to come back, is asked for again.
const AGAIN: u32 = 6;
/// Rows of a page at most; BigQuery ends it at about 10 MB.
const PAGE_ROWS: &str = "20000";
/// Bytes of the rows of one answer.
const PAGE: usize = 64 << 20;

/// A page of rows, as they arrived.
pub(super) type Raw = Vec<Box<[u8]>>;

/// One query.
#[derive(Clone, Debug, Default)]
pub(super) struct Statement {
    pub(super) sql: String,
    /// Texts for `?`.
    pub(super) binds: Vec<String>,
    /// Is only compiled, and costs nothing.
    pub(super) dry: bool,
    /// Reads rows of a model: `maximumBytesBilled` holds.
    pub(super) model: bool,
}

impl Statement {
    /// One of our own.
    pub(super) fn own(sql: impl Into<String>, binds: &[&str]) -> Self {
        let binds = binds.iter().map(|bind| (*bind).to_owned()).collect();
        Self { sql: sql.into(), binds, ..Self::default() }
    }
}

/// A project.
pub(super) struct Api {
    service: Service,
    pub(super) credential: Credential,
    pub(super) plan: BigQuery,
    /// The run, as a label may say it.
    label: String,
    /// Read-locked by every query that is to be cancelled when it is dropped.
    pub(super) running: Arc<RwLock<()>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Envelope {
    pub(super) job_complete: bool,
    job_reference: Option<JobReference>,
    schema: Option<Schema>,
    page_token: Option<String>,
    error: Option<ErrorBody>,
}

/// Where a job is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct JobReference {
    job_id: String,
    location: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Schema {
    fields: Vec<Field>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ErrorBody {
    message: String,
    errors: Vec<Reason>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Reason {
    reason: String,
}

/// An answer that arrived.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) envelope: Envelope,
    pub(super) rows: Raw,
}

/// A result, of which one page is here.
pub(super) struct Page {
    job: JobReference,
    pub(super) columns: Vec<Field>,
    pub(super) rows: Raw,
    next: Option<String>,
}

impl Api {
    pub(super) fn new(plan: &BigQuery, secrets: &dyn Secrets, application: &str) -> Result<Self, Failure> {
        let name = format!("BigQuery of project \"{}\"", plan.project);
        let fit = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' { c } else { '_' };
        Ok(Self {
            service: Service::new(name, "bigquery.googleapis.com", plan.endpoint.as_deref())?,
            credential: Credential::read(plan, secrets)?,
            plan: plan.clone(),
            label: application.to_ascii_lowercase().chars().map(fit).take(63).collect(),
            running: Arc::default(),
        })
    }

    /// All rows of a query of our own.
    pub(super) async fn rows(&self, statement: &Statement) -> Result<Vec<Vec<Option<String>>>, Failed> {
        let mut page = self.wait(self.submit(statement).await?).await?;
        let mut rows = Vec::new();
        loop {
            for row in &page.rows {
                let values = super::rows::values(row).ok_or_else(|| self.service.strange(200))?;
                rows.push(values.into_iter().map(|value| value.0.map(Into::into)).collect());
            }
            match self.next(&page).await? {
                Some(next) => page = next,
                None => return Ok(rows),
            }
        }
    }

    /// Compiles a query: its columns.
    pub(super) async fn compile(&self, statement: &Statement) -> Result<Vec<Field>, Failed> {
        let answer = self.submit(statement).await?;
        if answer.status != 200 {
            return Err(self.unfit(&answer));
        }
        Ok(answer.envelope.schema.unwrap_or_default().fields)
    }

    /// The page after this one.
    pub(super) async fn next(&self, page: &Page) -> Result<Option<Page>, Failed> {
        let Some(token) = &page.next else { return Ok(None) };
        let call = self.results(&page.job).with("pageToken", token.clone());
        let answer = self.exchange(call).await?;
        if answer.status != 200 || !answer.envelope.job_complete {
            return Err(self.unfit(&answer));
        }
        let next = answer.envelope.page_token.filter(|next| !next.is_empty());
        if next.as_ref() == Some(token) {
            return Err(self.service.strange(200).into());
        }
        Ok(Some(Page { job: page.job.clone(), columns: page.columns.clone(), rows: answer.rows, next }))
    }

    fn path(&self, rest: &str) -> String {
        format!("/bigquery/v2/projects/{}/{rest}", self.plan.project)
    }

    fn results(&self, job: &JobReference) -> Call {
        let location = job.location.clone().unwrap_or_else(|| self.plan.location.clone());
        Call::get(self.path(&format!("queries/{}", job.job_id)))
            .with("location", location)
            .with("maxResults", PAGE_ROWS)
            .with("timeoutMs", WAIT.as_millis().to_string())
            .with("formatOptions.useInt64Timestamp", "true")
    }

    fn body(&self, statement: &Statement, request: &str) -> Value {
        let plan = &self.plan;
        let mut body = json!({
            "query": statement.sql,
            "useLegacySql": false,
            "location": plan.location,
            "timeoutMs": WAIT.as_millis() as u64,
            "maxResults": PAGE_ROWS.parse::<u32>().unwrap_or_default(),
            "formatOptions": {"useInt64Timestamp": true},
            "labels": {"backflow": self.label},
            "requestId": request,
        });
        if let Some(dataset) = &plan.dataset {
            body["defaultDataset"] = json!({"projectId": plan.project, "datasetId": dataset});
        }
        if let Some(most) = plan.maximum_bytes_billed.filter(|_| statement.model) {
            body["maximumBytesBilled"] = most.to_string().into();
        }
        if statement.dry {
            body["dryRun"] = true.into();
        }
        if !statement.binds.is_empty() {
            let bind =
                |value: &String| json!({"parameterType": {"type": "STRING"}, "parameterValue": {"value": value}});
            body["parameterMode"] = "POSITIONAL".into();
            body["queryParameters"] = statement.binds.iter().map(bind).collect();
        }
        body
    }

    pub(super) async fn submit(&self, statement: &Statement) -> Result<Answer, Failed> {
        let body = self.body(statement, &request_id()?).to_string();
        self.exchange(Call::post(self.path("queries"), body.into())).await
    }

    /// One request, again if its answer breaks off or the service wants less of them.
    async fn exchange(&self, call: Call) -> Result<Answer, Failed> {
        let mut attempt = 1;
        loop {
            let response = self.service.send(&call, &self.credential).await?;
            let answer = self.answer(response).await;
            let again = match &answer {
                Ok(answer) => {
                    (answer.status == 403 && answer.has("rateLimitExceeded")) || answer.has("jobBackendError")
                }
                Err(failure) => *failure == self.service.broken(),
            };
            if !again || attempt >= AGAIN {
                return Ok(answer?);
            }
            tokio::time::sleep(self.service.pauses.after(attempt, None)).await;
            attempt += 1;
        }
    }

    async fn answer(&self, response: Response) -> Result<Answer, Failure> {
        let status = response.status().as_u16();
        let mut scanner = Scanner::new("rows", 1);
        let (mut rows, mut bytes) = (Vec::new(), 0);
        let mut body = Body::new(response);
        while let Some(piece) = body.next().await.map_err(|_| self.service.broken())? {
            let read = scanner.feed::<Unreadable>(&piece, |row| {
                bytes += row.len();
                rows.push(row.into());
                if bytes > PAGE { Err(Unreadable::TooLong) } else { Ok(()) }
            });
            read.map_err(|unreadable| match unreadable {
                Unreadable::Malformed => self.service.strange(status),
                Unreadable::TooLong => {
                    let message =
                        format!("{} sent a page of more than 64 MiB; leave long columns out", self.service.name);
                    Failure::new(Code::LimitExceeded, message)
                }
            })?;
        }
        let around = scanner.around().ok_or_else(|| match status {
            200 => self.service.broken(),
            status => self.service.strange(status),
        })?;
        let envelope = serde_json::from_slice(&around).map_err(|_| self.service.strange(status))?;
        Ok(Answer { status, envelope, rows })
    }

    /// Waits until a query has ended: its first page.
    pub(super) async fn wait(&self, mut answer: Answer) -> Result<Page, Failed> {
        let looks = async {
            while answer.status == 200 && !answer.envelope.job_complete {
                let job = self.job(&answer)?;
                // The service waits, too, but does not promise it.
                tokio::time::sleep(self.service.pauses.first).await;
                answer = self.exchange(self.results(&job)).await?;
            }
            Ok::<_, Failed>(answer)
        };
        let late = |_| {
            let message = format!("{}: a query had no end within 6 hours; it was cancelled", self.service.name);
            Failure::new(Code::WarehouseUnavailable, message)
        };
        let answer = tokio::time::timeout(LONGEST, looks).await.map_err(late)??;
        if answer.status != 200 {
            return Err(self.unfit(&answer));
        }
        let job = self.job(&answer)?;
        let Envelope { schema, page_token, .. } = answer.envelope;
        let next = page_token.filter(|next| !next.is_empty());
        Ok(Page { job, columns: schema.unwrap_or_default().fields, rows: answer.rows, next })
    }

    /// The job, whose id becomes a part of a path.
    pub(super) fn job(&self, answer: &Answer) -> Result<JobReference, Failure> {
        let job = answer.envelope.job_reference.clone().unwrap_or_default();
        let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
        let fit = !job.job_id.is_empty() && job.job_id.len() <= 1024 && job.job_id.bytes().all(plain);
        if fit { Ok(job) } else { Err(self.service.strange(answer.status)) }
    }

    fn unfit(&self, answer: &Answer) -> Failed {
        let Some(error) = &answer.envelope.error else { return self.service.strange(answer.status).into() };
        let reason = error.errors.first().map(|error| error.reason.clone()).unwrap_or_default();
        let error = SqlError { status: answer.status, reason, message: error.message.clone() };
        match errors::of_service(&error, self) {
            Some(failure) => failure.into(),
            None => Failed::Sql(error),
        }
    }

    pub(super) async fn cancel(&self, job: &JobReference) {
        let path = self.path(&format!("jobs/{}/cancel", job.job_id));
        let location = job.location.clone().unwrap_or_else(|| self.plan.location.clone());
        let call = Call { method: Method::POST, ..Call::get(path) }.with("location", location);
        match self.service.send(&call, &self.credential).await {
            Ok(response) if response.status().is_success() => {}
            _ => tracing::warn!("the query could not be cancelled; it ends by itself"),
        }
    }
}

impl Answer {
    fn has(&self, reason: &str) -> bool {
        self.envelope.error.as_ref().is_some_and(|error| error.errors.iter().any(|error| error.reason == reason))
    }
}
