//! Tokens of Microsoft Entra: for an application with a secret, or with the token that the cluster lends to the pod.

use std::path::PathBuf;

use async_trait::async_trait;
use backflow_core::code::{Code, Failure};
use backflow_core::plan::AzureSql;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::rest::token::{self, Kept};
use crate::rest::{Authorize, Call, Service};

/// The longest token of a pod.
const LENT: usize = 64 * 1024;
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What Azure's workload identity puts into a pod.
#[derive(Clone, Debug, Default)]
pub(super) struct Environment {
    pub(super) tenant: Option<String>,
    pub(super) client: Option<String>,
    pub(super) token_file: Option<PathBuf>,
    /// `https://login.microsoftonline.com/`
    pub(super) authority: Option<String>,
}

impl Environment {
    pub(super) fn of_pod() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            tenant: variable("AZURE_TENANT_ID"),
            client: variable("AZURE_CLIENT_ID"),
            token_file: variable("AZURE_FEDERATED_TOKEN_FILE").map(Into::into),
            authority: variable("AZURE_AUTHORITY_HOST"),
        }
    }
}

enum Proof {
    Secret(SecretString),
    /// Holds a token, which the cluster renews.
    File(PathBuf),
}

/// An application.
pub(super) struct Entra {
    tenant: String,
    client: String,
    proof: Proof,
    scope: &'static str,
    service: Service,
    last: Kept,
}

impl Entra {
    /// `given`: tenant, client and secret of the Source.
    pub(super) fn new(
        plan: &AzureSql,
        given: (Option<&str>, Option<&str>, Option<SecretString>),
        environment: &Environment,
    ) -> Result<Self, Failure> {
        let missing = || {
            let message = "no Entra identity is lent to this pod; give tenantId, clientId and clientSecret in azureSql.entra, or bind \
                           worker.serviceAccountName to an application by workload identity, with the pod's label azure.workload.identity/use";
            Failure::new(Code::AuthenticationFailed, message)
        };
        let (tenant, client, secret) = given;
        let tenant = tenant.or(environment.tenant.as_deref()).ok_or_else(missing)?.to_owned();
        let client = client.or(environment.client.as_deref()).ok_or_else(missing)?.to_owned();
        let proof = match secret {
            Some(secret) => Proof::Secret(secret.expose_secret().trim().into()),
            None => Proof::File(environment.token_file.clone().ok_or_else(missing)?),
        };
        let authority = match &environment.authority {
            Some(url) => url.strip_prefix("https://").unwrap_or(url).trim_end_matches('/'),
            None => token::entra(&plan.host),
        };
        let service = Service::new("Microsoft Entra".into(), authority, plan.authority.as_deref())?;
        Ok(Self { tenant, client, proof, scope: scope(&plan.host), service, last: Kept::default() })
    }

    /// Its id.
    pub(super) fn client(&self) -> &str {
        &self.client
    }

    /// One that holds, and whether it is made just now; `stale`: the last one was refused.
    pub(super) async fn token(&self, stale: bool) -> Result<(SecretString, bool), Failure> {
        let made = async {
            let call = self.call().await?;
            token::ask(&self.service, &call, &Nobody, |status, body| self.denied(status, body)).await
        };
        self.last.token(stale, made).await
    }

    async fn call(&self) -> Result<Call, Failure> {
        let path = format!("/{}/oauth2/v2.0/token", self.tenant);
        let own = [("grant_type", "client_credentials"), ("client_id", &self.client), ("scope", self.scope)];
        match &self.proof {
            Proof::Secret(secret) => {
                Ok(Call::form(path, &[&own[..], &[("client_secret", secret.expose_secret())]].concat()))
            }
            Proof::File(file) => {
                // Read anew: the cluster renews it every hour.
                let token = tokio::fs::read_to_string(file).await.ok().filter(|token| token.len() <= LENT);
                let token = token.map(SecretString::from).ok_or_else(|| {
                    let message = "the token that the cluster lends to the pod (AZURE_FEDERATED_TOKEN_FILE) cannot be read; check the webhook of \
                                   Azure workload identity";
                    Failure::new(Code::AuthenticationFailed, message)
                })?;
                let token = token.expose_secret().trim();
                let proof = [("client_assertion_type", ASSERTION), ("client_assertion", token)];
                Ok(Call::form(path, &[&own[..], &proof].concat()))
            }
        }
    }

    /// Why there is no token, by Entra's own number.
    fn denied(&self, status: u16, body: &[u8]) -> Failure {
        #[derive(Deserialize)]
        struct Refusal {
            error_codes: Vec<u32>,
        }
        let Ok(Refusal { error_codes }) = serde_json::from_slice(body) else { return self.service.strange(status) };
        let number = error_codes.first().copied().unwrap_or_default();
        let (tenant, client) = (&self.tenant, &self.client);
        let sentence = match number {
            7_000_215 => "the clientSecret is not its secret; put the secret's value, and not its id, into the Secret".to_owned(),
            7_000_222 => "its clientSecret has expired; make a new one".to_owned(),
            700_016 => format!("there is no such application in tenant {tenant}; check clientId and tenantId"),
            90_002 | 900_023 => format!("there is no tenant {tenant}; check tenantId"),
            70_021 | 700_211 | 700_213 => {
                "it trusts no federated credential of this cluster's issuer and service account; add one to the application".to_owned()
            }
            700_024 => "the cluster's token is expired or not valid yet; check the clocks".to_owned(),
            _ => "it is refused; see the sign-in logs of Entra".to_owned(),
        };
        let message = format!("Microsoft Entra gives application {client} no token: {sentence} (AADSTS{number})");
        Failure::new(Code::AuthenticationFailed, message)
    }
}

/// What a token is for in the cloud of this server.
fn scope(host: &str) -> &'static str {
    match token::entra(host) {
        "login.microsoftonline.us" => "https://database.usgovcloudapi.net/.default",
        "login.partner.microsoftonline.cn" => "https://database.chinacloudapi.cn/.default",
        _ => "https://database.windows.net/.default",
    }
}

/// The request says itself who asks.
struct Nobody;

#[async_trait]
impl Authorize for Nobody {
    async fn bearer(&self, _: bool) -> Result<Option<SecretString>, Failure> {
        Ok(None)
    }
}
