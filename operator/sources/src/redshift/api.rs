//! Passwords that AWS makes for a while: of a provisioned cluster, or of a serverless workgroup.
//!
//! The worker's own identity is found as for buckets: variables, a service account's web identity, the pod's or the machine's. Requests
//! are signed with it (signature version 4), or with that of the role that it assumes.

use backflow_core::code::{Code, Failure};
use backflow_core::plan::{Redshift, RedshiftIam, RedshiftTarget};
use backflow_core::sigv4::{SigV4, Signable};
use jiff::Timestamp;
use object_store::aws::AmazonS3Builder;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;

use crate::rest::body::Body;
use crate::rest::{Authorize, Call, Service};

/// How long a password is asked for, in seconds: the longest that all of the services give.
const DURATION: i64 = 3600;
/// The longest answer.
const ANSWER: usize = 64 * 1024;

/// Who a session logs in as.
pub(super) struct Login {
    pub(super) user: String,
    pub(super) password: SecretString,
    /// In Unix seconds.
    pub(super) until: i64,
}

/// Asks AWS.
pub(super) struct Aws {
    iam: RedshiftIam,
    redshift: Service,
    /// Host of [`Aws::redshift`], and its name in signatures.
    scope: (String, &'static str),
    sts: Service,
    sts_host: String,
}

/// A key that signs.
pub(super) struct Key {
    pub(super) id: String,
    pub(super) secret: SecretString,
    pub(super) token: Option<SecretString>,
}

/// A signature, of one request.
struct Signed(Vec<(HeaderName, HeaderValue)>);

#[async_trait::async_trait]
impl Authorize for Signed {
    async fn bearer(&self, _: bool) -> Result<Option<SecretString>, Failure> {
        Ok(None)
    }

    fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        self.0.clone()
    }
}

impl Aws {
    pub(super) fn new(plan: &Redshift, iam: &RedshiftIam) -> Result<Self, Failure> {
        let endpoint = plan.endpoint.as_deref();
        let domain = if iam.region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let service = match iam.target {
            RedshiftTarget::Cluster(_) => "redshift",
            RedshiftTarget::Workgroup(_) => "redshift-serverless",
        };
        let host = format!("{service}.{}.{domain}", iam.region);
        let sts_host = format!("sts.{}.{domain}", iam.region);
        Ok(Self {
            iam: iam.clone(),
            redshift: Service::new(format!("the API of Redshift in {}", iam.region), &host, endpoint)?,
            scope: (host, service),
            sts: Service::new(format!("the token service of AWS in {}", iam.region), &sts_host, endpoint)?,
            sts_host,
        })
    }

    /// A password that holds for a while.
    ///
    /// # Errors
    /// `AuthenticationFailed`, `PermissionDenied`, and what reaching a service may say.
    pub(super) async fn login(&self, user: &str, database: &str) -> Result<Login, Failure> {
        self.login_by(self.own().await?, user, database).await
    }

    /// The same, for who has this key.
    pub(super) async fn login_by(&self, own: Key, user: &str, database: &str) -> Result<Login, Failure> {
        let key = match &self.iam.role_arn {
            Some(role) => self.assumed(&own, role).await?,
            None => own,
        };
        let (host, service) = (self.scope.0.as_str(), self.scope.1);
        let duration = DURATION.to_string();
        match &self.iam.target {
            RedshiftTarget::Cluster(cluster) => {
                let call = Call::form(
                    "/".into(),
                    &[
                        ("Action", "GetClusterCredentials"),
                        ("Version", "2012-12-01"),
                        ("ClusterIdentifier", cluster),
                        ("DbUser", user),
                        ("DbName", database),
                        ("DurationSeconds", &duration),
                        ("AutoCreate", "false"),
                    ],
                );
                let xml = self.asked(&self.redshift, call, (host, service), &key, &[]).await?;
                let part = |name: &str| element(&xml, name).ok_or_else(|| self.redshift.strange(200));
                let until = part("Expiration")?.parse::<Timestamp>().map_err(|_| self.redshift.strange(200))?;
                Ok(Login { user: part("DbUser")?, password: part("DbPassword")?.into(), until: until.as_second() })
            }
            RedshiftTarget::Workgroup(workgroup) => {
                #[derive(Deserialize)]
                #[serde(rename_all = "camelCase")]
                struct Given {
                    db_user: String,
                    db_password: String,
                }
                let body = json!({"workgroupName": workgroup, "dbName": database, "durationSeconds": DURATION});
                let call = Call::post("/".into(), body.to_string().into()).typed("application/x-amz-json-1.1");
                let target = [("x-amz-target".to_owned(), "RedshiftServerless.GetCredentials".to_owned())];
                let json = self.asked(&self.redshift, call, (host, service), &key, &target).await?;
                let given: Given = serde_json::from_str(&json).map_err(|_| self.redshift.strange(200))?;
                let until = Timestamp::now().as_second() + DURATION;
                Ok(Login { user: given.db_user, password: given.db_password.into(), until })
            }
        }
    }

    /// The worker's own identity.
    async fn own(&self) -> Result<Key, Failure> {
        let none = || {
            let message = "no AWS identity is found for redshift.iam; bind worker.serviceAccountName to a role (IRSA or EKS Pod Identity), or set \
                           AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in worker.env";
            Failure::new(Code::AuthenticationFailed, message)
        };
        // The bucket is never asked: its builder is who knows where an identity may come from.
        let builder = AmazonS3Builder::from_env().with_bucket_name("none").with_region(&self.iam.region);
        let store = builder.build().map_err(|_| none())?;
        let key = store.credentials().get_credential().await.map_err(|_| none())?;
        Ok(Key {
            id: key.key_id.clone(),
            secret: key.secret_key.clone().into(),
            token: key.token.clone().map(SecretString::from),
        })
    }

    async fn assumed(&self, own: &Key, role: &str) -> Result<Key, Failure> {
        let call = Call::form(
            "/".into(),
            &[
                ("Action", "AssumeRole"),
                ("Version", "2011-06-15"),
                ("RoleArn", role),
                ("RoleSessionName", "backflow"),
                ("DurationSeconds", "900"),
            ],
        );
        let xml = self.asked(&self.sts, call, (&self.sts_host, "sts"), own, &[]).await?;
        let part = |name: &str| element(&xml, name).ok_or_else(|| self.sts.strange(200));
        Ok(Key {
            id: part("AccessKeyId")?,
            secret: part("SecretAccessKey")?.into(),
            token: Some(part("SessionToken")?.into()),
        })
    }

    /// The answer to a signed request.
    async fn asked(
        &self,
        at: &Service,
        call: Call,
        (host, service): (&str, &str),
        key: &Key,
        more: &[(String, String)],
    ) -> Result<String, Failure> {
        let mut headers = more.to_vec();
        headers.push(("content-type".to_owned(), call.media.to_owned()));
        let body = call.body.clone().unwrap_or_default();
        let signer = SigV4 {
            service: service.to_owned(),
            region: self.iam.region.clone(),
            access_key_id: key.id.clone(),
            secret_access_key: key.secret.clone(),
            session_token: key.token.clone(),
        };
        let local = at.authority();
        let host = local.as_deref().unwrap_or(host);
        let request = Signable { method: "POST", host, path: "/", query: &[], headers: &headers, body: &body };
        let signed = signer.sign(&request, Timestamp::now());
        let value = |text: &str| {
            let mut value = HeaderValue::try_from(text).map_err(|_| at.strange(200))?;
            value.set_sensitive(true);
            Ok::<_, Failure>(value)
        };
        let mut sent = vec![
            (HeaderName::from_static("x-amz-date"), value(&signed.date)?),
            (AUTHORIZATION, value(signed.authorization.expose_secret())?),
        ];
        if let Some(token) = &signed.token {
            sent.push((HeaderName::from_static("x-amz-security-token"), value(token.expose_secret())?));
        }
        for (name, text) in more {
            let name = HeaderName::try_from(name).map_err(|_| at.strange(200))?;
            sent.push((name, value(text)?));
        }
        let response = at.send(&call, &Signed(sent)).await?;
        let status = response.status().as_u16();
        let answer = Body::new(response).whole(ANSWER).await.map_err(|_| at.broken())?;
        let answer = String::from_utf8(answer).map_err(|_| at.strange(status))?;
        if status == 200 { Ok(answer) } else { Err(self.refused(at, status, &answer)) }
    }

    /// What it means that there is no password. The words of AWS are searched, and not passed on.
    fn refused(&self, at: &Service, status: u16, answer: &str) -> Failure {
        let code = element(answer, "Code").or_else(|| {
            let json: serde_json::Value = serde_json::from_str(answer).ok()?;
            // `com.amazonaws…#ResourceNotFoundException`
            Some(json.get("__type")?.as_str()?.rsplit('#').next()?.to_owned())
        });
        let Some(code) = code else { return at.strange(status) };
        let (action, target) = match &self.iam.target {
            RedshiftTarget::Cluster(name) => ("redshift:GetClusterCredentials", format!("cluster {name}")),
            RedshiftTarget::Workgroup(name) => ("redshift-serverless:GetCredentials", format!("workgroup {name}")),
        };
        let region = &self.iam.region;
        let role = self.iam.role_arn.as_deref().unwrap_or_default();
        let assuming = !role.is_empty() && answer.contains("sts:AssumeRole");
        let (code, sentence) = match code.as_str() {
            "AccessDenied" | "AccessDeniedException" if assuming => (
                Code::PermissionDenied,
                format!(
                    "the worker's identity may not assume {role}; allow it sts:AssumeRole, and name it in the role's trust policy"
                ),
            ),
            "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation" => (
                Code::PermissionDenied,
                format!(
                    "the worker's identity may not ask for a password; allow it {action} on {target}, its user and its database"
                ),
            ),
            "ClusterNotFound" | "ClusterNotFoundFault" | "ResourceNotFoundException" => (
                Code::DatabaseNotFound,
                format!("there is no {target} in {region}; check redshift.iam, the account and the region"),
            ),
            "InvalidClientTokenId"
            | "UnrecognizedClientException"
            | "SignatureDoesNotMatch"
            | "InvalidSignatureException"
            | "ExpiredToken"
            | "ExpiredTokenException"
            | "RequestExpired"
            | "IncompleteSignature" => (
                Code::AuthenticationFailed,
                "the keys of the worker's identity are refused: expired, revoked or wrong; check them, and the clock"
                    .into(),
            ),
            "Throttling"
            | "ThrottlingException"
            | "RequestLimitExceeded"
            | "InternalFailure"
            | "InternalServerException"
            | "ServiceUnavailable" => {
                (Code::WarehouseUnavailable, "it takes no more requests for now; it is tried again".into())
            }
            _ => (
                Code::AuthenticationFailed,
                format!("it gives no password for {target} (HTTP {status}); check redshift.iam, user and database"),
            ),
        };
        Failure::new(code, format!("{}: {sentence}", at.name))
    }
}

/// The text of the first element of a name.
fn element(xml: &str, name: &str) -> Option<String> {
    let text = xml.split_once(&format!("<{name}>"))?.1.split_once(&format!("</{name}>"))?.0;
    let plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'");
    Some(plain.replace("&#39;", "'").replace("&#34;", "\"").replace("&amp;", "&").trim().to_owned())
}
