//! Test kit and the suites that cross crates.

pub mod certificates;
pub mod memory;
pub mod postgres;
pub mod receiver;
pub mod state_conformance;
pub mod webhook;
