//! The endpoint that issues access tokens (RFC 6749, RFC 7523).

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use super::keys;
use super::placeholders::TOKEN;
use super::request::Request;
use crate::webhook::random_secret;

/// How a token endpoint is written: `token` of `api.yaml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    url: String,
    /// The values that the form has, `grant_type` among them.
    form: BTreeMap<String, String>,
    assertion: Option<Assertion>,
}

/// A signed assertion in the form.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Assertion {
    /// The secret that holds the key.
    key: String,
    /// Claims and their values.
    claims: BTreeMap<String, String>,
}

/// A token endpoint.
#[derive(Debug)]
pub(super) struct TokenEndpoint {
    pub(super) url: String,
    form: BTreeMap<String, String>,
    assertion: Option<Assertion>,
    /// The private key of assertions.
    key: String,
    answer: Value,
}

/// The tokens that a vendor takes now.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    live: BTreeSet<String>,
    ended: BTreeSet<String>,
    /// In place of the first one, after a rotation.
    refresh: Option<String>,
    pub(super) issued: usize,
}

impl Tokens {
    /// Whether a text is the expected one with a live token in it.
    pub(super) fn fits(&self, expected: &str, given: &str) -> bool {
        if !expected.contains(TOKEN) {
            return expected == given;
        }
        token(expected, given).is_some_and(|token| self.live.contains(token))
    }

    /// Whether it was one until its token ended: no fault of the sender.
    pub(super) fn did_fit(&self, expected: &str, given: &str) -> bool {
        token(expected, given).is_some_and(|token| self.ended.contains(token))
    }

    /// All tokens end.
    pub(super) fn expire(&mut self) {
        self.ended.append(&mut self.live);
    }
}

/// The part of a credential that is a token.
fn token<'a>(expected: &str, given: &'a str) -> Option<&'a str> {
    let (before, after) = expected.split_once(TOKEN)?;
    given.strip_prefix(before)?.strip_suffix(after)
}

impl TokenEndpoint {
    pub(super) fn read(token: Value, answer: &Value, secrets: &BTreeMap<String, String>) -> anyhow::Result<Self> {
        let Written { url, form, assertion } = serde_json::from_value(token).context("token")?;
        let key = assertion.as_ref().map(|assertion| secrets.get(&assertion.key).context("the key is no secret"));
        let key = key.transpose()?.cloned().unwrap_or_default();
        ensure!(answer["access_token"] == TOKEN, "destination.yaml says no token.access_token");
        Ok(Self { url, form, assertion, key, answer: answer.clone() })
    }

    /// Whether a form can be this vendor's: several share an endpoint, but no secret.
    pub(super) fn is_meant(&self, request: &Request) -> bool {
        let form = request.form().unwrap_or_default();
        let stable = self.form.iter().filter(|(name, _)| *name != "refresh_token");
        request.url == self.url
            && stable.into_iter().all(|(name, value)| form.iter().any(|(own, given)| own == name && given == value))
    }

    /// Issues a token.
    pub(super) fn issue(&self, request: &Request, tokens: &mut Tokens, rotate: bool) -> anyhow::Result<Value> {
        ensure!(request.method == "POST", "a token is asked for by {}", request.method);
        ensure!(
            request.header("content-type").is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded")),
            "a token is asked for by something else than a form"
        );
        let form: BTreeMap<String, String> = request.form()?.into_iter().collect();
        for (name, expected) in &self.form {
            let expected = tokens.refresh.as_ref().filter(|_| name == "refresh_token").unwrap_or(expected);
            ensure!(form.get(name) == Some(expected), "{name} of the token request is wrong");
        }
        let known = |name: &str| self.form.contains_key(name) || (name == "assertion" && self.assertion.is_some());
        let unknown = form.keys().find(|name| !known(name) && *name != "scope");
        ensure!(unknown.is_none(), "the token request has {unknown:?}");
        if let Some(assertion) = &self.assertion {
            let claims = keys::claims(form.get("assertion").context("there is no assertion")?, &self.key)?;
            for (name, value) in &assertion.claims {
                ensure!(claims[name] == **value, "the claim {name} is {} instead of {value}", claims[name]);
            }
        }
        let token = random_secret("token-");
        let mut answer = self.answer.clone();
        answer["access_token"] = json!(token);
        tokens.live.insert(token);
        tokens.issued += 1;
        if rotate {
            let next = random_secret("refresh-");
            answer["refresh_token"] = json!(next);
            tokens.refresh = Some(next);
        }
        Ok(answer)
    }
}
