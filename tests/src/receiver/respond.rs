//! Requests and their answers.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, State as Extract};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use futures::StreamExt as _;
use futures::stream;

use super::line::Cut;
use super::{Entry, Fault, Item, Ledger, RetryAfter, Script, Shared, Summary, inspect};

pub(super) async fn ledger(Extract(shared): Extract<Arc<Shared>>) -> Json<Ledger> {
    Json(shared.lock().ledger.clone())
}

pub(super) async fn summary(Extract(shared): Extract<Arc<Shared>>) -> Json<Summary> {
    Json(shared.lock().ledger.summary())
}

pub(super) async fn script(Extract(shared): Extract<Arc<Shared>>, Json(script): Json<Script>) -> StatusCode {
    shared.lock().script = script;
    StatusCode::NO_CONTENT
}

pub(super) async fn release(Extract(shared): Extract<Arc<Shared>>) -> StatusCode {
    shared.release();
    StatusCode::NO_CONTENT
}

pub(super) async fn clear(Extract(shared): Extract<Arc<Shared>>) -> StatusCode {
    let mut state = shared.lock();
    state.ledger = Ledger::default();
    state.script = Script::default();
    StatusCode::NO_CONTENT
}

/// Counts a request in flight until it is dropped, also when the client goes away.
struct InFlight(Arc<Shared>);

impl InFlight {
    fn new(shared: &Arc<Shared>) -> Self {
        let mut state = shared.lock();
        state.in_flight += 1;
        state.ledger.max_in_flight = state.ledger.max_in_flight.max(state.in_flight);
        drop(state);
        Self(Arc::clone(shared))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.lock().in_flight -= 1;
    }
}

pub(super) async fn batch(
    Extract(shared): Extract<Arc<Shared>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if method == Method::OPTIONS {
        shared.lock().ledger.checks += 1;
        let right = inspect::authorized(&shared.expect, &headers);
        return if right { StatusCode::NO_CONTENT } else { StatusCode::UNAUTHORIZED }.into_response();
    }
    let _in_flight = InFlight::new(&shared);
    let items = match inspect::batch(&shared.expect, &method, &headers, &body) {
        Ok(items) => items,
        Err(wrong) => {
            let message = wrong.join(", ");
            shared.lock().ledger.violations.push(message.clone());
            let unauthorized = wrong.iter().any(|what| what == "authorization");
            let status = if unauthorized { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
            return (status, message).into_response();
        }
    };
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).unwrap_or_default().to_owned();
    let (number, fault) = {
        let mut state = shared.lock();
        let number = state.ledger.requests.len() + 1;
        let entry = Entry { number, idempotency_key: key, records: items.len(), taken: false, status: None };
        state.ledger.requests.push(entry);
        (number, refusal(&state.script, &items).unwrap_or_else(|| state.script.take()))
    };
    if fault == Fault::Hold {
        shared.hold().released().await;
    }
    let response = match &fault {
        Fault::Pass | Fault::Hold => Json(serde_json::json!({"taken": items.len()})).into_response(),
        Fault::Status { status, retry_after } => status_response(*status, *retry_after, body),
        Fault::Html => Html("<!DOCTYPE html><html><title>Sign in</title><form></form></html>").into_response(),
        Fault::EndlessBody => {
            let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"{"))]);
            Body::from_stream(first.chain(stream::pending())).into_response()
        }
        Fault::Reset | Fault::LostAnswer => {
            cut.cut();
            StatusCode::OK.into_response()
        }
    };
    let taken = matches!(fault, Fault::Pass | Fault::Hold | Fault::LostAnswer | Fault::EndlessBody);
    let answered = !matches!(fault, Fault::Reset | Fault::LostAnswer);
    if shared.expect.print {
        print(number, &items, taken, answered.then_some(response.status().as_u16()));
    }
    let mut state = shared.lock();
    // Cleared in between: then nobody wants to know.
    if let Some(entry) = state.ledger.requests.get_mut(number - 1) {
        entry.taken = taken;
        entry.status = answered.then_some(response.status().as_u16());
        if taken {
            state.ledger.items.extend(items.into_iter().map(|item| Item { request: number, ..item }));
        }
    }
    response
}

/// What the script says of batches like this one, whenever they come.
fn refusal(script: &Script, items: &[Item]) -> Option<Fault> {
    if script.max_records.is_some_and(|most| items.len() > most) {
        return Some(Fault::status(413));
    }
    let poisoned = !script.poison.is_empty() && items.iter().any(|item| script.poison.contains(&item.id.to_string()));
    poisoned.then(|| Fault::status(422))
}

fn status_response(status: u16, retry_after: Option<RetryAfter>, body: Bytes) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, body).into_response();
    let text = retry_after.map(|form| match form {
        RetryAfter::Seconds(seconds) => seconds.to_string(),
        RetryAfter::Date(seconds) => httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(seconds)),
    });
    if let Some(value) = text.and_then(|text| HeaderValue::from_str(&text).ok()) {
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    response
}

fn print(number: usize, items: &[Item], taken: bool, status: Option<u16>) {
    let op = items.first().map_or("", |item| item.op.as_str());
    let what = if taken { "taken" } else { "refused" };
    match status {
        Some(status) => println!("batch {number}: {} {op}, {what}, answered {status}", items.len()),
        None => println!("batch {number}: {} {op}, {what}, connection cut", items.len()),
    }
}
