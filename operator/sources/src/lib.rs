//! Warehouses: connections, types, dialects, state, and the diff engines.
