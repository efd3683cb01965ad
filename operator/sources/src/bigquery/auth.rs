//! What proves the worker to Google: a service account's key, or the identity that the machine lends; and whom it acts as.

use async_trait::async_trait;
use aws_lc_rs::signature::RsaKeyPair;
use backflow_core::code::{Code, Failure};
use backflow_core::plan::BigQuery;
use backflow_core::secret::Secrets;
use pkcs8::SecretDocument;
use reqwest::header::{HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;

use crate::rest::body::Body;
use crate::rest::token::{Kept, Token};
use crate::rest::{Authorize, Call, Service, jwt};

/// How long a token that is signed here holds: an hour at most.
const LIFETIME_SECONDS: i64 = 55 * 60;
/// The longest answer of a token server.
const ANSWER: usize = 64 * 1024;

const SCOPE: &str = "https://www.googleapis.com/auth/bigquery";
const BIGQUERY: &str = "https://bigquery.googleapis.com/";
const IAM: &str = "https://iamcredentials.googleapis.com/";
const METADATA: &str = "/computeMetadata/v1/instance/service-accounts/default/token";

/// The file that Google's console makes.
#[derive(Deserialize)]
struct KeyFile {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    client_email: String,
    #[serde(default)]
    private_key_id: String,
    #[serde(default)]
    private_key: Option<String>,
}

/// A service account's key.
struct Key {
    pair: RsaKeyPair,
    id: String,
    email: String,
}

/// Who the worker is.
enum Identity {
    Key(Box<Key>),
    /// The metadata server of the machine, or of the cluster, says it.
    Machine(Box<Service>),
}

/// The credential of a Source.
pub(super) struct Credential {
    identity: Identity,
    /// Whom it acts as, and where tokens of that account are made.
    impersonate: Option<(String, Service)>,
    last: Kept,
}

impl Credential {
    pub(super) fn read(plan: &BigQuery, secrets: &dyn Secrets) -> Result<Self, Failure> {
        let endpoint = plan.endpoint.as_deref();
        let identity = match &plan.service_account_key {
            Some(key) => Identity::Key(Box::new(Key::read(&secrets.read(key)?)?)),
            None => Identity::Machine(Box::new(Service::metadata(
                "the metadata server".into(),
                "metadata.google.internal",
                endpoint,
            )?)),
        };
        let impersonate = match &plan.impersonate {
            Some(account) => {
                let name = "the service account credentials API of Google".into();
                Some((account.clone(), Service::new(name, "iamcredentials.googleapis.com", endpoint)?))
            }
            None => None,
        };
        Ok(Self { identity, impersonate, last: Kept::default() })
    }

    /// Who it is, for messages.
    pub(super) fn name(&self) -> String {
        match (&self.impersonate, &self.identity) {
            (Some((account, _)), _) => account.clone(),
            (None, Identity::Key(key)) => key.email.clone(),
            (None, Identity::Machine(_)) => "of the pod (worker.serviceAccountName)".into(),
        }
    }

    async fn token(&self, now: i64) -> Result<Token, Failure> {
        let Some((account, service)) = &self.impersonate else { return self.identity.token(BIGQUERY, now).await };
        let own = self.identity.token(IAM, now).await?;
        let body = json!({"scope": [SCOPE], "lifetime": "3600s"}).to_string();
        let call = Call::post(format!("/v1/projects/-/serviceAccounts/{account}:generateAccessToken"), body.into());
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Made {
            access_token: String,
        }
        let made: Made = ask(service, &call, &Given(own.0), || {
            format!(
                "the worker's identity may not act as {account}; grant it roles/iam.serviceAccountTokenCreator on that account, and enable the \
                 IAM Service Account Credentials API"
            )
        })
        .await?;
        Ok((made.access_token.into(), now + 3600))
    }
}

impl Key {
    fn read(json: &SecretString) -> Result<Self, Failure> {
        let wrong = |sentence: &str| {
            Failure::new(Code::AuthenticationFailed, format!("bigquery.serviceAccountKey cannot be used: {sentence}"))
        };
        // The error may quote what it could not read.
        let file: KeyFile = serde_json::from_str(json.expose_secret())
            .map_err(|_| wrong("it is no JSON key; the Secret must hold the whole file that Google made"))?;
        if file.kind != "service_account" {
            return Err(wrong(
                "its type is not service_account; leave it unset and let the pod have a Google identity (worker.serviceAccountName)",
            ));
        }
        let pem = file.private_key.ok_or_else(|| wrong("it has no private_key"))?;
        let (_, der) = SecretDocument::from_pem(pem.trim()).map_err(|_| wrong("its private_key is no PEM"))?;
        let pair =
            RsaKeyPair::from_pkcs8(der.as_bytes()).map_err(|_| wrong("its private_key is no RSA key in PKCS#8"))?;
        if file.client_email.is_empty() {
            return Err(wrong("it has no client_email"));
        }
        Ok(Self { pair, id: file.private_key_id, email: file.client_email })
    }
}

impl Identity {
    /// A token for one of Google's APIs.
    async fn token(&self, audience: &str, now: i64) -> Result<Token, Failure> {
        match self {
            // Google's APIs take tokens that the key signed itself (AIP-4111).
            Self::Key(key) => {
                let header = json!({"alg": "RS256", "typ": "JWT", "kid": key.id});
                let until = now + LIFETIME_SECONDS;
                let claims = json!({"iss": key.email, "sub": key.email, "aud": audience, "iat": now, "exp": until});
                Ok((jwt::sign(&key.pair, &header, &claims)?, until))
            }
            Self::Machine(service) => {
                #[derive(Deserialize)]
                struct Lent {
                    access_token: String,
                    expires_in: i64,
                }
                let call = Call::get(METADATA.into()).with("scopes", SCOPE);
                let lent: Lent = ask(service, &call, &Metadata, || {
                    "no Google identity is lent to this pod; give bigquery.serviceAccountKey, or bind worker.serviceAccountName to a service account \
                     by Workload Identity"
                        .into()
                })
                .await?;
                Ok((lent.access_token.into(), now + lent.expires_in))
            }
        }
    }
}

#[async_trait]
impl Authorize for Credential {
    async fn bearer(&self, stale: bool) -> Result<Option<SecretString>, Failure> {
        let made = self.token(jiff::Timestamp::now().as_second());
        Ok(Some(self.last.token(stale, made).await?.0))
    }
}

/// One token, whatever becomes of it.
struct Given(SecretString);

#[async_trait]
impl Authorize for Given {
    async fn bearer(&self, _: bool) -> Result<Option<SecretString>, Failure> {
        Ok(Some(self.0.clone()))
    }
}

/// What the metadata server wants to see, so that no page of a browser can ask it.
struct Metadata;

#[async_trait]
impl Authorize for Metadata {
    async fn bearer(&self, _: bool) -> Result<Option<SecretString>, Failure> {
        Ok(None)
    }

    fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        vec![(HeaderName::from_static("metadata-flavor"), HeaderValue::from_static("Google"))]
    }
}

/// A short JSON answer; `refused` says what any other means.
async fn ask<T: serde::de::DeserializeOwned>(
    service: &Service,
    call: &Call,
    authorize: &dyn Authorize,
    refused: impl Fn() -> String,
) -> Result<T, Failure> {
    let denied = || Failure::new(Code::AuthenticationFailed, refused());
    let response = service.send(call, authorize).await.map_err(|failure| match failure.code {
        Code::HostNotFound => denied(),
        _ => failure,
    })?;
    if response.status() != reqwest::StatusCode::OK {
        return Err(denied());
    }
    let body = Body::new(response).whole(ANSWER).await.map_err(|_| service.broken())?;
    serde_json::from_slice(&body).map_err(|_| service.strange(200))
}
