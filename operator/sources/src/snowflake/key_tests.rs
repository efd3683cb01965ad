//! Keys as openssl makes them, without their first and last lines. They were made for these tests and are used nowhere else.

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::*;

const PLAIN: &str = include_str!("testdata/plain.base64");
const AES: &str = include_str!("testdata/aes256.base64");
const PASSPHRASE: &str = "open sesame";

fn pem(label: &str, lines: &str) -> String {
    format!("-----BEGIN {label}-----\n{lines}-----END {label}-----\n")
}

fn plain() -> String {
    pem("PRIVATE KEY", PLAIN)
}

fn encrypted(lines: &str) -> String {
    pem("ENCRYPTED PRIVATE KEY", lines)
}

fn read(pem: &str, passphrase: Option<&str>) -> Result<Key, Failure> {
    Key::read(&pem.into(), passphrase.map(Into::into).as_ref())
}

#[test]
fn the_same_key_is_read_in_every_form_of_the_guides() {
    // openssl rsa -in KEY -pubout -outform DER | openssl dgst -sha256 -binary | openssl base64
    let fingerprint = include_str!("testdata/fingerprint.txt").trim();
    assert_eq!(read(&plain(), None).unwrap().fingerprint, fingerprint);
    for lines in [AES, include_str!("testdata/des3.base64"), include_str!("testdata/scrypt.base64")] {
        assert_eq!(read(&encrypted(lines), Some(PASSPHRASE)).unwrap().fingerprint, fingerprint);
    }
}

#[test]
fn what_is_no_such_key_is_told_with_its_cure() {
    let aes = &encrypted(AES);
    let half = &plain()[..PLAIN.len() / 2];
    for (pem, passphrase, said) in [
        (aes.as_str(), None, "set privateKeyPassphrase"),
        (aes, Some("wrong"), "does not open it"),
        (&pem("RSA PRIVATE KEY", PLAIN), None, "openssl pkcs8 -topk8"),
        (&pem("PUBLIC KEY", PLAIN), None, "the public key"),
        ("MIIE", None, "no PEM"),
        (half, None, "no PEM"),
        (&pem("PRIVATE KEY", include_str!("testdata/ec.base64")), None, "no RSA key"),
    ] {
        let failure = read(pem, passphrase).err().unwrap();
        assert_eq!(failure.code, Code::AuthenticationFailed);
        assert!(failure.message.contains(said), "{failure}");
        assert!(!failure.message.contains("MII"), "{failure}");
    }
}

#[test]
fn tokens_say_who_and_for_how_long_and_are_signed() {
    let key = read(&plain(), None).unwrap();
    let token = key.token("MYORG-ACCOUNT.BACKFLOW", 1_800_000_000).unwrap();
    let token = token.expose_secret();
    let (unsigned, signature) = token.rsplit_once('.').unwrap();
    let public = AsDer::<PublicKeyX509Der<'_>>::as_der(key.pair.public_key()).unwrap();
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public.as_ref())
        .verify(unsigned.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap())
        .unwrap();
    let parts: Vec<Value> = unsigned
        .split('.')
        .map(|part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap())
        .collect();
    assert_eq!(parts[0], serde_json::json!({"alg": "RS256", "typ": "JWT"}));
    let issuer = format!("MYORG-ACCOUNT.BACKFLOW.{}", key.fingerprint);
    let claims = serde_json::json!({
        "iss": issuer, "sub": "MYORG-ACCOUNT.BACKFLOW", "iat": 1_800_000_000, "exp": 1_800_003_300,
    });
    assert_eq!(parts[1], claims);
}
