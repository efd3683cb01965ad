//! A vendor: its endpoints, and the credentials that this fake made for it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::endpoint::Endpoint;
use super::keys;
use super::placeholders::{self, fill};
use super::request::Request;
use super::tokens::TokenEndpoint;
use super::tree::Tree;
use crate::webhook::random_secret;

/// How a vendor's file is written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    base_url: String,
    #[serde(default)]
    auth: BTreeMap<String, Value>,
    /// The identifier that the vendor gives to a record.
    id: Option<Value>,
    token: Option<Value>,
    #[serde(default)]
    answers: BTreeMap<String, Value>,
    endpoints: BTreeMap<String, Value>,
}

/// The part of `destination.yaml` that a fake uses.
#[derive(Debug, Deserialize)]
struct Account {
    #[serde(default)]
    secrets: Vec<String>,
    #[serde(default)]
    token: Value,
}

/// Where a credential is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Spot {
    Header(String),
    Query(String),
    Body(String),
}

/// One vendor.
#[derive(Debug)]
pub(super) struct Vendor {
    pub(super) name: String,
    pub(super) hosts: BTreeSet<String>,
    pub(super) secrets: BTreeMap<String, String>,
    /// What every request carries; a text may hold the place of a token.
    pub(super) auth: Vec<(Spot, String)>,
    pub(super) token: Option<TokenEndpoint>,
    pub(super) id: Option<Tree>,
    pub(super) endpoints: Vec<Endpoint>,
}

impl Vendor {
    /// Reads the fixtures of a definition; nothing if it has none.
    pub(super) fn read(folder: &Path) -> anyhow::Result<Option<Self>> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let fixtures = folder.join("fixtures");
        if !fixtures.join("api.yaml").exists() {
            return Ok(None);
        }
        let account: Account = serde_json::from_value(yaml(&fixtures.join("destination.yaml"))?)?;
        let secrets: BTreeMap<String, String> = account
            .secrets
            .iter()
            .map(|secret| Ok((secret.clone(), invent(secret)?)))
            .collect::<anyhow::Result<_>>()?;
        let written: Written = serde_json::from_value(fill(&yaml(&fixtures.join("api.yaml"))?, &secrets)?)?;
        let endpoint = |(name, endpoint): (String, Value)| {
            Endpoint::read(&name, endpoint, &written.base_url, &fixtures, &written.answers)
                .with_context(|| format!("endpoint {name}"))
        };
        let endpoints: Vec<Endpoint> =
            written.endpoints.clone().into_iter().map(endpoint).collect::<anyhow::Result<_>>()?;
        let token = written.token.map(|token| TokenEndpoint::read(token, &account.token, &secrets)).transpose()?;
        let urls = written.endpoints.values().filter_map(|endpoint| endpoint["url"].as_str().map(str::to_owned));
        let urls = urls.chain([written.base_url]).chain(token.as_ref().map(|token| token.url.clone()));
        let hosts = urls.map(|url| Ok(Url::parse(&url)?.host_str().context("a URL has a host")?.to_owned()));
        let needs_token = written.auth.values().any(|value| value.to_string().contains(placeholders::TOKEN));
        ensure!(token.is_some() == needs_token, "it needs `token`, the endpoint that issues <<token>>, or not at all");
        Ok(Some(Self {
            name,
            hosts: hosts.collect::<anyhow::Result<_>>()?,
            auth: spots(&written.auth)?,
            token,
            id: written.id.as_ref().map(Tree::read).transpose()?,
            endpoints,
            secrets,
        }))
    }

    /// The endpoints that a request may be meant for, the closest first, each with the variables of its path.
    pub(super) fn candidates(&self, request: &Request) -> Vec<(&Endpoint, Value)> {
        let of_method = self.endpoints.iter().filter(|endpoint| endpoint.method == request.method);
        let mut found: Vec<_> =
            of_method.filter_map(|endpoint| Some((endpoint, Value::Object(endpoint.matches(request)?)))).collect();
        found.sort_by_key(|(_, path)| path.as_object().map_or(0, serde_json::Map::len));
        found
    }
}

/// The credentials of a file: a map of places, in which `query` and `body` may be maps of their own.
fn spots(auth: &BTreeMap<String, Value>) -> anyhow::Result<Vec<(Spot, String)>> {
    let mut spots = Vec::new();
    for (place, value) in auth {
        match (place.as_str(), value) {
            ("query", Value::Object(members)) => {
                for (name, value) in members {
                    spots.push((Spot::Query(name.clone()), super::tree::text(value)));
                }
            }
            (place, Value::String(value)) => {
                let spot = match (place.strip_prefix("query:"), place.strip_prefix("body:")) {
                    (Some(name), _) => Spot::Query(name.to_owned()),
                    (_, Some(pointer)) => Spot::Body(pointer.to_owned()),
                    _ => Spot::Header(place.to_owned()),
                };
                spots.push((spot, value.clone()));
            }
            (place, _) => anyhow::bail!("auth.{place} is no credential"),
        }
    }
    Ok(spots)
}

/// A value for a secret of this name.
fn invent(name: &str) -> anyhow::Result<String> {
    Ok(match name {
        "privateKey" => keys::private_key()?,
        "webhookUrl" => format!("https://hooks.slack.com/services/T0/B0/{}", random_secret("")),
        name => random_secret(&format!("{name}-")),
    })
}

/// A YAML document.
pub(super) fn yaml(path: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    serde_saphyr::from_str(&text).with_context(|| path.display().to_string())
}
