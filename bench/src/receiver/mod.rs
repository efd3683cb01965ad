//! The receiver of all competitors: parses every batch, remembers a hash of every record, and fails on request.
//!
//! A process of its own, so that what it costs can be told from what the sender costs. Beside batches (any path, POST) it answers:
//!
//! | request | answer |
//! |---|---|
//! | `OPTIONS` anything | 204 |
//! | `GET /taken` | all records that were taken, as [`crate::taken::encode`] writes them |
//! | `GET /stats` | [`Stats`] as JSON |
//! | `POST /faults` | takes [`Faults`] as JSON |
//! | `POST /clear` | forgets records, counts and faults |

mod batch;
mod client;
mod fault;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use backflow_tests::receiver::line;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::taken::{Taken, encode};
use fault::Verdict;

pub use client::Client;
pub use fault::Faults;

/// The code of a record that is refused by itself.
pub const REJECTED: &str = "INVALID_RECORD";

/// What a receiver counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Requests with batches, answered or cut.
    pub requests: u64,
    /// Requests that were taken.
    pub taken: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes of the bodies of all requests.
    pub bytes: u64,
    /// Answers 429.
    pub throttled: u64,
    /// Answers 422.
    pub refused: u64,
    /// Records that were refused inside of an answer 207.
    pub rejected: u64,
    /// Connections that were cut.
    pub cut: u64,
    /// Requests whose body was no batch.
    pub malformed: u64,
}

#[derive(Default)]
struct Ledger {
    batches: Vec<Vec<Taken>>,
    stats: Stats,
    faults: fault::Plan,
}

#[derive(Default)]
struct Shared(Mutex<Ledger>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves until the process is ended. Says on standard output where it listens.
///
/// # Errors
/// The address cannot be bound.
pub async fn serve(address: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await?;
    println!("{}", listener.local_addr()?);
    let router = Router::new()
        .route("/taken", get(records))
        .route("/stats", get(async |State(shared): State<Arc<Shared>>| axum::Json(shared.lock().stats.clone())))
        .route("/faults", post(faults))
        .route("/clear", post(async |State(shared): State<Arc<Shared>>| *shared.lock() = Ledger::default()))
        .fallback(take)
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::default());
    Ok(axum::serve(line::Lines(listener), router.into_make_service_with_connect_info::<line::Cut>()).await?)
}

async fn records(State(shared): State<Arc<Shared>>) -> Vec<u8> {
    let ledger = shared.lock();
    let mut out = Vec::new();
    for batch in &ledger.batches {
        out.extend(encode(batch));
    }
    out
}

async fn faults(State(shared): State<Arc<Shared>>, axum::Json(faults): axum::Json<Faults>) {
    shared.lock().faults = fault::Plan::new(faults);
}

async fn take(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(cut): ConnectInfo<line::Cut>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    let json = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    let batch = batch::parse(&body).ok().filter(|batch| method == Method::POST && json && !batch.is_empty());
    let due = shared.lock().faults.due();
    if let Some(due) = due {
        tokio::time::sleep_until(due.into()).await;
    }
    let mut ledger = shared.lock();
    ledger.stats.requests += 1;
    ledger.stats.bytes += body.len() as u64;
    let Some(batch) = batch else {
        ledger.stats.malformed += 1;
        return StatusCode::BAD_REQUEST.into_response();
    };
    match ledger.faults.verdict(&batch) {
        Verdict::Take => {
            ledger.stats.taken += 1;
            ledger.stats.records += batch.len() as u64;
            ledger.batches.push(batch);
            StatusCode::OK.into_response()
        }
        Verdict::TakeSome(taken) => {
            ledger.stats.taken += 1;
            let answers: Vec<Value> = taken
                .iter()
                .map(|taken| if *taken { json!({"ok": true}) } else { json!({"ok": false, "code": REJECTED}) })
                .collect();
            let batch: Vec<Taken> =
                batch.into_iter().zip(taken).filter_map(|(one, taken)| taken.then_some(one)).collect();
            ledger.stats.rejected += (answers.len() - batch.len()) as u64;
            ledger.stats.records += batch.len() as u64;
            ledger.batches.push(batch);
            (StatusCode::MULTI_STATUS, axum::Json(answers)).into_response()
        }
        Verdict::Throttle(seconds) => {
            ledger.stats.throttled += 1;
            (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, seconds.to_string())]).into_response()
        }
        Verdict::Refuse => {
            ledger.stats.refused += 1;
            StatusCode::UNPROCESSABLE_ENTITY.into_response()
        }
        Verdict::Cut => {
            ledger.stats.cut += 1;
            cut.cut();
            StatusCode::OK.into_response()
        }
    }
}
