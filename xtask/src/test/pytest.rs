//! The tests of the fakes of warehouses, which are Python's.

use std::fs::File;
use std::process::Command;

use anyhow::Result;

use super::Outcome;
use super::compiled::run_counted;
use crate::fakes;
use crate::workspace::Workspace;

/// Runs them.
pub(super) fn check(workspace: &Workspace, log: &File) -> Result<Outcome> {
    let mut pytest = Command::new(fakes::python(workspace)?);
    pytest.current_dir(workspace.root.join(fakes::FOLDER)).args(["-m", "pytest", "-p", "no:cacheprovider", "-rs"]);
    // The clone stays as it is.
    pytest.env("PYTHONDONTWRITEBYTECODE", "1").arg("warehouses");
    run_counted(&mut pytest, log, count)
}

/// Reads the last line: `3 failed, 210 passed, 1 skipped in 41.20s`, and why tests were skipped.
fn count(said: &str, success: bool) -> Outcome {
    let last = said.lines().rfind(|line| line.contains(" in ") && (line.contains("passed") || line.contains("failed")));
    let number = |what: &str| -> u32 {
        let before =
            last.and_then(|line| line.split(&format!(" {what}")).next().filter(|head| head.len() < line.len()));
        before.and_then(|head| head.rsplit([' ', '=']).next()?.parse().ok()).unwrap_or(0)
    };
    let skipped = said.lines().filter_map(|line| line.strip_prefix("SKIPPED ")).map(str::to_owned).collect();
    let failed = number("failed") + number("error");
    Outcome { passed: number("passed"), failed: if success { failed } else { failed.max(1) }, skipped }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_counted() {
        let said = "....s\nSKIPPED [1] tests/a.py:3: no network\n210 passed, 1 skipped in 41.20s\n";
        let outcome = count(said, true);
        assert_eq!((outcome.passed, outcome.failed, outcome.skipped.len()), (210, 0, 1));
        assert_eq!(count("3 failed, 7 passed in 2.00s\n", false).failed, 3);
        assert_eq!(count("2 errors in 0.10s\n", false).failed, 1);
        assert_eq!(count("", false), Outcome::one(false));
    }
}
