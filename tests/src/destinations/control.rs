//! Plain requests: for people, and for suites in other processes.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State as Extract};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};

use super::{Credentials, Ledger, Script, Shared, State};

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/ledger", get(ledger))
        .route("/accounts", get(accounts))
        .route("/script/{definition}", post(script))
        .route("/clear/{definition}", post(clear))
        .with_state(shared)
}

async fn ledger(Extract(shared): Extract<Arc<Shared>>) -> Json<Ledger> {
    Json(shared.lock().ledger.clone())
}

async fn accounts(Extract(shared): Extract<Arc<Shared>>) -> Json<BTreeMap<String, Credentials>> {
    Json(shared.credentials())
}

async fn script(
    Extract(shared): Extract<Arc<Shared>>,
    Path(definition): Path<String>,
    Json(script): Json<Script>,
) -> StatusCode {
    answer(&shared, &definition, |state| state.account(&definition).script = script)
}

async fn clear(Extract(shared): Extract<Arc<Shared>>, Path(definition): Path<String>) -> StatusCode {
    answer(&shared, &definition, |state| state.clear(&definition))
}

/// Does something to a vendor that is played.
fn answer(shared: &Shared, definition: &str, act: impl FnOnce(&mut State)) -> StatusCode {
    if !shared.vendors.iter().any(|vendor| vendor.name == definition) {
        return StatusCode::NOT_FOUND;
    }
    act(&mut shared.lock());
    StatusCode::NO_CONTENT
}
