//! A request as it came, and what is in its body.

use std::io::Read as _;

use anyhow::{Context as _, bail, ensure};
use axum::http::{HeaderMap, Method};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use url::Url;

/// The largest body that is unpacked: more than any vendor takes.
const LARGEST: u64 = 256 << 20;

/// A request that came for a vendor's host.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    /// Without its query and a slash at the end.
    pub(super) url: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    /// Unpacked.
    pub(super) body: Bytes,
}

impl Request {
    /// Unpacks what came for `host`.
    pub(super) fn new(
        host: &str,
        method: Method,
        target: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> anyhow::Result<Self> {
        let mut url = Url::parse(&format!("https://{host}{target}")).context("the target is no URL")?;
        let query = url.query_pairs().into_owned().collect();
        url.set_query(None);
        let body = match headers.get("content-encoding").map(|value| value.as_bytes()) {
            None => body,
            Some(b"gzip") => {
                let mut plain = Vec::new();
                let unpacked = flate2::read::GzDecoder::new(body.as_ref()).take(LARGEST).read_to_end(&mut plain);
                unpacked.context("the body is no gzip")?;
                plain.into()
            }
            Some(_) => bail!("the body is packed by something else than gzip"),
        };
        Ok(Self { method, url: url.as_str().trim_end_matches('/').to_owned(), query, headers, body })
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The query as an object of texts.
    pub(super) fn query(&self) -> Value {
        self.query.iter().map(|(name, value)| (name.clone(), json!(value))).collect::<Map<_, _>>().into()
    }

    fn text(&self) -> anyhow::Result<&str> {
        std::str::from_utf8(&self.body).context("the body is no UTF-8")
    }

    /// The values of a form.
    pub(super) fn form(&self) -> anyhow::Result<Vec<(String, String)>> {
        self.text()?;
        Ok(url::form_urlencoded::parse(&self.body).into_owned().collect())
    }
}

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Encoding {
    Json,
    Ndjson,
    Form,
    Csv,
    None,
}

impl Encoding {
    /// What a body says: of lines and rows their list, of a form the object of its values with the JSON inside of them read.
    pub(super) fn read(self, request: &Request) -> anyhow::Result<Value> {
        Ok(match self {
            Self::None => {
                ensure!(request.body.is_empty(), "a body where none is taken");
                json!({})
            }
            Self::Json => serde_json::from_slice(&request.body).context("the body is no JSON")?,
            Self::Ndjson => {
                let lines = request.text()?.lines();
                let line = |line| serde_json::from_str::<Value>(line).context("a line of the body is no JSON");
                lines.map(line).collect::<anyhow::Result<Vec<_>>>()?.into()
            }
            Self::Form => {
                let value = |text: String| match text.as_bytes().first() {
                    Some(b'{' | b'[') => serde_json::from_str(&text).unwrap_or(Value::String(text)),
                    _ => Value::String(text),
                };
                let mut members = Map::new();
                for (name, text) in request.form()? {
                    ensure!(members.insert(name.clone(), value(text)).is_none(), "the form has {name} twice");
                }
                members.into()
            }
            Self::Csv => rows(&request.body)?,
        })
    }

    /// Whether the schema is of each entry of the body's list instead of the whole.
    pub(super) const fn of_entries(self) -> bool {
        matches!(self, Self::Ndjson | Self::Csv)
    }
}

/// The rows of a table as objects of texts.
fn rows(body: &[u8]) -> anyhow::Result<Value> {
    let mut reader = csv::Reader::from_reader(body);
    let names = reader.headers().context("the body is no CSV")?.clone();
    let row = |row: csv::Result<csv::StringRecord>| {
        let row = row.context("a row of the body is no CSV")?;
        let members = names.iter().zip(row.iter()).map(|(name, text)| (name.to_owned(), json!(text)));
        anyhow::Ok(Value::Object(members.collect()))
    };
    Ok(reader.records().map(row).collect::<anyhow::Result<Vec<_>>>()?.into())
}
