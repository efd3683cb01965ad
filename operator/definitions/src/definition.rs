//! A definition.

use std::collections::BTreeMap;

use backflow_core::finding::{Finding, hint};
use serde_json::Value;

use crate::action::Action;
use crate::auth::{Auth, AuthScheme};
use crate::http::Http;
use crate::schema::Schema;
use crate::settings::{check_all, identity};

/// A destination: what a user configures, and what can be done with it.
#[derive(Debug)]
pub struct Definition {
    /// Name, as `Destination.spec.type` says it.
    pub id: String,
    /// Raised with every change of behaviour; a plan names the version that it was checked against.
    pub version: u32,
    /// Name for people.
    pub title: String,
    /// One sentence.
    pub description: String,
    /// The vendor's documentation.
    pub docs_url: Option<String>,
    /// What kind of tool it is.
    pub category: Category,
    /// What was checked against what.
    pub verification: Verification,
    /// Where facts are from.
    pub provenance: Vec<Fact>,
    /// What a user configures, secrets among it.
    pub settings: Schema,
    /// Ways to authenticate; the first is the default.
    pub auth: Auth,
    /// How it is spoken to.
    pub delivery: Delivery,
    /// What can be done.
    pub actions: BTreeMap<String, Action>,
}

/// How a destination is spoken to.
#[derive(Debug)]
pub enum Delivery {
    /// By HTTP, as the definition says.
    Http(Box<Http>),
    /// By code of this name, with so many requests (or connections) at once.
    Native {
        /// The code.
        name: String,
        /// Requests in flight, at most.
        concurrency: u32,
    },
}

/// What kind of tool a destination is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "their names say all")]
pub enum Category {
    Crm,
    Support,
    Marketing,
    Messaging,
    Analytics,
    Advertising,
    Cdp,
    Collaboration,
    Warehouse,
    Generic,
}

impl Category {
    /// Their names.
    pub const NAMES: [(&'static str, Self); 10] = [
        ("crm", Self::Crm),
        ("support", Self::Support),
        ("marketing", Self::Marketing),
        ("messaging", Self::Messaging),
        ("analytics", Self::Analytics),
        ("advertising", Self::Advertising),
        ("cdp", Self::Cdp),
        ("collaboration", Self::Collaboration),
        ("warehouse", Self::Warehouse),
        ("generic", Self::Generic),
    ];
}

/// What a definition was checked against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    /// The service itself.
    Live,
    /// The vendor's own machine-readable specification.
    Spec,
    /// A specification that others wrote.
    DerivedSpec,
    /// Recorded requests and answers, or code.
    Fixture,
}

impl Verification {
    /// Their names.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("live-verified", Self::Live),
        ("spec-verified", Self::Spec),
        ("derived-spec", Self::DerivedSpec),
        ("fixture-verified", Self::Fixture),
    ];
}

/// Where something that a definition says is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What is said.
    pub fact: String,
    /// Who says it.
    pub source: String,
    /// The day that it was looked up.
    pub checked: String,
}

impl Definition {
    /// The scheme of this name; the first when none is given.
    ///
    /// # Errors
    /// A finding at `auth` if there is no such scheme.
    pub fn auth_scheme(&self, id: Option<&str>) -> Result<&AuthScheme, Finding> {
        let found = match id {
            None => self.auth.choose.first(),
            Some(id) => self.auth.choose.iter().find(|scheme| scheme.id == id),
        };
        found.ok_or_else(|| {
            let id = id.unwrap_or_default();
            let known = hint(id, self.auth.choose.iter().map(|scheme| scheme.id.as_str()));
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
        let secret = |name: &&String| self.secret(name).is_some();
        let mut findings: Vec<Finding> = settings
            .keys()
            .filter(secret)
            .map(|name| {
                let message = format!(
                    "{name} is a secret: give it in spec.secrets as a reference to a Secret, never in plain text"
                );
                Finding::new(format!("settings.{name}"), "SecretInSettings", message)
            })
            .collect();
        let plain =
            settings.iter().filter(|(name, _)| !secret(name)).map(|(name, value)| (name.clone(), value.clone()));
        findings.extend(check_all(
            "settings",
            &format!("{} has no setting", self.id),
            &self.settings,
            &plain.collect::<BTreeMap<_, _>>(),
            None,
        ));
        findings
    }

    /// The secret setting of this name.
    #[must_use]
    pub fn secret(&self, name: &str) -> Option<&Schema> {
        self.secrets().find(|(own, _)| *own == name).map(|(_, schema)| schema)
    }

    /// The settings that come from Secrets.
    pub fn secrets(&self) -> impl Iterator<Item = (&str, &Schema)> {
        let secrets = self.settings.properties.iter().filter(|(_, schema)| schema.extra.secret);
        secrets.map(|(name, schema)| (name.as_str(), &**schema))
    }

    /// Settings and secrets that the chosen scheme needs and that are not given. `given`: names of settings and of secrets.
    #[must_use]
    pub fn check_needs(&self, auth: Option<&str>, given: &dyn Fn(&str) -> bool) -> Vec<Finding> {
        let Ok(chosen) = self.auth_scheme(auth) else { return Vec::new() };
        let mut findings = Vec::new();
        for scheme in std::iter::once(chosen).chain(&self.auth.always).filter(|scheme| !scheme.optional) {
            for need in scheme.needs.iter().filter(|need| need.required && !given(&need.name)) {
                let name = &need.name;
                let schema = self.settings.properties.iter().find(|(own, _)| own == name).map(|(_, schema)| schema);
                if schema.is_some_and(|schema| schema.default.is_some()) {
                    continue;
                }
                let place = if self.secret(name).is_some() { "secrets" } else { "settings" };
                let about = schema.and_then(|schema| schema.description.as_deref()).unwrap_or_default();
                let code = if place == "secrets" { "MissingSecret" } else { "MissingSetting" };
                let scheme = &chosen.id;
                let message = format!("auth \"{scheme}\" needs {place}.{name}: {about}");
                findings.push(Finding::new(format!("{place}.{name}"), code, message));
            }
        }
        findings
    }

    /// What is wrong with a Destination's secrets: unknown ones, and those that the chosen scheme does not use. Paths:
    /// `secrets.<name>`. `auth` as in [`Definition::auth_scheme`]; if it is unknown, only names are checked.
    #[must_use]
    pub fn check_secrets<'a>(&self, auth: Option<&str>, names: impl IntoIterator<Item = &'a str>) -> Vec<Finding> {
        let mut findings = Vec::new();
        for name in names {
            let path = format!("secrets.{name}");
            if self.secret(name).is_none() {
                let known = hint(name, self.secrets().map(|(name, _)| name));
                findings.push(Finding::new(
                    path,
                    "UnknownSecret",
                    format!("{} has no secret \"{name}\" {known}", self.id),
                ));
                continue;
            }
            let users: Vec<&AuthScheme> = self.auth.choose.iter().filter(|scheme| scheme.uses(name)).collect();
            let always = self.auth.always.iter().any(|scheme| scheme.uses(name));
            if let Ok(chosen) = self.auth_scheme(auth)
                && !always
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
        identity(&self.settings, settings)
    }

    /// The HTTP side; nothing of a native destination.
    #[must_use]
    pub fn http(&self) -> Option<&Http> {
        if let Delivery::Http(http) = &self.delivery { Some(http) } else { None }
    }

    /// Requests in flight that an account allows, unless the Destination says others.
    #[must_use]
    pub fn concurrency(&self) -> u32 {
        match &self.delivery {
            Delivery::Http(http) => http.limits.concurrency.max,
            Delivery::Native { concurrency, .. } => *concurrency,
        }
    }
}
