//! Hashes of texts, as advertising platforms and e-mail tools find people by them.
//!
//! An empty text, or one of spaces, has none: it is nobody. What is such a hash already stays, in lower case: nothing is hashed twice.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// The SHA-256 of a text in hexadecimal, `None` of an empty one or one of spaces. What is such a hash already stays (in lower case).
///
/// ```
/// use backflow_expressions::hash::sha256;
///
/// let hash = sha256("ada@example.com").unwrap();
/// assert_eq!(sha256(&hash), Some(hash));
/// assert_eq!(sha256(""), None);
/// ```
#[must_use]
pub fn sha256(text: &str) -> Option<String> {
    hashed::<Sha256>(text, 64)
}

/// The SHA-1, as [`sha256`].
#[must_use]
pub fn sha1(text: &str) -> Option<String> {
    hashed::<Sha1>(text, 40)
}

/// The MD5, as [`sha256`].
#[must_use]
pub fn md5(text: &str) -> Option<String> {
    hashed::<Md5>(text, 32)
}

/// The HMAC-SHA256 of a text in hexadecimal.
#[must_use]
pub fn hmac_sha256(key: &str, text: &str) -> String {
    // HMAC takes keys of any length.
    Hmac::<Sha256>::new_from_slice(key.as_bytes()).map_or_else(
        |_| String::new(),
        |mut mac| {
            mac.update(text.as_bytes());
            hexadecimal(&mac.finalize().into_bytes())
        },
    )
}

fn hashed<D: Digest>(text: &str, digits: usize) -> Option<String> {
    let bare = text.trim();
    if bare.len() == digits && bare.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Some(bare.to_ascii_lowercase());
    }
    (!bare.is_empty()).then(|| hexadecimal(&D::digest(text.as_bytes())))
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_standard() {
        // `printf %s abc | sha256sum`
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256("abc").as_deref(), Some(abc));
        assert_eq!(sha256(&abc.to_uppercase()).as_deref(), Some(abc));
        assert_eq!(sha256("  "), None);
        assert_ne!(sha256(" abc").as_deref(), Some(abc));
    }

    #[test]
    fn each_hash_is_that_of_the_standard_and_stays() {
        // `printf %s abc | md5sum`, `… | sha1sum`, `… | openssl dgst -sha256 -hmac key`
        assert_eq!(md5("abc").as_deref(), Some("900150983cd24fb0d6963f7d28e17f72"));
        assert_eq!(sha1("abc").as_deref(), Some("a9993e364706816aba3e25717850c26c9cd0d89d"));
        assert_eq!(hmac_sha256("key", "abc"), "9c196e32dc0175f86f4b1cb89289d6619de6bee699e4c378e68309ed97a1a6ab");
        for (hash, rule) in [(md5("x"), md5 as fn(&str) -> Option<String>), (sha1("x"), sha1)] {
            assert_eq!(rule(&hash.clone().unwrap().to_uppercase()), hash);
            assert_eq!(rule(" "), None);
        }
    }
}
