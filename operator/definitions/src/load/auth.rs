//! Ways to authenticate.

use std::time::Duration;

use super::place::{Object, Place};
use super::{requests, values};
use crate::auth::{
    Assertion, Auth, AuthKind, AuthMethod, AuthScheme, ClientAuth, Consent, Grant, Hmac, HmacAlgorithm, JwtAlgorithm,
    Need, OAuth1, OAuth2, SigV4, TokenPlace, TokenRequest,
};
use crate::problem::Problems;
use crate::template::{Allowed, Template, Variable};

/// Schemes of one definition, at most.
const SCHEMES: usize = 16;
/// What is read of an answer that gives a token: nothing else is there then.
const OF_TOKEN: [Variable; 1] = [Variable::Token];
const OF_ANSWER: [Variable; 2] = [Variable::Headers, Variable::Body];
/// What a signature is made of, and what its header is.
const SIGNED: [Variable; 1] = [Variable::Request];
const SIGNATURE: [Variable; 2] = [Variable::Request, Variable::Signature];

/// Reads `auth`.
pub(super) fn auth(place: &Place<'_>, allowed: Allowed<'_>, native: bool, problems: &mut Problems) -> Option<Auth> {
    // In here, and only in here, secrets are among the settings.
    let allowed = Allowed { variables: &[Variable::Settings], secrets: true, ..allowed };
    let mut object = place.object(problems)?;
    let choose = object.need("choose", problems).map(|place| (schemes(&place, allowed, native, true, problems), place));
    let always =
        object.get("always").map(|place| schemes(&place, allowed, native, false, problems)).unwrap_or_default();
    let fetches = |scheme: &&AuthScheme| matches!(scheme.method, AuthMethod::OAuth2(_) | AuthMethod::TokenRequest(_));
    let chosen = choose.as_ref().is_some_and(|(choose, _)| choose.iter().any(|scheme| fetches(&scheme)));
    if always.iter().filter(fetches).count() + usize::from(chosen) > 1 {
        object.wrong(
            problems,
            "requests go with one token: of oauth2 and tokenRequest there is one in always, or some in choose",
        );
    }
    object.finish(problems);
    let (choose, place) = choose?;
    if place.items(SCHEMES, problems)?.is_empty() {
        place.wrong(
            problems,
            "at least one scheme is needed, the first is the default; for none write {id: none, type: none}",
        );
    }
    Some(Auth { choose, always })
}

/// The names that a scheme captures.
pub(super) fn captured(scheme: &AuthScheme) -> impl Iterator<Item = String> + '_ {
    scheme.captures().iter().map(|(name, _)| name.clone())
}

fn schemes(
    place: &Place<'_>,
    allowed: Allowed<'_>,
    native: bool,
    chosen: bool,
    problems: &mut Problems,
) -> Vec<AuthScheme> {
    let mut schemes: Vec<AuthScheme> = Vec::new();
    for item in place.items(SCHEMES, problems).unwrap_or_default() {
        let Some(scheme) = scheme(&item, allowed, native, chosen, problems) else { continue };
        if chosen && schemes.iter().any(|other| other.id == scheme.id) {
            item.wrong(problems, format!("the id \"{}\" is there twice", scheme.id));
        }
        schemes.push(scheme);
    }
    schemes
}

fn scheme(
    place: &Place<'_>,
    allowed: Allowed<'_>,
    native: bool,
    chosen: bool,
    problems: &mut Problems,
) -> Option<AuthScheme> {
    let mut object = place.object(problems)?;
    let (mut id, mut description) = (Some(String::new()), Some(String::new()));
    if chosen {
        id = object.need("id", problems).and_then(|place| place.text(problems));
        description = object.need("description", problems).and_then(|place| place.text(problems));
    }
    let optional = object.get("optional");
    let kind = object.need("type", problems).and_then(|place| {
        let kind = place.one(&AuthKind::NAMES, problems)?;
        if (kind == AuthKind::Native) != native && kind != AuthKind::None {
            place.wrong(problems, "type: native is for definitions with native, and they have no other");
        }
        Some(kind)
    })?;
    let mut needs = Needs::default();
    let method = method(kind, &mut object, allowed, &mut needs, problems);
    if let (Some(place), Some(_), false) = (&optional, &method, needs.0.iter().any(|need| need.required)) {
        place.wrong(problems, "is for what needs a setting, and this scheme needs none; remove it");
    }
    let optional = optional.and_then(|place| place.boolean(problems)).unwrap_or_default();
    object.finish(problems);
    Some(AuthScheme { id: id?, description: description?, optional, needs: needs.0, method: method? })
}

/// The settings that a scheme's templates name.
#[derive(Default)]
struct Needs(Vec<Need>);

impl Needs {
    fn of(&mut self, template: &Template) {
        for (name, required) in template.members(Variable::Settings) {
            match self.0.iter_mut().find(|need| need.name == name) {
                Some(need) => need.required |= required,
                None => self.0.push(Need { name: name.to_owned(), required }),
            }
        }
    }

    /// A template that must be there.
    fn need(
        &mut self,
        object: &mut Object<'_>,
        key: &'static str,
        allowed: Allowed<'_>,
        problems: &mut Problems,
    ) -> Option<Template> {
        let place = object.need(key, problems)?;
        self.read(&place, allowed, problems)
    }

    /// A template that may be there.
    fn get(
        &mut self,
        object: &mut Object<'_>,
        key: &'static str,
        allowed: Allowed<'_>,
        problems: &mut Problems,
    ) -> Option<Template> {
        let place = object.get(key)?;
        self.read(&place, allowed, problems)
    }

    fn read(&mut self, place: &Place<'_>, allowed: Allowed<'_>, problems: &mut Problems) -> Option<Template> {
        let template = values::template(place, &allowed, problems)?;
        self.of(&template);
        Some(template)
    }

    fn map(
        &mut self,
        object: &mut Object<'_>,
        key: &'static str,
        allowed: Allowed<'_>,
        problems: &mut Problems,
    ) -> Vec<(String, Template)> {
        let map = object.get(key).map(|place| values::map(&place, &allowed, problems)).unwrap_or_default();
        map.iter().for_each(|(_, template)| self.of(template));
        map
    }
}

fn method(
    kind: AuthKind,
    object: &mut Object<'_>,
    allowed: Allowed<'_>,
    needs: &mut Needs,
    problems: &mut Problems,
) -> Option<AuthMethod> {
    Some(match kind {
        AuthKind::None => AuthMethod::None,
        AuthKind::Bearer => {
            let token = needs.need(object, "token", allowed, problems);
            AuthMethod::Bearer { prefix: prefix(object, problems), token: token? }
        }
        AuthKind::Basic => {
            let username = needs.need(object, "username", allowed, problems);
            let password = needs.need(object, "password", allowed, problems);
            AuthMethod::Basic { username: username?, password: password? }
        }
        AuthKind::Header => {
            let name = header_name(object, "name", problems);
            let value = needs.need(object, "value", allowed, problems);
            AuthMethod::Header { name: name?, value: value? }
        }
        AuthKind::Query => {
            let name = object.need("name", problems).and_then(|place| place.text(problems));
            let value = needs.need(object, "value", allowed, problems);
            AuthMethod::Query { name: name?, value: value? }
        }
        AuthKind::Body => {
            let pointer = object.need("pointer", problems).and_then(|place| {
                let pointer = place.text(problems)?;
                if !pointer.starts_with('/') || pointer.ends_with('/') {
                    place.wrong(problems, "must be a JSON pointer to a member of the body, such as /api_key");
                }
                Some(pointer)
            });
            let value = needs.need(object, "value", allowed, problems);
            AuthMethod::Body { pointer: pointer?, value: value? }
        }
        AuthKind::BaseUrl => AuthMethod::BaseUrl { url: needs.need(object, "url", allowed, problems)? },
        AuthKind::OAuth2 => AuthMethod::OAuth2(Box::new(oauth2(object, allowed, needs, problems)?)),
        AuthKind::TokenRequest => AuthMethod::TokenRequest(Box::new(token_request(object, allowed, needs, problems)?)),
        AuthKind::Hmac => AuthMethod::Hmac(Box::new(hmac(object, allowed, needs, problems)?)),
        AuthKind::SigV4 => AuthMethod::SigV4(Box::new(sigv4(object, allowed, needs, problems)?)),
        AuthKind::OAuth1 => AuthMethod::OAuth1(Box::new(oauth1(object, allowed, needs, problems)?)),
        AuthKind::Native => {
            let place = object.need("uses", problems)?;
            for item in place.items(64, problems)? {
                let Some(name) = item.text(problems) else { continue };
                if !allowed.settings.properties.iter().any(|(own, _)| *own == name) {
                    item.wrong(problems, format!("there is no setting \"{name}\""));
                }
                needs.0.push(Need { name, required: false });
            }
            AuthMethod::Native
        }
    })
}

fn prefix(object: &mut Object<'_>, problems: &mut Problems) -> String {
    object.get("prefix").and_then(|place| place.text(problems)).unwrap_or_else(|| "Bearer".to_owned())
}

fn header_name(object: &mut Object<'_>, key: &'static str, problems: &mut Problems) -> Option<String> {
    let place = object.need(key, problems)?;
    let name = place.text(problems)?;
    if !values::is_header_name(&name) {
        place.wrong(problems, "must be the name of a header");
    }
    Some(name)
}

fn oauth2(object: &mut Object<'_>, allowed: Allowed<'_>, needs: &mut Needs, problems: &mut Problems) -> Option<OAuth2> {
    let answer = allowed.with(&OF_TOKEN);
    let grant = grant(object, allowed, needs, problems);
    let token_url = needs.need(object, "tokenUrl", allowed, problems);
    let client_id = needs.get(object, "clientId", allowed, problems);
    let client_secret = needs.get(object, "clientSecret", allowed, problems);
    let ways = [("basic", ClientAuth::Basic), ("body", ClientAuth::Body), ("none", ClientAuth::None)];
    let client_auth = object.get("clientAuth").and_then(|place| place.one(&ways, problems));
    let default = if client_secret.is_some() { ClientAuth::Basic } else { ClientAuth::None };
    let scope = needs.get(object, "scope", allowed, problems);
    let params = needs.map(object, "params", allowed, problems);
    let headers = object.get("headers").map(|place| values::headers(&place, &allowed, problems)).unwrap_or_default();
    headers.iter().for_each(|(_, template)| needs.of(template));
    let path = object.get("tokenPath").and_then(|place| values::expression(&place, &answer, problems));
    let expires_in = object.get("expiresIn").and_then(|place| place.duration(problems));
    let before = object.get("refreshBefore").and_then(|place| place.duration(problems));
    let rotates = object.get("rotates").and_then(|place| place.boolean(problems)).unwrap_or_default();
    let capture = object.get("capture").map(|place| values::expressions(&place, &answer, problems));
    let place = token_place(object, problems);
    if rotates && !matches!(grant, None | Some(Grant::RefreshToken { .. })) {
        object.wrong(problems, "rotates is about refresh tokens: it goes with grant: refreshToken");
    }
    match client_auth {
        Some(ClientAuth::Basic) if !object.has("clientSecret") => {
            object.wrong(problems, "clientAuth: basic needs a clientSecret; without one say none");
        }
        Some(ClientAuth::None) if object.has("clientSecret") => {
            object.wrong(problems, "clientAuth: none sends no clientSecret; say basic or body, or remove the secret");
        }
        _ => {}
    }
    Some(OAuth2 {
        grant: grant?,
        token_url: token_url?,
        client_id,
        client_secret,
        client_auth: client_auth.unwrap_or(default),
        scope,
        params,
        headers,
        token: path.or_else(|| answer.template("${token.access_token}").ok())?,
        expires_in,
        refresh_before: before.unwrap_or(Duration::from_secs(60)),
        rotates,
        place: place?,
        capture: capture.unwrap_or_default(),
    })
}

fn grant(object: &mut Object<'_>, allowed: Allowed<'_>, needs: &mut Needs, problems: &mut Problems) -> Option<Grant> {
    let grants = [("clientCredentials", 0), ("refreshToken", 1), ("jwtBearer", 2), ("password", 3)];
    let grant = object.need("grant", problems).and_then(|place| place.one(&grants, problems));
    let Some(grant) = grant else {
        object.spare(&["consent", "refreshToken", "assertion", "username", "password"]);
        return None;
    };
    Some(match grant {
        0 => Grant::ClientCredentials,
        1 => {
            let consent = object.get("consent");
            let token = needs.need(object, "refreshToken", allowed, problems)?;
            let consent = consent.and_then(|place| self::consent(&place, &token, allowed, problems));
            Grant::RefreshToken { token, consent }
        }
        2 => {
            let mut inner = object.need("assertion", problems)?.object(problems)?;
            let assertion = assertion(&mut inner, allowed, needs, problems);
            inner.finish(problems);
            Grant::JwtBearer(assertion?)
        }
        _ => {
            let username = needs.need(object, "username", allowed, problems);
            let password = needs.need(object, "password", allowed, problems);
            Grant::Password { username: username?, password: password? }
        }
    })
}

/// A browser shows all of it, so it sees no secret.
fn consent(place: &Place<'_>, token: &Template, allowed: Allowed<'_>, problems: &mut Problems) -> Option<Consent> {
    let open = Allowed { secrets: false, ..allowed };
    let mut object = place.object(problems)?;
    let url = object.need("url", problems).and_then(|place| {
        let url = values::template(&place, &open, problems)?;
        if !url.source().starts_with("https://") && !url.source().starts_with("${") {
            place.wrong(problems, "must begin with https://");
        }
        Some(url)
    });
    let scope = object.get("scope").and_then(|place| values::template(&place, &open, problems));
    let params = object.get("params").map(|place| values::map(&place, &open, problems)).unwrap_or_default();
    object.finish(problems);
    let names: Vec<&str> = token.members(Variable::Settings).map(|(name, _)| name).collect();
    let setting = match names.as_slice() {
        [name] if token.source() == format!("${{settings.{name}}}") => Some((*name).to_owned()),
        _ => {
            place.wrong(
                problems,
                "goes with a refreshToken that is one setting alone, such as \"${settings.refreshToken}\"",
            );
            None
        }
    };
    Some(Consent { url: url?, scope, params, setting: setting? })
}

fn assertion(
    object: &mut Object<'_>,
    allowed: Allowed<'_>,
    needs: &mut Needs,
    problems: &mut Problems,
) -> Option<Assertion> {
    let algorithms = [("RS256", JwtAlgorithm::RS256), ("ES256", JwtAlgorithm::ES256), ("HS256", JwtAlgorithm::HS256)];
    let algorithm = object.need("alg", problems).and_then(|place| place.one(&algorithms, problems));
    let key = needs.need(object, "key", allowed, problems);
    let key_id = needs.get(object, "keyId", allowed, problems);
    let ttl = object.get("ttl").and_then(|place| place.duration(problems));
    let claims = needs.map(object, "claims", allowed, problems);
    Some(Assertion { algorithm: algorithm?, key: key?, key_id, ttl: ttl.unwrap_or(Duration::from_secs(300)), claims })
}

fn token_place(object: &mut Object<'_>, problems: &mut Problems) -> Option<TokenPlace> {
    let Some(place) = object.get("place") else { return Some(TokenPlace::Bearer { prefix: "Bearer".to_owned() }) };
    let mut object = place.object(problems)?;
    let found = match object.need("as", problems)?.one(&[("bearer", 0), ("header", 1), ("query", 2)], problems)? {
        0 => Some(TokenPlace::Bearer { prefix: prefix(&mut object, problems) }),
        1 => header_name(&mut object, "name", problems).map(|name| TokenPlace::Header { name }),
        _ => {
            let name = object.need("name", problems).and_then(|place| place.text(problems));
            name.map(|name| TokenPlace::Query { name })
        }
    };
    object.finish(problems);
    found
}

fn token_request(
    object: &mut Object<'_>,
    allowed: Allowed<'_>,
    needs: &mut Needs,
    problems: &mut Problems,
) -> Option<TokenRequest> {
    let answer = allowed.with(&OF_ANSWER);
    let request = object.need("request", problems).and_then(|place| requests::request(&place, allowed, None, problems));
    request
        .iter()
        .flat_map(|request: &crate::request::Request| request.templates())
        .for_each(|template| needs.of(template));
    let token = object.need("token", problems).and_then(|place| values::expression(&place, &answer, problems));
    let expires_in = object.need("expiresIn", problems).and_then(|place| place.duration(problems));
    let capture = object.get("capture").map(|place| values::expressions(&place, &answer, problems));
    Some(TokenRequest {
        place: token_place(object, problems)?,
        request: request?,
        token: token?,
        expires_in: expires_in?,
        capture: capture.unwrap_or_default(),
    })
}

fn hmac(object: &mut Object<'_>, allowed: Allowed<'_>, needs: &mut Needs, problems: &mut Problems) -> Option<Hmac> {
    let key = needs.need(object, "key", allowed, problems);
    let algorithm = hash(object, HmacAlgorithm::Sha256, problems);
    let signs = object.need("signs", problems).and_then(|place| {
        let items = place.items(16, problems)?;
        let signed = allowed.with(&SIGNED);
        Some(items.iter().filter_map(|item| values::template(item, &signed, problems)).collect())
    });
    let header = header_name(object, "header", problems);
    let format =
        object.need("format", problems).and_then(|place| values::template(&place, &allowed.with(&SIGNATURE), problems));
    Some(Hmac { key: key?, algorithm: algorithm?, signs: signs?, header: header?, format: format? })
}

/// The hash of a signature.
fn hash(object: &mut Object<'_>, default: HmacAlgorithm, problems: &mut Problems) -> Option<HmacAlgorithm> {
    let algorithms = [("sha256", HmacAlgorithm::Sha256), ("sha1", HmacAlgorithm::Sha1)];
    object.get("algorithm").map_or(Some(default), |place| place.one(&algorithms, problems))
}

fn sigv4(object: &mut Object<'_>, allowed: Allowed<'_>, needs: &mut Needs, problems: &mut Problems) -> Option<SigV4> {
    let service = needs.need(object, "service", allowed, problems);
    let region = needs.need(object, "region", allowed, problems);
    let access_key_id = needs.need(object, "accessKeyId", allowed, problems);
    let secret_access_key = needs.need(object, "secretAccessKey", allowed, problems);
    let session_token = needs.get(object, "sessionToken", allowed, problems);
    Some(SigV4 {
        service: service?,
        region: region?,
        access_key_id: access_key_id?,
        secret_access_key: secret_access_key?,
        session_token,
    })
}

fn oauth1(object: &mut Object<'_>, allowed: Allowed<'_>, needs: &mut Needs, problems: &mut Problems) -> Option<OAuth1> {
    let consumer_key = needs.need(object, "consumerKey", allowed, problems);
    let consumer_secret = needs.need(object, "consumerSecret", allowed, problems);
    let token = needs.get(object, "token", allowed, problems);
    let token_secret = needs.get(object, "tokenSecret", allowed, problems);
    if token.is_some() != token_secret.is_some() {
        object.wrong(problems, "token and tokenSecret go together");
    }
    let realm = needs.get(object, "realm", allowed, problems);
    let algorithm = hash(object, HmacAlgorithm::Sha1, problems);
    Some(OAuth1 {
        consumer_key: consumer_key?,
        consumer_secret: consumer_secret?,
        token,
        token_secret,
        realm,
        algorithm: algorithm?,
    })
}
