//! Sources of cloud warehouses against strict fakes of their services: what a check says, which values arrive, where the state is, what a
//! run delivers, and what is left after it.

mod azure_sql;
mod checks;
mod runs;
mod shop;
mod state;
mod stops;
mod trouble;
mod values;
