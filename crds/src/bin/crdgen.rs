//! Writes the CRDs that are made from the Rust types.

fn main() {}
