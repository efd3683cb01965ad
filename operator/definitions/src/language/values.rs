//! Values that stand everywhere.

use serde_json::{Map, Value, json};

use super::part::{described, map, template};

pub(super) fn definitions() -> Map<String, Value> {
    described([
        (
            "template",
            "Text with `${…}` in it, each an expression in CEL. One that stands alone keeps its type; with \
             text around it, its value becomes part of the text. `f.?name` is a member that may be missing. \
             Numbers and booleans are constants.",
            json!({"type": ["string", "number", "boolean"]}),
        ),
        (
            "expression",
            "One `${…}` and nothing else: an expression in CEL, whose value keeps its type.",
            json!({"type": "string", "pattern": "^\\$\\{[\\s\\S]*\\}$"}),
        ),
        (
            "condition",
            "An expression in CEL without `${}`. It holds if it is true; one that fails does not hold.",
            json!({"type": ["string", "boolean"]}),
        ),
        (
            "tree",
            "Any JSON, with at most 256 items in a list. Texts in it are templates, and what gives nothing is \
             left out. Names of members are templates over `settings` and `cfg`. The member `...` is an \
             expression, or a list of at most 8, whose objects are put in; members that are written count \
             more. `$items` is the list of items.",
            json!({}),
        ),
        ("templates", "Names and templates, at most 64.", map(template())),
        (
            "duration",
            "A time such as `500ms`, `30s`, `15m`, `24h` or `1d`: more than 0, at most `31d`.",
            json!({"type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$"}),
        ),
        (
            "size",
            "Bytes: a number, or a text such as `100KB` (of 1000), `4MB`, `64KiB` (of 1024) or `1MiB`. More \
             than 0, at most `256MiB`.",
            json!({"type": ["integer", "string"], "pattern": "^[0-9]+(B|KB|MB|KiB|MiB)$"}),
        ),
    ])
}
