//! The tests on a real cluster, in one program: a suite is one of its modules.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests, and what helps them, fail by panicking"
)]

mod api;
mod crash;
mod destinations;
mod guard;
mod queue;
mod restart;
mod sync;
mod upgrade;
mod warehouses;
mod wrong_world;
