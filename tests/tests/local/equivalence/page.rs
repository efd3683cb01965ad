//! The page of the documentation, made of the files that the command holds to what is so.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use backflow_core::selection::Operation;
use backflow_definitions::builtin;
use serde_json::Value;

use super::cases::{Case, Change, FORGET, Tool, folder};
use super::compare::{Kind, Same};

const HEAD: &str = "<!-- Made by `cargo xtask equivalence` from tests/equivalence. -->

# Compared with Segment

Segment publishes the code of its actions. The same rows are given to it and to Backflow, and what both would send is compared: method, URL, query,
headers and body.

```sh
cargo xtask equivalence            # all tools, some minutes
cargo xtask equivalence hubspot    # one
```

The command installs Segment's package into the cache, runs its actions with every request caught (nothing leaves the machine), runs `backflow`
with a Mapping of the same columns against the fake vendors, and compares. It fails if a difference is not listed here, or if a listed one is gone. It needs `node` and
`npm`, and the package registry once; it is no part of `cargo xtask test`, which sends all cases by Backflow alone, holds this page to the list, and plants
differences that the comparing must find.

Requests are compared record by record: the entries of a batch count as much as requests of one record each. The order of members and of records does not count, nor do
headers of the client itself (`User-Agent`, `Accept-Encoding`), nor times of the run.
";

/// Where it is.
pub(crate) fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/equivalence.md")
}

/// The page.
pub(crate) fn page(tools: &[Tool]) -> String {
    let package = std::fs::read_to_string(folder().join("package.json")).unwrap();
    let package: Value = serde_json::from_str(&package).unwrap();
    let version = package["dependencies"]["@segment/action-destinations"].as_str().unwrap();
    let mut page = HEAD.to_owned();
    writeln!(page, "\nCompared with `@segment/action-destinations` {version}.\n").unwrap();
    writeln!(page, "| tool | definition | cases | actions of Segment's | listed differences |\n|---|---|---|---|---|")
        .unwrap();
    for tool in tools {
        let definition = builtin(&tool.name).unwrap();
        let actions: BTreeSet<&String> = tool.cases.iter().map(|case| &case.segment.action).collect();
        let actions = actions.into_iter().filter(|action| *action != FORGET);
        let title = &definition.title;
        let (cases, differences) = (tool.cases.len(), tool.differences.len());
        let link = title.to_lowercase().replace(' ', "-");
        let (name, version, actions) = (&tool.name, definition.version, actions.count());
        writeln!(page, "| [{title}](#{link}) | `{name}` {version} | {cases} | {actions} | {differences} |").unwrap();
    }
    for one in tools {
        tool(&mut page, one);
    }
    page
}

fn tool(page: &mut String, tool: &Tool) {
    writeln!(page, "\n## {}\n", builtin(&tool.name).unwrap().title).unwrap();
    writeln!(page, "| case | Segment's action | ours | rows | |\n|---|---|---|---|---|").unwrap();
    for case in &tool.cases {
        let theirs = &case.segment;
        let mut segment = match theirs.action.as_str() {
            FORGET => "a person's deletion".to_owned(),
            action => format!("`{action}`"),
        };
        theirs.sync_mode.iter().for_each(|mode| write!(segment, ", {mode}").unwrap());
        segment.push_str(if theirs.batch { ", batch" } else { "" });
        let ours = format!("`{}`, {}", case.ours.action, case.ours.sync_mode.as_deref().unwrap_or("records"));
        let change = match case.change {
            Change::Added => "added",
            Change::Updated => "changed",
            Change::Deleted => "gone",
        };
        writeln!(page, "| {} | {segment} | {ours} | {} | {change} |", case.name, case.rows.len()).unwrap();
    }
    writeln!(page, "\n| where | Segment | Backflow | why |\n|---|---|---|---|").unwrap();
    for listed in &tool.differences {
        let cases = listed.cases.as_ref().map_or(String::new(), |cases| format!(" ({})", cases.join("; ")));
        let at = cell(&listed.at);
        let (segment, ours) = match listed.same {
            Some(Same::Text) => ("a number or a boolean, or text".to_owned(), "the same, the other way".to_owned()),
            Some(Same::Time) => ("a time".to_owned(), "the same moment".to_owned()),
            Some(Same::Trimmed) => ("a text".to_owned(), "the same but for spaces around it".to_owned()),
            Some(Same::Caseless) => ("a text".to_owned(), "the same but for capitals".to_owned()),
            None => (value(&listed.segment), value(&listed.ours)),
        };
        writeln!(page, "| `{at}`{cases} | {segment} | {ours} | {}: {} |", kind(listed.kind), cell(&listed.reason))
            .unwrap();
    }
    for (title, names) in [("Only Segment has", &tool.only_segment), ("Only Backflow has", &tool.only_ours)] {
        if names.is_empty() {
            continue;
        }
        writeln!(page, "\n{title}:\n").unwrap();
        for (name, why) in names {
            writeln!(page, "- `{name}`: {why}").unwrap();
        }
    }
}

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Meaning => "**same meaning**",
        Kind::Api => "**the vendor's API**",
        Kind::Batch => "**batches**",
        Kind::Repeats => "**repeats**",
        Kind::Mark => "**sender's mark**",
        Kind::Choice => "**decided otherwise**",
        Kind::Fault => "**fault of Segment's code**",
    }
}

fn value(value: &Option<Value>) -> String {
    match value {
        None => "–".to_owned(),
        Some(Value::String(text)) if text == "<<any>>" => "a value".to_owned(),
        Some(value) => format!("`{}`", cell(&value.to_string()).replace("<<any>>", "…")),
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// What our action does with the case's rows.
pub(crate) fn operation(case: &Case) -> Operation {
    match (case.change, case.ours.sync_mode.as_deref()) {
        (Change::Deleted, _) => Operation::Delete,
        (_, Some("Insert")) | (Change::Added, None) => Operation::Insert,
        (_, Some("Update")) | (Change::Updated, None) => Operation::Update,
        (_, Some(_)) => Operation::Upsert,
    }
}
