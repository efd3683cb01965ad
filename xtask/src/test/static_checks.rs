//! Checks that run no test: format, lints, documentation.

use std::fs::File;

use anyhow::Result;

use super::{Outcome, check, compiled::FEATURES};
use crate::workspace::Workspace;

/// The sources are formatted.
pub(super) fn format(workspace: &Workspace, log: &File) -> Result<Outcome> {
    check(workspace.cargo("fmt").args(["--all", "--check", "--", "--color", "never"]), log)
}

/// Neither the compiler nor clippy has anything to say.
pub(super) fn lint(workspace: &Workspace, log: &File) -> Result<Outcome> {
    let mut clippy = workspace.cargo_release("clippy");
    clippy.args(["--workspace", "--all-targets", "--features", FEATURES, "--", "--deny", "warnings"]);
    check(&mut clippy, log)
}

/// The documentation builds, and each link in it leads somewhere.
pub(super) fn documentation(workspace: &Workspace, log: &File) -> Result<Outcome> {
    let mut doc = workspace.cargo_release("doc");
    // With private items: what explains a module to its maintainers links to them.
    doc.args(["--workspace", "--no-deps", "--document-private-items"]).env("RUSTDOCFLAGS", "--deny warnings");
    check(&mut doc, log)
}
