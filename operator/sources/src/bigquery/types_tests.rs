//! Every type: how it is selected, and what becomes of what the API's guide says that it sends.

use super::*;
use crate::rest::golden;

#[test]
fn every_type_is_selected_and_decoded_as_the_golden_file_says() {
    golden::check::<Field>(include_str!("testdata/types.json"), "c", 18);
}

#[test]
fn names_are_quoted_where_they_stand_in_sql() {
    assert_eq!(quote("a`; DROP\\"), "`a\\`; DROP\\\\`");
}
