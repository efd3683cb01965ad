//! Requests, and what goes before and after the one that sends records.

use serde_json::{Map, Value};

use super::part::{described, expression, flag, list, map, names, object, template, text, to, whole};
use crate::request::Encoding;

pub(super) fn definitions() -> Map<String, Value> {
    described([
        ("request", "A request.", request()),
        ("asking", "A request, and what its answer gives.", asking()),
        (
            "ensure",
            "Something that must exist. It is looked for, and made if need be, once for all batches whose \
             requests for it are the same.",
            ensure(),
        ),
        ("lookup", "How the destination's ids of records are found.", lookup()),
        (
            "job",
            "Work that a request begins and that ends later. Its requests see `settings`, `cfg`, `auth`, \
             `batch`, `items`, `ensure` and `job`.",
            job(),
        ),
    ])
}

fn request() -> Value {
    let csv = object(
        &[],
        [
            (
                "columns",
                "The columns, at most 512. Default: the members of the items, as they first appear.",
                list(template()),
            ),
            ("null", "What stands for null. Default: nothing.", text()),
            ("delimiter", "What stands between values. Default: `,`.", names([",", ";", "|", "\t"])),
        ],
    );
    object(
        &["method", "path"],
        [
            ("method", "`GET`, `POST`, `PUT`, `PATCH`, `DELETE`, `HEAD` or `OPTIONS`.", template()),
            (
                "path",
                "What stands behind `http.baseUrl`: it begins with `/` and holds no `?`, or is empty. Each \
                 expression gives one segment. An expression that names no record may give a whole address \
                 instead.",
                template(),
            ),
            (
                "query",
                "Parameters, at most 64. What is nothing or null is left out, a list is repeated.",
                to("templates"),
            ),
            (
                "headers",
                "Headers, at most 64. What gives nothing is left out. `Content-Type` is said by \
                 `contentType`.",
                to("templates"),
            ),
            (
                "encoding",
                "The form of the body. `json`: one document. `ndjson`: a line for each item, or for each \
                 element of an item that is a list. `form`: pairs, those of inner members as `a[b]` and \
                 `a[0]`. `csv`: a table of the items. `text`: one text. `multipart`: a part for each member; \
                 one with `content`, `filename` and `contentType` is a file. Only with `body` or `item`. \
                 Default: `json`.",
                names(Encoding::NAMES.iter().map(|(name, _)| *name)),
            ),
            (
                "contentType",
                "The header `Content-Type`, in place of the encoding's own. Only with `body` or `item`, and \
                 not with `multipart`.",
                text(),
            ),
            (
                "item",
                "What each record is, in requests that carry records. It goes where `$items` stands in \
                 `body`, or templates name `items`; with `ndjson` and `csv`, the items are the body.",
                to("tree"),
            ),
            (
                "body",
                "The body; `$items` stands in it at most once. With `form` and `multipart` an object, with \
                 `text` one text, with `ndjson` and `csv` there is none.",
                to("tree"),
            ),
            ("csv", "How `encoding: csv` is written.", csv),
        ],
    )
}

fn asking() -> Value {
    object(
        &["request", "from"],
        [
            ("request", "The request. It sees `settings`, `cfg`, `auth`, `batch` and `ensure`.", to("request")),
            ("from", "The value in the answer. Nothing and null: it is not there.", expression()),
        ],
    )
}

fn ensure() -> Value {
    object(
        &["id"],
        [
            ("id", "Name: what is found or made is `ensure.<id>`.", text()),
            ("lookup", "How it is looked for. Needed unless there is `create`.", to("asking")),
            ("create", "How it is made if it is not found. Needed unless there is `lookup`.", to("asking")),
            ("cache", "How long it is taken to exist, within a run. Default, and at most: `24h`.", to("duration")),
            (
                "onMissing",
                "Where it neither is nor is made: `config`, the run ends; `reject`, the records are rejected. \
                 Default: `config`.",
                names(["config", "reject"]),
            ),
        ],
    )
}

fn lookup() -> Value {
    let matched = object(
        &["from", "key", "equals", "store"],
        [
            ("from", "The list in the answer. Nothing and null are an empty list.", expression()),
            (
                "key",
                "Which record an element is of, over `it`, `index`, `settings`, `cfg` and the answer.",
                expression(),
            ),
            (
                "equals",
                "What `key` is for a record, over `settings`, `cfg`, `f` and `rec`. A record for which it is \
                 nothing is rejected.",
                expression(),
            ),
            (
                "store",
                "What is kept of an element, over what `key` sees: `remoteId` becomes `rec.remoteId`, all of \
                 it `rec.found`. Of a record whose id is known there is `remoteId` alone.",
                map(expression()),
            ),
        ],
    );
    object(
        &["request", "match", "onMissing"],
        [
            (
                "maxRecords",
                "Records of one request: at most, and by default, as many as the operation's request has.",
                whole(),
            ),
            (
                "useKnown",
                "A record whose id is known from an earlier delivery is not looked up. Default: `true`.",
                flag(),
            ),
            (
                "request",
                "The request. It sees what the operation's request sees, with `maxRecords: 1` also `f` and \
                 `rec`; its `item` sees `settings`, `cfg`, `f` and `rec`.",
                to("request"),
            ),
            ("match", "Which element of the answer is which record.", matched),
            (
                "onMissing",
                "What becomes of a record that is not found. `insert`: it goes to the operation `insert`, \
                 which is another one. `send`: it is sent all the same. `reject`: it is rejected. `succeed`: \
                 there is nothing to do.",
                names(["insert", "send", "reject", "succeed"]),
            ),
            (
                "onFound",
                "What becomes of a record that is found. `send`: it is sent. `succeed`: there is nothing to \
                 do. `reject`: it is rejected. Default: `send`.",
                names(["send", "succeed", "reject"]),
            ),
            (
                "onMany",
                "What several elements of one record mean. `first`: the first counts. `reject`: the record is \
                 rejected. Default: `reject`.",
                names(["first", "reject"]),
            ),
        ],
    )
}

fn job() -> Value {
    let poll = object(
        &["request", "every", "max", "state"],
        [
            ("request", "The request.", to("request")),
            ("every", "How long to wait before each, `max` at most.", to("duration")),
            ("max", "How long the job may take; after that its records are tried again.", to("duration")),
            (
                "state",
                "`running`, `done` or `failed`, over the answer. The records of a job that failed are tried \
                 again.",
                expression(),
            ),
        ],
    );
    let results = object(
        &["id", "request"],
        [
            ("id", "Name, as `of` gives it.", text()),
            ("request", "The request.", to("request")),
            (
                "decode",
                "The form of the answer. `ndjson` and `csv` are read as a list of objects; values of `csv` \
                 are texts. Default: `json`.",
                names(["json", "ndjson", "csv"]),
            ),
            (
                "paginate",
                "How it goes on; all pages are read as one answer. Without it, one answer is all.",
                to("paginate"),
            ),
        ],
    );
    object(
        &["id", "poll"],
        [
            ("id", "Its id in the answer that begins it, as `job.id`.", expression()),
            ("capture", "What else of that answer is needed, as `job.<name>`.", map(expression())),
            (
                "upload",
                "Carries the items, in place of `request`. Its `item` sees what that of `request` does.",
                to("request"),
            ),
            ("start", "Says that all is there.", to("request")),
            ("poll", "How it is asked whether the job is done.", poll),
            (
                "results",
                "Answers that say what became of the records, at most 8; a rule of the operation's results \
                 reads each. Without them, the last answer of `poll` does.",
                list(results),
            ),
            ("abort", "Ends a job whose outcome nobody waits for.", to("request")),
        ],
    )
}
