//! Asking for tokens: the grants of OAuth 2.0, and APIs with a log-in of their own.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use backflow_core::code::{Code, Failure};
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
use super::token::{TokenClient, TokenError, TokenStore};
use super::unusable;
use crate::clock;
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
    /// The refresh token in use: a destination may give another with each answer.
    RefreshToken(Mutex<SecretString>),
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

/// Finds the token, and what else the definition takes, in an answer; or says, in words of the definition, what is not there.
pub(crate) type Read = Box<dyn Fn(&RawAnswer) -> Result<Obtained, String> + Send + Sync>;

/// One way to a token.
pub(crate) struct OAuth {
    /// Name of the Destination, which the store files refresh tokens under.
    pub(crate) destination: String,
    pub(crate) url: Url,
    pub(crate) grant: Grant,
    pub(crate) client: ClientAuth,
    /// `scope`, and whatever else the endpoint wants.
    pub(crate) params: Vec<(String, SecretString)>,
    pub(crate) headers: HeaderMap,
    pub(crate) read: Read,
    /// The destination gives a new refresh token with each access token: it must be kept.
    pub(crate) rotates: bool,
    pub(crate) store: Arc<dyn TokenStore>,
}

/// A token as it came.
pub(crate) struct Obtained {
    pub(crate) value: SecretString,
    pub(crate) captured: Json,
    pub(crate) expires_in: Option<Duration>,
}

impl OAuth {
    /// Asks for a token.
    pub(crate) async fn obtain(&self, client: &dyn TokenClient) -> Result<Obtained, TokenError> {
        let mut refresh = match &self.grant {
            Grant::RefreshToken(token) => Some(token.lock().await),
            _ => None,
        };
        if let Some(refresh) = refresh.as_deref_mut()
            && self.rotates
            && let Some(kept) = self.store.kept(&self.destination).await.map_err(TokenError::Stop)?
        {
            *refresh = kept;
        }
        let request = self.request(refresh.as_deref(), clock::now()).map_err(TokenError::Stop)?;
        let answer = client.exchange(request).await.map_err(TokenError::Trouble)?;
        self.judge(&answer)?;
        if let Some(refresh) = refresh.as_deref_mut()
            && let Some(rotated) = rotated(&answer, refresh)
        {
            *refresh = rotated;
            if self.rotates {
                // Before it is used: from now on the old one is worth nothing.
                self.store.keep(&self.destination, refresh).await.map_err(TokenError::Stop)?;
            }
        }
        (self.read)(&answer).map_err(|what| {
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
            200..=299 => Ok(()),
            408 | 425 | 429 | 500..=599 => {
                let hint = Hint::read(&answer.headers, &HintHeaders::default(), clock::now());
                Err(TokenError::Later(answer.status, hint.throttled()))
            }
            400 | 401 | 403 => {
                let body = serde_json::from_slice::<Value>(&answer.body).ok();
                let said = body.as_ref().and_then(|body| body.get("error")?.as_str());
                let known = said.and_then(|said| KNOWN_ERRORS.iter().find(|known| **known == said));
                Err(TokenError::Stop(self.refused(host, answer.status, known.copied())))
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
