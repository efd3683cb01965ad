//! The encoding of values that hashes, keys, the state and scratch are made of.

use crate::cell::Cell;

/// Appends encoded values: a tag, then a fixed-size value or a length (little endian, 32 bits) and the bytes. An encoding is equal exactly
/// for equal values and unambiguous in a sequence. It must never change: hashes of delivered rows are made of it.
///
/// Sources that know a value's form write it here without a [`Cell`] in between, which costs an allocation for each text.
#[derive(Debug)]
pub struct Encoder<'a>(&'a mut Vec<u8>);

impl<'a> Encoder<'a> {
    /// Appends to these bytes.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self(out)
    }

    /// SQL NULL.
    pub fn null(self) {
        self.0.push(0);
    }

    /// A truth value.
    pub fn bool(self, value: bool) {
        self.0.push(1 + u8::from(value));
    }

    /// An integer.
    pub fn int(self, value: i64) {
        self.fixed(3, value.to_le_bytes());
    }

    /// A float. -0.0 and 0.0 are equal to SQL, and so are all NaN: one encoding each.
    pub fn float(self, value: f64) {
        let bits = match value {
            0.0 => 0,
            value if value.is_nan() => f64::NAN.to_bits(),
            value => value.to_bits(),
        };
        self.fixed(4, bits.to_le_bytes());
    }

    /// A decimal, as plain digits.
    pub fn decimal(self, digits: &str) {
        self.sized(5, digits.as_bytes());
    }

    /// Text.
    pub fn text(self, text: &str) {
        self.sized(6, text.as_bytes());
    }

    /// Bytes.
    pub fn bytes(self, bytes: &[u8]) {
        self.sized(7, bytes);
    }

    /// A date, a time or both, in ISO 8601.
    pub fn time(self, text: &str) {
        self.sized(8, text.as_bytes());
    }

    /// A JSON document.
    pub fn json(self, text: &str) {
        self.sized(9, text.as_bytes());
    }

    fn fixed(self, tag: u8, value: [u8; 8]) {
        let [a, b, c, d, e, f, g, h] = value;
        self.0.extend_from_slice(&[tag, a, b, c, d, e, f, g, h]);
    }

    fn sized(self, tag: u8, bytes: &[u8]) {
        let [a, b, c, d] = (bytes.len() as u32).to_le_bytes();
        self.0.extend_from_slice(&[tag, a, b, c, d]);
        self.0.extend_from_slice(bytes);
    }
}

/// A row as it travels until it is rendered: the encodings of its values one after another. Most of a run's time, rows only wait, and
/// a value by itself costs an allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncodedRow(Box<[u8]>);

impl EncodedRow {
    /// The first so many values of `input`. `None` if they are not encodings.
    #[must_use]
    pub fn read(input: &[u8], columns: usize) -> Option<Self> {
        let mut rest = input;
        for _ in 0..columns {
            skip(&mut rest)?;
        }
        Some(Self(input[..input.len() - rest.len()].into()))
    }

    /// Its values.
    #[must_use]
    pub fn cells(&self) -> Vec<Cell> {
        let mut cells = Vec::new();
        self.cells_into(&mut cells);
        cells
    }

    /// Its values, in the place of what is there.
    pub fn cells_into(&self, cells: &mut Vec<Cell>) {
        let mut rest = &*self.0;
        cells.clear();
        // All of it was found to be encodings.
        cells.extend(std::iter::from_fn(|| Cell::decode(&mut rest)));
    }

    /// Some values of the row, counted from 0; those that it does not have are left out.
    #[must_use]
    pub fn pick(&self, places: &[usize]) -> Box<[Cell]> {
        let at = |place: &usize| {
            let mut rest = &*self.0;
            for _ in 0..*place {
                skip(&mut rest)?;
            }
            Cell::decode(&mut rest)
        };
        places.iter().filter_map(at).collect()
    }

    /// The bytes it takes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Cell> for EncodedRow {
    fn from_iter<T: IntoIterator<Item = Cell>>(cells: T) -> Self {
        let mut bytes = Vec::new();
        cells.into_iter().for_each(|cell| cell.encode(&mut bytes));
        Self(bytes.into())
    }
}

/// Goes over one encoding. `None` if it is none.
fn skip(input: &mut &[u8]) -> Option<()> {
    let (tag, rest) = input.split_first()?;
    let (length, rest) = match tag {
        0..=2 => (0, rest),
        3 | 4 => (8, rest),
        5..=9 => {
            let (length, rest) = rest.split_first_chunk()?;
            (u32::from_le_bytes(*length) as usize, rest)
        }
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(length)?;
    if matches!(tag, 5 | 6 | 8 | 9) {
        std::str::from_utf8(value).ok()?;
    }
    *input = rest;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells() -> Vec<Cell> {
        let text = |text: &str| text.into();
        vec![
            Cell::Null,
            Cell::Bool(true),
            Cell::Int(-7),
            Cell::Text(text("é\0")),
            Cell::Float(0.5),
            Cell::Bytes([255, 0].into()),
            Cell::Decimal(text("1.50")),
            Cell::Time(text("2026-01-02")),
            Cell::Json(text("[]")),
        ]
    }

    #[test]
    fn a_row_is_read_back_however_many_values_follow() {
        let all: EncodedRow = cells().into_iter().collect();
        for columns in 0..=cells().len() {
            let row = EncodedRow::read(&all.0, columns).unwrap();
            assert_eq!(row.cells(), cells()[..columns]);
        }
        assert_eq!(EncodedRow::read(&all.0, cells().len() + 1), None);
        assert_eq!(*all.pick(&[3, 0, 8]), [cells()[3].clone(), Cell::Null, cells()[8].clone()]);
    }

    #[test]
    fn what_is_cut_or_no_text_is_no_row() {
        let all: EncodedRow = cells().into_iter().collect();
        for end in 0..all.len() {
            assert_eq!(EncodedRow::read(&all.0[..end], cells().len()), None, "cut at {end}");
        }
        assert_eq!(EncodedRow::read(&[6, 1, 0, 0, 0, 0xff], 1), None, "no UTF-8");
        assert_eq!(EncodedRow::read(&[10], 1), None, "no such tag");
    }
}
