//! One endpoint of a vendor: what it takes, and the forms of its answers.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use percent_encoding::percent_decode_str;
use regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::request::{Encoding, Request};
use super::schema::Schema;
use super::tree::{Entry, Scope, Tree};

/// How an endpoint is written in `api.yaml`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    /// For people.
    #[serde(rename = "source")]
    _source: String,
    method: String,
    path: Option<String>,
    url: Option<String>,
    #[serde(default)]
    query: Query,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    encoding: Encoding,
    schema: Option<String>,
    items: Option<Value>,
    max_items: Option<usize>,
    max_bytes: Option<usize>,
    key: Option<Value>,
    operation: Value,
    #[serde(default)]
    answers: BTreeMap<String, Value>,
}

/// The parameters that a query may have.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    #[serde(default)]
    pub(super) required: Vec<String>,
    #[serde(default)]
    pub(super) optional: Vec<String>,
    #[serde(default)]
    pub(super) fixed: BTreeMap<String, String>,
}

/// Where the records of a request are.
#[derive(Debug)]
enum Place {
    Body,
    Lists(Vec<String>),
    Parameter(String),
    Computed(Tree),
}

/// One endpoint.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) name: String,
    pub(super) method: Method,
    pattern: Regex,
    variables: Vec<String>,
    pub(super) query: Query,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) encoding: Encoding,
    pub(super) schema: Option<Schema>,
    pub(super) max_items: Option<usize>,
    pub(super) max_bytes: Option<usize>,
    place: Option<Place>,
    key: Option<Tree>,
    operation: Tree,
    answers: BTreeMap<String, Answer>,
}

/// The form of an answer.
#[derive(Debug)]
pub(super) struct Answer {
    status: Tree,
    headers: Vec<(HeaderName, Tree)>,
    body: Option<Tree>,
    /// Of a partial failure: whether the records that it does not name are taken.
    pub(super) takes_the_others: bool,
}

/// An answer as it goes out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Endpoint {
    /// Reads one. `base`: the URL that its path is below; `fixtures`: the folder that its schema is in; `shared`: answers of the file.
    pub(super) fn read(
        name: &str,
        written: Value,
        base: &str,
        fixtures: &Path,
        shared: &BTreeMap<String, Value>,
    ) -> anyhow::Result<Self> {
        let written: Written = serde_json::from_value(written)?;
        let url = match (&written.path, &written.url) {
            (Some(path), None) => format!("{}{path}", base.trim_end_matches('/')),
            (None, Some(url)) => url.clone(),
            _ => bail!("it needs one of path and url"),
        };
        let (pattern, variables) = pattern(&url)?;
        let schema = written.schema.as_ref().map(|file| Schema::read(&fixtures.join(file))).transpose()?;
        let answers = shared.iter().chain(&written.answers);
        let success = written.answers.contains_key("success") || shared.contains_key("success");
        ensure!(success, "it has no answer success");
        let answer = |(name, answer): (&String, &Value)| {
            Ok((name.clone(), Answer::read(answer).with_context(|| format!("answer {name}"))?))
        };
        Ok(Self {
            name: name.to_owned(),
            method: written.method.parse()?,
            pattern,
            variables,
            query: written.query,
            headers: written.headers,
            encoding: written.encoding,
            schema,
            max_items: written.max_items,
            max_bytes: written.max_bytes,
            place: written.items.as_ref().map(Place::read).transpose()?,
            key: written.key.as_ref().map(Tree::read).transpose()?,
            operation: Tree::read(&written.operation)?,
            answers: answers.map(answer).collect::<anyhow::Result<_>>()?,
        })
    }

    /// The variables of its path, if the URL is its own; fewer are a closer fit.
    pub(super) fn matches(&self, request: &Request) -> Option<Map<String, Value>> {
        let captures = self.pattern.captures(&request.url)?;
        let values = captures.iter().skip(1).flatten();
        let decoded = |text: &str| json!(percent_decode_str(text).decode_utf8_lossy());
        Some(self.variables.iter().cloned().zip(values.map(|value| decoded(value.as_str()))).collect())
    }

    /// The records of a request, without what the ledger adds.
    pub(super) fn entries(&self, body: &Value, path: &Value, query: &Value) -> anyhow::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let mut add = |list: &str, values: &[Value]| {
            for (place, value) in values.iter().enumerate() {
                let index = entries.len();
                entries.push(Entry { value: value.clone(), index, list: list.to_owned(), place, ..Entry::default() });
            }
        };
        match &self.place {
            None => add("", std::slice::from_ref(body)),
            Some(Place::Body) => add("", body.as_array().context("the body is no list")?),
            Some(Place::Lists(pointers)) => {
                for pointer in pointers {
                    let list = body.pointer(pointer).and_then(Value::as_array);
                    let last = pointer.rsplit('/').next().unwrap_or_default();
                    match list {
                        Some(list) => add(last, list),
                        None if pointers.len() > 1 => {}
                        None => bail!("the body has no list at {pointer}"),
                    }
                }
            }
            Some(Place::Parameter(name)) => {
                let all = query[name].as_str().with_context(|| format!("the query has no {name}"))?;
                add(name, &all.split(',').map(|value| json!(value)).collect::<Vec<_>>());
            }
            Some(Place::Computed(tree)) => {
                let scope = Scope { body, path, query, now: 0, entries: &[], held: &[] };
                let list = tree.value(&scope, None)?;
                add("", list.as_array().context("the request has no list of records")?);
            }
        }
        Ok(entries)
    }

    /// What the ledger knows a record by; what it does with it.
    pub(super) fn booked(&self, scope: &Scope<'_>, entry: &Entry) -> anyhow::Result<(Option<String>, String)> {
        let key = self.key.as_ref().map(|key| key.value(scope, Some(entry))).transpose()?;
        let operation = super::tree::text(&self.operation.value(scope, Some(entry))?);
        if !["insert", "update", "upsert", "delete", "read", "none"].contains(&operation.as_str()) {
            bail!("{operation} is no operation");
        }
        Ok((key.as_ref().map(super::tree::text), operation))
    }

    /// The answer of this name.
    pub(super) fn answer(&self, name: &str) -> Option<&Answer> {
        self.answers.get(name)
    }
}

impl Place {
    fn read(items: &Value) -> anyhow::Result<Self> {
        Ok(match items {
            Value::String(body) if body.is_empty() => Self::Body,
            Value::String(text) if text.starts_with('/') => Self::Lists(vec![text.clone()]),
            Value::String(text) if text.starts_with("${") => Self::Computed(Tree::read(items)?),
            Value::String(text) => match text.strip_prefix("query:") {
                Some(name) => Self::Parameter(name.to_owned()),
                None => bail!("items {text:?} is no place"),
            },
            Value::Array(pointers) => {
                let pointer = |pointer: &Value| pointer.as_str().map(str::to_owned).context("a pointer is a text");
                Self::Lists(pointers.iter().map(pointer).collect::<Result<_, _>>()?)
            }
            other => bail!("items {other} is no place"),
        })
    }
}

impl Answer {
    fn read(answer: &Value) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Form {
            status: Value,
            #[serde(default)]
            headers: BTreeMap<String, Value>,
            body: Option<Value>,
            takes: Option<Takes>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Takes {
            Others,
            Nothing,
        }
        let form: Form = serde_json::from_value(answer.clone())?;
        let header = |(name, value): (&String, &Value)| Ok((name.parse()?, Tree::read(value)?));
        Ok(Self {
            status: Tree::read(&form.status)?,
            headers: form.headers.iter().map(header).collect::<anyhow::Result<_>>()?,
            body: form.body.as_ref().map(Tree::read).transpose()?,
            takes_the_others: !matches!(form.takes, Some(Takes::Nothing)),
        })
    }

    /// The answer to a request.
    pub(super) fn give(&self, scope: &Scope<'_>) -> anyhow::Result<Given> {
        // What an answer says without a list is about the request; of one record, about that record.
        let only = scope.entries.first().filter(|_| scope.entries.len() == 1);
        let body = self.body.as_ref().map(|body| body.value(scope, only)).transpose()?;
        let mut headers = HeaderMap::new();
        let kind = match &body {
            None | Some(Value::Null) => None,
            Some(Value::String(_)) => Some("text/plain; charset=utf-8"),
            Some(_) => Some("application/json"),
        };
        if let Some(kind) = kind {
            headers.insert("content-type", HeaderValue::from_static(kind));
        }
        for (name, value) in &self.headers {
            let value = super::tree::text(&value.value(scope, only)?);
            headers.insert(name.clone(), HeaderValue::from_str(&value)?);
        }
        let body = body.filter(|body| !body.is_null()).map(|body| super::tree::text(&body)).unwrap_or_default();
        let status = self.status.value(scope, only)?;
        let status = StatusCode::from_u16(u16::try_from(status.as_u64().context("a status is a number")?)?)?;
        Ok(Given { status, headers, body })
    }
}

/// A URL with variables as an expression, and the names of the variables.
fn pattern(url: &str) -> anyhow::Result<(Regex, Vec<String>)> {
    let (mut expression, mut variables, mut rest) = (String::from("^"), Vec::new(), url.trim_end_matches('/'));
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').with_context(|| format!("{url} has no closing bracket"))?;
        expression.push_str(&regex::escape(before));
        expression.push_str("([^/]+)");
        variables.push(name.to_owned());
        rest = after;
    }
    expression.push_str(&regex::escape(rest));
    expression.push('$');
    Ok((Regex::new(&expression)?, variables))
}
