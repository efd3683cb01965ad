//! One service: where it is, and how a request gets there.

use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use backflow_core::code::{Code, Failure};
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Method, Response, StatusCode, Url};
use rustls::ClientConfig;
use secrecy::{ExposeSecret as _, SecretString};

use super::call::{ANSWER_TIMEOUT, Call, Link};
use super::trouble::trouble;
use crate::tls::{self, Peer};

/// From the first packet to an open, encrypted connection; name resolution included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How soon it is noticed that the other end of a connection is gone while nothing is sent: after so long, and so many looks more.
const KEEPALIVE: Duration = Duration::from_secs(30);
const LOOKS: u32 = 4;
/// Connections that are kept: pages are read one after another, and a statement of the state may come between them.
const CONNECTIONS: usize = 4;
/// The longest that a server's own `Retry-After` is followed.
const LONGEST_WISH: Duration = Duration::from_secs(60);

/// How often and after what pauses a request is sent again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pauses {
    /// The first pause; each one is twice the last.
    pub(crate) first: Duration,
    /// The longest pause.
    pub(crate) longest: Duration,
    /// Requests at most, the first included.
    pub(crate) attempts: u32,
}

impl Default for Pauses {
    fn default() -> Self {
        let attempts = 7;
        // A script answers at once.
        if cfg!(test) {
            return Self { first: Duration::from_millis(1), longest: Duration::from_millis(2), attempts };
        }
        Self { first: Duration::from_millis(500), longest: Duration::from_secs(20), attempts }
    }
}

impl Pauses {
    /// How long to wait after attempt number `attempt`, from 1: what the server wished for, else twice the last pause, of which a part
    /// is chance, so that many workers do not come back together.
    pub(crate) fn after(&self, attempt: u32, wish: Option<Duration>) -> Duration {
        if let Some(wish) = wish {
            return wish.min(LONGEST_WISH);
        }
        let doubled = self.first.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(self.longest);
        doubled.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

/// What gives requests their credentials.
#[async_trait]
pub(crate) trait Authorize: Send + Sync {
    /// The bearer token, where there is one. `stale`: the last one was refused.
    ///
    /// # Errors
    /// The credential cannot be used, with the cure.
    async fn bearer(&self, stale: bool) -> Result<Option<SecretString>, Failure>;

    /// Other headers of every request.
    fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        Vec::new()
    }
}

/// What is sent.
#[derive(Clone, Copy)]
enum Errand<'a> {
    Call(&'a Call, &'a dyn Authorize),
    Link(&'a Link),
}

/// A service.
pub(crate) struct Service {
    client: Client,
    base: Url,
    /// `Snowflake account "myorg-account"`, for messages.
    pub(crate) name: String,
    pub(crate) pauses: Pauses,
    /// A server of the user's own.
    peer: Option<Peer>,
    /// A header that only the service itself sets: what has it is its answer, whatever its status.
    pub(crate) mark: Option<&'static str>,
}

impl Service {
    /// The service at `host`, by HTTPS. `endpoint` stands for another place, which must be on this machine: it is for tests, and a plan
    /// that says otherwise would send credentials anywhere.
    ///
    /// # Errors
    /// `PlanInvalid` for such a plan, `TlsFailed` without certificate authorities.
    pub(crate) fn new(name: String, host: &str, endpoint: Option<&str>) -> Result<Self, Failure> {
        Self::at(name, &format!("https://{host}"), endpoint)
    }

    /// A service of the machine itself, which is asked without encryption: the address of its metadata server.
    ///
    /// # Errors
    /// As [`Service::new`].
    pub(crate) fn metadata(name: String, host: &str, endpoint: Option<&str>) -> Result<Self, Failure> {
        Self::at(name, &format!("http://{host}"), endpoint)
    }

    /// A server that the user names, asked with encryption where there is a `config` for it.
    ///
    /// # Errors
    /// `PlanInvalid` for what is no host.
    pub(crate) fn server(peer: Peer, port: u16, config: Option<ClientConfig>) -> Result<Self, Failure> {
        let scheme = if config.is_some() { "https" } else { "http" };
        let host = if peer.host.contains(':') { format!("[{}]", peer.host) } else { peer.host.clone() };
        let base = Url::parse(&format!("{scheme}://{host}:{port}"))
            .map_err(|_| Failure::new(Code::PlanInvalid, format!("{}: its host is no name", peer.address)))?;
        let builder = builder(&base);
        let client = match config {
            Some(config) => builder.tls_backend_preconfigured(config),
            None => builder,
        };
        let client = client.build().map_err(|_| tls::no_authorities())?;
        let name = peer.address.clone();
        Ok(Self { client, base, name, pauses: Pauses::default(), peer: Some(peer), mark: None })
    }

    fn at(name: String, address: &str, endpoint: Option<&str>) -> Result<Self, Failure> {
        let address = endpoint.unwrap_or(address);
        let wrong = || {
            let what = if endpoint.is_some() {
                "an endpoint must be http:// and an address of this machine"
            } else {
                "its host is no name"
            };
            Failure::new(Code::PlanInvalid, format!("{name}: {what}"))
        };
        let base = Url::parse(address).map_err(|_| wrong())?;
        let local = endpoint.is_some();
        if (local && !loopback(&base)) || base.host_str().is_none() {
            return Err(wrong());
        }
        let client = builder(&base).build().map_err(|_| tls::no_authorities())?;
        Ok(Self { client, base, name, pauses: Pauses::default(), peer: None, mark: None })
    }

    /// Sends a request until there is an answer that is not about the server's own troubles, or none of the attempts had one. A token
    /// that is refused is renewed once.
    ///
    /// # Errors
    /// `HostNotFound`, `ConnectionFailed`, `TlsFailed`, `WarehouseUnavailable`; what [`Authorize::bearer`] says.
    pub(crate) async fn send(&self, call: &Call, authorize: &dyn Authorize) -> Result<Response, Failure> {
        self.exchange(Errand::Call(call, authorize)).await
    }

    /// Asks for what a link leads to, without the service's credentials.
    ///
    /// # Errors
    /// As [`Service::send`].
    pub(crate) async fn fetch(&self, link: &Link) -> Result<Response, Failure> {
        self.exchange(Errand::Link(link)).await
    }

    /// Reads a link of an answer; `None` if it is none that may be followed: rows travel encrypted, but within this machine.
    pub(crate) fn link<'a>(
        &self,
        url: &str,
        headers: impl IntoIterator<Item = (&'a String, &'a String)>,
    ) -> Option<Link> {
        let url = Url::parse(url).ok()?;
        let fit = url.scheme() == "https" || (self.base.scheme() == "http" && loopback(&url));
        let header = |(name, value): (&String, &String)| {
            let mut value = HeaderValue::try_from(value).ok()?;
            value.set_sensitive(true);
            Some((HeaderName::try_from(name).ok()?, value))
        };
        let headers: Option<HeaderMap> = headers.into_iter().map(header).collect();
        (fit && url.host_str().is_some()).then_some(Link { url, headers: headers? })
    }

    async fn exchange(&self, errand: Errand<'_>) -> Result<Response, Failure> {
        let mut attempt = 1;
        let mut arrived = false;
        let mut stale = false;
        loop {
            let (request, patience) = match errand {
                Errand::Call(call, authorize) => (self.request(call, authorize, stale, arrived).await?, call.patience),
                Errand::Link(link) => (self.follow(link), ANSWER_TIMEOUT),
            };
            let place = request.url().clone();
            let sent = tokio::time::timeout(patience, self.client.execute(request)).await;
            let (failure, wish) = match sent {
                Ok(Ok(response))
                    if response.status() == StatusCode::UNAUTHORIZED
                        && !stale
                        && matches!(errand, Errand::Call(..)) =>
                {
                    stale = true;
                    continue;
                }
                Ok(Ok(response)) if !passing(response.status()) || self.marked(&response) => return Ok(response),
                Ok(Ok(response)) => {
                    let status = response.status();
                    (self.busy(status), retry_after(response.headers()))
                }
                Ok(Err(error)) => {
                    let peer = self.peer.as_ref().filter(|_| matches!(errand, Errand::Call(..)));
                    let failure = trouble(&self.name, &place, peer, &error);
                    if failure.code != Code::ConnectionFailed {
                        return Err(failure);
                    }
                    (failure, None)
                }
                Err(_) => {
                    let seconds = patience.as_secs();
                    let message = format!("{} did not answer within {seconds} s; check network and proxy", self.name);
                    (Failure::new(Code::ConnectionFailed, message), None)
                }
            };
            if attempt >= self.pauses.attempts {
                return Err(failure);
            }
            tokio::time::sleep(self.pauses.after(attempt, wish)).await;
            attempt += 1;
            arrived = true;
        }
    }

    fn follow(&self, link: &Link) -> reqwest::Request {
        let mut request = reqwest::Request::new(Method::GET, link.url.clone());
        *request.headers_mut() = link.headers.clone();
        request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        request
    }

    async fn request(
        &self,
        call: &Call,
        authorize: &dyn Authorize,
        stale: bool,
        again: bool,
    ) -> Result<reqwest::Request, Failure> {
        let mut url = self.base.clone();
        url.set_path(&call.path);
        let again = call.again.filter(|_| again);
        if !call.query.is_empty() || again.is_some() {
            let mut query = url.query_pairs_mut();
            query.extend_pairs(call.query.iter().map(|(name, value)| (*name, value.as_str())));
            query.extend_pairs(again);
        }
        let mut request = reqwest::Request::new(call.method.clone(), url);
        *request.headers_mut() = self.headers(call, authorize.bearer(stale).await?)?;
        request.headers_mut().extend(authorize.headers());
        *request.body_mut() = call.body.clone().map(Into::into);
        Ok(request)
    }

    fn headers(&self, call: &Call, bearer: Option<SecretString>) -> Result<HeaderMap, Failure> {
        let mut headers = HeaderMap::from_iter([
            (ACCEPT, HeaderValue::from_static("application/json")),
            (ACCEPT_ENCODING, HeaderValue::from_static("gzip")),
        ]);
        if let Some(bearer) = bearer {
            let mut bearer = HeaderValue::try_from(format!("Bearer {}", bearer.expose_secret())).map_err(|_| {
                let message = format!("{}: the token holds characters that no token has; check its Secret", self.name);
                Failure::new(Code::AuthenticationFailed, message)
            })?;
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        if call.body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(call.media));
        }
        Ok(headers)
    }

    fn marked(&self, response: &Response) -> bool {
        self.mark.is_some_and(|mark| response.headers().contains_key(mark))
    }

    fn busy(&self, status: StatusCode) -> Failure {
        let what = match status {
            StatusCode::TOO_MANY_REQUESTS => "takes no more requests for now (429)".to_owned(),
            status => format!("failed (HTTP {})", status.as_u16()),
        };
        let message = format!("{} {what}, also after {} attempts; it is tried again", self.name, self.pauses.attempts);
        Failure::new(Code::WarehouseUnavailable, message)
    }

    /// Host and port of the address that stands for the service's own, where one does.
    pub(crate) fn authority(&self) -> Option<String> {
        let port = self.base.port()?;
        (self.base.scheme() == "http").then(|| format!("{}:{port}", self.base.host_str().unwrap_or_default()))
    }

    /// An answer that is not in the service's own form: a proxy's page, or one of a wrong address.
    pub(crate) fn strange(&self, status: u16) -> Failure {
        Failure::new(
            Code::ConnectionFailed,
            format!(
                "{} answered with something else than its API does (HTTP {status}); check its name, and whether a proxy answers instead",
                self.name
            ),
        )
    }

    /// An answer that ended early, or was longer than it may be.
    pub(crate) fn broken(&self) -> Failure {
        let message = format!("{} broke the connection within an answer; it is tried again", self.name);
        Failure::new(Code::ConnectionFailed, message)
    }
}

/// A client of one address.
fn builder(base: &Url) -> ClientBuilder {
    let builder = Client::builder()
        .user_agent(concat!("backflow/", env!("CARGO_PKG_VERSION")))
        // Nothing is followed: credentials would go along.
        .redirect(Policy::none())
        .referer(false)
        .https_only(base.scheme() == "https")
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_keepalive(KEEPALIVE)
        .tcp_keepalive_interval(KEEPALIVE)
        .tcp_keepalive_retries(LOOKS)
        .pool_max_idle_per_host(CONNECTIONS);
    if base.scheme() == "http" { builder.no_proxy().tls_certs_only([]) } else { builder }
}

fn loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let plain = url.scheme() == "http" && url.username().is_empty() && url.password().is_none();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    plain && (host == "localhost" || address.is_ok_and(|address| address.is_loopback()))
}

/// Whether the same request may be answered otherwise in a moment.
fn passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 500 | 502 | 503 | 504)
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// A random UUID, under which a request that is sent again is known.
pub(crate) fn request_id() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|_| Failure::new(Code::Internal, "the operating system gives no random numbers"))?;
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
