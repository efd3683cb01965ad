//! Every type: what it is called, how it is selected, and what becomes of its values.

use backflow_core::cell::Cell;
use serde::Deserialize;
use serde_json::Value as Json;

use super::super::wire::Fields;
use super::*;

#[derive(Deserialize)]
struct Golden {
    name: String,
    /// What stands in a column's description, in hexadecimal: the user's type, flags, and the type.
    info: String,
    select: Option<String>,
    /// A value as it stands in a row, in hexadecimal, and the JSON that is sent.
    values: Vec<(String, Json)>,
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().filter(|c| !c.is_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap()).collect()
}

fn sent(kind: &Kind, row: &[u8]) -> Json {
    let mut fields = Fields(row);
    let value = kind.value(&mut fields).expect("it is there");
    assert!(fields.0.is_empty(), "all of it is the value");
    let Some(value) = value else { return Json::Null };
    let mut out = Vec::new();
    encode(wire(kind).expect("it is read"), &value.bytes(), Encoder::new(&mut out)).expect("it has its form");
    Cell::decode(&mut out.as_slice()).unwrap().to_json()
}

#[test]
fn every_type_is_selected_and_decoded_as_the_golden_file_says() {
    let goldens: Vec<Golden> = serde_json::from_str(include_str!("testdata/types.json")).unwrap();
    for golden in goldens {
        // The column's name behind it.
        let info = [bytes(&golden.info), vec![1, b'c', 0]].concat();
        let mut fields = Fields(&info);
        let column = Column::read(&mut fields).unwrap().expect("it is there");
        assert_eq!((column.name.as_str(), fields.0), ("c", &[][..]), "{}", golden.name);
        for end in 0..info.len() {
            assert_eq!(Column::read(&mut Fields(&info[..end])).unwrap(), None, "{} cut at {end}", golden.name);
        }
        assert_eq!(name(&column.kind), golden.name);
        assert_eq!(reading(&column), golden.select, "{}", golden.name);
        for (hex, json) in golden.values {
            let row = bytes(&hex);
            assert_eq!(sent(&column.kind, &row), json, "{} {hex}", golden.name);
            for end in 0..row.len() {
                assert!(column.kind.value(&mut Fields(&row[..end])).is_none(), "{} {hex} cut at {end}", golden.name);
            }
        }
    }
}

#[test]
fn the_calendar_is_the_one_of_everybody() {
    for (days, expected) in [
        (0, "0001-01-01"),
        (58, "0001-02-28"),
        (59, "0001-03-01"),
        (SINCE_1900, "1900-01-01"),
        (730_178, "2000-02-29"),
        (3_652_058, "9999-12-31"),
    ] {
        assert_eq!(date(days), expected);
    }
}

#[test]
fn what_is_no_value_of_its_type_is_not_sent() {
    let encoded = |wire, bytes: &[u8]| encode(wire, bytes, Encoder::new(&mut Vec::new()));
    assert_eq!(encoded(Wire::Guid, &[0; 15]), None);
    assert_eq!(encoded(Wire::Time(0), &[0x80, 0x51, 0x01]), None, "24 hours");
    assert_eq!(encoded(Wire::Decimal(2), &[1; 18]), None);
    assert_eq!(encoded(Wire::Text, &[0xff]), None);
    assert_eq!(encoded(Wire::Offset(7), &[0; 4]), None);
    assert_eq!(encoded(Wire::Double, &[0; 4]), None);
}

#[test]
fn names_are_quoted_where_they_stand_in_sql() {
    assert_eq!(quote("a]; DROP"), "[a]]; DROP]");
}
