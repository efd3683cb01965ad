use backflow_core::cell::Cell;
use backflow_core::plan::{Field, FieldSource, Include, OnNull};
use backflow_core::selection::{Selection, SyncMode};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::testing::{any_cell, mapping};

fn columns(names: &[&str]) -> Vec<Column> {
    names.iter().map(|name| Column { name: (*name).to_owned(), kind: "text".to_owned() }).collect()
}

fn column(name: &str, on_null: OnNull) -> Field {
    Field { on_null, ..FieldSource::Column(name.to_owned()).into() }
}

fn value(value: Value) -> Field {
    FieldSource::Value(value).into()
}

fn include(names: &[&str], except: &[&str], into: Option<&str>) -> Option<Include> {
    let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Some(Include { columns: own(names), except: own(except), into: into.map(str::to_owned) })
}

fn render(mapping: &MappingPlan, names: &[&str], row: &[Cell]) -> Result<String, backflow_core::record::Rejection> {
    let compiled = compile(mapping, &columns(names), None).expect("no findings");
    compiled.bind(&columns(names)).expect("binds").render(row, Operation::Upsert)
}

fn text(text: &str) -> Cell {
    Cell::Text(text.into())
}

#[test]
fn paths_columns_constants_and_include_make_one_object() {
    let mapping = mapping(
        [
            ("id", column("id", OnNull::Send)),
            ("properties.kind", value(json!({"a": [1, null]}))),
            (r"a\.b", column("email", OnNull::Send)),
        ],
        include(&["*"], &["email"], Some("properties")),
    );
    let data = render(&mapping, &["id", "email", "pl.an"], &[Cell::Int(1), text("a\"b"), Cell::Null]).expect("renders");
    assert_eq!(data, r#"{"a.b":"a\"b","id":1,"properties":{"kind":{"a":[1,null]},"id":1,"pl.an":null}}"#);
}

#[test]
fn rows_are_read_by_the_order_they_are_bound_to() {
    let mapping = mapping([("a", column("x", OnNull::Send)), ("b", column("y", OnNull::Send))], None);
    let compiled = compile(&mapping, &columns(&["x", "y", "z"]), None).expect("no findings");
    assert_eq!(compiled.used_columns(), ["x", "y"]);
    let renderer = compiled.bind(&columns(&["y", "other", "x"])).expect("binds");
    assert_eq!(
        renderer.render(&[text("Y"), text("-"), text("X")], Operation::Upsert).expect("renders"),
        r#"{"a":"X","b":"Y"}"#
    );
    assert_eq!(compiled.bind(&columns(&["x"])).unwrap_err().code, Code::ColumnNotFound);
    assert_eq!(renderer.render(&[text("Y")], Operation::Upsert).unwrap_err().code, "ROW_TOO_SHORT");
}

#[test]
fn null_is_sent_left_out_or_refused() {
    let with = |on_null| mapping([("a.b", column("x", on_null)), ("c", column("y", on_null))], None);
    let row = [Cell::Null, Cell::Int(1)];
    assert_eq!(render(&with(OnNull::Send), &["x", "y"], &row).expect("renders"), r#"{"a":{"b":null},"c":1}"#);
    assert_eq!(render(&with(OnNull::Omit), &["x", "y"], &row).expect("renders"), r#"{"c":1}"#);
    assert_eq!(render(&with(OnNull::Omit), &["x", "y"], &[Cell::Null, Cell::Null]).expect("renders"), "{}");
    let rejection = render(&with(OnNull::Reject), &["x", "y"], &row).unwrap_err();
    assert_eq!((rejection.code.as_str(), rejection.field.as_deref()), ("NULL_NOT_ALLOWED", Some("a.b")));
    let json_null = [Cell::Json("null".into()), Cell::Json("[]".into())];
    assert_eq!(render(&with(OnNull::Reject), &["x", "y"], &json_null).expect("a value"), r#"{"a":{"b":null},"c":[]}"#);
}

#[test]
fn a_deleted_row_has_the_constants_only() {
    let compiled = |mapping: &MappingPlan| {
        compile(mapping, &columns(&["x", "y"]), None).expect("no findings").deletion().to_owned()
    };
    assert_eq!(compiled(&mapping([("a", column("x", OnNull::Reject))], include(&["y"], &[], None))), "{}");
    let constants =
        [("k.t", value(json!("customer"))), ("k.x", column("x", OnNull::Send)), ("l.x", column("x", OnNull::Send))];
    assert_eq!(compiled(&mapping(constants, None)), r#"{"k":{"t":"customer"}}"#);
}

#[test]
fn all_findings_come_at_once() {
    let wrong = mapping(
        [
            ("a", column("idd", OnNull::Send)),
            ("a.b", column("id", OnNull::Send)),
            ("c..d", value(json!(1))),
            ("email", value(json!(1))),
        ],
        include(&["*", "nope"], &["mail"], None),
    );
    let findings = check(&wrong, Some(&columns(&["id", "email"])), None);
    let found: Vec<(&str, &str)> = findings.iter().map(|finding| (finding.path.as_str(), finding.code)).collect();
    assert_eq!(
        found,
        [
            ("fields.a", "UnknownColumn"),
            ("fields.a.b", "ConflictingFields"),
            ("fields.c..d", "InvalidPath"),
            ("include.except", "UnknownColumn"),
            ("include.columns", "UnknownColumn"),
            ("include.columns", "ConflictingFields"),
        ]
    );
    assert_eq!(
        findings[0].message,
        "fields.a: column \"idd\" is not in the model (did you mean \"id\"? there are: id, email)"
    );
    assert_eq!(findings[1].message, "fields.a.b: a.b and a cannot both be mapped: one is inside the other");
    assert_eq!(findings[5].message, "include.columns: email is mapped twice; list the column in include.except");
    // Without columns only what is wrong by itself is found.
    let codes: Vec<&str> = check(&wrong, None, None).iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["ConflictingFields", "InvalidPath"]);
}

#[test]
fn objects_and_values_are_in_each_others_way_from_both_sides() {
    let names = columns(&["id"]);
    // BTreeMap order makes `a.b` come after `a`, but `a-b.c` before `a.b`; `include.into` always comes last.
    let inside = mapping([("p", value(json!({"x": 1})))], include(&["id"], &[], Some("p.q")));
    assert_eq!(check(&inside, Some(&names), None)[0].code, "ConflictingFields");
    let above = mapping([("id.x", value(json!(1)))], include(&["id"], &[], None));
    let finding = &check(&above, Some(&names), None)[0];
    assert!(finding.message.contains("id and id.x cannot both be mapped"), "{finding:?}");
}

#[test]
fn something_must_be_mapped_unless_only_deletions_are_sent() {
    let mut empty = mapping(std::iter::empty::<(&str, Field)>(), None);
    assert_eq!(check(&empty, None, None)[0].code, "EmptyMapping");
    empty.selection = Selection::SyncMode(SyncMode::Delete);
    assert_eq!(check(&empty, None, None), []);
    let nothing = mapping(std::iter::empty::<(&str, Field)>(), include(&["*"], &["id"], None));
    assert_eq!(check(&nothing, Some(&columns(&["id"])), None)[0].code, "EmptyInclude");
    assert_eq!(check(&nothing, None, None), []);
}

fn on_null() -> impl Strategy<Value = OnNull> {
    prop_oneof![Just(OnNull::Send), Just(OnNull::Omit), Just(OnNull::Reject)]
}

fn source() -> impl Strategy<Value = Field> {
    prop_oneof![
        4 => (0..4_usize, on_null()).prop_map(|(n, on_null)| column(&format!("c{n}"), on_null)),
        1 => any::<String>().prop_map(|text| value(json!({"v": text}))),
    ]
}

/// The slow, obviously right way: sets each path in a `serde_json::Value`.
fn oracle(mapping: &MappingPlan, row: &[Cell]) -> Option<Value> {
    fn set(object: &mut Map<String, Value>, path: &[String], value: Value) {
        if let [name] = path {
            object.insert(name.clone(), value);
        } else if let Value::Object(inner) = object.entry(path[0].clone()).or_insert_with(|| json!({})) {
            set(inner, &path[1..], value);
        }
    }
    let mut record = Map::new();
    for (path, field) in &mapping.fields {
        let value = match &field.from {
            FieldSource::Value(value) => value.clone(),
            FieldSource::Column(name) => {
                let cell = &row[name[1..].parse::<usize>().expect("c0 to c3")];
                match (cell.is_null(), field.on_null) {
                    (true, OnNull::Reject) => return None,
                    (true, OnNull::Omit) => continue,
                    _ => cell.to_json(),
                }
            }
            other => panic!("this test makes no {other:?}"),
        };
        set(&mut record, &split(path).expect("a path"), value);
    }
    if let Some(include) = &mapping.include {
        for (name, cell) in ["c0", "c1", "c2", "c3"].iter().zip(row) {
            if !include.except.iter().any(|except| except == name) {
                let path = [include.into.clone().expect("given"), (*name).to_owned()];
                set(&mut record, &path, cell.to_json());
            }
        }
    }
    Some(Value::Object(record))
}

proptest! {
    #[test]
    fn records_are_what_the_slow_way_makes(
        fields in prop::collection::btree_map("[a-cé\"]{1,2}(\\.[a-c]{1,2}){0,2}", source(), 1..10),
        all in prop::option::of("[ax-z]"),
        except in 0..4_usize,
        row in prop::collection::vec(any_cell(), 4),
    ) {
        let names = ["c0", "c1", "c2", "c3"];
        let include = all.and_then(|into| include(&["*"], &[&format!("c{except}")], Some(&into)));
        let mapping = mapping(fields, include);
        // Fields in each other's way are found, and are another test's matter.
        prop_assume!(check(&mapping, Some(&columns(&names)), None).is_empty());
        match (render(&mapping, &names, &row), oracle(&mapping, &row)) {
            (Ok(data), Some(expected)) => {
                let data: Value = serde_json::from_str(&data).expect("JSON");
                prop_assert_eq!(data, expected);
            }
            (Err(rejection), None) => prop_assert_eq!(rejection.code, "NULL_NOT_ALLOWED"),
            (rendered, expected) => prop_assert!(false, "{rendered:?} but {expected:?}"),
        }
    }

    #[test]
    fn any_path_either_splits_or_says_why(path in "[a.\\\\]{0,8}") {
        if let Ok(names) = split(&path) {
            prop_assert_eq!(joined(&names), path);
        }
    }
}

#[test]
fn records_are_matched_and_grouped_by_a_mapped_value() {
    let plan = |match_by: &str, group_by: &str| {
        let fields = [("contact.email", column("email", OnNull::Send)), ("list", value(json!("vip")))];
        MappingPlan { match_by: Some(match_by.into()), group_by: Some(group_by.into()), ..mapping(fields, None) }
    };
    let columns = columns(&["id", "email"]);
    let renderer = compile(&plan("contact.email", "list"), &columns, None).unwrap().bind(&columns).unwrap();
    assert!(renderer.identifies());
    let memory = renderer.memory(&[Cell::Int(1), Cell::Text("a\"b".into())]).unwrap();
    assert_eq!((memory.match_key.as_deref(), memory.group_key.as_deref()), (Some("\"a\\\"b\""), Some("\"vip\"")));
    assert_eq!(renderer.memory(&[Cell::Int(1), Cell::Null]).unwrap().match_key, None);
    for unmapped in ["email", "contact", "contact.email.x", ""] {
        let found = compile(&plan(unmapped, "list"), &columns, None).unwrap_err();
        assert!(found[0].path == "config" && ["UnmappedField", "InvalidPath"].contains(&found[0].code), "{found:?}");
    }
}

#[test]
fn the_cookbook_names_every_filter_and_every_function() {
    let page = include_str!("../../../docs/mapping-cookbook.md");
    for name in crate::template::filters() {
        assert!(page.contains(&format!("`{name}`")) || page.contains(&format!("`{name}(")), "filter {name}");
    }
    for name in backflow_expressions::functions() {
        let ways = [format!(".{name}("), format!("`{name}(")];
        assert!(ways.iter().any(|way| page.contains(way)), "function {name}");
    }
}
