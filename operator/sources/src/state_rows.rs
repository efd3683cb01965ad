//! What the SQL state stores have in common: how the parts of a commit are written in columns.

use std::collections::BTreeMap;

use backflow_core::code::{Code, Failure};
use backflow_core::result::Phase;
use backflow_core::state::{RejectChange, RunRow};
use sha2::{Digest, Sha256};

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

/// The columns of a run's row.
pub(crate) struct RunColumns {
    pub(crate) name: String,
    pub(crate) number: i64,
    pub(crate) first_epoch: i64,
    pub(crate) epoch: i64,
    pub(crate) phase: String,
    pub(crate) counters: String,
    pub(crate) started_at: String,
    pub(crate) updated_at: String,
}

impl RunColumns {
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
