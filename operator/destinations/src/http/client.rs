//! The client: no redirects (they would carry records and credentials elsewhere), no forbidden addresses, proxies as the environment
//! says (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`), but never for loopback.

use std::time::Duration;

use async_trait::async_trait;
use backflow_core::code::{Code, Failure};
use backflow_definitions::Hosts;
use reqwest::header::USER_AGENT;
use reqwest::redirect::Policy;
use reqwest::{Request, Url};

use super::answer::{RawAnswer, Reading};
use super::hosts::{admit, loopback};
use super::trouble::trouble;
use super::{Outgoing, shown};
use crate::address::Guard;
use crate::auth::TokenClient;
use crate::delivery::Trouble;

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timeouts {
    /// From the first packet to an open, encrypted connection; name resolution included.
    pub(crate) connect: Duration,
    /// From a request's first byte to the end of what is read of the answer.
    pub(crate) request: Duration,
}

/// Sends requests to the hosts of one definition.
pub(crate) struct Client {
    hosts: &'static Hosts,
    timeouts: Timeouts,
    remote: reqwest::Client,
    /// For this machine's own addresses, which no proxy can reach; only where they may be called.
    local: Option<reqwest::Client>,
    /// Takes the place of all that.
    #[cfg(test)]
    network: Option<std::sync::Arc<dyn super::Network>>,
}

impl Client {
    /// `base`: the URL of most requests, if it is known yet. `connections` are kept open.
    pub(crate) fn new(
        hosts: &'static Hosts,
        base: Option<&Url>,
        allow_loopback: bool,
        connections: usize,
        timeouts: Timeouts,
    ) -> Result<Self, Failure> {
        let builder = || {
            reqwest::Client::builder()
                .redirect(Policy::none())
                .referer(false)
                .connect_timeout(timeouts.connect)
                .pool_max_idle_per_host(connections)
        };
        let always = base.and_then(|url| url.host_str()).map(str::to_owned);
        let deny_private = hosts.deny_private_networks();
        let plain = base.is_some_and(|url| url.scheme() == "http");
        let build = |local: bool| {
            let guarded = || {
                let builder = if local { builder().no_proxy() } else { builder() };
                if allow_loopback { builder } else { builder.dns_resolver(Guard::new(always.clone(), deny_private)) }
            };
            // A machine without authorities can still speak plain HTTP.
            let built = guarded().build().or_else(|error| match plain {
                true => guarded().tls_certs_only([]).build(),
                false => Err(error),
            });
            built.map_err(|_| {
                let message = "no certificate authorities are found on this machine, so no host can prove itself by TLS; install the package \
                               ca-certificates, or set SSL_CERT_FILE";
                Failure::new(Code::TlsFailed, message)
            })
        };
        // Reading the authorities takes longer than many a request: not twice if only one client is used.
        let (remote, local) = match (allow_loopback, base.is_some_and(loopback)) {
            (true, true) => {
                let local = build(true)?;
                (local.clone(), Some(local))
            }
            (true, false) => (build(false)?, Some(build(true)?)),
            (false, _) => (build(false)?, None),
        };
        Ok(Self {
            hosts,
            timeouts,
            remote,
            local,
            #[cfg(test)]
            network: crate::testing::network(),
        })
    }

    /// Judges a URL by the definition's hosts.
    pub(crate) fn admit(&self, url: &Url) -> Result<(), Failure> {
        admit(self.hosts, url, self.local.is_some())
    }

    /// What the user looks at when a host is wrong.
    fn cure(&self) -> &'static str {
        match self.hosts {
            Hosts::UserDefined { .. } => "settings.url",
            Hosts::Allow { .. } => "spec.settings",
        }
    }

    /// Makes one request.
    pub(crate) async fn send(&self, outgoing: Outgoing, reading: Reading) -> Result<RawAnswer, Trouble> {
        self.admit(&outgoing.url).map_err(Trouble::fatal)?;
        #[cfg(test)]
        if let Some(network) = &self.network {
            return network.exchange(&outgoing).await;
        }
        let Outgoing { method, url, headers, body } = outgoing;
        let client = self.local.as_ref().filter(|_| loopback(&url)).unwrap_or(&self.remote);
        let mut request = Request::new(method, url.clone());
        *request.headers_mut() = headers;
        if !request.headers().contains_key(USER_AGENT) {
            let agent = reqwest::header::HeaderValue::from_static(concat!("backflow/", env!("CARGO_PKG_VERSION")));
            request.headers_mut().insert(USER_AGENT, agent);
        }
        *request.body_mut() = Some(body.into());
        let exchange = async { RawAnswer::read(client.execute(request).await?, reading).await };
        match tokio::time::timeout(self.timeouts.request, exchange).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(trouble(&url, &error, self.timeouts.connect, self.cure())),
            Err(_) => Err(Trouble::timeout(&shown(&url), self.timeouts.request)),
        }
    }
}

#[async_trait]
impl TokenClient for Client {
    async fn exchange(&self, request: Outgoing) -> Result<RawAnswer, Trouble> {
        self.send(request, Reading::Rules).await
    }
}
