//! Secret values on a desk: flags, environment variables, Secret manifests, in this order.

use std::collections::BTreeMap;

use backflow_core::code::{Code, Failure};
use backflow_core::secret::{SecretRef, Secrets};
use secrecy::{ExposeSecret as _, SecretString};

use crate::manifests;

/// Values that were given with `--secret`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given(BTreeMap<SecretRef, SecretString>);

impl Given {
    /// Reads `name/key=value` and `name/key=@file`.
    ///
    /// # Errors
    /// In a sentence with the cure, and without the value.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut given = BTreeMap::new();
        for argument in arguments {
            let (place, value) = argument
                .split_once('=')
                .ok_or("--secret wants NAME/KEY=VALUE, or NAME/KEY=@FILE to read the value from a file")?;
            let (name, key) = place
                .split_once('/')
                .filter(|(name, key)| !name.is_empty() && !key.is_empty())
                .ok_or("--secret wants NAME/KEY=VALUE: name and key of the Secret with a slash between them")?;
            let value = match value.strip_prefix('@') {
                Some(path) => std::fs::read_to_string(path).map_err(|error| {
                    format!("--secret {name}/{key}: {path} cannot be read ({}); mend the path", error.kind())
                })?,
                None => value.to_owned(),
            };
            given.insert(SecretRef { name: name.to_owned(), key: key.to_owned() }, trimmed(&value));
        }
        Ok(Self(given))
    }

    /// Whether there is a value, as a flag or in the environment.
    #[must_use]
    pub(crate) fn has(&self, reference: &SecretRef) -> bool {
        self.0.contains_key(reference) || std::env::var_os(variable(reference)).is_some()
    }
}

/// The environment variable of a secret: `BACKFLOW_SECRET_WAREHOUSE_PASSWORD`.
#[must_use]
pub(crate) fn variable(reference: &SecretRef) -> String {
    let word = |text: &str| -> String {
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
    };
    format!("BACKFLOW_SECRET_{}_{}", word(&reference.name), word(&reference.key))
}

/// The secrets of one namespace.
#[derive(Debug)]
pub(crate) struct LocalSecrets {
    given: Given,
    manifests: BTreeMap<String, BTreeMap<String, SecretString>>,
}

impl LocalSecrets {
    /// What was given, and the Secret manifests of `namespace`.
    #[must_use]
    pub(crate) fn new(given: &Given, all: &manifests::Secrets, namespace: &str) -> Self {
        let here = all.iter().filter(|((place, _), _)| place == namespace);
        Self { given: given.clone(), manifests: here.map(|((_, name), keys)| (name.clone(), keys.clone())).collect() }
    }
}

impl Secrets for LocalSecrets {
    fn read(&self, reference: &SecretRef) -> Result<SecretString, Failure> {
        if let Some(value) = self.given.0.get(reference) {
            return Ok(value.clone());
        }
        let variable = variable(reference);
        match std::env::var(&variable) {
            Ok(value) => return Ok(trimmed(&value)),
            Err(std::env::VarError::NotUnicode(_)) => {
                let message = format!("the environment variable {variable} is not UTF-8 text; set it to text");
                return Err(Failure::new(Code::SecretKeyNotFound, message));
            }
            Err(std::env::VarError::NotPresent) => {}
        }
        let SecretRef { name, key } = reference;
        let keys = self.manifests.get(name);
        if let Some(value) = keys.and_then(|keys| keys.get(key)) {
            return Ok(trimmed(value.expose_secret()));
        }
        let (code, what) = match keys {
            Some(_) => (Code::SecretKeyNotFound, format!("Secret \"{name}\" has no key \"{key}\"")),
            None => (Code::SecretNotFound, format!("there is no Secret \"{name}\" (key \"{key}\")")),
        };
        let cures = format!(
            "put it into a Secret manifest beside the others, or pass --secret {name}/{key}=@FILE, or set the environment variable {variable}"
        );
        Err(Failure::new(code, format!("{what}; {cures}")))
    }
}

/// Without one line break at the end, as the worker reads mounted files.
fn trimmed(text: &str) -> SecretString {
    SecretString::from(text.strip_suffix("\r\n").or_else(|| text.strip_suffix('\n')).unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(name: &str, key: &str) -> SecretRef {
        SecretRef { name: name.into(), key: key.into() }
    }

    #[test]
    fn flags_go_before_manifests_and_what_is_missing_has_three_cures() {
        let given = Given::parse(&["crm/token=flag".into()]).unwrap();
        let manifest = |value: &str| BTreeMap::from([("token".to_owned(), SecretString::from(value))]);
        let all = manifests::Secrets::from([
            (("default".into(), "crm".into()), manifest("manifest")),
            (("default".into(), "other".into()), manifest("line\n")),
            (("elsewhere".into(), "hidden".into()), manifest("x")),
        ]);
        let secrets = LocalSecrets::new(&given, &all, "default");
        assert_eq!(secrets.read(&reference("crm", "token")).unwrap().expose_secret(), "flag");
        assert_eq!(secrets.read(&reference("other", "token")).unwrap().expose_secret(), "line");
        let missing = secrets.read(&reference("hidden", "token")).unwrap_err();
        assert_eq!(missing.code, Code::SecretNotFound);
        for cure in ["Secret manifest", "--secret hidden/token=@FILE", "BACKFLOW_SECRET_HIDDEN_TOKEN"] {
            assert!(missing.message.contains(cure), "{missing}");
        }
        assert_eq!(secrets.read(&reference("other", "absent")).unwrap_err().code, Code::SecretKeyNotFound);
    }

    #[test]
    fn variables_are_upper_case_words() {
        assert_eq!(variable(&reference("my-warehouse.eu", "ca.crt")), "BACKFLOW_SECRET_MY_WAREHOUSE_EU_CA_CRT");
    }

    #[test]
    fn a_malformed_flag_is_refused_without_its_value() {
        for argument in ["hunter2", "crm=hunter2", "/token=hunter2", "crm/=hunter2"] {
            let message = Given::parse(&[argument.to_owned()]).unwrap_err();
            assert!(message.contains("NAME/KEY=VALUE") && !message.contains("hunter2"), "{message}");
        }
    }
}
