//! RSA keys, and what is signed with them.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, anyhow, ensure};
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// A private key that RS256 signs with, PEM.
pub(super) fn private_key() -> anyhow::Result<String> {
    let key = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| anyhow!("no key was made"))?;
    let der: Pkcs8V1Der<'_> = key.as_der().map_err(|_| anyhow!("the key has no PKCS #8 form"))?;
    Ok(format!("{BEGIN}\n{}\n{END}\n", STANDARD.encode(der.as_ref())))
}

/// The claims of an assertion, if this key has signed it and it is still good.
pub(super) fn claims(assertion: &str, private_key: &str) -> anyhow::Result<Value> {
    let der = private_key.replace(BEGIN, "").replace(END, "").replace('\n', "");
    let key = RsaKeyPair::from_pkcs8(&STANDARD.decode(der)?).map_err(|_| anyhow!("the key is none"))?;
    let mut parts = assertion.rsplitn(2, '.');
    let signature =
        URL_SAFE_NO_PAD.decode(parts.next().unwrap_or_default()).context("the signature is no base64url")?;
    let signed = parts.next().context("the assertion has no parts")?;
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key());
    ensure!(public.verify(signed.as_bytes(), &signature).is_ok(), "the signature is wrong");
    let (header, claims) = signed.split_once('.').context("the assertion has no claims")?;
    let read = |part: &str| anyhow::Ok(serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part)?)?);
    ensure!(read(header)?["alg"] == "RS256", "the assertion is not signed by RS256");
    let claims = read(claims)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    ensure!(claims["exp"].as_u64().is_some_and(|end| end > now), "the assertion has expired");
    Ok(claims)
}
