//! `Model.status`.

use backflow_core::code::cut;
use backflow_core::result::CheckResult;
use backflow_crds::v1alpha1::{Column, Model, ModelStatus};

/// What the condition says of a list of columns that was cut: it is then no proof that a column is missing.
pub const COLUMNS_CUT: &str = "status.columns is not complete";

/// Keeps what a check found.
pub fn learn(model: &Model, status: &mut ModelStatus, found: &CheckResult) -> String {
    let column = |column: &backflow_core::cell::Column| Column {
        name: cut(column.name.clone(), 255),
        type_: cut(column.kind.clone(), 128),
    };
    status.columns = found.columns.iter().map(column).collect();
    status.primary_key = model.spec.primary_key.clone();
    if found.columns_truncated {
        return format!("it has more columns than a result can name: {COLUMNS_CUT}");
    }
    match status.columns.len() {
        1 => "it has 1 column".into(),
        columns => format!("it has {columns} columns"),
    }
}
