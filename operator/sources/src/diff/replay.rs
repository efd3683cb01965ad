//! Which rows a Replay sends again.

use std::ops::RangeInclusive;

use backflow_core::change::{Key, NamedKeys};
use backflow_core::code::{Code, Failure};
use backflow_core::plan::{Mode, Replay};
use backflow_core::state::{RunRow, StateStore};

use super::damage::internal;
use super::entry::Entry;

/// The rows of a Replay. What it has acknowledged is of a later claim and no longer among them, so that it goes on after a crash.
pub(super) enum Chosen {
    /// Rows that these claims acknowledged last.
    Claims(RangeInclusive<u64>),
    /// Rows with these keys.
    Keys {
        names: NamedKeys,
        /// The Replay's own first claim.
        before: u64,
    },
}

impl Chosen {
    /// What `mode` chooses; `None` for every other mode than Replay.
    pub(super) async fn by(
        mode: &Mode,
        store: &dyn StateStore,
        state_key: &str,
        run: &RunRow,
    ) -> Result<Option<Self>, Failure> {
        let Mode::Replay(replay) = mode else { return Ok(None) };
        match replay {
            Replay::Keys(names) => {
                let names = NamedKeys::new(names.iter().map(String::as_str));
                Ok(Some(Self::Keys { names, before: run.first_epoch }))
            }
            Replay::Run(name) => match store.run(state_key, name).await? {
                Some(past) if past.name != run.name => Ok(Some(Self::Claims(past.first_epoch..=past.epoch))),
                _ => Err(Failure::new(
                    Code::RunNotFound,
                    format!(
                        "state \"{state_key}\" remembers no run \"{name}\" before this one; name a Sync of this Mapping that is among its \
                         last 1,000 runs, or name rows in replay.keys"
                    ),
                )),
            },
        }
    }

    /// Whether the row of a known key is one of them.
    pub(super) fn entry(&self, entry: &Entry) -> Result<bool, Failure> {
        match self {
            Self::Claims(claims) => Ok(claims.contains(&entry.rev)),
            Self::Keys { before, .. } if entry.rev >= *before => Ok(false),
            Self::Keys { .. } => self.key(&entry.key),
        }
    }

    /// Whether the row of an unknown key is one of them.
    pub(super) fn key(&self, key: &[u8]) -> Result<bool, Failure> {
        match self {
            Self::Claims(_) => Ok(false),
            Self::Keys { names, .. } => {
                let key = Key::decode(key).ok_or_else(|| internal("a key in scratch cannot be read back"))?;
                Ok(names.contains(&key))
            }
        }
    }
}
