//! From rows of a delta to changes.

use backflow_core::cell::Cell;
use backflow_core::change::{Change, ChangeKind, Key, Memory};
use backflow_core::code::Failure;
use backflow_core::encode::EncodedRow;

use super::super::damage::internal;
use super::dialect::{Names, Said, key_part, kind};
use super::transport::{Plain, Transport};

/// What is read of a delta, column by column.
pub(super) struct Shape<W> {
    /// Of a page.
    pub page: Vec<W>,
    /// Of a list of keys.
    pub cleared: Vec<W>,
    /// Part and meaning of each key column: those of the model's present form, then those of old forms.
    keys: Vec<(usize, Said)>,
    parts: usize,
}

/// A change, and whether its key is on the list of rejects.
pub(super) struct Paged {
    pub change: Change,
    pub rejected: bool,
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
        let mut page = plain(&[Plain::Int, Plain::Int, Plain::Bytes, Plain::Bool, Plain::Bool, Plain::Bool]);
        page.extend(key_wires.iter().cloned());
        page.extend(plain(&[Plain::Text, Plain::Text, Plain::Text]));
        page.extend(row.iter().cloned());
        let mut cleared = plain(&[Plain::Int]);
        cleared.extend(key_wires);
        Ok(Self { page, cleared, keys, parts: names.keys.len() })
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
        let [unsent, known, rejected] = [(); 3].map(|()| next() == Cell::Bool(true));
        let key = self.key(&mut next)?;
        let mut text = || match next() {
            Cell::Text(text) => Some(text),
            _ => None,
        };
        let memory = Memory { match_key: text(), group_key: text(), remote_id: text() };
        let row = if kind == ChangeKind::Deleted { EncodedRow::default() } else { cells.collect() };
        let hash = hash.ok_or_else(unreadable)?;
        Ok(Paged {
            change: Change { kind, key, row, rev, hash, unsent, known, duplicate: false, memory, place },
            rejected,
        })
    }

    /// Place and key of a row of a list of keys.
    pub(super) fn place_and_key(&self, cells: Vec<Cell>) -> Result<(u64, Key), Failure> {
        let mut cells = cells.into_iter();
        let mut next = || cells.next().unwrap_or(Cell::Null);
        let place = number(&next())?;
        Ok((place, self.key(&mut next)?))
    }

    /// An entry has its key in the form that the model had when it was made.
    fn key(&self, next: &mut impl FnMut() -> Cell) -> Result<Key, Failure> {
        let mut key = vec![Cell::Null; self.parts];
        for (part, said) in &self.keys {
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
