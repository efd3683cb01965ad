//! What a warehouse's SQL must say, as pure text. The statements themselves are the same everywhere ([`super::text`]); a new warehouse
//! spells their parts, by an implementation of [`Dialect`], and adds a transport.
//!
//! A **delta** is the table that one run makes of the model and the entries: a row for each key that is not simply unchanged. It is
//! made by one statement, read in pages of one kind by `(bucket, n)`, which together are a row's place, and never changes. **Entries** move by it: a page's acknowledged
//! rows are named by their place, and everything else that the statement needs is in the delta already.

use super::statement::{After, Applied, Around, Bind, Doubt, Mark, Move, Statement};
use super::text;
use super::typed::{KeyColumn, Kind, Names, Typed};

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
    /// To count the rows of the model by themselves costs next to nothing.
    pub stored: bool,
    /// Rows stand for records that more than one of them may stand for: [`super::records`].
    pub identifies: bool,
    /// Records that no row stands for any more go.
    pub mirror: bool,
    /// The rows of a Replay: no other change is looked for.
    pub chosen: Option<Chosen>,
}

impl<W> Delta<'_, W> {
    /// Whether rows are counted beside the join, and not by numbers that they get on their way to it.
    pub(crate) fn counts_beside(&self) -> bool {
        self.stored && !self.exact
    }

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

/// Buckets of a delta.
pub(crate) const BUCKETS: u64 = 1024;

/// A place is the bucket so often, and the row's number in it.
pub(crate) const BUCKET: u64 = 1 << 40;

/// Rows that go into a table, in place of those with the same key.
#[derive(Clone, Debug)]
pub(crate) struct Upsert<'a> {
    /// The table, and what the rest calls it.
    pub table: &'a str,
    pub alias: &'a str,
    /// Columns that name a row.
    pub key: &'a [&'a str],
    /// Columns of a new row, and what they hold, the key's among them.
    pub columns: Vec<(&'a str, String)>,
    /// What those expressions are about, after FROM.
    pub from: String,
    /// What changes in a row that is there. `{new}` stands for the new row.
    pub set: Vec<(&'a str, String)>,
}

/// The spelling of one warehouse, and by it the text of all statements. Every one of them names the columns that it needs.
pub(crate) trait Dialect: Send + Sync + Sized {
    /// Column of the row hash.
    const HASH: &'static str;

    /// Whether a statement costs less that names a range of places.
    const DIVIDED: bool = false;

    /// Values are read before they are joined to the entries, and not after: some types cannot be joined.
    const READS_EARLY: bool = false;

    /// Ends the query that makes the values of the model's rows and their hashes, so that it is planned apart from what numbers the
    /// rows: several processes can share it then. `None`: it needs no end.
    const APART: Option<&'static str> = None;

    /// A name as SQL takes it.
    fn quote(&self, name: &str) -> String;

    /// A table of the state schema, whose name is quoted already.
    fn table(&self, schema: &str, name: &str) -> String {
        format!("{schema}.{}", self.quote(name))
    }

    /// Text as SQL takes it.
    fn literal(&self, text: &str) -> String;

    /// A condition as the value of a column.
    fn truth(&self, condition: &str) -> String {
        condition.to_owned()
    }

    /// Whether such a value is true, as a condition.
    fn is(&self, value: &str) -> String {
        value.to_owned()
    }

    /// Such a value.
    fn boolean(&self, value: bool) -> &'static str {
        if value { "true" } else { "false" }
    }

    /// A condition that is known where the one given is not.
    fn or(&self, condition: &str, otherwise: bool) -> String {
        format!("coalesce({condition}, {otherwise})")
    }

    /// Whether two values differ; NULL is a value.
    fn distinct(&self, one: &str, other: &str) -> String {
        format!("{one} IS DISTINCT FROM {other}")
    }

    /// The greater one of two numbers.
    fn greatest(&self, one: &str, other: &str) -> String {
        format!("greatest({one}, {other})")
    }

    /// A number beyond 32 bits.
    fn big(&self, number: u64) -> String {
        number.to_string()
    }

    /// A value in a type.
    fn cast(&self, value: &str, kind: &str) -> String {
        format!("CAST({value} AS {kind})")
    }

    /// The order of a window that needs none.
    fn any_order(&self) -> &'static str {
        ""
    }

    /// So many rows, behind ORDER BY.
    fn limit(&self, rows: usize) -> String {
        format!("LIMIT {rows}")
    }

    /// Bytes of a column of keys that may be long.
    fn key_size(&self, key: &KeyColumn) -> String {
        format!("octet_length({})", key.name)
    }

    /// A text as a key column of class `text` holds it.
    fn key_literal(&self, text: &str) -> String {
        self.literal(text)
    }

    /// SQL type of a column of our own.
    fn kind(&self, kind: Kind) -> &'static str;

    /// The hash of a row of these exact values.
    fn row_hash(&self, values: &[String]) -> String;

    /// A number below [`BUCKETS`] that depends on the key alone.
    fn bucket(&self, keys: &[String]) -> String;

    /// The name of a record (32 hexadecimal digits) as a row hash.
    fn hash_of(&self, record: &str) -> String;

    /// The sum of a column up to each row.
    fn running_sum(&self, column: &str, order: &str) -> String {
        format!("sum({column}) OVER (ORDER BY {order})")
    }

    /// How many rows meet a condition.
    fn count_if(&self, condition: &str) -> String;

    /// Two numbers, neither of them NULL, as one value.
    fn pair(&self, one: &str, other: &str) -> String {
        format!("concat({one}, '/', {other})")
    }

    /// The columns `nth`, which every row of the model has, and `last`: the `nth` of the rows that are `last` make, together, how many
    /// rows there are.
    fn counted(&self, _keys: &[String]) -> String {
        let order = self.any_order();
        let last = self.truth(&format!("lead(1) OVER ({order}) IS NULL"));
        format!("row_number() OVER ({order}) AS nth, {last} AS last")
    }

    /// A key column, ordered as its values are, the greatest first.
    fn by_value(&self, table: &str, key: &KeyColumn) -> String;

    /// Rows that are given, as something that follows FROM and is called `a`.
    fn given(&self, columns: Vec<(&'static str, Bind)>) -> (String, Vec<Bind>);

    /// The one row of a table that meets a condition, joined; `outer`: also if there is none.
    fn looked_up(&self, table: &str, alias: &str, condition: &str, outer: bool) -> String;

    /// Whether a row of a delta waits for no deletion, or for one that the claim `freed` has acknowledged: what is joined to the delta,
    /// and the condition.
    fn is_free(&self, names: &Names, freed: u64) -> (String, String) {
        text::page::is_free(self, names, freed)
    }

    /// The first row of each that `by` has the same in.
    fn first(&self, columns: &str, from: &str, by: &str, order: &str) -> String;

    /// Puts rows into a table.
    fn upsert(&self, upsert: &Upsert<'_>) -> String;

    /// Changes rows of `table` (called `e`) by the rows of `by` (called `d`) that `filter` lets through.
    fn update(&self, table: &str, set: &[(&str, String)], by: &str, filter: &str, condition: &str) -> String;

    /// Removes rows of a table, called `alias`, that meet a condition, with what `from` joins to it.
    fn remove(&self, table: &str, alias: &str, from: Option<&str>, condition: &str) -> String;

    /// A row of numbers.
    fn numbers(&self, numbers: &[String]) -> String;

    /// Makes a table of these columns, types as SQL has them; `true`: never NULL.
    fn create(&self, table: &str, columns: &[(&str, &str, bool)], key: &[&str], comment: Option<&str>) -> Vec<String>;

    /// Makes a table of the query that follows.
    fn create_as(&self, table: &str) -> String {
        format!("CREATE TABLE {table} AS")
    }

    /// Makes a table of a query that begins with these.
    fn create_with(&self, table: &str, with: &str, query: &str) -> String {
        format!("{}\nWITH {with}\n{query}", self.create_as(table))
    }

    /// What makes a table fast to read by these columns, which name a row if it is `unique`; `None` if nothing does.
    fn index(&self, table: &str, columns: &str, unique: bool) -> Option<String>;

    /// Makes the table of entries, with a comment for people.
    fn create_entries(&self, names: &Names, comment: &str) -> Vec<String> {
        text::tables::create_entries(self, names, comment)
    }

    /// Gives entries of an earlier version the columns that they had not then.
    fn complete_entries(&self, entries: &str) -> String {
        format!("ALTER TABLE {entries} ADD COLUMN IF NOT EXISTS record {}", self.kind(Kind::Text))
    }

    /// Entries to read from that lack these key columns, and the column of records unless there is one.
    fn completed_entries(&self, entries: &str, missing: &[&KeyColumn], records: bool) -> String {
        text::tables::completed_entries(self, entries, missing, records)
    }

    /// Makes the table of records that keys have written.
    fn create_held(&self, names: &Names, comment: &str) -> Vec<String> {
        text::tables::create_held(self, names, comment)
    }

    /// An empty table of entries, to read from.
    fn no_entries(&self, keys: &[KeyColumn]) -> String {
        text::tables::no_entries(self, keys)
    }

    /// An empty table of records, to read from.
    fn no_held(&self) -> String {
        text::tables::no_held(self)
    }

    /// Adds a key column to the entries.
    fn add_key(&self, entries: &str, key: &KeyColumn) -> String {
        format!("ALTER TABLE {entries} ADD COLUMN {} {}", key.name, key.kind)
    }

    /// Makes the delta; if it is staged, what that is made of.
    fn delta<W>(&self, delta: &Delta<'_, W>) -> Around {
        text::delta::delta(self, delta)
    }

    /// What makes it fast to read what was found, and the empty table of marks.
    fn index_found(&self, names: &Names) -> Vec<String> {
        text::tables::index_found(self, names)
    }

    /// Rows that the worker has to look at, after a place: the place, the key's columns, the row.
    fn candidates(&self, names: &Names, row: usize, after: After) -> String {
        text::page::candidates(self, names, row, after)
    }

    /// Stores marks.
    fn mark(&self, names: &Names, marks: &[Mark]) -> Statement {
        text::moves::mark(self, names, marks)
    }

    /// Makes the delta of what was found, marks, entries and records.
    fn resolve<W>(&self, delta: &Delta<'_, W>) -> String {
        text::resolve::resolve(self, delta)
    }

    /// What makes pages of a delta fast, right after it is made; `None` if nothing does.
    fn index_delta(&self, names: &Names) -> Option<String> {
        self.index(&names.delta, "kind, place", true)
    }

    /// What `table` has, a delta or what it is made of: rows of numbers, see [`super::summary`].
    fn summary(&self, names: &Names, table: &str, first_epoch: u64, expired: i64) -> String {
        text::summary::summary(self, names, table, first_epoch, expired)
    }

    /// One page: for each change its place, `rev`, hash, unsent, known, rejected, duplicate, extra, the key's columns, those of old
    /// forms, match key, group key, remote id, then the row. `freed`: the claim by which a deletion must be acknowledged for an addition
    /// that waits for it.
    fn page(&self, names: &Names, row: usize, after: After, freed: u64) -> String {
        text::page::page(self, names, row, after, freed)
    }

    /// The keys of changes without a message that have a rejection to take off the list: place, then the key's columns, those of old
    /// forms.
    fn cleared(&self, names: &Names, after: After) -> String {
        text::page::cleared(self, names, after)
    }

    /// Bytes of each of these in the row of `table` that has the most of them, for a message.
    fn longest(&self, table: &str, lengths: &[String]) -> String {
        text::page::longest(self, table, lengths)
    }

    /// Moves entries by acknowledged changes, and records if there are any.
    fn apply(&self, to: &Applied<'_>, moves: &[Move]) -> Vec<Statement> {
        text::moves::apply(self, to, moves)
    }

    /// Moves entries that change without being sent.
    fn refresh(&self, names: &Names, spec: u32, now: i64) -> String {
        text::moves::refresh(self, names, spec, now)
    }

    /// Drops tombstones of this age and older.
    fn prune(&self, names: &Names, expired: i64) -> String {
        text::moves::prune(self, names, expired)
    }

    /// Notes that the changes of a delta may have reached the destination, but for those that were acknowledged.
    fn doubt(&self, doubt: &Doubt<'_>) -> Vec<String> {
        text::moves::doubt(self, doubt)
    }

    /// Takes the deletions out of a delta, with the additions that wait for them.
    fn withhold(&self, names: &Names) -> String {
        text::moves::withhold(self, names)
    }

    /// Drops a table.
    fn drop(&self, table: &str) -> String {
        format!("DROP TABLE IF EXISTS {table}")
    }
}
