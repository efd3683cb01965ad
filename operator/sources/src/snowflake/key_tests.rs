//! Keys in every form that openssl makes.

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::*;
use crate::rest::keys::{PASSPHRASE, elliptic, encrypted, public_digest, rsa};

fn read(pem: &str, passphrase: Option<&str>) -> Result<Key, Failure> {
    Key::read(&pem.into(), passphrase.map(Into::into).as_ref())
}

#[test]
fn the_same_key_is_read_in_every_form_of_the_guides() {
    let fingerprint = format!("SHA256:{}", STANDARD.encode(public_digest()));
    assert_eq!(read(rsa(), None).unwrap().fingerprint, fingerprint);
    for options in [&["-v2", "aes256"][..], &["-v2", "des3"], &["-scrypt"]] {
        assert_eq!(read(&encrypted(options), Some(PASSPHRASE)).unwrap().fingerprint, fingerprint, "{options:?}");
    }
}

#[test]
fn what_is_no_such_key_is_told_with_its_cure() {
    let aes = &encrypted(&["-v2", "aes256"]);
    let half = &rsa()[..rsa().len() / 2];
    let labelled = |label: &str| rsa().replace("PRIVATE KEY", label);
    for (pem, passphrase, said) in [
        (aes.as_str(), None, "set privateKeyPassphrase"),
        (aes, Some("wrong"), "does not open it"),
        (&labelled("RSA PRIVATE KEY"), None, "openssl pkcs8 -topk8"),
        (&labelled("PUBLIC KEY"), None, "the public key"),
        ("MIIE", None, "no PEM"),
        (half, None, "no PEM"),
        (&elliptic(), None, "no RSA key"),
    ] {
        let failure = read(pem, passphrase).err().unwrap();
        assert_eq!(failure.code, Code::AuthenticationFailed);
        assert!(failure.message.contains(said), "{failure}");
        assert!(!failure.message.contains("MII"), "{failure}");
    }
}

#[test]
fn tokens_say_who_and_for_how_long_and_are_signed() {
    let key = read(rsa(), None).unwrap();
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
