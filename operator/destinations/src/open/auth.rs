//! The schemes of a definition, with a Destination's secrets in them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use backflow_core::code::{Code, Failure};
use backflow_core::sigv4::SigV4;
use backflow_definitions::{
    AuthMethod, AuthScheme, ClientAuth as DefinedClientAuth, Grant as DefinedGrant, HmacAlgorithm, JwtAlgorithm,
    OAuth2, Scope, Template, TokenPlace, TokenRequest, Variable,
};
use backflow_expressions::Json;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Mutex;

use super::Opening;
use crate::action::{Rates, Request, header};
use crate::auth::{
    Account, Algorithm, Assertion, Auth, ClientAuth, Expiry, Grant, HmacSignature, Mac, OAuth, OAuth1, Obtained, Part,
    Place, Refreshing, SigningKey, TokenSource, Vault, expires_in, unusable,
};
use crate::http::RawAnswer;

/// The URL that is a credential itself, if a scheme says so.
pub(super) fn base_url(schemes: &[&'static AuthScheme]) -> Option<&'static Template> {
    schemes.iter().find_map(|scheme| match &scheme.method {
        AuthMethod::BaseUrl { url } => Some(url),
        _ => None,
    })
}

/// Schemes being prepared.
pub(crate) struct Building<'a> {
    pub(crate) opening: &'a Opening<'a>,
    /// Settings and secrets.
    pub(crate) settings: &'a Json,
    pub(crate) base: Option<&'a Url>,
}

impl Building<'_> {
    pub(super) fn build(&self, schemes: &[&'static AuthScheme]) -> Result<Auth, Failure> {
        let mut auth = Auth { parts: Vec::new(), tokens: None };
        for scheme in schemes {
            self.add(scheme, &mut auth)?;
        }
        // Signatures are over everything else.
        auth.parts.sort_by_key(Part::signs);
        Ok(auth)
    }

    fn add(&self, scheme: &'static AuthScheme, auth: &mut Auth) -> Result<(), Failure> {
        let what = self.what(scheme);
        let secret = |template: &Template| self.secret(template, &what);
        let fixed = |place: Place, value: SecretString| {
            place.usable(value.expose_secret()).map_err(|()| {
                unusable(&what, "holds a line break or another character that no HTTP header may have")
            })?;
            Ok::<_, Failure>(Part::Fixed(place, value))
        };
        match &scheme.method {
            AuthMethod::None | AuthMethod::BaseUrl { .. } => {}
            AuthMethod::Bearer { token, prefix } => {
                auth.parts.push(fixed(Place::Header(AUTHORIZATION, format!("{prefix} ")), secret(token)?)?);
            }
            AuthMethod::Basic { username, password } => {
                let pair = format!("{}:{}", self.text(username)?, self.text(password)?);
                let value = SecretString::from(STANDARD.encode(pair));
                auth.parts.push(fixed(Place::Header(AUTHORIZATION, "Basic ".to_owned()), value)?);
            }
            AuthMethod::Header { name, value } => {
                auth.parts.push(fixed(Place::Header(name_of(name)?, String::new()), secret(value)?)?);
            }
            AuthMethod::Query { name, value } => {
                auth.parts.push(Part::Fixed(Place::Query(name.clone()), secret(value)?));
            }
            AuthMethod::Body { pointer, value } => {
                auth.parts.push(Part::Fixed(Place::Body(pointer.clone()), secret(value)?));
            }
            AuthMethod::OAuth2(oauth) => {
                auth.parts.push(Part::Token(place(&oauth.place)?));
                auth.tokens = Some(self.oauth(oauth, &what)?);
            }
            AuthMethod::TokenRequest(request) => {
                auth.parts.push(Part::Token(place(&request.place)?));
                auth.tokens = Some(self.token_request(request)?);
            }
            AuthMethod::Hmac(hmac) => auth.parts.push(Part::Hmac(HmacSignature {
                mac: mac(hmac.algorithm),
                key: secret(&hmac.key)?,
                signs: &hmac.signs,
                header: name_of(&hmac.header)?,
                format: &hmac.format,
            })),
            AuthMethod::SigV4(defined) => auth.parts.push(Part::SigV4(SigV4 {
                service: self.text(&defined.service)?,
                region: self.text(&defined.region)?,
                access_key_id: self.text(&defined.access_key_id)?,
                secret_access_key: secret(&defined.secret_access_key)?,
                session_token: self.maybe(defined.session_token.as_ref())?,
            })),
            AuthMethod::OAuth1(defined) => auth.parts.push(Part::OAuth1(OAuth1 {
                mac: mac(defined.algorithm),
                consumer_key: self.text(&defined.consumer_key)?,
                consumer_secret: secret(&defined.consumer_secret)?,
                token: match (&defined.token, &defined.token_secret) {
                    (Some(token), Some(key)) => Some((self.text(token)?, secret(key)?)),
                    _ => None,
                },
                realm: defined.realm.as_ref().map(|realm| self.text(realm)).transpose()?,
            })),
            AuthMethod::Native => {
                return Err(Failure::new(Code::PlanInvalid, "a native way to authenticate goes with no HTTP"));
            }
        }
        Ok(())
    }

    /// How tokens are asked for, whatever they are asked for with.
    pub(crate) fn client(&self, defined: &'static OAuth2, grant: Grant, what: &str) -> Result<OAuth, Failure> {
        let invalid = |what: String| Failure::new(Code::PlanInvalid, what);
        let url = self.text(&defined.token_url)?;
        let url = Url::parse(&url).map_err(|_| invalid("the definition's tokenUrl is no URL".to_owned()))?;
        let secret = |template: &Template| self.secret(template, what);
        let mut params = Vec::new();
        for (name, template) in defined.scope.iter().map(|scope| ("scope", scope)).chain(pairs(&defined.params)) {
            params.push((name.to_owned(), SecretString::from(self.text(template)?)));
        }
        let mut headers = HeaderMap::new();
        for (name, template) in pairs(&defined.headers) {
            let (name, mut value) = header(name, &self.text(template)?).map_err(|error| invalid(error.0))?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let id = defined.client_id.as_ref().map(|id| self.text(id)).transpose()?.unwrap_or_default();
        let client_secret = defined.client_secret.as_ref().map(secret).transpose()?;
        let client = match (defined.client_auth, client_secret) {
            (DefinedClientAuth::Basic, Some(secret)) => ClientAuth::Basic(id, secret),
            (DefinedClientAuth::Body, secret) => ClientAuth::Body(id, secret),
            _ if !id.is_empty() => ClientAuth::Body(id, None),
            _ => ClientAuth::None,
        };
        Ok(OAuth { url, grant, client, params, headers, read: Box::new(move |answer| read_oauth(defined, answer)) })
    }

    /// The refresh token in use. One that works once is kept where the states are.
    fn refreshing(&self, defined: &'static OAuth2, first: SecretString) -> Result<Refreshing, Failure> {
        if !defined.rotates {
            return Ok(Refreshing::InMemory(Mutex::new(first)));
        }
        let Some(keeping) = &self.opening.keeping else { return Ok(Refreshing::Unkept) };
        let account = Account {
            destination: format!("{}/{}", keeping.namespace, self.opening.plan.name),
            token_url: &self.text(&defined.token_url)?,
            client_id: &defined.client_id.as_ref().map(|id| self.text(id)).transpose()?.unwrap_or_default(),
            first: &first,
        };
        let vault = Vault::new(Arc::clone(&keeping.notes), &account, self.opening.http.timeout)?;
        Ok(Refreshing::Kept(first, Box::new(vault)))
    }

    fn oauth(&self, defined: &'static OAuth2, what: &str) -> Result<TokenSource, Failure> {
        let secret = |template: &Template| self.secret(template, what);
        let grant = match &defined.grant {
            DefinedGrant::ClientCredentials => Grant::ClientCredentials,
            DefinedGrant::RefreshToken { token, .. } => Grant::RefreshToken(self.refreshing(defined, secret(token)?)?),
            DefinedGrant::Password { username, password } => Grant::Password(self.text(username)?, secret(password)?),
            DefinedGrant::JwtBearer(assertion) => Grant::JwtBearer(Box::new(self.assertion(assertion, what)?)),
        };
        let oauth = self.client(defined, grant, what)?;
        Ok(TokenSource::new(oauth, Expiry { unless_said: defined.expires_in, renew_before: defined.refresh_before }))
    }

    fn assertion(&self, defined: &'static backflow_definitions::Assertion, what: &str) -> Result<Assertion, Failure> {
        let algorithm = match defined.algorithm {
            JwtAlgorithm::RS256 => Algorithm::Rs256,
            JwtAlgorithm::ES256 => Algorithm::Es256,
            JwtAlgorithm::HS256 => Algorithm::Hs256,
        };
        let mut claims = serde_json::Map::new();
        for (name, template) in pairs(&defined.claims) {
            let value = template.value(&self.scope()).map_err(|error| self.not_given(&error.to_string()))?;
            let value = value.and_then(|value| serde_json::from_str(&value.to_string()).ok());
            claims.extend(value.map(|value| (name.to_owned(), value)));
        }
        Ok(Assertion {
            algorithm,
            key: SigningKey::read(algorithm, &self.secret(&defined.key, what)?)?,
            key_id: defined.key_id.as_ref().map(|id| self.text(id)).transpose()?,
            ttl: defined.ttl,
            claims,
        })
    }

    fn token_request(&self, defined: &'static TokenRequest) -> Result<TokenSource, Failure> {
        let base = self.base.ok_or_else(|| {
            Failure::new(Code::PlanInvalid, "the request for a token needs a base URL that needs no token")
        })?;
        let request = Request::bind(&defined.request, &self.scope(), &Rates::default(), &[])?;
        let outgoing = request.render(base, &HeaderMap::new(), &self.scope(), None);
        let outgoing = outgoing.map_err(|error| self.not_given(&error.0))?;
        let oauth = OAuth {
            url: outgoing.url.clone(),
            grant: Grant::Request(Box::new(outgoing)),
            client: ClientAuth::None,
            params: Vec::new(),
            headers: HeaderMap::new(),
            read: Box::new(move |answer| read_request(defined, answer)),
        };
        let lives = defined.expires_in;
        // A tenth of its life, so that short tokens are not asked for all the time.
        let renew_before = (lives / 10).min(Duration::from_secs(60));
        Ok(TokenSource::new(oauth, Expiry { unless_said: Some(lives), renew_before }))
    }

    fn scope(&self) -> Scope<'_> {
        Scope::new().with(Variable::Settings, self.settings)
    }

    pub(crate) fn text(&self, template: &Template) -> Result<String, Failure> {
        let text = template.text(&self.scope()).map_err(|error| self.not_given(&error.to_string()))?;
        Ok(text.unwrap_or_default())
    }

    fn secret(&self, template: &Template, what: &str) -> Result<SecretString, Failure> {
        let text = self.text(template)?;
        if text.is_empty() {
            return Err(unusable(what, "is not given"));
        }
        Ok(SecretString::from(text))
    }

    /// A secret that may be absent.
    fn maybe(&self, template: Option<&Template>) -> Result<Option<SecretString>, Failure> {
        let text = template.map(|template| self.text(template)).transpose()?;
        Ok(text.filter(|text| !text.is_empty()).map(SecretString::from))
    }

    /// What messages call the credentials of a scheme.
    pub(crate) fn what(&self, scheme: &AuthScheme) -> String {
        let definition = self.opening.definition;
        let names = scheme.needs.iter().map(|need| need.name.as_str()).filter(|name| definition.secret(name).is_some());
        let names: Vec<&str> = names.collect();
        match names.as_slice() {
            [] => "a credential".to_owned(),
            [one] => format!("the secret {one}"),
            several => format!("one of the secrets {}", several.join(", ")),
        }
    }

    fn not_given(&self, why: &str) -> Failure {
        let message = format!(
            "the credentials of Destination \"{}\" do not make what {} needs: {why}; check spec.secrets and spec.settings",
            self.opening.plan.name, self.opening.definition.title
        );
        Failure::new(Code::DestinationUnauthorized, message)
    }
}

fn mac(algorithm: HmacAlgorithm) -> Mac {
    match algorithm {
        HmacAlgorithm::Sha256 => Mac::Sha256,
        HmacAlgorithm::Sha1 => Mac::Sha1,
    }
}

pub(crate) fn pairs(all: &'static [(String, Template)]) -> impl Iterator<Item = (&'static str, &'static Template)> {
    all.iter().map(|(name, template)| (name.as_str(), template))
}

fn name_of(name: &str) -> Result<HeaderName, Failure> {
    let wrong = |_| Failure::new(Code::PlanInvalid, format!("the definition's header {name} is no header"));
    HeaderName::from_bytes(name.as_bytes()).map_err(wrong)
}

fn place(defined: &TokenPlace) -> Result<Place, Failure> {
    Ok(match defined {
        TokenPlace::Bearer { prefix } => Place::Header(AUTHORIZATION, format!("{prefix} ")),
        TokenPlace::Header { name } => Place::Header(name_of(name)?, String::new()),
        TokenPlace::Query { name } => Place::Query(name.clone()),
    })
}

fn read_oauth(defined: &'static OAuth2, answer: &RawAnswer) -> Result<Obtained, String> {
    let document = document(answer).ok_or("it is no JSON document")?;
    let scope = Scope::new().with(Variable::Token, &document);
    obtained(&defined.token, &defined.capture, scope, expires_in(answer))
}

fn read_request(defined: &'static TokenRequest, answer: &RawAnswer) -> Result<Obtained, String> {
    let headers = answer
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), Json::Text(value.to_str().ok()?.to_owned()))));
    let (document, headers) = (document(answer).unwrap_or(Json::Null), Json::Object(headers.collect()));
    let scope = Scope::new().with(Variable::Body, &document).with(Variable::Headers, &headers);
    obtained(&defined.token, &defined.capture, scope, None)
}

fn document(answer: &RawAnswer) -> Option<Json> {
    Json::parse_answer(std::str::from_utf8(&answer.body).ok()?).ok()
}

fn obtained(
    token: &'static Template,
    capture: &'static [(String, Template)],
    scope: Scope<'_>,
    expires_in: Option<Duration>,
) -> Result<Obtained, String> {
    let value = token.text(&scope).ok().flatten().filter(|token| !token.is_empty());
    let value = value.ok_or_else(|| format!("{} is not there", token.source()))?;
    let mut captured = BTreeMap::new();
    for (name, template) in pairs(capture) {
        let value = template.value(&scope).ok().flatten();
        captured.insert(name.to_owned(), value.ok_or_else(|| format!("{} is not there", template.source()))?);
    }
    Ok(Obtained { value: SecretString::from(value), captured: Json::Object(captured), expires_in })
}
