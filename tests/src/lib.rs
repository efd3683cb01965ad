//! Test kit and the suites that cross crates.
