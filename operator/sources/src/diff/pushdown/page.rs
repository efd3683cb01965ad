//! From rows of a delta to changes.

use backflow_core::cell::Cell;
use backflow_core::change::{Change, ChangeKind, Key, Memory};
use backflow_core::code::Failure;
use backflow_core::encode::EncodedRow;

use super::super::damage::internal;
use super::codes::kind;
use super::transport::{Plain, Transport};
use super::typed::{Names, Said, key_part};

/// What is read of a delta, column by column.
pub(super) struct Shape<W> {
    /// Of a page.
    pub page: Vec<W>,
    /// Of a list of keys.
    pub cleared: Vec<W>,
    /// Of rows that the worker has to look at.
    pub candidates: Vec<W>,
    /// Part and meaning of each key column: those of the model's present form, then those of old forms.
    keys: Vec<(usize, Said)>,
    parts: usize,
}

/// A change, and what only the engine needs to know of it.
pub(super) struct Paged {
    pub change: Change,
    /// Its key is on the list of rejects.
    pub rejected: bool,
    /// It is about a record alone, and its key stays as it is.
    pub extra: bool,
}

/// A row that was found, as the worker looks at it.
pub(super) struct Candidate {
    pub place: u64,
    pub key: Key,
    pub row: Vec<Cell>,
}

impl<W: Clone> Shape<W> {
    pub(super) fn new<T: Transport<Wire = W>>(transport: &T, names: &Names, row: &[W]) -> Result<Self, Failure> {
        let mut keys = Vec::new();
        let mut key_wires = Vec::new();
        let now = names.keys.iter().enumerate();
        for (part, column) in now.chain(names.old_keys.iter().map(|(part, column)| (*part, column))) {
            let form = key_part(&column.name).and_then(|(_, class)| transport.key_form(class));
            let form = form.ok_or_else(|| internal("a key column has no form"))?;
            keys.push((part, form.said));
            key_wires.push(form.wire);
        }
        let plain = |plain: &[Plain]| plain.iter().map(|plain| transport.wire(*plain)).collect::<Vec<W>>();
        let mut page = plain(&[Plain::Int, Plain::Int, Plain::Bytes]);
        page.extend(plain(&[Plain::Bool; 5]));
        page.extend(key_wires.iter().cloned());
        page.extend(plain(&[Plain::Text, Plain::Text, Plain::Text]));
        page.extend(row.iter().cloned());
        let mut candidates = plain(&[Plain::Int]);
        candidates.extend(key_wires.iter().take(names.keys.len()).cloned());
        candidates.extend(row.iter().cloned());
        let mut cleared = plain(&[Plain::Int]);
        cleared.extend(key_wires);
        Ok(Self { page, cleared, candidates, keys, parts: names.keys.len() })
    }

    /// The change that a row of a page is.
    pub(super) fn change(&self, kind: ChangeKind, cells: Vec<Cell>) -> Result<Paged, Failure> {
        let mut cells = cells.into_iter();
        let mut next = || cells.next().unwrap_or(Cell::Null);
        let (place, rev) = (number(&next())?, number(&next())?);
        let hash = match next() {
            Cell::Bytes(bytes) => bytes.first_chunk().map(|half| u64::from_be_bytes(*half)),
            _ => None,
        };
        let [unsent, known, rejected, duplicate, extra] = [(); 5].map(|()| next() == Cell::Bool(true));
        let key = self.key(self.keys.len(), &mut next)?;
        let mut text = || match next() {
            Cell::Text(text) => Some(text),
            _ => None,
        };
        let memory = Memory { match_key: text(), group_key: text(), remote_id: text() };
        // Of a row that must not be sent, there is nothing but the key.
        let row = if kind == ChangeKind::Deleted || duplicate { EncodedRow::default() } else { cells.collect() };
        let hash = hash.ok_or_else(unreadable)?;
        Ok(Paged {
            change: Change { kind, key, row, rev, hash, unsent, known, duplicate, memory, place },
            rejected,
            extra,
        })
    }

    /// Place and key of a row of a list of keys.
    pub(super) fn place_and_key(&self, cells: Vec<Cell>) -> Result<(u64, Key), Failure> {
        let mut cells = cells.into_iter();
        let mut next = || cells.next().unwrap_or(Cell::Null);
        let place = number(&next())?;
        Ok((place, self.key(self.keys.len(), &mut next)?))
    }

    /// A row of those that the worker looks at.
    pub(super) fn candidate(&self, cells: Vec<Cell>) -> Result<Candidate, Failure> {
        let mut cells = cells.into_iter();
        let mut next = || cells.next().unwrap_or(Cell::Null);
        let place = number(&next())?;
        let key = self.key(self.parts, &mut next)?;
        Ok(Candidate { place, key, row: cells.collect() })
    }

    /// An entry has its key in the form that the model had when it was made. `columns`: how many are there to look at.
    fn key(&self, columns: usize, next: &mut impl FnMut() -> Cell) -> Result<Key, Failure> {
        let mut key = vec![Cell::Null; self.parts];
        for (part, said) in self.keys.iter().take(columns) {
            let cell = next();
            if let Some(empty) = key.get_mut(*part).filter(|cell| cell.is_null()) {
                *empty = said.cell(cell);
            }
        }
        if key.iter().any(Cell::is_null) { Err(unreadable()) } else { Ok(Key(key.into())) }
    }
}

fn number(cell: &Cell) -> Result<u64, Failure> {
    match cell {
        Cell::Int(number) => u64::try_from(*number).map_err(|_| unreadable()),
        _ => Err(unreadable()),
    }
}

fn unreadable() -> Failure {
    internal("a change cannot be read back from the warehouse")
}

/// The number by which a delta calls a kind of change.
pub(super) fn number_of(kind: ChangeKind) -> u8 {
    match kind {
        ChangeKind::Deleted => kind::DELETED,
        ChangeKind::Updated => kind::UPDATED,
        ChangeKind::Added => kind::ADDED,
    }
}
