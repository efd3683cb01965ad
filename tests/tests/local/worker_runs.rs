//! The worker's program between a real Postgres and a real receiver: what arrives, what is counted, and what a crash leaves.

mod canary;
mod changes;
mod crash;
mod guard;
mod limits;
mod modes;
mod rejected;
mod state;
mod stop;
mod stores;
mod wrong_input;
