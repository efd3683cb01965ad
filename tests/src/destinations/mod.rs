//! The vendors of all built-in definitions, played by one server from the definitions' fixtures.
//!
//! Definitions name the vendors' own hosts, so the server is an HTTP proxy: it answers `CONNECT` to the hosts that it knows, ends TLS
//! itself with a certificate of its own authority, and refuses all other hosts. A worker needs `HTTPS_PROXY` and `SSL_CERT_FILE`, and
//! nothing leaves the machine. Requests are checked strictly; answers, keys and operations are those of `fixtures/api.yaml`.
//!
//! | plain request | answer |
//! |---|---|
//! | `GET /ledger` | the [`Ledger`] as JSON |
//! | `GET /accounts` | the credentials that were made, by definition |
//! | `POST /script/{definition}` | takes a [`Script`] as JSON |
//! | `POST /clear/{definition}` | forgets ledger, script, records; tokens stay good |

mod control;
mod endpoint;
mod inspect;
mod keys;
mod ledger;
mod placeholders;
mod proxy;
mod recording;
mod request;
mod respond;
// The contract test judges by the same rules.
#[path = "../../../operator/destinations/src/tests/contract/schema.rs"]
mod schema;
mod script;
mod tokens;
mod tree;
mod vendor;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, ensure};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

pub use ledger::{Account, Booking, Ledger};
pub use recording::Recorded;
pub use script::{Fault, Script};

use crate::certificates::Authority;
use recording::Recording;
use tokens::Tokens;
use vendor::Vendor;

/// A free port of this machine.
const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Secrets by name.
pub type Credentials = BTreeMap<String, String>;

/// The running fakes; they end when this is dropped.
pub struct Fakes {
    address: SocketAddr,
    authority: PathBuf,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
    _folder: TempDir,
}

struct Shared {
    vendors: Vec<Vendor>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ledger: Ledger,
    accounts: BTreeMap<String, Records>,
    recording: Recording,
}

/// What a vendor holds.
#[derive(Default)]
struct Records {
    script: Script,
    tokens: Tokens,
    /// By key: a number in the order of their coming, and whether the record exists.
    known: BTreeMap<String, (u64, bool)>,
    /// The key of each identifier that the vendor gave.
    named: BTreeMap<String, String>,
}

impl Records {
    /// The keys in the order in which they came, empty for what is not there.
    fn held(&self) -> Vec<String> {
        let mut held: Vec<_> = self.known.iter().collect();
        held.sort_by_key(|(_, (number, _))| *number);
        held.into_iter().map(|(key, (_, there))| if *there { key.clone() } else { String::new() }).collect()
    }
}

impl State {
    fn account(&mut self, vendor: &str) -> &mut Records {
        self.accounts.entry(vendor.to_owned()).or_default()
    }

    /// Forgets everything of a vendor but its tokens.
    fn clear(&mut self, vendor: &str) {
        self.ledger.vendors.remove(vendor);
        let account = self.account(vendor);
        *account = Records { tokens: std::mem::take(&mut account.tokens), ..Records::default() };
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn knows(&self, host: &str) -> bool {
        self.vendors.iter().any(|vendor| vendor.hosts.contains(host))
    }

    fn credentials(&self) -> BTreeMap<String, Credentials> {
        self.vendors.iter().map(|vendor| (vendor.name.clone(), vendor.secrets.clone())).collect()
    }
}

/// The folder of the built-in definitions in this clone.
#[must_use]
pub fn definitions() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../operator/definitions/builtin")
}

impl Fakes {
    /// Plays all built-in definitions on a free port of loopback.
    ///
    /// # Errors
    /// As [`Fakes::bind`].
    pub async fn start() -> anyhow::Result<Self> {
        Self::bind(LOOPBACK, &definitions()).await
    }

    /// Plays one of them.
    ///
    /// # Errors
    /// As [`Fakes::bind`].
    pub async fn of(definition: &str) -> anyhow::Result<Self> {
        Self::play(LOOPBACK, [definitions().join(definition)]).await
    }

    /// Plays the definitions of a folder that have fixtures.
    ///
    /// # Errors
    /// A fixture is wrong (its place and why), `openssl` is missing, or the address cannot be bound.
    pub async fn bind(address: SocketAddr, definitions: &Path) -> anyhow::Result<Self> {
        let entries = std::fs::read_dir(definitions).with_context(|| definitions.display().to_string())?;
        let folders: BTreeSet<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
        Self::play(address, folders).await
    }

    async fn play(address: SocketAddr, folders: impl IntoIterator<Item = PathBuf>) -> anyhow::Result<Self> {
        let mut vendors = Vec::new();
        for folder in folders {
            vendors.extend(Vendor::read(&folder).with_context(|| folder.display().to_string())?);
        }
        ensure!(!vendors.is_empty(), "there is no definition with fixtures");
        let folder = tempfile::Builder::new().prefix("backflow-fakes-").tempdir()?;
        let hosts: BTreeSet<&str> = vendors.iter().flat_map(|vendor| &vendor.hosts).map(String::as_str).collect();
        let tls = tls(folder.path(), &hosts)?;
        let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { vendors, state: Mutex::default() });
        let router = control::router(Arc::clone(&shared));
        let server = tokio::spawn(proxy::serve(listener, Arc::clone(&shared), tls, router));
        Ok(Self { address, authority: folder.path().join("ca.crt"), shared, server, _folder: folder })
    }

    /// What a worker gets as `HTTPS_PROXY`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What a worker gets as `SSL_CERT_FILE`.
    #[must_use]
    pub fn authority(&self) -> &Path {
        &self.authority
    }

    /// The secrets that were made, by definition.
    #[must_use]
    pub fn credentials(&self) -> BTreeMap<String, Credentials> {
        self.shared.credentials()
    }

    /// What was taken so far.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.shared.lock().ledger.clone()
    }

    /// Keeps requests from now on, as they come.
    pub fn record(&self) {
        self.shared.lock().recording.start();
    }

    /// The requests that came since [`Fakes::record`].
    #[must_use]
    pub fn recorded(&self) -> Vec<Recorded> {
        self.shared.lock().recording.kept().to_vec()
    }

    /// Forgets what a vendor holds, and its script; tokens stay good.
    pub fn clear(&self, definition: &str) {
        self.shared.lock().clear(definition);
    }

    /// Replaces a vendor's script.
    pub fn script(&self, definition: &str, script: Script) {
        self.shared.lock().account(definition).script = script;
    }

    /// Serves until it is aborted.
    ///
    /// # Errors
    /// The server panicked.
    pub async fn join(mut self) -> Result<(), tokio::task::JoinError> {
        (&mut self.server).await
    }
}

impl Drop for Fakes {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// TLS for all hosts, by an authority whose files are in `folder`.
fn tls(folder: &Path, hosts: &BTreeSet<&str>) -> anyhow::Result<TlsAcceptor> {
    let (certificate, key) = Authority::new(folder)?.hosts(hosts)?;
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes())?];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(TlsAcceptor::from(Arc::new(config.with_no_client_auth().with_single_cert(chain, key)?)))
}
