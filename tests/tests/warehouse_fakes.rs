//! Sources of cloud warehouses against strict fakes of their services: what a check says, which values arrive, where the state is, what a
//! run delivers, and what is left after it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "warehouse_fakes/checks.rs"]
mod checks;
#[path = "warehouse_fakes/runs.rs"]
mod runs;
#[path = "warehouse_fakes/shop.rs"]
mod shop;
#[path = "warehouse_fakes/state.rs"]
mod state;
#[path = "warehouse_fakes/stops.rs"]
mod stops;
#[path = "warehouse_fakes/trouble.rs"]
mod trouble;
#[path = "warehouse_fakes/values.rs"]
mod values;
