//! One exchange with a destination: authenticated, at its turn, judged.

use std::collections::BTreeMap;
use std::time::Duration;

use backflow_core::code::{Code, Failure};
use backflow_core::record::Outcome;
use backflow_core::traffic::Answered;
use backflow_definitions::{ErrorRule, EvalError, Http, Scope, Template, Variable};
use backflow_expressions::Json;
use reqwest::Url;
use reqwest::header::{CONTENT_ENCODING, HeaderMap, HeaderValue, USER_AGENT};
use tokio::time::Instant;

use super::answer::{Answer, Judge};
use super::batch::definition_error;
use super::request::{Page, Request, Sending, Unrendered, header};
use crate::auth::{Auth, Token, TokenError};
use crate::clock;
use crate::delivery::{Class, Line, Reply, Words};
use crate::encode::gzip;
use crate::http::{Client, Outgoing, Reading, shown};
use crate::pace::HintHeaders;
use crate::results::{Fault, Verdict};

/// What every exchange of a run shares.
pub(crate) struct Connection {
    pub(crate) http: &'static Http,
    pub(crate) client: Client,
    pub(crate) auth: Auth,
    /// The URL that paths go behind, if it is known before a token is.
    pub(crate) base: Option<Url>,
    pub(crate) settings: Json,
    pub(crate) cfg: Json,
    pub(crate) hints: HintHeaders,
    /// What messages call the destination.
    pub(crate) shown: String,
    pub(crate) user_url: bool,
}

/// A request to be made.
pub(crate) struct Ask<'a> {
    pub(crate) request: &'a Request,
    /// Everything that its templates see but `auth`.
    pub(crate) scope: Scope<'a>,
    pub(crate) sending: Option<Sending<'a>>,
    pub(crate) reading: Reading,
    pub(crate) rules: &'a [&'static [ErrorRule]],
    pub(crate) deletion: bool,
    /// Not to be made twice if the answer is lost.
    pub(crate) once: bool,
}

/// What came of it.
pub(crate) enum Exchanged {
    /// Taken; the answer says what became of each record.
    Taken(Box<Answer>),
    /// All is already as it should be.
    Ignored,
    /// It could not be made, and why.
    Unmade(String),
    /// Anything else: what it means for the records.
    Else(Reply),
}

impl From<Unrendered> for Exchanged {
    fn from(Unrendered(why): Unrendered) -> Self {
        Self::Unmade(why)
    }
}

impl From<EvalError> for Exchanged {
    fn from(error: EvalError) -> Self {
        Unrendered::from(error).into()
    }
}

impl Exchanged {
    /// What an exchange without an answer for each record means for all of `records`. What cannot be said of one record alone is that
    /// record's fault.
    pub(crate) fn reply(self, records: usize) -> Reply {
        let all = |verdict: Verdict| Reply::Verdicts { verdicts: vec![verdict; records], ambiguous: false, stop: None };
        match self {
            Self::Taken(_) | Self::Ignored => all(Verdict::Delivered { remote_id: None }),
            Self::Unmade(why) if records == 1 => all(Verdict::Settled(Outcome::Rejected(definition_error(&why)))),
            Self::Unmade(why) => {
                let message = format!(
                    "a request of the definition cannot be made: {why}; check the Destination's settings and spec.config of the Mapping"
                );
                Reply::Stop(Failure::new(Code::DestinationMisconfigured, message))
            }
            Self::Else(reply) => reply,
        }
    }
}

impl Connection {
    /// What templates see before there is a request.
    pub(crate) fn scope(&self) -> Scope<'_> {
        Scope::new().with(Variable::Settings, &self.settings).with(Variable::Cfg, &self.cfg)
    }

    fn words(&self) -> Words<'_> {
        Words { shown: &self.shown, user_url: self.user_url }
    }

    /// Makes a request.
    pub(crate) async fn exchange(&self, ask: Ask<'_>, line: &Line<'_>) -> Exchanged {
        self.exchange_page(&ask, None, line).await
    }

    /// Makes a request, with another token if the first is refused.
    pub(crate) async fn exchange_page(&self, ask: &Ask<'_>, page: Option<&Page>, line: &Line<'_>) -> Exchanged {
        let mut replaced = false;
        loop {
            let token = match self.auth.token(&self.client).await {
                Ok(token) => token,
                Err(error) => return Exchanged::Else(self.no_token(error)),
            };
            let outgoing = match self.outgoing(ask, page, token.as_deref()) {
                Ok(outgoing) => outgoing,
                Err(exchanged) => return exchanged,
            };
            let permit = match line.enter(&ask.request.spend(&ask.scope), outgoing.body.len()).await {
                Ok(permit) => permit,
                Err(failure) => return Exchanged::Else(Reply::Stop(failure)),
            };
            let began = Instant::now();
            let sent = self.client.send(outgoing, ask.reading).await;
            let took = began.elapsed();
            let raw = match sent {
                Ok(raw) => raw,
                Err(trouble) if trouble.fatal => return Exchanged::Else(Reply::Stop(trouble.failure)),
                Err(trouble) => {
                    permit.failed();
                    line.tally.answered(Answered::Failed, took);
                    return Exchanged::Else(match ask.once && trouble.perhaps_arrived {
                        true => Reply::Unknown,
                        false => Reply::Again { why: trouble.failure, wait: None, throttled: false },
                    });
                }
            };
            let answer = Answer::new(raw, &self.hints, ask.reading != Reading::Sniff);
            let judge = Judge {
                rules: ask.rules,
                retry_after_body: self.http.limits.retry_after_body.as_ref(),
                words: self.words(),
                deletion: ask.deletion,
            };
            let meaning = judge.meaning(&answer, ask.scope);
            line.tally.answered(answered(&meaning.class), took);
            match meaning.class {
                Class::Unauthorized(failure) => match &token {
                    Some(token) if !replaced && self.auth.refused(token).await => replaced = true,
                    _ => return Exchanged::Else(Reply::Stop(failure)),
                },
                Class::Taken | Class::Ignored => {
                    permit.succeeded();
                    line.heed(&answer.hint);
                    if let Some(token) = &token {
                        token.accepted();
                    }
                    return match meaning.class {
                        Class::Taken => Exchanged::Taken(Box::new(answer)),
                        _ => Exchanged::Ignored,
                    };
                }
                class => {
                    if class == Class::Transient {
                        permit.failed();
                    }
                    return Exchanged::Else(self.reply(class, &answer, meaning.wait, meaning.fault, ask.once));
                }
            }
        }
    }

    fn reply(&self, class: Class, answer: &Answer, wait: Option<Duration>, fault: Fault, once: bool) -> Reply {
        let again = |throttled| {
            let message = format!("{} answers {}", self.shown, answer.status);
            Reply::Again { why: Failure::new(Code::RetriesExhausted, message), wait, throttled }
        };
        match class {
            Class::Rejected => Reply::Refused { status: answer.status, fault },
            Class::TooLarge => Reply::TooLarge,
            Class::Throttled => again(true),
            // A gateway lost the answer of what is behind it, which may have done the work.
            Class::Transient if once && matches!(answer.status, 502 | 504) => Reply::Unknown,
            Class::Transient => again(false),
            Class::Unauthorized(failure) | Class::Stop(failure) => Reply::Stop(failure),
            Class::Taken | Class::Ignored => Reply::Verdicts { verdicts: Vec::new(), ambiguous: false, stop: None },
        }
    }

    /// What it means for the records that there is no token.
    pub(crate) fn no_token(&self, error: TokenError) -> Reply {
        match error {
            TokenError::Trouble(trouble) if trouble.fatal => Reply::Stop(trouble.failure),
            TokenError::Trouble(trouble) => Reply::Again { why: trouble.failure, wait: None, throttled: false },
            TokenError::Later(status, wait) => {
                let message = format!("{} answers {status} to the request for a token", self.shown);
                Reply::Again { why: Failure::new(Code::RetriesExhausted, message), wait, throttled: false }
            }
            TokenError::Stop(failure) => Reply::Stop(failure),
        }
    }

    /// The request with everything on it.
    fn outgoing(&self, ask: &Ask<'_>, page: Option<&Page>, token: Option<&Token>) -> Result<Outgoing, Exchanged> {
        let none = Json::Object(BTreeMap::new());
        let scope = ask.scope.with(Variable::Auth, token.map_or(&none, |token| &token.captured));
        let base = match &self.base {
            Some(base) => base.clone(),
            None => base(&self.http.base_url, &scope)?,
        };
        let shared = self.headers(&scope)?;
        let mut outgoing = ask.request.render(&base, &shared, &scope, ask.sending)?;
        match page {
            Some(Page::Query(pairs)) => _ = outgoing.url.query_pairs_mut().extend_pairs(pairs),
            Some(Page::Url(url)) => outgoing.url = url.clone(),
            None => {}
        }
        let stop = |failure| Exchanged::Else(Reply::Stop(failure));
        // Before a token goes there, even if only into a signature.
        self.client.admit(&outgoing.url).map_err(stop)?;
        self.auth.apply(&mut outgoing, token, clock::now()).map_err(stop)?;
        if self.http.gzip && !outgoing.body.is_empty() {
            outgoing.body = gzip(&outgoing.body).into();
            outgoing.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Ok(outgoing)
    }

    /// The headers of every request.
    fn headers(&self, scope: &Scope<'_>) -> Result<HeaderMap, Exchanged> {
        let mut headers = HeaderMap::new();
        if let Some(agent) = &self.http.user_agent {
            headers.insert(USER_AGENT, header("user-agent", agent)?.1);
        }
        for (name, template) in &self.http.headers {
            if let Some(text) = template.text(scope)? {
                let (name, value) = header(name, &text)?;
                headers.insert(name, value);
            }
        }
        if let Some(template) = &self.http.headers_from
            && let Some(Json::Object(members)) = template.value(scope)?
        {
            for (name, value) in members {
                let (name, value) = header(&name, &value.text().unwrap_or_default())?;
                headers.insert(name, value);
            }
        }
        Ok(headers)
    }
}

/// How an answer counts.
fn answered(class: &Class) -> Answered {
    match class {
        Class::Taken | Class::Ignored => Answered::Taken,
        Class::Rejected | Class::TooLarge => Answered::Rejected,
        Class::Throttled => Answered::Throttled,
        Class::Transient => Answered::Failed,
        Class::Unauthorized(_) | Class::Stop(_) => Answered::Refused,
    }
}

/// The URL that a definition's paths go behind.
pub(crate) fn base(template: &Template, scope: &Scope<'_>) -> Result<Url, Unrendered> {
    let text = template.text(scope)?.ok_or_else(|| Unrendered("the base URL is none".to_owned()))?;
    // The text is not repeated: it may hold a credential.
    Url::parse(&text).map_err(|_| Unrendered("the base URL is no URL".to_owned()))
}

/// What messages call a destination whose URL is known only with a token.
pub(crate) fn shown_or(base: Option<&Url>, title: &str) -> String {
    base.map_or_else(|| title.to_owned(), shown)
}
