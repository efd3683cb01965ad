//! Every type: what it is called, how it is selected, and what becomes of its values.

use backflow_core::cell::Cell;
use serde::Deserialize;
use serde_json::Value;

use super::*;

#[derive(Deserialize)]
struct Golden {
    kind: u8,
    #[serde(default)]
    flags: u16,
    /// Of text, if not said.
    #[serde(default = "utf8")]
    charset: u16,
    #[serde(default)]
    length: u32,
    #[serde(default)]
    decimals: u8,
    #[serde(default)]
    format: String,
    name: String,
    select: Option<String>,
    /// What arrives, and the JSON that is sent; null if it is refused, or NULL.
    values: Vec<(String, Value)>,
}

fn utf8() -> u16 {
    45
}

fn sent(wire: Wire, bytes: &[u8]) -> Value {
    let mut out = Vec::new();
    let encoded = encode(wire, bytes, Encoder::new(&mut out));
    let cell = encoded.and_then(|_| Cell::decode(&mut out.as_slice()));
    cell.as_ref().map_or(Value::Null, Cell::to_json)
}

#[test]
fn every_type_is_selected_and_decoded_as_the_golden_file_says() {
    let goldens: Vec<Golden> = serde_json::from_str(include_str!("testdata/types.json")).unwrap();
    for golden in goldens {
        let Golden { kind, flags, charset, length, decimals, format, .. } = golden;
        let column = Definition { name: "c".into(), kind, flags, charset, length, decimals, format };
        assert_eq!(name(&column), golden.name);
        let reading = reading(&column);
        assert_eq!(reading.as_ref().map(|reading| &reading.expression), golden.select.as_ref(), "{}", golden.name);
        for (text, json) in golden.values {
            assert_eq!(sent(reading.as_ref().unwrap().wire, text.as_bytes()), json, "{} {text}", golden.name);
        }
    }
}

#[test]
fn bits_are_a_number() {
    assert_eq!(sent(Wire::Bit, &[1, 0]), 256);
    assert_eq!(sent(Wire::Bit, &[0xff; 8]), "18446744073709551615");
    assert_eq!(sent(Wire::Bit, &[0; 9]), Value::Null);
}

#[test]
fn dates_on_no_calendar_are_null_and_told() {
    for (wire, text) in [
        (Wire::Date, "0000-00-00"),
        (Wire::Date, "2026-00-01"),
        (Wire::Date, "2026-02-00"),
        (Wire::DateTime("Z"), "0000-00-00 00:00:00.000000"),
    ] {
        let mut out = Vec::new();
        assert_eq!(encode(wire, text.as_bytes(), Encoder::new(&mut out)), Some(Encoded::ZeroDate), "{text}");
        assert_eq!(Cell::decode(&mut out.as_slice()), Some(Cell::Null));
    }
}

#[test]
fn names_are_quoted_where_they_stand_in_sql() {
    assert_eq!(quote("a`; DROP\\"), "`a``; DROP\\`");
}
