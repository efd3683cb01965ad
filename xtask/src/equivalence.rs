//! `cargo xtask equivalence`: what Segment's open action code sends for some rows, and what ours does (docs/equivalence.md).

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};
use clap::Args;
use sha2::{Digest as _, Sha256};

use crate::packages::{self, Purpose};
use crate::process::run;
use crate::steps::step;
use crate::test::FEATURES;
use crate::workspace::Workspace;

/// The test, and the variables that it reads the package's folder and the tools from.
const TEST: &str = "equivalence::every_case_is_taken_and_as_segments_but_for_what_is_listed";
const PACKAGE: &str = "BACKFLOW_EQUIVALENCE";
const TOOLS: &str = "BACKFLOW_EQUIVALENCE_TOOLS";
/// Where the package is pinned.
const FOLDER: &str = "tests/equivalence";
const PINS: [&str; 2] = ["package.json", "package-lock.json"];

/// What is compared.
#[derive(Args)]
pub struct EquivalenceArgs {
    /// Only these: amplitude, braze, hubspot, klaviyo, mixpanel, segment
    tools: Vec<String>,
    /// Install missing Debian packages (as root)
    #[arg(long)]
    install: bool,
}

/// Compares; false if a difference is not listed, or a listed one is gone.
///
/// # Errors
/// Segment's package or a program cannot be had.
pub fn equivalence(workspace: &Workspace, args: &EquivalenceArgs) -> Result<bool> {
    packages::ensure(&[Purpose::Build, Purpose::Keys, Purpose::Npm], args.install)?;
    let package = package(workspace)?;
    let [backflow] = step("the command backflow", || workspace.programs(["backflow"]))?;
    let mut cargo = workspace.cargo_release("test");
    cargo.args(["--quiet", "--workspace", "--exclude", "xtask", "--features", FEATURES, "--test", "local", "--"]);
    cargo.args(["--exact", "--nocapture", TEST]).env("CARGO_BIN_EXE_backflow", backflow);
    cargo.env(PACKAGE, package).env(TOOLS, args.tools.join(","));
    Ok(cargo.status().context("cannot start cargo")?.success())
}

/// Segment's package. Installed once for each state of its pins, without the scripts that packages bring.
fn package(workspace: &Workspace) -> Result<PathBuf> {
    let pins = workspace.root.join(FOLDER);
    let mut hash = Sha256::new();
    for name in PINS {
        hash.update(fs::read(pins.join(name)).with_context(|| format!("{FOLDER}/{name}"))?);
    }
    let hash: String = hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let package = workspace.cache.join("equivalence").join(hash);
    let complete = package.join("complete");
    if !complete.exists() {
        step("Segment's package", || {
            fs::create_dir_all(&package)?;
            for name in PINS {
                fs::copy(pins.join(name), package.join(name))?;
            }
            let mut npm = Command::new("npm");
            run(npm.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(&package))?;
            fs::write(&complete, "").context("the cache cannot be written")
        })?;
    }
    Ok(package)
}
