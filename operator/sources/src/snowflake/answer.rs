//! What the SQL API answers, as its OpenAPI document describes it.

use std::borrow::Cow;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer};

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

/// A value of a row: always a string, or null.
#[derive(Debug)]
pub(super) struct Value<'a>(pub(super) Option<Cow<'a, str>>);

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Value<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string or null")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Value(Some(Cow::Borrowed(text))))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Value(Some(Cow::Owned(text.to_owned()))))
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Value(None))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

/// The values of a row, as they arrived.
pub(super) fn values(row: &[u8]) -> Option<Vec<Value<'_>>> {
    serde_json::from_slice(row).ok()
}
