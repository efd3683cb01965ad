//! Schemas of settings, config and fields.

use serde_json::{Map, Value, json};

use super::part::{described, flag, list, map, names, object, text, to, whole};
use crate::schema::{Format, NormalizeStep, Type};

pub(super) fn definitions() -> Map<String, Value> {
    described([(
        "schema",
        "What values look like: the part of JSON Schema that definitions are written in, and extensions \
         (`x-…`). At most 12 schemas in each other.",
        schema(),
    )])
}

fn schema() -> Value {
    let types = || {
        names(
            [Type::String, Type::Number, Type::Integer, Type::Boolean, Type::Object, Type::Array, Type::Null]
                .map(Type::as_str),
        )
    };
    let number = || json!({"type": "number"});
    let any = || json!({});
    object(
        &[],
        [
            (
                "type",
                "The type, or a list of types. Without it, all are allowed. Settings, config and fields as a \
                 whole are `object`.",
                json!({"anyOf": [types(), list(json!({"anyOf": [types(), {"type": "null"}]}))]}),
            ),
            ("title", "Name for people, before the description on the page of a built-in definition.", text()),
            (
                "description",
                "One sentence for who gives the value; findings quote it. Needed for each property of \
                 settings and config.",
                text(),
            ),
            (
                "default",
                "The value of a setting, or of a member of config, that is not given: for what stands \
                 directly in `properties`. It must fit the schema; a secret has none. Of a field it is only \
                 shown.",
                any(),
            ),
            ("examples", "Values for readers, at most 16: the page of a built-in definition shows them.", list(any())),
            ("enum", "The only values, 1 to 512, of types that `type` allows.", list(any())),
            ("const", "The only value, in place of `enum`.", any()),
            (
                "pattern",
                "A regular expression, as the Rust crate regex has them, that a text must match somewhere; \
                 `^` and `$` bind it. For `type: string`.",
                text(),
            ),
            (
                "format",
                "What kind of text it is. `url`: an absolute http or https address without credentials. \
                 `date`: `2026-03-01`. `date-time`: an instant of RFC 3339. `http-headers`: an object of \
                 headers, for `http.headersFrom`. `field`: the dotted path of a field, only in config, for \
                 what `matchBy` or `groupBy` of the action names.",
                names(Format::NAMES.iter().map(|(name, _)| *name)),
            ),
            ("minLength", "Characters of a text, at least.", whole()),
            ("maxLength", "Characters of a text, at most.", whole()),
            ("minItems", "Items of a list, at least.", whole()),
            ("maxItems", "Items of a list, at most.", whole()),
            ("minProperties", "Members of an object, at least.", whole()),
            ("maxProperties", "Members of an object, at most.", whole()),
            ("minimum", "A number is at least this.", number()),
            ("maximum", "A number is at most this.", number()),
            ("exclusiveMinimum", "A number is more than this.", number()),
            ("exclusiveMaximum", "A number is less than this.", number()),
            ("multipleOf", "A number is a multiple of this, which is more than 0.", number()),
            ("uniqueItems", "No item of a list is there twice. Default: `false`.", flag()),
            ("items", "What each item of a list is. Without it, anything.", to("schema")),
            ("properties", "The members of an object, at most 512.", map(to("schema"))),
            (
                "required",
                "Members that an object must have: names of `properties`. In a group of `anyOf` or `oneOf` \
                 they are those of the schema around it. Not secrets: the scheme that names one requires it.",
                list(text()),
            ),
            (
                "additionalProperties",
                "Members that `properties` does not name. `false`: there are none. `true`: they may be \
                 anything. A schema: each is like it. Default: `false`.",
                json!({"anyOf": [flag(), to("schema")]}),
            ),
            (
                "anyOf",
                "At least one of them holds; 1 to 16. Of settings, config and fields as a whole, each says \
                 `required` alone.",
                list(to("schema")),
            ),
            (
                "oneOf",
                "Exactly one of them holds; 1 to 16. Of settings, config and fields as a whole, each says \
                 `required` alone.",
                list(to("schema")),
            ),
            ("dependentRequired", "Where the member of this name is given, these are required.", map(list(text()))),
            (
                "x-secret",
                "The setting comes from a Secret by `Destination.spec.secrets`, and only `auth` sees it. It is \
                 held against its schema when it is read. For settings of `type: string` directly in \
                 `properties`. Default: `false`.",
                flag(),
            ),
            (
                "x-identity",
                "A setting that makes the account, or a member of config that says which records are meant: \
                 with another value, a Mapping has other records there. Directly in `properties` of settings \
                 or config, and no secret. Default: `false`.",
                flag(),
            ),
            (
                "x-pii",
                "The value is about a person. For readers: the page of a built-in definition says so; nothing \
                 else depends on it. Default: `false`.",
                flag(),
            ),
            (
                "x-coerce",
                "Texts of numbers and of truth values become what `type` allows, and numbers and truth values \
                 become texts where only those are allowed. For fields with such a type. Default: `false`.",
                flag(),
            ),
            (
                "x-choices",
                "The `id` of a list of `discover` that knows the values. It helps people to choose; other \
                 values are not refused. For properties; of a list it stands beside `items`.",
                text(),
            ),
            (
                "x-requiredWhen",
                "When the property is required. In config it sees `settings` and `cfg`; in fields also `op` \
                 (`insert`, `update` or `upsert`) and `f`, which is the whole record. A property of an object \
                 is required where the object is there. A Mapping without it is wrong if the condition holds \
                 for each of its records; else a record without a value is rejected, `MISSING_FIELD`.",
                to("condition"),
            ),
            (
                "x-role",
                "What the destination uses the field for. `matchKey`: it finds the record by it. `groupKey`: \
                 it puts the record there, such as into a list. `eventId` and `eventTime`: which event it is, \
                 and when it happened; for readers: the page of a built-in definition says so. For fields \
                 that a path names.",
                names(["matchKey", "groupKey", "eventId", "eventTime"]),
            ),
            (
                "x-normalize",
                "What is done to a text or a number, step by step, before it is sent, or hashed if `x-hash` says so; at most 8. What a \
                 step makes nothing of becomes NULL. For fields.",
                list(names(NormalizeStep::names())),
            ),
            (
                "x-hash",
                "Sends the hash of a text, in hexadecimal digits. What is a hash already is not hashed again, \
                 and an empty text becomes NULL. For fields of `type: string`.",
                names(["sha256", "sha1", "md5"]),
            ),
            (
                "x-onNull",
                "What NULL becomes, unless the Mapping says it. `send`: null. `omit`: the field is left out. \
                 `reject`: the record is rejected. An object with `additionalProperties` says it for its \
                 members, too. Default: `reject` if it is required, `send` if `type` allows null, else \
                 `omit`. For fields.",
                names(["send", "omit", "reject"]),
            ),
            (
                "x-maxBytes",
                "Bytes of a text, or of the JSON of another value, at most: a record with more is rejected. \
                 For fields.",
                to("size"),
            ),
            (
                "x-columns",
                "Usual names of the column, at most 32: what is said of a field that is not mapped suggests \
                 them. For fields.",
                list(text()),
            ),
        ],
    )
}
