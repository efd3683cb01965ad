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
    /// The code of a native destination knows how.
    Native,
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
