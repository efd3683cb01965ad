//! Every type: how it is selected, and what becomes of its values.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::*;

#[derive(Deserialize)]
struct Golden<'a> {
    kind: String,
    name: String,
    select: Option<String>,
    /// What arrives, and the JSON that is sent; null if it is refused, or NULL.
    #[serde(borrow)]
    values: Vec<(&'a RawValue, Value)>,
}

#[test]
fn every_type_is_selected_and_decoded_as_the_golden_file_says() {
    let goldens: Vec<Golden<'_>> = serde_json::from_str(include_str!("testdata/types.json")).unwrap();
    for golden in goldens {
        let column = Meta { name: "c".into(), kind: golden.kind.clone() };
        assert_eq!(column.kind(), golden.name);
        let reading = column.reading();
        assert_eq!(reading.as_ref().map(|reading| &reading.expression), golden.select.as_ref(), "{}", golden.kind);
        for (json, sent) in golden.values {
            let found = crate::rest::golden::sent(reading.as_ref().unwrap().wire, json.get());
            assert_eq!(found, sent, "{} {json}", golden.kind);
        }
    }
}

#[test]
fn names_and_texts_are_quoted_where_they_stand_in_sql() {
    assert_eq!(quote("a`; DROP\\"), "`a\\`; DROP\\\\`");
    assert_eq!(literal("it's \\"), "'it\\'s \\\\'");
}
