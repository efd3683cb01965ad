//! The certificate authorities that a pod's settings add.

use std::io::ErrorKind;
use std::path::Path;

use backflow_core::authorities::{BUNDLE, ORIGIN_VARIABLE};
use backflow_core::code::{Code, Failure};

/// Whether the bundle of `worker.caBundle`, if there is one, holds certificates. Without this check a run would only find that no host
/// proves itself.
pub(crate) fn check(folder: &Path) -> Result<(), Failure> {
    match std::env::var(ORIGIN_VARIABLE) {
        Ok(origin) => read(folder, &origin),
        Err(_) => Ok(()),
    }
}

fn read(folder: &Path, origin: &str) -> Result<(), Failure> {
    let why = match std::fs::read_to_string(folder.join(BUNDLE)) {
        Ok(text) if text.contains("-----BEGIN CERTIFICATE-----") => return Ok(()),
        Ok(_) => "holds no certificate; it should be a list of them as PEM text".to_owned(),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            "does not exist in this namespace; create it, or mend the reference".to_owned()
        }
        Err(error) => format!("cannot be read: {}", error.kind()),
    };
    Err(Failure::new(Code::TlsFailed, format!("worker.caBundle: {origin} {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_bundle_is_said_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let said =
            || read(folder.path(), "key \"ca.crt\" of ConfigMap \"corporate\"").map_err(|failure| failure.message);
        let missing = said().unwrap_err();
        assert!(missing.contains("\"ca.crt\" of ConfigMap \"corporate\" does not exist"), "{missing}");
        std::fs::write(folder.path().join(BUNDLE), "a certificate").unwrap();
        assert!(said().unwrap_err().contains("holds no certificate"));
        std::fs::write(folder.path().join(BUNDLE), "# ours\n-----BEGIN CERTIFICATE-----\n…").unwrap();
        assert_eq!(said(), Ok(()));
    }
}
