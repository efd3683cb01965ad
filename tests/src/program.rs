//! Programs of this workspace, for suites that run them.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use serde_json::Value;

/// Where a program is: the one that `cargo xtask test` has built, or one that is built now.
///
/// # Errors
/// It does not compile.
pub fn program(package: &str, name: &str) -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os(format!("CARGO_BIN_EXE_{name}")) {
        return Ok(path.into());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = std::process::Command::new(cargo)
        .args(["build", "--release", "--quiet", "--package", package, "--bin", name])
        .args(["--message-format", "json-render-diagnostics"])
        .output()?;
    ensure!(output.status.success(), "{name} does not compile: {}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8(output.stdout)?;
    let built = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find_map(|message| {
        (message["target"]["name"] == name).then(|| message["executable"].as_str().map(PathBuf::from))?
    });
    built.with_context(|| format!("cargo names no program {name}"))
}
