//! A batch before its first request: which records go together, and each record's item, serialised once.

use std::collections::HashMap;

use backflow_core::record::{Outcome, Record, Rejection};
use backflow_definitions::{Dedupe, Scope};
use backflow_expressions::Json;

use super::Action;
use crate::delivery::{Prepared, too_large};
use crate::encode::Items;

/// Bytes of an item beside its record's data, about.
pub(crate) const AROUND: usize = 96;

/// The records of a batch.
pub(crate) struct Batch {
    /// The operation of each record, by its place.
    operations: Vec<Option<u16>>,
    /// The item of each record, of those whose operation needs no lookup first.
    pub(crate) items: Items,
    /// Bytes that each record takes of a request.
    sizes: Vec<u32>,
}

impl Batch {
    pub(crate) fn operation(&self, at: u32) -> Option<usize> {
        self.operations.get(at as usize).copied().flatten().map(usize::from)
    }

    pub(crate) fn size(&self, part: &[u32]) -> usize {
        part.iter().filter_map(|at| self.sizes.get(*at as usize)).map(|size| *size as usize + 1).sum::<usize>() + 1
    }
}

/// Serialises the records, and says which go together: in their order, as far as operations, groups and limits allow.
pub(crate) fn prepare(action: &Action, records: &[Record]) -> Prepared<Batch> {
    let bytes: usize = records.iter().map(|record| record.data.len() + AROUND).sum();
    let mut sorting = Sorting {
        action,
        batch: Batch {
            operations: Vec::with_capacity(records.len()),
            items: Items::with_capacity(records.len(), bytes),
            sizes: Vec::with_capacity(records.len()),
        },
        parts: Vec::new(),
        open: HashMap::new(),
        settled: Vec::new(),
    };
    let followers = followers(action, records);
    let dropped: HashMap<u32, u32> = followers.iter().copied().collect();
    for (at, record) in (0..).zip(records) {
        let group = sorting.item(at, record);
        if let Some(group) = group
            && !dropped.contains_key(&at)
        {
            sorting.place(at, record, group);
        }
    }
    let Sorting { batch, parts, settled, .. } = sorting;
    Prepared { batch, parts, settled, followers, lanes: Vec::new() }
}

struct Sorting<'a> {
    action: &'a Action,
    batch: Batch,
    parts: Vec<Vec<u32>>,
    /// The part that records of an operation and a group go to, and its bytes.
    open: HashMap<(u16, u8, String), (usize, usize)>,
    settled: Vec<(u32, Outcome)>,
}

impl Sorting<'_> {
    /// Writes a record's item; gives its group, or nothing if it is not sent.
    fn item(&mut self, at: u32, record: &Record) -> Option<String> {
        let place = self.action.place(record.op);
        self.batch.operations.push(place.and_then(|place| u16::try_from(place).ok()));
        let operation = place.and_then(|place| self.action.operations.get(place));
        let connection = &self.action.connection;
        let scope = connection.scope().with_record(self.action.scope(record, None));
        let written = self.batch.items.push_with(|out| match operation.and_then(|operation| operation.item_before()) {
            Some(item) => item.write(&scope, out).map(drop),
            None => Ok(()),
        });
        let own = self.batch.items.bytes_of(at);
        let size = if own == 0 { record.data.len() + AROUND } else { own };
        self.batch.sizes.push(u32::try_from(size).unwrap_or(u32::MAX));
        let Some(operation) = operation else {
            let message = "the action has no way to do this; this is an error of the plan";
            self.settle(at, Rejection::new("UNSUPPORTED_OPERATION", None, message));
            return None;
        };
        if let Err(error) = written {
            self.settle(at, definition_error(&error.to_string()));
            return None;
        }
        if own as u64 > operation.defined.batch.max_record_bytes {
            self.settle(at, too_large("this record alone is larger than the destination takes"));
            return None;
        }
        match group(operation, &scope) {
            Ok(group) => Some(group),
            Err(why) => {
                self.settle(at, definition_error(&why));
                None
            }
        }
    }

    fn settle(&mut self, at: u32, rejection: Rejection) {
        self.settled.push((at, Outcome::Rejected(rejection)));
    }

    /// Puts a record into the open part of its kind, or into a new one.
    fn place(&mut self, at: u32, record: &Record, group: String) {
        let place = self.batch.operations[at as usize].unwrap_or_default();
        let Some(operation) = self.action.operations.get(usize::from(place)) else { return };
        let limits = &operation.defined.batch;
        let op = if limits.mixed_ops { 0 } else { record.op as u8 };
        let size = self.batch.sizes[at as usize] as usize + 1;
        let open = self.open.entry((place, op, group)).or_insert((usize::MAX, 0));
        let fits = self
            .parts
            .get(open.0)
            .is_some_and(|part| part.len() < limits.max_records as usize && (open.1 + size) as u64 <= limits.max_bytes);
        if fits {
            self.parts[open.0].push(at);
            open.1 += size;
        } else {
            *open = (self.parts.len(), size);
            self.parts.push(vec![at]);
        }
    }
}

/// The values that a record is grouped by.
fn group(operation: &super::Operation, scope: &Scope<'_>) -> Result<String, String> {
    let mut group = String::new();
    for template in &operation.defined.batch.group_by {
        let value = template.value(scope).map_err(|error| error.to_string())?;
        value.unwrap_or(Json::Null).write(&mut group);
        group.push('\n');
    }
    Ok(group)
}

/// Records that another one with the same key stands for.
fn followers(action: &Action, records: &[Record]) -> Vec<(u32, u32)> {
    let mut kept: HashMap<(usize, String), u32> = HashMap::new();
    let mut followers = Vec::new();
    for (at, record) in (0..).zip(records) {
        let Some(place) = action.place(record.op) else { continue };
        let Some(Dedupe { key, keep_last }) = &action.operations[place].defined.batch.dedupe else { continue };
        let scope = action.connection.scope().with_record(action.scope(record, None));
        let Ok(Some(key)) = key.text(&scope) else { continue };
        match kept.get_mut(&(place, key.clone())) {
            None => _ = kept.insert((place, key), at),
            Some(other) if *keep_last => followers.push((std::mem::replace(other, at), at)),
            Some(other) => followers.push((at, *other)),
        }
    }
    // Of three with one key, the first stands behind the second, which stands behind the third.
    let behind: HashMap<u32, u32> = followers.iter().copied().collect();
    let last = |mut at: u32| {
        while let Some(next) = behind.get(&at) {
            at = *next;
        }
        at
    };
    followers.iter().map(|(at, kept)| (*at, last(*kept))).collect()
}

/// A record that the definition cannot say.
pub(crate) fn definition_error(why: &str) -> Rejection {
    Rejection::new("DEFINITION_ERROR", None, format!("the definition cannot send this record: {why}"))
}
