//! MySQL and MariaDB as a source, against a real MariaDB: what a check says, which values arrive, where the state is, and what a run delivers.

mod checks;
mod models;
mod runs;
mod shop;
mod values;
