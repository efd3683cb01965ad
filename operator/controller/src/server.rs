//! `/healthz`, `/readyz` and `/metrics`. Up before the election: a controller that waits for its turn is alive.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::metrics::Metrics;
use crate::signal::Stop;

/// What stands in the way of being ready. Empty: ready.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<BTreeSet<String>>>);

impl Readiness {
    /// Something stands in the way: `what` in words.
    pub fn wait_for(&self, what: impl Into<String>) {
        self.lock().insert(what.into());
    }

    /// Nothing does: a controller that does not lead waits for nothing else.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// It no longer does.
    pub fn done(&self, what: &str) {
        self.lock().remove(what);
    }

    fn waiting(&self) -> Vec<String> {
        self.lock().iter().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts the server. It ends when the process stops.
///
/// # Errors
/// If the address is taken.
pub async fn start(addr: SocketAddr, readiness: Readiness, metrics: Arc<Metrics>, stop: Stop) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(addr)
        .await
        .map_err(|error| anyhow::anyhow!("--http-addr {addr}: {error}; choose another port"))?;
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready).with_state(readiness))
        .route("/metrics", get(scrape).with_state(metrics));
    let server = axum::serve(listener, router).with_graceful_shutdown(async move { stop.requested().await });
    tokio::spawn(async move {
        if let Err(error) = server.await {
            tracing::error!(%error, "The health server ended.");
        }
    });
    Ok(())
}

async fn ready(State(readiness): State<Readiness>) -> impl IntoResponse {
    match readiness.waiting() {
        waiting if waiting.is_empty() => (StatusCode::OK, "ok\n".to_owned()),
        waiting => (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for {}\n", waiting.join(", "))),
    }
}

async fn scrape(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    match metrics.encode() {
        Ok(text) => {
            let kind = [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];
            (StatusCode::OK, kind, text).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
