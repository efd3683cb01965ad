//! Requests as they came, for tests that compare them.

use std::collections::BTreeMap;

use super::request::Request;

/// The most requests that are kept.
const MOST: usize = 1000;

/// A request for a vendor's host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its method.
    pub method: String,
    /// Without its query.
    pub url: String,
    /// In the order of the request.
    pub query: Vec<(String, String)>,
    /// Those that are text, by lower-case names.
    pub headers: BTreeMap<String, String>,
    /// Unpacked; what is no UTF-8 is replaced.
    pub body: String,
}

/// What is kept: nothing until it starts.
#[derive(Default)]
pub(super) struct Recording(Option<Vec<Recorded>>);

impl Recording {
    /// Forgets what was kept, and keeps what comes.
    pub(super) fn start(&mut self) {
        self.0 = Some(Vec::new());
    }

    pub(super) fn kept(&self) -> &[Recorded] {
        self.0.as_deref().unwrap_or_default()
    }

    pub(super) fn keep(&mut self, request: &Request) {
        let Some(kept) = self.0.as_mut().filter(|kept| kept.len() < MOST) else { return };
        let text = |(name, value): (&axum::http::HeaderName, &axum::http::HeaderValue)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        };
        kept.push(Recorded {
            method: request.method.to_string(),
            url: request.url.clone(),
            query: request.query.clone(),
            headers: request.headers.iter().filter_map(text).collect(),
            body: String::from_utf8_lossy(&request.body).into_owned(),
        });
    }
}
