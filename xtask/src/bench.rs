//! `cargo xtask bench`: builds the programs and lets the bench measure them.

use std::process::Command;

use anyhow::{Context, Result};

use crate::cluster::{self, build::Build};
use crate::image;
use crate::packages::{self, Purpose};
use crate::steps::step;
use crate::workspace::Workspace;

/// The benchmark that needs an API server.
const CONTROLLER: &str = "BM10";

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Only these: BM1 … BM13
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
    /// BM5 and BM6 with this engine only: streaming, pushdown
    #[arg(long)]
    engine: Option<String>,
    /// BM5 and BM6 with state there only: schema, bucket, directory
    #[arg(long)]
    store: Option<String>,
    /// BM4 in pods of a real cluster, which is brought up, and not in a process
    #[arg(long)]
    pod: bool,
    /// Mappings of BM10
    #[arg(long)]
    mappings: Option<usize>,
    /// Install missing Debian packages (as root)
    #[arg(long)]
    install: bool,
}

impl Args {
    fn wants(&self, id: &str) -> bool {
        self.ids.is_empty() || self.ids.iter().any(|wanted| wanted == id)
    }
}

/// Measures; false if something that arrived was wrong.
///
/// # Errors
/// It could not be measured.
pub fn bench(workspace: &Workspace, args: &Args) -> Result<bool> {
    let mut purposes = vec![Purpose::Build, Purpose::Postgres];
    if args.peers {
        purposes.extend([Purpose::Peers, Purpose::Npm]);
    }
    let kubernetes = Build::locate(workspace);
    if args.wants(CONTROLLER) {
        purposes.extend([Purpose::Tools, Purpose::ApiServer]);
    }
    packages::ensure(&purposes, args.install)?;
    let names = ["backflow-bench", "backflow-operator"];
    let [bench, operator] = step("the programs", || workspace.programs(names))?;
    if args.wants(CONTROLLER) {
        kubernetes.api_server()?;
    }
    let mut command = Command::new(bench);
    command.arg("run").args(&args.ids);
    if args.pod {
        let cluster = cluster::up(workspace, args.install)?;
        let image = image::load(&image::build(workspace, args.install)?, &cluster)?;
        command.arg("--pod").env("KUBECONFIG", &cluster.kubeconfig).env("BACKFLOW_IMAGE", image);
        for (variable, program) in [("BACKFLOW_HELM", "helm"), ("BACKFLOW_KUBECTL", "kubectl")] {
            command.env(variable, cluster.build.program(program));
        }
    }
    for (flag, path) in [
        ("--operator", operator),
        ("--crds", workspace.root.join("crds/manifests")),
        ("--kubernetes", kubernetes.programs()),
        ("--output", workspace.output().join("bench/results.jsonl")),
    ] {
        command.arg(flag).arg(path);
    }
    if args.peers {
        command.arg("--peers").arg(workspace.cache.join("bench"));
    }
    for (flag, value) in [
        ("--rows", args.rows.map(|rows| rows.to_string())),
        ("--repetitions", args.repetitions.map(|times| times.to_string())),
        ("--engine", args.engine.clone()),
        ("--store", args.store.clone()),
        ("--mappings", args.mappings.map(|mappings| mappings.to_string())),
    ] {
        if let Some(value) = value {
            command.args([flag, &value]);
        }
    }
    Ok(command.status().context("the bench does not start")?.success())
}
