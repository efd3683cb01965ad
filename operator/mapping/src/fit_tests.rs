use backflow_core::finding::Finding;
use backflow_core::plan::MappingPlan;
use backflow_core::selection::{Operation, Selection, SyncMode};
use backflow_definitions::{Action, Definition, load};
use backflow_expressions::Json;
use serde_json::{Value, json};

use crate::testing::{planned, row};
use crate::{Target, check, compile, on_null};

/// A definition whose action has these fields.
fn definition(fields: &str) -> Definition {
    let text = format!(
        "definition: test\nversion: 1\ntitle: Test\ndescription: D.\ncategory: generic\nverification: fixture-verified\n\
         settings: {{type: object, properties: {{stream: {{type: string, description: S.}}}}}}\nauth: {{choose: [{{id: none, description: N., type: none}}]}}\n\
         http: {{baseUrl: https://a.example.com, hosts: {{allow: [a.example.com]}}}}\nlimits: {{concurrency: {{max: 1}}}}\n\
         actions:\n  send:\n    title: Send\n    description: D.\n    syncModes: [Insert, Upsert, Delete, Mirror]\n    \
         idempotent: true\n    config: {{type: object, properties: {{by: {{type: string, default: id, description: B.}}}}}}\n    \
         fields: {fields}\n    batch: {{maxRecords: 10}}\n    operations:\n      - for: [insert, upsert, delete]\n        \
         request: {{method: POST, path: /, item: \"${{f}}\", body: $items}}\n        results: {{mode: whole}}\n"
    );
    load(&text).unwrap_or_else(|error| panic!("{error}"))
}

/// Settings of a Destination that has none.
static NOTHING: Json = Json::Null;

fn target(action: &Action) -> Option<Target<'_>> {
    Some(Target { action, settings: &NOTHING })
}

fn with<T>(fields: &str, used: impl FnOnce(&Action) -> T) -> T {
    used(definition(fields).action("send").expect("there is one"))
}

/// The Mapping as `plan` makes it: where it does not say what NULL becomes, the action does.
fn mapping(fields: Value, action: &Action) -> MappingPlan {
    let mut mapping = planned(fields.clone());
    for (path, field) in &mut mapping.fields {
        if fields[path].get("onNull").is_none() {
            field.on_null = on_null(action, path);
        }
    }
    mapping
}

fn rendered(schema: &str, fields: Value, values: &Value) -> Result<Value, String> {
    with(schema, |action| {
        let (columns, cells) = row(values);
        let compiled = compile(&mapping(fields, action), &columns, target(action)).unwrap_or_else(|f| panic!("{f:?}"));
        let record = compiled.bind(&columns).expect("binds").render(&cells, Operation::Upsert);
        record
            .map(|text| serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
            .map_err(|rejection| format!("{} {}", rejection.code, rejection.message))
    })
}

fn findings(schema: &str, fields: Value, mode: SyncMode) -> Vec<Finding> {
    with(schema, |action| {
        let mut mapping = mapping(fields, action);
        mapping.selection = Selection::SyncMode(mode);
        check(&mapping, Some(&row(&json!({"a": 1, "b": "x"})).0), target(action))
    })
}

fn column(name: &str) -> Value {
    json!({"from": {"column": name}})
}

#[test]
fn values_are_sent_as_the_action_takes_them() {
    let schema = "{type: object, properties: {id: {type: string, x-coerce: true}, e: {type: string, x-normalize: [email], x-hash: md5}, \
        price: {type: number}, at: {type: integer, x-normalize: [unix]}, any: {}}}";
    let fields =
        json!({"id": column("id"), "e": column("mail"), "price": column("p"), "at": column("t"), "any": column("j")});
    let values = json!({"id": 7, "mail": " ABC@x.y ", "p": {"decimal": "12345678901234567890.10"}, "t": "2026-03-01T12:00:00Z",
        "j": {"a": [1]}});
    // `printf %s abc@x.y | md5sum`
    let expected = json!({"id": "7", "e": "cdcb9eb202b3ef7ae0186bdaecf2e155", "price": 12345678901234567890.10, "at": 1772366400,
        "any": {"a": [1]}});
    assert_eq!(rendered(schema, fields, &values), Ok(expected));
}

#[test]
fn a_wrong_type_rejects_the_record_and_tells_no_value() {
    for (property, value, words) in [
        ("{type: string}", json!(777), "INVALID_FIELD field x: must be text"),
        ("{type: number}", json!("777"), "INVALID_FIELD field x: must be a number"),
        ("{type: integer}", json!(7.77), "INVALID_FIELD field x: must be a whole number"),
        ("{type: object, additionalProperties: true}", json!([777]), "INVALID_FIELD field x: must be an object"),
        (
            "{type: string, pattern: '^[a-z]+$'}",
            json!("777"),
            "INVALID_FIELD field x: does not match the pattern ^[a-z]+$",
        ),
        ("{type: string, x-maxBytes: 2}", json!("777"), "TOO_LARGE field x: is longer than 2 bytes"),
        ("{type: array, items: {type: string}}", json!([777]), "INVALID_FIELD field x[0]: must be text"),
    ] {
        let schema = format!("{{type: object, properties: {{x: {property}}}}}");
        let found = rendered(&schema, json!({"x": column("v")}), &json!({"v": value})).expect_err(property);
        assert_eq!(found, words);
    }
}

#[test]
fn null_becomes_what_the_action_says_unless_the_mapping_does() {
    let schema = "{type: object, required: [id], properties: {id: {type: string}, a: {type: string}, b: {type: [string, 'null']}}}";
    let values = json!({"id": "1", "none": null});
    let fields = json!({"id": column("id"), "a": column("none"), "b": column("none")});
    assert_eq!(rendered(schema, fields, &values), Ok(json!({"id": "1", "b": null})));
    let without = rendered(schema, json!({"id": column("none")}), &values).expect_err("required");
    assert!(without.starts_with("NULL_NOT_ALLOWED"), "{without}");
    let omitted = json!({"id": {"from": {"column": "none"}, "onNull": "Omit"}});
    let without = rendered(schema, omitted, &values).expect_err("required, whatever the Mapping says");
    assert_eq!(without, "MISSING_FIELD field id: has no value and is required");
    let nothing = json!({"id": {"from": {"cel": "optional.none()"}}});
    assert!(rendered(schema, nothing, &values).expect_err("required").starts_with("MISSING_FIELD"));
}

#[test]
fn what_a_record_needs_as_a_whole_is_looked_at() {
    let schema = "{type: object, anyOf: [{required: [a]}, {required: [b]}], dependentRequired: {c: [d]}, properties: \
        {a: {type: string}, b: {type: string}, c: {type: string}, d: {type: string}, \
        e: {type: string, x-requiredWhen: \"has(f.d) && f.d == 'x'\"}}}";
    let fields = json!({"a": column("a"), "b": column("b"), "c": column("c"), "d": column("d"), "e": column("e")});
    let record = |a: Value, b: Value, c: Value, d: Value, e: Value| {
        rendered(schema, fields.clone(), &json!({"a": a, "b": b, "c": c, "d": d, "e": e}))
    };
    let (null, x) = (Value::Null, json!("x"));
    assert_eq!(record(x.clone(), null.clone(), null.clone(), null.clone(), null.clone()), Ok(json!({"a": "x"})));
    let none = record(null.clone(), null.clone(), null.clone(), null.clone(), null.clone()).expect_err("anyOf");
    assert_eq!(none, "MISSING_FIELD the record needs at least one of: a, b");
    let half = record(x.clone(), null.clone(), x.clone(), null.clone(), null.clone()).expect_err("dependentRequired");
    assert_eq!(half, "MISSING_FIELD field d: has no value and is required with c");
    let asked = record(x.clone(), null.clone(), null.clone(), x.clone(), null.clone()).expect_err("x-requiredWhen");
    assert_eq!(asked, "MISSING_FIELD field e: has no value and is required (because has(f.d) && f.d == 'x')");
    assert!(record(x.clone(), null.clone(), null, x.clone(), x).is_ok());
}

#[test]
fn what_is_required_may_depend_on_the_destinations_settings() {
    let schema = "{type: object, properties: {a: {type: [string, integer], x-requiredWhen: \"has(settings.stream)\"}, b: {type: string}, \
        c: {type: [string, integer], x-requiredWhen: \"settings.?stream.orValue('') == 'app' && has(f.b)\"}}}";
    let settings = |stream: Option<&str>| match stream {
        Some(stream) => Json::from(&json!({"stream": stream})),
        None => Json::from(&json!({})),
    };
    with(schema, |action| {
        let (columns, cells) = row(&json!({"x": "1", "y": null}));
        let judged = |fields: Value, stream: Option<&str>| {
            let settings = settings(stream);
            let target = Some(Target { action, settings: &settings });
            let mapping = mapping(fields, action);
            let compiled = compile(&mapping, &columns, target).map_err(|found| found[0].message.clone())?;
            let rendered = compiled.bind(&columns).expect("binds").render(&cells, Operation::Upsert);
            rendered.map_err(|rejection| rejection.message.to_string())
        };
        let b = || json!({"b": column("x")});
        assert!(judged(b(), None).is_ok());
        let missing = judged(b(), Some("web")).expect_err("a is required");
        assert!(missing.contains("needs the field a (because has(settings.stream))"), "{missing}");
        // What names a value of the record is judged of each record.
        let all = |c: &str| json!({"a": column("x"), "b": column("x"), "c": column(c)});
        assert!(judged(all("y"), Some("web")).is_ok() && judged(all("x"), Some("app")).is_ok());
        let missing = judged(all("y"), Some("app")).expect_err("c is null");
        assert!(missing.starts_with("field c: has no value and is required (because settings.?stream"), "{missing}");
    });
}

/// What becomes of a record that is sent by an operation, `findings` of the Mapping included.
fn sent(schema: &str, fields: Value, values: &Value, mode: SyncMode, op: Operation) -> Result<Value, String> {
    with(schema, |action| {
        let (columns, cells) = row(values);
        let mapping = MappingPlan { selection: Selection::SyncMode(mode), ..mapping(fields, action) };
        let compiled = compile(&mapping, &columns, target(action)).map_err(|found| found[0].message.clone())?;
        let record = compiled.bind(&columns).expect("binds").render(&cells, op);
        record.map(|text| serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))).map_err(
            |rejection| {
                let field = rejection.field.as_deref().unwrap_or_default();
                format!("{} {field}: {}", rejection.code, rejection.message)
            },
        )
    })
}

#[test]
fn what_an_operation_requires_rejects_records_without_it() {
    let schema = "{type: object, properties: {id: {type: string}, \
        name: {type: string, x-requiredWhen: \"op == 'insert'\"}, \
        city: {type: string, x-requiredWhen: \"op == 'insert' && f.?id.orValue('') == 'x'\"}}}";
    let fields = json!({"id": column("id"), "name": column("name"), "city": column("city")});
    let insert = |values: Value| sent(schema, fields.clone(), &values, SyncMode::Insert, Operation::Insert);
    let upsert = |values: Value| sent(schema, fields.clone(), &values, SyncMode::Upsert, Operation::Upsert);
    let without = || json!({"id": "x", "name": null, "city": null});
    assert_eq!(upsert(without()), Ok(json!({"id": "x"})));
    let missing = insert(without()).expect_err("a name is required");
    assert_eq!(missing, "MISSING_FIELD name: field name: has no value and is required (because op == 'insert')");
    assert_eq!(insert(json!({"id": "y", "name": "n", "city": null})), Ok(json!({"id": "y", "name": "n"})));
    let missing = insert(json!({"id": "x", "name": "n", "city": null})).expect_err("of this id a city is required");
    assert!(missing.starts_with("MISSING_FIELD city: field city: has no value and is required"), "{missing}");
}

#[test]
fn what_is_inside_of_an_object_is_required_where_the_object_is() {
    let schema = "{type: object, properties: {kind: {type: string}, user: {type: object, properties: {\
        agent: {type: string, x-requiredWhen: \"f.kind == 'web'\"}, ip: {type: string}}}}}";
    let fields = json!({"kind": column("k"), "user.agent": column("a"), "user.ip": column("i")});
    let upsert = |kind: &str, agent: Value, ip: Value| {
        let values = json!({"k": kind, "a": agent, "i": ip});
        sent(schema, fields.clone(), &values, SyncMode::Upsert, Operation::Upsert)
    };
    let missing = upsert("web", Value::Null, json!("::1")).expect_err("an agent is required");
    assert_eq!(
        missing,
        "MISSING_FIELD user.agent: field user.agent: has no value and is required (because f.kind == 'web')"
    );
    assert!(upsert("app", Value::Null, json!("::1")).is_ok() && upsert("web", json!("curl"), json!("::1")).is_ok());
    assert_eq!(upsert("web", Value::Null, Value::Null), Ok(json!({"kind": "web"})), "there is no user");
}

#[test]
fn what_constants_require_is_found_before_a_row_is_seen() {
    let schema = "{type: object, properties: {kind: {type: string}, url: {type: string, x-requiredWhen: \"f.kind == 'web'\"}, \
        user: {type: object, properties: {agent: {type: string, x-requiredWhen: \"f.kind == 'web'\"}, ip: {type: string}}}}}";
    let found = |fields: Value| -> Vec<String> {
        findings(schema, fields, SyncMode::Upsert).into_iter().map(|finding| finding.message).collect()
    };
    let kind = |kind: &str| json!({"from": {"value": kind}});
    let missing = found(json!({"kind": kind("web"), "user.ip": column("b")}));
    assert_eq!(
        missing,
        [
            "fields: action \"Send\" needs the field url (because f.kind == 'web'); map it",
            "fields: action \"Send\" needs the field user.agent (because f.kind == 'web'); map it",
        ]
    );
    assert_eq!(found(json!({"kind": kind("web"), "url": column("b")})).len(), 0, "there is no user");
    assert_eq!(found(json!({"kind": kind("app"), "user.ip": column("b")})).len(), 0);
    assert_eq!(found(json!({"kind": column("b"), "user.ip": column("b")})).len(), 0, "it depends on the row");
    assert_eq!(found(json!({"user.ip": column("b")})).len(), 0, "there is no kind");
}

#[test]
fn an_object_says_what_null_becomes_in_members_without_a_schema() {
    for (policy, expected) in [
        ("send", Ok(json!({"p": {"x": null, "y": "1"}}))),
        ("omit", Ok(json!({"p": {"y": "1"}}))),
        ("reject", Err("NULL_NOT_ALLOWED")),
    ] {
        let schema = format!(
            "{{type: object, properties: {{p: {{type: object, additionalProperties: true, x-onNull: {policy}}}}}}}"
        );
        let values = json!({"n": null, "y": "1", "all": {"x": null, "y": "1"}});
        let found = rendered(&schema, json!({"p.x": column("n"), "p.y": column("y")}), &values);
        assert_eq!(found.as_ref().map_err(|why| &why[..16]), expected.as_ref().map_err(|code| *code), "{policy}");
        let whole = rendered(&schema, json!({"p": column("all")}), &values);
        assert_eq!(whole.is_ok(), expected.is_ok(), "{policy}: {whole:?}");
        if let (Ok(whole), Ok(expected)) = (whole, expected) {
            assert_eq!(whole, expected, "{policy}");
        }
    }
}

#[test]
fn wrong_fields_are_found_before_a_row_is_seen() {
    let schema = "{type: object, required: [id], anyOf: [{required: [email]}, {required: [phone]}], properties: {\
        id: {type: string, description: Your id., x-columns: [user_id, uid]}, email: {type: string}, phone: {type: string}, \
        name: {type: string, x-requiredWhen: \"op == 'insert'\"}, \
        plan: {type: string, enum: [free, pro]}, alias: {type: object, required: [label], properties: {label: {type: string}, \
        name: {type: string}}}}}";
    let good = json!({"id": column("b"), "email": column("b")});
    assert_eq!(findings(schema, good.clone(), SyncMode::Upsert), []);
    assert_eq!(findings(schema, json!({}), SyncMode::Delete), [], "deletions need no fields");
    for (fields, mode, path, code, words) in [
        (
            json!({"email": column("b")}),
            SyncMode::Upsert,
            "fields",
            "MissingField",
            "needs the field id (Your id); map it, often from a column user_id or uid",
        ),
        (json!({"id": column("b")}), SyncMode::Mirror, "fields", "MissingField", "at least one of: email, phone"),
        (good.clone(), SyncMode::Insert, "fields", "MissingField", "needs the field name (because op == 'insert')"),
        (
            json!({"id": column("b"), "emial": column("b")}),
            SyncMode::Upsert,
            "fields.emial",
            "UnknownField",
            "did you mean \"email\"?",
        ),
        (
            json!({"id": column("b"), "email": column("b"), "alias.name": column("b")}),
            SyncMode::Upsert,
            "fields",
            "MissingField",
            "alias.label",
        ),
        (
            json!({"id": column("b"), "email": column("b"), "alias.nme": column("b")}),
            SyncMode::Upsert,
            "fields.alias.nme",
            "UnknownField",
            "has no field alias.nme",
        ),
        (
            json!({"id": column("b"), "email": column("b"), "plan": {"from": {"value": "gold"}}}),
            SyncMode::Upsert,
            "fields.plan",
            "InvalidField",
            "cannot be",
        ),
        (
            json!({"id": column("b"), "email": {"from": {"value": 7}}}),
            SyncMode::Upsert,
            "fields.email",
            "InvalidField",
            "must be text",
        ),
    ] {
        let found = findings(schema, fields.clone(), mode);
        let right = found.iter().any(|one| one.path == path && one.code == code && one.message.contains(words));
        assert!(right, "{fields}: {found:#?}");
    }
}

#[test]
fn what_records_are_matched_by_is_what_is_sent() {
    let schema =
        "{type: object, properties: {e: {type: string, x-role: matchKey, x-normalize: [email], x-hash: sha256}}}";
    with(schema, |action| {
        let mut mapping = mapping(json!({"e": column("mail")}), action);
        mapping.match_by = action.match_field(&mapping.config, &|path| path == "e");
        let (columns, cells) = row(&json!({"mail": " Ada@Example.com"}));
        let renderer = compile(&mapping, &columns, target(action)).expect("no findings").bind(&columns).expect("binds");
        let memory = renderer.memory(&cells).expect("has one");
        let hash = "\"b5fc85e55755f9e0d030a10ab4429b6b2944855f9a0d60077fe832becbc41d72\"";
        assert_eq!(memory.match_key.as_deref(), Some(hash));
    });
}

#[test]
fn a_list_of_objects_fits_as_a_whole() {
    let schema = "{type: object, properties: {lines: {type: array, items: {type: object, required: [sku], properties: \
        {sku: {type: string, x-normalize: [upper]}, qty: {type: integer, x-coerce: true}}}}}}";
    let fields =
        json!({"lines": {"from": {"items": {"of": column("l"), "each": {"sku": column("s"), "qty": column("q")}}}}});
    let values = json!({"l": [{"s": "a", "q": "2"}]});
    assert_eq!(rendered(schema, fields.clone(), &values), Ok(json!({"lines": [{"sku": "A", "qty": 2}]})));
    let wrong = rendered(schema, fields, &json!({"l": [{"s": "a", "q": "two"}]})).expect_err("no number");
    assert_eq!(wrong, "INVALID_FIELD field lines[0].qty: must be a whole number");
}
