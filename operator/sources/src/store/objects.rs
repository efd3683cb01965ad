//! What the packed state asks of the place where it lives: objects with names, and one write that only one writer can win.

use std::time::Duration;

use async_trait::async_trait;
use backflow_core::code::{Code, Failure};
use backflow_core::state::PATIENCE;
use bytes::Bytes;

use crate::diff::pushdown::statement::Statement;

/// The largest object that is read: far above what the engine writes, and a bound for what somebody else may have put there.
pub(super) const LARGEST: u64 = 512 << 20;

/// An object that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Its whole name.
    pub(super) name: String,
    /// Its length in bytes.
    pub(super) bytes: u64,
}

/// A bucket or a folder. Names are made of plain letters, digits, `.`, `_`, `-`, `!` and `/`.
///
/// Every call ends by itself, tried again where that helps, and its failure names the place and the cure.
#[async_trait]
pub(super) trait Objects: Send + Sync {
    /// The place, for messages.
    fn place(&self) -> String;

    /// See [`backflow_core::state::StateStore::patience`].
    fn patience(&self) -> Duration {
        PATIENCE
    }

    /// Makes the place ready for a first object, where that needs something.
    async fn prepare(&self) -> Result<(), Failure>;

    /// An object's bytes, `None` if it is not there.
    async fn get(&self, name: &str) -> Result<Option<Bytes>, Failure>;

    /// Writes an object if there is none of its name: whole, and lasting when this returns. Whether these bytes are there now: also
    /// if an earlier attempt wrote them and its answer was lost. After an error they may be there or not.
    async fn create(&self, name: &str, bytes: Bytes) -> Result<bool, Failure>;

    /// As [`Objects::create`], in one transaction with statements of the warehouse that the place is in: all of it happens, or nothing.
    /// Nothing does if an object of the same folder has a later name.
    async fn create_with(&self, name: &str, _bytes: Bytes, _with: &[Statement]) -> Result<bool, Failure> {
        let message = format!("{} runs no statements, and was given some with {name}; please report it", self.place());
        Err(Failure::new(Code::Internal, message))
    }

    /// Statements that remove what the pushdown engine has of a state here, beside the objects.
    async fn forgetting(&self, _state_key: &str) -> Result<Vec<Statement>, Failure> {
        Ok(Vec::new())
    }

    /// Writes an object, whole, and lasting when this returns; in place of one that is there.
    async fn put(&self, name: &str, bytes: Bytes) -> Result<(), Failure>;

    /// All objects of a folder, by name.
    async fn list(&self, folder: &str) -> Result<Vec<Found>, Failure>;

    /// The folders in the place itself, by name.
    async fn folders(&self) -> Result<Vec<String>, Failure>;

    /// Removes objects. One that is not there is no error.
    async fn remove(&self, names: Vec<String>) -> Result<(), Failure>;

    /// Removes what a state that was forgotten has here beside objects.
    async fn forgotten(&self, _state_key: &str) -> Result<(), Failure> {
        Ok(())
    }
}
