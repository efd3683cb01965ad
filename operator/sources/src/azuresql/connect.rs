//! Connections: from a plan, by way of other servers where the first one says so, with a session that does not depend on how the server is set,
//! and a slot that keeps one between steps.

use std::sync::Arc;
use std::time::Duration;

use backflow_core::code::{Code, Failure};
use backflow_core::plan::{AzureSql, AzureSqlCredential};
use backflow_core::secret::Secrets;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use secrecy::ExposeSecret as _;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;

use super::client::{Client, Error, Opened};
use super::entra::{Entra, Environment};
use super::errors;
use super::login::{Identity, Login, NAME};
use super::product::Product;
use super::wrapped::Encryption;
use crate::stream::{self, Broken};
use crate::tls::{self, Peer};

/// How long host name, TCP, TLS and authentication may take together, with all servers in between. A database that was paused is woken by it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest that a read of a model may take, and be silent: a sort says nothing until it is done.
pub(super) const LONGEST: Duration = Duration::from_secs(6 * 3600);
/// How often a server may name another one.
const ROUTES: u32 = 4;

/// Opens connections, and keeps an idle one.
pub(super) struct Connector {
    pub(super) plan: AzureSql,
    pub(super) peer: Peer,
    credential: Credential,
    config: Option<Arc<ClientConfig>>,
    program: String,
    idle: Mutex<Option<Session>>,
}

enum Credential {
    Login(Identity),
    Entra(Box<Entra>),
}

/// A connection that is logged in.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) product: Product,
}

impl Connector {
    pub(super) fn new(plan: &AzureSql, secrets: &dyn Secrets, program: &str) -> Result<Self, Failure> {
        let peer = Peer::new(format!("SQL server at {}:{}", plan.host, plan.port), &plan.host, &plan.tls);
        let credential = match &plan.credential {
            AzureSqlCredential::Login { user, password } => {
                let password = secrets.read(password)?;
                if password.expose_secret().encode_utf16().count() > NAME {
                    let message =
                        "azureSql.password has more than 128 characters, which no SQL login has; mend its Secret";
                    return Err(Failure::new(Code::AuthenticationFailed, message));
                }
                Credential::Login(Identity::Password { user: user.clone(), password })
            }
            AzureSqlCredential::Entra { tenant_id, client_id, client_secret } => {
                let secret = client_secret.as_ref().map(|secret| secrets.read(secret)).transpose()?;
                let given = (tenant_id.as_deref(), client_id.as_deref(), secret);
                Credential::Entra(Box::new(Entra::new(plan, given, &Environment::of_pod())?))
            }
        };
        Ok(Self {
            config: tls::client(&plan.tls, &peer, secrets)?.map(Arc::new),
            plan: plan.clone(),
            peer,
            credential,
            program: program.to_owned(),
            idle: Mutex::new(None),
        })
    }

    /// Whom the server lets in, for messages.
    pub(super) fn user(&self) -> String {
        match &self.credential {
            Credential::Login(Identity::Password { user, .. }) => format!("user \"{user}\""),
            Credential::Login(Identity::Token(_)) => "the application".to_owned(),
            Credential::Entra(entra) => format!("application {}", entra.client()),
        }
    }

    /// A new connection.
    pub(super) async fn connect(&self) -> Result<Session, Failure> {
        let entra = match &self.credential {
            Credential::Login(identity) => return self.log_in(identity).await,
            Credential::Entra(entra) => entra,
        };
        let (token, fresh) = entra.token(false).await?;
        match self.log_in(&Identity::Token(token)).await {
            // It was revoked before its time.
            Err(failure) if failure.code == Code::AuthenticationFailed && !fresh => {
                self.log_in(&Identity::Token(entra.token(true).await?.0)).await
            }
            done => done,
        }
    }

    async fn log_in(&self, identity: &Identity) -> Result<Session, Failure> {
        tokio::time::timeout(CONNECT_TIMEOUT, self.establish(identity)).await.unwrap_or_else(|_| {
            let (address, seconds) = (&self.peer.address, CONNECT_TIMEOUT.as_secs());
            let message =
                format!("{address} did not answer within {seconds} s; check host, port, firewall and network policy");
            Err(Failure::new(Code::ConnectionFailed, message))
        })
    }

    /// Logs in at the last server of those that name another one.
    async fn establish(&self, identity: &Identity) -> Result<Session, Failure> {
        let (mut server, mut port) = (self.plan.host.clone(), self.plan.port);
        for _ in 0..ROUTES {
            match self.reach(identity, &server, port).await? {
                Opened::Client(client) => {
                    let mut client = *client;
                    let product = Product::ask(&mut client).await.map_err(|error| errors::connect(&error, self))?;
                    return Ok(Session { client, product });
                }
                Opened::Route { host, port: other } => (server, port) = (host, other),
            }
        }
        let message = format!("{} names one other server after another; try again later", self.peer.address);
        Err(Failure::new(Code::WarehouseUnavailable, message))
    }

    /// Logs in at one server.
    async fn reach(&self, identity: &Identity, server: &str, port: u16) -> Result<Opened, Failure> {
        // It may be named with an instance of it.
        let host = server.split('\\').next().unwrap_or_default();
        let failed = |error: Error| errors::connect(&error, self);
        let stream = stream::connect(host, port, |broken| failed(Error::Broken(broken))).await?;
        let encryption = self.config.as_ref().map(|config| {
            let name = ServerName::try_from(host.to_owned()).map_err(|_| failed(Error::Broken(Broken::Malformed)))?;
            Ok::<_, Failure>(Encryption { connector: TlsConnector::from(Arc::clone(config)), name })
        });
        let login = Login { identity, database: &self.plan.database, server, program: &self.program };
        Client::open(Box::new(stream), &login, encryption.transpose()?.as_ref()).await.map_err(failed)
    }

    /// The idle connection if it still answers, else a new one.
    pub(super) async fn take(&self) -> Result<Session, Failure> {
        let idle = self.idle.lock().await.take();
        if let Some(mut session) = idle
            && matches!(tokio::time::timeout(Duration::from_secs(5), session.client.run("SELECT 1")).await, Ok(Ok(_)))
        {
            return Ok(session);
        }
        self.connect().await
    }

    /// Keeps a connection for the next step, whose last answer was read to its end and was no error.
    pub(super) async fn give_back(&self, session: Session) {
        *self.idle.lock().await = Some(session);
    }
}
