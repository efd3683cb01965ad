//! Signed assertions (RFC 7523): a JSON Web Token that stands for the Destination's own key.

use std::time::{Duration, SystemTime};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use backflow_core::code::{Code, Failure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};

use super::unusable;

/// How an assertion is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Rs256,
    Es256,
    Hs256,
}

impl Algorithm {
    const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::Hs256 => "HS256",
        }
    }
}

/// A key, read once.
pub(crate) enum SigningKey {
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair),
    Hmac(Box<hmac::Key>),
}

impl SigningKey {
    /// Reads a private key in PEM (PKCS #8, or the older forms of OpenSSL), or a shared key as it is.
    ///
    /// # Errors
    /// What is wrong with the key, without a byte of it.
    pub(crate) fn read(algorithm: Algorithm, key: &SecretString) -> Result<Self, Failure> {
        if algorithm == Algorithm::Hs256 {
            return Ok(Self::Hmac(Box::new(hmac::Key::new(hmac::HMAC_SHA256, key.expose_secret().as_bytes()))));
        }
        let not = |why: &str| unusable("the private key", why);
        // Keys that were copied out of a JSON file have their line breaks escaped.
        let text = SecretString::from(key.expose_secret().replace("\\n", "\n"));
        let der = PrivateKeyDer::from_pem_slice(text.expose_secret().as_bytes()).map_err(|_| {
            not("is not in PEM form (-----BEGIN PRIVATE KEY-----), or it is encrypted: store it without a passphrase")
        })?;
        let read = match (algorithm, &der) {
            (Algorithm::Rs256, PrivateKeyDer::Pkcs8(der)) => {
                RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map(Self::Rsa).ok()
            }
            (Algorithm::Rs256, PrivateKeyDer::Pkcs1(der)) => {
                RsaKeyPair::from_der(der.secret_pkcs1_der()).map(Self::Rsa).ok()
            }
            (Algorithm::Es256, PrivateKeyDer::Pkcs8(der)) => {
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_pkcs8_der()).map(Self::Ecdsa).ok()
            }
            (Algorithm::Es256, PrivateKeyDer::Sec1(der)) => {
                EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_sec1_der())
                    .map(Self::Ecdsa)
                    .ok()
            }
            _ => None,
        };
        read.ok_or_else(|| match algorithm {
            Algorithm::Es256 => not("is not a key of the curve P-256, which ES256 needs"),
            _ => not("is not an RSA key of 2048 to 8192 bits, which RS256 needs"),
        })
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Failure> {
        let failed = |_| Failure::new(Code::Internal, "an assertion could not be signed");
        let random = SystemRandom::new();
        Ok(match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(failed)?;
                signature
            }
            Self::Ecdsa(key) => key.sign(&random, message).map_err(failed)?.as_ref().to_vec(),
            Self::Hmac(key) => hmac::sign(key, message).as_ref().to_vec(),
        })
    }
}

/// What an assertion says.
pub(crate) struct Assertion {
    pub(crate) algorithm: Algorithm,
    pub(crate) key: SigningKey,
    pub(crate) key_id: Option<String>,
    /// From now to its end.
    pub(crate) ttl: Duration,
    /// Who, for whom, to whom. `iat`, `exp` and `jti` are added.
    pub(crate) claims: Map<String, Value>,
}

impl Assertion {
    /// A new assertion, valid from now.
    pub(crate) fn token(&self, now: SystemTime) -> Result<SecretString, Failure> {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut header = json!({"alg": self.algorithm.name(), "typ": "JWT"});
        if let Some(id) = &self.key_id {
            header["kid"] = Value::from(id.as_str());
        }
        let mut claims = self.claims.clone();
        claims.insert("iat".to_owned(), now.into());
        claims.insert("exp".to_owned(), (now + self.ttl.as_secs()).into());
        // No assertion is taken twice by who checks that.
        claims.insert("jti".to_owned(), format!("{:032x}", fastrand::u128(..)).into());
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(&Value::Object(claims)));
        let signature = self.key.sign(message.as_bytes())?;
        Ok(SecretString::from(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    /// Keys are made when the test runs: none is in a file.
    fn pem(der: &[u8]) -> SecretString {
        SecretString::from(format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(der)
        ))
    }

    fn rsa() -> (RsaKeyPair, SecretString) {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let text = pem(der.as_ref());
        (pair, text)
    }

    fn ecdsa() -> (EcdsaKeyPair, SecretString) {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let der = pair.to_pkcs8v1().unwrap();
        let text = pem(der.as_ref());
        (pair, text)
    }

    fn token(algorithm: Algorithm, key: &SecretString) -> (Value, Value, String, Vec<u8>) {
        let claims = json!({"iss": "app", "aud": "https://login.example.com"}).as_object().unwrap().clone();
        let key = SigningKey::read(algorithm, key).unwrap();
        let assertion = Assertion { algorithm, key, key_id: Some("k1".into()), ttl: Duration::from_secs(180), claims };
        let token = assertion.token(SystemTime::UNIX_EPOCH + Duration::from_secs(1000)).unwrap();
        let token = token.expose_secret();
        let (message, signature) = token.rsplit_once('.').unwrap();
        let (header, claims) = message.split_once('.').unwrap();
        let json = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
        (json(header), json(claims), message.to_owned(), URL_SAFE_NO_PAD.decode(signature).unwrap())
    }

    #[test]
    fn assertions_say_who_and_how_long() {
        let (header, mut claims, ..) = token(Algorithm::Hs256, &SecretString::from("shared"));
        assert_eq!(claims.as_object_mut().unwrap().remove("jti").and_then(|id| id.as_str().map(str::len)), Some(32));
        assert_eq!(header, json!({"alg": "HS256", "typ": "JWT", "kid": "k1"}));
        assert_eq!(claims, json!({"iss": "app", "aud": "https://login.example.com", "iat": 1000, "exp": 1180}));
    }

    #[test]
    fn each_algorithm_can_be_verified_with_the_other_half_of_the_key() {
        let (pair, text) = rsa();
        for text in [text.expose_secret().to_owned(), text.expose_secret().replace('\n', "\\n")] {
            let (_, _, message, signature) = token(Algorithm::Rs256, &SecretString::from(text));
            let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref());
            public.verify(message.as_bytes(), &signature).unwrap();
        }
        let (pair, text) = ecdsa();
        let (_, _, message, signature) = token(Algorithm::Es256, &text);
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key().as_ref());
        public.verify(message.as_bytes(), &signature).unwrap();
        let (_, _, message, signature) = token(Algorithm::Hs256, &SecretString::from("shared"));
        hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, b"shared"), message.as_bytes(), &signature).unwrap();
    }

    #[test]
    fn keys_of_the_wrong_kind_are_explained_and_not_repeated() {
        let (_, rsa) = rsa();
        let (_, ecdsa) = ecdsa();
        let body = rsa.expose_secret()[40..60].to_owned();
        for (algorithm, key, says) in [
            (Algorithm::Es256, rsa.clone(), "P-256"),
            (Algorithm::Rs256, ecdsa, "RSA"),
            (Algorithm::Rs256, SecretString::from(format!("canary{body}")), "PEM"),
            (Algorithm::Rs256, SecretString::from(""), "PEM"),
        ] {
            let failure = SigningKey::read(algorithm, &key).err().unwrap();
            assert_eq!(failure.code, Code::DestinationUnauthorized);
            assert!(failure.message.contains(says), "{failure}");
            assert!(!failure.message.contains("canary") && !failure.message.contains(&body), "{failure}");
        }
    }
}
