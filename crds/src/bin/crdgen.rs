//! Prints or checks the CRDs.

fn main() {}
