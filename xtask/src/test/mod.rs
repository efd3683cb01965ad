//! `cargo xtask test`: every check of the project, one line per suite.

mod charts;
mod compiled;
mod deny;
mod schemas;
mod static_checks;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::cluster::{self, Cluster, build::Build};
use crate::packages::{self, Purpose};
use crate::process::{run_logged, tail};
use crate::steps::{logged, write};
use crate::workspace::Workspace;
use crate::{generate, image};

use self::compiled::Tests;

/// Lines of a failed suite's log that are shown where no failed test is reported.
const SHOWN: usize = 40;

/// What a suite found.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    passed: u32,
    failed: u32,
    /// Why something did not run, once for each test.
    skipped: Vec<String>,
}

impl Outcome {
    /// A suite that is one check.
    fn one(passed: bool) -> Self {
        Self { passed: u32::from(passed), failed: u32::from(!passed), skipped: Vec::new() }
    }

    fn skipped(reason: impl Into<String>) -> Self {
        Self { skipped: vec![reason.into()], ..Self::default() }
    }

    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped.extend(other.skipped);
    }
}

/// One line of the report.
enum Suite {
    Format,
    Lint,
    Dependencies,
    Generated,
    Documentation,
    /// Compiles all tests: it comes before any suite that runs them.
    Compile,
    /// The tests of one package, but for those of a cluster.
    Package(String),
    Examples,
    Charts,
    Image,
    Cluster,
    /// One file of tests that need a cluster.
    ClusterTests(String),
}

impl Suite {
    fn name(&self) -> String {
        match self {
            Self::Format => "format".into(),
            Self::Lint => "lint".into(),
            Self::Dependencies => "dependencies".into(),
            Self::Generated => "generated".into(),
            Self::Documentation => "documentation".into(),
            Self::Compile => "compile".into(),
            Self::Package(package) => package.trim_start_matches("backflow-").into(),
            Self::Examples => "examples".into(),
            Self::Charts => "charts".into(),
            Self::Image => "image".into(),
            Self::Cluster => "cluster".into(),
            Self::ClusterTests(target) => target.replace('_', "-"),
        }
    }

    /// What the machine must have for it.
    fn purposes(&self, workspace: &Workspace) -> Vec<Purpose> {
        match self {
            Self::Format | Self::Dependencies => Vec::new(),
            Self::Lint | Self::Documentation | Self::Examples | Self::Image => vec![Purpose::Build],
            Self::Generated | Self::Compile => vec![Purpose::Build, Purpose::Tools],
            Self::Charts => vec![Purpose::Tools],
            Self::Package(_) | Self::ClusterTests(_) => vec![Purpose::Postgres],
            Self::Cluster => cluster::needs(workspace).to_vec(),
        }
    }

    /// Suites that this one cannot run without.
    fn needs(&self) -> &'static [&'static str] {
        match self {
            Self::Package(package) if package == compiled::XTASK => &[],
            Self::Package(_) => &["compile"],
            Self::ClusterTests(_) => &["compile", "image", "cluster"],
            _ => &[],
        }
    }
}

/// What the suites share while they run.
struct Session<'a> {
    workspace: &'a Workspace,
    build: Build,
    tests: Option<Tests>,
    archive: Option<crate::oci::Archive>,
    cluster: Option<Cluster>,
    image: Option<String>,
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
    let mut session =
        Session { workspace, build: Build::locate(workspace), tests: None, archive: None, cluster: None, image: None };
    let mut total = Outcome::default();
    for suite in suites {
        total.add(report(&mut session, &suite, &logs));
    }
    let strict = std::env::var("CI").is_ok_and(|value| value == "true" || value == "1");
    let skipped = total.skipped.len();
    println!("logs: {}", logs.display());
    match skipped {
        0 => println!("{} passed, {} failed", total.passed, total.failed),
        _ => println!("{} passed, {} failed, {skipped} skipped", total.passed, total.failed),
    }
    Ok(total.failed == 0 && (skipped == 0 || !strict))
}

/// In the order in which they run: the quick ones first, what others need before them.
fn all_suites(workspace: &Workspace) -> Result<Vec<Suite>> {
    let mut suites =
        vec![Suite::Format, Suite::Dependencies, Suite::Generated, Suite::Lint, Suite::Documentation, Suite::Compile];
    suites.extend(compiled::packages(workspace)?.into_iter().map(Suite::Package));
    suites.extend([Suite::Examples, Suite::Charts, Suite::Image, Suite::Cluster]);
    let mut files: Vec<String> = fs::read_dir(workspace.root.join("tests/tests"))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.strip_suffix(".rs")?.to_owned()))
        .filter(|name| compiled::needs_cluster(name))
        .collect();
    files.sort();
    suites.extend(files.into_iter().map(Suite::ClusterTests));
    Ok(suites)
}

fn select(suites: Vec<Suite>, names: &[String]) -> Result<Vec<Suite>> {
    let known: Vec<String> = suites.iter().map(Suite::name).collect();
    for name in names {
        ensure!(known.contains(name), "there is no suite `{name}`; there are: {}", known.join(" "));
    }
    if names.is_empty() {
        return Ok(suites);
    }
    let wanted = |suite: &Suite| names.contains(&suite.name());
    let needed: Vec<&str> = suites.iter().filter(|suite| wanted(suite)).flat_map(Suite::needs).copied().collect();
    Ok(suites.into_iter().filter(|suite| wanted(suite) || needed.contains(&suite.name().as_str())).collect())
}

/// Runs one suite and prints its line.
fn report(session: &mut Session<'_>, suite: &Suite, logs: &Path) -> Outcome {
    let name = suite.name();
    let path = logs.join(format!("{name}.log"));
    write(&format!("{name:<20}"));
    let start = Instant::now();
    let outcome = File::create(&path).context("cannot write the log").and_then(|log| {
        let result = logged(log.try_clone()?, || session.run(suite, &log));
        if let Err(error) = &result {
            writeln!(&log, "{error:#}")?;
        }
        result
    });
    let seconds = start.elapsed().as_secs_f64();
    let outcome = outcome.unwrap_or_else(|_| Outcome::one(false));
    let mut line = format!("{:>5} passed, {:>2} failed", outcome.passed, outcome.failed);
    if !outcome.skipped.is_empty() {
        line.push_str(&format!(", {} skipped", outcome.skipped.len()));
    }
    println!("{line:<36}{seconds:>7.1} s");
    for reason in &outcome.skipped {
        println!("    skipped: {}", reason.replace('\n', "\n    "));
    }
    if outcome.failed > 0 {
        let said = fs::read_to_string(&path).unwrap_or_default();
        println!("--- from {}\n{}\n---", path.display(), excerpt(&said));
    }
    outcome
}

/// What a person wants to see of a failed suite's log: libtest's reports of failed tests, or else its end.
fn excerpt(log: &str) -> String {
    let mut reports: Vec<&str> = Vec::new();
    let mut inside = false;
    for line in log.lines() {
        match line {
            "failures:" => inside = !inside,
            line if line.starts_with("test result:") => inside = false,
            line if inside => reports.push(line),
            _ => {}
        }
    }
    let reports = reports.join("\n");
    if reports.trim().is_empty() { tail(log, SHOWN) } else { reports.trim().to_owned() }
}

impl Session<'_> {
    fn run(&mut self, suite: &Suite, log: &File) -> Result<Outcome> {
        let workspace = self.workspace;
        if let Err(lacking) = packages::ensure(&suite.purposes(workspace), false) {
            return Ok(Outcome::skipped(format!("{lacking:#}")));
        }
        match suite {
            Suite::Format => static_checks::format(workspace, log),
            Suite::Lint => static_checks::lint(workspace, log),
            Suite::Documentation => static_checks::documentation(workspace, log),
            Suite::Dependencies => deny::check(workspace, log),
            Suite::Generated => generate::generate(workspace, true).map(Outcome::one),
            Suite::Compile => {
                self.build.tools()?;
                self.tests = Some(compiled::compile(workspace, log)?);
                Ok(Outcome::one(true))
            }
            Suite::Package(package) if package == compiled::XTASK => compiled::xtask(workspace, log),
            Suite::Package(package) => self.package(package, log),
            Suite::Examples => compiled::examples(workspace, log),
            Suite::Charts => charts::check(workspace, &self.build, log),
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
            Suite::ClusterTests(target) => self.cluster_tests(target, log),
        }
    }

    fn package(&self, package: &str, log: &File) -> Result<Outcome> {
        let Some(tests) = &self.tests else { return Ok(Outcome::skipped("the tests do not compile")) };
        let mut outcome = Outcome::default();
        for binary in tests.of_package(package) {
            outcome.add(binary.run(self.environment(), log)?);
        }
        Ok(outcome)
    }

    fn cluster_tests(&self, target: &str, log: &File) -> Result<Outcome> {
        let Some(tests) = &self.tests else { return Ok(Outcome::skipped("the tests do not compile")) };
        let (Some(cluster), Some(image)) = (&self.cluster, &self.image) else {
            return Ok(Outcome::skipped("there is no cluster, or no image in it"));
        };
        let mut environment = self.environment();
        environment.push(("BACKFLOW_CLUSTER", "1".into()));
        environment.push(("BACKFLOW_IMAGE", image.into()));
        environment.push(("KUBECONFIG", cluster.kubeconfig.clone()));
        let mut outcome = Outcome::default();
        for binary in tests.of_cluster(target) {
            outcome.add(binary.run(environment.clone(), log)?);
        }
        ensure!(outcome != Outcome::default(), "tests/tests/{target}.rs has no tests, or no [[test]] in Cargo.toml");
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
    use super::*;

    fn suites() -> Vec<Suite> {
        vec![
            Suite::Format,
            Suite::Compile,
            Suite::Package("backflow-core".into()),
            Suite::Image,
            Suite::Cluster,
            Suite::ClusterTests("cluster_first_sync".into()),
        ]
    }

    fn names(selected: &[&str]) -> Vec<String> {
        let wanted: Vec<String> = selected.iter().map(|name| (*name).to_owned()).collect();
        select(suites(), &wanted).unwrap().iter().map(Suite::name).collect()
    }

    #[test]
    fn a_suite_brings_what_it_cannot_run_without() {
        assert_eq!(names(&["core"]), ["compile", "core"]);
        assert_eq!(names(&["cluster-first-sync"]), ["compile", "image", "cluster", "cluster-first-sync"]);
        assert_eq!(names(&["format"]), ["format"]);
        assert_eq!(names(&[]).len(), suites().len());
    }

    #[test]
    fn a_failed_test_is_shown_although_more_was_said_after_it() {
        let log = "test a ... FAILED\n\nfailures:\n\n---- a stdout ----\nleft: 1\n\nfailures:\n    a\n\n\
                   test result: FAILED. 0 passed; 1 failed;\n\ntest b ... ok\ntest result: ok. 1 passed;\n";
        assert_eq!(excerpt(log), "---- a stdout ----\nleft: 1");
        assert_eq!(excerpt("error: it does not compile\n"), "error: it does not compile");
    }

    #[test]
    fn an_unknown_suite_is_refused_with_the_known_ones() {
        let error = select(suites(), &["cores".into()]).map(drop).unwrap_err().to_string();
        assert!(error.contains("no suite `cores`") && error.contains("core image"), "{error}");
    }
}
