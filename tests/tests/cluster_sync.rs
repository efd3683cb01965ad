//! From `kubectl apply` to rows at their destination: every kind of run, what is kept secret, and what kubectl shows.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "cluster_sync/changes.rs"]
mod changes;
#[path = "cluster_sync/modes.rs"]
mod modes;
#[path = "cluster_sync/secrecy.rs"]
mod secrecy;
#[path = "cluster_sync/transcripts.rs"]
mod transcripts;
