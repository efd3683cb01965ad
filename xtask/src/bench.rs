//! `cargo xtask bench`: builds the programs and lets the bench measure them.

use std::process::Command;

use anyhow::{Context, Result};

use crate::packages::{self, Purpose};
use crate::steps::step;
use crate::workspace::Workspace;

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Only these: BM1 … BM10
    ids: Vec<String>,
    /// Measure others, too: dlt, dbt, Segment's mapping, plain Python; they come from the registries of their languages
    #[arg(long)]
    peers: bool,
    /// Rows of the table
    #[arg(long)]
    rows: Option<u64>,
    /// How often each is measured; the median counts
    #[arg(long)]
    repetitions: Option<usize>,
    /// Install missing Debian packages (as root)
    #[arg(long)]
    install: bool,
}

/// Measures; false if something that arrived was wrong.
///
/// # Errors
/// It could not be measured.
pub fn bench(workspace: &Workspace, args: &Args) -> Result<bool> {
    let peers = args.peers.then_some(Purpose::Peers);
    packages::ensure(&[&[Purpose::Build, Purpose::Postgres], peers.as_slice()].concat(), args.install)?;
    let [bench, worker] = step("the programs", || workspace.programs(["backflow-bench", "backflow-worker"]))?;
    let output = workspace.output().join("bench").join("results.jsonl");
    let mut command = Command::new(bench);
    command.arg("run").args(&args.ids).arg("--worker").arg(worker).arg("--output").arg(&output);
    if args.peers {
        command.arg("--peers").arg(workspace.cache.join("bench"));
    }
    for (flag, value) in
        [("--rows", args.rows.map(|rows| rows.to_string())), ("--repetitions", args.repetitions.map(|n| n.to_string()))]
    {
        if let Some(value) = value {
            command.args([flag, &value]);
        }
    }
    Ok(command.status().context("the bench does not start")?.success())
}
