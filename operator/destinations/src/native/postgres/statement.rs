//! The one statement of a part: every value of a column as an array of texts, which the server casts to the column's type.

use backflow_core::selection::Operation;
use backflow_postgres::quote;

use super::batch::Shape;
use super::table::{Table, Written};

/// How a statement ends that gives the places of the rows that it changed.
pub(super) const PLACES: &str = " RETURNING x.n";

/// What becomes of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// Inserted, each time. With a key column: unless a row has it.
    Append,
    /// Inserted, unless a row has the key.
    Insert,
    /// Inserted, or the row that has the key is changed.
    Upsert,
    /// The row that has the key is changed; the statement gives the places of those that were.
    Update,
    /// The row that has the key is deleted.
    Delete,
}

impl Verb {
    pub(super) const fn of(op: Operation, appends: bool) -> Self {
        match op {
            _ if appends => Self::Append,
            Operation::Insert => Self::Insert,
            Operation::Upsert => Self::Upsert,
            Operation::Update => Self::Update,
            Operation::Delete => Self::Delete,
        }
    }
}

/// The statement for rows of a shape, of whose columns the first `keys` are what rows are found by.
pub(super) fn statement(table: &Table, shape: &Shape, keys: usize, verb: Verb) -> String {
    let named = table.quoted();
    let columns: Vec<_> = shape.columns.iter().filter_map(|at| table.columns.get(*at)).collect();
    let names: Vec<String> = columns.iter().map(|column| quote(&column.name)).collect();
    let value = |at: usize| match columns[at].type_name.as_str() {
        "text" => format!("x.c{}", at + 1),
        name => format!("x.c{}::{name}", at + 1),
    };
    let list = |all: &mut dyn Iterator<Item = String>| all.collect::<Vec<_>>().join(", ");
    let arrays = list(&mut (1..=columns.len()).map(|at| format!("${at}::text[]")));
    let given = list(&mut (1..=columns.len()).map(|at| format!("c{at}")));
    let found = || (0..keys).map(|at| format!("t.{} = {}", names[at], value(at))).collect::<Vec<_>>().join(" AND ");
    match verb {
        Verb::Append | Verb::Insert | Verb::Upsert => {
            let always = columns.iter().any(|column| column.written == Written::AsIdentity);
            let overriding = if always { " OVERRIDING SYSTEM VALUE" } else { "" };
            let values = list(&mut (0..columns.len()).map(value));
            let mut sql = format!(
                "INSERT INTO {named} ({}){overriding} SELECT {values} FROM unnest({arrays}) AS x({given})",
                names.join(", ")
            );
            if keys > 0 {
                // In one order, so that batches that meet do not wait for each other in a circle.
                let order = list(&mut (1..=keys).map(|at| at.to_string()));
                let conflict = names[..keys].join(", ");
                sql.push_str(&format!(" ORDER BY {order} ON CONFLICT ({conflict}) DO "));
                if verb == Verb::Upsert && columns.len() > keys {
                    let changes = list(&mut names[keys..].iter().map(|name| format!("{name} = EXCLUDED.{name}")));
                    sql.push_str(&format!("UPDATE SET {changes}"));
                } else {
                    sql.push_str("NOTHING");
                }
            }
            sql
        }
        Verb::Update => {
            // Without any other column, that the row is there is all that there is to know.
            let from = if columns.len() > keys { keys } else { 0 };
            let changes = list(&mut (from..columns.len()).map(|at| format!("{} = {}", names[at], value(at))));
            format!(
                "UPDATE {named} AS t SET {changes} FROM unnest({arrays}) WITH ORDINALITY AS x({given}, n) WHERE {}{PLACES}",
                found()
            )
        }
        Verb::Delete => format!("DELETE FROM {named} AS t USING unnest({arrays}) AS x({given}) WHERE {}", found()),
    }
}

#[cfg(test)]
#[path = "statement_tests.rs"]
mod tests;
