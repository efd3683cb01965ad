//! A private key, and the tokens that it signs.
//!
//! Per Snowflake's guide "Authenticating to the server" of its SQL API: a JWT by RS256, whose issuer names account, user and the
//! SHA-256 of the public key in DER, for at most an hour.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{KeyPair as _, RsaKeyPair};
use backflow_core::code::{Code, Failure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pkcs8::{EncryptedPrivateKeyInfoRef, SecretDocument};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::rest::jwt;

/// How long a token holds: the service takes an hour at most.
pub(super) const LIFETIME_SECONDS: i64 = 55 * 60;

/// An RSA key.
pub(super) struct Key {
    pair: RsaKeyPair,
    /// `SHA256:…` of the public half, as `DESC USER` shows it.
    pub(super) fingerprint: String,
}

impl Key {
    /// Reads PEM in PKCS#8, encrypted or not.
    ///
    /// # Errors
    /// `AuthenticationFailed`, with the cure and nothing of the key.
    pub(super) fn read(pem: &SecretString, passphrase: Option<&SecretString>) -> Result<Self, Failure> {
        let wrong = |sentence: &str| {
            Failure::new(Code::AuthenticationFailed, format!("snowflake.privateKey cannot be used: {sentence}"))
        };
        let text = pem.expose_secret().trim();
        if text.contains("BEGIN RSA PRIVATE KEY") {
            return Err(wrong("it is PKCS#1; convert it by: openssl pkcs8 -topk8 -nocrypt -in KEY.pem"));
        }
        let (label, document) = SecretDocument::from_pem(text)
            .map_err(|_| wrong("it is no PEM; the Secret must hold the whole file, from BEGIN to END"))?;
        let decrypted;
        let der = match (label, passphrase) {
            ("PRIVATE KEY", _) => document.as_bytes(),
            ("ENCRYPTED PRIVATE KEY", Some(passphrase)) => {
                let info = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes())
                    .map_err(|_| wrong("it is encrypted in a form that is not known here; use PKCS#8 version 2 (openssl pkcs8 -topk8 -v2 aes256)"))?;
                decrypted = info.decrypt(passphrase.expose_secret()).map_err(|_| {
                    wrong("privateKeyPassphrase does not open it, or it is not encrypted by AES or Triple DES (openssl pkcs8 -topk8 -v2 aes256)")
                })?;
                decrypted.as_bytes()
            }
            ("ENCRYPTED PRIVATE KEY", None) => return Err(wrong("it is encrypted; set privateKeyPassphrase")),
            ("PUBLIC KEY", _) => return Err(wrong("it is the public key; give the private one")),
            _ => return Err(wrong("it is no private key in PKCS#8 (BEGIN PRIVATE KEY)")),
        };
        let pair = RsaKeyPair::from_pkcs8(der)
            .map_err(|_| wrong("it is no RSA key of 2048 bits or more, which is what Snowflake takes"))?;
        let public = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key())
            .map_err(|_| wrong("its public half cannot be computed"))?;
        let fingerprint = format!("SHA256:{}", STANDARD.encode(Sha256::digest(public.as_ref())));
        Ok(Self { pair, fingerprint })
    }

    /// A token for `ACCOUNT.USER`, from `now` (Unix seconds).
    pub(super) fn token(&self, subject: &str, now: i64) -> Result<SecretString, Failure> {
        let claims = json!({
            "iss": format!("{subject}.{}", self.fingerprint),
            "sub": subject,
            "iat": now,
            "exp": now + LIFETIME_SECONDS,
        });
        jwt::sign(&self.pair, &json!({"alg": "RS256", "typ": "JWT"}), &claims)
    }
}

#[cfg(test)]
#[path = "key_tests.rs"]
mod tests;
