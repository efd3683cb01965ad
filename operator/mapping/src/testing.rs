//! Mappings and rows for tests.

use std::collections::BTreeMap;

use backflow_core::cell::{Cell, Column};
use backflow_core::finding::Finding;
use backflow_core::guard::Deletes;
use backflow_core::plan::{Field, Include, MappingPlan, OnMappingChange, Retry};
use backflow_core::record::Rejection;
use backflow_core::selection::{Operation, Selection, SyncMode};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{check, compile};

pub(crate) fn mapping<P: Into<String>>(
    fields: impl IntoIterator<Item = (P, Field)>,
    include: Option<Include>,
) -> MappingPlan {
    MappingPlan {
        name: "m".into(),
        state_key: "n/m".into(),
        action: "send".into(),
        selection: Selection::SyncMode(SyncMode::Mirror),
        config: BTreeMap::new(),
        fields: fields.into_iter().map(|(path, field)| (path.into(), field)).collect(),
        match_by: None,
        group_by: None,
        include,
        filter: None,
        fingerprint: String::new(),
        on_change: OnMappingChange::Resend,
        identity: BTreeMap::new(),
        deletes: Deletes::default(),
        retry: Retry::default(),
        scratch_bytes: 0,
    }
}

/// A Mapping of these fields, in the form that plans have.
pub(crate) fn planned(fields: Value) -> MappingPlan {
    let fields: BTreeMap<String, Field> = serde_json::from_value(fields).expect("fields");
    mapping(fields, None)
}

/// A row: text, whole numbers, floats, booleans and null as such, the rest as JSON columns. `{"decimal": "1.10"}` is a decimal, and
/// `{"bytes": "abc"}` bytes.
pub(crate) fn row(row: &Value) -> (Vec<Column>, Vec<Cell>) {
    let cell = |value: &Value| match value {
        Value::Null => Cell::Null,
        Value::Bool(value) => Cell::Bool(*value),
        Value::String(text) => Cell::Text(text.as_str().into()),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Cell::Int(whole),
            None => Cell::Float(number.as_f64().expect("a number")),
        },
        Value::Object(members) if members.len() == 1 && members.contains_key("decimal") => {
            Cell::Decimal(members["decimal"].as_str().expect("digits").into())
        }
        Value::Object(members) if members.len() == 1 && members.contains_key("bytes") => {
            Cell::Bytes(members["bytes"].as_str().expect("text").as_bytes().into())
        }
        document => Cell::Json(document.to_string().into()),
    };
    let members = row.as_object().expect("an object");
    members.iter().map(|(name, value)| (Column { name: name.clone(), kind: "text".into() }, cell(value))).unzip()
}

/// The record's text.
pub(crate) fn rendered_text(fields: Value, values: &Value) -> Result<String, Rejection> {
    let (columns, cells) = row(values);
    let compiled = compile(&planned(fields), &columns, None).unwrap_or_else(|findings| panic!("{findings:?}"));
    compiled.bind(&columns).expect("binds").render(&cells, Operation::Upsert)
}

/// The record.
pub(crate) fn rendered(fields: Value, values: &Value) -> Result<Value, Rejection> {
    rendered_text(fields, values)
        .map(|text| serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
}

/// One field's value; none if it is left out.
pub(crate) fn value(from: Value, values: &Value) -> Result<Option<Value>, Rejection> {
    let mut record = rendered(json!({"x": {"from": from}}), values)?;
    Ok(record.as_object_mut().expect("an object").shift_remove("x"))
}

/// The findings of one field's source, over these columns.
pub(crate) fn findings(from: Value, columns: &[&str]) -> Vec<Finding> {
    let columns: Vec<Column> =
        columns.iter().map(|name| Column { name: (*name).to_owned(), kind: "text".into() }).collect();
    check(&planned(json!({"x": {"from": from}})), Some(&columns), None)
}

/// Any cell that a warehouse may deliver.
pub(crate) fn any_cell() -> impl Strategy<Value = Cell> {
    prop_oneof![
        2 => Just(Cell::Null),
        1 => any::<bool>().prop_map(Cell::Bool),
        2 => any::<i64>().prop_map(Cell::Int),
        2 => any::<f64>().prop_map(Cell::Float),
        3 => any::<String>().prop_map(|s| Cell::Text(s.into())),
        1 => any::<Vec<u8>>().prop_map(|b| Cell::Bytes(b.into())),
        1 => "[0-9]{1,30}".prop_map(|s| Cell::Decimal(s.into())),
        1 => (any::<String>(), any::<i32>())
            .prop_map(|(k, v)| Cell::Json(json!({k: [v, null, {"a": true}]}).to_string().into())),
    ]
}
