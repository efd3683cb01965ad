use serde_json::{Value, json};

use super::*;
use crate::testing::{findings, value};

fn template(source: &str, row: &Value) -> Value {
    let value = value(json!({"template": source}), row).unwrap_or_else(|rejection| panic!("{source}: {rejection:?}"));
    value.unwrap_or_else(|| panic!("{source}: left out"))
}

fn row() -> Value {
    json!({
        "first": "Ada", "last": null, "email": " Ada@Example.COM ", "n": 9_007_199_254_740_993_i64, "price": {"decimal": "1.10"},
        "score": 2.5, "yes": true, "empty": "", "tags": ["a", null, "b"], "doc": {"city": "Paris", "geo": {"lat": 1.5}},
        "nodoc": null, "lines": [{"sku": "x"}, {"sku": "y"}], "text": r#"{"a": [1]}"#, "at": "2026-03-01T12:00:00Z",
        "odd name": 7, "html": "<b>&\"",
    })
}

#[test]
fn templates_are_texts() {
    for (source, expected) in [
        ("", ""),
        ("plain", "plain"),
        ("Hi {{ first }}!", "Hi Ada!"),
        ("{{ n }} {{ price }} {{ score }} {{ yes }}", "9007199254740993 1.10 2.5 true"),
        ("{{ html }}", "<b>&\""),
        ("{{ empty }}", ""),
        ("{{ first }} {{ last | default('') | trim }}", "Ada "),
        ("{{ last | default('-') }}", "-"),
        ("{{ last | lower | default('-') }}", "-"),
        ("{{ empty | default('-') }}|{{ empty | default('-', true) }}", "|-"),
        ("{{ 'x' if last is none else 'y' }}{{ 'z' if first is none }}", "x"),
        ("{% if last %}a{% else %}b{% endif %}", "b"),
        ("{% if yes %}{{ first }}{% endif %}", "Ada"),
        ("{% if doc.city == 'Paris' %}FR{% elif doc.city == 'Berlin' %}DE{% else %}??{% endif %}", "FR"),
        ("{% set x = first | upper %}{{ x }}{{ x[0:2] }}", "ADAAD"),
        ("{% with y = 1 %}{{ y + 1 }}{% endwith %}", "2"),
        ("{% for l in lines %}{{ loop.index }}{{ l.sku }}{% if not loop.last %},{% endif %}{% endfor %}", "1x,2y"),
        ("{% filter upper %}a{{ first }}{% endfilter %}", "AADA"),
        ("{{ doc.city | upper }}", "PARIS"),
        ("{{ doc.street | default('?') }}", "?"),
        ("{{ doc }}", r#"{"city":"Paris","geo":{"lat":1.5}}"#),
        ("{{ doc | tojson }}{{ tags | tojson }}", r#"{"city":"Paris","geo":{"lat":1.5}}["a",null,"b"]"#),
        ("{{ (text | fromjson).a[0] }}", "1"),
        ("{{ tags | join('+') }}{{ tags | length }}{{ tags | first }}{{ tags | last }}", "a+b3ab"),
        ("{{ 'a-b' | split('-') | join('/') }}", "a/b"),
        ("{{ first | replace('A', 'x') | truncate(2) }}", "xd"),
        ("{{ 'ada LOVELACE' | title }} {{ 'ÉA' | capitalize }}", "Ada Lovelace Éa"),
        ("{{ '3.7' | int }} {{ '3.75' | float }} {{ 2.345 | round(2) }} {{ 2.5 | round }}", "3 3.75 2.35 3.0"),
        ("{{ email | email | sha256 }}", "b5fc85e55755f9e0d030a10ab4429b6b2944855f9a0d60077fe832becbc41d72"),
        (
            "{{ '0151 23456789' | phone('DE') }} {{ 2138 | zip('US') }} {{ 'Germany' | country }}",
            "+4915123456789 02138 de",
        ),
        ("{{ at | date('%d.%m.%Y') }}", "01.03.2026"),
        ("{{ record['odd name'] }}{{ record.first }}", "7Ada"),
        ("{{ 'Ada' == first and 'a' in tags }}", "true"),
        ("{# nothing #}{% raw %}{{ x }}{% endraw %}", "{{ x }}"),
        ("line\n", "line"),
    ] {
        assert_eq!(template(source, &row()), json!(expected), "{source}");
    }
}

#[test]
fn null_makes_null_as_in_sql() {
    for source in [
        "{{ last }}",
        "Hi {{ last }}",
        "{{ last | trim | lower }}",
        "{{ nodoc.city }}",
        "{{ nodoc.city.name }}",
        "{{ nodoc['city'] }}",
        "{% for x in lines %}{{ last }}{% endfor %}",
        "{% filter upper %}{{ last }}{% endfilter %}",
        "{% set x %}{{ last }}{% endset %}x",
        "{{ empty | email }}",
        "{{ empty | sha256 }}",
    ] {
        assert_eq!(template(source, &row()), Value::Null, "{source}");
    }
    assert_eq!(template("{{ nodoc.city | default('none') }}", &row()), json!("none"));
}

#[test]
fn mistakes_are_found_before_a_row_is_seen() {
    for (source, code, parts) in [
        ("{{ first", "InvalidTemplate", &["fields.x.template: at line 1"][..]),
        ("a\n{% if first %}", "InvalidTemplate", &["at line 2"]),
        ("{{ frist }}", "UnknownColumn", &["column \"frist\" is not in the model", "did you mean \"first\""]),
        ("{{ frist[0:2] }}", "UnknownColumn", &["frist"]),
        ("{{ record.frist }}", "UnknownColumn", &["frist"]),
        ("{% for x in frist %}{{ x }}{% endfor %}", "UnknownColumn", &["frist"]),
        ("{{ first | default(frist) }}", "UnknownColumn", &["frist"]),
        ("{{ item.q }}", "UnknownColumn", &["item"]),
        (
            "{{ first | downcase }}",
            "InvalidTemplate",
            &["at line 1, character", "there is no filter \"downcase\"", "there are: default"],
        ),
        ("{{ first | replace('a') }}", "InvalidTemplate", &["filter \"replace\" takes 2 arguments, not 1"]),
        ("{{ first | round(precision=2) }}", "InvalidTemplate", &["by their place"]),
        ("{{ first is odd }}", "InvalidTemplate", &["there is no test \"odd\""]),
        ("{{ range(10) }}", "InvalidTemplate", &["there are no functions"]),
        ("{{ first.upper() }}", "InvalidTemplate", &["there are no functions"]),
        ("{{ first ~ first }}", "InvalidTemplate", &["{{ a }}{{ b }}"]),
        ("{% include 'x' %}", "InvalidTemplate", &["at line 1"]),
        ("{% macro m() %}{% endmacro %}", "InvalidTemplate", &["at line 1"]),
        (
            "{% for a in first %}{% for b in a %}{% for c in b %}{% endfor %}{% endfor %}{% endfor %}",
            "InvalidTemplate",
            &["more than 2 loops"],
        ),
    ] {
        let found = findings(json!({"template": source}), &["id", "first"]);
        assert_eq!(found.len(), 1, "{source}: {found:?}");
        assert_eq!((found[0].path.as_str(), found[0].code), ("fields.x.template", code), "{source}: {found:?}");
        for part in parts {
            assert!(found[0].message.contains(part), "{source}: {} lacks {part}", found[0].message);
        }
    }
    assert!(findings(json!({"template": "x".repeat(4_097)}), &[])[0].message.contains("longer than 4096"));
    for deep in [format!("{{{{ {}1{} }}}}", "(".repeat(1_500), ")".repeat(1_500)), "{% if first %}".repeat(250)] {
        let _ = findings(json!({"template": deep}), &["first"]);
    }
}

#[test]
fn an_error_rejects_one_record_and_tells_nothing_of_it() {
    let secret = json!({"secret": "s3cr3t", "list": ["s3cr3t"], "doc": {"a": "s3cr3t"}, "last": null, "long": "s3cr3t".repeat(20_000)});
    for source in [
        "{{ doc.b }}",
        "{{ doc.a.b.c }}",
        "{% if doc.b %}x{% endif %}",
        "{{ secret + 1 }}",
        "{{ secret | int }}",
        "{{ list | lower }}",
        "{{ secret | fromjson }}",
        "{{ secret | date('%Y') }}",
        "{{ secret | replace('', 'x') }}",
        "{{ 1 // 0 }}",
        "{% for x in secret | split('3') %}{% for y in list %}{{ y.z }}{% endfor %}{% endfor %}",
        "{% for x in long | split('3') %}{% for y in long | split('3') %}{{ y }}{% endfor %}{% endfor %}",
        "{{ long * 1000 }}",
    ] {
        let rejection = value(json!({"template": source}), &secret).expect_err(source);
        assert_eq!((rejection.code.as_str(), rejection.field.as_deref()), ("MAPPING_ERROR", Some("x")), "{source}");
        assert!(rejection.message.starts_with("field x: at line 1: "), "{source}: {rejection:?}");
        assert!(!rejection.message.contains("s3cr3t"), "{source}: {rejection:?}");
    }
}

#[test]
fn what_a_template_refers_to_is_known() {
    let references = |source: &str| {
        let (_, references) = compile(source, true).unwrap();
        (references.columns.into_iter().collect::<Vec<_>>().join(","), references.whole)
    };
    assert_eq!(references("{{ a }}{% if b %}{{ c.d }}{% endif %}{{ item.e }}"), ("a,b,c".to_owned(), false));
    assert_eq!(references("{% for x in l %}{{ x }}{{ y }}{% endfor %}{{ x }}"), ("l,x,y".to_owned(), false));
    assert_eq!(references("{% set x = a %}{{ x }}{{ record['b c'] }}"), ("a,b c".to_owned(), false));
    assert_eq!(references("{{ record | tojson }}"), (String::new(), true));
}
