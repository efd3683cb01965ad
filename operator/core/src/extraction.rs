//! The seam between a diff engine and a run: pages of changes out, acknowledgements in.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::cell::Column;
use crate::change::{Change, ChangeKind, Memory};
use crate::code::Failure;
use crate::record::Rejection;
use crate::result::Counters;
use crate::state::PATIENCE;

/// What the diff found, before anything is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Findings {
    /// Rows that the model returned.
    pub rows: u64,
    /// Keys that were delivered (or seen) before.
    pub known: u64,
    /// Keys that are new.
    pub added: u64,
    /// Keys whose content is new, or that must be sent again.
    pub updated: u64,
    /// Keys that are gone.
    pub deleted: u64,
    /// Of `deleted`, those that were stored without ever being sent.
    pub deleted_unsent: u64,
    /// Rows whose match or group key is new, in a Mirror: each is one of `deleted` and one of `added`.
    pub rekeyed: u64,
    /// Keys that are gone while another row has their match key: forgotten, and not part of `deleted`, for the record is still wanted.
    pub superseded: u64,
    /// Of `added`, `updated` and `deleted`, changes of keys of which something was sent that was never acknowledged.
    pub doubtful: u64,
    /// Rows with a NULL key, and all rows of a duplicated key, by code: counted, never sent, never taken for a deletion.
    pub invalid_null_key: u64,
    /// See `invalid_null_key`.
    pub invalid_duplicate_key: u64,
    /// Changes that are not offered because the destination rejected the same content before: not part of `added`, `updated`,
    /// `deleted`, which count what is offered.
    pub still_rejected: u64,
    /// Scratch was full: what was read is offered, deletions are not.
    pub scratch_full: bool,
    /// Why unchanged rows are offered as updated, if they are: `MappingChanged`, `Full`, `Replay`.
    pub resend: Option<Resend>,
}

impl Findings {
    /// Rows that were left out for their key.
    #[must_use]
    pub fn invalid(&self) -> u64 {
        self.invalid_null_key + self.invalid_duplicate_key
    }
}

/// Why rows without a change of content are sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resend {
    /// The Mapping was edited, and `onMappingChange` is Resend.
    MappingChanged,
    /// A Full run was asked for, now or before (and goes on).
    Full,
    /// A Replay asked for them.
    Replay,
}

/// What the run says of one change: the state moves by this and nothing else.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It was delivered.
    Delivered(Memory),
    /// It is not sent by the sync mode, and from now on known.
    Seen,
    /// Its content was rejected.
    Rejected(Rejection),
}

/// An acknowledged change.
#[derive(Clone, Debug)]
pub struct Ack {
    /// The change, without its row.
    pub change: Change,
    /// What became of it.
    pub verdict: Verdict,
}

/// The checkpoint after a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checkpoint {
    /// Keys that are known.
    pub rows: u64,
    /// When it last moved, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub committed_at: Option<String>,
    /// The Sync that moved it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync_name: Option<String>,
}

/// The columns of [`Change::row`], of those that a model has: what the Mapping uses, and the key's, in the model's order.
#[must_use]
pub fn row_columns(described: &[Column], used: &[String], primary_key: &[String]) -> Vec<Column> {
    let wanted = |name: &String| used.contains(name) || primary_key.contains(name);
    described.iter().filter(|column| wanted(&column.name)).cloned().collect()
}

/// The changes of one run. The warehouse's snapshot is closed before the first page is offered: delivery never holds it open.
#[async_trait]
pub trait Extraction: Send {
    /// The columns of [`Change::row`]: [`row_columns`].
    fn columns(&self) -> &[Column];

    /// What was found.
    fn findings(&self) -> &Findings;

    /// The checkpoint before this run.
    fn checkpoint(&self) -> &Checkpoint;

    /// What makes a delivery unique beside the change itself: the state's incarnation, new at Reset.
    fn incarnation(&self) -> &str;

    /// The counters that earlier pods of this same run committed: a replacement starts from them, and commits the sum.
    fn carried(&self) -> &Counters;

    /// [`crate::state::StateStore::patience`] of the place of the state.
    fn patience(&self) -> Duration {
        PATIENCE
    }

    /// The next changes of one kind, at most `max`, each change once. Empty: no more of that kind. Kinds are asked for in the order
    /// Deleted, Updated, Added, and an earlier one is over as soon as a later one is asked for.
    ///
    /// **Before a page is returned, the state durably holds that its changes may have reached the destination.** An acknowledgement
    /// takes that back; what is left of it makes the next run take the key for changed, whatever the model says then.
    ///
    /// A row with a new match or group key is a deletion and, later, an addition. The addition is offered only if the deletion's
    /// acknowledgement is committed by then, so everything must be committed before another kind is asked for.
    ///
    /// # Errors
    /// If scratch cannot be read, or as [`Extraction::commit`].
    async fn next_page(&mut self, kind: ChangeKind, max: usize) -> Result<Vec<Change>, Failure>;

    /// How many changes were found and not handed out, because the run ends early or because the deletion before an addition has no
    /// acknowledgement. The next run finds them again. Nothing is offered after this.
    ///
    /// # Errors
    /// If scratch cannot be read.
    async fn left(&mut self) -> Result<u64, Failure>;

    /// Leaves the deletions out, with the additions that need them: they are not offered, and the state keeps their rows. Must be
    /// called before the first page.
    fn withhold_deletions(&mut self);

    /// Moves the checkpoint by the acknowledged changes and stores the run's counters, atomically and fenced.
    ///
    /// # Errors
    /// [`crate::code::Code::Fenced`] if another run has taken over; else what the store says. On an error nothing has moved.
    async fn commit(&mut self, acks: Vec<Ack>, counters: &Counters) -> Result<(), Failure>;

    /// Folds the journal, records the run's end, and clears marks (a Full's, a mapping change's) of which nothing is left.
    ///
    /// # Errors
    /// As [`Extraction::commit`].
    async fn finish(&mut self, counters: &Counters, phase: crate::result::Phase) -> Result<Checkpoint, Failure>;

    /// Ends a DryRun: takes away what it needed. Nothing is offered after this.
    ///
    /// # Errors
    /// What the warehouse says; what is left goes with the next run.
    async fn close(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}
