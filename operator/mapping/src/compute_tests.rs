use backflow_core::cell::{Cell, Column};
use backflow_core::selection::Operation;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::testing::{any_cell, planned, rendered, rendered_text, row};
use crate::{check, compile};

fn rejection(field: Value, values: &Value) -> (String, String) {
    let rejection = rendered(json!({"x": field}), values).expect_err("a rejection");
    assert_eq!(rejection.field.as_deref(), Some("x"));
    (rejection.code, rejection.message)
}

fn sent(field: Value, values: &Value) -> Value {
    rendered(json!({"x": field}), values).unwrap_or_else(|rejection| panic!("{rejection:?}"))
}

#[test]
fn values_are_parsed_then_replaced_then_defaulted() {
    let column = |steps: Value| {
        let mut field = json!({"from": {"column": "c"}});
        field.as_object_mut().unwrap().extend(steps.as_object().unwrap().clone());
        field
    };
    let plans = json!({"map": {"p1": "Pro", "2": ["Team"], "gone": null}, "default": "Free"});
    for (value, expected) in [
        (json!("p1"), json!("Pro")),
        (json!(2), json!(["Team"])),
        (json!({"decimal": "2"}), json!(["Team"])),
        (json!("other"), json!("other")),
        (json!(""), json!("")),
        (json!("gone"), json!("Free")),
        (Value::Null, json!("Free")),
    ] {
        assert_eq!(sent(column(plans.clone()), &json!({"c": value})), json!({"x": expected}), "{value}");
    }
    let flags = json!({"parse": "Boolean", "map": {"true": 1, "false": 0}});
    assert_eq!(sent(column(flags), &json!({"c": "yes"})), json!({"x": 1}));
    let reject = json!({"map": {"": null}, "onNull": "Reject"});
    assert_eq!(rejection(column(reject.clone()), &json!({"c": ""})).0, "NULL_NOT_ALLOWED");
    assert_eq!(sent(column(reject), &json!({"c": "a"})), json!({"x": "a"}));
    assert_eq!(sent(column(json!({"map": {"": null}, "onNull": "Omit"})), &json!({"c": ""})), json!({}));
    assert_eq!(
        sent(column(json!({"default": {"a": []}, "onNull": "Omit"})), &json!({"c": null})),
        json!({"x": {"a": []}})
    );
}

#[test]
fn texts_are_read_as_what_they_are() {
    let parsed = |parse: &str, value: Value| {
        rendered_text(json!({"x": {"from": {"column": "c"}, "parse": parse}}), &json!({"c": value}))
            .map(|text| text[5..text.len() - 1].to_owned())
            .map_err(|rejection| {
                assert_eq!(rejection.code, "PARSE_FAILED");
                assert!(!rejection.message.contains("s3cr3t"), "{rejection:?}");
                rejection.message
            })
    };
    for (parse, value, expected) in [
        ("Json", json!(r#" {"a": 12345678901234567890.10} "#), Some(r#"{"a": 12345678901234567890.10}"#)),
        ("Json", json!("[1, null]"), Some("[1, null]")),
        ("Json", json!({"a": 1}), Some(r#"{"a":1}"#)),
        ("Json", json!("null"), Some("null")),
        ("Json", Value::Null, Some("null")),
        ("Json", json!({"decimal": "1.10"}), Some("1.10")),
        ("Json", json!("{s3cr3t"), None),
        ("Json", json!(""), None),
        ("Number", json!("12345678901234567890.10"), Some("12345678901234567890.10")),
        ("Number", json!({"decimal": "0.10"}), Some("0.10")),
        ("Number", json!(9_007_199_254_740_993_i64), Some("9007199254740993")),
        ("Number", json!(1.5), Some("1.5")),
        ("Number", json!("+07"), Some("7")),
        ("Number", json!("s3cr3t"), None),
        ("Number", json!(true), None),
        ("Boolean", json!("T"), Some("true")),
        ("Boolean", json!(0), Some("false")),
        ("Boolean", json!(true), Some("true")),
        ("Boolean", json!("s3cr3t"), None),
        ("Boolean", json!(2), None),
        ("Timestamp", json!("2026-03-01 12:00:00"), Some("\"2026-03-01T12:00:00Z\"")),
        ("Timestamp", json!("2026-03-01T12:00:00+02:00"), Some("\"2026-03-01T10:00:00Z\"")),
        ("Timestamp", json!(1_772_366_400), Some("\"2026-03-01T12:00:00Z\"")),
        ("Timestamp", json!("s3cr3t"), None),
    ] {
        let read = parsed(parse, value.clone());
        assert_eq!(read.as_deref().ok(), expected, "{parse} {value}: {read:?}");
    }
}

#[test]
fn objects_are_dotted_fields_in_one_place() {
    let fields = json!({
        "a": {"from": {"object": {
            "b": {"from": {"column": "c"}}, "d.e": {"from": {"value": 1}}, "f": {"from": {"template": "{{ c }}!"}, "onNull": "Omit"},
        }}},
        "a.z": {"from": {"value": true}},
    });
    let record = rendered(fields.clone(), &json!({"c": "x"})).unwrap();
    assert_eq!(record, json!({"a": {"b": "x", "d": {"e": 1}, "f": "x!", "z": true}}));
    assert_eq!(rendered(fields, &json!({"c": null})).unwrap(), json!({"a": {"b": null, "d": {"e": 1}, "z": true}}));
    let omitted = json!({"a": {"from": {"object": {"b": {"from": {"column": "c"}, "onNull": "Omit"}}}}});
    assert_eq!(rendered(omitted, &json!({"c": null})).unwrap(), json!({}));
    let twice = planned(json!({
        "a": {"from": {"object": {"b": {"from": {"value": 1}}, "c": {"from": {"object": {}}}}}},
        "a.b": {"from": {"value": 2}},
    }));
    let found: Vec<(String, &str)> =
        check(&twice, None, None).into_iter().map(|found| (found.path, found.code)).collect();
    assert_eq!(
        found,
        [("fields.a.object.c.object".to_owned(), "InvalidField"), ("fields.a.b".to_owned(), "ConflictingFields")]
    );
}

#[test]
fn items_make_lists_of_objects() {
    let items = |of: Value, each: Value| json!({"from": {"items": {"of": of, "each": each}}});
    let each = json!({
        "sku": {"from": {"column": "sku"}}, "qty": {"from": {"cel": "int(item.q) * record.factor"}, "onNull": "Omit"},
        "text": {"from": {"template": "{{ item.sku }} for {{ who }}"}}, "kind": {"from": {"value": "line"}},
        "note": {"from": {"column": "note"}, "onNull": "Omit"}, "price": {"from": {"column": "p"}, "default": 0},
    });
    let row = |lines: Value| json!({"lines": lines, "factor": 10, "who": "Ada"});
    let two =
        row(json!([{"sku": "x", "q": "2", "note": null, "p": 1.5}, {"sku": "y", "q": 3, "note": "!", "extra": []}]));
    assert_eq!(
        sent(items(json!({"from": {"column": "lines"}}), each.clone()), &two),
        json!({"x": [
            {"kind": "line", "price": 1.5, "qty": 20, "sku": "x", "text": "x for Ada"},
            {"kind": "line", "note": "!", "price": 0, "qty": 30, "sku": "y", "text": "y for Ada"},
        ]})
    );
    let lines = |on_null: &str| json!({"from": {"column": "lines"}, "onNull": on_null});
    let one = json!({"sku": {"from": {"column": "sku"}}});
    assert_eq!(sent(items(lines("Send"), one.clone()), &row(Value::Null)), json!({"x": null}));
    assert_eq!(sent(items(lines("Omit"), one.clone()), &row(Value::Null)), json!({}));
    assert_eq!(rejection(items(lines("Reject"), one.clone()), &row(Value::Null)).0, "NULL_NOT_ALLOWED");
    assert_eq!(sent(items(lines("Send"), one.clone()), &row(json!([]))), json!({"x": []}));
    assert_eq!(sent(items(lines("Send"), one.clone()), &row(json!({"sku": 1}))), json!({"x": [{"sku": 1}]}));
    assert_eq!(
        sent(items(lines("Send"), one.clone()), &row(json!([{}, {"sku": null}]))),
        json!({"x": [{}, {"sku": null}]})
    );
    let text = json!({"from": {"column": "lines"}, "parse": "Json", "default": []});
    assert_eq!(sent(items(text.clone(), one.clone()), &row(json!(r#"[{"sku": "z"}]"#))), json!({"x": [{"sku": "z"}]}));
    assert_eq!(sent(items(text, one.clone()), &row(Value::Null)), json!({"x": []}));
    let cel = json!({"from": {"cel": "record.lines.filter(l, l.q > 1)"}});
    assert_eq!(
        sent(items(cel, one.clone()), &row(json!([{"q": 1}, {"q": 2, "sku": "b"}]))),
        json!({"x": [{"sku": "b"}]})
    );
    let (code, message) = rejection(items(lines("Send"), one.clone()), &row(json!("s3cr3t")));
    assert!(code == "NOT_A_LIST" && message.contains("parse: Json") && !message.contains("s3cr3t"), "{message}");
    let scalars = rendered(json!({"x": items(lines("Send"), one)}), &row(json!(["s3cr3t"]))).unwrap_err();
    assert_eq!((scalars.code.as_str(), scalars.field.as_deref()), ("MAPPING_ERROR", Some("x[].sku")));
    let whole = json!({"v": {"from": {"cel": "item"}}, "n": {"from": {"template": "n{{ item }}"}}});
    assert_eq!(sent(items(lines("Send"), whole), &row(json!([1]))), json!({"x": [{"n": "n1", "v": 1}]}));
}

#[test]
fn findings_of_nested_fields_name_their_place() {
    let mapping = planned(json!({"l": {"from": {"items": {
        "of": {"from": {"column": "linse"}},
        "each": {
            "a": {"from": {"cel": "nope"}}, "b": {"from": {"template": "{{ emial }}"}}, "c": {"from": {"column": "anything"}},
            "d..e": {"from": {"value": 1}}, "f": {"from": {"object": {}}},
        },
    }}}, "m": {"from": {"items": {"of": {"from": {"value": []}}, "each": {}}}}}));
    let columns = row(&json!({"lines": [], "email": ""})).0;
    let found: Vec<(String, &str)> =
        check(&mapping, Some(&columns), None).into_iter().map(|found| (found.path, found.code)).collect();
    let at = |path: &str, code: &'static str| (format!("fields.{path}"), code);
    assert_eq!(
        found,
        [
            at("l.items.of", "UnknownColumn"),
            at("l.items.each.a.cel", "InvalidExpression"),
            at("l.items.each.b.template", "UnknownColumn"),
            at("l.items.each.d..e", "InvalidPath"),
            at("l.items.each.f", "InvalidField"),
            at("m.items.each", "InvalidField"),
        ]
    );
}

#[test]
fn only_columns_that_are_named_are_read() {
    let used = |fields: Value| {
        let columns = row(&json!({"a": 1, "b": 1, "c": 1, "d": 1, "e": 1})).0;
        let mut used = compile(&planned(fields), &columns, None).unwrap().used_columns().to_vec();
        used.sort();
        used.join(",")
    };
    assert_eq!(
        used(json!({"x": {"from": {"template": "{{ a }}{{ record.b }}"}}, "y": {"from": {"cel": "record.c"}}})),
        "a,b,c"
    );
    assert_eq!(used(json!({"x": {"from": {"cel": "jsonEncode(record)"}}})), "a,b,c,d,e");
    assert_eq!(used(json!({"x": {"from": {"template": "{{ record }}"}}})), "a,b,c,d,e");
    let items = json!({"x": {"from": {"items": {"of": {"from": {"column": "a"}}, "each": {
        "v": {"from": {"column": "b"}}, "w": {"from": {"cel": "record.c"}},
    }}}}});
    assert_eq!(used(items), "a,c");
    assert_eq!(
        used(json!({"x": {"from": {"column": "a"}, "default": 1}, "y": {"from": {"value": 1}, "map": {"1": 2}}})),
        "a"
    );
}

#[test]
fn records_are_matched_and_grouped_by_rendered_values() {
    let values = json!({"email": " Ada@Example.COM", "list": "vip", "none": null, "bad": "x"});
    let (columns, cells) = row(&values);
    let memory = |fields: Value| {
        let mut plan = planned(fields);
        (plan.match_by, plan.group_by) = (Some("m".into()), Some("g".into()));
        compile(&plan, &columns, None).unwrap().bind(&columns).unwrap().memory(&cells)
    };
    let group = json!({"from": {"column": "list"}, "map": {"vip": "list-1"}});
    let known = memory(json!({"m": {"from": {"template": "{{ email | email }}"}}, "g": group})).unwrap();
    assert_eq!(
        (known.match_key.as_deref(), known.group_key.as_deref()),
        (Some("\"ada@example.com\""), Some("\"list-1\""))
    );
    for none in ["record.none", "optional.none()"] {
        let unknown = memory(json!({"m": {"from": {"cel": none}, "onNull": "Reject"}, "g": group})).unwrap();
        assert_eq!(unknown.match_key, None, "{none}");
    }
    let failed = memory(json!({"m": {"from": {"cel": "int(record.bad)"}}, "g": group})).unwrap_err();
    assert_eq!((failed.code.as_str(), failed.field.as_deref()), ("MAPPING_ERROR", Some("m")));
    let mut list = planned(
        json!({"m": {"from": {"items": {"of": {"from": {"value": []}}, "each": {"a": {"from": {"value": 1}}}}}}}),
    );
    list.match_by = Some("m".into());
    assert_eq!(check(&list, Some(&columns), None)[0].code, "UnmappedField");
}

#[test]
fn a_deletion_holds_no_computed_value() {
    let fields = json!({
        "a": {"from": {"template": "fixed"}}, "b": {"from": {"cel": "1"}}, "c": {"from": {"value": 1}},
        "d": {"from": {"object": {"e": {"from": {"value": 2}}}}},
        "f": {"from": {"items": {"of": {"from": {"value": [1]}}, "each": {"g": {"from": {"value": 1}}}}}},
    });
    assert_eq!(compile(&planned(fields), &[], None).unwrap().deletion(), r#"{"c":1,"d":{"e":2}}"#);
}

proptest! {
    /// However a value goes, it arrives as it would without a detour.
    #[test]
    fn every_way_of_a_value_ends_in_the_json_of_its_cell(cell in any_cell(), other in any_cell()) {
        let item = json!({"from": {"items": {
            "of": {"from": {"cel": "[{'v': record.c, 'o': record.o}]"}},
            "each": {"v": {"from": {"column": "v"}}, "o": {"from": {"cel": "item.o"}, "default": "d"}},
        }}});
        let fields = json!({
            "column": {"from": {"column": "c"}},
            "cel": {"from": {"cel": "record.c"}},
            "chosen": {"from": {"cel": "true ? record.c : record.o"}},
            "list": {"from": {"cel": "[record.c, {'o': record.o}]"}},
            "coalesced": {"from": {"cel": "coalesce(record.c, 'd')"}},
            "defaulted": {"from": {"cel": "record.c"}, "default": "d", "map": {"no value is this text": 1}},
            "omitted": {"from": {"cel": "record.c"}, "onNull": "Omit"},
            "object": {"from": {"object": {"c": {"from": {"column": "c"}, "onNull": "Omit"}, "o.o": {"from": {"column": "o"}}}}},
            "encoded": {"from": {"cel": "jsonEncode([record.c])"}, "parse": "Json"},
            "json": {"from": {"template": "{{ [c] | tojson }}"}, "parse": "Json"},
            "text": {"from": {"template": "<{{ c | default('') }}>"}},
            "items": item,
        });
        let columns = ["o", "c"].map(|name| Column { name: name.into(), kind: "text".into() });
        let compiled = compile(&planned(fields), &columns, None).expect("no findings");
        let text = compiled.bind(&columns).expect("binds").render(&[other.clone(), cell.clone()], Operation::Upsert).expect("renders");
        let record: Value = serde_json::from_str(&text).expect("JSON");
        let (c, o) = (cell.to_json(), other.to_json());
        let or = |value: &Value| if value.is_null() { json!("d") } else { value.clone() };
        let null = cell.is_null();
        for same in ["column", "cel", "chosen"] {
            prop_assert_eq!(&record[same], &c, "{}", same);
        }
        prop_assert_eq!(&record["list"], &json!([c, {"o": o}]));
        prop_assert_eq!(&record["coalesced"], &or(&c));
        prop_assert_eq!(&record["defaulted"], &or(&c));
        prop_assert_eq!(record.get("omitted"), (!null).then_some(&c));
        let object = if null { json!({"o": {"o": o}}) } else { json!({"c": c, "o": {"o": o}}) };
        prop_assert_eq!(&record["object"], &object);
        prop_assert_eq!(&record["encoded"], &json!([c]));
        prop_assert_eq!(&record["json"], &json!([c]));
        if let Cell::Text(text) = &cell {
            prop_assert_eq!(&record["text"], &json!(format!("<{text}>")));
        }
        prop_assert_eq!(&record["items"], &json!([{"v": c, "o": or(&o)}]));
    }
}
