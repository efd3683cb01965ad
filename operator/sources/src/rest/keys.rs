//! Keys for tests, made by openssl when they run: it is what the warehouses' own guides use, and no key is in a file.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

/// What opens [`encrypted`] keys.
pub(crate) const PASSPHRASE: &str = "open sesame";

/// An RSA key in PKCS#8: the same for all tests of a program, for it takes a while.
pub(crate) fn rsa() -> &'static str {
    static KEY: LazyLock<String> =
        LazyLock::new(|| text(openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"], b"")));
    &KEY
}

/// A key that is none of RSA.
pub(crate) fn elliptic() -> String {
    text(openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], b""))
}

/// [`rsa`], encrypted as these options of `openssl pkcs8 -topk8` say.
pub(crate) fn encrypted(options: &[&str]) -> String {
    let pass = format!("pass:{PASSPHRASE}");
    text(openssl(&[&["pkcs8", "-topk8", "-passout", &pass], options].concat(), rsa().as_bytes()))
}

/// The SHA-256 of the public half of [`rsa`] in DER.
pub(crate) fn public_digest() -> Vec<u8> {
    let public = openssl(&["pkey", "-pubout", "-outform", "DER"], rsa().as_bytes());
    openssl(&["dgst", "-sha256", "-binary"], &public)
}

fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new("openssl");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("openssl is installed");
    child.stdin.take().expect("a pipe").write_all(input).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "openssl {}", arguments[0]);
    output.stdout
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("PEM is text")
}
