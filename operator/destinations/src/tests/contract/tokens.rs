//! The `<<tokens>>` of fixtures: what is only known when a case runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use md5::Digest as _;
use serde_json::Value;

/// Anything that is not empty.
pub(super) const ANY: &str = "\u{1}any";

/// What tokens stand for in one case.
pub(super) struct Tokens {
    pub(super) secrets: BTreeMap<String, String>,
    /// What the token endpoint issues.
    pub(super) access_token: String,
    /// Of the records, in their order.
    pub(super) keys: Vec<String>,
    pub(super) ids: Vec<String>,
    /// Of the request that is filled.
    pub(super) batch_key: String,
}

/// A request's idempotency key.
pub(super) fn batch_key<'a>(keys: impl Iterator<Item = &'a String>) -> String {
    let lines: String = keys.flat_map(|key| [key.as_str(), "\n"]).collect();
    let mut key = URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(lines));
    key.truncate(22);
    key
}

impl Tokens {
    /// A tree with all of its tokens replaced.
    pub(super) fn fill(&self, tree: &Value) -> Value {
        match tree {
            Value::String(text) => Value::String(self.text(text)),
            Value::Array(list) => list.iter().map(|value| self.fill(value)).collect(),
            Value::Object(members) => members.iter().map(|(name, value)| (self.text(name), self.fill(value))).collect(),
            other => other.clone(),
        }
    }

    /// Text with its tokens replaced, the innermost first.
    pub(super) fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        while let Some(from) = text.rfind("<<") {
            let Some(length) = text[from..].find(">>") else { break };
            let value = self.token(&text[from + 2..from + length]);
            text.replace_range(from..from + length + 2, &value);
        }
        text
    }

    fn token(&self, token: &str) -> String {
        if token == "any" {
            // What is compared knows it.
            return ANY.to_owned();
        }
        let (name, rest) = token.split_once(':').unwrap_or((token, ""));
        let at = || rest.parse::<usize>().ok().and_then(|n| n.checked_sub(1)).unwrap_or(usize::MAX);
        let known = match name {
            "secret" => self.secrets.get(rest).cloned(),
            "batch.key" => Some(self.batch_key.clone()),
            "token" => Some(self.access_token.clone()),
            "key" => self.keys.get(at()).cloned(),
            "id" => self.ids.get(at()).cloned(),
            "basic" | "base64" => Some(STANDARD.encode(rest)),
            "sha256" => Some(hex(&sha2::Sha256::digest(rest))),
            "md5" => Some(hex(&md5::Md5::digest(rest))),
            "upper" => Some(rest.to_uppercase()),
            "cut" => {
                rest.split_once(':').map(|(length, text)| text.chars().take(length.parse().unwrap_or(0)).collect())
            }
            _ => None,
        };
        known.unwrap_or_else(|| panic!("the token <<{token}>> stands for nothing"))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}
