use cel::ExecutionError;

use super::*;
use crate::References;

const VARIABLES: Variables<'static> =
    Variables { names: &["f", "rec"], unknown: &|name| format!("no {name}"), simpler: "say less" };

fn value(source: &str, f: &str) -> Result<Option<String>, String> {
    let (expression, _) = compile(source, &VARIABLES).map_err(|mistakes| mistakes.join("; "))?;
    let mut values = Values::new()?;
    values.add("f", Json::parse(f).map_err(|error| error.to_string())?);
    Ok(expression.evaluate(&values)?.map(|json| json.to_string()))
}

fn references(source: &str) -> References {
    compile(source, &VARIABLES).unwrap_or_else(|mistakes| panic!("{source}: {mistakes:?}")).1
}

#[test]
fn documents_are_taken_apart_and_put_together() {
    let f = r#"{"id": 7, "none": null, "m": {"a": 1.5, "b": null, "c": "x", "d": [1, {"e": true}]}}"#;
    for (source, expected) in [
        ("pick(f.m, ['a', 'c', 'z'])", r#"{"a":1.5,"c":"x"}"#),
        ("f.m.omit(['d', 'b'])", r#"{"a":1.5,"c":"x"}"#),
        ("stringValues(f.m)", r#"{"a":"1.5","b":"","c":"x","d":"[1,{\"e\":true}]"}"#),
        ("entries(f.m.pick(['b', 'a']))", r#"[{"key":"a","value":1.5},{"key":"b","value":null}]"#),
        ("pick(f.none, ['a'])", "null"),
        ("stringValues(f.none)", "null"),
        ("merge(f.?nothing.orValue({}), {'k': f.id})", r#"{"k":7}"#),
        ("md5('abc')", r#""900150983cd24fb0d6963f7d28e17f72""#),
        ("f.m.c.sha1()", r#""11f6ad8ec52a2984abaafd7c3b516503785c2072""#),
        ("hmacSha256('key', 'abc')", r#""9c196e32dc0175f86f4b1cb89289d6619de6bee699e4c378e68309ed97a1a6ab""#),
        ("base64('a:b')", r#""YTpi""#),
        ("url('a/b')", r#""a%2Fb""#),
        (r#"soqlQuote("O'Neil")"#, r#""'O\\'Neil'""#),
        ("uuid5('dns', 'example.com')", r#""cfbff0d1-9375-5685-968c-48ce8b15ae17""#),
        ("isoDate('2026-03-01T23:00:00-05:00')", r#""2026-03-02""#),
        ("isoTime('2026-03-01 12:00:00')", r#""2026-03-01T12:00:00Z""#),
        ("digits('+1 (415)')", r#""1415""#),
        ("object(entries(pick(f.m, ['a'])))", r#"{"a":1.5}"#),
        ("flattened([[1], 2, [3, [4]]])", "[1,2,3,[4]]"),
        ("range(3)", "[0,1,2]"),
        ("isoTime(f.none)", "null"),
    ] {
        assert_eq!(value(source, f).as_ref().map(Option::as_deref), Ok(Some(expected)), "{source}");
    }
    for wrong in ["pick(f.id, ['a'])", "pick(f.m, 'a')", "uuid5('nowhere', 'a')", "entries([1])", "f.nothing"] {
        assert!(value(wrong, f).is_err(), "{wrong}");
    }
}

#[test]
fn it_is_known_which_members_must_be_there() {
    let asked = |source: &str, member: &str| references(source).variables["f"].named[member];
    assert!(asked("f.a + 1", "a").must_be_there());
    assert!(asked("f['a'] + 1", "a").must_be_there());
    assert!(asked("f.a.b.c", "a").must_be_there());
    assert!(!asked("f.?a.b", "a").must_be_there());
    assert!(!asked("f[?'a']", "a").must_be_there());
    assert!(!asked("has(f.a) ? f.a : 1", "a").must_be_there());
    assert!(references("f").variables["f"].whole);
    for source in ["f.a.b.c", "f.?a.b", "f['a']['b']", "has(f.a.b)", "f.a.?b.orValue(1)", "f[?'a'].b"] {
        let below: Vec<_> = references(source).variables["f"].below["a"].iter().cloned().collect();
        assert_eq!(below, ["b"], "{source}");
    }
    assert!(!references("rec.key").names("f"));
    assert!(references("[1].map(rec, rec + 1)").variables.is_empty(), "the loop's own name is no variable");
}

#[test]
fn mistakes_are_explained_in_the_words_of_the_place() {
    let mistakes = |source: &str| compile(source, &VARIABLES).unwrap_err();
    assert_eq!(mistakes("1 + g.a"), ["at character 5: no g"]);
    assert_eq!(mistakes(&"x".repeat(5_000)), ["it is longer than 4096 characters; say less"]);
    assert!(mistakes("f.sha265()")[0].contains("did you mean \"sha256\"?"));
}

#[test]
fn every_function_that_is_offered_is_there() {
    let language = functions::LANGUAGE.as_ref().unwrap();
    for (name, member, least, most) in functions::signatures() {
        for count in least..=most {
            let args = vec!["null"; count].join(", ");
            let source = if member { format!("null.{name}({args})") } else { format!("{name}({args})") };
            let program = language.compile(&source).unwrap_or_else(|error| panic!("{source}: {error}"));
            let answer = program.execute(&Context::with_env(Arc::clone(language)));
            assert!(!matches!(answer, Err(ExecutionError::UndeclaredReference(_))), "{source}: {answer:?}");
        }
    }
}
