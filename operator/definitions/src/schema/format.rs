//! Kinds of texts, and headers that a user may set.

use backflow_expressions::{normalize, time};
use serde_json::{Map, Value};
use url::{Host, Url};

/// Headers that the delivery engine writes, or that decide how a request is framed and routed: a setting may not.
pub const RESERVED_HEADERS: &[&str] = &[
    "authorization",
    "backflow-signature",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "host",
    "idempotency-key",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// The most headers that a setting may hold, and the longest value in bytes.
const MAX_HEADERS: usize = 64;
const MAX_HEADER_VALUE: usize = 4096;

/// What kind of text a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// An absolute http or https URL without credentials and fragment.
    Url,
    /// An e-mail address.
    Email,
    /// A day, `2026-03-01`.
    Date,
    /// An instant, RFC 3339.
    DateTime,
    /// A UUID.
    Uuid,
    /// A host's name.
    Hostname,
    /// An object of HTTP header names and values.
    HttpHeaders,
    /// A field of the records, by its dotted path.
    Field,
}

impl Format {
    /// Their names.
    pub(crate) const NAMES: [(&'static str, Self); 8] = [
        ("url", Self::Url),
        ("email", Self::Email),
        ("date", Self::Date),
        ("date-time", Self::DateTime),
        ("uuid", Self::Uuid),
        ("hostname", Self::Hostname),
        ("http-headers", Self::HttpHeaders),
        ("field", Self::Field),
    ];

    /// What is wrong with a value: where and what, without the value.
    pub(super) fn check(self, path: &str, value: &Value, wrong: &mut dyn FnMut(&str, String)) {
        let text = match (self, value) {
            (Self::HttpHeaders, Value::Object(headers)) => return check_headers(path, headers, wrong),
            (Self::HttpHeaders, _) => {
                return wrong(path, format!("{path} must be an object of header names and values"));
            }
            (_, Value::String(text)) => text,
            _ => return,
        };
        let fits = match self {
            Self::Url => return check_url(path, text, wrong),
            Self::Email => normalize::email(text).is_some() && !text.chars().any(char::is_whitespace),
            Self::Date => text.len() == 10 && time::format(text, "%Y-%m-%d").as_deref() == Some(text),
            Self::DateTime => text.contains(['T', 't']) && time::instant(text).is_some(),
            Self::Uuid => is_uuid(text),
            Self::Hostname => Host::parse(text).is_ok(),
            Self::HttpHeaders | Self::Field => true,
        };
        if !fits {
            let what = match self {
                Self::Email => "an e-mail address",
                Self::Date => "a day such as 2026-03-01",
                Self::DateTime => "an instant such as 2026-03-01T12:00:00Z",
                Self::Uuid => "a UUID",
                _ => "the name of a host",
            };
            wrong(path, format!("{path} must be {what}"));
        }
    }
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    groups == [8, 4, 4, 4, 12] && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

/// The text of a URL is not repeated in findings: it may hold a password or a token.
fn check_url(path: &str, text: &str, wrong: &mut dyn FnMut(&str, String)) {
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(error) => {
            let message = format!("{path} is not a URL ({error}); write it like https://example.com/hook");
            return wrong(path, message);
        }
    };
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        wrong(path, format!("{path} holds blanks or control characters; percent-encode them"));
    }
    if !matches!(url.scheme(), "http" | "https") {
        let message = format!("{path} has the scheme \"{}\"; only http and https can be called", url.scheme());
        wrong(path, message);
    }
    if !matches!(url.host(), Some(Host::Domain(_) | Host::Ipv4(_) | Host::Ipv6(_))) {
        wrong(path, format!("{path} names no host; write it like https://example.com/hook"));
    }
    if url.port() == Some(0) {
        wrong(path, format!("{path} has port 0, which nothing can listen on"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        let message =
            format!("{path} holds a user or password, which everyone who reads this resource sees; use spec.secrets");
        wrong(path, message);
    }
    if url.fragment().is_some() {
        wrong(path, format!("{path} has a fragment (#…), which is never sent; remove it"));
    }
}

fn check_headers(path: &str, headers: &Map<String, Value>, wrong: &mut dyn FnMut(&str, String)) {
    if headers.len() > MAX_HEADERS {
        wrong(path, format!("{path} holds {} headers, more than {MAX_HEADERS}", headers.len()));
    }
    for (name, value) in headers {
        check_header(path, name, value, wrong);
    }
}

fn check_header(path: &str, name: &str, value: &Value, wrong: &mut dyn FnMut(&str, String)) {
    let at = format!("{path}.{}", name.escape_debug());
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || !name.chars().all(token) {
        return wrong(&at, format!("{at}: a header's name holds only letters, digits and - _ . and the like"));
    }
    let lower = name.to_ascii_lowercase();
    if RESERVED_HEADERS.contains(&lower.as_str()) {
        let cure = if matches!(lower.as_str(), "authorization" | "proxy-authorization" | "cookie") {
            "credentials belong in spec.secrets, such as authToken"
        } else {
            "it is written by the delivery itself"
        };
        return wrong(&at, format!("{at} cannot be set: {cure}"));
    }
    match value {
        Value::String(text) if text.len() > MAX_HEADER_VALUE => {
            wrong(&at, format!("{at} is longer than {MAX_HEADER_VALUE} bytes"));
        }
        // Visible ASCII, blank and tab: line breaks would inject headers, other bytes have no agreed meaning.
        Value::String(text) if text.bytes().all(|byte| matches!(byte, 0x20..=0x7e | b'\t')) => {}
        Value::String(_) => {
            wrong(&at, format!("{at} holds a line break or another character that no header may have"));
        }
        _ => wrong(&at, format!("{at} must be text; put numbers in quotes")),
    }
}
