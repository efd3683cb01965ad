//! What only the worker can say of rows: which record each stands for, and whether a Replay names its key.

use backflow_core::cell::Cell;
use backflow_core::change::{Identify, Key, Memory, NamedKeys};
use backflow_core::code::Failure;

use super::super::matches;
use super::super::replay::Chosen as Asked;
use super::dialect::{Chosen, Delta, Dialect as _};
use super::page::{Candidate, Shape};
use super::statement::{After, Mark};
use super::transport::{Fence, Transport};
use super::typed::KeyColumn;

/// Rows that are looked at in one step, at most.
const ROWS: usize = 10_000;

/// Bytes of rows that are looked at in one step, about.
const BYTES: usize = 2 * 1024 * 1024;

/// Names the record of a row, by 32 hexadecimal digits. A group alone has many records: then the key tells them apart.
fn record(memory: &Memory, key: &Key) -> Option<Box<str>> {
    let record = match (&memory.match_key, &memory.group_key) {
        (None, None) => return None,
        (Some(_), _) => matches::record(memory),
        (None, Some(_)) => {
            let mut json = String::new();
            key.write_json(&mut json);
            matches::record(&Memory { match_key: Some(json.into()), ..memory.clone() }).rotate_left(1)
        }
    };
    Some(format!("{record:032x}").into())
}

/// Says of every row that was found what there is to say.
pub(super) async fn look<T: Transport>(
    transport: &T,
    fence: Fence<'_>,
    delta: &Delta<'_, T::Wire>,
    shape: &Shape<T::Wire>,
    identify: Option<&Identify>,
    asked: Option<&NamedKeys>,
) -> Result<(), Failure> {
    let dialect = transport.dialect();
    let mut after = After { kind: 0, place: -1, upto: None, rows: ROWS, bytes: BYTES };
    loop {
        let sql = dialect.candidates(delta.names, delta.row, after);
        let rows = transport.page(fence.state_key, sql, &shape.candidates).await?;
        let mut marks = Vec::with_capacity(rows.len());
        for cells in rows {
            let Candidate { place, key, row } = shape.candidate(cells)?;
            after.place = place as i64;
            let memory = identify.map(|identify| identify(&row)).unwrap_or_default();
            marks.push(Mark {
                place,
                record: record(&memory, &key),
                match_key: memory.match_key,
                group_key: memory.group_key,
                chosen: asked.is_some_and(|names| names.contains(&key)),
            });
        }
        if marks.is_empty() {
            return Ok(());
        }
        transport.fenced(fence, vec![dialect.mark(delta.names, &marks)]).await?;
    }
}

/// What SQL can tell of the rows that a Replay asks for.
pub(super) fn chosen(asked: &Asked, key: &[KeyColumn], dialect: &impl super::dialect::Dialect) -> Chosen {
    match asked {
        Asked::Claims(claims) => Chosen::Claims(*claims.start(), *claims.end()),
        Asked::Keys { names, before } => {
            let first = key.first().and_then(|key| first_of(names, &key.name, dialect));
            Chosen::Keys { before: *before, first }
        }
    }
}

/// The first parts of the named keys, as literals; `None` if the column's values have other spellings than their names.
fn first_of(names: &NamedKeys, column: &str, dialect: &impl super::dialect::Dialect) -> Option<Vec<String>> {
    let integer = column.ends_with("_int");
    if !integer && !column.ends_with("_text") {
        return None;
    }
    let mut literals: Vec<String> = names
        .first_parts()
        .filter_map(|part| match part {
            Cell::Int(number) if integer => Some(number.to_string()),
            Cell::Text(text) if !integer => Some(dialect.key_literal(&text)),
            _ => None,
        })
        .collect();
    literals.sort();
    literals.dedup();
    Some(literals)
}
