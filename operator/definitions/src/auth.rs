//! Ways to authenticate.

use std::time::Duration;

use backflow_expressions::Json;

use crate::request::Request;
use crate::template::Template;

/// Ways to authenticate.
#[derive(Debug)]
pub struct Auth {
    /// `Destination.spec.auth` chooses one of them; the first is the default.
    pub choose: Vec<AuthScheme>,
    /// These go with every choice.
    pub always: Vec<AuthScheme>,
}

/// A way to authenticate.
#[derive(Debug)]
pub struct AuthScheme {
    /// Name, as `Destination.spec.auth` says it; empty in [`Auth::always`].
    pub id: String,
    /// One sentence.
    pub description: String,
    /// Without the secrets that it names, it does nothing; otherwise they must be given.
    pub optional: bool,
    /// The settings that it names, secrets and others: those that must be there, and those that may be.
    pub needs: Vec<Need>,
    /// How.
    pub method: AuthMethod,
}

/// A setting that a scheme names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// Its name.
    pub name: String,
    /// It must be given.
    pub required: bool,
}

/// How a request shows who sends it. Templates see the settings, secrets among them.
#[derive(Debug)]
pub enum AuthMethod {
    /// Not at all.
    None,
    /// `Authorization: <prefix> <token>`.
    Bearer {
        /// The token.
        token: Template,
        /// Usually `Bearer`.
        prefix: String,
    },
    /// `Authorization: Basic …`.
    Basic {
        /// User.
        username: Template,
        /// Password; may be empty.
        password: Template,
    },
    /// A header.
    Header {
        /// Its name.
        name: String,
        /// Its value.
        value: Template,
    },
    /// A parameter of the query.
    Query {
        /// Its name.
        name: String,
        /// Its value.
        value: Template,
    },
    /// A member of the body.
    Body {
        /// JSON pointer.
        pointer: String,
        /// Its value.
        value: Template,
    },
    /// The whole URL is the credential.
    BaseUrl {
        /// The URL, in place of the definition's.
        url: Template,
    },
    /// An OAuth 2 token.
    OAuth2(Box<OAuth2>),
    /// The token of a request of the definition's own.
    TokenRequest(Box<TokenRequest>),
    /// A signature over each request.
    Hmac(Box<Hmac>),
    /// Signature version 4 of AWS.
    SigV4(Box<SigV4>),
    /// OAuth 1.0a, with tokens that were given once.
    OAuth1(Box<OAuth1>),
    /// The code of a native destination knows how.
    Native,
}

/// The kinds of [`AuthMethod`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants of AuthMethod say it")]
pub enum AuthKind {
    None,
    Bearer,
    Basic,
    Header,
    Query,
    Body,
    BaseUrl,
    OAuth2,
    TokenRequest,
    Hmac,
    SigV4,
    OAuth1,
    Native,
}

impl AuthKind {
    /// Their names, as `type` says them.
    pub const NAMES: [(&'static str, Self); 13] = [
        ("none", Self::None),
        ("bearer", Self::Bearer),
        ("basic", Self::Basic),
        ("header", Self::Header),
        ("query", Self::Query),
        ("body", Self::Body),
        ("baseUrl", Self::BaseUrl),
        ("oauth2", Self::OAuth2),
        ("tokenRequest", Self::TokenRequest),
        ("hmac", Self::Hmac),
        ("sigv4", Self::SigV4),
        ("oauth1", Self::OAuth1),
        ("native", Self::Native),
    ];
}

impl AuthMethod {
    /// What kind it is.
    #[must_use]
    pub const fn kind(&self) -> AuthKind {
        match self {
            Self::None => AuthKind::None,
            Self::Bearer { .. } => AuthKind::Bearer,
            Self::Basic { .. } => AuthKind::Basic,
            Self::Header { .. } => AuthKind::Header,
            Self::Query { .. } => AuthKind::Query,
            Self::Body { .. } => AuthKind::Body,
            Self::BaseUrl { .. } => AuthKind::BaseUrl,
            Self::OAuth2(_) => AuthKind::OAuth2,
            Self::TokenRequest(_) => AuthKind::TokenRequest,
            Self::Hmac(_) => AuthKind::Hmac,
            Self::SigV4(_) => AuthKind::SigV4,
            Self::OAuth1(_) => AuthKind::OAuth1,
            Self::Native => AuthKind::Native,
        }
    }
}

/// OAuth 2.
#[derive(Debug)]
pub struct OAuth2 {
    /// How a token is got.
    pub grant: Grant,
    /// Where.
    pub token_url: Template,
    /// The client.
    pub client_id: Option<Template>,
    /// Its secret.
    pub client_secret: Option<Template>,
    /// How the client shows itself.
    pub client_auth: ClientAuth,
    /// Scopes, separated by blanks.
    pub scope: Option<Template>,
    /// More parameters of the token request.
    pub params: Vec<(String, Template)>,
    /// More headers of the token request.
    pub headers: Vec<(String, Template)>,
    /// What the token is read from in the answer.
    pub token: Template,
    /// How long a token lasts if the answer does not say.
    pub expires_in: Option<Duration>,
    /// How long before its end a token is renewed.
    pub refresh_before: Duration,
    /// Every answer brings a new refresh token, and the old one ends.
    pub rotates: bool,
    /// Where the token goes.
    pub place: TokenPlace,
    /// What else of the answer requests use, as `auth.<name>`.
    pub capture: Vec<(String, Template)>,
}

/// How a token is got.
#[derive(Debug)]
pub enum Grant {
    /// For the client itself.
    ClientCredentials,
    /// With a refresh token.
    RefreshToken {
        /// The refresh token.
        token: Template,
        /// How a person's consent gives one, if the definition says.
        consent: Option<Consent>,
    },
    /// With a signed assertion (RFC 7523).
    JwtBearer(Assertion),
    /// With a user's password.
    Password {
        /// User.
        username: Template,
        /// Password.
        password: Template,
    },
}

/// Where a person agrees that the application acts for them (RFC 6749, 4.1). None of it is secret: a browser shows it.
#[derive(Debug)]
pub struct Consent {
    /// The page.
    pub url: Template,
    /// Scopes, separated by blanks.
    pub scope: Option<Template>,
    /// More parameters of the page, such as those by which it gives a refresh token at all.
    pub params: Vec<(String, Template)>,
    /// The setting that the refresh token becomes.
    pub setting: String,
}

/// A signed assertion.
#[derive(Debug)]
pub struct Assertion {
    /// How it is signed.
    pub algorithm: JwtAlgorithm,
    /// The key: PEM, or the shared secret of HS256.
    pub key: Template,
    /// The key's name.
    pub key_id: Option<Template>,
    /// How long it is good for.
    pub ttl: Duration,
    /// Claims; `iat`, `exp` and `jti` are added.
    pub claims: Vec<(String, Template)>,
}

/// How an assertion is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "RFC 7518 names them")]
pub enum JwtAlgorithm {
    RS256,
    ES256,
    HS256,
}

/// How the client shows itself to the token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// By HTTP Basic.
    Basic,
    /// By `client_id` and `client_secret` in the body.
    Body,
    /// By nothing but `client_id`, if it has one.
    None,
}

/// Where a token goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenPlace {
    /// `Authorization: <prefix> <token>`.
    Bearer {
        /// Usually `Bearer`.
        prefix: String,
    },
    /// A header.
    Header {
        /// Its name.
        name: String,
    },
    /// A parameter of the query.
    Query {
        /// Its name.
        name: String,
    },
}

/// A token that a request of the definition's own gives.
#[derive(Debug)]
pub struct TokenRequest {
    /// The request; its templates see secrets.
    pub request: Request,
    /// The token, over the answer.
    pub token: Template,
    /// How long it lasts.
    pub expires_in: Duration,
    /// Where it goes.
    pub place: TokenPlace,
    /// What else of the answer requests use, as `auth.<name>`.
    pub capture: Vec<(String, Template)>,
}

/// A signature over each request.
#[derive(Debug)]
pub struct Hmac {
    /// The key.
    pub key: Template,
    /// The hash.
    pub algorithm: HmacAlgorithm,
    /// What is signed, one after the other, over `request`.
    pub signs: Vec<Template>,
    /// The header.
    pub header: String,
    /// Its value, over `request` and `signature`.
    pub format: Template,
}

/// Signature version 4 of AWS.
#[derive(Debug)]
pub struct SigV4 {
    /// The service, as its signatures name it.
    pub service: Template,
    /// The region.
    pub region: Template,
    /// Whose key.
    pub access_key_id: Template,
    /// The key.
    pub secret_access_key: Template,
    /// Of temporary credentials.
    pub session_token: Option<Template>,
}

/// OAuth 1.0a (RFC 5849), with tokens that were given once.
#[derive(Debug)]
pub struct OAuth1 {
    /// The application.
    pub consumer_key: Template,
    /// Its secret.
    pub consumer_secret: Template,
    /// The token.
    pub token: Option<Template>,
    /// Its secret.
    pub token_secret: Option<Template>,
    /// Of whom the token is, where the destination wants that said.
    pub realm: Option<Template>,
    /// The hash.
    pub algorithm: HmacAlgorithm,
}

/// The hash of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "their names say all")]
pub enum HmacAlgorithm {
    Sha256,
    Sha1,
}

impl AuthScheme {
    /// What requests may call `auth.<name>`.
    #[must_use]
    pub fn captures(&self) -> &[(String, Template)] {
        match &self.method {
            AuthMethod::OAuth2(oauth) => &oauth.capture,
            AuthMethod::TokenRequest(request) => &request.capture,
            _ => &[],
        }
    }

    /// Whether it does anything with these settings, secrets among them.
    #[must_use]
    pub fn applies(&self, settings: &Json) -> bool {
        let given = |need: &Need| settings.get(&need.name).is_some_and(|value| *value != Json::Null);
        !self.optional || self.needs.iter().filter(|need| need.required).all(given)
    }

    /// Whether it names a setting.
    #[must_use]
    pub fn uses(&self, name: &str) -> bool {
        self.needs.iter().any(|need| need.name == name)
    }
}
