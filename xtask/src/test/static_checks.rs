//! Checks that run no test: format, lints, documentation.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{Outcome, check, compiled::FEATURES};
use crate::process::run;
use crate::workspace::Workspace;

/// What clippy is told.
const DENIED: [&str; 2] = ["--deny", "warnings"];

/// The sources are formatted.
pub(super) fn format(workspace: &Workspace, log: &File) -> Result<Outcome> {
    check(workspace.cargo("fmt").args(["--all", "--check", "--", "--color", "never"]), log)
}

/// Neither the compiler nor clippy has anything to say.
pub(super) fn lint(workspace: &Workspace, log: &File) -> Result<Outcome> {
    let mut clippy = workspace.cargo_release("clippy");
    clippy.args(["--workspace", "--all-targets", "--features", FEATURES, "--"]).args(DENIED);
    check(&mut clippy, log)
}

/// The documentation builds, and each link in it leads somewhere.
///
/// It rests on what clippy has checked: cargo takes the same packages, checked by the same driver with the same arguments, for the
/// same work, and does not do it again.
pub(super) fn documentation(workspace: &Workspace, log: &File) -> Result<Outcome> {
    let mut doc = workspace.cargo_release("doc");
    // With private items: what explains a module to its maintainers links to them.
    doc.args(["--workspace", "--no-deps", "--document-private-items"]).env("RUSTDOCFLAGS", "--deny warnings");
    let toolchain = run(Command::new("rustc").args(["--print", "sysroot"]).current_dir(&workspace.root))?;
    doc.env("RUSTC_WORKSPACE_WRAPPER", Path::new(toolchain.trim()).join("bin/clippy-driver"));
    doc.env("CLIPPY_ARGS", DENIED.map(|argument| format!("{argument}__CLIPPY_HACKERY__")).concat());
    check(&mut doc, log)
}
