//! The pushdown engine on a real Postgres: random histories, alone and beside the streaming engine, and what only a server can show.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

#[path = "pushdown/histories.rs"]
mod histories;
