//! The connection: `http`, `limits`, `errors`, `check`, `discover`.

use std::time::Duration;

use regex::Regex;

use super::place::{Object, Place};
use super::{requests, values};
use crate::http::{
    Check, Class, Concurrency, Discover, ErrorRule, Hosts, Http, LimitHeaders, Limits, Paginate, PaginateKind, Rate,
    RateMatch, Words,
};
use crate::problem::Problems;
use crate::schema::{Format, Member, Schema};
use crate::template::{Allowed, Template, Variable};

/// Rules for answers in one place, at most.
const RULES: usize = 64;
/// The first and the longest wait before a request is tried again.
const RETRY_BASE: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(300);

/// What answers are judged by.
pub(super) const ANSWER: [Variable; 7] = [
    Variable::Settings,
    Variable::Cfg,
    Variable::Batch,
    Variable::Items,
    Variable::Status,
    Variable::Headers,
    Variable::Body,
];
/// The same beside a list in an answer.
pub(super) const ELEMENT: [Variable; 9] = [
    Variable::Settings,
    Variable::Cfg,
    Variable::Batch,
    Variable::Items,
    Variable::Index,
    Variable::Status,
    Variable::Headers,
    Variable::Body,
    Variable::It,
];
/// What an answer says that belongs to no Mapping.
const ASKED: [Variable; 4] = [Variable::Settings, Variable::Status, Variable::Headers, Variable::Body];
/// What the connection knows.
const CONNECTION: [Variable; 2] = [Variable::Settings, Variable::Auth];

/// Reads what a destination by HTTP has beside settings, auth and actions. `supplied`: by a user, see [`hosts`].
pub(super) fn http(
    object: &mut Object<'_>,
    allowed: Allowed<'_>,
    supplied: bool,
    problems: &mut Problems,
) -> Option<Http> {
    let limits = object.need("limits", problems).and_then(|place| limits(&place, allowed, problems));
    let answer = allowed.with(&ANSWER);
    let errors = object.get("errors").map(|place| error_rules(&place, &answer, problems)).unwrap_or_default();
    let check = object.get("check").and_then(|place| check(&place, allowed, problems));
    let discover = object.get("discover").map(|place| discoveries(&place, allowed, problems)).unwrap_or_default();
    let mut http = object.need("http", problems)?.object(problems)?;
    let connection = allowed.with(&CONNECTION);
    let hosts = http.need("hosts", problems).and_then(|place| hosts(&place, supplied, problems));
    let user_defined = matches!(hosts, Some(Hosts::UserDefined { .. }));
    let base_url =
        http.need("baseUrl", problems).and_then(|place| base_url(&place, &connection, user_defined, problems));
    let headers = http.get("headers").map(|place| values::headers(&place, &connection, problems)).unwrap_or_default();
    let headers_from = http.get("headersFrom").and_then(|place| headers_from(&place, &connection, problems));
    let timeout = http.get("timeout").and_then(|place| place.duration(problems));
    let connect_timeout = http.get("connectTimeout").and_then(|place| place.duration(problems));
    let gzip = http.get("compress").and_then(|place| place.one(&[("none", false), ("gzip", true)], problems));
    let user_agent = http.get("userAgent").and_then(|place| place.text(problems));
    http.finish(problems);
    Some(Http {
        base_url: base_url?,
        hosts: hosts?,
        headers,
        headers_from,
        timeout: timeout.unwrap_or(Duration::from_secs(30)),
        connect_timeout: connect_timeout.unwrap_or(Duration::from_secs(10)),
        gzip: gzip.unwrap_or_default(),
        user_agent,
        limits: limits?,
        errors,
        check,
        discover,
    })
}

/// A definition that a user supplies calls private networks only where it says so itself: who may write definitions decides that, and
/// not who may write Destinations.
fn hosts(place: &Place<'_>, supplied: bool, problems: &mut Problems) -> Option<Hosts> {
    let mut object = place.object(problems)?;
    let allow = object.get("allow");
    let user_defined = object.get("userDefined").and_then(|place| place.boolean(problems)).unwrap_or_default();
    let deny = object.get("denyPrivateNetworks").and_then(|place| place.boolean(problems));
    object.finish(problems);
    match (allow, user_defined) {
        (Some(place), false) => {
            let mut patterns = Vec::new();
            for item in place.items(64, problems)? {
                let Some(pattern) = item.text(problems) else { continue };
                let domain = pattern.strip_prefix("*.").unwrap_or(&pattern);
                let letters = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || "-.".contains(char);
                // `*.com` would be half of the internet.
                let broad = pattern.starts_with("*.") && !domain.contains('.');
                if domain.is_empty() || broad || !domain.chars().all(letters) || domain.starts_with('.') {
                    item.wrong(problems, "must be a host such as api.example.com or *.example.com, in lower case");
                }
                patterns.push(pattern);
            }
            if patterns.is_empty() {
                place.wrong(problems, "no host is allowed; name one");
            }
            Some(Hosts::Allow { names: patterns, deny_private_networks: deny.unwrap_or(true) })
        }
        (None, true) => Some(Hosts::UserDefined { deny_private_networks: deny.unwrap_or(supplied) }),
        (Some(place), true) => {
            place.wrong(problems, "either allow or userDefined, not both");
            None
        }
        (None, false) => {
            place.wrong(problems, "say which hosts may be called: allow: [api.example.com], or userDefined: true");
            None
        }
    }
}

fn base_url(place: &Place<'_>, allowed: &Allowed<'_>, user_defined: bool, problems: &mut Problems) -> Option<Template> {
    let url = values::template(place, allowed, problems)?;
    let whole = url.source().starts_with("${");
    if !user_defined && !whole && !url.source().starts_with("https://") {
        place.wrong(problems, "must begin with https://");
    }
    for (name, _) in url.members(Variable::Settings) {
        if let Member::Known(schema) = allowed.settings.member(name)
            && !bounded(schema, user_defined)
        {
            let message = format!(
                "settings.{name} is part of the URL: give it an enum or a pattern, so that it cannot lead to another host"
            );
            place.wrong(problems, message);
        }
    }
    Some(url)
}

/// Whether values cannot be just any text. Where the user says the host anyway, a URL is enough.
fn bounded(schema: &Schema, user_defined: bool) -> bool {
    let url = user_defined && schema.format == Some(Format::Url);
    let anchored = schema
        .pattern
        .as_ref()
        .is_some_and(|pattern| pattern.as_str().starts_with('^') && pattern.as_str().ends_with('$'));
    !schema.choices.is_empty() || anchored || url
}

fn headers_from(place: &Place<'_>, allowed: &Allowed<'_>, problems: &mut Problems) -> Option<Template> {
    let from = values::expression(place, allowed, problems)?;
    let formats = from.members(Variable::Settings).map(|(name, _)| match allowed.settings.member(name) {
        Member::Known(schema) => schema.format,
        Member::Any | Member::Unknown => None,
    });
    if !formats.eq([Some(Format::HttpHeaders)]) {
        place.wrong(problems, "must name one setting with format: http-headers");
    }
    Some(from)
}

fn limits(place: &Place<'_>, allowed: Allowed<'_>, problems: &mut Problems) -> Option<Limits> {
    let mut object = place.object(problems)?;
    let rates = object.get("rate").map(|place| rates(&place, allowed, problems)).unwrap_or_default();
    let concurrency = object.need("concurrency", problems).and_then(|place| concurrency(&place, problems));
    let headers = object.get("headers").and_then(|place| limit_headers(&place, problems)).unwrap_or_default();
    let answer = allowed.with(&ANSWER);
    let retry_after_body = object.get("retryAfterBody").and_then(|place| values::expression(&place, &answer, problems));
    let (mut base, mut max) = (None, None);
    if let Some(mut retry) = object.get("retry").and_then(|place| place.object(problems)) {
        base = retry.get("base").and_then(|place| place.duration(problems));
        max = retry.get("max").and_then(|place| place.duration(problems));
        if base.unwrap_or(RETRY_BASE) > max.unwrap_or(RETRY_MAX) {
            retry.wrong(problems, "base is more than max, which is 5m unless it is said");
        }
        retry.finish(problems);
    }
    object.finish(problems);
    Some(Limits {
        rates,
        concurrency: concurrency?,
        headers,
        retry_after_body,
        retry_base: base.unwrap_or(RETRY_BASE),
        retry_max: max.unwrap_or(RETRY_MAX),
    })
}

fn concurrency(place: &Place<'_>, problems: &mut Problems) -> Option<Concurrency> {
    let mut object = place.object(problems)?;
    let mut whole = |key, problems: &mut Problems| object.get(key).and_then(|place| place.whole(1..=256, problems));
    let (max, initial) = (whole("max", problems), whole("initial", problems));
    let adaptive = object.get("adaptive").and_then(|place| place.boolean(problems)).unwrap_or(true);
    if !object.has("max") {
        object.wrong(problems, "max is missing");
    }
    if initial > max {
        object.wrong(problems, "initial is more than max");
    }
    object.finish(problems);
    let max = u32::try_from(max?).ok()?;
    // What does not adapt begins with all that it may.
    let begin = if adaptive { 1 } else { max };
    Some(Concurrency {
        max,
        initial: initial.and_then(|initial| u32::try_from(initial).ok()).unwrap_or(begin),
        adaptive,
    })
}

fn limit_headers(place: &Place<'_>, problems: &mut Problems) -> Option<LimitHeaders> {
    let mut object = place.object(problems)?;
    let mut header = |key| {
        let place = object.get(key)?;
        let name = place.text(problems)?;
        if !values::is_header_name(&name) {
            place.wrong(problems, "must be the name of a header");
        }
        Some(name.to_ascii_lowercase())
    };
    let headers = LimitHeaders {
        remaining: header("remaining"),
        reset_epoch: header("resetEpoch"),
        reset_epoch_ms: header("resetEpochMs"),
        reset_seconds: header("resetSeconds"),
        retry_after: header("retryAfter"),
    };
    object.finish(problems);
    Some(headers)
}

/// Reads a list of rates.
pub(super) fn rates(place: &Place<'_>, allowed: Allowed<'_>, problems: &mut Problems) -> Vec<Rate> {
    let weighed = allowed.with(&[Variable::Settings, Variable::Cfg, Variable::Batch]);
    let items = place.items(16, problems).unwrap_or_default();
    let mut rates: Vec<Rate> = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let Some(mut object) = item.object(problems) else { continue };
        let id = object.get("id").and_then(|place| place.text(problems)).unwrap_or_else(|| format!("rate{at}"));
        let requests = object.need("requests", problems).and_then(|place| place.whole(1..=100_000_000, problems));
        let per = object.need("per", problems).and_then(|place| place.duration(problems));
        let tunable = object.get("tunable").and_then(|place| place.boolean(problems)).unwrap_or_default();
        let weight = object.get("weight").and_then(|place| values::template(&place, &weighed, problems));
        let only = object.get("match").and_then(|place| rate_match(&place, problems)).unwrap_or_default();
        object.finish(problems);
        if rates.iter().any(|rate| rate.id == id) {
            item.wrong(problems, format!("the id \"{id}\" is there twice"));
        }
        if let (Some(requests), Some(per)) = (requests.and_then(|requests| u32::try_from(requests).ok()), per) {
            rates.push(Rate { id, requests, per, tunable, weight, only });
        }
    }
    rates
}

fn rate_match(place: &Place<'_>, problems: &mut Problems) -> Option<RateMatch> {
    let mut object = place.object(problems)?;
    let method = object.get("method").and_then(|place| {
        let method = place.text(problems)?;
        if !requests::METHODS.contains(&method.as_str()) {
            place.wrong(problems, format!("must be one of {}", requests::METHODS.join(", ")));
        }
        Some(method)
    });
    let path =
        object.get("path").and_then(|place| place.text(problems)).map(|glob| regex::escape(&glob).replace(r"\*", ".*"));
    object.finish(problems);
    Some(RateMatch { method, path: path.and_then(|pattern| Regex::new(&format!("^{pattern}$")).ok()) })
}

/// Reads a list of rules for answers.
pub(super) fn error_rules(place: &Place<'_>, answer: &Allowed<'_>, problems: &mut Problems) -> Vec<ErrorRule> {
    let mut rules = Vec::new();
    for item in place.items(RULES, problems).unwrap_or_default() {
        let Some(mut object) = item.object(problems) else { continue };
        let when = object.need("when", problems).and_then(|place| values::condition(&place, answer, problems));
        let class = object.need("class", problems).and_then(|place| place.one(&Class::NAMES, problems));
        let wait = object.get("wait").and_then(|place| place.duration(problems));
        let words = words(&mut object, answer, problems);
        if wait.is_some() && !matches!(class, None | Some(Class::Retry | Class::Throttle)) {
            object.wrong(problems, "wait is for class: retry and class: throttle");
        }
        if (words.code.is_some() || words.field.is_some()) && !matches!(class, None | Some(Class::Reject)) {
            object.wrong(problems, "code and field are shown of rejected records: they are for class: reject");
        }
        object.finish(problems);
        if let (Some(when), Some(class)) = (when, class) {
            if rules.iter().any(|rule: &ErrorRule| rule.when.source() == "true" || rule.when.source() == when.source())
            {
                item.wrong(problems, "no answer comes here: a rule before it takes them; put it before, or remove it");
            }
            rules.push(ErrorRule { when, class, wait, words });
        }
    }
    rules
}

/// Reads `code` and `field`.
pub(super) fn words(object: &mut Object<'_>, allowed: &Allowed<'_>, problems: &mut Problems) -> Words {
    let mut template = |key| object.get(key).and_then(|place| values::template(&place, allowed, problems));
    Words { code: template("code"), field: template("field") }
}

fn check(place: &Place<'_>, allowed: Allowed<'_>, problems: &mut Problems) -> Option<Check> {
    let mut object = place.object(problems)?;
    let answer = allowed.with(&ASKED);
    let request = object
        .need("request", problems)
        .and_then(|place| requests::request(&place, allowed.with(&CONNECTION), None, problems));
    let expect = object.get("expect").and_then(|place| values::condition(&place, &answer, problems));
    let account = object.get("account").and_then(|place| values::template(&place, &answer, problems));
    let errors = object.get("errors").map(|place| error_rules(&place, &answer, problems)).unwrap_or_default();
    object.finish(problems);
    Some(Check { request: request?, expect, account, errors })
}

fn discoveries(place: &Place<'_>, allowed: Allowed<'_>, problems: &mut Problems) -> Vec<Discover> {
    let answer = allowed.with(&ASKED);
    let element = [Variable::Settings, Variable::Status, Variable::Headers, Variable::Body, Variable::It];
    let mut found: Vec<Discover> = Vec::new();
    for item in place.items(64, problems).unwrap_or_default() {
        let Some(mut object) = item.object(problems) else { continue };
        let id = object.need("id", problems).and_then(|place| place.text(problems));
        let request = object
            .need("request", problems)
            .and_then(|place| requests::request(&place, allowed.with(&CONNECTION), None, problems));
        let from = object.need("from", problems).and_then(|place| values::expression(&place, &answer, problems));
        let one = allowed.with(&element);
        let value = object.need("value", problems).and_then(|place| values::template(&place, &one, problems));
        let label = object.get("label").and_then(|place| values::template(&place, &one, problems));
        let paginate = object.get("paginate").and_then(|place| paginate(&place, &answer, problems));
        object.finish(problems);
        let (Some(id), Some(request), Some(from), Some(value)) = (id, request, from, value) else { continue };
        if found.iter().any(|other| other.id == id) {
            item.wrong(problems, format!("the id \"{id}\" is there twice"));
        }
        found.push(Discover { id, request, from, value, label, paginate });
    }
    found
}

/// Reads how a list goes on. `answer`: what `next` knows.
pub(super) fn paginate(place: &Place<'_>, answer: &Allowed<'_>, problems: &mut Problems) -> Option<Paginate> {
    let mut object = place.object(problems)?;
    let kinds = [
        ("cursor", PaginateKind::Cursor),
        ("offset", PaginateKind::Offset),
        ("page", PaginateKind::Page),
        ("linkHeader", PaginateKind::LinkHeader),
    ];
    let kind = object.need("type", problems).and_then(|place| place.one(&kinds, problems));
    let next = object.get("next").and_then(|place| values::expression(&place, answer, problems));
    let param = object.get("param").and_then(|place| place.text(problems));
    let page_size = object.get("pageSize").and_then(|place| place.whole(1..=100_000, problems));
    let page_size_param = object.get("pageSizeParam").and_then(|place| place.text(problems));
    match kind {
        Some(PaginateKind::Cursor) if next.is_none() && !object.has("next") => {
            object.wrong(problems, "type: cursor needs next: what the next page is, none at the end");
        }
        Some(PaginateKind::Offset | PaginateKind::Page) if param.is_none() || page_size.is_none() => {
            object.wrong(
                problems,
                "counting pages needs param (the parameter) and pageSize (a shorter page is the last)",
            );
        }
        _ => {}
    }
    if object.has("next") && !matches!(kind, None | Some(PaginateKind::Cursor)) {
        object.wrong(problems, "next is for type: cursor");
    }
    if object.has("param") && kind == Some(PaginateKind::LinkHeader) {
        object.wrong(problems, "type: linkHeader follows whole addresses: remove param");
    }
    let counts = matches!(kind, None | Some(PaginateKind::Offset | PaginateKind::Page));
    if object.has("pageSizeParam") && !object.has("pageSize")
        || object.has("pageSize") && !object.has("pageSizeParam") && !counts
    {
        object.wrong(problems, "pageSize and pageSizeParam go together: the one says the other's value");
    }
    object.finish(problems);
    Some(Paginate {
        kind: kind?,
        next,
        param,
        page_size: page_size.and_then(|size| u32::try_from(size).ok()),
        page_size_param,
    })
}
