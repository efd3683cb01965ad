//! The test of a service's types: how each is selected, and what becomes of what the service says that it sends.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::row::{Described, Wire as _};

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
            let cell = reading.as_ref().unwrap().wire.cell(&text);
            let found = cell.as_ref().map_or(Value::Null, backflow_core::cell::Cell::to_json);
            assert_eq!(found, json, "{} {text}", golden.name);
        }
    }
}
