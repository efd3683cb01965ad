//! How columns of a model and of our own tables are said in SQL.

use backflow_core::cell::Cell;

/// How one column of the model is said in SQL. `{}` stands for the column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Typed<W> {
    /// Its name in the model.
    pub name: String,
    /// What is read of it.
    pub read: String,
    /// How what is read is decoded.
    pub wire: W,
    /// Its exact value, for the row hash: in the form that [`super::dialect::Dialect::row_hash`] takes.
    pub hash: String,
    /// Bytes of its value, for columns that may be long.
    pub length: Option<String>,
    /// How it is compared if it is part of the key.
    pub key: KeyForm<W>,
}

/// How a key column is stored and compared: two keys are equal in SQL exactly when their cells are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct KeyForm<W> {
    /// Names the form: part of the column's name, so that keys of another form are never compared.
    pub class: &'static str,
    /// SQL type of the column.
    pub kind: &'static str,
    /// The value.
    pub expression: String,
    /// How it is decoded.
    pub wire: W,
    /// What its text stands for.
    pub said: Said,
    /// Whether it may be long.
    pub long: bool,
}

/// What a key column that is stored as text stands for: values that SQL takes for equal although their cells are not, such as 1.0 and
/// 1.00, are compared as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// Itself, or it is no text.
    Itself,
    /// A decimal.
    Decimal,
    /// An interval.
    Time,
    /// JSON.
    Json,
}

impl Said {
    /// The cell that is meant.
    pub(crate) fn cell(self, cell: Cell) -> Cell {
        match (self, cell) {
            (Self::Decimal, Cell::Text(text)) => Cell::Decimal(text),
            (Self::Time, Cell::Text(text)) => Cell::Time(text),
            (Self::Json, Cell::Text(text)) => Cell::Json(text),
            (_, cell) => cell,
        }
    }
}

/// A key column, as entries and deltas have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyColumn {
    /// `key1_int`.
    pub name: String,
    /// SQL type.
    pub kind: &'static str,
    /// Whether it may be long.
    pub long: bool,
}

/// The column that holds the `at`th part of a key in this form.
pub(crate) fn key_column(at: usize, class: &str) -> String {
    format!("key{}_{class}", at + 1)
}

/// The inverse of [`key_column`].
pub(crate) fn key_part(column: &str) -> Option<(usize, &str)> {
    let (number, class) = column.strip_prefix("key")?.split_once('_')?;
    let number: usize = number.parse().ok()?;
    number.checked_sub(1).map(|at| (at, class))
}

/// Names that the statements of one run are about, quoted.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// The table of entries. In a DryRun without a state, an empty one in parentheses.
    pub entries: String,
    /// The table of records that keys have written, in the same way.
    pub held: String,
    /// The run's delta.
    pub delta: String,
    /// What a delta is made of whose rows the worker has to look at first.
    pub found: String,
    /// What the worker says of them.
    pub marks: String,
    /// The key's columns as the model has them now.
    pub keys: Vec<KeyColumn>,
    /// Key columns of entries that were made when the model had others, by the part of the key.
    pub old_keys: Vec<(usize, KeyColumn)>,
}

impl Names {
    /// Names of the key's columns.
    pub(crate) fn key_names(&self) -> impl Iterator<Item = &str> + Clone {
        self.keys.iter().map(|key| key.name.as_str())
    }
}

/// What a column of our own tables holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A code.
    Small,
    /// A number of a spec.
    Integer,
    /// Any other number.
    Big,
    /// Yes or no.
    Bool,
    /// A text.
    Text,
    /// A row hash.
    Hash,
}
