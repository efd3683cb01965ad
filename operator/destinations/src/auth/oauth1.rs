//! OAuth 1.0a (RFC 5849): each request is signed with the secrets of an application and of a token that was given once.

use std::time::SystemTime;

use backflow_core::code::Failure;
use backflow_core::sigv4::encoded;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};

use super::hmac::Mac;
use super::unusable;
use crate::http::Outgoing;

/// Whose requests they are.
pub(crate) struct OAuth1 {
    pub(crate) mac: Mac,
    pub(crate) consumer_key: String,
    pub(crate) consumer_secret: SecretString,
    /// The token and its secret.
    pub(crate) token: Option<(String, SecretString)>,
    pub(crate) realm: Option<String>,
}

impl OAuth1 {
    /// Adds the signature's header.
    pub(crate) fn sign(&self, request: &mut Outgoing, now: SystemTime) -> Result<(), Failure> {
        self.sign_with(request, now, &format!("{:032x}", fastrand::u128(..)))
    }

    fn sign_with(&self, request: &mut Outgoing, now: SystemTime, nonce: &str) -> Result<(), Failure> {
        let seconds = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let method = match self.mac {
            Mac::Sha256 => "HMAC-SHA256",
            Mac::Sha1 => "HMAC-SHA1",
        };
        let mut own = vec![
            ("oauth_consumer_key", self.consumer_key.clone()),
            ("oauth_nonce", nonce.to_owned()),
            ("oauth_signature_method", method.to_owned()),
            ("oauth_timestamp", seconds.to_string()),
            ("oauth_version", "1.0".to_owned()),
        ];
        if let Some((token, _)) = &self.token {
            own.push(("oauth_token", token.clone()));
        }
        let base = base_string(request, &own);
        let of_token = self.token.as_ref().map_or("", |(_, secret)| secret.expose_secret());
        let key = format!("{}&{}", encoded(self.consumer_secret.expose_secret(), false), encoded(of_token, false));
        own.push(("oauth_signature", STANDARD.encode(self.mac.of(key.as_bytes(), base.as_bytes()))));
        let realm = self.realm.iter().map(|realm| format!("realm=\"{}\"", realm.replace(['"', '\\'], "")));
        let own = own.iter().map(|(name, value)| format!("{name}=\"{}\"", encoded(value, false)));
        let header = format!("OAuth {}", realm.chain(own).collect::<Vec<_>>().join(", "));
        let mut value = HeaderValue::from_str(&header).map_err(|_| unusable("a credential", "cannot be sent"))?;
        value.set_sensitive(true);
        request.headers.insert(AUTHORIZATION, value);
        Ok(())
    }
}

/// RFC 5849, 3.4.1: method, address, and all parameters: of the query, of a form, and of the header itself.
fn base_string(request: &Outgoing, own: &[(&str, String)]) -> String {
    let form = request
        .headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
    let body = if form { &request.body[..] } else { b"" };
    let mut pairs: Vec<(String, String)> = request
        .url
        .query_pairs()
        .chain(url::form_urlencoded::parse(body))
        .map(|(name, value)| (encoded(&name, false), encoded(&value, false)))
        .chain(own.iter().map(|(name, value)| (encoded(name, false), encoded(value, false))))
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let address = format!("{}://{}{}", request.url.scheme(), request.host(), request.url.path());
    format!("{}&{}&{}", request.method, encoded(&address, false), encoded(&pairs.join("&"), false))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn scheme(mac: Mac) -> OAuth1 {
        OAuth1 {
            mac,
            consumer_key: "9djdj82h48djs9d2".into(),
            consumer_secret: SecretString::from("j49sk3j29djd"),
            token: Some(("kkk9d7dh3k39sjv7".into(), SecretString::from("dh893hdasih9"))),
            realm: Some("Example".into()),
        }
    }

    /// The request of RFC 5849, 3.4.1.1.
    fn request() -> Outgoing {
        let mut request = Outgoing::post("http://example.com/request?b5=%3D%253D&a3=a&c%40=&a2=r%20b", "c2&a3=2+q");
        request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        request
    }

    #[test]
    fn the_base_string_is_that_of_the_rfc() {
        let own = [
            ("oauth_consumer_key", "9djdj82h48djs9d2".to_owned()),
            ("oauth_token", "kkk9d7dh3k39sjv7".to_owned()),
            ("oauth_signature_method", "HMAC-SHA1".to_owned()),
            ("oauth_timestamp", "137131201".to_owned()),
            ("oauth_nonce", "7d8f3e4a".to_owned()),
        ];
        assert_eq!(
            base_string(&request(), &own),
            "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da%26b5%3D%253D%25253D%26c%2540%3D%26c2%3D\
             %26oauth_consumer_key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a%26oauth_signature_method%3DHMAC-SHA1\
             %26oauth_timestamp%3D137131201%26oauth_token%3Dkkk9d7dh3k39sjv7"
        );
    }

    #[test]
    fn the_header_says_who_and_shows_no_secret() {
        let mut request = request();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(137_131_201);
        scheme(Mac::Sha256).sign_with(&mut request, now, "7d8f3e4a").unwrap();
        let header = request.headers[AUTHORIZATION].to_str().unwrap().to_owned();
        assert!(
            header.starts_with(
                "OAuth realm=\"Example\", oauth_consumer_key=\"9djdj82h48djs9d2\", oauth_nonce=\"7d8f3e4a\", \
                 oauth_signature_method=\"HMAC-SHA256\", oauth_timestamp=\"137131201\", oauth_version=\"1.0\", \
                 oauth_token=\"kkk9d7dh3k39sjv7\", oauth_signature=\""
            ),
            "{header}"
        );
        assert!(!header.contains("j49sk3j29djd") && !header.contains("dh893hdasih9"));
        assert!(!format!("{:?}", request.headers).contains("oauth_token"), "sensitive");
    }

    #[test]
    fn a_body_that_is_no_form_is_not_signed_and_all_else_is() {
        let now = SystemTime::UNIX_EPOCH;
        let signature = |change: &dyn Fn(&mut Outgoing)| {
            let mut request = request();
            change(&mut request);
            scheme(Mac::Sha1).sign_with(&mut request, now, "n").unwrap();
            request.headers[AUTHORIZATION].to_str().unwrap().to_owned()
        };
        let base = signature(&|_| {});
        assert_ne!(signature(&|request| request.method = reqwest::Method::PUT), base);
        assert_ne!(signature(&|request| request.url.set_path("/other")), base);
        assert_ne!(signature(&|request| request.url.set_query(Some("a=b"))), base);
        assert_ne!(signature(&|request| request.body = "c2&a3=3".into()), base);
        let json = |body: &'static str| {
            signature(&|request| {
                request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                request.body = body.into();
            })
        };
        assert_eq!(json("{}"), json("[]"));
    }
}
