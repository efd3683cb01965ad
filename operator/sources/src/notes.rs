//! Notes beside the states, in whatever store keeps them: a note is a head without entries, and a writing is a claim of it.

use std::sync::Arc;

use async_trait::async_trait;
use backflow_core::code::{Class, Code, Failure};
use backflow_core::notes::{LONGEST, Note, Notes, PREFIX};
use backflow_core::result::{Counters, Phase};
use backflow_core::state::{Head, RunRow, StateStore};

/// Version of a note's head.
const FORMAT: u32 = 1;
/// Notes are no cluster's: what they say is the destination's.
const OWNER: &str = "any";
/// The one run of a note, which a store has a row of.
const RUN: &str = "notes";

/// The notes of a state store.
pub struct StoredNotes(Arc<dyn StateStore>);

impl StoredNotes {
    /// Those of this store.
    #[must_use]
    pub fn new(store: Arc<dyn StateStore>) -> Self {
        Self(store)
    }

    async fn claim(&self, key: &str, before: Option<&Head>, head: &Head) -> Result<(), Failure> {
        let now = jiff::Timestamp::now().to_string();
        let run = RunRow {
            name: RUN.to_owned(),
            number: 1,
            first_epoch: 1,
            epoch: head.epoch,
            phase: Phase::Succeeded,
            counters: Counters::default(),
            started_at: now.clone(),
            updated_at: now,
        };
        self.0.claim(key, before, head, &run, false).await
    }
}

#[async_trait]
impl Notes for StoredNotes {
    async fn read(&self, name: &str) -> Result<Option<Note>, Failure> {
        match self.0.head(&key(name)).await {
            Ok(None) => Ok(None),
            Err(failure) if failure.code == Code::StateSchemaMissing => Ok(None),
            Ok(Some(head)) if head.format > FORMAT => Err(Failure::new(
                Code::StateTooNew,
                format!(
                    "the note \"{name}\" in the state has format {}, this program knows {FORMAT}; update Backflow",
                    head.format
                ),
            )),
            Ok(Some(head)) => Ok(Some(Note { version: head.epoch, text: head.document })),
            Err(failure) => Err(failure),
        }
    }

    async fn write(&self, name: &str, before: Option<&Note>, text: &str) -> Result<Option<Note>, Failure> {
        if text.len() > LONGEST {
            let message = format!("the note \"{name}\" has {} bytes, and may have {LONGEST}", text.len());
            return Err(Failure::new(Code::LimitExceeded, message));
        }
        let key = key(name);
        let seen = before.map(|note| head(note.version, &note.text));
        let note = Note { version: before.map_or(0, |note| note.version) + 1, text: text.to_owned() };
        let next = head(note.version, text);
        let mut claimed = self.claim(&key, seen.as_ref(), &next).await;
        if claimed.as_ref().is_err_and(|failure| failure.code == Code::StateSchemaMissing) {
            self.0.prepare().await?;
            claimed = self.claim(&key, seen.as_ref(), &next).await;
        }
        match claimed {
            Ok(()) => Ok(Some(note)),
            Err(failure) if failure.code == Code::Fenced => Ok(None),
            // The answer may have been lost on its way back.
            Err(failure) if failure.code.class() == Class::Transient => match self.0.head(&key).await {
                Ok(Some(stored)) if stored == next => Ok(Some(note)),
                _ => Err(failure),
            },
            Err(failure) => Err(failure),
        }
    }
}

fn key(name: &str) -> String {
    format!("{PREFIX}{name}")
}

fn head(version: u64, text: &str) -> Head {
    Head {
        format: FORMAT,
        owner: OWNER.to_owned(),
        epoch: version,
        generation: 0,
        segment: 0,
        document: text.to_owned(),
    }
}
