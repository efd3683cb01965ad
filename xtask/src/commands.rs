//! The command line.

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use crate::demo::Stage;
use crate::workspace::Workspace;
use crate::{bench, cluster, demo, equivalence, generate, image, live, test};

/// What was typed.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Backflow's own commands",
    disable_help_subcommand = true
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure how fast it is, beside the bare minimum for the same work (docs/benchmarks.md)
    Bench(bench::Args),
    /// A real Kubernetes with one node on this machine
    #[command(subcommand)]
    Cluster(Cluster),
    /// Show everything that Backflow does, once: a cluster, a shop, a receiver, two syncs
    Demo {
        /// Without a cluster: the same engine on a SQLite file
        #[arg(long)]
        local: bool,
        /// Run both unseen, and write what they print into docs/demo.md
        #[arg(long, conflicts_with_all = ["local", "down"])]
        record: bool,
        /// Stop what an earlier demo left running
        #[arg(long, conflicts_with = "local")]
        down: bool,
        /// Install missing Debian packages (as root)
        #[arg(long)]
        install: bool,
    },
    /// Compare the requests of built-in definitions with those of Segment's open action code (docs/equivalence.md)
    Equivalence(equivalence::EquivalenceArgs),
    /// Build the image as an OCI archive
    Image {
        /// Load it into the cluster, which must be up
        #[arg(long)]
        load: bool,
        /// Install missing Debian packages (as root)
        #[arg(long)]
        install: bool,
    },
    /// Regenerate the committed files that are made from others
    Generate {
        /// Only say which are stale, and fail if any is
        #[arg(long)]
        check: bool,
    },
    /// Try a warehouse of your own: checks, first run, changes, a crash, the guard (docs/live.md)
    Live(live::LiveArgs),
    /// Run every check of the project
    Test {
        /// Install missing Debian packages (as root)
        #[arg(long)]
        install: bool,
        /// Only these suites
        suites: Vec<String>,
    },
}

#[derive(Subcommand)]
enum Cluster {
    /// Build it (once) and start it; does nothing if it runs or KUBECONFIG names one that answers
    Up {
        /// Install missing Debian packages (as root)
        #[arg(long)]
        install: bool,
    },
    /// Stop it and remove all it left behind
    Down,
    /// Show its components and how to reach it
    Status,
}

impl Arguments {
    /// Does it; false if what was asked about is not as it should be.
    ///
    /// # Errors
    /// It could not be done.
    pub fn run(self) -> Result<bool> {
        let workspace = Workspace::locate()?;
        match self.command {
            Command::Bench(args) => bench::bench(&workspace, &args),
            Command::Cluster(Cluster::Up { install }) => {
                let cluster = cluster::up(&workspace, install)?;
                println!("export KUBECONFIG={}", cluster.kubeconfig.display());
                Ok(true)
            }
            Command::Cluster(Cluster::Down) => cluster::down(&workspace).map(|()| true),
            Command::Cluster(Cluster::Status) => cluster::status(&workspace),
            Command::Demo { down: true, .. } => demo::down(&workspace).map(|()| true),
            Command::Demo { record: true, .. } => {
                let local = demo::recorded(&workspace, Stage::Local)?;
                let cluster = demo::recorded(&workspace, Stage::Cluster)?;
                demo::transcript::record(&workspace, &local, &cluster).map(|()| true)
            }
            Command::Demo { local, install, .. } => {
                let stage = if local { Stage::Local } else { Stage::Cluster };
                demo::demo(&workspace, stage, install).map(|()| true)
            }
            Command::Equivalence(args) => equivalence::equivalence(&workspace, &args),
            Command::Image { load, install } => {
                let archive = image::build(&workspace, install)?;
                if load {
                    let cluster = cluster::current(&workspace).context("no cluster is up: cargo xtask cluster up")?;
                    image::load(&archive, &cluster)?;
                }
                image::describe(&archive);
                Ok(true)
            }
            Command::Generate { check } => generate::generate(&workspace, check),
            Command::Live(args) => live::live(&workspace, &args),
            Command::Test { install, suites } => test::test(&workspace, install, &suites),
        }
    }
}
