//! Requests, read so that they can be compared: one entry for each record, whether it came alone or with others.

use std::collections::BTreeMap;

use backflow_tests::destinations::Recorded;
use serde_json::{Map, Value, json};
use url::Url;

use super::cases::{Read, Tool};

/// What stands for the time of the run.
const NOW: &str = "<<now>>";
/// How far from it, in seconds, a time is still the run's.
const NEAR: i64 = 3600;
/// In place of a method: what an action hands to Segment's own platform, which is no request.
const HANDED_OVER: &str = "RETURN";
/// Headers of the client, not of what is said.
const CLIENT: [&str; 6] = ["user-agent", "host", "content-length", "accept-encoding", "connection", "traceparent"];

/// A request of either side.
pub(crate) struct Request {
    pub(crate) method: String,
    /// Without its query.
    pub(crate) url: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl From<Recorded> for Request {
    fn from(Recorded { method, url, query, headers, body }: Recorded) -> Self {
        Self { method, url, query, headers, body }
    }
}

impl Request {
    /// One that the script caught.
    pub(crate) fn caught(value: &Value) -> Result<Self, String> {
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let headers = value["headers"].as_object().into_iter().flatten();
        let headers =
            headers.map(|(name, value)| (name.to_lowercase(), value.as_str().unwrap_or_default().to_owned())).collect();
        let (mut url, mut query) = (text("url"), Vec::new());
        if !url.is_empty() {
            let mut parsed = Url::parse(&url).map_err(|error| format!("{url}: {error}"))?;
            query = parsed.query_pairs().into_owned().collect();
            parsed.set_query(None);
            parsed.as_str().trim_end_matches('/').clone_into(&mut url);
        }
        Ok(Self { method: text("method"), url, query, headers, body: text("body") })
    }

    fn line(&self) -> String {
        format!("{} {}", self.method, self.url).trim_end().to_owned()
    }

    /// Without what only the client is concerned with.
    fn about(&self) -> Value {
        let clients = |name: &str, value: &str| CLIENT.contains(&name) || (name, value) == ("accept", "*/*");
        let headers = self.headers.iter().filter(|(name, value)| !clients(name, value));
        let headers = headers.map(|(name, value)| {
            let value = value.strip_suffix(";charset=UTF-8").unwrap_or(value);
            (name.clone(), json!(value))
        });
        let mut about = json!({"method": self.method, "url": self.url, "headers": headers.collect::<Map<_, _>>()});
        if !self.query.is_empty() {
            about["query"] = self.query.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        }
        about
    }

    fn body(&self) -> Result<Value, String> {
        let kind = self.headers.get("content-type").map_or("application/json", String::as_str);
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        if kind.starts_with("application/x-www-form-urlencoded") {
            let pairs = url::form_urlencoded::parse(self.body.as_bytes()).into_owned();
            return Ok(pairs.map(|(name, text)| (name, inner(text))).collect());
        }
        let json = |text: &str| {
            serde_json::from_str::<Value>(text)
                .map_err(|error| format!("{}: the body is no JSON: {error}", self.line()))
        };
        if kind.starts_with("application/x-ndjson") {
            return self.body.lines().map(json).collect::<Result<Vec<_>, _>>().map(Value::Array);
        }
        json(&self.body)
    }
}

/// A value of a form: the JSON in it, or the text.
fn inner(text: String) -> Value {
    let document = text.starts_with(['{', '[']).then(|| serde_json::from_str(&text).ok()).flatten();
    document.unwrap_or(Value::String(text))
}

/// What requests of one step say.
#[derive(Default)]
struct Step {
    requests: usize,
    /// Each with what it is sorted by.
    records: Vec<(Value, Value)>,
}

/// What requests say: how many there are of each step, and each step's records.
pub(crate) fn document(tool: &Tool, requests: &[Request]) -> Result<Value, String> {
    let mut steps: BTreeMap<&str, Step> = BTreeMap::new();
    for request in requests {
        let read = tool.reads.iter().find(|read| is(&read.request, &request.line()));
        let read = read.ok_or_else(|| format!("`reads` does not say how to read {}", request.line()))?;
        let step = steps.entry(&read.step).or_default();
        step.requests += 1;
        for entry in records(read, request)? {
            let key = read.key.as_ref().and_then(|key| entry.pointer(key)).cloned().unwrap_or_default();
            step.records.push((key, entry));
        }
    }
    let mut document = json!({"requests": {}});
    for (name, mut step) in steps {
        step.records.sort_by_key(|(key, _)| key.to_string());
        document["requests"][name] = json!(step.requests);
        document[name] = step.records.into_iter().map(|(_, record)| record).collect();
    }
    let now = jiff::Timestamp::now().as_second();
    without_now(&mut document, now);
    Ok(document)
}

fn is(pattern: &str, line: &str) -> bool {
    let (pattern, line): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), line.split('/').collect());
    pattern.len() == line.len() && pattern.iter().zip(line).all(|(pattern, part)| *pattern == "*" || *pattern == part)
}

/// One entry for each record of a request.
fn records(read: &Read, request: &Request) -> Result<Vec<Value>, String> {
    let mut body = request.body()?;
    let entry = |item: Value| match request.method.as_str() {
        HANDED_OVER => json!({"item": item}),
        _ => json!({"request": request.about(), "item": item}),
    };
    if read.items.is_empty() {
        return Ok(vec![entry(body)]);
    }
    let mut lists = Vec::new();
    let named: Vec<&String> = read.items.iter().filter(|pointer| !pointer.is_empty()).collect();
    for pointer in &named {
        if let Some(list) = body.pointer_mut(pointer) {
            lists.push((*pointer, list.take()));
            remove(&mut body, pointer);
        }
    }
    if lists.is_empty() && named.len() < read.items.len() {
        lists.push((&read.step, body.take()));
    }
    if lists.is_empty() {
        return Err(format!("{}: nothing is at {}", request.line(), read.items.join(", ")));
    }
    let mut entries = Vec::new();
    for (pointer, list) in lists {
        let items = match list {
            Value::Array(items) => items,
            one => vec![one],
        };
        for item in items {
            let mut entry = entry(item);
            if named.len() > 1 {
                entry["list"] = json!(pointer);
            }
            if !body.is_null() && body != json!({}) {
                entry["around"] = body.clone();
            }
            entries.push(entry);
        }
    }
    Ok(entries)
}

fn remove(body: &mut Value, pointer: &str) {
    let Some((parent, name)) = pointer.rsplit_once('/') else { return };
    if let Some(Value::Object(parent)) = body.pointer_mut(parent) {
        parent.remove(name);
    }
}

/// Puts a word in place of times of the run.
fn without_now(value: &mut Value, now: i64) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| without_now(value, now)),
        Value::Object(members) => members.values_mut().for_each(|value| without_now(value, now)),
        Value::String(text) => {
            let time = text.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_second);
            if time.is_ok_and(|time| (time - now).abs() < NEAR) {
                NOW.clone_into(text);
            }
        }
        Value::Number(number) => {
            let near = |time: i64| (time - now).abs() < NEAR;
            if number.as_i64().is_some_and(|time| near(time) || near(time / 1000)) {
                *value = json!(NOW);
            }
        }
        _ => {}
    }
}
