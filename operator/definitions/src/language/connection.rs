//! The connection, its limits, and what answers mean.

use serde_json::{Map, Value};

use super::part::{described, expression, flag, list, names, object, template, text, to, whole};
use crate::http::Class;

pub(super) fn definitions() -> Map<String, Value> {
    described([
        ("http", "The connection. Its templates see `settings` and `auth`.", http()),
        ("limits", "What the account allows.", limits()),
        ("rate", "So many requests in so much time.", rate()),
        (
            "errorRule",
            "What an answer means. It sees `settings`, `cfg`, `batch`, `items`, `status`, `headers` (by \
             lower-case names) and `body`.",
            error_rule(),
        ),
        ("paginate", "How a list goes on; at most 1000 pages are read.", paginate()),
    ])
}

fn http() -> Value {
    let hosts = object(
        &[],
        [
            (
                "allow",
                "These hosts, by https alone: `api.example.com`, or `*.example.com` for all below it. In \
                 lower case, 1 to 64.",
                list(text()),
            ),
            ("userDefined", "Any host, by https or http: the user's settings name it. Default: `false`.", flag()),
            (
                "denyPrivateNetworks",
                "Addresses of private networks are refused, whatever name leads to them. Default: `true`, but \
                 for a built-in definition with `userDefined`.",
                flag(),
            ),
        ],
    );
    object(
        &["baseUrl", "hosts"],
        [
            (
                "baseUrl",
                "What the address of every request begins with. Unless `hosts` is `userDefined`, it begins \
                 with `https://` or with an expression. A setting in it has an `enum`, or a `pattern` from \
                 `^` to `$`; with `userDefined`, `format: url` is enough.",
                template(),
            ),
            (
                "hosts",
                "The hosts that may be called, whatever settings and answers say: either `allow` or \
                 `userDefined`.",
                hosts,
            ),
            (
                "headers",
                "Headers of every request but those for tokens, at most 64. One that gives nothing is left \
                 out. Not those about the body and the connection, such as `Content-Type`.",
                to("templates"),
            ),
            (
                "headersFrom",
                "More headers, which the user gives: it names one setting with `format: http-headers`.",
                expression(),
            ),
            ("timeout", "From sending a request to the end of its answer. Default: `30s`.", to("duration")),
            ("connectTimeout", "For making a connection. Default: `10s`.", to("duration")),
            (
                "compress",
                "`gzip`: bodies of requests are compressed; not with `type: sigv4`. Default: `none`.",
                names(["none", "gzip"]),
            ),
            ("userAgent", "The header `User-Agent`, in place of the program's own.", text()),
        ],
    )
}

fn limits() -> Value {
    let concurrency = object(
        &["max"],
        [
            ("max", "At most, 1 to 256.", whole()),
            ("initial", "At first, 1 to `max`. Default: 1, but `max` with `adaptive: false`.", whole()),
            (
                "adaptive",
                "Slow answers and failures lower how many there may be. A throttle always does. Default: \
                 `true`.",
                flag(),
            ),
        ],
    );
    let headers = object(
        &[],
        [
            (
                "remaining",
                "The header with the requests that are left. At less than 1, nothing is sent until there are \
                 more.",
                text(),
            ),
            ("resetEpoch", "The header that says when there are more: seconds since 1970.", text()),
            ("resetEpochMs", "The header that says when there are more: milliseconds since 1970.", text()),
            ("resetSeconds", "The header that says when there are more: seconds from now.", text()),
            (
                "retryAfter",
                "The header that says how long to wait: whole seconds, an HTTP date, or a time of ISO 8601. \
                 Default: `Retry-After`.",
                text(),
            ),
        ],
    );
    let retry = object(
        &[],
        [
            (
                "base",
                "The first wait, `max` at most; each is about twice the one before. Default: `1s`.",
                to("duration"),
            ),
            ("max", "The longest wait. Default: `5m`.", to("duration")),
        ],
    );
    object(
        &["concurrency"],
        [
            ("rate", "How many requests in how much time; all hold at once. At most 16.", list(to("rate"))),
            ("concurrency", "Requests under way at once.", concurrency),
            ("headers", "Names of the headers by which answers say how much is left.", headers),
            (
                "retryAfterBody",
                "Seconds to wait, from the body of an answer. The `wait` of a rule goes before it, and it \
                 before the headers.",
                expression(),
            ),
            (
                "retry",
                "How long to wait where an answer does not say it. How often is up to `Mapping.spec.retry`.",
                retry,
            ),
        ],
    )
}

fn rate() -> Value {
    object(
        &["requests", "per"],
        [
            (
                "id",
                "Name, once in its list. What is used of a rate of a minute or longer is remembered by it \
                 from run to run. Default: `rate` and its place, from 0.",
                text(),
            ),
            ("requests", "How many, 1 to 100000000.", whole()),
            ("per", "In any such time.", to("duration")),
            ("tunable", "`Destination.spec.limits.requestsPerSecond` stands in its place. Default: `false`.", flag()),
            (
                "weight",
                "What a request counts, over `settings`, `cfg` and `batch`; rounded up. Default, and where it \
                 has no value, as without a batch: 1.",
                template(),
            ),
            (
                "match",
                "Which requests count; there is one at least. Default: all.",
                object(
                    &[],
                    [
                        ("method", "Those with this method, in capitals.", text()),
                        (
                            "path",
                            "Those whose `path`, as the definition writes it, is like this; `*` stands for anything.",
                            text(),
                        ),
                    ],
                ),
            ),
        ],
    )
}

fn error_rule() -> Value {
    object(
        &["when", "class"],
        [
            ("when", "Which answers.", to("condition")),
            (
                "class",
                "What they mean. `ok`: taken, as far as `results` agrees. `reject`: the content of a record \
                 is wrong. `retry`: it may go better the next time. `throttle`: too fast, and the whole \
                 connection waits. `auth`: the credentials are refused; another token is tried, else the run \
                 ends. `config`: settings, config or the account are not right; the run ends. `splitBatch`: \
                 too much at once; the batch is halved. `ignore`: all is as it should be already.",
                names(Class::NAMES.iter().map(|(name, _)| *name)),
            ),
            (
                "wait",
                "How long to wait, with `retry` and `throttle`. Default: what the answer says, else by \
                 `limits.retry`.",
                to("duration"),
            ),
            (
                "code",
                "The destination's short word for it, with `reject`. It is shown in capitals, cut to 64 \
                 characters. Default: `HTTP_` and the status. Sentences of destinations are never shown: they \
                 may hold data of rows.",
                template(),
            ),
            ("field", "The field at fault, with `reject`: a path of names.", template()),
        ],
    )
}

fn paginate() -> Value {
    object(
        &["type"],
        [
            (
                "type",
                "`cursor`: the answer says what the next page is. `offset`: by the number of items that were \
                 read. `page`: by the number of the page, from 1. `linkHeader`: by the header `Link`.",
                names(["cursor", "offset", "page", "linkHeader"]),
            ),
            (
                "next",
                "Of `cursor`, which needs it: what the next page is, over the answer. Nothing, null or an \
                 empty text at the end.",
                expression(),
            ),
            (
                "param",
                "The parameter of the query that says the page. Needed by `offset` and `page`; not with \
                 `linkHeader`. Without it, the `next` of `cursor` is a whole address.",
                text(),
            ),
            (
                "pageSize",
                "Items of a page, 1 to 100000. Needed by `offset` and `page`, of which a shorter page is the \
                 last; else only with `pageSizeParam`.",
                whole(),
            ),
            ("pageSizeParam", "The parameter of the query that says `pageSize`, which it needs.", text()),
        ],
    )
}
