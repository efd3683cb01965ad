//! Pods, processes and controllers die at bad moments: nothing is lost, and what is sent twice has the key it had before.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "cluster_crash/controller.rs"]
mod controller;
#[path = "cluster_crash/leaders.rs"]
mod leaders;
#[path = "cluster_crash/moments.rs"]
mod moments;
#[path = "cluster_crash/worker.rs"]
mod worker;
