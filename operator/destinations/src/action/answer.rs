//! An answer as rules see it, and what they make of it.

use std::collections::BTreeMap;
use std::time::Duration;

use backflow_definitions::{Class as Named, ErrorRule, Scope, Template, Variable, Words as Said};
use backflow_expressions::Json;

use crate::clock;
use crate::delivery::{Class, Words, by_status};
use crate::http::RawAnswer;
use crate::pace::{Hint, HintHeaders, seconds};
use crate::results::Fault;

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) hint: Hint,
    /// The body is a web page.
    html: bool,
    /// The body is a document, or there is none.
    readable: bool,
    said: [Json; 3],
    pub(crate) raw: RawAnswer,
}

impl Answer {
    /// `parsed`: rules read the body.
    pub(crate) fn new(raw: RawAnswer, hints: &HintHeaders, parsed: bool) -> Self {
        let hint = Hint::read(&raw.headers, hints, clock::now());
        let text = || String::from_utf8_lossy(&raw.body).into_owned();
        let (body, readable) = match parsed {
            _ if raw.body.trim_ascii().is_empty() => (Json::Null, !raw.cut),
            false => (Json::Null, true),
            true if raw.cut => (Json::Null, false),
            true => match std::str::from_utf8(&raw.body).ok().and_then(|text| Json::parse_answer(text).ok()) {
                Some(document) => (document, true),
                None => (Json::Text(text()), false),
            },
        };
        let headers = raw.headers.iter().filter_map(|(name, value)| {
            let value = value.to_str().ok()?;
            Some((name.as_str().to_owned(), Json::Text(value.to_owned())))
        });
        let headers = if parsed { headers.collect() } else { BTreeMap::new() };
        let said = [Json::Int(i64::from(raw.status)), Json::Object(headers), body];
        Self { status: raw.status, hint, html: raw.is_html(), readable, said, raw }
    }

    /// The scope with the answer in it.
    pub(crate) fn scope<'a>(&'a self, scope: Scope<'a>) -> Scope<'a> {
        let [status, headers, body] = &self.said;
        scope.with(Variable::Status, status).with(Variable::Headers, headers).with(Variable::Body, body)
    }

    /// The same with another body: a job's results, decoded.
    pub(crate) fn with_body(mut self, body: Json) -> Self {
        self.said[2] = body;
        self.readable = true;
        self
    }

    /// The body as rules see it.
    pub(crate) fn body(&self) -> &Json {
        &self.said[2]
    }

    /// Whether the body is a document, or there is none.
    pub(crate) fn readable(&self) -> bool {
        self.readable
    }
}

/// What an answer means, how long it asks to wait, and what it names as the cause.
pub(crate) struct Meaning {
    pub(crate) class: Class,
    pub(crate) wait: Option<Duration>,
    pub(crate) fault: Fault,
}

/// Judges answers by rules, and by their status where no rule matches.
pub(crate) struct Judge<'a> {
    /// The operation's, the action's and the definition's, in this order.
    pub(crate) rules: &'a [&'static [ErrorRule]],
    pub(crate) retry_after_body: Option<&'static Template>,
    pub(crate) words: Words<'a>,
    /// The request deletes.
    pub(crate) deletion: bool,
}

impl Judge<'_> {
    pub(crate) fn meaning(&self, answer: &Answer, scope: Scope<'_>) -> Meaning {
        let scope = answer.scope(scope);
        let rule = self.rules.iter().flat_map(|rules| rules.iter()).find(|rule| rule.when.holds(&scope));
        let hinted = answer.hint.throttled();
        let status = answer.status;
        let class = match rule.map(|rule| rule.class) {
            None => by_status(status, hinted.is_some(), answer.html, self.deletion, self.words),
            Some(Named::Ok) => Class::Taken,
            Some(Named::Reject) => Class::Rejected,
            Some(Named::Retry) => Class::Transient,
            Some(Named::Throttle) => Class::Throttled,
            Some(Named::Auth) => Class::Unauthorized(self.words.unauthorized()),
            Some(Named::Config) => Class::Stop(self.misconfigured(status)),
            Some(Named::SplitBatch) => Class::TooLarge,
            Some(Named::Ignore) => Class::Ignored,
        };
        let body_wait = || {
            let value = self.retry_after_body?.value(&scope).ok()??;
            seconds(&value.text()?)
        };
        let wait = match class {
            Class::Throttled | Class::Transient => rule.and_then(|rule| rule.wait).or_else(body_wait).or(hinted),
            _ => None,
        };
        let fault = rule.map(|rule| fault(&rule.words, &scope)).unwrap_or_default();
        Meaning { class, wait, fault }
    }

    fn misconfigured(&self, status: u16) -> backflow_core::code::Failure {
        let by_default = by_status(status, false, false, false, self.words);
        match by_default {
            // What the status says is what it means: in the words that go with it.
            Class::Stop(failure) => failure,
            _ => self.words.misconfigured(
                status,
                "its definition takes this for a wrong configuration, such as an object, a list or a permission that is not there; check spec.config of the Mapping and the account",
            ),
        }
    }
}

/// What a rule names as the cause.
pub(crate) fn fault(said: &Said, scope: &Scope<'_>) -> Fault {
    let text = |template: &Option<Template>| template.as_ref().and_then(|template| template.text(scope).ok().flatten());
    Fault::read(text(&said.code).as_deref(), text(&said.field).as_deref())
}
