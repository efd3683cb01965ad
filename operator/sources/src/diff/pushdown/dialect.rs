//! What a warehouse's SQL must say, as pure text: a new warehouse adds an implementation of [`Dialect`] and a transport.
//!
//! A **delta** is the table that one run makes of the model and the entries: a row for each key that is not simply unchanged. It is
//! made by one statement, read in pages of one kind by `(bucket, n)`, which together are a row's place, and never changes. **Entries** move by it: a page's acknowledged
//! rows are named by their place, and everything else that the statement needs is in the delta already.

use backflow_core::cell::Cell;

/// What a row of a delta is. The numbers are stored; those of changes are in the order of delivery.
pub(crate) mod kind {
    /// An unchanged row that is in the delta only to tell how many rows there were.
    pub(crate) const UNCHANGED: u8 = 0;
    /// The key is gone.
    pub(crate) const DELETED: u8 = 1;
    /// The row is to be sent again.
    pub(crate) const UPDATED: u8 = 2;
    /// The row is to be sent for the first time.
    pub(crate) const ADDED: u8 = 3;
    /// Unchanged, but its hash is to be made anew, or an earlier rejection does not matter any more.
    pub(crate) const REFRESHED: u8 = 4;
    /// A key that was only ever rejected is gone: it becomes a tombstone.
    pub(crate) const BURIED: u8 = 5;
    /// The destination refused this very content.
    pub(crate) const STILL_REJECTED: u8 = 6;
    /// The row has no key.
    pub(crate) const NULL_KEY: u8 = 7;
    /// The row shares its key with another.
    pub(crate) const DUPLICATE_KEY: u8 = 8;
    /// Nothing to do.
    pub(crate) const NOTHING: u8 = 9;
}

/// What an entry is: the numbers are those of the packed format.
pub(crate) mod entry {
    /// It was sent.
    pub(crate) const DELIVERED: i64 = 0;
    /// It is known, but was never sent.
    pub(crate) const SEEN: i64 = 1;
    /// It was only ever rejected, or its first delivery has no acknowledgement.
    pub(crate) const NEVER_DELIVERED: i64 = 2;
    /// It is gone.
    pub(crate) const TOMBSTONE: i64 = 3;
}

/// Why a row without a change of content is to be sent again.
pub(crate) mod resend {
    /// Its hash was made by a Mapping that cannot be compared any more.
    pub(crate) const MAPPING_CHANGED: i64 = 1;
    /// A Full asked for it.
    pub(crate) const FULL: i64 = 2;
}

/// How one column of the model is said in SQL. `{}` stands for the column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Typed<W> {
    /// Its name in the model.
    pub name: String,
    /// What is read of it.
    pub read: String,
    /// How what is read is decoded.
    pub wire: W,
    /// Its exact value, for the row hash.
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
    /// The table of entries.
    pub entries: String,
    /// The run's delta.
    pub delta: String,
    /// The key's columns as the model has them now.
    pub keys: Vec<KeyColumn>,
    /// Key columns of entries that were made when the model had others, by the part of the key.
    pub old_keys: Vec<(usize, KeyColumn)>,
}

/// What a delta is made of.
#[derive(Clone, Debug)]
pub(crate) struct Delta<'a, W> {
    /// The tables.
    pub names: &'a Names,
    /// Columns that are read: first those of a change's row, then those that only old hashes need.
    pub columns: &'a [Typed<W>],
    /// How many make a change's row.
    pub row: usize,
    /// The key's among them.
    pub key: &'a [usize],
    /// Specs that rows are hashed by, the current one first.
    pub specs: &'a [(u32, Vec<usize>)],
    /// The claim.
    pub epoch: u64,
    /// `rev` of keys without an entry.
    pub rev_floor: u64,
    /// Rows last acknowledged before this claim are sent again.
    pub resend_below: u64,
    /// Rows whose hash cannot be compared are sent again because the Mapping changed.
    pub resend: bool,
    /// Rejected content is offered again.
    pub retry_rejected: bool,
    /// Kind and whether the key was never sent, of the changes that are sent: others cannot reach the destination.
    pub sent: &'a [(u8, bool)],
    /// Duplicates are looked for among all rows, and not among those that are not simply unchanged.
    pub exact: bool,
}

/// A statement around the model's SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Around {
    /// What stands before the model in parentheses, which is named `_m`.
    pub before: String,
    /// What stands after it and its filter.
    pub after: String,
}

/// A value of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bind {
    /// Integers.
    Numbers(Vec<i64>),
    /// Texts.
    Texts(Vec<Option<Box<str>>>),
}

/// A statement with its values `$1`, `$2`, ….
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    /// Its text.
    pub sql: String,
    /// Its values.
    pub binds: Vec<Bind>,
}

impl Statement {
    /// One without values.
    pub(crate) fn plain(sql: String) -> Self {
        Self { sql, binds: Vec::new() }
    }
}

/// The page after a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct After {
    /// See [`kind`].
    pub kind: u8,
    /// The place of the last change that was read, -1 at first.
    pub place: i64,
    /// Changes at most.
    pub rows: usize,
    /// Bytes of rows, about.
    pub bytes: usize,
}

/// One acknowledged change, as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Move {
    /// See [`kind`].
    pub kind: u8,
    /// Its place in the delta.
    pub place: u64,
    /// What its entry becomes, see [`entry`]; of a rejection, [`entry::NEVER_DELIVERED`].
    pub becomes: i64,
    /// Memory.
    pub match_key: Option<Box<str>>,
    /// Memory.
    pub group_key: Option<Box<str>>,
    /// Memory.
    pub remote_id: Option<Box<str>>,
    /// The code of a rejection.
    pub rejected: Option<Box<str>>,
}

/// Bits of a place that are the row's number in its bucket; those before are the bucket's.
pub(crate) const NUMBER_BITS: u32 = 40;

/// The text of all statements. Every one of them names the columns that it needs and no `*`.
pub(crate) trait Dialect: Send + Sync {
    /// A name as SQL takes it.
    fn quote(&self, name: &str) -> String;

    /// A table of the state schema.
    fn table(&self, schema: &str, name: &str) -> String {
        format!("{}.{}", self.quote(schema), self.quote(name))
    }

    /// Makes the table of entries, with a comment for people.
    fn create_entries(&self, names: &Names, comment: &str) -> Vec<String>;

    /// Adds a key column to the entries.
    fn add_key(&self, entries: &str, key: &KeyColumn) -> String;

    /// Makes the delta.
    fn delta<W>(&self, delta: &Delta<'_, W>) -> Around;

    /// What makes pages of a delta fast, right after it is made; `None` if nothing does.
    fn index(&self, names: &Names) -> Option<String>;

    /// What was found: rows of numbers, see [`super::summary`].
    fn summary(&self, names: &Names, first_epoch: u64, expired: i64) -> String;

    /// One page: for each change its place, `rev`, hash, unsent, known, rejected, the key's columns, those of old
    /// forms, match key, group key, remote id, then the row.
    fn page(&self, names: &Names, row: usize, after: After) -> String;

    /// The keys of changes without a message that have a rejection to take off the list: place, then the key's columns, those of old
    /// forms.
    fn cleared(&self, names: &Names, after: After) -> String;

    /// Bytes of each of these in the change that has the most of them, for a message.
    fn longest(&self, names: &Names, lengths: &[String]) -> String;

    /// Moves entries by acknowledged changes.
    fn apply(&self, names: &Names, epoch: u64, spec: u32, now: i64, moves: &[Move]) -> Statement;

    /// Moves entries that change without being sent.
    fn refresh(&self, names: &Names, spec: u32, now: i64) -> String;

    /// Drops tombstones of this age and older.
    fn prune(&self, names: &Names, expired: i64) -> String;

    /// Notes that the changes of a delta may have reached the destination, but for those that were acknowledged. `keys`: the delta's
    /// own. `offered`: for each kind the last place that was handed out; `None`: all were, for all that is known.
    fn doubt(&self, entries: &str, delta: &str, keys: &[String], epoch: u64, offered: Option<&[(u8, i64)]>) -> String;

    /// Takes the deletions out of a delta.
    fn withhold(&self, names: &Names) -> String;

    /// Drops a table.
    fn drop(&self, table: &str) -> String;
}
