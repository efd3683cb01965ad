//! The project's own commands: demo, test, bench, cluster, image, generate.

fn main() {}
