//! Whether a request is right.

use serde_json::Value;

use super::endpoint::Endpoint;
use super::request::Request;
use super::tokens::Tokens;
use super::tree::Entry;
use super::vendor::{Spot, Vendor};

/// The most that is said about one body.
const FINDINGS: usize = 5;

/// A request that is right.
#[derive(Debug)]
pub(super) struct Right {
    pub(super) body: Value,
    pub(super) query: Value,
    pub(super) entries: Vec<Entry>,
}

/// What is wrong with a request.
#[derive(Debug, Default)]
pub(super) struct Wrong {
    /// The credentials are.
    pub(super) unauthorized: bool,
    /// The sender could not know that its token had ended.
    pub(super) expired: bool,
    pub(super) findings: Vec<String>,
}

/// Reads a request as one to this endpoint.
pub(super) fn inspect(
    vendor: &Vendor,
    endpoint: &Endpoint,
    path: &Value,
    request: &Request,
    tokens: &Tokens,
) -> Result<Right, Wrong> {
    let mut wrong = Wrong::default();
    let (query, body) = (request.query(), endpoint.encoding.read(request));
    for (spot, expected) in &vendor.auth {
        let given = match spot {
            Spot::Header(name) => request.header(name),
            Spot::Query(name) => query[name].as_str(),
            Spot::Body(pointer) => body.as_ref().ok().and_then(|body| body.pointer(pointer)).and_then(Value::as_str),
        };
        let given = given.unwrap_or_default();
        if !tokens.fits(expected, given) {
            wrong.unauthorized = true;
            wrong.expired |= tokens.did_fit(expected, given);
            wrong.findings.push(format!("the credential {spot:?} is wrong"));
        }
    }
    wrong.findings.extend(parameters(vendor, endpoint, request));
    for (name, expected) in &endpoint.headers {
        let given = request.header(name);
        if given != Some(expected) {
            wrong.findings.push(format!("the header {name} is {given:?} instead of {expected:?}"));
        }
    }
    if endpoint.max_bytes.is_some_and(|most| request.body.len() > most) {
        wrong.findings.push(format!("the body has {} bytes", request.body.len()));
    }
    let read = body.and_then(|body| Ok((endpoint.entries(&body, path, &query)?, body)));
    match read {
        Err(error) => wrong.findings.push(format!("{error:#}")),
        Ok((entries, body)) => {
            wrong.findings.extend(content(endpoint, &body, &entries));
            if wrong.findings.is_empty() {
                return Ok(Right { body, query, entries });
            }
        }
    }
    Err(wrong)
}

fn parameters(vendor: &Vendor, endpoint: &Endpoint, request: &Request) -> Vec<String> {
    let rules = &endpoint.query;
    let given = |name: &str| request.query.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
    let missing =
        rules.required.iter().filter(|name| given(name).is_none()).map(|name| format!("the query has no {name}"));
    let credential = |name: &str| vendor.auth.iter().any(|(spot, _)| matches!(spot, Spot::Query(own) if own == name));
    let known = |name: &String| {
        rules.required.contains(name)
            || rules.optional.contains(name)
            || rules.fixed.contains_key(name)
            || credential(name)
    };
    let unknown =
        request.query.iter().filter(|(name, _)| !known(name)).map(|(name, _)| format!("the query has {name}"));
    let fixed = rules.fixed.iter().filter(|(name, value)| given(name) != Some(value));
    missing.chain(unknown).chain(fixed.map(|(name, value)| format!("{name} of the query is not {value}"))).collect()
}

/// What is wrong with a body, without any of its values.
fn content(endpoint: &Endpoint, body: &Value, entries: &[Entry]) -> Vec<String> {
    let mut findings = Vec::new();
    if entries.is_empty() {
        findings.push("it holds no record".to_owned());
    }
    if endpoint.max_items.is_some_and(|most| entries.len() > most) {
        findings.push(format!("it holds {} records", entries.len()));
    }
    let Some(schema) = &endpoint.schema else { return findings };
    let mut judge = |value: &Value, prefix: String| {
        findings.extend(schema.findings(value, FINDINGS).into_iter().map(|finding| format!("{prefix}{finding}")));
    };
    if endpoint.encoding.of_entries() {
        for entry in entries {
            judge(&entry.value, format!("/{}", entry.index));
        }
    } else {
        judge(body, String::new());
    }
    findings.truncate(FINDINGS);
    findings
}
