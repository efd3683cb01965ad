//! Records as rows of text, each value once, in the order of the statement that takes it.

use std::collections::HashMap;

use backflow_core::finding::hint;
use backflow_core::record::{Outcome, Record, Rejection};
use backflow_core::selection::Operation;
use backflow_expressions::raw;

use super::table::{Table, Written};
use super::values::{Wrong, items};
use super::wanted::{Keys, Wanted};
use crate::delivery::{Prepared, lanes_of};

/// Bytes of a value beside its text, about.
const AROUND: usize = 8;

/// The rows of a batch.
#[derive(Default)]
pub(crate) struct Batch {
    /// All values, one after the other.
    text: String,
    /// Where each value is; nothing for NULL.
    cells: Vec<Option<(u32, u32)>>,
    /// By the place of the record.
    rows: Vec<Row>,
    shapes: Vec<Shape>,
}

#[derive(Clone, Copy, Default)]
struct Row {
    shape: usize,
    first: usize,
    bytes: u32,
}

/// What a statement takes: an operation, and the columns that are given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) op: Operation,
    /// Places in the table, those that rows are found by first.
    pub(super) columns: Vec<usize>,
}

impl Batch {
    /// The shape of a part.
    pub(super) fn shape(&self, part: &[u32]) -> Option<&Shape> {
        self.shapes.get(self.rows.get(*part.first()? as usize)?.shape)
    }

    /// The values of one of the shape's columns.
    pub(super) fn column<'b>(&'b self, part: &[u32], at: usize) -> Vec<Option<&'b str>> {
        let cell = |record: &u32| {
            let row = self.rows.get(*record as usize)?;
            let (start, end) = (*self.cells.get(row.first + at)?)?;
            self.text.get(start as usize..end as usize)
        };
        part.iter().map(cell).collect()
    }

    /// Bytes of a part.
    pub(super) fn size(&self, part: &[u32]) -> usize {
        part.iter().filter_map(|at| self.rows.get(*at as usize)).map(|row| row.bytes as usize).sum()
    }
}

/// Makes rows of records, and puts those together that one statement takes.
pub(super) fn prepare(wanted: &Wanted, table: &Table, records: &[Record]) -> Prepared<Batch> {
    let mut filling = Filling { wanted, table, batch: Batch::default(), columns: Vec::new() };
    filling.batch.text.reserve(records.iter().map(|record| record.data.len() + record.id.len()).sum());
    let (mut parts, mut settled): (Vec<Vec<u32>>, _) = (Vec::new(), Vec::new());
    let mut open: HashMap<usize, usize> = HashMap::new();
    for (at, record) in (0..).zip(records) {
        let (text, cells) = (filling.batch.text.len(), filling.batch.cells.len());
        match filling.row(record) {
            Ok(shape) => {
                let bytes = filling.batch.text.len() - text + AROUND * (filling.batch.cells.len() - cells);
                let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
                filling.batch.rows.push(Row { shape, first: cells, bytes });
                let part = *open.entry(shape).or_insert_with(|| {
                    parts.push(Vec::new());
                    parts.len() - 1
                });
                parts[part].push(at);
            }
            Err(rejection) => {
                filling.batch.text.truncate(text);
                filling.batch.cells.truncate(cells);
                filling.batch.rows.push(Row::default());
                settled.push((at, Outcome::Rejected(rejection)));
            }
        }
    }
    let lanes = lanes_of(wanted.ordering, records);
    Prepared { batch: filling.batch, parts, settled, followers: Vec::new(), lanes }
}

struct Filling<'a> {
    wanted: &'a Wanted,
    table: &'a Table,
    batch: Batch,
    /// The columns of the record at hand.
    columns: Vec<usize>,
}

impl Filling<'_> {
    /// Appends a record's values, and gives its shape.
    fn row(&mut self, record: &Record) -> Result<usize, Rejection> {
        self.columns.clear();
        self.keys(record)?;
        let keys = self.columns.len();
        if record.op != Operation::Delete {
            for (name, value) in raw::members(&record.data).into_iter().flatten() {
                self.field(&name.decoded(), value, keys)?;
            }
        }
        if self.columns.is_empty() {
            return Err(Rejection::new("MISSING_FIELD", None, "the record has no field; map at least one column"));
        }
        self.shape(record.op)
    }

    /// What rows are found by.
    fn keys(&mut self, record: &Record) -> Result<(), Rejection> {
        match &self.wanted.keys {
            Keys::PrimaryKey(names) => {
                let values = if record.id.starts_with('[') { items(&record.id) } else { vec![record.id.clone()] };
                if values.len() != names.len() {
                    let message = format!(
                        "the Model's primary key has {} columns, config.keyColumns has {}; name one for each, in the same order",
                        values.len(),
                        names.len()
                    );
                    return Err(Rejection::new("KEY_MISMATCH", None, message));
                }
                names.iter().zip(&values).try_for_each(|(name, value)| self.key(name, value))
            }
            Keys::Match(name) => match &record.memory.match_key {
                Some(value) => self.key(name, value),
                None => {
                    let message = "nothing is known that its row is found by; run a Sync of mode Full after mapping it";
                    Err(Rejection::new("NULL_MATCH_KEY", Some(name), message))
                }
            },
            Keys::Delivery(Some(name)) => self.key(name, &format!("\"{}\"", record.key)),
            Keys::Delivery(None) => Ok(()),
        }
    }

    fn key(&mut self, name: &str, value: &str) -> Result<(), Rejection> {
        let Some(at) = self.table.position(name) else { return Err(self.unknown(name)) };
        if !self.value(at, value)? {
            return Err(rejection("NULL_NOT_ALLOWED", name, "rows are found by it, and it has no value"));
        }
        Ok(())
    }

    fn field(&mut self, name: &str, value: &str, keys: usize) -> Result<(), Rejection> {
        let Some(at) = self.table.position(name) else { return Err(self.unknown(name)) };
        if let Some(place) = self.columns[..keys].iter().position(|key| *key == at) {
            return self.same(name, at, value, place);
        }
        let column = &self.table.columns[at];
        if column.written != Written::Freely {
            return Err(rejection("GENERATED_COLUMN", name, "the server makes its values; do not map it"));
        }
        if !self.value(at, value)? && self.table.columns[at].not_null {
            return Err(rejection("NULL_NOT_ALLOWED", name, "its column takes no NULL"));
        }
        Ok(())
    }

    /// A field of a column that rows are found by: it must say the same.
    fn same(&self, name: &str, at: usize, value: &str, place: usize) -> Result<(), Rejection> {
        let batch = &self.batch;
        // The keys are the last cells but for the fields that followed them.
        let first = batch.cells.len() - self.columns.len();
        let known = batch.cells[first + place].map(|(start, end)| &batch.text[start as usize..end as usize]);
        let mut text = String::new();
        let given = self.table.columns[at].kind.write(value, &mut text).map_err(|wrong| misfit(name, &wrong))?;
        if given && known == Some(text.as_str()) {
            return Ok(());
        }
        let message = "rows are found by it, and the field says something else than the key of the row; map it to the same column";
        Err(rejection("KEY_MISMATCH", name, message))
    }

    /// Appends a value; whether it is one.
    fn value(&mut self, at: usize, value: &str) -> Result<bool, Rejection> {
        let column = &self.table.columns[at];
        let start = self.batch.text.len();
        let given = column.kind.write(value, &mut self.batch.text).map_err(|wrong| misfit(&column.name, &wrong))?;
        let place = |at: usize| {
            u32::try_from(at)
                .map_err(|_| Rejection::new("TOO_LARGE", Some(&column.name), "the batch is larger than 4 GiB"))
        };
        let cell = if given { Some((place(start)?, place(self.batch.text.len())?)) } else { None };
        self.batch.cells.push(cell);
        self.columns.push(at);
        Ok(given)
    }

    fn shape(&mut self, op: Operation) -> Result<usize, Rejection> {
        let is = |shape: &Shape| shape.op == op && shape.columns == self.columns;
        // Nearly all records are like the one before.
        let known = self.batch.shapes.iter().rposition(is);
        if let Some(known) = known {
            return Ok(known);
        }
        if matches!(op, Operation::Insert | Operation::Upsert) || self.wanted.appends() {
            let given = |at: &usize| self.columns.contains(at);
            let missing = (0..self.table.columns.len()).find(|at| {
                let column = &self.table.columns[*at];
                column.not_null && !column.filled && !given(at)
            });
            if let Some(missing) = missing {
                let name = &self.table.columns[missing].name;
                let message = "its column takes no NULL and has no default, and the record has no value for it";
                return Err(rejection("MISSING_FIELD", name, message));
            }
        }
        self.batch.shapes.push(Shape { op, columns: self.columns.clone() });
        Ok(self.batch.shapes.len() - 1)
    }

    fn unknown(&self, name: &str) -> Rejection {
        let known = hint(name, self.table.columns.iter().map(|column| column.name.as_str()));
        rejection("UNKNOWN_COLUMN", name, &format!("table {} has no such column {known}", self.table.quoted()))
    }
}

fn misfit(name: &str, wrong: &Wrong) -> Rejection {
    rejection(wrong.code, name, &wrong.must)
}

fn rejection(code: &str, field: &str, message: &str) -> Rejection {
    Rejection::new(code, Some(field), format!("field {field}: {message}"))
}
