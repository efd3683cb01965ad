//! The connection, its limits, and what answers mean.

use std::time::Duration;

use regex::Regex;

use crate::request::Request;
use crate::template::{Condition, Template};

/// A destination that is spoken to by HTTP.
#[derive(Debug)]
pub struct Http {
    /// What every request's URL begins with.
    pub base_url: Template,
    /// The hosts that may be called; checked after rendering.
    pub hosts: Hosts,
    /// Headers of every request.
    pub headers: Vec<(String, Template)>,
    /// An object of more headers, which the user gives.
    pub headers_from: Option<Template>,
    /// From sending a request to the end of its answer.
    pub timeout: Duration,
    /// For a connection.
    pub connect_timeout: Duration,
    /// Bodies are compressed with gzip.
    pub gzip: bool,
    /// In place of the program's own name.
    pub user_agent: Option<String>,
    /// What the account allows.
    pub limits: Limits,
    /// What answers mean: the first that matches.
    pub errors: Vec<ErrorRule>,
    /// How credentials are tried.
    pub check: Option<Check>,
    /// Lists of values that config and fields may have.
    pub discover: Vec<Discover>,
}

/// The hosts that may be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hosts {
    /// These; `*.` stands for one label or more.
    Allow {
        /// Their names.
        names: Vec<String>,
        /// But for addresses of private networks, where no vendor's hosts are: only who wrote the definition can allow them.
        deny_private_networks: bool,
    },
    /// Whatever host the user's settings name.
    UserDefined {
        /// But for addresses of private networks.
        deny_private_networks: bool,
    },
}

impl Hosts {
    /// Whether addresses of private networks are refused, whatever name leads to them.
    #[must_use]
    pub fn deny_private_networks(&self) -> bool {
        match self {
            Self::Allow { deny_private_networks, .. } | Self::UserDefined { deny_private_networks } => {
                *deny_private_networks
            }
        }
    }

    /// Whether a host may be called; of [`Hosts::UserDefined`] every host, as far as its name goes.
    #[must_use]
    pub fn allow(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        match self {
            Self::UserDefined { .. } => true,
            Self::Allow { names, .. } => names.iter().any(|pattern| match pattern.strip_prefix("*.") {
                Some(domain) => host.strip_suffix(domain).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
                None => host == *pattern,
            }),
        }
    }
}

/// What an account allows.
#[derive(Debug)]
pub struct Limits {
    /// All hold at once.
    pub rates: Vec<Rate>,
    /// Requests in flight.
    pub concurrency: Concurrency,
    /// Headers of answers that say how much is left.
    pub headers: LimitHeaders,
    /// Seconds to wait, from an answer's body.
    pub retry_after_body: Option<Template>,
    /// The first wait before a request is tried again.
    pub retry_base: Duration,
    /// The longest.
    pub retry_max: Duration,
}

/// So much in a time.
#[derive(Debug)]
pub struct Rate {
    /// Name, for messages and metrics.
    pub id: String,
    /// How much.
    pub requests: u32,
    /// In any such time.
    pub per: Duration,
    /// `Destination.spec.limits.requestsPerSecond` stands in its place.
    pub tunable: bool,
    /// What a request counts; 1 if absent. Over `batch` and `cfg`.
    pub weight: Option<Template>,
    /// Which requests count.
    pub only: RateMatch,
}

/// Which requests count for a rate.
#[derive(Debug, Default)]
pub struct RateMatch {
    /// Those with this method.
    pub method: Option<String>,
    /// Those whose path, as the definition writes it, is like this.
    pub path: Option<Regex>,
}

/// Requests in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concurrency {
    /// At most.
    pub max: u32,
    /// At first.
    pub initial: u32,
    /// It grows and shrinks with what the destination takes.
    pub adaptive: bool,
}

/// Headers of answers, by their lower-case names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitHeaders {
    /// Requests that are left.
    pub remaining: Option<String>,
    /// When there are more: seconds since 1970.
    pub reset_epoch: Option<String>,
    /// When there are more: milliseconds since 1970.
    pub reset_epoch_ms: Option<String>,
    /// When there are more: seconds from now.
    pub reset_seconds: Option<String>,
    /// How long to wait: seconds or a date.
    pub retry_after: Option<String>,
}

/// What an answer means.
#[derive(Debug)]
pub struct ErrorRule {
    /// Which answers.
    pub when: Condition,
    /// What they mean.
    pub class: Class,
    /// How long to wait then.
    pub wait: Option<Duration>,
    /// What is said of it.
    pub words: Words,
}

/// What an answer, or a part of it, means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Taken, as far as the operation's results agree.
    Ok,
    /// The record's content is wrong.
    Reject,
    /// Try again.
    Retry,
    /// Too fast, or used up.
    Throttle,
    /// The credentials are wrong.
    Auth,
    /// The definition's or the user's settings are wrong.
    Config,
    /// Too much at once.
    SplitBatch,
    /// It is as it should be already.
    Ignore,
}

impl Class {
    /// Their names.
    pub const NAMES: [(&'static str, Self); 8] = [
        ("ok", Self::Ok),
        ("reject", Self::Reject),
        ("retry", Self::Retry),
        ("throttle", Self::Throttle),
        ("auth", Self::Auth),
        ("config", Self::Config),
        ("splitBatch", Self::SplitBatch),
        ("ignore", Self::Ignore),
    ];

    /// The class of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(own, _)| *own == name).map(|(_, class)| *class)
    }
}

/// What is said of a failure.
#[derive(Debug, Default)]
pub struct Words {
    /// The destination's short word: see [`clean_code`].
    pub code: Option<Template>,
    /// The field at fault.
    pub field: Option<Template>,
}

/// A destination's short word as a code of ours: upper case, letters, digits and `_.-`, 64 at most; nothing if none is left.
#[must_use]
pub fn clean_code(word: &str) -> Option<String> {
    let mut code = String::new();
    for char in word.trim().chars() {
        match char {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' => code.push(char.to_ascii_uppercase()),
            _ if !code.is_empty() && !code.ends_with('_') => code.push('_'),
            _ => {}
        }
        if code.len() == 64 {
            break;
        }
    }
    let code = code.trim_end_matches('_').to_owned();
    (!code.is_empty()).then_some(code)
}

/// How credentials are tried.
#[derive(Debug)]
pub struct Check {
    /// The request.
    pub request: Request,
    /// What an answer must fulfil beside its status.
    pub expect: Option<Condition>,
    /// What the account is called.
    pub account: Option<Template>,
    /// What answers mean, before [`Http::errors`].
    pub errors: Vec<ErrorRule>,
}

/// A list of values.
#[derive(Debug)]
pub struct Discover {
    /// Name, as `x-choices` says it.
    pub id: String,
    /// The request.
    pub request: Request,
    /// The list in its answer.
    pub from: Template,
    /// The value of each.
    pub value: Template,
    /// What it is called.
    pub label: Option<Template>,
    /// Where the rest is.
    pub paginate: Option<Paginate>,
}

/// How lists go on.
#[derive(Debug)]
pub struct Paginate {
    /// In which way.
    pub kind: PaginateKind,
    /// What the next page is; none at the end. Over the answer.
    pub next: Option<Template>,
    /// The parameter that says the page; without one, `next` is a URL.
    pub param: Option<String>,
    /// Items of a page.
    pub page_size: Option<u32>,
    /// The parameter that says so.
    pub page_size_param: Option<String>,
}

/// How lists go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaginateKind {
    /// The answer names the next page.
    Cursor,
    /// By the number of items that were read.
    Offset,
    /// By the number of the page, from 1.
    Page,
    /// By the header `Link`.
    LinkHeader,
}
