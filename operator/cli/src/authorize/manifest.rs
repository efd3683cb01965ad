//! Secret manifests.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use backflow_core::secret::SecretRef;
use secrecy::{ExposeSecret as _, SecretString};

/// A manifest for each Secret, with its keys in order.
pub(super) fn secrets(values: &[(SecretRef, SecretString)], namespace: Option<&str>) -> Vec<String> {
    let mut names: BTreeMap<&str, BTreeMap<&str, &SecretString>> = BTreeMap::new();
    for (reference, value) in values {
        names.entry(&reference.name).or_default().insert(&reference.key, value);
    }
    let several = names.len() > 1;
    let manifest = |(name, keys): (&str, BTreeMap<&str, &SecretString>)| {
        let mut text = if several { "---\n".to_owned() } else { String::new() };
        let namespace = namespace.map(|namespace| format!("  namespace: {}\n", quoted(namespace))).unwrap_or_default();
        let _ =
            write!(text, "apiVersion: v1\nkind: Secret\nmetadata:\n  name: {}\n{namespace}stringData:\n", quoted(name));
        for (key, value) in keys {
            let _ = writeln!(text, "  {}: {}", quoted(key), quoted(value.expose_secret()));
        }
        text
    };
    names.into_iter().map(manifest).collect()
}

/// Text as JSON, which is YAML.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_secret_has_its_own_manifest_whatever_its_values_hold() {
        let value = |name: &str, key: &str, value: &str| {
            (SecretRef { name: name.into(), key: key.into() }, SecretString::from(value))
        };
        let all = [value("crm", "token", "a: \"b\"\n#c"), value("app", "secret", "x"), value("crm", "id", "007")];
        let texts = secrets(&all, Some("growth"));
        assert_eq!(
            texts.concat(),
            "---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: \"app\"\n  namespace: \"growth\"\nstringData:\n  \"secret\": \"x\"\n\
             ---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: \"crm\"\n  namespace: \"growth\"\nstringData:\n  \"id\": \"007\"\n  \
             \"token\": \"a: \\\"b\\\"\\n#c\"\n"
        );
        assert!(!secrets(&all[..1], None).concat().contains("namespace"));
        let read = backflow_yaml::read(&texts[1]).documents.remove(0);
        assert_eq!(
            read.get("stringData").unwrap().to_json(),
            serde_json::json!({"id": "007", "token": "a: \"b\"\n#c"})
        );
    }
}
