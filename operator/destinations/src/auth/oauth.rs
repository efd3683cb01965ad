//! Asking for tokens: the grants of OAuth 2.0, and APIs with a log-in of their own.

use std::time::{Duration, SystemTime};

use backflow_core::code::{Class, Code, Failure};
use backflow_expressions::Json;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tokio::sync::Mutex;
use url::form_urlencoded::{Serializer, byte_serialize};

use super::assertion::Assertion;
use super::token::{Expiry, TokenClient, TokenError};
use super::unusable;
use super::vault::{Turn, Vault};
use crate::clock;
use crate::delivery::Trouble;
use crate::http::{Outgoing, RawAnswer};
use crate::pace::{Hint, HintHeaders};

/// Error codes of RFC 6749 and RFC 7523, which may be shown: they are the protocol's words, not the destination's.
pub(crate) const KNOWN_ERRORS: &[&str] = &[
    "access_denied",
    "invalid_client",
    "invalid_grant",
    "invalid_request",
    "invalid_scope",
    "server_error",
    "temporarily_unavailable",
    "unauthorized_client",
    "unsupported_grant_type",
    "unsupported_response_type",
];

/// How the application proves itself to the token endpoint.
pub(crate) enum ClientAuth {
    Basic(String, SecretString),
    Body(String, Option<SecretString>),
    None,
}

/// What a token is asked for with.
pub(crate) enum Grant {
    ClientCredentials,
    RefreshToken(Refreshing),
    JwtBearer(Box<Assertion>),
    Password(String, SecretString),
    /// What a person's consent gave, for its redirect address and the verifier of its challenge (RFC 7636).
    AuthorizationCode {
        code: SecretString,
        redirect: String,
        verifier: SecretString,
    },
    /// A log-in that is no OAuth: the request as it is.
    Request(Box<Outgoing>),
}

/// The refresh token, which a destination may exchange for another with each answer.
pub(crate) enum Refreshing {
    /// It stays, or what comes in its place is worth no more than it: known to this run.
    InMemory(Mutex<SecretString>),
    /// Each works once, and what comes in its place is kept. The first is the Secret's.
    Kept(SecretString, Box<Vault>),
    /// Each works once, and there is no place for the next.
    Unkept,
}

/// Finds the token, and what else the definition takes, in an answer; or says, in words of the definition, what is not there.
pub(crate) type Read = Box<dyn Fn(&RawAnswer) -> Result<Obtained, String> + Send + Sync>;

/// One way to a token.
pub(crate) struct OAuth {
    pub(crate) url: Url,
    pub(crate) grant: Grant,
    pub(crate) client: ClientAuth,
    /// `scope`, and whatever else the endpoint wants.
    pub(crate) params: Vec<(String, SecretString)>,
    pub(crate) headers: HeaderMap,
    pub(crate) read: Read,
}

/// A token as it came.
pub(crate) struct Obtained {
    pub(crate) value: SecretString,
    pub(crate) captured: Json,
    pub(crate) expires_in: Option<Duration>,
}

impl OAuth {
    /// Whether it must not be asked for a token, for what came in place of the refresh token would be lost.
    pub(crate) fn unkept(&self) -> bool {
        matches!(self.grant, Grant::RefreshToken(Refreshing::Unkept))
    }

    /// Asks for a token. `refused`: the one that is not to be used again.
    pub(crate) async fn obtain(
        &self,
        client: &dyn TokenClient,
        refused: Option<&SecretString>,
        expiry: Expiry,
    ) -> Result<Obtained, TokenError> {
        match &self.grant {
            Grant::RefreshToken(Refreshing::InMemory(token)) => {
                let mut token = token.lock().await;
                let answer = self.ask(client, Some(&token)).await?;
                if let Some(rotated) = rotated(&answer, &token) {
                    *token = rotated;
                }
                self.obtained(&answer)
            }
            Grant::RefreshToken(Refreshing::Kept(first, vault)) => {
                self.exchange(client, first, vault, refused, expiry).await
            }
            Grant::RefreshToken(Refreshing::Unkept) => Err(TokenError::Stop(Failure::new(
                Code::DestinationMisconfigured,
                "each refresh token of this account works once, and there is no state here to keep the next one in: it is asked for a token \
                 by the runs of its Mappings only",
            ))),
            _ => self.obtained(&self.ask(client, None).await?),
        }
    }

    /// Exchanges a refresh token that works once, when it is this run's turn, and keeps what comes in its place before using it.
    async fn exchange(
        &self,
        client: &dyn TokenClient,
        first: &SecretString,
        vault: &Vault,
        refused: Option<&SecretString>,
        expiry: Expiry,
    ) -> Result<Obtained, TokenError> {
        let lease = match vault.turn(first, refused, expiry).await.map_err(unread)? {
            Turn::Access(obtained) => return Ok(obtained),
            Turn::Exchange(lease) => lease,
        };
        let answer = match self.ask(client, Some(&lease.refresh)).await {
            Ok(answer) => answer,
            Err(TokenError::Stop(failure)) if lease.interrupted => {
                vault.give_back(lease).await;
                let message = format!(
                    "{}; a run ended while it exchanged the refresh token before, so that the one which came of it may be lost",
                    failure.message
                );
                return Err(TokenError::Stop(Failure::new(failure.code, message)));
            }
            Err(error) => {
                vault.give_back(lease).await;
                return Err(error);
            }
        };
        let refresh = rotated(&answer, &lease.refresh).unwrap_or_else(|| lease.refresh.clone());
        let obtained = self.obtained(&answer);
        vault.keep(lease, &refresh, obtained.as_ref().ok(), expiry).await.map_err(TokenError::Stop)?;
        obtained
    }

    /// Makes the request, and gives an answer that is not refused.
    async fn ask(&self, client: &dyn TokenClient, refresh: Option<&SecretString>) -> Result<RawAnswer, TokenError> {
        let request = self.request(refresh, clock::now()).map_err(TokenError::Stop)?;
        let answer = client.exchange(request).await.map_err(TokenError::Trouble)?;
        self.judge(&answer)?;
        Ok(answer)
    }

    fn obtained(&self, answer: &RawAnswer) -> Result<Obtained, TokenError> {
        (self.read)(answer).map_err(|what| {
            let host = self.url.host_str().unwrap_or_default();
            let message =
                format!("the answer of {host} to the request for a token is not as the definition says: {what}");
            TokenError::Stop(Failure::new(Code::DestinationMisconfigured, message))
        })
    }

    fn request(&self, refresh: Option<&SecretString>, now: SystemTime) -> Result<Outgoing, Failure> {
        if let Grant::Request(request) = &self.grant {
            return Ok((**request).clone());
        }
        let mut form = Serializer::new(String::new());
        match &self.grant {
            Grant::ClientCredentials => _ = form.append_pair("grant_type", "client_credentials"),
            Grant::RefreshToken(_) => {
                form.append_pair("grant_type", "refresh_token");
                form.append_pair("refresh_token", refresh.map_or("", |token| token.expose_secret()));
            }
            Grant::JwtBearer(assertion) => {
                form.append_pair("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
                form.append_pair("assertion", assertion.token(now)?.expose_secret());
            }
            Grant::Password(user, password) => {
                form.append_pair("grant_type", "password");
                form.append_pair("username", user).append_pair("password", password.expose_secret());
            }
            Grant::AuthorizationCode { code, redirect, verifier } => {
                form.append_pair("grant_type", "authorization_code").append_pair("code", code.expose_secret());
                form.append_pair("redirect_uri", redirect).append_pair("code_verifier", verifier.expose_secret());
            }
            Grant::Request(_) => {}
        }
        for (name, value) in &self.params {
            form.append_pair(name, value.expose_secret());
        }
        let mut headers = self.headers.clone();
        match &self.client {
            ClientAuth::Basic(id, secret) => {
                // RFC 6749, 2.3.1: both are encoded as forms are, before they are put together.
                let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
                let pair = format!("{}:{}", encoded(id), encoded(secret.expose_secret()));
                let value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(pair)));
                let mut value = value.map_err(|_| unusable("the client's secret", "cannot be sent"))?;
                value.set_sensitive(true);
                headers.insert(AUTHORIZATION, value);
            }
            ClientAuth::Body(id, secret) => {
                form.append_pair("client_id", id);
                if let Some(secret) = secret {
                    form.append_pair("client_secret", secret.expose_secret());
                }
            }
            ClientAuth::None => {}
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("application/json"));
        Ok(Outgoing { method: Method::POST, url: self.url.clone(), headers, body: form.finish().into() })
    }

    /// Whether an answer is one that gives a token.
    fn judge(&self, answer: &RawAnswer) -> Result<(), TokenError> {
        let host = self.url.host_str().unwrap_or_default();
        let misconfigured = |what: &str| {
            let message = format!("{host} answers {} to the request for a token: {what}", answer.status);
            TokenError::Stop(Failure::new(Code::DestinationMisconfigured, message))
        };
        match answer.status {
            200..=299 if answer.is_html() => Err(misconfigured("a web page; check the settings that make its URL")),
            // Some refuse with a status that says all is well.
            200..=299 => match said(answer) {
                Some(error) if (self.read)(answer).is_err() => {
                    Err(TokenError::Stop(self.refused(host, answer.status, known(&error))))
                }
                _ => Ok(()),
            },
            408 | 425 | 429 | 500..=599 => {
                let hint = Hint::read(&answer.headers, &HintHeaders::default(), clock::now());
                Err(TokenError::Later(answer.status, hint.throttled()))
            }
            400 | 401 | 403 => {
                let error = said(answer);
                Err(TokenError::Stop(self.refused(host, answer.status, error.as_deref().and_then(known))))
            }
            300..=399 => {
                Err(misconfigured("a redirect, which is never followed; check the settings that make its URL"))
            }
            _ => Err(misconfigured("check the settings that make its URL")),
        }
    }

    fn refused(&self, host: &str, status: u16, error: Option<&str>) -> Failure {
        let cure = match (&self.grant, error) {
            (_, Some("invalid_client" | "unauthorized_client")) => "check the application's id and secret",
            (_, Some("invalid_scope")) => {
                "the application was not given what the definition asks for; widen its scopes"
            }
            (Grant::RefreshToken(_), _) => {
                "the refresh token has expired or was revoked or used elsewhere; authorize again and store the new one"
            }
            (Grant::JwtBearer(_), _) => {
                "check the private key, who it belongs to (issuer, subject), and that the application was admitted"
            }
            (Grant::Password(..), _) => "check user and password",
            (Grant::AuthorizationCode { .. }, _) => {
                "the code of the consent is used up or too old, or the redirect address is not the application's; begin again"
            }
            _ => "check the credentials",
        };
        let error = error.map_or_else(String::new, |error| format!(" ({error})"));
        Failure::new(
            Code::DestinationUnauthorized,
            format!("{host} gives no token: it answers {status}{error}; {cure}"),
        )
    }
}

/// The error that an answer names.
fn said(answer: &RawAnswer) -> Option<String> {
    let body: Value = serde_json::from_slice(&answer.body).ok()?;
    Some(body.get("error")?.as_str().filter(|error| !error.is_empty())?.to_owned())
}

/// The protocol's word for it, which may be shown.
fn known(error: &str) -> Option<&'static str> {
    KNOWN_ERRORS.iter().find(|known| **known == error).copied()
}

/// What it means that kept tokens could not be read: a store that is away for a moment is asked again.
fn unread(failure: Failure) -> TokenError {
    match failure.code.class() {
        Class::Transient => TokenError::Trouble(Trouble::unsent(failure)),
        _ => TokenError::Stop(failure),
    }
}

/// The refresh token of an answer, if it is another one.
fn rotated(answer: &RawAnswer, current: &SecretString) -> Option<SecretString> {
    let body: Value = serde_json::from_slice(&answer.body).ok()?;
    let token = body.get("refresh_token")?.as_str()?;
    (!token.is_empty() && token != current.expose_secret()).then(|| SecretString::from(token))
}

/// `expires_in` of an answer, in seconds.
pub(crate) fn expires_in(answer: &RawAnswer) -> Option<Duration> {
    let body: Value = serde_json::from_slice(&answer.body).ok()?;
    let seconds = match body.get("expires_in")? {
        Value::Number(seconds) => seconds.as_f64()?,
        Value::String(seconds) => seconds.parse().ok()?,
        _ => return None,
    };
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
