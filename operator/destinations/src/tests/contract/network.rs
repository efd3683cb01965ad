//! The network of a case: it compares each request with the next expected one, and answers as the case says.

use std::io::Read as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use backflow_core::code::{Code, Failure};
use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use super::compare::Expected;
use crate::delivery::Trouble;
use crate::http::{Network, Outgoing, RawAnswer};

/// A request that was made.
pub(super) struct Made {
    pub(super) method: String,
    /// Without its query.
    pub(super) url: String,
    pub(super) query: Vec<(String, String)>,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Made {
    fn new(outgoing: &Outgoing) -> Self {
        let mut url = outgoing.url.clone();
        let query = url.query_pairs().into_owned().collect();
        url.set_query(None);
        let packed = outgoing.headers.get("content-encoding").is_some_and(|value| value == "gzip");
        let mut body = outgoing.body.to_vec();
        if packed {
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(body.as_slice()).read_to_end(&mut plain).expect("gzip");
            body = plain;
        }
        let url = url.to_string().trim_end_matches('/').to_owned();
        Self { method: outgoing.method.to_string(), url, query, headers: outgoing.headers.clone(), body }
    }

    pub(super) fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn form(&self) -> Vec<(String, String)> {
        url::form_urlencoded::parse(&self.body).into_owned().collect()
    }

    /// The document; of NDJSON the list of its lines.
    pub(super) fn body(&self) -> Value {
        let text = self.text();
        if self.header("content-type").is_some_and(|kind| kind.contains("ndjson")) {
            return text.lines().map(|line| serde_json::from_str(line).unwrap_or(Value::Null)).collect();
        }
        serde_json::from_str(&text).unwrap_or(Value::String(text))
    }

    /// The rows of a table, by the names of their columns.
    pub(super) fn rows(&self) -> Vec<Value> {
        let mut reader = csv::Reader::from_reader(self.body.as_slice());
        let header = reader.headers().expect("a header").clone();
        let row = |row: csv::StringRecord| {
            header.iter().zip(&row).map(|(name, cell)| (name.to_owned(), Value::from(cell))).collect()
        };
        reader.records().map(|record| row(record.expect("a row"))).collect()
    }

    pub(super) fn is_token_request(&self) -> bool {
        self.form().iter().any(|(name, _)| name == "grant_type")
    }
}

/// One request that is expected, and its answer.
pub(super) struct Exchange {
    pub(super) expected: Expected,
    pub(super) answer: Value,
}

#[derive(Default)]
struct State {
    pending: Vec<Exchange>,
    wrong: Option<String>,
    answered: Option<Instant>,
    /// After all that was expected, and how much later, the engine tried again.
    again: Option<Duration>,
}

/// The network of one case.
pub(super) struct Script {
    state: Mutex<State>,
    /// What the token endpoint answers to a request that no case expects: the first.
    token: Mutex<Option<Value>>,
    /// Requests may come in any order.
    unordered: bool,
    stop: watch::Sender<Option<Failure>>,
}

impl Script {
    pub(super) fn new(
        pending: Vec<Exchange>,
        token: Value,
        unordered: bool,
        stop: watch::Sender<Option<Failure>>,
    ) -> Self {
        let state = Mutex::new(State { pending, ..State::default() });
        Self { state, token: Mutex::new(Some(token)), unordered, stop }
    }

    /// What went otherwise than expected, and how long the engine waited before it tried again.
    pub(super) fn ended(&self) -> (Option<String>, Option<Duration>) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let left = (!state.pending.is_empty()).then(|| {
            let first = &state.pending[0].expected.request;
            let (method, path) = (first["method"].as_str(), first["path"].as_str());
            let (method, path) = (method.unwrap_or_default(), path.unwrap_or_default());
            format!("{} expected requests were not made, first {method} {path}", state.pending.len())
        });
        (state.wrong.clone().or(left), state.again)
    }

    fn decide(&self, made: &Made) -> Option<Value> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.wrong.is_some() {
            return None;
        }
        let reach = if self.unordered { state.pending.len() } else { 1 };
        let found = state.pending.iter().take(reach).position(|next| next.expected.mismatch(made).is_none());
        if let Some(at) = found {
            let exchange = state.pending.remove(at);
            state.answered = Some(Instant::now());
            return Some(exchange.answer);
        }
        if made.is_token_request()
            && let Some(token) = self.token.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            return Some(serde_json::json!({"status": 200, "body": token}));
        }
        match state.pending.first() {
            Some(next) => state.wrong = next.expected.mismatch(made),
            None => {
                let since = state.answered.map(|at| at.elapsed()).unwrap_or_default();
                if since.is_zero() {
                    state.wrong = Some(format!("one request more than expected: {} {}", made.method, made.url));
                } else {
                    state.again = Some(since);
                }
            }
        }
        None
    }
}

#[async_trait]
impl Network for Script {
    async fn exchange(&self, outgoing: &Outgoing) -> Result<RawAnswer, Trouble> {
        let made = Made::new(outgoing);
        let Some(answer) = self.decide(&made) else {
            // The case is over: nothing more is to be sent.
            let over = Failure::new(Code::Canceled, "the case is over");
            let _ = self.stop.send(Some(over.clone()));
            return Err(Trouble::unsent(over));
        };
        if answer["timeout"] == true {
            return Err(Trouble::timeout("https://example.com", Duration::from_secs(30)));
        }
        if answer["reset"] == true {
            return Err(reset());
        }
        let mut headers = HeaderMap::new();
        for (name, value) in answer["headers"].as_object().into_iter().flatten() {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            headers.insert(
                HeaderName::from_bytes(name.as_bytes()).expect("a name"),
                HeaderValue::from_str(&text).expect("a value"),
            );
        }
        let body = match &answer["body"] {
            Value::Null => Bytes::new(),
            Value::String(text) => Bytes::from(text.clone()),
            document => Bytes::from(document.to_string()),
        };
        let status =
            answer["status"].as_u64().and_then(|status| u16::try_from(status).ok()).expect("an answer has a status");
        Ok(RawAnswer { status, headers, body, cut: false })
    }
}

fn reset() -> Trouble {
    Trouble::perhaps_arrived(Failure::new(Code::DestinationUnreachable, "the connection broke"))
}
