use std::sync::Arc;

use backflow_core::change::Memory;
use backflow_core::record::Record;
use backflow_core::selection::Operation;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::schema::{Additional, Schema};

const VARIABLES: [Variable; 7] =
    [Variable::Settings, Variable::Cfg, Variable::F, Variable::Rec, Variable::Body, Variable::It, Variable::Items];

fn open() -> Schema {
    Schema { additional: Additional::Any, required: vec!["id".into()], ..Schema::default() }
}

/// Compiles with everything open.
fn with<T>(compiled: impl FnOnce(&Allowed<'_>) -> T) -> T {
    let schema = open();
    compiled(&Allowed {
        variables: &VARIABLES,
        settings: &schema,
        secrets: false,
        config: Some(&schema),
        fields: Some(&schema),
        ensured: &[],
        captured: Some(&[]),
        job: &[],
        stored: None,
        promised: Promised { matched: true, grouped: false, found: false, identified: false },
    })
}

fn template(source: &str) -> Template {
    with(|allowed| allowed.template(source)).unwrap_or_else(|mistakes| panic!("{source}: {mistakes:?}"))
}

fn mistakes(source: &str) -> Vec<String> {
    with(|allowed| allowed.template(source)).expect_err(source)
}

fn tree(value: &Value) -> Tree {
    match value {
        Value::String(text) if text == "$items" => Tree::Items,
        Value::String(text) => Tree::Leaf(template(text)),
        Value::Array(items) => Tree::List(items.iter().map(tree).collect()),
        Value::Object(members) => {
            let (spread, members): (Vec<_>, Vec<_>) = members.iter().partition(|(name, _)| *name == "...");
            let spread = spread.into_iter().flat_map(|(_, value)| match value {
                Value::Array(all) => all.iter().filter_map(Value::as_str).map(template).collect(),
                one => one.as_str().map(template).into_iter().collect::<Vec<_>>(),
            });
            let members = members.into_iter().map(|(name, member)| (template(name), tree(member)));
            Tree::Object { spread: spread.collect(), members: members.collect() }
        }
        other => Tree::Leaf(Allowed::constant(Json::from(other))),
    }
}

fn record(data: &str) -> Record {
    Record {
        id: "[7,\"x\"]".into(),
        op: Operation::Upsert,
        memory: Memory { match_key: Some("\"a@b.c\"".into()), group_key: None, remote_id: Some("\"r1\"".into()) },
        data: data.into(),
        key: "k1".into(),
    }
}

/// What a tree writes for a record.
fn written(shape: &Value, data: &str) -> Result<Option<Value>, EvalError> {
    let (settings, config) =
        (Json::Object([].into()), Json::Object([("list".to_owned(), Json::Text("vip".into()))].into()));
    let constants = Scope::new().with(Variable::Settings, &settings).with(Variable::Cfg, &config);
    let bound = tree(shape).bind(&constants)?;
    let record = record(data);
    let scope = constants.with_record(RecordScope::new(&record));
    let mut out = String::new();
    let there = bound.write(&scope, &mut out)?;
    Ok(there.then(|| serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))))
}

fn is(shape: Value, data: &Value, expected: Value) {
    assert_eq!(written(&shape, &data.to_string()), Ok(Some(expected)), "{shape}");
}

#[test]
fn one_expression_keeps_its_type_and_others_become_text() {
    let f = json!({"id": 7, "a": {"b": [1, null]}, "t": "x"});
    is(json!("${f.id}"), &f, json!(7));
    is(json!("${f}"), &f, f.clone());
    is(json!("${f.?a.?b}"), &f, json!([1, null]));
    is(json!("id-${f.id}-${f.?t.orValue('')}"), &f, json!("id-7-x"));
    is(json!("$${f.id}"), &f, json!("${f.id}"));
    is(
        json!({"n": 1, "yes": true, "null": null, "l": ["a", "${f.id}"]}),
        &f,
        json!({"n": 1, "yes": true, "null": null, "l": ["a", 7]}),
    );
    assert!(written(&json!("a${f.?nothing}"), "{}").is_err(), "nothing inside of a text is an error");
}

#[test]
fn what_is_not_there_is_left_out_and_null_stays() {
    let f = json!({"id": 7, "none": null});
    is(
        json!({"a": "${f.?a}", "b": "${f.?none}", "c": ["${f.?a}", "${f.id}"], "d": {"e": "${f.?a}"}}),
        &f,
        json!({"b": null, "c": [7], "d": {}}),
    );
    is(json!({"a": "${f.?a.orValue('x')}"}), &f, json!({"a": "x"}));
    assert_eq!(written(&json!("${f.?a}"), "{}"), Ok(None));
}

#[test]
fn what_a_tree_names_wins_over_what_is_spread() {
    let f = json!({"id": 7, "a": {"x": 1, "y": 2, "we\"ird": 3}, "b": {"y": 4, "z": 5}});
    is(json!({"...": "${f.?a}", "x": "own"}), &f, json!({"x": "own", "y": 2, "we\"ird": 3}));
    is(json!({"...": "${f.?a}", "x": "${f.?nothing}"}), &f, json!({"x": 1, "y": 2, "we\"ird": 3}));
    is(
        json!({"...": ["${f.?a}", "${f.?b}"], "id": "${f.id}"}),
        &f,
        json!({"id": 7, "x": 1, "we\"ird": 3, "y": 4, "z": 5}),
    );
    is(json!({"...": "${f.?nothing}"}), &f, json!({}));
    assert!(written(&json!({"...": "${f.id}"}), &f.to_string()).is_err(), "a number cannot be spread");
}

#[test]
fn records_show_what_they_are_known_by() {
    let shape = json!({"i": "${rec.id}", "k": "${rec.key}", "o": "${rec.op}", "m": "${rec.match}", "g": "${rec.?group}",
        "r": "${rec.?remoteId}", "all": "${rec.id[0]}", "${cfg.?list}": "${cfg.?list}"});
    is(
        shape,
        &json!({}),
        json!({"i": [7, "x"], "k": "k1", "o": "upsert", "m": "a@b.c", "r": "r1", "all": 7, "vip": "vip"}),
    );
}

#[test]
fn a_body_is_written_around_its_items() {
    let items = tree(&json!({"inputs": "$items", "list": "${cfg.?list}"}));
    let config = Json::Object([("list".to_owned(), Json::Text("vip".into()))].into());
    let scope = Scope::new().with(Variable::Cfg, &config);
    let mut bound = items.bind(&scope).expect("binds");
    let envelope = bound.envelope(&scope).expect("has a value");
    assert_eq!((envelope.head.as_str(), envelope.tail.as_str()), ("{\"inputs\":", ",\"list\":\"vip\"}"));
    assert!(bound.insert("/api_key", &Json::Text("s".into())));
    assert_eq!(bound.envelope(&scope).expect("has a value").tail, ",\"list\":\"vip\",\"api_key\":\"s\"}");
    let mut list = tree(&json!("$items")).bind(&scope).expect("binds");
    assert_eq!(list.envelope(&scope).expect("has a value"), Envelope::default());
    assert!(!list.insert("/api_key", &Json::Null), "a list has no members");
}

#[test]
fn paths_are_segments() {
    let body = Json::parse(r#"{"a": "x/y?z", "none": null, "n": 7}"#).expect("JSON");
    let scope = Scope::new().with(Variable::Body, &body);
    assert_eq!(template("/a/${body.a}/${body.n}").path(&scope).as_deref(), Ok("/a/x%2Fy%3Fz/7"));
    assert_eq!(template("").path(&scope).as_deref(), Ok(""));
    assert!(template("/a/${body.none}").path(&scope).is_err() && template("/${body.?b}").path(&scope).is_err());
}

#[test]
fn conditions_that_have_no_value_do_not_hold() {
    let body = Json::parse(r#"{"ok": true, "n": 1}"#).expect("JSON");
    let holds = |source: &str, body: &Json| {
        let condition = with(|allowed| allowed.condition(source)).expect(source);
        condition.holds(&Scope::new().with(Variable::Body, body))
    };
    assert!(holds("body.ok", &body) && holds("body.n == 1", &body) && holds("has(body.ok)", &body));
    assert!(!holds("body.nothing == 1", &body) && !holds("body.n", &body));
    assert!(!holds("body.ok", &Json::Text("an error page".into())));
    assert!(with(|allowed| allowed.condition("${body.ok}")).is_err());
}

#[test]
fn what_is_not_there_for_sure_must_be_asked_for_carefully() {
    for (source, part) in [
        ("${f.name}", "write f.?name"),
        ("${rec.remoteId}", "write rec.?remoteId"),
        ("${rec.nothing}", "there is no rec.nothing"),
        ("${cfg.list}", "write cfg.?list"),
        ("${status}", "status is not there"),
        ("${g.a}", "there is no variable \"g\""),
        ("${f.id", "does not end"),
        ("${}", "no expression"),
        ("${nope(f.id)}", "there is no function \"nope\""),
        ("${f.id.matches('(')}", "no regular expression"),
    ] {
        let found = mistakes(source);
        assert!(found.iter().any(|mistake| mistake.contains(part)), "{source}: {found:?}");
    }
    for source in ["${f.id}", "${f.?name}", "${has(f.name) ? f.name : ''}", "${rec.match}", "${rec.key}"] {
        template(source);
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        (-1e6..1e6).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[abx]", inner, 0..4).prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

const SHAPES: [&str; 18] = [
    "${f.id.x}",
    "${f.id.a.?b}",
    "${f}",
    "${f.id}",
    "${f.?a}",
    "${f.?a.?b}",
    "${f.?a.?b.?x}",
    "${f.?a.orValue('d')}",
    "${f.?a.?b.orValue([])}",
    "${f.?x.orValue(0)}",
    "${f.?a.orValue({})}",
    "${f.?b.orValue(null)}",
    "${f.?a.orValue(true)}",
    "${rec.id}",
    "${rec.key}",
    "${rec.?match}",
    "${rec.?group}",
    "${rec.?remoteId.orValue('none')}",
];

/// A value without the texts that numbers of more digits than the interpreter keeps become.
fn comparable(value: Result<Option<Json>, EvalError>) -> Result<Option<String>, ()> {
    value.map(|value| value.map(|value| value.to_string())).map_err(|_| ())
}

proptest! {
    #[test]
    fn what_is_copied_is_what_the_interpreter_would_say(
        data in prop::collection::btree_map("[abx]", any_value(), 0..4),
        id in any_value(),
        at in 0..SHAPES.len(),
    ) {
        let mut data: serde_json::Map<String, Value> = data.into_iter().collect();
        data.insert("id".into(), id);
        let record = record(&Value::Object(data).to_string());
        let scope = Scope::new().with_record(RecordScope::new(&record));
        let template = template(SHAPES[at]);
        let Body::Value(leaf) = &template.body else { panic!("one expression") };
        prop_assert!(leaf.path.is_some(), "{} is copied", SHAPES[at]);
        let interpreted = scope.values([&leaf.references]).and_then(|values| leaf.interpreted(&values));
        prop_assert_eq!(comparable(leaf.value(&scope)), comparable(interpreted.clone()), "{}", SHAPES[at]);

        let bound = Tree::Leaf(template).bind(&Scope::new()).expect("binds");
        let mut out = String::new();
        let written = bound.write(&scope, &mut out).map(|there| there.then(|| Json::parse(&out).expect("JSON")));
        prop_assert_eq!(comparable(written), comparable(interpreted), "{}", SHAPES[at]);
    }
}

#[test]
fn trees_are_shared_between_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&Arc::new(tree(&json!({"a": "${f.id}"})).bind(&Scope::new()).expect("binds")));
}
