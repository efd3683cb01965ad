//! What needs no foreign code: the comparing finds what is planted, and the files cover all that is ours.

use std::collections::BTreeSet;

use backflow_definitions::builtin;
use serde_json::{Value, json};

use super::cases::{Case, Tool, tools};
use super::compare::Kind;
use super::read::Request;
use super::{Shown, compared, gone, page};

#[test]
fn the_page_says_what_the_files_say() {
    let page = std::fs::read_to_string(page::path()).unwrap_or_default();
    assert_eq!(page, page::page(&tools()), "docs/equivalence.md is old: run `cargo xtask equivalence`");
}

#[test]
fn every_operation_of_ours_has_a_case_or_a_reason() {
    let mut wrong = Vec::new();
    for tool in tools() {
        let definition = builtin(&tool.name).expect("a file is named after a definition");
        for (name, action) in &definition.actions {
            for operation in &action.operations {
                let has = |case: &Case| case.ours.action == *name && operation.ops.contains(&page::operation(case));
                let reason =
                    operation.ops.iter().any(|op| tool.only_ours.contains_key(&format!("{name} {}", op.as_str())))
                        || tool.only_ours.contains_key(name);
                if tool.cases.iter().any(has) == reason {
                    let ops: Vec<&str> = operation.ops.iter().map(|op| op.as_str()).collect();
                    wrong.push(format!("{}: {name} ({})", tool.name, ops.join(", ")));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "these need a case, or else a reason in onlyOurs: {wrong:#?}");
}

#[test]
fn a_difference_is_listed_for_cases_that_there_are() {
    for tool in tools() {
        let names: BTreeSet<&String> = tool.cases.iter().map(|case| &case.name).collect();
        assert_eq!(names.len(), tool.cases.len(), "{}: two cases have one name", tool.name);
        for listed in &tool.differences {
            let unknown = listed.cases.iter().flatten().find(|name| !names.contains(name));
            assert_eq!(unknown, None, "{}: {}", tool.name, listed.at);
        }
    }
}

fn request(method: &str, url: &str, body: &Value) -> Request {
    Request::caught(&json!({
        "method": method, "url": url, "headers": {"Content-Type": "application/json"}, "body": body.to_string(),
    }))
    .unwrap()
}

/// A tool whose vendor takes one record at `/one/{id}`, and several at `/many`.
fn vendor(listed: &Value) -> Tool {
    serde_json::from_value(json!({
        "destination": "vendor",
        "reads": [
            {"request": "PATCH https://vendor.example/one/*", "step": "write"},
            {"request": "POST https://vendor.example/many", "step": "write", "items": "/rows", "key": "/item/id"},
        ],
        "cases": [{
            "name": "case", "rows": [{"id": "1"}, {"id": "2"}],
            "segment": {"action": "write"}, "ours": {"action": "write"},
        }],
        "differences": listed,
    }))
    .unwrap()
}

fn many(rows: &Value) -> Result<Vec<Request>, String> {
    Ok(vec![request("POST", "https://vendor.example/many?strict=1", &json!({"rows": rows}))])
}

fn places(shown: &Shown) -> Vec<&str> {
    shown.wrong.iter().map(|wrong| wrong.lines().next().unwrap().rsplit(' ').next().unwrap()).collect()
}

#[test]
fn the_same_in_another_order_is_equal() {
    let tool = vendor(&json!([]));
    let (one, other) =
        (json!([{"id": "1", "n": 1}, {"id": "2", "n": 2}]), json!([{"n": 2.0, "id": "2"}, {"n": 1, "id": "1"}]));
    let shown = compared(&tool, &tool.cases[0], many(&one), many(&other));
    assert!(shown.wrong.is_empty() && shown.has.is_empty(), "{:?}", shown.wrong);
}

#[test]
fn a_planted_difference_is_found_wherever_it_is() {
    let tool = vendor(&json!([]));
    let right = json!([{"id": "1", "name": "Ada"}, {"id": "2", "name": null}]);
    for (planted, at) in [
        (json!([{"id": "1", "name": "Bob"}, {"id": "2", "name": null}]), "/write/0/item/name"),
        (json!([{"id": "1", "name": "Ada"}, {"id": "2"}]), "/write/1/item/name"),
        (json!([{"id": "1", "name": "Ada"}, {"id": "2", "name": null, "a/b": 1}]), "/write/1/item/a~1b"),
        (json!([{"id": "1", "name": "Ada"}]), "/write/1"),
    ] {
        let shown = compared(&tool, &tool.cases[0], many(&right), many(&planted));
        assert_eq!(places(&shown), [at]);
    }
    for (url, at) in [
        ("https://vendor.example/many?strict=0", "/write/0/request/query/strict"),
        ("https://vendor.example/many", "/write/0/request/query"),
    ] {
        let ours = vec![request("POST", url, &json!({"rows": [{"id": "1"}]}))];
        let shown = compared(&tool, &tool.cases[0], many(&json!([{"id": "1"}])), Ok(ours));
        assert_eq!(places(&shown), [at]);
    }
}

#[test]
fn one_by_one_is_the_same_as_together_but_for_what_is_listed() {
    let listed = json!([
        {"at": "/requests/write", "segment": 2, "ours": 1, "kind": "batch", "reason": "one request"},
        {"at": "/write/*/request/method", "segment": "PATCH", "ours": "POST", "kind": "api", "reason": "the batch endpoint"},
        {"at": "/write/*/request/url", "segment": "https://vendor.example/one/<<any>>", "ours": "https://vendor.example/many", "kind": "api", "reason": "the batch endpoint"},
        {"at": "/write/*/request/query", "ours": {"strict": "<<any>>"}, "kind": "choice", "reason": "strict"},
        {"at": "/write/*/item/id", "ours": "<<any>>", "kind": "api", "reason": "the id is in the path"},
    ]);
    let tool = vendor(&listed);
    let alone = |name: &str| {
        Ok(vec![
            request("PATCH", "https://vendor.example/one/1", &json!({"name": name})),
            request("PATCH", "https://vendor.example/one/2", &json!({"name": "Eve"})),
        ])
    };
    let together = json!([{"id": "1", "name": "Ada"}, {"id": "2", "name": "Eve"}]);
    let shown = compared(&tool, &tool.cases[0], alone("Ada"), many(&together));
    assert_eq!((shown.wrong, shown.has.len()), (Vec::new(), 5));
    let shown = compared(&tool, &tool.cases[0], alone("Bob"), many(&together));
    assert_eq!(places(&shown), ["/write/0/item/name"]);
}

#[test]
fn a_listed_difference_that_is_gone_or_of_another_value_is_found() {
    let listed = |more: Value| {
        let mut listed = json!({"at": "/write/*/item/name", "segment": "A<<any>>", "ours": "Bob", "kind": "choice", "reason": "why"});
        listed.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        vendor(&json!([listed]))
    };
    let (ada, bob) = (json!([{"id": "1", "name": "Ada"}]), json!([{"id": "1", "name": "Bob"}]));
    let tool = listed(json!({}));
    let has = |segment: &Value, ours: &Value| compared(&tool, &tool.cases[0], many(segment), many(ours));
    assert_eq!(has(&ada, &bob).wrong, Vec::<String>::new());
    assert_eq!(places(&has(&bob, &ada)), ["/write/0/item/name"], "the other way round");
    assert_eq!(places(&has(&ada, &json!([{"id": "1"}]))), ["/write/0/item/name"], "ours has nothing");
    let shown = has(&ada, &ada);
    assert_eq!(gone(&tool, &[("case", shown.has)]).len(), 1);
    let both = [("case", BTreeSet::from([0])), ("other", BTreeSet::new())];
    assert_eq!(gone(&tool, &both), Vec::<String>::new(), "some case has it");
    assert_eq!(gone(&listed(json!({"cases": ["case", "other"]})), &both).len(), 1, "a case that is named lacks it");
    assert_eq!(Kind::Choice, tool.differences[0].kind);
}

#[test]
fn values_that_are_the_same_in_some_way_are_so_in_no_other() {
    let listed =
        |same: &str| vendor(&json!([{"at": "/write/0/item/name", "same": same, "kind": "meaning", "reason": "why"}]));
    for (same, segment, ours, other) in [
        ("text", json!(12), json!("12"), json!("12.0")),
        ("time", json!("2026-01-01T10:00:00.000Z"), json!("2026-01-01T11:00:00+01:00"), json!("2026-01-01T11:00:00Z")),
        ("trimmed", json!(" Ada"), json!("Ada"), json!("ada")),
        ("caseless", json!("Ada"), json!("ADA"), json!("ADA ")),
    ] {
        let tool = listed(same);
        let has = |ours: &Value| {
            let rows = |name: &Value| many(&json!([{"id": "1", "name": name}]));
            compared(&tool, &tool.cases[0], rows(&segment), rows(ours)).wrong.len()
        };
        assert_eq!((has(&ours), has(&other), has(&json!({"a": 1}))), (0, 1, 1), "{same}");
    }
}

#[test]
fn a_request_that_nobody_can_read_is_no_equality() {
    let tool = vendor(&json!([]));
    let stranger = || Ok(vec![request("POST", "https://vendor.example/other", &json!({}))]);
    assert_eq!(compared(&tool, &tool.cases[0], stranger(), stranger()).wrong.len(), 1);
    assert_eq!(compared(&tool, &tool.cases[0], Err("fails".into()), many(&json!([]))).wrong.len(), 1);
}
