//! The check of each definition against its vendor: what `fixtures/check.yaml` says of every answer, and of credentials that are wrong.

use std::collections::BTreeSet;

use backflow_core::code::{Code, Failure};
use backflow_definitions::{Definition, builtin};
use backflow_tests::destinations::{Credentials, Script};
use serde_json::Value;

use super::fixture::{check, folder, yaml};
use super::remote::Remote;
use super::route::{Secret, destination};

/// The key that assertions are signed with: what is none is not even sent.
const SIGNING: &str = "privateKey";

/// Plays the checks of all definitions, or of some.
pub(crate) async fn play(remote: &Remote, only: Option<&str>) {
    let chosen = |name: &&str| only.is_none_or(|only| only.split(',').any(|one| one == *name));
    let (mut played, mut wrong) = (0, Vec::new());
    for name in remote.credentials.keys().map(String::as_str).filter(chosen) {
        let definition = builtin(name).unwrap();
        let Some(cases) = check(definition) else { continue };
        played += 1;
        remote.clear(name).await;
        let vendor = Vendor { remote, definition, account: yaml(&folder(name).join("destination.yaml")) };
        wrong.extend(vendor.answers(&cases).await);
        wrong.extend(vendor.refuses_others(&cases).await);
    }
    eprintln!("{played} checks were played");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(played > 0 || only.is_some(), "no definition has a check");
}

struct Vendor<'a> {
    remote: &'a Remote,
    definition: &'static Definition,
    /// How the Destination is set up.
    account: Value,
}

impl Vendor<'_> {
    fn credentials(&self) -> &Credentials {
        &self.remote.credentials[&self.definition.id]
    }

    async fn check(&self, credentials: &Credentials) -> Result<String, Failure> {
        let plan = destination(self.definition, &self.account, credentials);
        backflow_destinations::check(&plan, &Secret(credentials.clone())).await
    }

    /// What has been wrong with requests so far, also with those for a token, which are nobody's.
    async fn violations(&self) -> usize {
        let ledger = self.remote.ledger().await;
        let own = ledger.vendors.get(&self.definition.id).map_or(0, |account| account.violations.len());
        own + ledger.violations.len()
    }

    /// Each answer that the vendor may give to a right request.
    async fn answers(&self, file: &Value) -> Vec<String> {
        let mut wrong = Vec::new();
        let before = self.violations().await;
        for case in file["cases"].as_array().unwrap() {
            let last = case["exchange"].as_array().unwrap().last().unwrap();
            let script = Script { check: last["answer"].as_str().map(str::to_owned), ..Script::default() };
            self.remote.script(&self.definition.id, &script).await;
            let said = self.check(self.credentials()).await;
            if !fits(case, &said) {
                wrong.push(format!("{}: {}: {said:?}", self.definition.id, case["name"]));
            }
        }
        if self.violations().await > before {
            let account = self.remote.account(&self.definition.id).await;
            wrong.push(format!("{}: {:?}", self.definition.id, account.violations));
        }
        wrong
    }

    /// Credentials that are not the account's, one after the other.
    async fn refuses_others(&self, file: &Value) -> Vec<String> {
        let mut wrong = Vec::new();
        self.remote.script(&self.definition.id, &Script::default()).await;
        let cases = file["cases"].as_array().unwrap();
        let succeeds = cases.iter().find(|case| case["account"].is_string()).unwrap();
        for name in self.used() {
            let before = self.violations().await;
            let mut others = self.credentials().clone();
            others.insert(name.clone(), "guessed".to_owned());
            let said = self.check(&others).await;
            let unsent = name == SIGNING;
            let right = match &said {
                _ if file["neverRefused"].is_string() => fits(succeeds, &said),
                Err(failure) => unsent || failure.code == Code::DestinationUnauthorized,
                Ok(_) => false,
            };
            if !right {
                wrong.push(format!("{}: another {name}: {said:?}", self.definition.id));
            }
            if !unsent && self.violations().await == before {
                wrong.push(format!("{}: the vendor does not see that {name} is another one", self.definition.id));
            }
        }
        wrong
    }

    /// The secrets that the vendor looks at.
    fn used(&self) -> BTreeSet<String> {
        let api = yaml(&folder(&self.definition.id).join("api.yaml"));
        let said = format!("{} {}", api["auth"], api["token"]);
        let looks =
            |name: &&String| said.contains(&format!("<<secret:{name}>>")) || api["token"]["assertion"]["key"] == **name;
        self.credentials().keys().filter(looks).cloned().collect()
    }
}

/// Whether a check says what a case says.
fn fits(case: &Value, said: &Result<String, Failure>) -> bool {
    let failure = &case["failure"];
    match said {
        Ok(account) => case["account"].as_str() == Some(account.as_str()),
        Err(is) => {
            let words = failure["says"].as_str();
            failure["code"].as_str() == Some(is.code.to_string().as_str())
                && words.is_some_and(|words| is.message.contains(words))
        }
    }
}
