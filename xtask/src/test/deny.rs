//! Licences, bans and sources of all dependencies, by cargo-deny with deny.toml.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Outcome;
use crate::process::run_logged;
use crate::workspace::Workspace;

const VERSION: &str = "0.20.2";

/// Advisories are not asked for: their database is on the network, and a test's verdict must not change by itself.
pub(super) fn check(workspace: &Workspace, log: &File) -> Result<Outcome> {
    let program = ensure(workspace, log)?;
    let mut deny = Command::new(program);
    deny.current_dir(&workspace.root).args(["--locked", "--target", &Workspace::triple()]);
    run_logged(deny.args(["check", "bans", "licenses", "sources"]), log).map(Outcome::one)
}

/// Builds cargo-deny, once, into the cache: unoptimised, since it compiles in half the time and checks in a second.
fn ensure(workspace: &Workspace, log: &File) -> Result<PathBuf> {
    let root = workspace.cache.join("tools").join(format!("cargo-deny-{VERSION}"));
    let program = root.join("bin/cargo-deny");
    if program.exists() {
        return Ok(program);
    }
    let build = workspace.cache.join("tools/build");
    let mut install = workspace.cargo("install");
    install.args(["--locked", "--debug", "--version", VERSION, "cargo-deny", "--root"]).arg(&root);
    install.current_dir(&workspace.cache).env("CARGO_TARGET_DIR", &build);
    if !run_logged(&mut install, log).context("cargo install")? {
        bail!("cargo-deny {VERSION} cannot be built");
    }
    let _only_space = std::fs::remove_dir_all(build);
    Ok(program)
}
