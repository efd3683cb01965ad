//! The seam between the streaming engine and where its state lives: numbered blobs under one fenced head per Mapping.
//!
//! A store knows nothing of entries. It keeps, for each state key, one [`Head`] (which says what is current), packed partitions by
//! generation, journal segments by number, one row per run and the rejected records. Every write that makes something current is
//! atomic and conditional on the head's epoch, so that a run which lost its claim cannot move anything.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::code::Failure;
use crate::record::Rejection;
use crate::result::{Counters, Phase};

/// Runs of a key that the state remembers: with a run every five minutes, three days and a half.
pub const KEPT_RUNS: u64 = 1_000;

/// [`StateStore::patience`] where a commit costs little.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// The current state of one Mapping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Version of the format that this state is written in; a greater one than ours is not touched.
    pub format: u32,
    /// The cluster that owns the state.
    pub owner: String,
    /// Fencing epoch: every claim takes the next.
    pub epoch: u64,
    /// Generation of the last fold; 0: none yet. Partitions that a fold did not touch stay current under the generation that wrote
    /// them: which ones are is said by the document, and to the store by [`StateStore::fold`].
    pub generation: u64,
    /// Number of the last journal segment; segments after the last fold and up to this one are current. Numbers are never reused,
    /// also not by a fold or a reset.
    pub segment: u64,
    /// Everything else that the engine keeps, as JSON.
    pub document: String,
}

/// One run, as the state remembers it: readable by SQL, and where a replacement pod goes on counting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRow {
    /// Name of the Sync.
    pub name: String,
    /// Number of the run in this state, from 1.
    pub number: u64,
    /// The first claim of the run. Claims are consecutive as long as no other run comes between, so that with [`RunRow::epoch`] this
    /// is the range of claims that acknowledged what the run did.
    pub first_epoch: u64,
    /// The fencing epoch that wrote this row last.
    pub epoch: u64,
    /// How it stands.
    pub phase: Phase,
    /// What was done.
    pub counters: Counters,
    /// When the run first claimed the state, RFC 3339.
    pub started_at: String,
    /// When this row was written, RFC 3339.
    pub updated_at: String,
}

/// One rejected record, as the state remembers it: readable by SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectRow {
    /// The primary key as JSON.
    pub key: String,
    /// The operation's name.
    pub operation: String,
    /// Why.
    pub rejection: Rejection,
}

/// How the list of rejected records moves with a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RejectChange {
    /// Rejected now; the first time is kept if the key was rejected before.
    Put(RejectRow),
    /// No longer rejected: the key (JSON) was delivered or is gone.
    Remove(String),
}

/// What one commit stores, all or nothing.
#[derive(Debug)]
pub struct Commit<'a> {
    /// The Mapping's state key.
    pub state_key: &'a str,
    /// The new head: `epoch` as claimed, `segment` the number of this commit's segment, if it has one.
    pub head: &'a Head,
    /// The journal segment, numbered [`Head::segment`]. `None`: only head and run change.
    pub segment: Option<&'a [u8]>,
    /// The run's row.
    pub run: &'a RunRow,
    /// Moves of the rejects.
    pub rejects: &'a [RejectChange],
}

/// Names one stored partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId {
    /// The generation (fold) that wrote it.
    pub generation: u64,
    /// Its number among the partitions of the key.
    pub index: u32,
}

/// A line of the listing of all states.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateLine {
    /// The state key.
    pub state_key: String,
    /// Its head.
    pub head: Head,
    /// Bytes of its partitions and journal.
    pub bytes: u64,
}

/// Where packed state lives.
///
/// What a value of it claims, it alone can commit: a write is conditional on the whole head that the same value wrote last, and not on
/// the epoch only. A state that was forgotten and made anew counts its epochs from 1 again, but its document has another incarnation: a
/// run of the forgotten one stays fenced.
#[async_trait]
pub trait StateStore: Send + Sync {
    /// Creates what is missing, where the role may.
    ///
    /// # Errors
    /// [`crate::code::Code::StateSchemaMissing`] or `PermissionDenied`, with the statement that cures it.
    async fn prepare(&self) -> Result<(), Failure>;

    /// The longest that an acknowledgement should wait for its commit: what is not committed comes again after a crash, and where a
    /// commit is dear, that is worth some of it.
    fn patience(&self) -> Duration {
        PATIENCE
    }

    /// The head of a key, `None` if there is no state.
    ///
    /// # Errors
    /// What the store says.
    async fn head(&self, state_key: &str) -> Result<Option<Head>, Failure>;

    /// Stores `head` and the run's row if the stored head is still `expected` (`None`: there is still no state): all of it, because
    /// the run that holds the claim may commit until ours is stored, and that commit must not be undone. With `reset`, partitions,
    /// journal, and rejects of the key go in the same step; runs stay, but for those that are [`KEPT_RUNS`] or more before this one.
    ///
    /// # Errors
    /// [`crate::code::Code::Fenced`] if another claim or a commit came first.
    async fn claim(
        &self,
        state_key: &str,
        expected: Option<&Head>,
        head: &Head,
        run: &RunRow,
        reset: bool,
    ) -> Result<(), Failure>;

    /// The row of a run, for a replacement pod.
    ///
    /// # Errors
    /// What the store says.
    async fn run(&self, state_key: &str, name: &str) -> Result<Option<RunRow>, Failure>;

    /// One partition's bytes; `None` if it is not there.
    ///
    /// # Errors
    /// What the store says.
    async fn partition(&self, state_key: &str, id: PartitionId) -> Result<Option<Vec<u8>>, Failure>;

    /// One journal segment's bytes; `None` if it is not there.
    ///
    /// # Errors
    /// What the store says.
    async fn segment(&self, state_key: &str, number: u64) -> Result<Option<Vec<u8>>, Failure>;

    /// Appends a segment and moves head, run and rejects, if the epoch is still ours.
    ///
    /// # Errors
    /// [`crate::code::Code::Fenced`]; on any error nothing has moved.
    async fn commit(&self, commit: Commit<'_>) -> Result<(), Failure>;

    /// Writes a partition of a generation that is not current yet, replacing what a crashed run left there.
    ///
    /// # Errors
    /// [`crate::code::Code::Fenced`], or what the store says.
    async fn put_partition(&self, state_key: &str, epoch: u64, id: PartitionId, bytes: &[u8]) -> Result<(), Failure>;

    /// Stores head, run and rejects of `commit` (its `segment` is `None`), and removes all partitions of the key but those in `keep`
    /// and all segments up to [`Head::segment`]: all or nothing. `keep` names what the new head's document makes current, written by
    /// this fold or before; it is also what removes the partitions that a crashed fold left.
    ///
    /// # Errors
    /// [`crate::code::Code::Fenced`]; on any error nothing has moved.
    async fn fold(&self, commit: Commit<'_>, keep: &[PartitionId]) -> Result<(), Failure>;

    /// Removes everything of a key if its epoch is `expected`. Whether there was anything.
    ///
    /// # Errors
    /// [`crate::code::Code::Fenced`].
    async fn forget(&self, state_key: &str, expected: u64) -> Result<bool, Failure>;

    /// All states, by key, at most `limit`; not the notes ([`crate::notes`]) that lie beside them.
    ///
    /// # Errors
    /// What the store says.
    async fn list(&self, limit: u32) -> Result<Vec<StateLine>, Failure>;
}
