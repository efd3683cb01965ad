use super::*;

fn text(kind: &Kind, json: &str) -> Result<Option<String>, &'static str> {
    let mut out = String::new();
    match kind.write(json, &mut out) {
        Ok(given) => Ok(given.then_some(out)),
        Err(wrong) => Err(wrong.code),
    }
}

fn taken(kind: &Kind, json: &str, expected: &str) {
    assert_eq!(text(kind, json), Ok(Some(expected.to_owned())), "{kind:?} {json}");
}

fn refused(kind: &Kind, json: &str, code: &'static str) {
    assert_eq!(text(kind, json), Err(code), "{kind:?} {json}");
}

#[test]
fn null_is_null_everywhere() {
    for kind in [Kind::Bool, Kind::Json, Kind::Other, Kind::Array(Box::new(Kind::Other)), Kind::Text(None)] {
        assert_eq!(text(&kind, "null"), Ok(None));
    }
    taken(&Kind::Text(None), "\"null\"", "null");
}

#[test]
fn numbers_fit_their_columns() {
    let small = Kind::named("int2", -1);
    taken(&small, "32767", "32767");
    taken(&small, "-32768.0", "-32768");
    taken(&small, "\"12\"", "12");
    taken(&small, "3e2", "300");
    for wrong in ["32768", "1.5", "\"\"", "\"a\"", "true", "[1]", "{}"] {
        refused(&small, wrong, "INVALID_FIELD");
    }
    let large = Kind::named("int8", -1);
    taken(&large, "\"-9223372036854775808\"", "-9223372036854775808");
    refused(&large, "\"9223372036854775808\"", "INVALID_FIELD");
    // numeric(5,2): three digits before the point.
    let money = Kind::named("numeric", ((5 << 16) | 2) + 4);
    taken(&money, "\"-999.99\"", "-999.99");
    taken(&money, "\"000123.4\"", "000123.4");
    refused(&money, "1000", "NUMBER_OUT_OF_RANGE");
    refused(&money, "\"12 EUR\"", "INVALID_FIELD");
    taken(&Kind::named("numeric", -1), "\"123456789012345678901234567890.5\"", "123456789012345678901234567890.5");
    taken(&Kind::Float, "\"-Infinity\"", "-Infinity");
    taken(&Kind::Float, "1.5e3", "1.5e3");
    refused(&Kind::Float, "\"1e999\"", "INVALID_FIELD");
    refused(&Kind::Float, "false", "INVALID_FIELD");
}

#[test]
fn texts_are_measured_in_characters_and_blanks_at_the_end_do_not_count() {
    let short = Kind::named("varchar", 3 + 4);
    taken(&short, "\"éöü\"", "éöü");
    taken(&short, "\"abc   \"", "abc   ");
    refused(&short, "\"abcd\"", "TOO_LONG");
    refused(&short, "\"a\\u0000\"", "INVALID_CHARACTER");
    taken(&short, "1.5", "1.5");
    let text = Kind::named("text", -1);
    taken(&text, "\"a \\\"quoted\\\"\\nline\"", "a \"quoted\"\nline");
    taken(&text, "{\"a\":[1]}", "{\"a\":[1]}");
}

#[test]
fn words_documents_and_bytes() {
    taken(&Kind::Bool, "true", "true");
    taken(&Kind::Bool, "\"Off\"", "Off");
    taken(&Kind::Bool, "1", "1");
    refused(&Kind::Bool, "\"maybe\"", "INVALID_FIELD");
    let plan = Kind::Enum(vec!["free".into(), "pro".into()]);
    taken(&plan, "\"pro\"", "pro");
    let mut out = String::new();
    let wrong = plan.write("\"canary\"", &mut out).unwrap_err();
    assert_eq!(wrong.must, "must be one of: free, pro");
    taken(&Kind::Uuid, "\"6f1c9c3e-0000-4000-8000-0123456789ab\"", "6f1c9c3e-0000-4000-8000-0123456789ab");
    refused(&Kind::Uuid, "\"6f1c9c3e\"", "INVALID_FIELD");
    taken(&Kind::Json, "\"a\"", "\"a\"");
    taken(&Kind::Json, "{\"a\":null}", "{\"a\":null}");
    taken(&Kind::Bytes, "\"AP8=\"", "\\x00ff");
    refused(&Kind::Bytes, "\"no base64\"", "INVALID_FIELD");
    taken(&Kind::named("timestamptz", -1), "\"2026-01-02T03:04:05Z\"", "2026-01-02T03:04:05Z");
}

#[test]
fn lists_are_written_as_the_server_reads_arrays() {
    let array = |element: &str| Kind::Array(Box::new(Kind::named(element, -1)));
    taken(&array("text"), r#"["a", null, "b,\"c\\", ""]"#, r#"{"a",NULL,"b,\"c\\",""}"#);
    taken(&array("int4"), "[[1, 2], [3, 4]]", r#"{{"1","2"},{"3","4"}}"#);
    taken(&array("jsonb"), r#"[{"a": 1}, [2]]"#, r#"{"{\"a\": 1}","[2]"}"#);
    taken(&array("int4"), "[]", "{}");
    taken(&array("int4"), "\"{1,2}\"", "{1,2}");
    refused(&array("int4"), "[1, \"a\"]", "INVALID_FIELD");
    refused(&array("int4"), "1", "INVALID_FIELD");
}
