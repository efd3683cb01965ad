//! `cargo xtask demo`: everything that Backflow does, once, before your eyes.
//!
//! What it prints is kept in `docs/demo.md` and compared by the test command, so it must be the same each time but for times,
//! sizes and names that are made anew (see [`transcript`]).

mod local;
mod on_cluster;
mod shop;
pub mod transcript;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::packages::{self, Purpose};
use crate::process::run;
use crate::steps::{logged, say, step};
use crate::workspace::Workspace;

/// Where a demo takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// On this machine alone, with SQLite.
    Local,
    /// On a real Kubernetes, with Postgres.
    Cluster,
}

impl Stage {
    /// The file in `target` that a recorded demo is written to.
    fn log(self) -> &'static str {
        match self {
            Self::Local => "demo-local.log",
            Self::Cluster => "demo.log",
        }
    }
}

/// Shows Backflow.
///
/// # Errors
/// Something is missing, or did not do what it should.
pub fn demo(workspace: &Workspace, stage: Stage, install: bool) -> Result<()> {
    match stage {
        Stage::Local => local::demo(workspace, install),
        Stage::Cluster => on_cluster::demo(workspace, install),
    }
}

/// Shows Backflow to nobody and returns what it printed.
///
/// # Errors
/// As [`demo`]; what was printed until then is in `target/demo.log`, or `demo-local.log`.
pub fn recorded(workspace: &Workspace, stage: Stage) -> Result<String> {
    let path = workspace.output().join(stage.log());
    std::fs::create_dir_all(workspace.output())?;
    logged(File::create(&path)?, || demo(workspace, stage, false))?;
    Ok(std::fs::read_to_string(path)?)
}

/// Stops what a demo left running: the shop's Postgres, the receiver, and the namespace.
///
/// # Errors
/// The cluster refuses.
pub fn down(workspace: &Workspace) -> Result<()> {
    on_cluster::down(workspace)
}

/// A headline.
fn chapter(title: &str) {
    say(&format!("\n── {title} {}", "─".repeat(72usize.saturating_sub(title.chars().count()))));
}

/// One sentence for the reader.
fn tell(text: &str) {
    say(text);
}

/// Shows a command as a person would type it, runs it, and prints what it says.
fn show(shown: &str, command: &mut Command) -> Result<String> {
    say(&format!("\n$ {shown}"));
    let output = run(command)?;
    for line in output.lines() {
        say(line.trim_end());
    }
    Ok(output)
}

/// Builds programs of this workspace.
fn build<const N: usize>(workspace: &Workspace, names: [&str; N], install: bool) -> Result<[PathBuf; N]> {
    packages::ensure(&[Purpose::Build], install)?;
    step(&format!("compile {}", names.join(" and ")), || workspace.programs(names))
}

/// A password for this demo only, from the kernel.
fn password() -> Result<String> {
    use std::io::Read as _;
    let mut bytes = [0u8; 16];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).context("/dev/urandom")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A path as the reader of the clone would write it.
fn relative(workspace: &Workspace, path: &Path) -> String {
    path.strip_prefix(&workspace.root).unwrap_or(path).display().to_string()
}

/// A path below the home folder as people write it.
fn tilde(path: &Path) -> String {
    match std::env::home_dir().and_then(|home| path.strip_prefix(home).ok().map(Path::to_owned)) {
        Some(rest) => format!("~/{}", rest.display()),
        None => path.display().to_string(),
    }
}
