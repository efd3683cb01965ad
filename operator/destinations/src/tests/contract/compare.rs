//! Whether a request is the one that a case expects.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::network::Made;
use super::schema::Schema;
use super::tokens::ANY;

/// Stands for any request to the token endpoint.
pub(super) const TOKEN: &str = "token";

/// What a case expects: the request as its file says it, tokens replaced.
pub(super) struct Expected {
    pub(super) request: Value,
    pub(super) base_url: String,
    /// What api.yaml says of its endpoint; null if the case names none.
    pub(super) endpoint: Value,
    /// The folder that the paths of schemas begin at.
    pub(super) fixtures: PathBuf,
}

impl Expected {
    /// What differs, or nothing.
    pub(super) fn mismatch(&self, made: &Made) -> Option<String> {
        let wanted = &self.request;
        if wanted == TOKEN {
            return (!made.is_token_request())
                .then(|| format!("{} {} instead of a token request", made.method, made.url));
        }
        let method = wanted["method"].as_str().unwrap_or("GET");
        if made.method != method {
            return Some(format!("method {} instead of {method}", made.method));
        }
        let url = match wanted["url"].as_str() {
            Some(url) => url.to_owned(),
            None => format!("{}{}", self.base_url.trim_end_matches('/'), wanted["path"].as_str().unwrap_or("")),
        };
        // Hosts are alike in any case.
        let url = url::Url::parse(&url).map_or(url, |url| url.to_string().trim_end_matches('/').to_owned());
        if made.url != url {
            return Some(format!("{} instead of {url}", made.url));
        }
        for (name, value) in wanted["headers"].as_object().into_iter().flatten() {
            let (is, value) = (made.header(name), value.as_str().unwrap_or_default());
            let any = value == ANY && is.as_deref().is_some_and(|is| !is.is_empty());
            if !any && is.as_deref() != Some(value) {
                return Some(format!("header {name} is {is:?} instead of {value:?}"));
            }
        }
        fields("query", &wanted["query"], &made.query).or_else(|| self.body(made)).or_else(|| self.invalid(made))
    }

    /// What the vendor would not take: its schema of the body, and how many records it takes at once.
    fn invalid(&self, made: &Made) -> Option<String> {
        let form = |read: &dyn Fn(String) -> Value| -> Value {
            made.form().into_iter().map(|(name, text)| (name, read(text))).collect()
        };
        // Of a form a vendor may mean the text of a value, or the document in it.
        let readings = match self.endpoint["encoding"].as_str() {
            Some("ndjson") => vec![made.body().as_array().cloned().unwrap_or_default()],
            Some("form") => vec![vec![form(&Value::String)], vec![form(&document)]],
            Some("csv") => vec![made.rows()],
            _ => vec![vec![made.body()]],
        };
        if let Some(file) = self.endpoint["schema"].as_str() {
            let schema = match Schema::read(&self.fixtures.join(file)) {
                Ok(schema) => schema,
                Err(error) => return Some(format!("{error:#}")),
            };
            let judged = |bodies: &Vec<Value>| -> Vec<String> {
                bodies.iter().flat_map(|body| schema.findings(body, 5)).collect()
            };
            let found = readings.iter().map(judged).min_by_key(Vec::len).unwrap_or_default();
            if !found.is_empty() {
                return Some(format!("a body that {file} does not take: {}", found.join("; ")));
            }
        }
        let most = self.endpoint["maxItems"].as_u64()? as usize;
        let pointers = match &self.endpoint["items"] {
            Value::String(pointer) if pointer.is_empty() || pointer.starts_with('/') => vec![pointer.as_str()],
            Value::Array(pointers) => pointers.iter().filter_map(Value::as_str).collect(),
            _ => return None,
        };
        let body = made.body();
        let count: usize = pointers.iter().filter_map(|pointer| Some(body.pointer(pointer)?.as_array()?.len())).sum();
        (count > most).then(|| format!("{count} records at once, and the endpoint takes {most}"))
    }

    fn body(&self, made: &Made) -> Option<String> {
        let wanted = &self.request;
        if let Some(text) = wanted["text"].as_str() {
            return (made.text() != text).then(|| format!("body\n{}\ninstead of\n{text}", made.text()));
        }
        if wanted["form"].is_object() {
            return fields("form", &wanted["form"], &made.form());
        }
        match wanted.get("body") {
            Some(body) => {
                let is = made.body();
                difference(body, &is, "body")
            }
            None => (!made.text().is_empty()).then(|| format!("a body where none is expected: {}", made.text())),
        }
    }
}

/// A value of a form: text, or the document that the text holds.
fn document(text: String) -> Value {
    let read = serde_json::from_str::<Value>(&text).ok().filter(|value| value.is_object() || value.is_array());
    read.unwrap_or(Value::String(text))
}

/// Names and texts; a value `{json: …}` is text that holds this JSON.
fn fields(what: &str, wanted: &Value, is: &[(String, String)]) -> Option<String> {
    let empty = serde_json::Map::new();
    let wanted = wanted.as_object().unwrap_or(&empty);
    for (name, _) in is {
        if !wanted.contains_key(name) {
            return Some(format!("{what} has {name}, which is not expected"));
        }
    }
    for (name, value) in wanted {
        let Some((_, text)) = is.iter().find(|(known, _)| known == name) else {
            return Some(format!("{what} lacks {name}"));
        };
        let place = format!("{what}.{name}");
        let found = match value.get("json") {
            Some(document) => {
                difference(document, &serde_json::from_str(text).unwrap_or(Value::String(text.clone())), &place)
            }
            None => {
                let wanted = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                (*text != wanted).then(|| format!("{place} is {text:?} instead of {wanted:?}"))
            }
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

/// The first difference of two documents, numbers by value.
pub(super) fn difference(wanted: &Value, is: &Value, at: &str) -> Option<String> {
    let differs = || Some(format!("{at} is {is} instead of {wanted}"));
    match (wanted, is) {
        (Value::String(any), is) if any == ANY => (is.is_null() || *is == json!("")).then(|| format!("{at} is empty")),
        (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64() => None,
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().find_map(|(n, (a, b))| difference(a, b, &format!("{at}[{n}]")))
        }
        (Value::Object(a), Value::Object(b)) => {
            if let Some(name) = b.keys().find(|name| !a.contains_key(*name)) {
                return Some(format!("{at} has {name}, which is not expected: {}", b[name]));
            }
            a.iter().find_map(|(name, a)| match b.get(name) {
                Some(b) => difference(a, b, &format!("{at}.{name}")),
                None => Some(format!("{at} lacks {name}")),
            })
        }
        (a, b) if a == b => None,
        _ => differs(),
    }
}
