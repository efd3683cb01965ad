//! The spelling of each warehouse.

pub(crate) mod bigquery;
pub(crate) mod databricks;
pub(crate) mod postgres;
pub(crate) mod redshift;
pub(crate) mod snowflake;
#[cfg(test)]
mod tests;
pub(crate) mod tsql;
