//! The signature of a body: `t=<unix seconds>,v1=<hex of HMAC-SHA256 over "<t>.<body>">`, as Stripe does it.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

/// The value of the header `Backflow-Signature`.
pub(crate) fn signature(key: &SecretString, now: i64, body: &[u8]) -> String {
    let mut text = format!("t={now},v1=");
    // HMAC takes keys of any length.
    if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.expose_secret().as_bytes()) {
        mac.update(now.to_string().as_bytes());
        mac.update(b".");
        mac.update(body);
        for byte in mac.finalize().into_bytes() {
            let _ = write!(text, "{byte:02x}");
        }
    }
    text
}
