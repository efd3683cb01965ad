//! The project's own commands, as a library: `cargo xtask` is a thin front of it.

pub mod cluster;
pub mod oci;
pub mod packages;
pub mod process;
pub mod steps;
pub mod workspace;
