//! Actions, batches and operations.

use serde_json::{Map, Value};

use super::part::{described, expression, flag, list, names, object, text, to, whole};

pub(super) fn definitions() -> Map<String, Value> {
    described([
        ("action", "What a Mapping may do.", action()),
        ("batch", "How much goes into a request. What an operation does not say is as its action says.", batch()),
        ("operation", "How the destination is asked for some operations.", operation()),
    ])
}

fn choice() -> Value {
    object(&["config"], [("config", "Name of a property of `config` with `format: field`.", text())])
}

fn limits() -> Value {
    object(&[], [("rate", "How many requests in how much time; all hold at once. At most 16.", list(to("rate")))])
}

fn action() -> Value {
    object(
        &["title", "description", "idempotent", "fields", "batch"],
        [
            ("title", "Name for people.", text()),
            ("description", "One sentence: what becomes of a record.", text()),
            ("docsUrl", "Address of the vendor's page about it, for readers.", text()),
            (
                "syncModes",
                "What `Mapping.spec.syncMode` may say. `Mirror` needs the operations `upsert` and `delete`, \
                 each other mode the one of its name. Needed unless there are `records`.",
                list(names(["Insert", "Update", "Upsert", "Delete", "Mirror"])),
            ),
            (
                "records",
                "What `Mapping.spec.records` may say. `Added` needs the operation `insert`, `Updated` needs \
                 `update`, `Deleted` needs `delete`. Needed unless there are `syncModes`.",
                list(names(["Added", "Updated", "Deleted"])),
            ),
            (
                "idempotent",
                "Sending a record again leaves the destination as it is. With `false`, a changed Mapping does \
                 not send all rows again unless it says so.",
                flag(),
            ),
            (
                "config",
                "The constants of `Mapping.spec.config`, which templates see as `cfg`: a schema with `type: \
                 object`. Default: there are none.",
                to("schema"),
            ),
            (
                "fields",
                "What a record is, which templates see as `f`: a schema with `type: object`. A Mapping maps \
                 its properties.",
                to("schema"),
            ),
            (
                "matchBy",
                "What in config names the field that the destination finds a record by; not beside `x-role: \
                 matchKey`. Default: the field with that role, else the primary key.",
                choice(),
            ),
            (
                "groupBy",
                "What in config names the field that the destination groups records by; not beside `x-role: \
                 groupKey`. Default: the field with that role.",
                choice(),
            ),
            (
                "batch",
                "How much goes into a request. `maxRecords` is needed here. With `native` there are only \
                 `maxRecords` and `maxBytes`.",
                to("batch"),
            ),
            (
                "ordering",
                "Which requests may be under way side by side. `none`: all. `perKey`: not two about records \
                 that are matched by the same value. `serial`: one after the other. Default: `perKey`.",
                names(["none", "perKey", "serial"]),
            ),
            (
                "delivery",
                "What becomes of records whose answer was lost. `atLeastOnce`: they are sent again. \
                 `atMostOnce`: they are rejected, for twice would be worse than never. Default: \
                 `atLeastOnce`.",
                names(["atLeastOnce", "atMostOnce"]),
            ),
            (
                "errors",
                "What answers mean, after the rules of the operation and before those of the definition; at \
                 most 64.",
                list(to("errorRule")),
            ),
            ("limits", "What the action allows, beside `limits` of the definition.", limits()),
            (
                "operations",
                "How the destination is asked, at most 8: each operation that `syncModes`, `records` or the \
                 `onMissing` of a lookup need, once. Needed unless there is `native`.",
                list(to("operation")),
            ),
        ],
    )
}

fn batch() -> Value {
    object(
        &[],
        [
            (
                "maxRecords",
                "Records, 1 to 100000. Needed in an action, which says the most for its operations.",
                whole(),
            ),
            (
                "maxBytes",
                "Bytes of the items together, before they are compressed. An action says the most for its \
                 operations. Default: `4MB`.",
                to("size"),
            ),
            (
                "maxRecordBytes",
                "Bytes of one item, at most `maxBytes`: a record with more is rejected. Default: `maxBytes`.",
                to("size"),
            ),
            (
                "groupBy",
                "Records of which these differ go into different requests; `batch.group` has the values. Over \
                 `settings`, `cfg`, `f` and `rec`, at most 8.",
                list(expression()),
            ),
            (
                "mixedOps",
                "A request may hold different operations; one operation then is for all of several. Only in an action. \
                 Default: `false`.",
                flag(),
            ),
            (
                "dedupe",
                "Of records of a batch with one key, one is sent, and the others share its outcome. Only in \
                 an action, and not with `maxRecords: 1`.",
                object(
                    &["key"],
                    [
                        ("key", "The key, over `settings`, `cfg`, `f` and `rec`.", expression()),
                        ("keep", "Which one is sent. Default: `last`.", names(["last", "first"])),
                    ],
                ),
            ),
        ],
    )
}

fn operation() -> Value {
    object(
        &["for", "request", "results"],
        [
            ("for", "Which operations.", list(names(["insert", "update", "upsert", "delete"]))),
            ("batch", "What is not as `batch` of the action says; neither `mixedOps` nor `dedupe`.", to("batch")),
            ("limits", "What the operation allows, beside `limits` of the action and of the definition.", limits()),
            ("errors", "What answers mean, before the rules of the action; at most 64.", list(to("errorRule"))),
            (
                "ensure",
                "What must exist first, such as a list or an audience; at most 4, one after the other.",
                list(to("ensure")),
            ),
            ("lookup", "How the destination's ids of records are found before they are sent.", to("lookup")),
            (
                "request",
                "The request that sends records. It sees `settings`, `cfg`, `auth`, `batch`, `items` and \
                 `ensure`, with `maxRecords: 1` also `f` and `rec`; its `item` sees `settings`, `cfg`, `f`, \
                 `rec` and `ensure`.",
                to("request"),
            ),
            ("job", "What the request begins, if all is not done with its answer.", to("job")),
            ("results", "What the answer says of each record.", to("results")),
        ],
    )
}
