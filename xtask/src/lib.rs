//! The project's own commands, as a library: `cargo xtask` is a thin front of it.

mod argocd;
pub mod bench;
pub mod cluster;
pub mod commands;
pub mod demo;
pub mod equivalence;
mod fakes;
pub mod generate;
pub mod image;
pub mod live;
pub mod oci;
pub mod packages;
pub mod process;
pub mod steps;
pub mod test;
pub mod workspace;
