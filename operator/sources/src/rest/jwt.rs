//! Tokens that are signed here: JWT by RS256.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use backflow_core::code::{Code, Failure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use serde_json::Value;

/// Signs claims.
pub(crate) fn sign(pair: &RsaKeyPair, header: &Value, claims: &Value) -> Result<SecretString, Failure> {
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let unsigned = format!("{}.{}", part(header), part(claims));
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), unsigned.as_bytes(), &mut signature)
        .map_err(|_| Failure::new(Code::Internal, "a token could not be signed; please report it"))?;
    Ok(format!("{unsigned}.{}", URL_SAFE_NO_PAD.encode(signature)).into())
}
