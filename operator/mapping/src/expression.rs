//! What templates and expressions have in common.

use std::collections::BTreeSet;

/// Characters of a template or an expression, at most.
pub(crate) const LONGEST: usize = 4096;

/// What a template or an expression refers to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct References {
    /// Columns by name.
    pub(crate) columns: BTreeSet<String>,
    /// All columns, because it takes the record as a whole.
    pub(crate) whole: bool,
    /// Loops in each other.
    pub(crate) loops: usize,
}
