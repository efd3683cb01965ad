//! The webhook: records as a JSON array, one request for a batch.

mod endpoint;
mod sign;

use async_trait::async_trait;
use backflow_core::code::{Code, Failure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Method, Request};
use sha2::{Digest as _, Sha256};

use backflow_core::cell::write_string;
use backflow_core::record::Record;

use crate::delivery::{Answer, Batch, Transport, Trouble};
use crate::http;

pub(crate) use endpoint::Endpoint;

/// Sends batches to one endpoint.
pub(crate) struct Webhook {
    endpoint: Endpoint,
    client: Client,
}

impl Webhook {
    pub(crate) fn new(endpoint: Endpoint, connections: usize) -> Result<Self, Failure> {
        let client = http::client(&endpoint.url, endpoint.allow_loopback, connections)?;
        Ok(Self { endpoint, client })
    }

    fn request(&self, method: Method, body: Bytes) -> Request {
        let mut request = Request::new(method, self.endpoint.url.clone());
        let headers = request.headers_mut();
        headers.clone_from(&self.endpoint.headers);
        if let Some(key) = &self.endpoint.signing_key {
            let now = jiff::Timestamp::now().as_second();
            if let Ok(signature) = HeaderValue::from_str(&sign::signature(key, now, &body)) {
                headers.insert("backflow-signature", signature);
            }
        }
        *request.body_mut() = Some(body.into());
        request
    }

    /// See [`crate::check`]. Any answer but a refusal of the credentials or a move elsewhere will do: most receivers only know POST, and
    /// say 404 or 405 (behind some gateways 403) to everything else.
    pub(crate) async fn check(&self) -> Result<String, Failure> {
        let Answer { status, .. } =
            self.exchange(self.request(Method::OPTIONS, Bytes::new())).await.map_err(|t| t.failure)?;
        let shown = self.shown();
        match status {
            401 => Err(Failure::new(
                Code::DestinationUnauthorized,
                if self.endpoint.authenticates {
                    format!("{shown} refuses the secret authToken; put a valid one into its Secret")
                } else {
                    format!("{shown} wants credentials; give the secret authToken")
                },
            )),
            301 | 308 => Err(Failure::new(
                Code::DestinationMisconfigured,
                format!(
                    "{shown} has moved (it answers {status}), and redirects are not followed; set settings.url to the new address"
                ),
            )),
            407 => Err(Failure::new(
                Code::DestinationMisconfigured,
                format!("a proxy on the way to {shown} wants credentials; check the proxy of the worker's environment"),
            )),
            _ => Ok(shown.to_owned()),
        }
    }

    async fn exchange(&self, request: Request) -> Result<Answer, Trouble> {
        let sent = tokio::time::timeout(crate::delivery::REQUEST_TIMEOUT, self.client.execute(request)).await;
        match sent {
            Ok(Ok(response)) => Ok(http::answer(response).await),
            Ok(Err(error)) => Err(http::trouble(&self.endpoint.url, &error)),
            Err(_) => Err(Trouble::timeout(self.shown())),
        }
    }
}

#[async_trait]
impl Transport for Webhook {
    fn shown(&self) -> &str {
        &self.endpoint.shown
    }

    fn encode(&self, records: &[Record]) -> Batch {
        let size: usize = records.iter().map(|record| size(record)).sum();
        let mut text = String::with_capacity(size + 2);
        let mut ends = Vec::with_capacity(records.len());
        text.push('[');
        for record in records {
            text.push_str("{\"id\":");
            text.push_str(&record.id);
            text.push_str(",\"op\":\"");
            text.push_str(record.op.as_str());
            text.push_str("\",\"key\":");
            write_string(&record.key, &mut text);
            for (name, value) in [("match", &record.memory.match_key), ("group", &record.memory.group_key)] {
                if let Some(json) = value {
                    text.push_str(",\"");
                    text.push_str(name);
                    text.push_str("\":");
                    text.push_str(json);
                }
            }
            text.push_str(",\"data\":");
            text.push_str(&record.data);
            text.push_str("},");
            ends.push(text.len());
        }
        if !records.is_empty() {
            text.pop();
        }
        text.push(']');
        Batch { body: text.into(), ends }
    }

    async fn send(&self, records: &[Record], body: Bytes) -> Result<Answer, Trouble> {
        let mut request = self.request(self.endpoint.method.clone(), body);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Ok(key) = HeaderValue::from_str(&request_key(records)) {
            request.headers_mut().insert("idempotency-key", key);
        }
        self.exchange(request).await
    }
}

/// Bytes of a record's item, about.
fn size(record: &Record) -> usize {
    let Record { id, key, data, memory, .. } = record;
    let found_by = [&memory.match_key, &memory.group_key].into_iter().flatten().map(|text| text.len() + 11);
    id.len() + key.len() + data.len() + found_by.sum::<usize>() + 48
}

/// A request's idempotency key: 22 characters of the base64url of the SHA-256 over its records' keys, each followed by a line feed.
fn request_key(records: &[Record]) -> String {
    let mut hash = Sha256::new();
    for record in records {
        hash.update(&record.key);
        hash.update(b"\n");
    }
    let mut key = URL_SAFE_NO_PAD.encode(hash.finalize());
    key.truncate(22);
    key
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
