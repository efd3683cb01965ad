//! The workspace's own tests: compiled at once, so that each dependency compiles once, and run package by package.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::Outcome;
use crate::process::run_within;
use crate::workspace::{VERSION, Workspace};

/// Features that turn on tests which need more than cargo: this tool brings it.
pub(crate) const FEATURES: &str = "backflow-suites/charts,backflow-suites/cluster";

/// This package runs on the building machine: it is compiled for it, apart from the rest, as `cargo xtask` does.
pub(super) const XTASK: &str = "xtask";

/// The longest that one test program may take, or cargo with what it compiles first: far more than any needs.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// A test program.
pub(super) struct Binary {
    package: String,
    folder: PathBuf,
    target: String,
    program: PathBuf,
}

/// All test programs of the workspace.
pub(super) struct Tests {
    binaries: Vec<Binary>,
    /// The workspace's programs, which tests may start.
    programs: BTreeMap<String, PathBuf>,
}

/// A test program with what it needs to run.
pub(super) struct Runnable<'a> {
    binary: &'a Binary,
    programs: &'a BTreeMap<String, PathBuf>,
}

/// The test program that needs a cluster.
const CLUSTER: &str = "cluster";

/// Where its modules are, each of which is a suite.
pub(super) const CLUSTER_TESTS: &str = "tests/tests/cluster";

/// Programs of other packages that tests start; cargo builds only those of the package that is tested.
const PROGRAMS: [&str; 2] = ["backflow", "backflow-operator"];

/// The test programs of the package of suites.
const SUITES: [&str; 3] = [CLUSTER, "charts", "local"];

/// Compiles the suites that cross crates, and the programs that they start.
pub(super) fn suites(workspace: &Workspace, log: &File) -> Result<Tests> {
    let targets: Vec<&str> = SUITES.iter().flat_map(|name| ["--test", name]).collect();
    let programs = workspace.programs(PROGRAMS)?;
    let mut tests = compile(workspace, &targets, log)?;
    tests.programs.extend(PROGRAMS.iter().map(ToString::to_string).zip(programs));
    Ok(tests)
}

/// Compiles all tests.
pub(super) fn units(workspace: &Workspace, log: &File) -> Result<Tests> {
    compile(workspace, &[], log)
}

fn compile(workspace: &Workspace, targets: &[&str], log: &File) -> Result<Tests> {
    let mut cargo = workspace.cargo_release("test");
    // All packages are named, so that they share the same dependencies.
    cargo.args(["--workspace", "--exclude", XTASK, "--no-run", "--features", FEATURES]).args(targets);
    cargo.args(["--message-format", "json-render-diagnostics"]);
    let output = cargo.stderr(log.try_clone()?).stdin(Stdio::null()).output().context("cannot start cargo")?;
    ensure!(output.status.success(), "the tests do not compile");
    Tests::parse(&String::from_utf8_lossy(&output.stdout))
}

/// The tests of this package.
pub(super) fn xtask(workspace: &Workspace, log: &File) -> Result<Outcome> {
    run_tests(workspace.cargo("test").args(["--package", XTASK]), log)
}

/// The examples in the documentation.
pub(super) fn examples(workspace: &Workspace, log: &File) -> Result<Outcome> {
    let mut cargo = workspace.cargo_release("test");
    // With the features of the other tests, so that nothing compiles again.
    cargo.args(["--workspace", "--exclude", XTASK, "--features", FEATURES, "--doc", "--no-fail-fast"]);
    run_tests(&mut cargo, log)
}

impl Tests {
    /// Reads cargo's messages, one JSON object in each line.
    fn parse(messages: &str) -> Result<Self> {
        let mut tests = Self { binaries: Vec::new(), programs: BTreeMap::new() };
        for line in messages.lines().filter(|line| line.starts_with('{')) {
            let message: Value = serde_json::from_str(line)?;
            let (Some(program), Some(target)) = (message["executable"].as_str(), message["target"]["name"].as_str())
            else {
                continue;
            };
            if message["profile"]["test"] == true {
                let manifest = Path::new(message["manifest_path"].as_str().context("a message without manifest")?);
                let folder = manifest.parent().context("a manifest has a folder")?.to_path_buf();
                let id = message["package_id"].as_str().context("a message without package")?;
                tests.binaries.push(Binary {
                    package: package_name(id, &folder),
                    folder,
                    target: target.into(),
                    program: program.into(),
                });
            } else {
                tests.programs.insert(target.into(), program.into());
            }
        }
        Ok(tests)
    }

    /// The test programs of one package that need no cluster.
    pub(super) fn of_package(&self, package: &str) -> impl Iterator<Item = Runnable<'_>> {
        self.runnable(move |binary| binary.package == package && binary.target != CLUSTER)
    }

    /// The test program that needs a cluster.
    pub(super) fn of_cluster(&self) -> impl Iterator<Item = Runnable<'_>> {
        self.runnable(|binary| binary.target == CLUSTER)
    }

    fn runnable(&self, wanted: impl Fn(&Binary) -> bool) -> impl Iterator<Item = Runnable<'_>> {
        let binaries = self.binaries.iter().filter(move |binary| wanted(binary));
        binaries.map(|binary| Runnable { binary, programs: &self.programs })
    }
}

/// `path+file:///…/crds#backflow-crds@0.1.0`, or `path+file:///…/xtask#0.1.0` where folder and package share a name.
fn package_name(id: &str, folder: &Path) -> String {
    let fragment = id.rsplit('#').next().unwrap_or_default();
    match fragment.split_once('@') {
        Some((name, _)) => name.into(),
        None => folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
    }
}

impl Runnable<'_> {
    /// Runs the program as `cargo test` would: in its package's folder, with the variables that cargo sets. With `part`, only the tests
    /// whose names have that in them.
    pub(super) fn run(&self, environment: Vec<(&str, PathBuf)>, part: Option<&str>, log: &File) -> Result<Outcome> {
        let Binary { package, folder, target, program } = self.binary;
        writeln!(&*log, "\n=== {package} {target} {}", part.unwrap_or_default())?;
        let mut command = Command::new(program);
        command.args(part);
        command.current_dir(folder).envs(environment);
        command.env("CARGO_MANIFEST_DIR", folder).env("CARGO_PKG_NAME", package).env("CARGO_PKG_VERSION", VERSION);
        for (name, path) in self.programs {
            command.env(format!("CARGO_BIN_EXE_{name}"), path);
        }
        run_tests(&mut command, log)
    }
}

/// Runs something that prints libtest's results, and counts them.
fn run_tests(command: &mut Command, log: &File) -> Result<Outcome> {
    run_counted(command, log, count)
}

/// Runs something whose results `count` reads in what it says. What is not done after [`LIMIT`] has failed.
pub(super) fn run_counted(command: &mut Command, log: &File, count: fn(&str, bool) -> Outcome) -> Result<Outcome> {
    // Into files, not pipes: what the tests start may outlive them, and a pipe would not end.
    let mut said = tempfile::tempfile()?;
    command.stdin(Stdio::null()).stderr(log.try_clone()?).stdout(said.try_clone()?);
    let ended = run_within(command, LIMIT)?;
    let mut text = Vec::new();
    said.seek(SeekFrom::Start(0))?;
    said.read_to_end(&mut text)?;
    (&*log).write_all(&text)?;
    if ended.is_none() {
        writeln!(&*log, "not done after {} s, so it was killed", LIMIT.as_secs())?;
    }
    Ok(count(&String::from_utf8_lossy(&text), ended.is_some_and(|status| status.success())))
}

/// Adds up the result lines. A program that failed without counting a failure (it crashed, or did not compile) is one.
fn count(said: &str, success: bool) -> Outcome {
    let mut outcome = Outcome::default();
    for line in said.lines() {
        if let Some(name) = line.strip_prefix("test ").and_then(|line| line.split_once(" ... ignored")) {
            outcome.skipped.push(format!("{} is marked #[ignore]{}", name.0, name.1));
        }
        let Some(numbers) = line.strip_prefix("test result: ") else { continue };
        let number = |what: &str| -> u32 {
            let before = numbers.split(&format!(" {what}")).next().unwrap_or_default();
            before.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
        };
        outcome.passed += number("passed");
        outcome.failed += number("failed");
    }
    if !success && outcome.failed == 0 {
        outcome.failed = 1;
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_several_programs_add_up() {
        let said = "running 3 tests\ntest a ... ok\ntest slow ... ignored, needs a day\n\
                    test result: FAILED. 12 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.03s\n\n\
                    test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
        let outcome = count(said, false);
        assert_eq!((outcome.passed, outcome.failed), (17, 1));
        assert_eq!(outcome.skipped, ["slow is marked #[ignore], needs a day"]);
    }

    #[test]
    fn a_crash_is_a_failure() {
        assert_eq!(count("running 3 tests\ntest a ... ", false), Outcome::one(false));
        assert_eq!(count("", true), Outcome::default());
    }

    #[test]
    fn cargo_messages_name_tests_and_programs() {
        let messages = r#"{"reason":"compiler-artifact","package_id":"path+file:///c/crds#backflow-crds@0.1.0","manifest_path":"/c/crds/Cargo.toml","target":{"name":"backflow_crds"},"profile":{"test":true},"executable":"/t/deps/backflow_crds-1"}
{"reason":"compiler-artifact","package_id":"path+file:///c/crds#backflow-crds@0.1.0","manifest_path":"/c/crds/Cargo.toml","target":{"name":"crdgen"},"profile":{"test":false},"executable":"/t/crdgen"}
{"reason":"compiler-artifact","package_id":"path+file:///c/xtask#0.1.0","manifest_path":"/c/xtask/Cargo.toml","target":{"name":"cluster"},"profile":{"test":true},"executable":"/t/deps/cluster-1"}
{"reason":"build-finished","success":true}"#;
        let tests = Tests::parse(messages).unwrap();
        assert_eq!(tests.of_package("backflow-crds").count(), 1);
        assert_eq!(tests.of_package("xtask").count(), 0);
        assert_eq!(tests.of_cluster().next().unwrap().binary.package, "xtask");
        assert_eq!(tests.programs["crdgen"], Path::new("/t/crdgen"));
    }
}
