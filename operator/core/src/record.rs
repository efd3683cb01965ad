//! A change after field mapping, and what became of it.

use crate::code::cut;
use crate::selection::Operation;

/// What the destination is given for one change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The primary key as JSON: a value, or an array for composite keys.
    pub id: String,
    /// What is asked of the destination.
    pub op: Operation,
    /// The mapped fields: the text of one JSON object.
    pub data: String,
    /// The record's idempotency key: the same after a crash, new for every new delivery.
    pub key: String,
}

/// What became of a record. Every record that is handed to a sink gets exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The destination acknowledged it.
    Delivered {
        /// The destination's own id, when the answer tells.
        remote_id: Option<Box<str>>,
    },
    /// The destination, or the mapping, says that its content is wrong: not sent again until row or Mapping change.
    Rejected(Rejection),
    /// It was not acknowledged for another reason: the next run finds it changed again.
    Retrying,
}

/// Why a record's content was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// A stable code of ours, such as `HTTP_422` or `NULL_NOT_ALLOWED`.
    pub code: String,
    /// The destination field at fault, if known.
    pub field: Option<String>,
    /// Our own sentence, without row data.
    pub message: String,
}

impl Rejection {
    /// Makes a rejection, cutting each text to a bound that the rejects table and the result hold.
    #[must_use]
    pub fn new(code: impl Into<String>, field: Option<&str>, message: impl Into<String>) -> Self {
        Self {
            code: cut(code.into(), 64),
            field: field.map(|field| cut(field.to_owned(), 128)),
            message: cut(message.into(), 256),
        }
    }
}
