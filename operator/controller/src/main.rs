//! The controller: reconciles the five kinds and runs one Job for each Sync.

fn main() {}
