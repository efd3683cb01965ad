//! Typed settings and their checks.

use std::collections::BTreeMap;

use backflow_core::finding::{Finding, hint};
use serde::Deserialize;
use serde_json::Value;
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

/// A setting: what it is, and which values it takes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Setting {
    /// Which values.
    #[serde(rename = "type")]
    pub kind: SettingKind,
    /// The values of a [`SettingKind::Choice`].
    #[serde(default)]
    pub choices: Vec<String>,
    /// It must be given.
    #[serde(default)]
    pub required: bool,
    /// What an unset one means.
    #[serde(default)]
    pub default: Option<Value>,
    /// It names the account: see [`crate::Definition::identity`].
    #[serde(default)]
    pub identity: bool,
    /// One sentence.
    pub description: String,
}

/// The values of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SettingKind {
    /// An absolute http or https URL without credentials and fragment.
    Url,
    /// One of [`Setting::choices`].
    Choice,
    /// An object of HTTP header names and values.
    Headers,
    /// A field of the records, by its dotted path.
    Field,
}

/// Checks `values` against `settings`, adding findings at `<root>.<name>`. `unknown` begins the sentence for a name that is not there.
pub(crate) fn check_all<'a>(
    root: &str,
    unknown: &str,
    settings: &BTreeMap<String, Setting>,
    values: impl Iterator<Item = (&'a String, &'a Value)> + Clone,
    findings: &mut Vec<Finding>,
) {
    for (name, value) in values.clone() {
        let path = format!("{root}.{name}");
        match settings.get(name) {
            Some(setting) => setting.check(&path, value, findings),
            None => {
                let known = hint(name, settings.keys().map(String::as_str));
                findings.push(Finding::new(path, "UnknownSetting", format!("{unknown} \"{name}\" {known}")));
            }
        }
    }
    for (name, setting) in settings.iter().filter(|(_, setting)| setting.required) {
        if !values.clone().any(|(given, _)| given == name) {
            let message = format!("{root}.{name} is required: {}", setting.description);
            findings.push(Finding::new(format!("{root}.{name}"), "MissingSetting", message));
        }
    }
}

impl Setting {
    fn check(&self, path: &str, value: &Value, findings: &mut Vec<Finding>) {
        match (self.kind, value) {
            (SettingKind::Url, Value::String(text)) => check_url(path, text, findings),
            (SettingKind::Choice, Value::String(text)) => {
                if !self.choices.contains(text) {
                    let known = hint(text, self.choices.iter().map(String::as_str));
                    findings.push(wrong(path, &format!("{path} cannot be \"{text}\" {known}")));
                }
            }
            (SettingKind::Headers, Value::Object(headers)) => {
                if headers.len() > MAX_HEADERS {
                    findings
                        .push(wrong(path, &format!("{path} holds {} headers, more than {MAX_HEADERS}", headers.len())));
                }
                for (name, value) in headers {
                    check_header(path, name, value, findings);
                }
            }
            (SettingKind::Field, Value::String(field)) if !field.is_empty() => {}
            (kind, _) => {
                let wanted = match kind {
                    SettingKind::Url => "a URL as text",
                    SettingKind::Choice => "text",
                    SettingKind::Headers => "an object of header names and values",
                    SettingKind::Field => "a field of the records, as fields names it",
                };
                findings.push(wrong(path, &format!("{path} must be {wanted}")));
            }
        }
    }
}

fn wrong(path: &str, message: &str) -> Finding {
    Finding::new(path, "InvalidSetting", message)
}

/// The text of a URL is not repeated in findings: it may hold a password or a token.
fn check_url(path: &str, text: &str, findings: &mut Vec<Finding>) {
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(error) => {
            let message = format!("{path} is not a URL ({error}); write it like https://example.com/hook");
            return findings.push(wrong(path, &message));
        }
    };
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        findings.push(wrong(path, &format!("{path} holds blanks or control characters; percent-encode them")));
    }
    if !matches!(url.scheme(), "http" | "https") {
        let message = format!("{path} has the scheme \"{}\"; only http and https can be called", url.scheme());
        findings.push(wrong(path, &message));
    }
    if !matches!(url.host(), Some(Host::Domain(_) | Host::Ipv4(_) | Host::Ipv6(_))) {
        findings.push(wrong(path, &format!("{path} names no host; write it like https://example.com/hook")));
    }
    if url.port() == Some(0) {
        findings.push(wrong(path, &format!("{path} has port 0, which nothing can listen on")));
    }
    if !url.username().is_empty() || url.password().is_some() {
        let message =
            format!("{path} holds a user or password, which everyone who reads this resource sees; use spec.secrets");
        findings.push(wrong(path, &message));
    }
    if url.fragment().is_some() {
        findings.push(wrong(path, &format!("{path} has a fragment (#…), which is never sent; remove it")));
    }
}

fn check_header(path: &str, name: &str, value: &Value, findings: &mut Vec<Finding>) {
    let at = format!("{path}.{}", name.escape_debug());
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || !name.chars().all(token) {
        return findings
            .push(wrong(&at, &format!("{at}: a header's name holds only letters, digits and - _ . and the like")));
    }
    let lower = name.to_ascii_lowercase();
    if RESERVED_HEADERS.contains(&lower.as_str()) {
        let cure = if matches!(lower.as_str(), "authorization" | "proxy-authorization" | "cookie") {
            "credentials belong in spec.secrets, such as authToken"
        } else {
            "it is written by the delivery itself"
        };
        return findings.push(wrong(&at, &format!("{at} cannot be set: {cure}")));
    }
    match value {
        Value::String(text) if text.len() > MAX_HEADER_VALUE => {
            findings.push(wrong(&at, &format!("{at} is longer than {MAX_HEADER_VALUE} bytes")));
        }
        // Visible ASCII, blank and tab: line breaks would inject headers, other bytes have no agreed meaning.
        Value::String(text) if text.bytes().all(|byte| matches!(byte, 0x20..=0x7e | b'\t')) => {}
        Value::String(_) => {
            findings.push(wrong(&at, &format!("{at} holds a line break or another character that no header may have")));
        }
        _ => findings.push(wrong(&at, &format!("{at} must be text; put numbers in quotes"))),
    }
}
