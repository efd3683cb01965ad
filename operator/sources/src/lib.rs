//! Warehouses: connections, types, state, and the diff engines.
//!
//! [`warehouse::open`] connects to what a plan names; a [`warehouse::Warehouse`] checks, describes, and reads rows. The streaming
//! engine makes an [`backflow_core::extraction::Extraction`] of it and a [`backflow_core::state::StateStore`].

mod azuresql;
pub mod batch;
mod bigquery;
mod claims;
mod clickhouse;
mod databricks;
pub mod diff;
mod model;
mod mysql;
pub mod notes;
mod postgres;
mod redshift;
mod rest;
mod snowflake;
mod sql;
mod sqlite;
mod state_rows;
mod store;
mod stream;
mod tls;
pub mod warehouse;
