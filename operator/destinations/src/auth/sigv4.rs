//! Signature version 4 of AWS, as its documentation describes it.

use std::fmt::Write as _;
use std::time::SystemTime;

use backflow_core::code::{Code, Failure};
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use super::unusable;
use crate::http::Outgoing;

/// Headers that proxies change on the way, or that are added after signing.
const UNSIGNED: &[&str] = &["authorization", "connection", "user-agent", "x-amzn-trace-id", "accept-encoding"];

/// Whose key, and for what.
pub(crate) struct SigV4 {
    pub(crate) service: String,
    pub(crate) region: String,
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: SecretString,
    /// Of temporary credentials.
    pub(crate) session_token: Option<SecretString>,
}

impl SigV4 {
    /// Adds date, session token and signature.
    pub(crate) fn sign(&self, request: &mut Outgoing, now: SystemTime) -> Result<(), Failure> {
        let out_of_time = |_| Failure::new(Code::Internal, "this machine's clock cannot be written as a date");
        let now = jiff::Timestamp::try_from(now).map_err(out_of_time)?;
        let stamp = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        let date = &stamp[..8];
        let headers = &mut request.headers;
        let value = |text: &str| HeaderValue::from_str(text).map_err(|_| unusable("a credential", "cannot be sent"));
        headers.insert(HeaderName::from_static("x-amz-date"), value(&stamp)?);
        if let Some(token) = &self.session_token {
            let mut token = value(token.expose_secret())?;
            token.set_sensitive(true);
            headers.insert(HeaderName::from_static("x-amz-security-token"), token);
        }
        let (canonical, signed) = self.canonical(request);
        let scope = format!("{date}/{}/{}/aws4_request", self.region, self.service);
        let to_sign = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
        let mut key = format!("AWS4{}", self.secret_access_key.expose_secret()).into_bytes();
        for part in [date, &self.region, &self.service, "aws4_request"] {
            key = mac(&key, part.as_bytes());
        }
        let signature = hex(&mac(&key, to_sign.as_bytes()));
        let id = &self.access_key_id;
        let header =
            format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={signed}, Signature={signature}");
        let mut header = value(&header)?;
        header.set_sensitive(true);
        request.headers.insert(AUTHORIZATION, header);
        Ok(())
    }

    /// The request in its canonical form, and the names of the headers in it.
    fn canonical(&self, request: &Outgoing) -> (String, String) {
        let mut headers: Vec<(String, String)> = request
            .headers
            .iter()
            .filter(|(name, _)| !UNSIGNED.contains(&name.as_str()))
            .map(|(name, value)| {
                let text = String::from_utf8_lossy(value.as_bytes());
                (name.as_str().to_owned(), text.split_whitespace().collect::<Vec<_>>().join(" "))
            })
            .collect();
        headers.push(("host".to_owned(), request.host()));
        headers.sort();
        let signed = headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");

        let mut query: Vec<(String, String)> =
            request.url.query_pairs().map(|(name, value)| (encoded(&name, false), encoded(&value, false))).collect();
        query.sort();
        let query: Vec<String> = query.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        // Every service but S3 encodes the path a second time.
        let path = if self.service == "s3" { request.url.path().to_owned() } else { encoded(request.url.path(), true) };

        let mut canonical = format!("{}\n{path}\n{}\n", request.method, query.join("&"));
        for (name, value) in &headers {
            let _ = writeln!(canonical, "{name}:{value}");
        }
        let _ = write!(canonical, "\n{signed}\n{}", hex(&Sha256::digest(&request.body)));
        (canonical, signed)
    }
}

fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    // HMAC takes keys of any length.
    Hmac::<Sha256>::new_from_slice(key).map_or_else(
        |_| Vec::new(),
        |mut mac| {
            mac.update(message);
            mac.finalize().into_bytes().to_vec()
        },
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Percent-encoded but for the unreserved characters of RFC 3986, and slashes in paths.
fn encoded(text: &str, path: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte as char),
            b'/' if path => out.push('/'),
            other => _ = write!(out, "%{other:02X}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use reqwest::Method;

    use super::*;

    /// The time, the credentials and the expected signatures are those of AWS's published test suite for signature version 4.
    fn signature(method: Method, url: &str, headers: &[(&'static str, &'static str)], body: &'static str) -> String {
        let scheme = SigV4 {
            service: "service".into(),
            region: "us-east-1".into(),
            access_key_id: "AKIDEXAMPLE".into(),
            secret_access_key: SecretString::from("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session_token: None,
        };
        let mut request = Outgoing::post(url, body);
        request.method = method;
        for (name, value) in headers {
            request.headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let now: jiff::Timestamp = "2015-08-30T12:36:00Z".parse().unwrap();
        scheme.sign(&mut request, now.into()).unwrap();
        let header = request.headers[AUTHORIZATION].to_str().unwrap();
        assert!(header.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "));
        header.rsplit('=').next().unwrap().to_owned()
    }

    #[test]
    fn signatures_are_those_of_the_published_suite() {
        let base = "https://example.amazonaws.com/";
        let get = signature(Method::GET, base, &[], "");
        assert_eq!(get, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
        let post = signature(Method::POST, base, &[], "");
        assert_eq!(post, "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
        let query = signature(Method::GET, &format!("{base}?Param2=value2&Param1=value1"), &[], "");
        assert_eq!(query, "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let post = signature(Method::POST, base, &form, "Param1=value1");
        assert_eq!(post, "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a");
    }

    #[test]
    fn everything_that_is_sent_is_signed() {
        let base = signature(Method::POST, "https://example.amazonaws.com/a", &[], "x");
        for other in [
            signature(Method::PUT, "https://example.amazonaws.com/a", &[], "x"),
            signature(Method::POST, "https://other.amazonaws.com/a", &[], "x"),
            signature(Method::POST, "https://example.amazonaws.com:8443/a", &[], "x"),
            signature(Method::POST, "https://example.amazonaws.com/b", &[], "x"),
            signature(Method::POST, "https://example.amazonaws.com/a?b=c", &[], "x"),
            signature(Method::POST, "https://example.amazonaws.com/a", &[("x-amz-target", "T")], "x"),
            signature(Method::POST, "https://example.amazonaws.com/a", &[], "y"),
        ] {
            assert_ne!(other, base);
        }
        let traced = signature(Method::POST, "https://example.amazonaws.com/a", &[("user-agent", "u")], "x");
        assert_eq!(traced, base, "what may change on the way is not");
    }
}
