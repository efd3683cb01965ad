//! What the SQL state stores have in common: how the parts of a commit are written in columns, and read back.

use std::collections::BTreeMap;

use backflow_core::code::{Code, Failure};
use backflow_core::result::Phase;
use backflow_core::state::{Head, RejectChange, RunRow, StateLine};
use sha2::{Digest, Sha256};
use sqlx::{ColumnIndex, Decode, Row, Type};

/// Version of the state tables that this program makes and reads.
pub(crate) const SCHEMA_VERSION: u32 = 1;

/// Another run took over.
pub(crate) fn fenced(state_key: &str) -> Failure {
    Failure::new(
        Code::Fenced,
        format!(
            "another run of \"{state_key}\" has taken over its state; this one stops, and what it sent last is sent again"
        ),
    )
}

/// The tables were made by a newer version.
pub(crate) fn too_new(place: &str, found: &str) -> Failure {
    Failure::new(
        Code::StateTooNew,
        format!(
            "the state tables in {place} have version {found}, this program knows {SCHEMA_VERSION}; update Backflow"
        ),
    )
}

/// The columns that [`line()`] reads, but for `bytes`.
pub(crate) const HEAD: &str = "state_key, format, owner, epoch, generation, segment, document";

/// Reads a head with its key.
pub(crate) fn head<'r, R>(row: &'r R) -> Result<(String, Head), sqlx::Error>
where
    R: Row,
    &'static str: ColumnIndex<R>,
    String: Decode<'r, R::Database> + Type<R::Database>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
{
    let head = Head {
        format: row.try_get::<i64, _>("format")? as u32,
        owner: row.try_get("owner")?,
        epoch: row.try_get::<i64, _>("epoch")? as u64,
        generation: row.try_get::<i64, _>("generation")? as u64,
        segment: row.try_get::<i64, _>("segment")? as u64,
        document: row.try_get("document")?,
    };
    Ok((row.try_get("state_key")?, head))
}

/// Reads a line of the listing.
pub(crate) fn line<'r, R>(row: &'r R) -> Result<StateLine, sqlx::Error>
where
    R: Row,
    &'static str: ColumnIndex<R>,
    String: Decode<'r, R::Database> + Type<R::Database>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
{
    let (state_key, head) = head(row)?;
    Ok(StateLine { state_key, head, bytes: row.try_get::<i64, _>("bytes")? as u64 })
}

/// The columns of a run's row.
pub(crate) struct RunColumns {
    name: String,
    number: i64,
    first_epoch: i64,
    epoch: i64,
    phase: String,
    counters: String,
    started_at: String,
    updated_at: String,
}

impl RunColumns {
    /// Reads them.
    pub(crate) fn read<'r, R>(row: &'r R) -> Result<Self, sqlx::Error>
    where
        R: Row,
        &'static str: ColumnIndex<R>,
        String: Decode<'r, R::Database> + Type<R::Database>,
        i64: Decode<'r, R::Database> + Type<R::Database>,
    {
        Ok(Self {
            name: row.try_get("name")?,
            number: row.try_get("number")?,
            first_epoch: row.try_get("first_epoch")?,
            epoch: row.try_get("epoch")?,
            phase: row.try_get("phase")?,
            counters: row.try_get("counters")?,
            started_at: row.try_get("started_at")?,
            updated_at: row.try_get("updated_at")?,
        })
    }

    /// The row that they say.
    pub(crate) fn into_row(self, state_key: &str) -> Result<RunRow, Failure> {
        let damaged = |_| {
            Failure::new(
                Code::StateDamaged,
                format!(
                    "the row of run \"{}\" of \"{state_key}\" in the state's runs table cannot be read; delete that row",
                    self.name
                ),
            )
        };
        let phase: Phase = serde_json::from_value(serde_json::Value::String(self.phase.clone())).map_err(damaged)?;
        let counters = serde_json::from_str(&self.counters).map_err(damaged)?;
        Ok(RunRow {
            name: self.name,
            number: self.number as u64,
            first_epoch: self.first_epoch as u64,
            epoch: self.epoch as u64,
            phase,
            counters,
            started_at: self.started_at,
            updated_at: self.updated_at,
        })
    }
}

/// The phase's name.
pub(crate) fn phase_text(run: &RunRow) -> String {
    format!("{:?}", run.phase)
}

/// The last change of each key, by the key's hash: keys may be longer than an index entry.
pub(crate) fn last_words(changes: &[RejectChange]) -> BTreeMap<Vec<u8>, &RejectChange> {
    changes
        .iter()
        .map(|change| {
            let key = match change {
                RejectChange::Put(row) => &row.key,
                RejectChange::Remove(key) => key,
            };
            (Sha256::digest(key.as_bytes()).to_vec(), change)
        })
        .collect()
}
