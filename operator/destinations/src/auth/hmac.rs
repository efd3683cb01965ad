//! Signatures by a shared key: HMAC over what the definition names, in a header of its form.

use std::collections::BTreeMap;
use std::time::SystemTime;

use backflow_core::code::{Code, Failure};
use backflow_definitions::{Scope, Template, Variable};
use backflow_expressions::Json;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _};
use reqwest::header::{HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use sha1::Sha1;
use sha2::Sha256;

use crate::encode::hex;
use crate::http::Outgoing;

/// The hash of an HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mac {
    Sha256,
    Sha1,
}

impl Mac {
    /// The HMAC of a message.
    pub(crate) fn of(self, key: &[u8], message: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => digest(Hmac::<Sha256>::new_from_slice(key).ok(), message),
            Self::Sha1 => digest(Hmac::<Sha1>::new_from_slice(key).ok(), message),
        }
    }
}

/// How requests are signed.
pub(crate) struct HmacSignature {
    pub(crate) mac: Mac,
    pub(crate) key: SecretString,
    /// Pieces over `request`, signed one after the other.
    pub(crate) signs: &'static [Template],
    pub(crate) header: HeaderName,
    /// Over `request` and `signature`.
    pub(crate) format: &'static Template,
}

impl HmacSignature {
    /// Adds the signature's header.
    pub(crate) fn sign(&self, request: &mut Outgoing, now: SystemTime) -> Result<(), Failure> {
        let invalid = |_| Failure::new(Code::PlanInvalid, "the definition's signature cannot be made of this request");
        let seconds = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let member = |name: &str, text: String| (name.to_owned(), Json::Text(text));
        let said = Json::Object(BTreeMap::from([
            ("timestamp".to_owned(), Json::Int(i64::try_from(seconds).unwrap_or(i64::MAX))),
            member("method", request.method.to_string()),
            member("path", request.target()),
            member("body", String::from_utf8_lossy(&request.body).into_owned()),
        ]));
        let scope = Scope::new().with(Variable::Request, &said);
        let mut message = String::with_capacity(request.body.len() + 64);
        for piece in self.signs {
            message.push_str(&piece.text(&scope).map_err(invalid)?.unwrap_or_default());
        }
        let key = self.key.expose_secret().as_bytes();
        let mac = self.mac.of(key, message.as_bytes());
        let signature =
            Json::Object(BTreeMap::from([member("hex", hex(&mac)), member("base64", STANDARD.encode(&mac))]));
        let header = self.format.text(&scope.with(Variable::Signature, &signature)).map_err(invalid)?;
        let value = HeaderValue::from_str(&header.unwrap_or_default());
        let mut value =
            value.map_err(|_| Failure::new(Code::PlanInvalid, "the definition's signature is no header value"))?;
        value.set_sensitive(true);
        request.headers.insert(self.header.clone(), value);
        Ok(())
    }
}

/// HMAC takes keys of any length, so there always is one.
fn digest<M: hmac::Mac>(mac: Option<M>, message: &[u8]) -> Vec<u8> {
    mac.map_or_else(Vec::new, |mut mac| {
        mac.update(message);
        mac.finalize().into_bytes().to_vec()
    })
}
