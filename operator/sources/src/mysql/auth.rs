//! What proves the user to the server: a password, by the methods that servers ask for.

use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OaepPublicEncryptingKey, PublicEncryptingKey};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// A method of authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// `mysql_native_password`: MariaDB's usual one, and that of MySQL 5.7.
    Native,
    /// `caching_sha2_password`: the usual one of MySQL 8.
    CachingSha2,
    /// `mysql_clear_password`: for directories, and for the tokens of clouds.
    Clear,
}

impl Method {
    /// By the name of its plugin.
    pub(super) fn of(plugin: &[u8]) -> Option<Self> {
        match plugin {
            b"mysql_native_password" => Some(Self::Native),
            b"caching_sha2_password" => Some(Self::CachingSha2),
            b"mysql_clear_password" => Some(Self::Clear),
            _ => None,
        }
    }

    pub(super) fn plugin(self) -> &'static str {
        match self {
            Self::Native => "mysql_native_password",
            Self::CachingSha2 => "caching_sha2_password",
            Self::Clear => "mysql_clear_password",
        }
    }

    /// The first answer to the server's random bytes. A password in the clear is never one without encryption.
    pub(super) fn answer(self, password: &[u8], random: &[u8], encrypted: bool) -> Option<Vec<u8>> {
        match self {
            Self::Native | Self::CachingSha2 if password.is_empty() => Some(Vec::new()),
            Self::Native => Some(native(password, random)),
            Self::CachingSha2 => Some(caching_sha2(password, random)),
            Self::Clear => encrypted.then(|| clear(password)),
        }
    }
}

/// The password with the NUL that ends it.
pub(super) fn clear(password: &[u8]) -> Vec<u8> {
    [password, &[0]].concat()
}

/// SHA1(password) XOR SHA1(random SHA1(SHA1(password))).
fn native(password: &[u8], random: &[u8]) -> Vec<u8> {
    let once = Sha1::digest(password);
    let twice = Sha1::digest(once);
    let mask = Sha1::new().chain_update(random).chain_update(twice).finalize();
    once.iter().zip(mask).map(|(a, b)| a ^ b).collect()
}

/// SHA256(password) XOR SHA256(SHA256(SHA256(password)) random).
fn caching_sha2(password: &[u8], random: &[u8]) -> Vec<u8> {
    let once = Sha256::digest(password);
    let twice = Sha256::digest(once);
    let mask = Sha256::new().chain_update(twice).chain_update(random).finalize();
    once.iter().zip(mask).map(|(a, b)| a ^ b).collect()
}

/// The password for the server's public key, where the connection is not encrypted.
pub(super) fn sealed(password: &[u8], random: &[u8], pem: &[u8]) -> Option<Vec<u8>> {
    let key = SubjectPublicKeyInfoDer::from_pem_slice(pem).ok()?;
    let key = OaepPublicEncryptingKey::new(PublicEncryptingKey::from_der(&key).ok()?).ok()?;
    let masked: Vec<u8> = clear(password).iter().zip(random.iter().cycle()).map(|(a, b)| a ^ b).collect();
    let mut out = vec![0; key.ciphertext_size()];
    let length = key.encrypt(&OAEP_SHA1_MGF1SHA1, &masked, &mut out, None).ok()?.len();
    out.truncate(length);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What a server checks: it keeps SHA1(SHA1(password)) or SHA256(SHA256(password)).
    #[test]
    fn a_server_that_keeps_only_hashes_can_check_the_answers() {
        let (password, random) = (b"it's a secret", b"0123456789abcdefghij");
        let answer = native(password, random);
        let kept = Sha1::digest(Sha1::digest(password));
        let mask = Sha1::new().chain_update(random).chain_update(kept).finalize();
        let once: Vec<u8> = answer.iter().zip(mask).map(|(a, b)| a ^ b).collect();
        assert_eq!(hex(&Sha1::digest(once)), hex(&kept));

        let answer = caching_sha2(password, random);
        let kept = Sha256::digest(Sha256::digest(password));
        let mask = Sha256::new().chain_update(kept).chain_update(random).finalize();
        let once: Vec<u8> = answer.iter().zip(mask).map(|(a, b)| a ^ b).collect();
        assert_eq!(hex(&Sha256::digest(once)), hex(&kept));
    }

    #[test]
    fn a_password_in_the_clear_needs_encryption() {
        assert_eq!(Method::Clear.answer(b"a", b"", false), None);
        assert_eq!(Method::Clear.answer(b"a", b"", true), Some(b"a\0".to_vec()));
        assert_eq!(Method::Native.answer(b"", b"0123", false), Some(Vec::new()));
        assert_eq!(Method::of(b"client_ed25519"), None);
    }

    #[test]
    fn only_the_servers_private_key_opens_what_is_sealed() {
        use std::io::Write as _;
        use std::process::{Command, Stdio};
        let folder = tempfile::tempdir().unwrap();
        let (private, public) = (folder.path().join("private.pem"), folder.path().join("public.pem"));
        std::fs::write(&private, crate::rest::keys::rsa()).unwrap();
        let made =
            Command::new("openssl").args(["pkey", "-pubout", "-in"]).arg(&private).arg("-out").arg(&public).status();
        assert!(made.unwrap().success());
        let random = b"0123456789abcdefghij";
        let sealed =
            sealed(b"it's a secret that is longer than that", random, &std::fs::read(&public).unwrap()).unwrap();
        let mut open = Command::new("openssl");
        open.args(["pkeyutl", "-decrypt", "-pkeyopt", "rsa_padding_mode:oaep", "-inkey"]).arg(&private);
        let mut open = open.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        open.stdin.take().unwrap().write_all(&sealed).unwrap();
        let opened = open.wait_with_output().unwrap().stdout;
        let password: Vec<u8> = opened.iter().zip(random.iter().cycle()).map(|(a, b)| a ^ b).collect();
        assert_eq!(password, b"it's a secret that is longer than that\0");
        assert_eq!(super::sealed(b"a", random, b"no key"), None);
    }
}
