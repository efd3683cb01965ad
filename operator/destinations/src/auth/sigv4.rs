//! Signature version 4 of AWS, on a request.

use std::time::SystemTime;

use backflow_core::code::{Code, Failure};
use backflow_core::sigv4::{SigV4, Signable};
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use secrecy::ExposeSecret as _;

use super::unusable;
use crate::http::Outgoing;

/// Adds date, session token and signature.
pub(super) fn sign(scheme: &SigV4, request: &mut Outgoing, now: SystemTime) -> Result<(), Failure> {
    let now = jiff::Timestamp::try_from(now)
        .map_err(|_| Failure::new(Code::Internal, "this machine's clock cannot be written as a date"))?;
    let headers: Vec<(String, String)> = request
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let query: Vec<(String, String)> = request.url.query_pairs().into_owned().collect();
    // They are encoded as the signature has them: a plus for a blank would be another query.
    if !query.is_empty() {
        let encoded = |text: &str| backflow_core::sigv4::encoded(text, false);
        let pairs = query.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
        request.url.set_query(Some(&pairs.collect::<Vec<_>>().join("&")));
    }
    let signed = scheme.sign(
        &Signable {
            method: request.method.as_str(),
            host: &request.host(),
            path: request.url.path(),
            query: &query,
            headers: &headers,
            body: &request.body,
        },
        now,
    );
    let value = |text: &str, secret: bool| {
        let mut value = HeaderValue::from_str(text).map_err(|_| unusable("a credential", "cannot be sent"))?;
        value.set_sensitive(secret);
        Ok::<_, Failure>(value)
    };
    request.headers.insert(HeaderName::from_static("x-amz-date"), value(&signed.date, false)?);
    if let Some(token) = &signed.token {
        request.headers.insert(HeaderName::from_static("x-amz-security-token"), value(token.expose_secret(), true)?);
    }
    request.headers.insert(AUTHORIZATION, value(signed.authorization.expose_secret(), true)?);
    Ok(())
}
