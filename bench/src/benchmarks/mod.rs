//! The benchmarks, one file for each subject.

pub mod answers;
pub mod big;
pub mod changes;
pub mod controller;
pub mod delivery;
pub mod diff;
pub mod faults;
pub mod kills;
pub mod limits;
pub mod mapping;
pub mod wide;

use std::path::PathBuf;

use backflow_tests::postgres::PostgresServer;

use crate::measure::Meter;
use crate::peers::Peers;
use crate::receiver::Client;

/// The most records that may come again after a kill: a commit window.
const WINDOW: usize = 10_000;

/// What all of them work with.
pub struct Bench {
    /// The one Postgres.
    pub server: PostgresServer,
    /// The one receiver.
    pub receiver: Client,
    /// The program that is a worker.
    pub operator: PathBuf,
    /// How often each is measured.
    pub repetitions: usize,
    /// Rows where the benchmark does not say.
    pub rows: u64,
    /// Others, if they are measured too.
    pub peers: Option<Peers>,
}

impl Bench {
    /// Measures on this server and receiver.
    #[must_use]
    pub fn meter(&self) -> Meter<'_> {
        Meter { server: &self.server, receiver: &self.receiver }
    }
}
