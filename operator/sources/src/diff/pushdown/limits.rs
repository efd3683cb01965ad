//! What stops a run before anything is sent.

use backflow_core::code::{Code, Failure};

use super::super::document::Document;
use super::super::extract::{MAX_KEY, MAX_RECORD};
use super::dialect::{Delta, Dialect as _};
use super::summary::Summary;
use super::tables;
use super::transport::{Fence, Transport};

/// Entries that somebody removed or restored would be sent again, or deleted: that is for a person to decide.
pub(super) fn whole(state_key: &str, document: &Document, summary: &Summary) -> Result<(), Failure> {
    let known = summary.findings.known;
    if known == document.rows || summary.moved == Some((document.rows, known)) {
        return Ok(());
    }
    Err(Failure::new(
        Code::StateDamaged,
        format!(
            "state \"{state_key}\": its table {} has {known} known keys, and {} were recorded; restore the state tables from a backup, or \
             start over with a Sync of mode Reset",
            tables::entries(state_key),
            document.rows
        ),
    ))
}

/// Refuses rows and keys beyond the limits: nothing was sent yet, and to leave one out in silence would lose it.
pub(super) async fn bounded<T: Transport>(
    transport: &T,
    fence: Fence<'_>,
    delta: &Delta<'_, T::Wire>,
    model: &str,
    summary: &Summary,
) -> Result<(), Failure> {
    let (what, limit, lengths): (_, _, Vec<(&str, String)>) = if summary.key_size > MAX_KEY as u64 {
        let keys = delta.key.iter().zip(&delta.names.keys).filter(|(_, key)| key.long);
        let length = |key| transport.dialect().key_size(key);
        let each = keys.map(|(at, key)| (delta.columns[*at].name.as_str(), length(key)));
        ("a primary key", MAX_KEY, each.collect())
    } else if summary.size > MAX_RECORD as u64 {
        let row = delta.columns.iter().take(delta.row).enumerate();
        let each = row.filter_map(|(at, column)| {
            let length = column.length.as_ref()?;
            Some((column.name.as_str(), length.replace("{}", &format!("p{}", at + 1))))
        });
        ("a row", MAX_RECORD, each.collect())
    } else {
        return Ok(());
    };
    let table = if delta.is_staged() { &delta.names.found } else { &delta.names.delta };
    let (names, lengths): (Vec<&str>, Vec<String>) = lengths.into_iter().unzip();
    let found = transport.numbers(fence.state_key, transport.dialect().longest(table, &lengths)).await?;
    let longest = found.first().and_then(|row| (0..row.len()).max_by_key(|at| row[*at]));
    let column = longest.and_then(|at| names.get(at)).copied().unwrap_or_default();
    Err(Failure::new(
        Code::LimitExceeded,
        format!(
            "model \"{model}\": {what} has more than {} KiB, the most of it in column \"{column}\"; shorten that column in the Model's SQL or \
             leave it out",
            limit / 1024
        ),
    ))
}
