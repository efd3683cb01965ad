//! Test kit and the suites that cross crates.

pub mod certificates;
pub mod cli;
pub mod cluster;
pub mod diff_site;
pub mod memory;
pub mod oracle;
pub mod postgres;
pub mod program;
pub mod receiver;
pub mod s3;
pub mod state_conformance;
pub mod webhook;
pub mod worker;

/// How long anything may take before a test gives up. A hang costs this, a success nothing.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(300);
