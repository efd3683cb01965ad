//! The test of a service's types: how each is selected, and what becomes of what the service says that it sends.

use backflow_core::cell::Cell;
use backflow_core::encode::Encoder;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::row::{Described, Wire};

#[derive(Deserialize)]
struct Golden {
    column: Value,
    name: String,
    select: Option<String>,
    /// What arrives, and the JSON that is sent; null if it is refused (of JSON: null itself).
    values: Vec<(String, Value)>,
}

/// Checks so many types of a golden file, each as one of a column of this name.
pub(crate) fn check<C: Described + DeserializeOwned>(file: &str, column_name: &str, types: usize) {
    let goldens: Vec<Golden> = serde_json::from_str(file).unwrap();
    assert_eq!(goldens.len(), types);
    for mut golden in goldens {
        golden.column["name"] = column_name.into();
        let column: C = serde_json::from_value(golden.column).unwrap();
        assert_eq!(column.kind(), golden.name);
        let reading = column.reading();
        assert_eq!(reading.as_ref().map(|reading| &reading.expression), golden.select.as_ref(), "{}", golden.name);
        for (text, json) in golden.values {
            assert_eq!(sent(reading.as_ref().unwrap().wire, &text), json, "{} {text}", golden.name);
        }
    }
}

/// The JSON that is sent of what arrives; null if it is refused.
pub(crate) fn sent(wire: impl Wire, text: &str) -> Value {
    let mut encoded = Vec::new();
    let cell = wire.encode(text, Encoder::new(&mut encoded)).and_then(|()| Cell::decode(&mut encoded.as_slice()));
    cell.as_ref().map_or(Value::Null, Cell::to_json)
}
