//! Signature version 4 of AWS, as its documentation describes it: for destinations that want it, and for sources that ask AWS for a password.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

/// Headers that proxies change on the way, or that are added after signing.
const UNSIGNED: &[&str] = &["authorization", "connection", "user-agent", "x-amzn-trace-id", "accept-encoding"];

/// Whose key, and for what.
#[derive(Clone, Debug)]
pub struct SigV4 {
    /// The service, such as `sqs` or `redshift-serverless`.
    pub service: String,
    /// The region, such as `eu-central-1`.
    pub region: String,
    /// Whose.
    pub access_key_id: String,
    /// The key.
    pub secret_access_key: SecretString,
    /// Of temporary credentials.
    pub session_token: Option<SecretString>,
}

/// A request as it will be sent.
#[derive(Clone, Copy, Debug)]
pub struct Signable<'a> {
    /// `GET`, `POST` …
    pub method: &'a str,
    /// As in the header `Host`: with a port only if it is not the scheme's own.
    pub host: &'a str,
    /// Percent-encoded, beginning with a slash.
    pub path: &'a str,
    /// Decoded.
    pub query: &'a [(String, String)],
    /// Names in lower case.
    pub headers: &'a [(String, String)],
    /// The body.
    pub body: &'a [u8],
}

/// Headers that are to be added to a request, names in lower case. The last two are secret.
#[derive(Clone, Debug)]
pub struct SignedHeaders {
    /// `x-amz-date`.
    pub date: String,
    /// `x-amz-security-token`.
    pub token: Option<SecretString>,
    /// `authorization`.
    pub authorization: SecretString,
}

impl SigV4 {
    /// Signs a request that is sent now.
    #[must_use]
    pub fn sign(&self, request: &Signable<'_>, now: Timestamp) -> SignedHeaders {
        let stamp = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        let date = stamp.split('T').next().unwrap_or_default();
        let (canonical, signed) = self.canonical(request, &stamp);
        let scope = format!("{date}/{}/{}/aws4_request", self.region, self.service);
        let to_sign = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
        let mut key = format!("AWS4{}", self.secret_access_key.expose_secret()).into_bytes();
        for part in [date, &self.region, &self.service, "aws4_request"] {
            key = mac(&key, part.as_bytes());
        }
        let signature = hex(&mac(&key, to_sign.as_bytes()));
        let id = &self.access_key_id;
        let authorization =
            format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={signed}, Signature={signature}");
        let token = self.session_token.clone();
        SignedHeaders { date: stamp, token, authorization: SecretString::from(authorization) }
    }

    /// The request in its canonical form, and the names of the headers in it.
    fn canonical(&self, request: &Signable<'_>, stamp: &str) -> (String, String) {
        let one_line = |value: &str| value.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut headers: Vec<(&str, String)> = request
            .headers
            .iter()
            .filter(|(name, _)| !UNSIGNED.contains(&name.as_str()))
            .map(|(name, value)| (name.as_str(), one_line(value)))
            .collect();
        headers.push(("host", request.host.to_owned()));
        headers.push(("x-amz-date", stamp.to_owned()));
        if let Some(token) = &self.session_token {
            headers.push(("x-amz-security-token", token.expose_secret().to_owned()));
        }
        headers.sort();
        let signed = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");

        let mut query: Vec<(String, String)> =
            request.query.iter().map(|(name, value)| (encoded(name, false), encoded(value, false))).collect();
        query.sort();
        let query: Vec<String> = query.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        // Every service but S3 encodes the path a second time.
        let path = if self.service == "s3" { request.path.to_owned() } else { encoded(request.path, true) };

        let mut canonical = format!("{}\n{path}\n{}\n", request.method, query.join("&"));
        for (name, value) in &headers {
            let _ = writeln!(canonical, "{name}:{value}");
        }
        let _ = write!(canonical, "\n{signed}\n{}", hex(&Sha256::digest(request.body)));
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
#[must_use]
pub fn encoded(text: &str, path: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            b'/' if path => out.push('/'),
            other => _ = write!(out, "%{other:02X}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The time, the credentials and the expected signatures are those of AWS's published test suite for signature version 4.
    fn scheme() -> SigV4 {
        SigV4 {
            service: "service".into(),
            region: "us-east-1".into(),
            access_key_id: "AKIDEXAMPLE".into(),
            secret_access_key: SecretString::from("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session_token: None,
        }
    }

    const REQUEST: Signable<'_> =
        Signable { method: "GET", host: "example.amazonaws.com", path: "/", query: &[], headers: &[], body: b"" };

    fn signature(request: &Signable<'_>) -> String {
        let signed = scheme().sign(request, "2015-08-30T12:36:00Z".parse().unwrap());
        assert_eq!(signed.date, "20150830T123600Z");
        let header = signed.authorization.expose_secret();
        assert!(
            header.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, ")
        );
        header.rsplit('=').next().unwrap().to_owned()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn signatures_are_those_of_the_published_suite() {
        assert_eq!(signature(&REQUEST), "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
        let post = Signable { method: "POST", ..REQUEST };
        assert_eq!(signature(&post), "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
        let query = pairs(&[("Param2", "value2"), ("Param1", "value1")]);
        let query = Signable { query: &query, ..REQUEST };
        assert_eq!(signature(&query), "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");
        let headers = pairs(&[("content-type", "application/x-www-form-urlencoded")]);
        let form = Signable { headers: &headers, body: b"Param1=value1", ..post };
        assert_eq!(signature(&form), "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a");
    }

    #[test]
    fn everything_that_is_sent_is_signed() {
        let base = Signable { method: "POST", path: "/a", body: b"x", ..REQUEST };
        let (query, target, agent) =
            (pairs(&[("b", "c")]), pairs(&[("x-amz-target", "T")]), pairs(&[("user-agent", "u")]));
        for other in [
            Signable { method: "PUT", ..base },
            Signable { host: "other.amazonaws.com", ..base },
            Signable { host: "example.amazonaws.com:8443", ..base },
            Signable { path: "/b", ..base },
            Signable { query: &query, ..base },
            Signable { headers: &target, ..base },
            Signable { body: b"y", ..base },
        ] {
            assert_ne!(signature(&other), signature(&base), "{other:?}");
        }
        assert_eq!(
            signature(&Signable { headers: &agent, ..base }),
            signature(&base),
            "what may change on the way is not"
        );
    }

    #[test]
    fn temporary_credentials_have_a_token_that_is_signed_too() {
        let with = SigV4 { session_token: Some(SecretString::from("t0ken-canary")), ..scheme() };
        let now = "2015-08-30T12:36:00Z".parse().unwrap();
        let signed = with.sign(&REQUEST, now);
        assert_eq!(signed.token.as_ref().map(|token| token.expose_secret()), Some("t0ken-canary"));
        assert!(signed.authorization.expose_secret().contains("SignedHeaders=host;x-amz-date;x-amz-security-token,"));
        assert_ne!(signed.authorization.expose_secret(), scheme().sign(&REQUEST, now).authorization.expose_secret());
        assert!(!format!("{signed:?} {with:?}").contains("canary"));
    }
}
