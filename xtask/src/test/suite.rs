//! The suites: their names, their order, what each needs.

use std::fs;

use anyhow::{Result, ensure};

use super::compiled;
use crate::cluster;
use crate::demo::Stage;
use crate::packages::Purpose;
use crate::workspace::Workspace;

/// What a suite found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) passed: u32,
    pub(super) failed: u32,
    /// Why something did not run, once for each test.
    pub(super) skipped: Vec<String>,
}

impl Outcome {
    /// A suite that is one check.
    pub(super) fn one(passed: bool) -> Self {
        Self { passed: u32::from(passed), failed: u32::from(!passed), skipped: Vec::new() }
    }

    pub(super) fn skipped(reason: impl Into<String>) -> Self {
        Self { skipped: vec![reason.into()], ..Self::default() }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped.extend(other.skipped);
    }
}

/// What suites need that start servers of all kinds.
const SERVERS: [Purpose; 4] = [Purpose::Postgres, Purpose::MariaDb, Purpose::Keys, Purpose::Fakes];

/// Modules of the cluster's tests that can run beside others, the longest first.
const SHARED: [&str; 6] = ["sync", "queue", "warehouses", "wrong_world", "guard", "api"];

/// When a suite runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Before all others, one after the other: what they need, and what says at once that something is wrong.
    First,
    /// Then on this machine, while the cluster is busy.
    Machine,
    /// At the same time on the cluster, where most of the time is waiting for pods, two at a time: what has its own namespaces and takes
    /// the operator as everybody installs it.
    Shared,
    /// After those, one after the other: what needs the operator for itself.
    Cluster,
}

/// One line of the report.
pub(super) enum Suite {
    Format,
    Lint,
    Dependencies,
    Generated,
    Documentation,
    /// Compiles the suites that cross crates, with what they start: it comes before any suite that runs them.
    Compile,
    /// Compiles the tests inside of packages, while the cluster is already busy.
    Units,
    /// The tests of one package, but for those of a cluster.
    Package(String),
    Examples,
    /// The fakes of warehouses refuse what they should, and the services' own clients work with them.
    Fakes,
    Charts,
    Image,
    Cluster,
    /// One module of the tests that need a cluster.
    ClusterTests(String),
    /// The demo prints what its transcript says.
    Demo(Stage),
}

impl Suite {
    pub(super) fn name(&self) -> String {
        match self {
            Self::Format => "format".into(),
            Self::Lint => "lint".into(),
            Self::Dependencies => "dependencies".into(),
            Self::Generated => "generated".into(),
            Self::Documentation => "documentation".into(),
            Self::Compile => "compile".into(),
            Self::Units => "compile-units".into(),
            Self::Package(package) => package.trim_start_matches("backflow-").into(),
            Self::Examples => "examples".into(),
            Self::Fakes => "fakes".into(),
            Self::Charts => "charts".into(),
            Self::Image => "image".into(),
            Self::Cluster => "cluster".into(),
            Self::ClusterTests(module) => format!("cluster-{}", module.replace('_', "-")),
            Self::Demo(Stage::Local) => "demo-local".into(),
            Self::Demo(Stage::Cluster) => "demo".into(),
        }
    }

    pub(super) fn lane(&self) -> Lane {
        match self {
            Self::Format | Self::Dependencies | Self::Generated | Self::Compile | Self::Image | Self::Cluster => {
                Lane::First
            }
            Self::Lint | Self::Documentation | Self::Units => Lane::Machine,
            Self::Package(_) | Self::Examples | Self::Fakes | Self::Charts => Lane::Machine,
            Self::Demo(Stage::Local) => Lane::Machine,
            Self::ClusterTests(module) if SHARED.contains(&module.as_str()) => Lane::Shared,
            Self::ClusterTests(_) | Self::Demo(Stage::Cluster) => Lane::Cluster,
        }
    }

    /// What the machine must have for it.
    pub(super) fn purposes(&self, workspace: &Workspace) -> Vec<Purpose> {
        match self {
            Self::Format | Self::Dependencies => Vec::new(),
            Self::Lint | Self::Documentation | Self::Examples | Self::Image => vec![Purpose::Build],
            Self::Generated | Self::Compile | Self::Units => vec![Purpose::Build, Purpose::Tools],
            Self::Charts => vec![Purpose::Tools],
            Self::Fakes => vec![Purpose::Fakes],
            Self::Package(_) => SERVERS.to_vec(),
            Self::ClusterTests(module) if module == super::WAREHOUSES => SERVERS.to_vec(),
            Self::ClusterTests(_) => vec![Purpose::Postgres, Purpose::Keys],
            Self::Cluster => cluster::needs(workspace).to_vec(),
            Self::Demo(Stage::Local) => vec![Purpose::Build, Purpose::Sqlite],
            Self::Demo(Stage::Cluster) => [&[Purpose::Build, Purpose::Postgres], cluster::needs(workspace)].concat(),
        }
    }

    /// Suites that this one cannot run without.
    pub(super) fn needs(&self) -> &'static [&'static str] {
        match self {
            Self::Package(package) if package == compiled::XTASK => &[],
            Self::Package(package) if package == super::SUITES => &["compile"],
            Self::Package(_) => &["compile-units"],
            Self::ClusterTests(_) => &["compile", "image", "cluster"],
            _ => &[],
        }
    }
}

/// In the order in which each lane runs them: the quick ones first, what others need before them.
pub(super) fn all_suites(workspace: &Workspace) -> Result<Vec<Suite>> {
    let mut suites = vec![Suite::Format, Suite::Dependencies, Suite::Generated, Suite::Compile, Suite::Image];
    suites.extend([Suite::Cluster, Suite::Lint, Suite::Documentation, Suite::Units]);
    suites.extend(workspace.packages()?.into_iter().map(Suite::Package));
    suites.extend([Suite::Examples, Suite::Fakes, Suite::Charts]);
    let mut modules: Vec<String> = fs::read_dir(workspace.root.join(compiled::CLUSTER_TESTS))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.strip_suffix(".rs")?.to_owned()))
        .filter(|name| name != "main")
        .collect();
    // What restarts the API server comes last: should the server stay away, the others have run.
    let place = |name: &str| SHARED.iter().position(|shared| *shared == name).unwrap_or(SHARED.len());
    modules.sort_by_key(|name| (place(name), name == super::RESTARTS, name.clone()));
    suites.extend(modules.into_iter().map(Suite::ClusterTests));
    suites.extend([Suite::Demo(Stage::Local), Suite::Demo(Stage::Cluster)]);
    Ok(suites)
}

pub(super) fn select(suites: Vec<Suite>, names: &[String]) -> Result<Vec<Suite>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn suites() -> Vec<Suite> {
        vec![
            Suite::Format,
            Suite::Compile,
            Suite::Units,
            Suite::Package("backflow-core".into()),
            Suite::Package("backflow-suites".into()),
            Suite::Image,
            Suite::Cluster,
            Suite::ClusterTests("first_sync".into()),
        ]
    }

    fn names(selected: &[&str]) -> Vec<String> {
        let wanted: Vec<String> = selected.iter().map(|name| (*name).to_owned()).collect();
        select(suites(), &wanted).unwrap().iter().map(Suite::name).collect()
    }

    #[test]
    fn a_suite_brings_what_it_cannot_run_without() {
        assert_eq!(names(&["core"]), ["compile-units", "core"]);
        assert_eq!(names(&["suites"]), ["compile", "suites"]);
        assert_eq!(names(&["cluster-first-sync"]), ["compile", "image", "cluster", "cluster-first-sync"]);
        assert_eq!(names(&["format"]), ["format"]);
        assert_eq!(names(&[]).len(), suites().len());
    }

    #[test]
    fn an_unknown_suite_is_refused_with_the_known_ones() {
        let error = select(suites(), &["cores".into()]).map(drop).unwrap_err().to_string();
        assert!(error.contains("no suite `cores`") && error.contains("core suites image"), "{error}");
    }
}
