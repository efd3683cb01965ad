//! Secrets as files: what the kubelet mounts.

use std::io::ErrorKind;
use std::path::PathBuf;

use backflow_core::code::{Code, Failure};
use backflow_core::secret::{SecretRef, Secrets};
use secrecy::SecretString;

/// A folder with one folder per Secret and one file per key. The mounts are optional, so that an absent Secret is an empty folder
/// and this process can say what is missing.
#[derive(Clone, Debug)]
pub struct SecretFiles {
    root: PathBuf,
}

impl SecretFiles {
    /// Secrets below `root`.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }
}

impl Secrets for SecretFiles {
    fn read(&self, reference: &SecretRef) -> Result<SecretString, Failure> {
        let folder = self.root.join(&reference.name);
        match std::fs::read_to_string(folder.join(&reference.key)) {
            Ok(text) => {
                let value = text.strip_suffix("\r\n").or_else(|| text.strip_suffix('\n')).unwrap_or(&text);
                Ok(SecretString::from(value))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // The kubelet makes links of its own (`..data`), also for a Secret that does not exist.
                let is_key = |entry: std::io::Result<std::fs::DirEntry>| {
                    entry.is_ok_and(|entry| !entry.file_name().to_string_lossy().starts_with(".."))
                };
                let others = std::fs::read_dir(folder).is_ok_and(|mut entries| entries.any(is_key));
                Err(if others { reference.key_not_found() } else { reference.not_found() })
            }
            Err(error) if error.kind() == ErrorKind::InvalidData => Err(Failure::new(
                Code::SecretKeyNotFound,
                format!(
                    "key \"{}\" of Secret \"{}\" is not UTF-8 text; store it as text",
                    reference.key, reference.name
                ),
            )),
            Err(error) => Err(Failure::new(
                Code::SecretNotFound,
                format!("Secret \"{}\" cannot be read: {}", reference.name, error.kind()),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    #[test]
    fn absent_secrets_and_keys_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = SecretFiles::new(folder.path());
        let reference = SecretRef { name: "warehouse".into(), key: "password".into() };
        assert_eq!(secrets.read(&reference).unwrap_err().code, Code::SecretNotFound);
        std::fs::create_dir_all(folder.path().join("warehouse/..2026_01_01")).unwrap();
        assert_eq!(secrets.read(&reference).unwrap_err().code, Code::SecretNotFound);
        std::fs::write(folder.path().join("warehouse/user"), "u").unwrap();
        assert_eq!(secrets.read(&reference).unwrap_err().code, Code::SecretKeyNotFound);
        std::fs::write(folder.path().join("warehouse/password"), " pass word\n").unwrap();
        assert_eq!(secrets.read(&reference).unwrap().expose_secret(), " pass word");
    }
}
