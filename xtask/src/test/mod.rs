//! `cargo xtask test`: every check of the project, one line per suite.

mod charts;
mod compiled;
mod demos;
mod deny;
mod memory;
mod pytest;
mod schemas;
mod static_checks;
mod suite;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;

use crate::cluster::{self, Cluster, build::Build};
use crate::packages::{self, Purpose};
use crate::process::{run_logged, tail};
use crate::steps::{logged, write};
use crate::workspace::{Workspace, in_ci};
use crate::{fakes, generate, image};

pub(crate) use self::compiled::FEATURES;
use self::compiled::Tests;
use self::suite::{Lane, Outcome, Suite, all_suites, select};

/// Lines that are shown of each failed test's report, or of a failed suite's log where no test is reported.
const SHOWN: usize = 40;

/// The module of the cluster's tests that kills the API server and starts it again.
const RESTARTS: &str = "restart";

/// The module of the cluster's tests that reads every warehouse.
const WAREHOUSES: &str = "warehouses";

/// The package of suites that cross crates.
const SUITES: &str = "backflow-suites";

/// How many suites share the cluster and its operator at a time.
const SHARING: usize = 2;

/// For tests that wait for pods and processes more than they compute: how many run at once.
const PATIENT: (&str, &str) = ("RUST_TEST_THREADS", "4");

/// What the suites share while they run.
struct Session<'a> {
    workspace: &'a Workspace,
    build: Build,
    tests: Option<Tests>,
    units: OnceLock<Tests>,
    archive: Option<crate::oci::Archive>,
    cluster: Option<Cluster>,
    image: Option<String>,
    /// Where tests have their temporary files, if not in the usual place.
    temporary: Option<TempDir>,
}

/// Runs the suites with these names, or all of them; true if nothing failed (and, in CI, nothing was skipped).
///
/// # Errors
/// A name is no suite's, or the machine lacks something.
pub fn test(workspace: &Workspace, install: bool, names: &[String]) -> Result<bool> {
    let suites = select(all_suites(workspace)?, names)?;
    if install {
        let purposes: Vec<Purpose> = suites.iter().flat_map(|suite| suite.purposes(workspace)).collect();
        packages::ensure(&purposes, true)?;
    }
    let logs = workspace.output().join("test-logs");
    fs::create_dir_all(&logs)?;
    let mut session = Session {
        workspace,
        build: Build::locate(workspace),
        tests: None,
        units: OnceLock::new(),
        archive: None,
        cluster: None,
        image: None,
        temporary: memory::folder()?,
    };
    let (first, others): (Vec<Suite>, Vec<Suite>) = suites.into_iter().partition(|suite| suite.lane() == Lane::First);
    let mut total = Outcome::default();
    for suite in first {
        total.add(report(&suite, &logs, |log| session.prepare(&suite, log)));
    }
    let (machine, cluster): (Vec<Suite>, Vec<Suite>) =
        others.into_iter().partition(|suite| suite.lane() == Lane::Machine);
    let (shared, alone): (Vec<Suite>, Vec<Suite>) = cluster.into_iter().partition(|suite| suite.lane() == Lane::Shared);
    let run = |suites: &[Suite], at_once| {
        abreast(suites, at_once, |suite| report(suite, &logs, |log| session.run(suite, log)))
    };
    total.add(std::thread::scope(|scope| {
        let cluster = scope.spawn(|| {
            let mut both = run(&shared, SHARING);
            both.add(run(&alone, 1));
            both
        });
        let mut both = run(&machine, 1);
        both.add(cluster.join().unwrap_or_else(|_| Outcome::one(false)));
        both
    }));
    let skipped = total.skipped.len();
    println!("logs: {}", logs.display());
    match skipped {
        0 => println!("{} passed, {} failed", total.passed, total.failed),
        _ => println!("{} passed, {} failed, {skipped} skipped", total.passed, total.failed),
    }
    Ok(total.failed == 0 && (skipped == 0 || !in_ci()))
}

/// Runs suites, so many at a time, each as soon as there is place for it.
fn abreast(suites: &[Suite], at_once: usize, work: impl Fn(&Suite) -> Outcome + Sync) -> Outcome {
    let waiting = Mutex::new(suites.iter());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    let one = || {
        let mut total = Outcome::default();
        while let Some(suite) = next() {
            total.add(work(suite));
        }
        total
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..at_once).map(|_| scope.spawn(one)).collect();
        let mut total = one();
        for other in others {
            total.add(other.join().unwrap_or_else(|_| Outcome::one(false)));
        }
        total
    })
}

/// Runs one suite and prints its line.
fn report(suite: &Suite, logs: &Path, work: impl FnOnce(&File) -> Result<Outcome>) -> Outcome {
    let name = suite.name();
    let path = logs.join(format!("{name}.log"));
    let start = Instant::now();
    let outcome = File::create(&path).context("cannot write the log").and_then(|log| {
        let result = logged(log.try_clone()?, || work(&log));
        if let Err(error) = &result {
            writeln!(&log, "{error:#}")?;
        }
        result
    });
    let seconds = start.elapsed().as_secs_f64();
    let outcome = outcome.unwrap_or_else(|_| Outcome::one(false));
    let mut counts = format!("{:>5} passed, {:>2} failed", outcome.passed, outcome.failed);
    if !outcome.skipped.is_empty() {
        counts.push_str(&format!(", {} skipped", outcome.skipped.len()));
    }
    let mut lines = format!("{name:<20}{counts:<36}{seconds:>7.1} s\n");
    for reason in &outcome.skipped {
        lines.push_str(&format!("    skipped: {}\n", reason.replace('\n', "\n    ")));
    }
    if outcome.failed > 0 {
        let said = fs::read_to_string(&path).unwrap_or_default();
        lines.push_str(&format!("--- from {}\n{}\n---\n", path.display(), excerpt(&said)));
    }
    write(&lines);
    outcome
}

/// What a person wants to see of a failed suite's log: the beginnings of libtest's reports of failed tests, or else its end.
fn excerpt(log: &str) -> String {
    let mut reports: Vec<&str> = Vec::new();
    let (mut inside, mut backtrace, mut shown) = (false, false, 0);
    for line in log.lines() {
        match line {
            "failures:" => inside = !inside,
            line if line.starts_with("test result:") => inside = false,
            line if inside => {
                if line.starts_with("---- ") {
                    (backtrace, shown) = (false, 0);
                }
                // Of a backtrace, lines are frames: indented, and some hundred of them.
                backtrace = line == "stack backtrace:" || (backtrace && line.starts_with(' '));
                shown += usize::from(!backtrace);
                match shown {
                    _ if backtrace => {}
                    ..SHOWN => reports.push(line),
                    SHOWN => reports.push("…"),
                    _ => {}
                }
            }
            _ => {}
        }
    }
    let reports = reports.join("\n");
    if reports.trim().is_empty() { tail(log, SHOWN) } else { reports.trim().to_owned() }
}

impl Session<'_> {
    /// Runs a suite of the first lane: what it makes, the others use.
    fn prepare(&mut self, suite: &Suite, log: &File) -> Result<Outcome> {
        let workspace = self.workspace;
        if let Err(lacking) = packages::ensure(&suite.purposes(workspace), false) {
            return Ok(Outcome::skipped(format!("{lacking:#}")));
        }
        match suite {
            Suite::Compile => {
                self.build.tools()?;
                self.tests = Some(compiled::suites(workspace, log)?);
                Ok(Outcome::one(true))
            }
            Suite::Image => {
                let archive = image::build(workspace, false)?;
                image::describe(&archive);
                self.archive = Some(archive);
                Ok(Outcome::one(true))
            }
            Suite::Cluster => {
                let cluster = cluster::up(workspace, false)?;
                if let Some(archive) = &self.archive {
                    self.image = Some(image::load(archive, &cluster)?);
                }
                self.cluster = Some(cluster);
                Ok(Outcome::one(true))
            }
            _ => self.run(suite, log),
        }
    }

    fn run(&self, suite: &Suite, log: &File) -> Result<Outcome> {
        let workspace = self.workspace;
        if let Err(lacking) = packages::ensure(&suite.purposes(workspace), false) {
            return Ok(Outcome::skipped(format!("{lacking:#}")));
        }
        match suite {
            Suite::Format => static_checks::format(workspace, log),
            Suite::Lint => static_checks::lint(workspace, log),
            Suite::Documentation => static_checks::documentation(workspace, log),
            Suite::Dependencies => deny::check(workspace, log),
            Suite::Units => {
                let units = compiled::units(workspace, log)?;
                Ok(Outcome::one(self.units.set(units).is_ok()))
            }
            Suite::Generated => generate::generate(workspace, true).map(Outcome::one),
            Suite::Package(package) if package == compiled::XTASK => compiled::xtask(workspace, log),
            Suite::Package(package) => self.package(package, log),
            Suite::Examples => compiled::examples(workspace, log),
            Suite::Fakes => pytest::check(workspace, log),
            Suite::Charts => charts::check(workspace, &self.build, log),
            Suite::ClusterTests(module) => self.cluster_tests(module, log),
            Suite::Demo(stage) => demos::check(workspace, *stage, log),
            Suite::Compile | Suite::Image | Suite::Cluster => bail!("the {} suite comes first", suite.name()),
        }
    }

    fn package(&self, package: &str, log: &File) -> Result<Outcome> {
        let tests = if package == SUITES { self.tests.as_ref() } else { self.units.get() };
        let Some(tests) = tests else { return Ok(Outcome::skipped("the tests do not compile")) };
        let mut environment = self.environment();
        if package == SUITES {
            environment.push((PATIENT.0, PATIENT.1.into()));
            environment.push((fakes::VARIABLE, fakes::python(self.workspace)?));
        }
        let mut outcome = Outcome::default();
        for binary in tests.of_package(package) {
            outcome.add(binary.run(environment.clone(), None, log)?);
        }
        Ok(outcome)
    }

    fn cluster_tests(&self, module: &str, log: &File) -> Result<Outcome> {
        let Some(tests) = &self.tests else { return Ok(Outcome::skipped("the tests do not compile")) };
        let (Some(cluster), Some(image)) = (&self.cluster, &self.image) else {
            return Ok(Outcome::skipped("there is no cluster, or no image in it"));
        };
        if module == RESTARTS && !cluster.is_own() {
            return Ok(Outcome::skipped("it restarts the API server, and the cluster is not this tool's own"));
        }
        let mut environment = self.environment();
        environment.push(("BACKFLOW_CLUSTER", "1".into()));
        environment.push(("BACKFLOW_XTASK", std::env::current_exe()?));
        environment.push(("BACKFLOW_IMAGE", image.into()));
        environment.push(("KUBECONFIG", cluster.kubeconfig.clone()));
        environment.push((PATIENT.0, PATIENT.1.into()));
        if module == WAREHOUSES {
            environment.push((fakes::VARIABLE, fakes::python(self.workspace)?));
        }
        let mut outcome = Outcome::default();
        for binary in tests.of_cluster() {
            outcome.add(binary.run(environment.clone(), Some(&format!("{module}::")), log)?);
        }
        ensure!(outcome != Outcome::default(), "{}/{module}.rs has no tests, or is no module", compiled::CLUSTER_TESTS);
        Ok(outcome)
    }

    /// What tests may ask for: the tools that were built, and Postgres's programs.
    fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        let mut environment = vec![
            ("BACKFLOW_HELM", self.build.program("helm")),
            ("BACKFLOW_KUBECTL", self.build.program("kubectl")),
            ("INSTA_WORKSPACE_ROOT", self.workspace.root.clone()),
            // A test run never rewrites what it compares with.
            ("INSTA_UPDATE", "no".into()),
        ];
        environment.extend(self.temporary.iter().map(|folder| ("TMPDIR", folder.path().to_owned())));
        environment.extend(packages::postgres_bin().map(|bin| ("BACKFLOW_POSTGRES_BIN", bin)));
        environment
    }
}

/// Runs a command that is one check.
fn check(command: &mut Command, log: &File) -> Result<Outcome> {
    run_logged(command, log).map(Outcome::one)
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn suites_that_share_run_beside_each_other_and_each_runs_once() {
        let suites: Vec<Suite> = ["a", "b", "c", "d"].map(|name| Suite::ClusterTests(name.into())).into();
        // Each waits for another one: one after the other they would wait for ever.
        let pair = Barrier::new(2);
        let outcome = abreast(&suites, 2, |_| {
            pair.wait();
            Outcome::one(true)
        });
        assert_eq!(outcome, Outcome { passed: 4, ..Outcome::default() });
    }

    #[test]
    fn a_failed_test_is_shown_although_more_was_said_after_it() {
        let log = "test a ... FAILED\n\nfailures:\n\n---- a stdout ----\nleft: 1\n\nfailures:\n    a\n\n\
                   test result: FAILED. 0 passed; 1 failed;\n\ntest b ... ok\ntest result: ok. 1 passed;\n";
        assert_eq!(excerpt(log), "---- a stdout ----\nleft: 1");
        assert_eq!(excerpt("error: it does not compile\n"), "error: it does not compile");
    }

    #[test]
    fn of_a_failed_test_its_first_lines_are_shown_without_the_backtrace() {
        let frames = "stack backtrace:\n   0: begin\n             at ./a.rs:1\nnote: more\n";
        let dump = "dumped\n".repeat(2 * SHOWN);
        let log = format!(
            "failures:\n\n---- a stdout ----\nleft: 1\n{frames}{dump}\n---- b stdout ----\nleft: 2\n\nfailures:\n    a\n"
        );
        let shown = excerpt(&log);
        assert!(shown.starts_with("---- a stdout ----\nleft: 1\nnote: more\ndumped\n"), "{shown}");
        assert!(shown.ends_with("dumped\n…\n---- b stdout ----\nleft: 2"), "{shown}");
        assert!(shown.lines().count() < SHOWN + 5, "{shown}");
    }
}
