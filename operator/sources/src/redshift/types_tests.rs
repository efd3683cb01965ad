//! Every type: how it is selected, and what becomes of what arrives.

use super::*;
use crate::rest::golden;

#[test]
fn every_type_is_selected_and_decoded_as_the_golden_file_says() {
    golden::check::<ResultColumn>(include_str!("testdata/types.json"), "c", 27);
}

#[test]
fn names_are_quoted_where_they_stand_in_sql() {
    let column = ResultColumn { name: "a\"; DROP".into(), id: 25 };
    assert_eq!(column.reading().unwrap().expression, "_m.\"a\"\"; DROP\"");
}
