//! `cargo xtask live`: the tests' own story of a warehouse, told against an account of the user's.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use crate::test::FEATURES;
use crate::workspace::Workspace;

/// The test, and the variable that it reads the folder from.
const TEST: &str = "live::a_warehouse_that_is_named_does_it_all";
const FOLDER: &str = "BACKFLOW_LIVE";

/// Which warehouse.
#[derive(Args)]
pub struct LiveArgs {
    /// Folder with the manifests of one Source and of the Secrets that it names
    folder: PathBuf,
}

/// Runs it; false if the warehouse does not do what it should.
///
/// # Errors
/// The folder is none.
pub fn live(workspace: &Workspace, args: &LiveArgs) -> Result<bool> {
    let folder = std::path::absolute(&args.folder)?;
    ensure!(is_folder_of_manifests(&folder), "{}: no folder with manifests (*.yaml)", folder.display());
    let mut cargo = workspace.cargo_release("test");
    cargo.args(["--package", "backflow-suites", "--features", FEATURES, "--test", "local", "--"]);
    let status = cargo.args(["--exact", "--nocapture", TEST]).env(FOLDER, folder).status();
    Ok(status.context("cannot start cargo")?.success())
}

fn is_folder_of_manifests(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| path.extension().is_some_and(|end| end == "yaml" || end == "yml"))
}
