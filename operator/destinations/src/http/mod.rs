//! HTTP: requests that are ready to be sent, the client that sends them to hosts it may, and what it makes of answers and errors.

mod answer;
mod client;
mod hosts;
mod trouble;

use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Method, Url};

pub(crate) use answer::{RawAnswer, Reading};
pub(crate) use client::{Client, Timeouts};

/// A request, complete but for what authentication adds.
#[derive(Clone)]
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Outgoing {
    /// A POST without headers.
    #[cfg(test)]
    pub(crate) fn post(url: &str, body: &'static str) -> Self {
        let url = Url::parse(url).expect("a URL");
        Self { method: Method::POST, url, headers: HeaderMap::new(), body: Bytes::from_static(body.as_bytes()) }
    }

    /// The host, with its port if it is not the scheme's own: what the header `Host` says.
    pub(crate) fn host(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        match self.url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    /// Path and query, as sent.
    pub(crate) fn target(&self) -> String {
        match self.url.query() {
            Some(query) => format!("{}?{query}", self.url.path()),
            None => self.url.path().to_owned(),
        }
    }
}

/// Answers requests in the place of hosts.
#[cfg(test)]
#[async_trait::async_trait]
pub(crate) trait Network: Send + Sync {
    async fn exchange(&self, outgoing: &Outgoing) -> Result<RawAnswer, crate::delivery::Trouble>;
}

/// Scheme, host and port: what may be shown of a URL. Its path and query are where webhooks carry tokens.
pub(crate) fn shown(url: &Url) -> String {
    url.origin().ascii_serialization()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_url_only_the_server_is_shown() {
        let url = Url::parse("https://u:p@example.com:8443/a/b?token=s3cret#f").expect("url");
        assert_eq!(shown(&url), "https://example.com:8443");
    }
}
