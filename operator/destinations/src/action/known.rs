//! What a lookup learned of a record.

use backflow_expressions::Json;

/// What a lookup learned of a record.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Known {
    /// The destination's id, as JSON.
    pub(crate) remote_id: Option<String>,
    /// Everything that was stored.
    pub(crate) found: Option<Json>,
}
