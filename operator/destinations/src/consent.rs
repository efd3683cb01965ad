//! A person's consent: an authorization code of OAuth 2.0 (RFC 6749, 4.1) for a redirect address on the person's own machine (RFC 8252),
//! proved by a challenge (RFC 7636), in exchange for a refresh token.

use std::borrow::Cow;
use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use backflow_core::code::{Code, Failure, cut};
use backflow_core::plan::DestinationPlan;
use backflow_core::secret::Secrets;
use backflow_definitions::{
    AuthMethod, AuthScheme, Consent as Defined, Definition, Grant as DefinedGrant, OAuth2, complete, planned,
};
use backflow_expressions::Json;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Url;
use secrecy::SecretString;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::auth::{Expiry, Grant, KNOWN_ERRORS, OAuth, Obtained, TokenError};
use crate::http::{Client, RawAnswer, Timeouts};
use crate::open::{Building, Opening, pairs, read_secrets};

/// A consent that was begun.
pub struct Consent {
    definition: &'static Definition,
    defined: &'static Defined,
    address: Url,
    redirect: Url,
    state: String,
    verifier: String,
    oauth: OAuth,
    client: Client,
}

/// Why an answer at the redirect address is no consent.
#[derive(Clone, Debug, PartialEq)]
pub enum NoConsent {
    /// It does not belong to this consent: whoever made it does not know its state. The answer may still come.
    Foreign,
    /// The person or the vendor said no.
    Denied(Failure),
}

impl Consent {
    /// Prepares a consent for a Destination, whose answer comes to `redirect`. Nothing is called yet.
    ///
    /// # Errors
    /// The Destination's way to authenticate knows no consent, or one of its settings or other secrets is not given.
    pub fn begin(plan: &DestinationPlan, redirect: &Url, secrets: &dyn Secrets) -> Result<Self, Failure> {
        let invalid = |message: String| Failure::new(Code::PlanInvalid, message);
        let definition = planned(plan)?;
        let scheme = definition.auth_scheme(Some(&plan.auth)).map_err(|finding| invalid(finding.message))?;
        let (oauth2, defined) = consent_of(scheme).ok_or_else(|| invalid(no_consent(definition, scheme)))?;
        // What the consent is for does not exist yet.
        let mut known = plan.clone();
        known.secrets.remove(&defined.setting);
        let opening = Opening::new(definition, &known, secrets, None)?;
        let settings = read_secrets(definition, &known, secrets, &complete(&definition.settings, &known.settings))?;
        let building = Building { opening: &opening, settings: &settings, base: None };
        let (state, verifier) = (random()?, random()?);
        let grant = Grant::AuthorizationCode {
            code: SecretString::default(),
            redirect: redirect.to_string(),
            verifier: SecretString::from(verifier.clone()),
        };
        let oauth = OAuth { read: Box::new(refresh_token), ..building.client(oauth2, grant, &building.what(scheme))? };
        let timeouts = Timeouts { connect: opening.http.connect_timeout, request: opening.http.timeout };
        let client = Client::new(&opening.http.hosts, None, known.allow_loopback, 1, timeouts)?;

        let text = |template| building.text(template);
        let mut address = Url::parse(&text(&defined.url)?)
            .map_err(|_| invalid("the definition's consent.url is no URL".to_owned()))?;
        let id = oauth2.client_id.as_ref().map(text).transpose()?.unwrap_or_default();
        if id.is_empty() {
            return Err(invalid(format!(
                "auth \"{}\" of {} names no clientId, without which nobody can be asked",
                scheme.id, definition.title
            )));
        }
        {
            let mut query = address.query_pairs_mut();
            query.append_pair("response_type", "code").append_pair("client_id", &id);
            query.append_pair("redirect_uri", redirect.as_str()).append_pair("state", &state);
            let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier));
            query.append_pair("code_challenge", &challenge).append_pair("code_challenge_method", "S256");
            for (name, template) in defined.scope.iter().map(|scope| ("scope", scope)).chain(pairs(&defined.params)) {
                query.append_pair(name, &text(template)?);
            }
        }
        Ok(Self { definition, defined, address, redirect: redirect.clone(), state, verifier, oauth, client })
    }

    /// The page on which the person agrees.
    #[must_use]
    pub fn address(&self) -> &Url {
        &self.address
    }

    /// The setting that the refresh token becomes.
    #[must_use]
    pub fn setting(&self) -> &str {
        &self.defined.setting
    }

    /// The code of an answer at the redirect address.
    ///
    /// # Errors
    /// [`NoConsent`].
    pub fn code(&self, query: &str) -> Result<SecretString, NoConsent> {
        let member = |name: &str| {
            url::form_urlencoded::parse(query.as_bytes()).find(|(own, _)| own == name).map(|(_, value)| value)
        };
        if member("state").as_deref() != Some(self.state.as_str()) {
            return Err(NoConsent::Foreign);
        }
        match (member("code").filter(|code| !code.is_empty()), member("error")) {
            (Some(code), None) => Ok(SecretString::from(code.into_owned())),
            (_, Some(error)) => Err(NoConsent::Denied(self.denied(&error, member("error_description")))),
            (None, None) => {
                let message = format!("{} sent neither a code nor an error; begin again", self.definition.title);
                Err(NoConsent::Denied(Failure::new(Code::DestinationMisconfigured, message)))
            }
        }
    }

    /// Exchanges the code for a refresh token.
    ///
    /// # Errors
    /// The vendor gives none, or cannot be reached.
    pub async fn redeem(self, code: SecretString) -> Result<SecretString, Failure> {
        let grant = Grant::AuthorizationCode {
            code,
            redirect: self.redirect.to_string(),
            verifier: SecretString::from(self.verifier),
        };
        let oauth = OAuth { grant, ..self.oauth };
        // It is asked for once: how long it lasts is nobody's concern.
        let once = Expiry { unless_said: None, renew_before: Duration::ZERO };
        match oauth.obtain(&self.client, None, once).await {
            Ok(obtained) => Ok(obtained.value),
            Err(TokenError::Stop(failure)) => Err(failure),
            Err(TokenError::Trouble(trouble)) => Err(trouble.failure),
            Err(TokenError::Later(status, _)) => {
                let message =
                    format!("{} answers {status} to the request for a token; begin again later", self.definition.title);
                Err(Failure::new(Code::DestinationUnreachable, message))
            }
        }
    }

    fn denied(&self, error: &str, description: Option<Cow<'_, str>>) -> Failure {
        let cure = match error {
            "access_denied" => "the person did not agree, or may not; begin again, as somebody who may",
            "invalid_scope" => {
                "the application was not given what the definition asks for; widen its scopes at the vendor"
            }
            "unauthorized_client" => {
                "the application may not ask for consent in this way; allow authorization codes at the vendor"
            }
            "unsupported_response_type" => "the vendor gives no authorization codes",
            "temporarily_unavailable" | "server_error" => "begin again later",
            _ => "check clientId, the redirect address and the scopes of the application at the vendor",
        };
        let error = KNOWN_ERRORS.iter().find(|known| **known == error).map_or("an error", |known| *known);
        // For the person in front of it, who reads it once.
        let clean = |text: Cow<'_, str>| cut(text.chars().filter(|char| !char.is_control()).collect::<String>(), 200);
        let said = description
            .map(clean)
            .filter(|said| !said.is_empty())
            .map(|said| format!(" (\"{said}\")"))
            .unwrap_or_default();
        Failure::new(Code::DestinationUnauthorized, format!("{} answers {error}{said}: {cure}", self.definition.title))
    }
}

/// What a scheme says of consent.
fn consent_of(scheme: &'static AuthScheme) -> Option<(&'static OAuth2, &'static Defined)> {
    let AuthMethod::OAuth2(oauth2) = &scheme.method else { return None };
    let DefinedGrant::RefreshToken { consent: Some(consent), .. } = &oauth2.grant else { return None };
    Some((oauth2, consent))
}

fn no_consent(definition: &'static Definition, scheme: &AuthScheme) -> String {
    let others: Vec<&str> = definition
        .auth
        .choose
        .iter()
        .filter(|scheme| consent_of(scheme).is_some())
        .map(|scheme| scheme.id.as_str())
        .collect();
    let cure = match others.as_slice() {
        [] => format!("no way to authenticate of {} does", definition.title),
        others => format!("set spec.auth to {}", others.join(" or ")),
    };
    format!("auth \"{}\" needs no person's consent; {cure}", scheme.id)
}

/// What is looked for in the answer of the token endpoint.
fn refresh_token(answer: &RawAnswer) -> Result<Obtained, String> {
    let body = serde_json::from_slice::<Value>(&answer.body).map_err(|_| "it is no JSON document".to_owned())?;
    let token = body.get("refresh_token").and_then(Value::as_str).filter(|token| !token.is_empty()).ok_or(
        "it has no refresh_token; allow lasting access in the application's settings at the vendor, and take an earlier consent back there: \
         some give a refresh token only once",
    )?;
    Ok(Obtained { value: SecretString::from(token), captured: Json::Null, expires_in: None })
}

/// 256 random bits, as text.
fn random() -> Result<String, Failure> {
    let mut bytes = [0; 32];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Failure::new(Code::Internal, "the operating system gives no random numbers"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use backflow_core::plan::DestinationLimits;
    use backflow_core::secret::SecretRef;
    use serde_json::json;

    use super::*;

    struct Given;

    impl Secrets for Given {
        fn read(&self, reference: &SecretRef) -> Result<SecretString, Failure> {
            match reference.key.as_str() {
                "clientSecret" => Ok(SecretString::from("s3cret")),
                _ => Err(reference.key_not_found()),
            }
        }
    }

    fn begin(auth: &str) -> Result<Consent, Failure> {
        let reference = |key: &str| (key.to_owned(), SecretRef { name: "crm".into(), key: key.into() });
        let plan = DestinationPlan {
            name: "crm".into(),
            kind: "hubspot".into(),
            definition: None,
            definition_version: backflow_definitions::builtin("hubspot").unwrap().version,
            auth: auth.into(),
            settings: [("clientId".to_owned(), json!("app-1"))].into(),
            secrets: [reference("clientSecret"), reference("refreshToken")].into(),
            limits: DestinationLimits::default(),
            allow_loopback: true,
        };
        Consent::begin(&plan, &"http://localhost:8123/callback".parse().unwrap(), &Given)
    }

    #[test]
    fn the_page_is_asked_for_a_code_with_a_challenge_and_no_secret() {
        let consent = begin("oauth").unwrap();
        let query: std::collections::BTreeMap<_, _> = consent.address().query_pairs().into_owned().collect();
        assert_eq!(consent.address().host_str(), Some("app.hubspot.com"));
        assert_eq!((query["response_type"].as_str(), query["client_id"].as_str()), ("code", "app-1"));
        assert_eq!(query["redirect_uri"], "http://localhost:8123/callback");
        assert_eq!(query["code_challenge"], URL_SAFE_NO_PAD.encode(Sha256::digest(&consent.verifier)));
        assert!(query["state"].len() == 43 && query["state"] != begin("oauth").unwrap().state, "new for each consent");
        assert!(
            !consent.address().as_str().contains("s3cret") && !consent.address().as_str().contains(&consent.verifier)
        );
        assert_eq!(consent.setting(), "refreshToken");
    }

    #[test]
    fn only_an_answer_with_its_own_state_is_taken() {
        let consent = begin("oauth").unwrap();
        let state = consent.state.clone();
        for foreign in
            ["", "code=abc", "code=abc&state=other", "error=access_denied&state=", &format!("code=a&xstate={state}")]
        {
            assert_eq!(consent.code(foreign).unwrap_err(), NoConsent::Foreign, "{foreign}");
        }
        assert!(consent.code(&format!("code=abc&state={state}")).is_ok());
        let denied = |query: &str| match consent.code(&format!("{query}&state={state}")).unwrap_err() {
            NoConsent::Denied(failure) => failure.message,
            NoConsent::Foreign => panic!("it is its own"),
        };
        let said = denied("error=access_denied&error_description=No%0Athanks");
        assert!(said.contains("access_denied (\"Nothanks\")") && said.contains("did not agree"), "{said}");
        assert!(
            denied("error=%1b%5b31m").contains("answers an error: check"),
            "words that are not the protocol's are not shown"
        );
        assert!(denied("x=1").contains("neither a code nor an error"));
    }

    #[test]
    fn a_way_without_consent_names_those_with_one() {
        let said = begin("privateApp").err().unwrap().message;
        assert!(said.contains("set spec.auth to oauth"), "{said}");
    }
}
