//! State outside of the warehouse: the conformance of every store.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "state_stores/directory.rs"]
mod directory;
#[path = "state_stores/s3.rs"]
mod s3;
