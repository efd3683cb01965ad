//! What a warehouse's SQL must say, as pure text: a new warehouse adds an implementation of [`Dialect`] and a transport.
//!
//! A **delta** is the table that one run makes of the model and the entries: a row for each key that is not simply unchanged. It is
//! made by one statement, read in pages of one kind by `(bucket, n)`, which together are a row's place, and never changes. **Entries** move by it: a page's acknowledged
//! rows are named by their place, and everything else that the statement needs is in the delta already.

use backflow_core::cell::Cell;

use super::statement::{After, Applied, Around, Doubt, Mark, Move, Statement};

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
    /// Not one of the rows that a Replay asks for: it only stands for its record.
    pub(crate) const HIDDEN: u8 = 10;
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
    /// A Replay asked for it.
    pub(crate) const REPLAY: i64 = 3;
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
    /// Rows stand for records that more than one of them may stand for: [`super::records`].
    pub identifies: bool,
    /// Records that no row stands for any more go.
    pub mirror: bool,
    /// The rows of a Replay: no other change is looked for.
    pub chosen: Option<Chosen>,
}

impl<W> Delta<'_, W> {
    /// Whether the worker has to look at rows before the delta can be made.
    pub(crate) fn is_staged(&self) -> bool {
        self.identifies || matches!(self.chosen, Some(Chosen::Keys { .. }))
    }
}

/// The rows of a Replay, as far as SQL can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Chosen {
    /// Those that these claims acknowledged last.
    Claims(u64, u64),
    /// Those that have keys which somebody named: the worker says which.
    Keys {
        /// The Replay's own first claim: what it acknowledged is through.
        before: u64,
        /// No other row needs to be looked at: the first key column is one of these, as literals; `None`: all need to.
        first: Option<Vec<String>>,
    },
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

    /// Text as SQL takes it.
    fn literal(&self, text: &str) -> String;

    /// Makes the table of entries, with a comment for people.
    fn create_entries(&self, names: &Names, comment: &str) -> Vec<String>;

    /// Gives entries of an earlier version the columns that they had not then.
    fn complete_entries(&self, entries: &str) -> String;

    /// Entries to read from that lack these key columns, and the column of records unless there is one.
    fn completed_entries(&self, entries: &str, missing: &[&KeyColumn], records: bool) -> String;

    /// Makes the table of records that keys have written.
    fn create_held(&self, names: &Names, comment: &str) -> Vec<String>;

    /// An empty table of entries, to read from.
    fn no_entries(&self, keys: &[KeyColumn]) -> String;

    /// An empty table of records, to read from.
    fn no_held(&self) -> String;

    /// Adds a key column to the entries.
    fn add_key(&self, entries: &str, key: &KeyColumn) -> String;

    /// Makes the delta; if it is staged, what that is made of.
    fn delta<W>(&self, delta: &Delta<'_, W>) -> Around;

    /// What makes it fast to read what was found, and the empty table of marks.
    fn index_found(&self, names: &Names) -> Vec<String>;

    /// Rows that the worker has to look at, after a place: the place, the key's columns, the row.
    fn candidates(&self, names: &Names, row: usize, after: After) -> String;

    /// Stores marks.
    fn mark(&self, names: &Names, marks: &[Mark]) -> Statement;

    /// Makes the delta of what was found, marks, entries and records.
    fn resolve<W>(&self, delta: &Delta<'_, W>) -> String;

    /// What makes pages of a delta fast, right after it is made; `None` if nothing does.
    fn index(&self, names: &Names) -> Option<String>;

    /// What `table` has, a delta or what it is made of: rows of numbers, see [`super::summary`].
    fn summary(&self, names: &Names, table: &str, first_epoch: u64, expired: i64) -> String;

    /// One page: for each change its place, `rev`, hash, unsent, known, rejected, duplicate, extra, the key's columns, those of old
    /// forms, match key, group key, remote id, then the row. `freed`: the claim by which a deletion must be acknowledged for an addition
    /// that waits for it.
    fn page(&self, names: &Names, row: usize, after: After, freed: u64) -> String;

    /// The keys of changes without a message that have a rejection to take off the list: place, then the key's columns, those of old
    /// forms.
    fn cleared(&self, names: &Names, after: After) -> String;

    /// Bytes of each of these in the row of `table` that has the most of them, for a message.
    fn longest(&self, table: &str, lengths: &[String]) -> String;

    /// Moves entries by acknowledged changes, and records if there are any.
    fn apply(&self, to: &Applied<'_>, moves: &[Move]) -> Vec<Statement>;

    /// Moves entries that change without being sent.
    fn refresh(&self, names: &Names, spec: u32, now: i64) -> String;

    /// Drops tombstones of this age and older.
    fn prune(&self, names: &Names, expired: i64) -> String;

    /// Notes that the changes of a delta may have reached the destination, but for those that were acknowledged.
    fn doubt(&self, doubt: &Doubt<'_>) -> Vec<String>;

    /// Takes the deletions out of a delta, with the additions that wait for them.
    fn withhold(&self, names: &Names) -> String;

    /// Drops a table.
    fn drop(&self, table: &str) -> String;
}
