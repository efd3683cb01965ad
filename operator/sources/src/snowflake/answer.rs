//! What the SQL API answers, as its OpenAPI document describes it.

use serde::Deserialize;

/// Any answer, without its rows.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Envelope {
    /// Six digits.
    pub(super) code: Option<String>,
    /// SQLSTATE.
    pub(super) sql_state: Option<String>,
    /// The server's words: searched, never passed on.
    pub(super) message: Option<String>,
    /// Names the statement.
    pub(super) statement_handle: Option<String>,
    /// Of a result.
    pub(super) result_set_meta_data: Option<Meta>,
}

/// What the rows are.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Meta {
    /// Always `jsonv2`.
    pub(super) format: Option<String>,
    /// Columns.
    pub(super) row_type: Vec<RowType>,
    /// Pages.
    pub(super) partition_info: Vec<PartitionInfo>,
}

/// A column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct RowType {
    /// Its name.
    pub(super) name: String,
    /// Its type, in upper or lower case.
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// Digits of a number.
    pub(super) precision: Option<u32>,
    /// Digits of a fraction.
    pub(super) scale: Option<u32>,
    /// The type that an OBJECT, TEXT or BINARY stands for, of geographies.
    pub(super) ext_type_name: Option<String>,
}

/// A page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PartitionInfo {
    /// Rows in it.
    pub(super) row_count: u64,
}
