//! The fakes of warehouses: Python programs, in an environment of their own outside the clone.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use crate::process::run;
use crate::steps::step;
use crate::workspace::Workspace;

/// Where the fakes are in the clone.
pub(crate) const FOLDER: &str = "tests/fakes";
/// What they and their tests need, with exact versions.
const REQUIREMENTS: [&str; 2] = ["requirements.txt", "requirements-test.txt"];

/// The variable that tells tests of [`python`].
pub(crate) const VARIABLE: &str = "BACKFLOW_FAKES_PYTHON";

/// Two suites may want it at once.
static MAKING: Mutex<()> = Mutex::new(());

/// The Python that has what the fakes need. Made once for each list of requirements.
///
/// # Errors
/// A download failed, or Python is missing.
pub(crate) fn python(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.root.join(FOLDER).join("warehouses");
    let mut hash = Sha256::new();
    for name in REQUIREMENTS {
        hash.update(fs::read(folder.join(name)).with_context(|| format!("{FOLDER}/warehouses/{name}"))?);
    }
    let hash: String = hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let environment = workspace.cache.join("fakes").join(hash);
    let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let (python, complete) = (environment.join("bin/python"), environment.join("complete"));
    if !complete.exists() {
        step("Python packages of the fakes", || {
            run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment))?;
            let mut pip = Command::new(&python);
            pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]);
            for name in REQUIREMENTS {
                pip.arg("--requirement").arg(folder.join(name));
            }
            run(&mut pip)?;
            fs::write(&complete, "").context("the environment of the fakes cannot be written")
        })?;
    }
    Ok(python)
}
