//! How a connection to a database is secured.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SecretValue;

/// How the connection is secured. Unset: VerifyFull, against the public certificate authorities.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "has(self.clientCertificate) == has(self.clientKey)",
    "clientCertificate and clientKey must be set together"
))]
pub struct Tls {
    /// What is verified. Disable: no encryption. Require: encrypted, server not verified. VerifyCa: its certificate is
    /// signed by a known authority. VerifyFull: and names the host. Default VerifyFull.
    #[serde(default)]
    pub mode: TlsMode,
    /// PEM bundle of the authorities that may sign the server's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<SecretValue>,
    /// PEM certificate (chain) that this client shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<SecretValue>,
    /// PEM private key of clientCertificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_key: Option<SecretValue>,
}

/// What is verified of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum TlsMode {
    Disable,
    Require,
    VerifyCa,
    #[default]
    VerifyFull,
}
