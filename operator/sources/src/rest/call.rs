//! What is asked of a service.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Method, Url};

/// From the request to the first line of the answer: the services hold a request back while a statement runs, for 45 to 50 s.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(90);

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// Its method.
    pub(crate) method: Method,
    /// Path below the service's address, with a leading slash.
    pub(crate) path: String,
    /// Query.
    pub(crate) query: Vec<(&'static str, String)>,
    /// Added to the query when the request may have arrived already.
    pub(crate) again: Option<(&'static str, &'static str)>,
    /// JSON, or what else the service takes.
    pub(crate) body: Option<Bytes>,
    /// Its media type.
    pub(crate) media: &'static str,
    /// How long the first line of the answer may take.
    pub(crate) patience: Duration,
}

impl Call {
    /// Asks for something.
    pub(crate) fn get(path: String) -> Self {
        Self {
            method: Method::GET,
            path,
            query: Vec::new(),
            again: None,
            body: None,
            media: "application/json",
            patience: ANSWER_TIMEOUT,
        }
    }

    /// Says something, in JSON.
    pub(crate) fn post(path: String, body: Bytes) -> Self {
        Self { method: Method::POST, body: Some(body), ..Self::get(path) }
    }

    /// Says something, as a form: what servers of tokens take.
    pub(crate) fn form(path: String, pairs: &[(&str, &str)]) -> Self {
        let pair = |(name, value): &(&str, &str)| format!("{}={}", escaped(name), escaped(value));
        let body = pairs.iter().map(pair).collect::<Vec<_>>().join("&");
        Self { media: "application/x-www-form-urlencoded", ..Self::post(path, body.into()) }
    }

    /// With another media type.
    pub(crate) fn typed(mut self, media: &'static str) -> Self {
        self.media = media;
        self
    }

    /// With one more pair of the query.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }
}

/// Where else an answer is, as the service says: an address that proves itself who asks there.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
}

/// A text within a form.
fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}
