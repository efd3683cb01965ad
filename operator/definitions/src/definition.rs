//! A definition, and the built-in ones.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use backflow_core::finding::{Finding, hint};
use serde::Deserialize;
use serde_json::Value;

use crate::action::Action;
use crate::settings::{Setting, check_all};

/// The files that are part of the program.
const FILES: &[&str] = &[include_str!("../builtin/webhook/definition.yaml")];

/// A destination: what a user configures, and what can be done with it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Definition {
    /// Name, as `Destination.spec.type` says it.
    #[serde(rename = "definition")]
    pub id: String,
    /// Raised with every change of behaviour; a plan names the version that it was checked against.
    pub version: u32,
    /// Name for people.
    pub title: String,
    /// One sentence.
    pub description: String,
    /// Plain settings.
    pub settings: BTreeMap<String, Setting>,
    /// Settings that come from Secrets.
    pub secrets: BTreeMap<String, Secret>,
    /// Ways to authenticate; the first is the default.
    pub auth: Vec<AuthScheme>,
    /// Limits of an account, unless the Destination says others.
    pub limits: Limits,
    /// What can be done.
    pub actions: BTreeMap<String, Action>,
}

/// A secret setting.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Secret {
    /// One sentence.
    pub description: String,
}

/// A way to authenticate.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AuthScheme {
    /// Name, as `Destination.spec.auth` says it.
    pub id: String,
    /// One sentence.
    pub description: String,
    /// The secrets that it uses. Secrets that no scheme names go with every scheme.
    pub secrets: Vec<String>,
}

/// Limits of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Limits {
    /// Requests in flight.
    pub concurrency: u32,
}

/// A definition file that is wrong.
#[derive(Debug, thiserror::Error)]
#[error("the definition cannot be read: {0}")]
pub struct LoadError(String);

/// Reads a definition file. Unknown fields are errors.
///
/// # Errors
/// What is wrong, with line and column.
pub fn load(yaml: &str) -> Result<Definition, LoadError> {
    let definition: Definition = serde_saphyr::from_str(yaml).map_err(|error| LoadError(error.to_string()))?;
    if definition.auth.is_empty() {
        return Err(LoadError("auth: at least one scheme is needed, the first is the default".to_owned()));
    }
    for scheme in &definition.auth {
        if let Some(name) = scheme.secrets.iter().find(|name| !definition.secrets.contains_key(*name)) {
            return Err(LoadError(format!("auth {}: secret {name} is not among secrets", scheme.id)));
        }
    }
    Ok(definition)
}

// A test proves that each file loads, so none is ever left out.
static BUILTIN: LazyLock<Vec<Definition>> = LazyLock::new(|| FILES.iter().filter_map(|yaml| load(yaml).ok()).collect());

/// The built-in definition of this name.
#[must_use]
pub fn builtin(id: &str) -> Option<&'static Definition> {
    BUILTIN.iter().find(|definition| definition.id == id)
}

/// Names of the built-in definitions.
pub fn builtin_ids() -> impl Iterator<Item = &'static str> {
    BUILTIN.iter().map(|definition| definition.id.as_str())
}

impl Definition {
    /// The scheme of this name; the first when none is given.
    ///
    /// # Errors
    /// A finding at `auth` if there is no such scheme.
    pub fn auth_scheme(&self, id: Option<&str>) -> Result<&AuthScheme, Finding> {
        let found = match id {
            None => self.auth.first(),
            Some(id) => self.auth.iter().find(|scheme| scheme.id == id),
        };
        found.ok_or_else(|| {
            let id = id.unwrap_or_default();
            let known = hint(id, self.auth.iter().map(|scheme| scheme.id.as_str()));
            Finding::new(
                "auth",
                "UnknownAuth",
                format!("{} has no way to authenticate called \"{id}\" {known}", self.id),
            )
        })
    }

    /// What is wrong with a Destination's settings: unknown or missing ones, wrong types and values. Paths: `settings.<name>`.
    #[must_use]
    pub fn check_settings(&self, settings: &BTreeMap<String, Value>) -> Vec<Finding> {
        let mut findings = Vec::new();
        for name in settings.keys().filter(|name| self.secrets.contains_key(*name)) {
            findings.push(Finding::new(
                format!("settings.{name}"),
                "SecretInSettings",
                format!("{name} is a secret: give it in spec.secrets as a reference to a Secret, never in plain text"),
            ));
        }
        let plain = settings.iter().filter(|(name, _)| !self.secrets.contains_key(*name));
        check_all("settings", &format!("{} has no setting", self.id), &self.settings, plain, &mut findings);
        findings
    }

    /// What is wrong with a Destination's secrets: unknown ones, and those that the chosen scheme does not use. Paths:
    /// `secrets.<name>`. `auth` as in [`Definition::auth_scheme`]; if it is unknown, only names are checked.
    #[must_use]
    pub fn check_secrets<'a>(&self, auth: Option<&str>, names: impl IntoIterator<Item = &'a str>) -> Vec<Finding> {
        let mut findings = Vec::new();
        for name in names {
            let path = format!("secrets.{name}");
            if !self.secrets.contains_key(name) {
                let known = hint(name, self.secrets.keys().map(String::as_str));
                findings.push(Finding::new(
                    path,
                    "UnknownSecret",
                    format!("{} has no secret \"{name}\" {known}", self.id),
                ));
                continue;
            }
            let users: Vec<&AuthScheme> =
                self.auth.iter().filter(|scheme| scheme.secrets.iter().any(|s| s == name)).collect();
            if let Ok(chosen) = self.auth_scheme(auth)
                && !users.is_empty()
                && !users.iter().any(|scheme| scheme.id == chosen.id)
            {
                let message = format!(
                    "auth \"{}\" does not use the secret {name}: remove it, or set spec.auth to \"{}\"",
                    chosen.id, users[0].id
                );
                findings.push(Finding::new(path, "UnusedSecret", message));
            }
        }
        findings
    }

    /// The action of this name.
    ///
    /// # Errors
    /// A finding at `action` if there is none.
    pub fn action(&self, name: &str) -> Result<&Action, Finding> {
        self.actions.get(name).ok_or_else(|| {
            let known = hint(name, self.actions.keys().map(String::as_str));
            Finding::new("action", "UnknownAction", format!("{} has no action \"{name}\" {known}", self.id))
        })
    }

    /// The settings that make the account: a Mapping whose Destination changes one of them has other records there. Those that are
    /// unset and have no default are left out.
    #[must_use]
    pub fn identity(&self, settings: &BTreeMap<String, Value>) -> BTreeMap<String, String> {
        self.settings
            .iter()
            .filter(|(_, setting)| setting.identity)
            .filter_map(|(name, setting)| {
                let value = settings.get(name).or(setting.default.as_ref())?;
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                Some((name.clone(), text))
            })
            .collect()
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
