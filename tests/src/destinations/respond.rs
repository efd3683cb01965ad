//! Requests and their answers.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::endpoint::{Endpoint, Given};
use super::inspect::{Right, Wrong, inspect};
use super::request::Request;
use super::tree::{Entry, Scope, text};
use super::vendor::Vendor;
use super::{Fault, State};

/// What becomes of a connection.
#[derive(Debug)]
pub(super) enum Reply {
    Answer(Given),
    Reset,
}

/// Answers a request for `host`, which some vendor has.
pub(super) fn respond(vendors: &[Vendor], state: &mut State, host: &str, request: &Request) -> Reply {
    let here = || vendors.iter().filter(|vendor| vendor.hosts.contains(host));
    if here().any(|vendor| vendor.token.as_ref().is_some_and(|token| token.url == request.url)) {
        return Reply::Answer(issue(here(), state, request));
    }
    let mut refused: Option<(&Vendor, &Endpoint, Wrong)> = None;
    for vendor in here() {
        for (endpoint, path) in vendor.candidates(request) {
            let tokens = &state.account(&vendor.name).tokens;
            match inspect(vendor, endpoint, &path, request, tokens) {
                Ok(right) => return right_request(vendor, endpoint, &path, right, state),
                Err(wrong) => {
                    let closer = |(_, _, known): &(_, _, Wrong)| wrong.findings.len() < known.findings.len();
                    if refused.as_ref().is_none_or(closer) {
                        refused = Some((vendor, endpoint, wrong));
                    }
                }
            }
        }
    }
    let place = format!("{} {}", request.method, request.url);
    let Some((vendor, endpoint, wrong)) = refused else {
        state.ledger.violation(format!("{place}: nobody has such an endpoint"));
        return Reply::Answer(plain(StatusCode::NOT_FOUND, "not found"));
    };
    if !wrong.expired {
        let what = format!("{} ({place}): {}", endpoint.name, wrong.findings.join("; "));
        state.ledger.account(&vendor.name).violation(what);
    }
    let names: &[&str] = if wrong.unauthorized { &["unauthorized"] } else { &["invalid", "refused"] };
    let none = json!({});
    let scope = Scope { body: &none, path: &none, query: &none, now: now(), entries: &[], held: &[] };
    named(vendor, endpoint, names, &scope, state)
}

fn issue<'a>(mut vendors: impl Iterator<Item = &'a Vendor>, state: &mut State, request: &Request) -> Given {
    let meant =
        vendors.find_map(|vendor| Some((vendor, vendor.token.as_ref().filter(|token| token.is_meant(request))?)));
    let issued = meant.context("no client has these credentials").and_then(|(vendor, token)| {
        let account = state.account(&vendor.name);
        let answer = token.issue(request, &mut account.tokens, account.script.rotate)?;
        state.ledger.account(&vendor.name).tokens += 1;
        Ok(answer)
    });
    match issued {
        Ok(answer) => {
            let mut given = plain(StatusCode::OK, &answer.to_string());
            given.headers.insert("content-type", HeaderValue::from_static("application/json"));
            given
        }
        Err(error) => {
            state.ledger.violation(format!("{} {}: {error:#}", request.method, request.url));
            let mut given = plain(StatusCode::BAD_REQUEST, &json!({"error": "invalid_grant"}).to_string());
            given.headers.insert("content-type", HeaderValue::from_static("application/json"));
            given
        }
    }
}

/// Gives the script's fault, or takes the records.
fn right_request(vendor: &Vendor, endpoint: &Endpoint, path: &Value, right: Right, state: &mut State) -> Reply {
    let Right { body, query, mut entries } = right;
    let booked = book(vendor, endpoint, (&body, path, &query), &mut entries, state);
    if let Err(error) = booked {
        state.ledger.account(&vendor.name).violation(format!("{}: {error:#}", endpoint.name));
        return Reply::Answer(plain(StatusCode::INTERNAL_SERVER_ERROR, "see the violations"));
    }
    let counted = entries.iter().any(|entry| entry.operation != "none");
    let fault = counted.then(|| state.account(&vendor.name).script.next.pop_front()).flatten().unwrap_or(Fault::Pass);
    let held = state.account(&vendor.name).held();
    let scope = Scope { body: &body, path, query: &query, now: now(), entries: &entries, held: &held };
    let looked = state.account(&vendor.name).script.check.clone().filter(|_| !counted);
    if let Some(name) = looked {
        return named(vendor, endpoint, &[name.as_str()], &scope, state);
    }
    match fault {
        Fault::Pass => take(vendor, endpoint, &scope, state),
        Fault::LostAnswer => {
            take(vendor, endpoint, &scope, state);
            state.ledger.account(&vendor.name).answered(&endpoint.name, "reset");
            Reply::Reset
        }
        Fault::Reset => {
            state.ledger.account(&vendor.name).answered(&endpoint.name, "reset");
            Reply::Reset
        }
        Fault::Html => {
            let mut page = plain(StatusCode::OK, "<!DOCTYPE html><html><title>Sign in</title><form></form></html>");
            page.headers.insert("content-type", HeaderValue::from_static("text/html; charset=utf-8"));
            state.ledger.account(&vendor.name).answered(&endpoint.name, "200");
            Reply::Answer(page)
        }
        Fault::Unavailable => named(vendor, endpoint, &["unavailable"], &scope, state),
        Fault::Unauthorized => named(vendor, endpoint, &["unauthorized"], &scope, state),
        Fault::ExpireTokens => {
            state.account(&vendor.name).tokens.expire();
            named(vendor, endpoint, &["unauthorized"], &scope, state)
        }
        Fault::Throttled { after } => {
            let mut reply = named(vendor, endpoint, &["throttled"], &scope, state);
            if let (Reply::Answer(given), Some(after)) = (&mut reply, after) {
                hint(&mut given.headers, after);
            }
            reply
        }
    }
}

/// Gives every record its key, its number, and whether it is accepted.
fn book(
    vendor: &Vendor,
    endpoint: &Endpoint,
    (body, path, query): (&Value, &Value, &Value),
    entries: &mut [Entry],
    state: &mut State,
) -> anyhow::Result<()> {
    let account = state.account(&vendor.name);
    let script = &account.script;
    for entry in entries {
        let scope = Scope { body, path, query, now: 0, entries: &[], held: &[] };
        let (key, operation) = endpoint.booked(&scope, entry)?;
        let key = key.unwrap_or_default();
        // What the vendor named itself is the record that it gave the name to.
        entry.key = account.named.get(&key).cloned().unwrap_or(key);
        entry.operation = operation;
        let next = account.known.len() as u64 + 1;
        let known = account.known.entry(entry.key.clone()).or_insert((next, script.everything_exists));
        entry.number = known.0;
        entry.accepted = match entry.operation.as_str() {
            "read" => known.1,
            "none" => true,
            _ => !script.rejects(&entry.key, &entry.value),
        };
        if let Some(id) = &vendor.id {
            entry.id = id.value(&scope, Some(entry))?;
            account.named.insert(text(&entry.id), entry.key.clone());
        }
    }
    Ok(())
}

/// Takes what is not rejected.
fn take(vendor: &Vendor, endpoint: &Endpoint, scope: &Scope<'_>, state: &mut State) -> Reply {
    let writes = |entry: &&Entry| entry.operation != "read" && entry.operation != "none";
    let rejected = scope.entries.iter().filter(writes).any(|entry| !entry.accepted);
    let partial = endpoint.answer("partial").filter(|_| rejected);
    let whole = !rejected || partial.is_some_and(|answer| answer.takes_the_others);
    for entry in scope.entries.iter().filter(writes) {
        if !entry.accepted {
            state.ledger.account(&vendor.name).reject(&entry.key);
        } else if whole {
            state.ledger.account(&vendor.name).take(&entry.key, &entry.operation, &entry.value);
            if let Some(known) = state.account(&vendor.name).known.get_mut(&entry.key) {
                known.1 = entry.operation != "delete";
            }
        }
    }
    let names: &[&str] = match (rejected, partial) {
        (false, _) => &["success"],
        (true, Some(_)) => &["partial"],
        (true, None) => &["refused"],
    };
    named(vendor, endpoint, names, scope, state)
}

/// The first answer that the endpoint has of these names.
fn named(vendor: &Vendor, endpoint: &Endpoint, names: &[&str], scope: &Scope<'_>, state: &mut State) -> Reply {
    let answer = names.iter().find_map(|name| endpoint.answer(name));
    let given = answer
        .with_context(|| format!("there is no answer {}", names.join(" or ")))
        .and_then(|answer| answer.give(scope));
    let given = given.unwrap_or_else(|error| {
        state.ledger.account(&vendor.name).violation(format!("{}: api.yaml: {error:#}", endpoint.name));
        plain(StatusCode::INTERNAL_SERVER_ERROR, "see the violations")
    });
    state.ledger.account(&vendor.name).answered(&endpoint.name, given.status.as_str());
    Reply::Answer(given)
}

/// Other seconds in a vendor's hint, in the form that it has.
fn hint(headers: &mut HeaderMap, after: u64) {
    for (name, value) in headers.iter_mut() {
        let number = value.to_str().ok().and_then(|value| value.parse::<u64>().ok());
        let text = match (name.as_str(), number) {
            ("retry-after", None) => httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(after)),
            ("retry-after", Some(_)) => after.to_string(),
            // Unix seconds, or seconds from now.
            (name, Some(number)) if name.ends_with("-reset") && number > 1_000_000_000 => {
                (now() + after.cast_signed()).to_string()
            }
            (name, Some(_)) if name.ends_with("-reset") => after.to_string(),
            _ => continue,
        };
        if let Ok(text) = HeaderValue::from_str(&text) {
            *value = text;
        }
    }
}

fn plain(status: StatusCode, body: &str) -> Given {
    Given { status, headers: HeaderMap::new(), body: body.to_owned() }
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs().cast_signed())
}
