//! The worker's program between a real Postgres and a real receiver: what arrives, what is counted, and what a crash leaves.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "worker_runs/canary.rs"]
mod canary;
#[path = "worker_runs/changes.rs"]
mod changes;
#[path = "worker_runs/crash.rs"]
mod crash;
#[path = "worker_runs/guard.rs"]
mod guard;
#[path = "worker_runs/limits.rs"]
mod limits;
#[path = "worker_runs/modes.rs"]
mod modes;
#[path = "worker_runs/rejected.rs"]
mod rejected;
#[path = "worker_runs/state.rs"]
mod state;
#[path = "worker_runs/stop.rs"]
mod stop;
#[path = "worker_runs/wrong_input.rs"]
mod wrong_input;
