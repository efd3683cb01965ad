//! Every type: how it is selected, and what becomes of what the documents say that arrives.

use super::*;
use crate::rest::golden;

#[test]
fn every_type_is_selected_and_decoded_as_the_golden_file_says() {
    let printed = serde_json::to_string(PRINTED).unwrap();
    let file = include_str!("testdata/types.json").replace("PRINTED", printed.trim_matches('"'));
    golden::check::<ColumnInfo>(&file, "c", 24);
}

#[test]
fn names_are_quoted_where_they_stand_in_sql() {
    let column = ColumnInfo { name: "a`; DROP".into(), type_text: "STRING".into() };
    assert_eq!(column.reading().unwrap().expression, "_m.`a``; DROP`");
}
