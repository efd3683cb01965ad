use serde_json::{Value, json};

use super::*;
use crate::testing::{findings, value};

fn cel(source: &str, row: &Value) -> Option<Value> {
    value(json!({"cel": source}), row).unwrap_or_else(|rejection| panic!("{source}: {rejection:?}"))
}

fn row() -> Value {
    json!({
        "id": 42, "big": 9_007_199_254_740_993_i64, "price": {"decimal": "12345678901234567890.10"}, "score": 1.5,
        "email": " Ada@Example.COM ", "name": "ÉLODIE", "empty": "", "none": null, "yes": true,
        "tags": ["a", "b"], "address": {"city": "Paris", "zip": null, "geo": {"lat": 48.5}},
        "lines": [{"sku": "x", "q": "2"}, {"sku": "y", "q": "3"}], "text": r#"{"a": [1]}"#, "raw": {"bytes": "abc"},
        "at": "2026-03-01T12:00:00Z", "odd name": 7,
    })
}

#[test]
fn expressions_have_values() {
    for (source, expected) in [
        ("record.id + 1", json!(43)),
        ("record.id * 2 > 80 ? 'big' : 'small'", json!("big")),
        ("double(record.id) / 100.0", json!(0.42)),
        ("record.big", json!("9007199254740993")),
        ("record.big - 9007199254740000", json!(993)),
        ("record.price", json!("12345678901234567890.10")),
        ("record.none", Value::Null),
        ("record.empty", json!("")),
        ("has(record.none)", json!(true)),
        ("record.none == null", json!(true)),
        ("num('12.5') + double(1)", json!(13.5)),
        ("num(' 7 ') + 1", json!(8)),
        ("num(record.none)", Value::Null),
        ("lower(record.name) + upper('é')", json!("élodieÉ")),
        ("record.name.lower()", json!("élodie")),
        ("record.email.trim().lowerAscii()", json!("ada@example.com")),
        ("trim(record.none)", Value::Null),
        ("title('ada LOVELACE')", json!("Ada Lovelace")),
        ("record.tags.join('-')", json!("a-b")),
        ("record.tags.map(t, t + '!')", json!(["a!", "b!"])),
        ("size(record.tags)", json!(2)),
        ("record.lines.map(l, {'sku': l.sku, 'n': int(l.q)})", json!([{"sku": "x", "n": 2}, {"sku": "y", "n": 3}])),
        ("record.lines.filter(l, int(l.q) > 2)[0].sku", json!("y")),
        ("record.address.city", json!("Paris")),
        ("record.address.?street.orValue('unknown')", json!("unknown")),
        ("record.address.zip", Value::Null),
        ("{'city': record.address.city, ?'street': record.address.?street}", json!({"city": "Paris"})),
        ("[1, optional.none(), 2]", json!([1, 2])),
        ("coalesce(record.none, record.address.?street, nonBlank(record.empty), record.id)", json!(42)),
        ("coalesce(record.none, record.none)", Value::Null),
        ("jsonEncode(record.address)", json!(r#"{"city":"Paris","geo":{"lat":48.5},"zip":null}"#)),
        ("jsonDecode(record.text).a[0]", json!(1)),
        ("jsonDecode(record.none)", Value::Null),
        ("flatten(record.address, '_')", json!({"city": "Paris", "zip": null, "geo_lat": 48.5})),
        ("flatten(record.lines, '.')", json!({"0.sku": "x", "0.q": "2", "1.sku": "y", "1.q": "3"})),
        ("flatten({'a': record.tags}, '.', false)", json!({"a": ["a", "b"]})),
        (
            "merge(record.address, {'city': 'Lyon'}, record.none)",
            json!({"city": "Lyon", "zip": null, "geo": {"lat": 48.5}}),
        ),
        ("omitNull(record.address)", json!({"city": "Paris", "geo": {"lat": 48.5}})),
        ("sha256(email(record.email))", json!("b5fc85e55755f9e0d030a10ab4429b6b2944855f9a0d60077fe832becbc41d72")),
        ("record.empty.email().sha256()", Value::Null),
        ("phone('0151 23456789', 'DE')", json!("+4915123456789")),
        ("zip(2138, 'US')", json!("02138")),
        ("unix(record.at)", json!(1_772_366_400)),
        ("unixMillis(record.at)", json!(1_772_366_400_000_i64)),
        ("date(record.at, '%d.%m.%Y')", json!("01.03.2026")),
        ("record.raw", json!("YWJj")),
        ("record['odd name']", json!(7)),
        ("type(record.id) == int", json!(true)),
        ("'a1'.matches('^[a-z][0-9]$')", json!(true)),
        ("18446744073709551615u", json!("18446744073709551615")),
        ("1.0 / 0.0", json!("Infinity")),
        ("{1: true, false: 2}", json!({"1": true, "false": 2})),
        ("jsonEncode(record).size() > 100", json!(true)),
        ("'a,b'.split(',')", json!(["a", "b"])),
        ("'abc'.replace('b', 'x').substring(1)", json!("xc")),
        ("record.none == null ? optional.of('x') : optional.none()", json!("x")),
    ] {
        assert_eq!(cel(source, &row()), Some(expected), "{source}");
    }
    for source in ["optional.none()", "record.address.?street", "record.yes ? optional.none() : optional.of(1)"] {
        assert_eq!(cel(source, &row()), None, "{source}");
    }
}

#[test]
fn mistakes_are_found_before_a_row_is_seen() {
    for (source, code, parts) in [
        ("record.", "InvalidExpression", &["fields.x.cel: at line 1, character"][..]),
        ("", "InvalidExpression", &["fields.x.cel: at line 1"]),
        ("((((((((((((( 1 )))))))))))))", "InvalidExpression", &["more than 12 brackets in each other"]),
        ("record.emial", "UnknownColumn", &["fields.x.cel: column \"emial\"", "did you mean \"email\""]),
        ("record.?emial", "UnknownColumn", &["emial"]),
        ("has(record.emial)", "UnknownColumn", &["emial"]),
        ("record['emial']", "UnknownColumn", &["emial"]),
        ("[1].map(x, record.emial)", "UnknownColumn", &["emial"]),
        ("email", "InvalidExpression", &["at character 1: there is no variable \"email\"; a column is record.email"]),
        ("1 + item.q", "InvalidExpression", &["at character 5", "\"item\" is there in items.each only"]),
        ("lowercase(record.email)", "InvalidExpression", &["there is no function \"lowercase\"", "lower"]),
        ("record.email.format([1])", "InvalidExpression", &["there is no function \"format\""]),
        ("phone(record.email, 'DE', 1)", "InvalidExpression", &["phone(…) with 3 arguments is not there", "1 to 2"]),
        ("optional.some(1)", "InvalidExpression", &["there is no function \"some\"", "none, of"]),
        ("'a'.matches('(')", "InvalidExpression", &["no regular expression"]),
        ("Thing{a: 1}", "InvalidExpression", &["write a map"]),
        ("[1].map(a, [2].map(b, [3].map(c, a)))", "InvalidExpression", &["more than 2 loops"]),
        ("record.email.split(',').map(a, record.email.split(',').map(b, a))", "InvalidExpression", &["split"]),
    ] {
        let found = findings(json!({"cel": source}), &["id", "email"]);
        assert_eq!(found.len(), 1, "{source}: {found:?}");
        assert_eq!(found[0].path, "fields.x.cel", "{source}");
        assert_eq!(found[0].code, code, "{source}: {found:?}");
        for part in parts {
            assert!(found[0].message.contains(part), "{source}: {} lacks {part}", found[0].message);
        }
    }
    let many = findings(json!({"cel": "nope(record.a) + other + record.b"}), &["id"]);
    assert_eq!(many.len(), 2, "{many:?}");
}

#[test]
fn what_an_expression_refers_to_is_known() {
    let references = |source: &str| {
        let (_, references) = compile(source, true).unwrap();
        (references.columns.into_iter().collect::<Vec<_>>().join(","), references.whole, references.loops)
    };
    let is = |columns: &str, whole: bool, loops: usize| (columns.to_owned(), whole, loops);
    assert_eq!(references("record.a + record['b c'] + record.?d.orValue('')"), is("a,b c,d", false, 0));
    assert_eq!(references("record.l.map(x, record.m.map(y, x + y + item.z))"), is("l,m", false, 2));
    assert_eq!(references("record[item.name]"), is("", true, 0));
    assert_eq!(references("[{'a': 1}].map(record, record.a)"), is("", false, 1));
    assert_eq!(references("record.a.optMap(x, x)"), is("a", false, 0));
}

#[test]
fn deep_and_long_expressions_are_refused_and_break_nothing() {
    let long = format!("'{}'", "x".repeat(5_000));
    let chain = |n: usize| format!("{}0", "record.id == 1 ? 1 : ".repeat(n));
    for source in [
        long.clone(),
        format!("{}1{}", "(".repeat(1_500), ")".repeat(1_500)),
        format!("{}1{}", "[".repeat(1_500), "]".repeat(1_500)),
        chain(190),
        "!".repeat(4_000),
        format!("{}1", "-".repeat(4_000)),
        format!("record{}", ".a".repeat(2_000)),
    ] {
        // Refused or not, it must return.
        let _ = findings(json!({"cel": source}), &["id"]);
    }
    assert!(findings(json!({"cel": long}), &["id"])[0].message.contains("longer than 4096 characters"));
    let cases = value(json!({"cel": chain(25)}), &json!({"id": 2}));
    assert_eq!(cases.unwrap(), Some(json!(0)), "25 cases are a usual list");
    let deep = format!("{{'a':{}1{}}}{}", "{'a':".repeat(9), "}".repeat(9), ".a".repeat(10));
    assert_eq!(cel(&deep, &json!({})), Some(json!(1)));
    assert_eq!(value(json!({"cel": chain(37)}), &json!({"id": 2})).unwrap(), Some(json!(0)));
    assert!(findings(json!({"cel": chain(41)}), &["id"])[0].message.contains("more than 40 parts in each other"));
    let sum = vec!["record.id"; 35].join(" + ");
    assert_eq!(cel(&sum, &json!({"id": 1})), Some(json!(35)));
}

#[test]
fn an_error_rejects_one_record_and_tells_nothing_of_it() {
    let secret = json!({"n": 0, "secret": "s3cr3t", "list": ["s3cr3t"], "map": {"s3cr3t": 1}, "deep": {"a": "s3cr3t"}});
    for source in [
        "record.map[record.deep.a + 'x']",
        "record.deep.b",
        "record.secret + 1",
        "1 / record.n",
        "1 % record.n",
        "record.list[5]",
        "int(record.secret)",
        "double(record.secret)",
        "num(record.secret)",
        "num(record.list)",
        "record.secret < 1",
        "jsonDecode(record.secret)",
        "date(record.secret, '%Y')",
        "unix(record.secret)",
        "record.secret.substring(99)",
        "record.secret.charAt(99)",
        "lower(record.list)",
        "merge(record.secret, {})",
        "record.secret.map(x, x)",
        "-9223372036854775807 - 10",
        "record.secret ? 1 : 2",
        "record[record.secret]",
        "{record.secret: 1, 's3cr3t': 2}",
        "type(record.secret)",
        "record.secret.matches(record.secret + '(')",
    ] {
        let rejection = value(json!({"cel": source}), &secret).expect_err(source);
        assert_eq!((rejection.code.as_str(), rejection.field.as_deref()), ("MAPPING_ERROR", Some("x")), "{source}");
        assert!(rejection.message.starts_with("field x: ") && rejection.message.len() > 20, "{source}: {rejection:?}");
        assert!(!rejection.message.contains("s3cr3t"), "{source}: {rejection:?}");
    }
}
