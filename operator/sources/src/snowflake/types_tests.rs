//! Every type: how it is selected, and what becomes of what the API's guide says that it sends.

use serde::Deserialize;
use serde_json::Value;

use super::*;

#[derive(Deserialize)]
struct Golden {
    column: RowType,
    name: String,
    select: Option<String>,
    /// What arrives, and the JSON that is sent; null if it is refused (of JSON: null itself).
    values: Vec<(String, Value)>,
}

#[test]
fn every_type_is_selected_and_decoded_as_the_golden_file_says() {
    let goldens: Vec<Golden> = serde_json::from_str(include_str!("testdata/types.json")).unwrap();
    assert_eq!(goldens.len(), 19);
    for golden in goldens {
        let column = RowType { name: "C".into(), ..golden.column };
        assert_eq!(name(&column), golden.name);
        let reading = reading(&column);
        assert_eq!(reading.as_ref().map(|reading| &reading.expression), golden.select.as_ref(), "{}", golden.name);
        for (text, json) in golden.values {
            let cell = cell(reading.as_ref().unwrap().wire, &text);
            let found = cell.as_ref().map_or(Value::Null, Cell::to_json);
            assert_eq!(found, json, "{} {text}", golden.name);
        }
    }
}

#[test]
fn names_are_quoted_where_they_stand_in_sql() {
    let column = RowType { name: "a\"; DROP".into(), kind: "TEXT".into(), ..RowType::default() };
    assert_eq!(reading(&column).unwrap().expression, "_m.\"a\"\"; DROP\"");
}
