//! A webhook receiver that checks every request strictly, keeps a ledger of what it took, and fails when a script says so.
//!
//! It is a real HTTP server. Suites start it in their own process ([`Receiver::start`]); the binary `backflow-receiver` runs it alone,
//! for the demo and for clusters. Beside batches (any path, POST, PUT or PATCH) it answers:
//!
//! | request | answer |
//! |---|---|
//! | `OPTIONS` anything | 204 with the right token, else 401 |
//! | `GET /ledger` | the [`Ledger`] as JSON |
//! | `GET /summary` | the [`Summary`] as JSON |
//! | `POST /script` | takes a [`Script`] as JSON |
//! | `POST /release` | lets go requests that a [`Fault::Hold`] keeps |
//! | `POST /clear` | forgets ledger and script |

mod inspect;
mod ledger;
pub mod line;
mod respond;
mod script;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use ledger::{Entry, Item, Ledger, Summary};
pub use script::{Fault, RetryAfter, Script};

use crate::PATIENCE;

/// What a receiver expects.
#[derive(Clone, Default)]
pub struct Expect {
    /// The bearer token; without one, an `Authorization` header is a violation.
    pub token: Option<String>,
    /// The key of signatures; without one, a signature is a violation.
    pub signing_key: Option<String>,
    /// Prints a line for every batch on standard output.
    pub print: bool,
}

/// A running receiver; it ends when this is dropped.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    expect: Expect,
    state: Mutex<State>,
    /// Requests that are held.
    held: watch::Sender<usize>,
    /// Counts releases.
    released: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    ledger: Ledger,
    script: Script,
    in_flight: usize,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request as held until the next release. Under the lock, so that no release comes in between.
    fn hold(&self) -> Held<'_> {
        let _state = self.lock();
        self.held.send_modify(|held| *held += 1);
        let released = self.released.subscribe();
        let since = *released.borrow();
        Held { shared: self, since, released }
    }

    fn release(&self) {
        let _state = self.lock();
        self.held.send_replace(0);
        self.released.send_modify(|count| *count += 1);
    }
}

/// A request that is held.
struct Held<'a> {
    shared: &'a Shared,
    since: u64,
    released: watch::Receiver<u64>,
}

impl Held<'_> {
    async fn released(mut self) {
        // The sender lives as long as the receiver.
        let _ = self.released.changed().await;
    }
}

impl Drop for Held<'_> {
    /// A release counts all requests off at once; a client that goes away while it is held counts itself off.
    fn drop(&mut self) {
        let _state = self.shared.lock();
        if *self.released.borrow() == self.since {
            self.shared.held.send_modify(|held| *held -= 1);
        }
    }
}

impl Receiver {
    /// Starts on a free port of loopback.
    ///
    /// # Errors
    /// The port cannot be bound.
    pub async fn start(expect: Expect) -> io::Result<Self> {
        Self::bind(SocketAddr::from(([127, 0, 0, 1], 0)), expect).await
    }

    /// Starts on an address.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn bind(address: SocketAddr, expect: Expect) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            expect,
            state: Mutex::default(),
            held: watch::Sender::new(0),
            released: watch::Sender::new(0),
        });
        let router = Router::new()
            .route("/ledger", get(respond::ledger))
            .route("/summary", get(respond::summary))
            .route("/script", post(respond::script))
            .route("/release", post(respond::release))
            .route("/clear", post(respond::clear))
            .fallback(respond::batch)
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(Arc::clone(&shared));
        let service = router.into_make_service_with_connect_info::<line::Cut>();
        let server = tokio::spawn(async move {
            // It serves until it is aborted; errors of connections are their clients' matter.
            let _ = axum::serve(line::Lines(listener), service).await;
        });
        Ok(Self { address, shared, server })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// A URL for `settings.url`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// What it took so far.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.shared.lock().ledger.clone()
    }

    /// Replaces the script.
    pub fn script(&self, script: Script) {
        self.shared.lock().script = script;
    }

    /// Waits until `requests` are held by [`Fault::Hold`].
    ///
    /// # Errors
    /// They are not within [`PATIENCE`]; what came instead.
    pub async fn holding(&self, requests: usize) -> anyhow::Result<()> {
        let mut held = self.shared.held.subscribe();
        // The sender lives as long as this.
        if tokio::time::timeout(PATIENCE, held.wait_for(|held| *held >= requests)).await.is_err() {
            let holds = *self.shared.held.borrow();
            let state = self.shared.lock();
            anyhow::bail!(
                "{holds} of {requests} requests are held after {} s; it has taken {:?}, and is to do {:?}",
                PATIENCE.as_secs(),
                state.ledger.summary(),
                state.script
            );
        }
        Ok(())
    }

    /// Lets go all requests that are held.
    pub fn release(&self) {
        self.shared.release();
    }

    /// Serves until it is aborted.
    ///
    /// # Errors
    /// The server panicked.
    pub async fn join(mut self) -> Result<(), tokio::task::JoinError> {
        (&mut self.server).await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}
