//! What proves the worker: a personal access token, or a service principal, of the workspace or of Microsoft Entra.

use async_trait::async_trait;
use backflow_core::code::{Code, Failure};
use backflow_core::plan::{Databricks, DatabricksCredential};
use backflow_core::secret::Secrets;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::rest::token::{self, Kept};
use crate::rest::{Authorize, Call, Service};

/// The application that stands for Azure Databricks in every tenant, per "Get Microsoft Entra ID tokens for service principals".
const AZURE_DATABRICKS: &str = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d/.default";

/// The credential of a Source.
pub(super) enum Credential {
    Personal(SecretString),
    Principal(Box<Principal>),
}

/// A service principal.
pub(super) struct Principal {
    id: String,
    secret: SecretString,
    /// Of Entra; the workspace's own without.
    tenant: Option<String>,
    service: Service,
    last: Kept,
}

impl Credential {
    pub(super) fn read(plan: &Databricks, secrets: &dyn Secrets) -> Result<Self, Failure> {
        let trimmed = |text: &SecretString| SecretString::from(text.expose_secret().trim());
        match &plan.credential {
            DatabricksCredential::AccessToken(token) => {
                let token = trimmed(&secrets.read(token)?);
                if token.expose_secret().is_empty() {
                    let message = "databricks.accessToken is empty; put the token into its Secret";
                    return Err(Failure::new(Code::AuthenticationFailed, message));
                }
                Ok(Self::Personal(token))
            }
            DatabricksCredential::Client { id, secret, tenant } => {
                let endpoint = plan.endpoint.as_deref();
                let service = match tenant {
                    Some(_) => Service::new("Microsoft Entra".into(), token::entra(&plan.host), endpoint)?,
                    None => {
                        let name = format!("the token endpoint of Databricks workspace \"{}\"", plan.host);
                        Service::new(name, &plan.host, endpoint)?
                    }
                };
                let secret = trimmed(&secrets.read(secret)?);
                let (id, tenant) = (id.clone(), tenant.clone());
                Ok(Self::Principal(Box::new(Principal { id, secret, tenant, service, last: Kept::default() })))
            }
        }
    }

    /// Who it is, for messages.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Personal(_) => "the user of the access token".into(),
            Self::Principal(principal) => format!("service principal {}", principal.id),
        }
    }

    /// Who it is, in a statement.
    pub(super) fn principal(&self) -> String {
        match self {
            Self::Personal(_) => "`the user's e-mail address`".into(),
            Self::Principal(principal) => super::types::quote(&principal.id),
        }
    }

    /// What it means that the service does not take it.
    pub(super) fn refused(&self) -> String {
        match self {
            Self::Personal(_) => "the access token is refused: expired, revoked, or of another workspace; put a new one into the Secret of \
                                  databricks.accessToken"
                .into(),
            Self::Principal(principal) => format!(
                "tokens of service principal {} are refused; add it to the workspace, and check this machine's clock",
                principal.id
            ),
        }
    }
}

impl Principal {
    fn call(&self) -> Call {
        let grant = ("grant_type", "client_credentials");
        match &self.tenant {
            Some(tenant) => Call::form(
                format!("/{tenant}/oauth2/v2.0/token"),
                &[
                    grant,
                    ("client_id", &self.id),
                    ("client_secret", self.secret.expose_secret()),
                    ("scope", AZURE_DATABRICKS),
                ],
            ),
            None => Call::form("/oidc/v1/token".into(), &[grant, ("scope", "all-apis")]),
        }
    }

    /// Why there is no token: one of the errors of RFC 6749.
    fn denied(&self, status: u16, body: &[u8]) -> Failure {
        #[derive(Deserialize)]
        struct Refusal {
            error: String,
        }
        let Ok(Refusal { error }) = serde_json::from_slice(body) else { return self.service.strange(status) };
        let id = &self.id;
        let sentence = match (error.as_str(), &self.tenant) {
            ("invalid_client", _) => format!(
                "the secret of service principal {id} is refused: wrong, expired, or of another principal; put a new one into the Secret of \
                 databricks.clientSecret"
            ),
            ("unauthorized_client", Some(tenant)) | ("invalid_request", Some(tenant)) => {
                format!("service principal {id} is not in tenant {tenant}; check databricks.clientId and tenantId")
            }
            _ => format!("service principal {id} gets no token; check databricks.host and clientId"),
        };
        Failure::new(Code::AuthenticationFailed, format!("{}: {sentence}", self.service.name))
    }
}

/// Of a request for a token.
#[async_trait]
impl Authorize for Principal {
    async fn bearer(&self, _: bool) -> Result<Option<SecretString>, Failure> {
        Ok(None)
    }

    fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        if self.tenant.is_some() {
            return Vec::new();
        }
        let pair = STANDARD.encode(format!("{}:{}", self.id, self.secret.expose_secret()));
        let header = HeaderValue::try_from(format!("Basic {pair}")).ok().map(|mut value| {
            value.set_sensitive(true);
            (AUTHORIZATION, value)
        });
        header.into_iter().collect()
    }
}

/// Of every other request.
#[async_trait]
impl Authorize for Credential {
    async fn bearer(&self, stale: bool) -> Result<Option<SecretString>, Failure> {
        let principal = match self {
            Self::Personal(token) => return Ok(Some(token.clone())),
            Self::Principal(principal) => principal,
        };
        let call = principal.call();
        let made = token::ask(&principal.service, &call, &**principal, |status, body| principal.denied(status, body));
        Ok(Some(principal.last.token(stale, made).await?.0))
    }
}
