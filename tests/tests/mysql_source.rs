//! MySQL and MariaDB as a source, against a real MariaDB: what a check says, which values arrive, where the state is, and what a run delivers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "mysql_source/checks.rs"]
mod checks;
#[path = "mysql_source/models.rs"]
mod models;
#[path = "mysql_source/runs.rs"]
mod runs;
#[path = "mysql_source/shop.rs"]
mod shop;
#[path = "mysql_source/values.rs"]
mod values;
