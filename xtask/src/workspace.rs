//! Where things are: the clone, the cache, the build directory; and how cargo is called.

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process::run;

/// The project's version; also the image's tag.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The compiler of the workspace's packages, a script in the build directory: its place goes into the names of what it compiles, and is
/// the same for all clones.
const COMPILER: &str = "backflow-rustc";

/// What it does: tests inside of packages are each package once more, and take longer to be optimised than they save.
/// What they test for speed or memory, they do with the programs.
const COMPILE: &str = r#"#!/bin/sh
case " $* " in
*" --test "*) exec "$@" -C opt-level=0 ;;
*) exec "$@" ;;
esac
"#;

/// The paths every command works with.
#[derive(Clone, Debug)]
pub struct Workspace {
    /// The clone.
    pub root: PathBuf,
    /// Slow builds and the test cluster live here, outside the clone: `$BACKFLOW_CACHE`, or `backflow` in the user's
    /// cache folder.
    pub cache: PathBuf,
    /// Cargo's build directory: `$CARGO_TARGET_DIR`, or `target` in the cache, so that a fresh clone compiles no
    /// dependency again.
    pub target: PathBuf,
}

impl Workspace {
    /// Finds the clone this program was built from, and the user's cache folder.
    ///
    /// # Errors
    /// No home folder, or a relative path in one of the variables that the current folder cannot complete.
    pub fn locate() -> Result<Self> {
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&manifest).parent().context("xtask is not inside a clone")?.to_path_buf();
        let cache = match (env_path("BACKFLOW_CACHE"), env_path("XDG_CACHE_HOME"), env_path("HOME")) {
            (Some(cache), _, _) => cache,
            (None, Some(xdg), _) => xdg.join("backflow"),
            (None, None, Some(home)) => home.join(".cache/backflow"),
            (None, None, None) => anyhow::bail!("no cache folder: set HOME or BACKFLOW_CACHE"),
        };
        let cache = std::path::absolute(cache).context("BACKFLOW_CACHE")?;
        let target = match env_path("CARGO_TARGET_DIR") {
            Some(target) => std::path::absolute(target).context("CARGO_TARGET_DIR")?,
            None => cache.join("target"),
        };
        let workspace = Self { root, cache, target };
        workspace.claim_target()?;
        workspace.write_compiler()?;
        Ok(workspace)
    }

    /// Puts the compiler's script in its place. Others may run it meanwhile, so it is moved there whole.
    fn write_compiler(&self) -> Result<()> {
        let path = self.target.join(COMPILER);
        if fs::read_to_string(&path).is_ok_and(|there| there == COMPILE) {
            return Ok(());
        }
        let mut script = tempfile::NamedTempFile::new_in(&self.target)?;
        script.write_all(COMPILE.as_bytes())?;
        fs::set_permissions(script.path(), fs::Permissions::from_mode(0o755))?;
        // Closed before anybody runs it: what is open for writing cannot be run.
        script.into_temp_path().persist(path).context("the build directory cannot be written")
    }

    /// Lets the shared build directory hold this clone's packages, and no other's.
    ///
    /// Cargo tells packages apart by their path inside of the workspace, and old from new by the age of files: of two clones it
    /// would take what was compiled last for both. Dependencies are the same for all and stay.
    fn claim_target(&self) -> Result<()> {
        let marker = self.target.join("backflow-clone");
        let root = self.root.display().to_string();
        if fs::read_to_string(&marker).is_ok_and(|claimed| claimed == root) {
            return Ok(());
        }
        if self.target.join(Self::triple()).exists() {
            let mut clean = self.cargo("clean");
            clean.args(["--quiet", "--release", "--target", &Self::triple()]);
            for package in self.packages()?.iter().filter(|package| *package != "xtask") {
                clean.args(["--package", package]);
            }
            run(&mut clean)?;
        }
        fs::create_dir_all(&self.target)?;
        fs::write(marker, root).context("the build directory cannot be written")
    }

    /// The names of the workspace's packages.
    ///
    /// # Errors
    /// Cargo cannot read the workspace.
    pub fn packages(&self) -> Result<Vec<String>> {
        let metadata = run(self.cargo("metadata").args(["--no-deps", "--format-version", "1"]))?;
        let metadata: Value = serde_json::from_str(&metadata)?;
        let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
        Ok(packages.iter().filter_map(|package| Some(package["name"].as_str()?.to_owned())).collect())
    }

    /// What the image, the tests and the benchmarks are built for: a static binary for this machine's processor.
    #[must_use]
    pub fn triple() -> String {
        format!("{}-unknown-linux-musl", std::env::consts::ARCH)
    }

    /// Output that belongs to the clone: image, logs.
    #[must_use]
    pub fn output(&self) -> PathBuf {
        self.root.join("target")
    }

    /// `cargo COMMAND`, in the clone, with the shared build directory and nothing of the cargo that runs us.
    #[must_use]
    pub fn cargo(&self, command: &str) -> Command {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        for (name, _) in std::env::vars_os().filter(|(name, _)| belongs_to_outer_cargo(name)) {
            cargo.env_remove(name);
        }
        cargo.arg(command).current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target);
        // Its output is read by programs and kept in logs; and the target is said, not inherited.
        cargo.env("CARGO_TERM_COLOR", "never").env_remove("CARGO_BUILD_TARGET");
        if in_ci() {
            // What a clone is compiled from once needs no notes for a second time: they take gigabytes.
            cargo.env("CARGO_INCREMENTAL", "0");
        }
        cargo
    }

    /// `cargo COMMAND --release --target TRIPLE`: the project's one profile and one target, so that dependencies
    /// compile once.
    #[must_use]
    pub fn cargo_release(&self, command: &str) -> Command {
        let mut cargo = self.cargo(command);
        cargo.args(["--release", "--target", &Self::triple()]);
        cargo.env("RUSTC_WORKSPACE_WRAPPER", self.target.join(COMPILER));
        cargo
    }

    /// Compiles programs of the project and returns where they are.
    ///
    /// All packages are named, though only what the programs need is compiled: cargo turns on the features that the
    /// named packages ask for, so that every caller gets, and shares, the same dependencies.
    ///
    /// # Errors
    /// They do not compile.
    pub fn programs<const N: usize>(&self, names: [&str; N]) -> Result<[PathBuf; N]> {
        let mut cargo = self.cargo_release("build");
        cargo.args(["--quiet", "--workspace", "--exclude", "xtask"]);
        for name in names {
            cargo.args(["--bin", name]);
        }
        run(&mut cargo)?;
        Ok(names.map(|name| self.target.join(Self::triple()).join("release").join(name)))
    }
}

/// Whether this runs in CI, where each clone is used once and nothing may be skipped.
#[must_use]
pub fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}

fn env_path(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Variables that `cargo run` sets for this program. Inherited, they would look like changed inputs to build scripts.
fn belongs_to_outer_cargo(name: &OsString) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || name == "LD_LIBRARY_PATH"
}
