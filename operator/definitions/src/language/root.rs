//! The top level.

use serde_json::{Value, json};

use super::part::{expression, list, map, names, object, template, text, to};
use crate::definition::{Category, Verification};

pub(super) fn root() -> Value {
    let required = [
        "definition",
        "version",
        "title",
        "description",
        "category",
        "verification",
        "settings",
        "auth",
        "limits",
        "actions",
    ];
    object(
        &required,
        [
            (
                "definition",
                "Name of the destination, as `Destination.spec.type` gives it: at most 63 lower-case letters, \
                 digits and `-`, a letter first. A DestinationDefinition may leave it out, and else repeats \
                 its `metadata.name`.",
                json!({"type": "string", "pattern": "^[a-z][a-z0-9-]{0,62}$"}),
            ),
            (
                "version",
                "Raised with every change of behaviour; at most 1000000. `status.definitionVersion` says \
                 which is in use.",
                json!({"type": "integer", "minimum": 1}),
            ),
            ("title", "Name for people. A DestinationDefinition may leave it out: then it is its name.", text()),
            ("description", "One sentence: what kind of tool it is. A DestinationDefinition may leave it out.", text()),
            ("docsUrl", "Address of the vendor's documentation, for readers.", text()),
            (
                "category",
                "What kind of tool it is; the catalogue is grouped by it. A DestinationDefinition may leave \
                 it out: then it is `generic`.",
                names(Category::NAMES.iter().map(|(name, _)| *name)),
            ),
            (
                "verification",
                "What the definition was checked against. `live-verified`: the service itself. \
                 `spec-verified`: the vendor's own machine-readable specification. `derived-spec`: one that \
                 others wrote. `fixture-verified`: written requests and answers, or code. A \
                 DestinationDefinition may leave it out: then it is `fixture-verified`.",
                names(Verification::NAMES.iter().map(|(name, _)| *name)),
            ),
            (
                "provenance",
                "Where facts are from, such as limits and endpoints; at most 256. For readers: of a built-in \
                 definition its page shows them.",
                list(object(
                    &["fact", "source", "checked"],
                    [
                        ("fact", "What is said.", text()),
                        ("source", "Who says it.", text()),
                        ("checked", "The day on which it was looked up, such as `2026-03-01`.", text()),
                    ],
                )),
            ),
            (
                "settings",
                "What a Destination gives: a schema with `type: object`. Properties with `x-secret` are given \
                 in `spec.secrets`, all others in `spec.settings`. Each needs a `description`.",
                to("schema"),
            ),
            (
                "native",
                "Name of the code that delivers, in place of `http`. Only a built-in definition has it.",
                text(),
            ),
            (
                "auth",
                "Ways to authenticate.",
                object(
                    &["choose"],
                    [
                        (
                            "choose",
                            "The ways of which `Destination.spec.auth` names one; the first is the default. 1 to 16. \
                     Where nothing is needed, one of `type: none`.",
                            list(to("scheme")),
                        ),
                        ("always", "Ways that are used beside the chosen one; at most 16.", list(to("scheme"))),
                    ],
                ),
            ),
            ("http", "The connection. Needed unless there is `native`.", to("http")),
            ("limits", "What the account allows. With `native` there is only `concurrency.max`.", to("limits")),
            (
                "errors",
                "What answers mean. The rules of the operation come first, then those of the action, then \
                 these; the first that holds counts, and a rule that none comes to is a mistake. What no rule \
                 holds for is judged by its status. At most 64.",
                list(to("errorRule")),
            ),
            (
                "check",
                "A request that does no harm and tries the credentials. Without it, only a token is asked \
                 for, if the way to authenticate has one.",
                object(
                    &["request"],
                    [
                        ("request", "The request. It sees `settings` and `auth`.", to("request")),
                        (
                            "expect",
                            "What an answer must fulfil beside its status, over `settings`, `status`, `headers` and \
                     `body`.",
                            to("condition"),
                        ),
                        (
                            "account",
                            "What the account is called, over the answer. Without it, the address is shown.",
                            template(),
                        ),
                        (
                            "errors",
                            "What answers to it mean, before the definition's `errors`, over `settings`, `status`, \
                     `headers` and `body`; at most 64.",
                            list(to("errorRule")),
                        ),
                    ],
                ),
            ),
            (
                "discover",
                "Lists of values that the account offers for settings, config and fields; at most 64.",
                list(object(
                    &["id", "request", "from", "value"],
                    [
                        ("id", "Name of the list, as `x-choices` gives it.", text()),
                        ("request", "The request. It sees `settings` and `auth`.", to("request")),
                        (
                            "from",
                            "The list in the answer, of at most 10000 entries. Nothing and null are an empty list.",
                            expression(),
                        ),
                        ("value", "The value of an entry, over `it`. An entry without one is left out.", template()),
                        ("label", "What people call the entry, over `it`.", template()),
                        ("paginate", "How the list goes on. Without it, one answer is all.", to("paginate")),
                    ],
                )),
            ),
            (
                "actions",
                "What a Mapping may do, by name: at most 63 letters and digits, a letter first. 1 to 128 \
                 actions.",
                map(to("action")),
            ),
        ],
    )
}
