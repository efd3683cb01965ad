//! One measured run, and what else was going on meanwhile.

use std::process::Child;
use std::time::Instant;

use backflow_tests::postgres::PostgresServer;
use serde::Serialize;

use crate::receiver::{Client, Stats};
use backflow_bench_processes::{self as processes, Cpu, Ended};

/// What a run cost.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Cost {
    /// Seconds from the start of the process to its end.
    pub wall_s: f64,
    /// Processor seconds of the process.
    pub cpu_s: f64,
    /// Processor seconds of Postgres.
    pub server_cpu_s: f64,
    /// Processor seconds of the receiver.
    pub receiver_cpu_s: f64,
    /// Share of the machine that others used: a figure taken beside a build is no figure.
    pub others_percent: f64,
    /// The most memory that was resident, in MiB.
    pub rss_mib: f64,
    /// Requests that the receiver counted.
    pub requests: u64,
}

/// Everything that is measured.
pub struct Meter<'a> {
    /// Postgres.
    pub server: &'a PostgresServer,
    /// Where records go.
    pub receiver: &'a Client,
}

struct Moment {
    server: f64,
    receiver: f64,
    own: f64,
    busy: f64,
}

impl Meter<'_> {
    fn now(&self) -> anyhow::Result<Moment> {
        Ok(Moment {
            server: Cpu::of_family(self.server.pid()?)?,
            receiver: self.receiver.cpu()?,
            own: Cpu::of(std::process::id())?.own,
            busy: processes::busy()?,
        })
    }

    /// Measures a process from its start to its end. The receiver begins empty, without faults.
    ///
    /// # Errors
    /// It does not start, or fails.
    pub async fn run(&self, start: impl FnOnce() -> anyhow::Result<Child>) -> anyhow::Result<(Ended, Cost)> {
        self.receiver.clear().await?;
        self.go_on(start).await
    }

    /// As [`Meter::run`], with the receiver as it is.
    ///
    /// # Errors
    /// As there.
    pub async fn go_on(&self, start: impl FnOnce() -> anyhow::Result<Child>) -> anyhow::Result<(Ended, Cost)> {
        let before = self.now()?;
        let requests = self.receiver.stats().await?.requests;
        let since = Instant::now();
        let child = start()?;
        let ended = tokio::task::block_in_place(|| processes::wait(child, since))?;
        let after = self.now()?;
        let Stats { requests: all, .. } = self.receiver.stats().await?;
        let server = after.server - before.server;
        let receiver = after.receiver - before.receiver;
        let others = after.busy - before.busy - server - receiver - ended.cpu - (after.own - before.own);
        let wall = ended.wall.as_secs_f64();
        let processors = std::thread::available_parallelism()?.get() as f64;
        let cost = Cost {
            wall_s: wall,
            cpu_s: ended.cpu,
            server_cpu_s: server,
            receiver_cpu_s: receiver,
            others_percent: (100.0 * others / (wall * processors)).clamp(0.0, 100.0),
            rss_mib: 0.0,
            requests: all - requests,
        };
        Ok((ended, cost))
    }
}

/// The median; of an even count the lower of the two in the middle.
#[must_use]
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_one_of_the_values() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0, 3.0, 2.0].into_iter()), 2.0);
        assert_eq!(median(std::iter::empty()), 0.0);
    }
}
