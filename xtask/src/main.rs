//! The project's own commands: `cargo xtask --help` lists them.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use xtask::{cluster, workspace::Workspace};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Backflow's own commands", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A real Kubernetes with one node on this machine
    #[command(subcommand)]
    Cluster(Cluster),
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

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<bool> {
    let workspace = Workspace::locate()?;
    match command {
        Command::Cluster(Cluster::Up { install }) => {
            let cluster = cluster::up(&workspace, install)?;
            println!("export KUBECONFIG={}", cluster.kubeconfig.display());
            Ok(true)
        }
        Command::Cluster(Cluster::Down) => cluster::down(&workspace).map(|()| true),
        Command::Cluster(Cluster::Status) => cluster::status(&workspace),
    }
}
