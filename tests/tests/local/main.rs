//! The tests that cross crates and need no cluster, in one program: to link one takes seconds, to link thirty takes minutes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests, and what helps them, fail by panicking"
)]

mod argocd;
mod cli_authorize;
mod cli_run;
mod cli_state;
mod cli_validate;
mod delivery_faults;
mod delivery_redaction;
mod delivery_tls;
mod delivery_webhook;
mod dependencies;
mod destinations_fake;
mod equivalence;
mod guide;
mod live;
mod mysql_source;
mod postgres_sink;
mod postgres_source;
mod postgres_state;
mod pushdown;
mod readme;
mod redshift_source;
mod source_guides;
mod sqlite_source;
mod state_stores;
mod warehouse_fakes;
mod worker_runs;
