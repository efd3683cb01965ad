//! What answers say of each record.

use serde_json::{Map, Value, json};

use super::part::{described, expression, flag, list, names, object, template, text, to};
use crate::request::{ResultsKind, Unaccounted};

pub(super) fn definitions() -> Map<String, Value> {
    described([
        (
            "results",
            "What an answer says of each record. Its `mode` says which other members it has. Rules see what \
             an `errorRule` sees; those about one element of a list also see `it`, which is the element, and \
             `index`, its place.",
            results(),
        ),
        ("failed", "Failures in an answer, for the `mode` of the results.", failed()),
    ])
}

fn results() -> Value {
    let succeeded = object(
        &["from", "ref"],
        [
            ("of", "Which of the job's results. Default: the first.", text()),
            ("from", "The list. Nothing and null are an empty list.", expression()),
            ("ref", "The record's `rec.key`, as the element repeats it.", expression()),
            ("remoteId", "The destination's id of the record.", expression()),
        ],
    );
    let policies = names(Unaccounted::NAMES.iter().map(|(name, _)| *name));
    let expression_of = json!({"type": "string", "pattern": "^\\$\\{"});
    object(
        &["mode"],
        [
            (
                "mode",
                "How the answer speaks of records. `whole`: all were taken. `accepted`: all were taken for \
                 later, and what becomes of them is never said. `byIndex`: an element for each, in the order \
                 of the request. `errorsByIndex`: failures with the place of their record. `indexMaps`: \
                 places of failed records, by field. `correlate`: elements with the record's `rec.key`. \
                 `failedKeys`: failures with another key of the record. `counts`: only how many failed.",
                names(ResultsKind::NAMES.iter().map(|(name, _)| *name)),
            ),
            (
                "unaccounted",
                "Of `errorsByIndex`, `indexMaps`, `correlate` and `failedKeys`: what becomes of records that \
                 the answer does not mention, always or by an expression over the answer. `reject`: rejected. \
                 `retry`: tried again. `succeed`: delivered. Default: `succeed`, but `reject` with \
                 `succeeded`.",
                json!({"anyOf": [policies, expression_of]}),
            ),
            (
                "bisectOnReject",
                "A batch that is refused as a whole is halved until the records at fault are alone; else all \
                 of it is rejected. Only where a request may have several records. Default: `true`.",
                flag(),
            ),
            ("requires", "What an answer must fulfil to be one. Else the records are tried again.", to("condition")),
            ("of", "Of `byIndex`: which of the job's results. Default: the first.", text()),
            (
                "from",
                "Of `byIndex`, which needs it: the list. Of any other length than the request, it says \
                 nothing.",
                expression(),
            ),
            ("ok", "Of `byIndex`, which needs it: `true` if the record was taken.", expression()),
            ("remoteId", "Of `byIndex`: the destination's id of the record.", expression()),
            ("class", "Of `byIndex`: what a failure means, as in `failed`.", template()),
            ("code", "Of `byIndex`: the destination's short word for a failure, as in an `errorRule`.", template()),
            ("field", "Of `byIndex`: the field at fault.", template()),
            ("sent", "Of `counts`: how many records the answer speaks of, failed ones among them.", expression()),
            (
                "failed",
                "Of `counts`, which needs it: how many failed, one expression. Of `errorsByIndex`, \
                 `indexMaps`, `correlate` and `failedKeys`, which need it: where the failures are, at most 8.",
                json!({"anyOf": [list(to("failed")), expression()]}),
            ),
            ("succeeded", "Of `correlate`: where the records are that were taken.", succeeded),
        ],
    )
}

fn failed() -> Value {
    object(
        &["from"],
        [
            ("of", "Which of the job's results. Default: the first.", text()),
            (
                "from",
                "The list of failures; nothing and null are an empty one. Of `indexMaps`: an object of \
                 fields, each with the places of the records that are wrong in it, or a list of places.",
                expression(),
            ),
            (
                "index",
                "Of `errorsByIndex`, which needs it: the place of the record in the request, from 0.",
                expression(),
            ),
            ("ref", "Of `correlate`, which needs it: the record's `rec.key`, as the element repeats it.", expression()),
            ("key", "Of `failedKeys`, which needs it: the key that the element names.", expression()),
            (
                "recordKey",
                "Of `failedKeys`, which needs it: what `key` is for a record, over `settings`, `cfg`, `f` and \
                 `rec`.",
                expression(),
            ),
            (
                "class",
                "What the failure means. `reject`: the content of the record is wrong. `retry` and \
                 `throttle`: it is tried again. `auth` and `config`: the run ends. `ignore`: it is as it \
                 should be already. Default: `reject`.",
                template(),
            ),
            ("code", "The destination's short word for it, as in an `errorRule`; with `reject`.", template()),
            (
                "field",
                "The field at fault, with `reject`: a path of names. Of `indexMaps`, the name in the object if \
                 this gives none.",
                template(),
            ),
        ],
    )
}
