//! The seam between what runs tell later runs of a Destination's account, and where that is kept.
//!
//! A state belongs to one Mapping. What is true of an account (the refresh token that is valid now, how much of a day's requests is
//! used) belongs to all Mappings of its Destination, so it lies beside the states: small texts by name, each written only by who has
//! read what is there.

use async_trait::async_trait;

use crate::code::Failure;

/// What the state keys of notes begin with: no Mapping's can, and listings of states leave them out.
pub const PREFIX: &str = "!";

/// The longest text in bytes: a warehouse that keeps it in a table takes no longer one in a statement.
pub const LONGEST: usize = 128 * 1024;

/// A text as it was read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Counts the writings of this name, from 1.
    pub version: u64,
    /// What it says.
    pub text: String,
}

/// Small texts by name, shared by all runs whose state is kept in one place.
#[async_trait]
pub trait Notes: Send + Sync {
    /// What is kept under a name.
    ///
    /// # Errors
    /// What the store says.
    async fn read(&self, name: &str) -> Result<Option<Note>, Failure>;

    /// Writes a text in place of `before` (`None`: there is none yet). `None` in the answer: somebody else has written since, and nothing
    /// has changed. Lasting when this returns.
    ///
    /// # Errors
    /// What the store says; the text is longer than [`LONGEST`].
    async fn write(&self, name: &str, before: Option<&Note>, text: &str) -> Result<Option<Note>, Failure>;
}
