//! Requests: who asks, with which settings, and how an exception of the server is told from an answer.
//!
//! The first bytes of an answer are sent before the query has ended. What goes wrong later comes after status 200, as text behind the rows,
//! or as a member of the document around them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backflow_core::code::{Code, Failure};
use backflow_core::plan::Server;
use backflow_core::secret::Secrets;
use reqwest::Response;
use reqwest::header::{HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::RwLock;

use super::errors::{Failed, SqlError};
use crate::rest::body::Body;
use crate::rest::{Authorize, Call, Service, request_id};
use crate::tls::{self, Peer};

/// The longest that a read of a model may take, and be silent: a sort says nothing until it is done.
pub(super) const LONGEST: Duration = Duration::from_secs(6 * 3600);
/// The longest that a statement over the state may take.
const STATE: Duration = Duration::from_secs(120);
/// How much longer than the server's own limit its answer is waited for.
const MARGIN: Duration = Duration::from_secs(30);
/// Bytes of an answer to a statement of our own.
const ANSWER: usize = 64 << 20;
/// Bytes of an exception, which may quote the statement.
const EXCEPTION: usize = 256 << 10;

/// Only the server itself sets it.
const CODE: &str = "x-clickhouse-exception-code";

/// Formats that neither server nor profile may change, or rows would look new: integers beyond 2^53 and decimals as strings, all digits of a
/// decimal, instants in UTC by ISO 8601.
const FORMATS: [(&str, &str); 9] = [
    ("default_format", "JSONCompact"),
    ("output_format_json_quote_64bit_integers", "1"),
    ("output_format_json_quote_decimals", "1"),
    ("output_format_json_quote_denormals", "1"),
    ("output_format_json_named_tuples_as_objects", "1"),
    ("output_format_json_escape_forward_slashes", "0"),
    ("output_format_decimal_trailing_zeros", "1"),
    ("date_time_output_format", "iso"),
    ("session_timezone", "UTC"),
];

/// A read changes nothing, and ends with its client.
const READ: [(&str, &str); 3] =
    [("readonly", "2"), ("cancel_http_readonly_queries_on_client_close", "1"), ("replace_running_query", "1")];

/// What is written is there when the answer is, once for each token, and is seen by the next read.
const WRITE: [(&str, &str); 3] =
    [("async_insert", "0"), ("insert_deduplicate", "1"), ("select_sequential_consistency", "1")];

/// One statement.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub(super) sql: String,
    read: bool,
    /// An insert of this token is done once.
    token: Option<String>,
}

impl Statement {
    /// Reads a model.
    pub(super) fn read(sql: String) -> Self {
        Self { sql, read: true, token: None }
    }

    /// Of the state.
    pub(super) fn own(sql: String) -> Self {
        Self { read: false, ..Self::read(sql) }
    }

    /// An insert that is done once, also if it is sent again or by two at once.
    pub(super) fn once(sql: String, token: String) -> Self {
        Self { token: Some(token), ..Self::own(sql) }
    }

    fn limit(&self) -> Duration {
        if self.read { LONGEST } else { STATE }
    }
}

/// A column of an answer.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Meta {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
}

/// An answer's document. Its rows are cut out of it where there may be many.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Document {
    pub(super) meta: Vec<Meta>,
    data: Vec<Vec<Value>>,
    pub(super) rows: u64,
    pub(super) exception: Option<String>,
}

/// User and password, in headers that no log of a proxy shows.
struct Credential(Vec<(HeaderName, HeaderValue)>);

impl Credential {
    fn new(plan: &Server, password: Option<&SecretString>) -> Result<Self, Failure> {
        let header = |text: &str, what: &str| {
            let mut value = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| {
                let message = format!(
                    "the {what} for ClickHouse at {}:{} holds a line break or another control character",
                    plan.host, plan.port
                );
                Failure::new(Code::AuthenticationFailed, message)
            })?;
            value.set_sensitive(true);
            Ok::<_, Failure>(value)
        };
        let mut headers = vec![(HeaderName::from_static("x-clickhouse-user"), header(&plan.user, "user")?)];
        if let Some(password) = password {
            headers.push((HeaderName::from_static("x-clickhouse-key"), header(password.expose_secret(), "password")?));
        }
        Ok(Self(headers))
    }
}

#[async_trait]
impl Authorize for Credential {
    async fn bearer(&self, _stale: bool) -> Result<Option<SecretString>, Failure> {
        Ok(None)
    }

    fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        self.0.clone()
    }
}

/// A server.
pub(super) struct Api {
    pub(super) service: Service,
    credential: Credential,
    pub(super) plan: Server,
    /// What `system.query_log` shows of our statements.
    comment: String,
    /// Read-locked by every read that is to be killed when it is dropped.
    pub(super) running: Arc<RwLock<()>>,
}

impl Api {
    pub(super) fn new(plan: &Server, secrets: &dyn Secrets, application: &str) -> Result<Self, Failure> {
        let peer = Peer::new(format!("ClickHouse at {}:{}", plan.host, plan.port), &plan.host, &plan.tls);
        let config = tls::client(&plan.tls, &peer, secrets)?;
        let password = plan.password.as_ref().map(|password| secrets.read(password)).transpose()?;
        let mut service = Service::server(peer, plan.port, config)?;
        service.mark = Some(CODE);
        Ok(Self {
            service,
            credential: Credential::new(plan, password.as_ref())?,
            plan: plan.clone(),
            comment: application.to_owned(),
            running: Arc::default(),
        })
    }

    fn call(&self, statement: &Statement, id: &str) -> Call {
        let mut call = Call::post("/".into(), statement.sql.clone().into());
        call.patience = statement.limit() + MARGIN;
        let more: &[_] = if statement.read { &READ } else { &WRITE };
        for (name, value) in FORMATS.iter().chain(more) {
            call = call.with(name, *value);
        }
        if let Some(token) = &statement.token {
            call = call.with("insert_deduplication_token", token);
        }
        call.with("database", &self.plan.database)
            .with("query_id", id)
            .with("log_comment", &self.comment)
            .with("max_query_size", "4194304")
            .with("max_execution_time", statement.limit().as_secs().to_string())
    }

    /// Sends a statement, which the server is to know under `id`: an answer that has begun.
    pub(super) async fn send(&self, statement: &Statement, id: &str) -> Result<Response, Failed> {
        let response = self.service.send(&self.call(statement, id), &self.credential).await?;
        let status = response.status().as_u16();
        let code = response.headers().get(CODE).and_then(|code| code.to_str().ok()?.parse().ok());
        if status == 200 && code.is_none() {
            return Ok(response);
        }
        let text = Body::new(response).whole(EXCEPTION).await.unwrap_or_default();
        let error = exception(&text).or_else(|| code.map(|code| SqlError { code, message: String::new() }));
        Err(error.map_or_else(|| self.service.strange(status).into(), Failed::Sql))
    }

    async fn document(&self, statement: &Statement) -> Result<Document, Failed> {
        let response = self.send(statement, &request_id()?).await?;
        let body = Body::patient(response, statement.limit()).whole(ANSWER).await.map_err(|_| self.service.broken())?;
        if body.trim_ascii().is_empty() {
            return Ok(Document::default());
        }
        let document: Document = match serde_json::from_slice(&body) {
            Ok(document) => document,
            Err(error) => {
                let cut = if error.is_eof() { self.service.broken() } else { self.service.strange(200) };
                return Err(exception(&body).map_or_else(|| cut.into(), Failed::Sql));
            }
        };
        if let Some(error) = document.exception.as_ref().and_then(|text| exception(text.as_bytes())) {
            return Err(Failed::Sql(error));
        }
        if document.rows != document.data.len() as u64 {
            return Err(self.service.broken().into());
        }
        Ok(document)
    }

    /// All rows of a statement of our own.
    pub(super) async fn rows(&self, statement: &Statement) -> Result<Vec<Vec<Option<String>>>, Failed> {
        let text = |value: Value| match value {
            Value::Null => None,
            Value::String(text) => Some(text),
            other => Some(other.to_string()),
        };
        let rows = self.document(statement).await?.data.into_iter();
        Ok(rows.map(|row| row.into_iter().map(text).collect()).collect())
    }

    /// The columns of a query that returns no rows.
    pub(super) async fn described(&self, statement: &Statement) -> Result<Vec<Meta>, Failed> {
        Ok(self.document(statement).await?.meta)
    }

    /// Ends a query that nobody waits for any more.
    pub(super) async fn kill(&self, id: &str) {
        let statement = Statement::own(format!("KILL QUERY WHERE query_id = '{id}' ASYNC"));
        if self.rows(&statement).await.is_err() {
            tracing::warn!("the query could not be killed; the server ends it when it next sends rows");
        }
    }
}

/// The last exception in a text: `Code: 241. DB::Exception: …`.
pub(super) fn exception(text: &[u8]) -> Option<SqlError> {
    let text = String::from_utf8_lossy(text);
    text.rmatch_indices("Code: ").find_map(|(at, mark)| {
        let (code, rest) = text[at + mark.len()..].split_once(". DB::")?;
        let (_, message) = rest.split_once("Exception: ")?;
        Some(SqlError { code: code.parse().ok()?, message: message.to_owned() })
    })
}
