//! Fields in the Common Expression Language: what their expressions see of a row.
//!
//! An expression sees the columns that it names as members of `record`, and in `items.each` the `item`. `optional.none()` leaves the
//! field out.

use std::collections::BTreeSet;

use backflow_core::cell::Cell;
use backflow_expressions::{Expression, Values, Variables};

/// What to do instead of a long text.
pub(crate) const SIMPLER: &str = "make the value in the Model's SQL";

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

/// Compiles an expression and says what it refers to. `inside`: it stands in `items.each`.
///
/// # Errors
/// All mistakes, each a sentence with its place.
pub(crate) fn compile(source: &str, inside: bool) -> Result<(Expression, References), Vec<String>> {
    let unknown = |name: &str| match name {
        "item" => "\"item\" is there in items.each only".to_owned(),
        _ => {
            let names = if inside { "record and item" } else { "record" };
            format!("there is no variable \"{name}\"; a column is record.{name} (there is {names})")
        }
    };
    let names: &[&str] = if inside { &["record", "item"] } else { &["record"] };
    let variables = Variables { names, unknown: &unknown, simpler: SIMPLER };
    let (expression, found) = backflow_expressions::compile(source, &variables)?;
    let record = found.variables.get("record").cloned().unwrap_or_default();
    let references =
        References { columns: record.named.into_keys().collect(), whole: record.whole, loops: found.loops };
    Ok((expression, references))
}

/// What expressions see of a row: the columns that any of them names.
pub(crate) fn values<'v>(columns: impl Iterator<Item = (&'v str, &'v Cell)>) -> Result<Values<'v>, String> {
    let mut values = Values::new()?;
    values.add_cells("record", columns)?;
    Ok(values)
}

#[cfg(test)]
#[path = "expression_tests.rs"]
mod tests;
