//! A definition's request, prepared for one run, and rendered for some records.

use backflow_core::code::{Code, Failure};
use backflow_definitions::{Bound, Encoding, EvalError, Request as Defined, Scope, Template, Tree, Variable};
use backflow_expressions::Json;
use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use sha2::{Digest as _, Sha256};

use super::rates::Rates;
use crate::encode::{Dialect, Items, form, hex, lines, multipart, write_csv};
use crate::http::Outgoing;

/// Why a request cannot be made of what there is. It holds no value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unrendered(pub(crate) String);

impl From<EvalError> for Unrendered {
    fn from(error: EvalError) -> Self {
        Self(error.to_string())
    }
}

/// A page of a list that is not its first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    /// The same URL with these parameters.
    Query(Vec<(String, String)>),
    /// This URL.
    Url(Url),
}

/// A request.
pub(crate) struct Request {
    pub(crate) defined: &'static Defined,
    /// What each record is.
    pub(crate) item: Option<Bound>,
    body: Option<Bound>,
    /// Its templates name the items.
    names_items: bool,
    /// The rates that it counts for.
    spend: Vec<(usize, Option<&'static Template>)>,
}

/// The records of a request, already items.
#[derive(Clone, Copy)]
pub(crate) struct Sending<'a> {
    pub(crate) items: &'a Items,
    pub(crate) part: &'a [u32],
}

impl Request {
    /// Prepares a request. `own`: the rates of its action and operation, by their places at the gate.
    ///
    /// # Errors
    /// What settings and config do not give.
    pub(crate) fn bind(
        defined: &'static Defined,
        constants: &Scope<'_>,
        rates: &Rates,
        own: &[usize],
    ) -> Result<Self, Failure> {
        let invalid = |error: EvalError| {
            Failure::new(Code::PlanInvalid, format!("a request of the definition cannot be made: {error}"))
        };
        let bind = |tree: &Option<Tree>| tree.as_ref().map(|tree| tree.bind(constants)).transpose().map_err(invalid);
        let templates = [&defined.method, &defined.path].into_iter();
        let pairs = defined.query.iter().chain(&defined.headers).map(|(_, template)| template);
        let names_items = templates.chain(pairs).any(|template| template.names(Variable::Items))
            || defined.body.as_ref().is_some_and(|body| body.names(Variable::Items));
        let method = defined.method.text(constants).ok().flatten();
        Ok(Self {
            item: bind(&defined.item)?,
            body: bind(&defined.body)?,
            names_items,
            spend: rates.of(method.as_deref(), defined.path.source(), own),
            defined,
        })
    }

    /// What a request takes of the rates.
    pub(crate) fn spend(&self, scope: &Scope<'_>) -> Vec<(usize, u64)> {
        let weight = |template: &Template| {
            let value = template.value(scope).ok().flatten();
            value.and_then(|value| value.text()?.parse::<f64>().ok()).map_or(1, |weight| weight.ceil().max(0.0) as u64)
        };
        self.spend.iter().map(|(at, template)| (*at, template.map_or(1, weight))).collect()
    }

    /// The items as values, if any template names them.
    pub(crate) fn values(&self, sending: Option<Sending<'_>>, wanted: bool) -> Result<Option<Json>, Unrendered> {
        let needed = self.item.is_some() && (wanted || self.names_items);
        let Some(Sending { items, part }) = sending.filter(|_| needed) else { return Ok(None) };
        let values = part.iter().map(|at| Json::parse(items.get(*at)));
        let values = values.collect::<Result<Vec<_>, _>>().map_err(|error| Unrendered(error.to_string()))?;
        Ok(Some(Json::List(values)))
    }

    /// Renders it. `base` is the URL that its path goes behind; `shared` are the headers of every request.
    pub(crate) fn render(
        &self,
        base: &Url,
        shared: &HeaderMap,
        scope: &Scope<'_>,
        sending: Option<Sending<'_>>,
    ) -> Result<Outgoing, Unrendered> {
        let method = self.defined.method.text(scope)?.unwrap_or_default();
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| Unrendered("its method is none".to_owned()))?;
        let mut url = self.url(base, scope)?;
        self.query(&mut url, scope)?;
        let mut headers = shared.clone();
        for (name, template) in &self.defined.headers {
            if let Some(text) = template.text(scope)? {
                let (name, value) = header(name, &text)?;
                headers.insert(name, value);
            }
        }
        let mut body = self.body(scope, sending)?;
        if let Some(body) = &mut body {
            let mut content_type =
                self.defined.content_type.as_deref().unwrap_or(self.defined.encoding.content_type()).to_owned();
            if self.defined.encoding == Encoding::Multipart {
                // Made of the body, so that a request that is tried again is the same.
                let boundary = hex(&Sha256::digest(&*body)[..16]);
                let parts = serde_json::from_slice(body).ok().and_then(|parts| multipart(&parts, &boundary));
                *body = parts.ok_or_else(|| Unrendered("its parts are no object".to_owned()))?.into();
                content_type = format!("{content_type}; boundary={boundary}");
            }
            let value =
                HeaderValue::from_str(&content_type).map_err(|_| Unrendered("its contentType is none".to_owned()))?;
            headers.insert(CONTENT_TYPE, value);
        }
        Ok(Outgoing { method, url, headers, body: body.unwrap_or_default() })
    }

    fn url(&self, base: &Url, scope: &Scope<'_>) -> Result<Url, Unrendered> {
        let path = &self.defined.path;
        // A whole URL may come from who runs the destination or configures it, never from a record.
        if ![Variable::F, Variable::Rec, Variable::Items].into_iter().any(|name| path.names(name))
            && path.constant().is_none()
            && let Some(Json::Text(text)) = path.value(scope)?
            && text.starts_with("http")
            && let Ok(url) = Url::parse(&text)
        {
            return Ok(url);
        }
        let path = path.path(scope)?;
        if path.is_empty() {
            return Ok(base.clone());
        }
        let mut url = base.clone();
        let slash = if path.starts_with('/') { "" } else { "/" };
        url.set_path(&format!("{}{slash}{path}", base.path().trim_end_matches('/')));
        Ok(url)
    }

    fn query(&self, url: &mut Url, scope: &Scope<'_>) -> Result<(), Unrendered> {
        if self.defined.query.is_empty() {
            return Ok(());
        }
        let mut pairs = Vec::new();
        for (name, template) in &self.defined.query {
            let values = match template.value(scope)? {
                None | Some(Json::Null) => continue,
                Some(Json::List(values)) => values,
                Some(value) => vec![value],
            };
            for value in values {
                let text = value.text().ok_or_else(|| Unrendered(format!("the query parameter {name} is no text")))?;
                pairs.push((name, text.into_owned()));
            }
        }
        if !pairs.is_empty() {
            url.query_pairs_mut().extend_pairs(pairs);
        }
        Ok(())
    }

    fn body(&self, scope: &Scope<'_>, sending: Option<Sending<'_>>) -> Result<Option<Bytes>, Unrendered> {
        let encoding = self.defined.encoding;
        if let (Encoding::Ndjson | Encoding::Csv, Some(Sending { items, part }), None) = (encoding, sending, &self.body)
        {
            let body = match encoding {
                Encoding::Csv => {
                    write_csv(items, part, &self.dialect(scope)?).map_err(|error| Unrendered(error.to_string()))?
                }
                _ => lines(items, part),
            };
            return Ok(Some(body.into()));
        }
        let Some(body) = &self.body else { return Ok(None) };
        let envelope = body.envelope(scope)?;
        let mut text = envelope.head;
        if self.defined.body.as_ref().is_some_and(Tree::holds_items) {
            let Some(Sending { items, part }) = sending else {
                return Err(Unrendered("its body holds $items where there are none".to_owned()));
            };
            if encoding == Encoding::Form {
                let mut array = String::new();
                items.write_array(part, &mut array);
                backflow_core::cell::write_string(&array, &mut text);
            } else {
                items.write_array(part, &mut text);
            }
        }
        text.push_str(&envelope.tail);
        match encoding {
            Encoding::Json | Encoding::Ndjson | Encoding::Csv | Encoding::Multipart => {
                Ok(Some(text.into_bytes().into()))
            }
            Encoding::Form => {
                let pairs = serde_json::from_str(&text).ok().and_then(|body| form(&body));
                Ok(Some(pairs.ok_or_else(|| Unrendered("its form is no object".to_owned()))?.into()))
            }
            Encoding::Text => {
                let value = Json::parse(&text).ok();
                let text = value.as_ref().and_then(Json::text).map(std::borrow::Cow::into_owned);
                Ok(Some(text.ok_or_else(|| Unrendered("its body is no text".to_owned()))?.into_bytes().into()))
            }
        }
    }

    fn dialect(&self, scope: &Scope<'_>) -> Result<Dialect, Unrendered> {
        let csv = &self.defined.csv;
        let columns = csv.columns.iter().map(|column| Ok(column.text(scope)?.unwrap_or_default()));
        let columns = columns.collect::<Result<_, EvalError>>()?;
        Ok(Dialect { null: csv.null.clone(), delimiter: csv.delimiter, columns })
    }
}

/// A header; line breaks in it are refused.
pub(crate) fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), Unrendered> {
    let wrong =
        || Unrendered(format!("the header {name} holds a line break or another character that no header may have"));
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
    Ok((name, HeaderValue::from_str(value).map_err(|_| wrong())?))
}
