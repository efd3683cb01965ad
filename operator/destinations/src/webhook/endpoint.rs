//! Settings and secrets of a webhook, read once.

use std::fmt;

use backflow_core::code::{Code, Failure};
use backflow_core::plan::DestinationPlan;
use backflow_core::secret::Secrets;
use backflow_definitions::Definition;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use crate::http;

/// Where and how batches are sent.
pub(crate) struct Endpoint {
    pub(crate) url: Url,
    /// What may be shown of the URL.
    pub(crate) shown: String,
    pub(crate) method: Method,
    /// The settings' headers and the token, marked sensitive.
    pub(crate) headers: HeaderMap,
    /// Whether a token is among the headers.
    pub(crate) authenticates: bool,
    pub(crate) signing_key: Option<SecretString>,
    pub(crate) allow_loopback: bool,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("url", &self.shown).field("method", &self.method).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// Reads settings, which have been checked against the definition, and secrets.
    pub(crate) fn new(definition: &Definition, plan: &DestinationPlan, secrets: &dyn Secrets) -> Result<Self, Failure> {
        let invalid = |message: &str| Failure::new(Code::PlanInvalid, message);
        let setting =
            |name: &str| plan.settings.get(name).or_else(|| definition.settings.property(name)?.default.as_ref());
        let url = setting("url").and_then(Value::as_str).and_then(|text| Url::parse(text).ok());
        let url = url.ok_or_else(|| invalid("settings.url is not a URL"))?;
        let method =
            setting("method").and_then(Value::as_str).and_then(|name| Method::from_bytes(name.as_bytes()).ok());
        let method = method.ok_or_else(|| invalid("settings.method is not an HTTP method"))?;

        let mut headers = HeaderMap::new();
        for (name, value) in setting("headers").and_then(Value::as_object).into_iter().flatten() {
            let name = HeaderName::from_bytes(name.as_bytes()).ok();
            let value = value.as_str().and_then(|text| HeaderValue::from_str(text).ok());
            let (Some(name), Some(value)) = (name, value) else {
                return Err(invalid("settings.headers holds a header that cannot be sent"));
            };
            headers.insert(name, value);
        }

        let scheme = definition.auth_scheme(Some(&plan.auth)).map_err(|finding| invalid(&finding.message))?;
        let token = match scheme.uses("authToken") {
            true => read(plan, secrets, "authToken")?,
            false => None,
        };
        if let Some(token) = &token {
            let value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()));
            let mut value = value.map_err(|_| {
                unusable("authToken", "holds a line break or another character that no HTTP header may have")
            })?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(Self {
            shown: http::shown(&url),
            url,
            method,
            headers,
            authenticates: token.is_some(),
            signing_key: read(plan, secrets, "signingKey")?,
            allow_loopback: plan.allow_loopback,
        })
    }
}

fn read(plan: &DestinationPlan, secrets: &dyn Secrets, name: &str) -> Result<Option<SecretString>, Failure> {
    let Some(reference) = plan.secrets.get(name) else { return Ok(None) };
    let value = secrets.read(reference)?;
    if value.expose_secret().is_empty() {
        return Err(unusable(name, "is empty"));
    }
    Ok(Some(value))
}

fn unusable(name: &str, why: &str) -> Failure {
    Failure::new(Code::DestinationUnauthorized, format!("the secret {name} {why}; put the right value into its Secret"))
}
