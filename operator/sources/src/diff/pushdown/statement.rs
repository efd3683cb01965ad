//! What statements of a [`Dialect`](super::dialect::Dialect) are made from, and what they are.

use super::typed::Names;

/// A statement around the model's SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Around {
    /// What stands before the model in parentheses, which is named `_m`.
    pub before: String,
    /// What stands after it and its filter, before the same once more: for a delta that is [`super::dialect::Delta::stored`] only.
    pub between: Option<String>,
    /// What stands at the end.
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
    /// See [`super::codes::kind`].
    pub kind: u8,
    /// The place of the last change that was read, -1 at first.
    pub place: i64,
    /// No change beyond this place, where that makes it cheaper.
    pub upto: Option<i64>,
    /// Changes at most.
    pub rows: usize,
    /// Bytes of rows, about.
    pub bytes: usize,
}

/// One acknowledged change, as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Move {
    /// See [`super::codes::kind`].
    pub kind: u8,
    /// Its place in the delta.
    pub place: u64,
    /// What its entry becomes, see [`entry`](super::codes::entry); of a rejection, `NEVER_DELIVERED`.
    pub becomes: i64,
    /// Its record was written.
    pub wrote: bool,
    /// Memory.
    pub match_key: Option<Box<str>>,
    /// Memory.
    pub group_key: Option<Box<str>>,
    /// Memory.
    pub remote_id: Option<Box<str>>,
    /// The code of a rejection.
    pub rejected: Option<Box<str>>,
}

/// What the worker says of a row that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Its place.
    pub place: u64,
    /// The record that it stands for: 32 hexadecimal digits.
    pub record: Option<Box<str>>,
    /// What that is found by.
    pub match_key: Option<Box<str>>,
    /// What that is grouped by.
    pub group_key: Option<Box<str>>,
    /// Whether a Replay asks for it.
    pub chosen: bool,
}

/// What acknowledged changes are applied to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Applied<'a> {
    /// The tables.
    pub names: &'a Names,
    /// The claim.
    pub epoch: u64,
    /// The spec of its hashes.
    pub spec: u32,
    /// Unix seconds.
    pub now: i64,
    /// There are records.
    pub identifies: bool,
    /// What a key wrote before stays known until it is taken back.
    pub mirror: bool,
}

/// A delta that ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doubt<'a> {
    /// The table of entries.
    pub entries: &'a str,
    /// The table of records; `None`: the delta knows of none.
    pub held: Option<&'a str>,
    /// The delta.
    pub delta: &'a str,
    /// The delta's own key columns.
    pub keys: &'a [String],
    /// The claim that made it.
    pub epoch: u64,
    /// For each kind the last place that was handed out; `None`: all were, for all that is known.
    pub offered: Option<&'a [(u8, i64)]>,
}
