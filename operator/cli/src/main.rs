//! The backflow command: run, validate, preview and test manifests without a cluster.

fn main() {}
