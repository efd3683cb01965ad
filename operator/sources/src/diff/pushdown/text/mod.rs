//! The statements, in words that every warehouse knows but for what a [`Dialect`] spells.
//!
//! The words are those that all of them read in the same way: numbers are cast and not shifted, no function is given NULL where some
//! take it for the answer and others for nothing, and no column has a name that any of them keeps for itself.

pub(super) mod delta;
mod judge;
pub(super) mod moves;
pub(super) mod page;
pub(super) mod resolve;
pub(super) mod summary;
pub(super) mod tables;

use super::dialect::Dialect;
use super::typed::{Kind, Names};

/// `{}` in a template.
pub(super) fn fill(template: &str, operand: &str) -> String {
    template.replace("{}", operand)
}

fn prefixed<'a>(table: &str, columns: impl Iterator<Item = &'a str>) -> String {
    columns.map(|name| format!("{table}.{name}")).collect::<Vec<_>>().join(", ")
}

/// Both tables have the same key.
fn same_key(names: &Names, one: &str, other: &str) -> String {
    names.key_names().map(|name| format!("{one}.{name} = {other}.{name}")).collect::<Vec<_>>().join(" AND ")
}

fn cast<D: Dialect>(dialect: &D, value: &str, kind: Kind) -> String {
    dialect.cast(value, dialect.kind(kind))
}

/// Whether a change of this kind is sent.
fn sent<D: Dialect>(dialect: &D, pairs: &[(u8, bool)], kind: &str, unsent: &str) -> String {
    let has = |kind: u8, unsent: bool| pairs.contains(&(kind, unsent));
    let unsent = dialect.or(&dialect.is(unsent), false);
    let mut parts = Vec::new();
    let mut whole = Vec::new();
    for number in [super::codes::kind::DELETED, super::codes::kind::UPDATED, super::codes::kind::ADDED] {
        match (has(number, false), has(number, true)) {
            (true, true) => whole.push(number.to_string()),
            (true, false) => parts.push(format!("{kind} = {number} AND NOT {unsent}")),
            (false, true) => parts.push(format!("{kind} = {number} AND {unsent}")),
            (false, false) => {}
        }
    }
    if !whole.is_empty() {
        parts.insert(0, format!("{kind} IN ({})", whole.join(", ")));
    }
    if parts.is_empty() { dialect.is(dialect.boolean(false)) } else { format!("({})", parts.join(" OR ")) }
}
