//! References to secrets. Plans carry references; only the process that uses a value reads it.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::code::{Code, Failure};

/// One key of a Kubernetes Secret in the run's namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SecretRef {
    /// Name of the Secret.
    pub name: String,
    /// Key in it.
    pub key: String,
}

/// Where a process finds secret values: files mounted by the kubelet in a pod, manifests and flags on a desk.
pub trait Secrets: Send + Sync {
    /// The value, with one trailing line break removed (files made by `echo` have one).
    ///
    /// # Errors
    /// [`Code::SecretNotFound`] or [`Code::SecretKeyNotFound`], naming both and the cure.
    fn read(&self, reference: &SecretRef) -> Result<SecretString, Failure>;
}

impl SecretRef {
    /// The failure of a Secret that is absent.
    #[must_use]
    pub fn not_found(&self) -> Failure {
        Failure::new(
            Code::SecretNotFound,
            format!("Secret \"{}\" does not exist; create it with the key \"{}\"", self.name, self.key),
        )
    }

    /// The failure of a Secret that lacks the key.
    #[must_use]
    pub fn key_not_found(&self) -> Failure {
        Failure::new(Code::SecretKeyNotFound, format!("Secret \"{}\" has no key \"{}\"; add it", self.name, self.key))
    }
}
