//! A real Kubernetes with one node, built from Go modules and Debian packages: no registry, no virtual machine.
//!
//! Where `KUBECONFIG` names a cluster that answers, that one is used and nothing is started.

pub mod build;
mod components;
mod config;
mod images;
mod layout;
mod network;
mod pki;
mod teardown;
pub mod versions;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use self::build::Build;
use self::components::COMPONENTS;
use self::layout::{Layout, NODE};
use self::versions::{KUBERNETES, PROGRAMS};
use crate::packages::{self, Purpose};
use crate::process::{find, run, wait_until};
use crate::steps::{say, step, write};
use crate::workspace::Workspace;

pub use self::layout::{NODE_ADDRESS, POD_CIDR};

/// How long a start may take before it counts as failed: a cold page cache on a busy machine is slow.
const START_LIMIT: Duration = Duration::from_secs(180);
/// The kernel refuses longer names for sockets, and the kubelet makes some below the run folder.
const LONGEST_RUN_FOLDER: usize = 60;

/// A cluster that answers.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// What `KUBECONFIG` must be for it.
    pub kubeconfig: PathBuf,
    /// The programs that were built for it.
    pub build: Build,
    kind: Kind,
}

/// Where a cluster comes from.
#[derive(Clone, Debug)]
enum Kind {
    /// Started by this tool.
    Own(Layout),
    /// Named by the user's `KUBECONFIG`.
    Foreign,
}

impl Cluster {
    /// `kubectl`, for this cluster.
    #[must_use]
    pub fn kubectl(&self) -> Command {
        self.tool("kubectl")
    }

    /// `helm`, for this cluster.
    #[must_use]
    pub fn helm(&self) -> Command {
        self.tool("helm")
    }

    fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(self.build.program(name));
        command.env("KUBECONFIG", &self.kubeconfig);
        command
    }

    /// Whether this tool started it (and `down` would stop it).
    #[must_use]
    pub fn is_own(&self) -> bool {
        matches!(self.kind, Kind::Own(_))
    }
}

/// Brings up a cluster, or finds the one that is there.
///
/// # Errors
/// Something the cluster needs is missing, a build failed, or a component does not come up.
pub fn up(workspace: &Workspace, install: bool) -> Result<Cluster> {
    let build = Build::locate(workspace);
    let layout = Layout::of(workspace);
    if let Some(kubeconfig) = foreign_kubeconfig(&layout, &build) {
        packages::ensure(&[Purpose::Tools], install)?;
        build.tools()?;
        let cluster = Cluster { kubeconfig, build, kind: Kind::Foreign };
        say(&format!("using the cluster that KUBECONFIG names: {}", cluster.kubeconfig.display()));
        return Ok(cluster);
    }
    packages::ensure(&[Purpose::Tools, Purpose::Cluster], install)?;
    let run = layout.run.display().to_string();
    ensure!(
        run.len() <= LONGEST_RUN_FOLDER && !run.contains(char::is_whitespace),
        "the folder {run} must be at most {LONGEST_RUN_FOLDER} characters long and have no spaces: set BACKFLOW_CACHE"
    );
    let _lock = lock(&layout)?;
    build.everything()?;
    let cluster = Cluster { kubeconfig: layout.kubeconfig(), build, kind: Kind::Own(layout.clone()) };
    let alive = components::running(&layout);
    if alive.len() < COMPONENTS.len() || !cluster.ready() {
        if alive.is_empty() {
            if layout.leftovers() {
                step("clear up after the last cluster", || teardown::run(&layout, &cluster.build))?;
            }
            // Logs outlive `down` for whoever looks into a failure, but not the next start.
            let _first_start = fs::remove_dir_all(layout.path("log"));
        }
        start(&layout, &cluster)?;
    }
    say(&format!("Kubernetes {KUBERNETES} runs on this machine, node {NODE} at {NODE_ADDRESS}"));
    Ok(cluster)
}

/// What this machine must have for [`up`].
#[must_use]
pub fn needs(workspace: &Workspace) -> &'static [Purpose] {
    match foreign_kubeconfig(&Layout::of(workspace), &Build::locate(workspace)) {
        Some(_) => &[Purpose::Tools],
        None => &[Purpose::Tools, Purpose::Cluster],
    }
}

/// The cluster that is up, if one is; starts nothing.
#[must_use]
pub fn current(workspace: &Workspace) -> Option<Cluster> {
    let build = Build::locate(workspace);
    let layout = Layout::of(workspace);
    if let Some(kubeconfig) = foreign_kubeconfig(&layout, &build) {
        return Some(Cluster { kubeconfig, build, kind: Kind::Foreign });
    }
    let cluster = Cluster { kubeconfig: layout.kubeconfig(), build, kind: Kind::Own(layout.clone()) };
    (components::running(&layout).len() == COMPONENTS.len() && cluster.ready()).then_some(cluster)
}

/// Stops the cluster that `up` started and removes all it left behind. A cluster that `KUBECONFIG` names is not touched.
///
/// # Errors
/// Something cannot be removed.
pub fn down(workspace: &Workspace) -> Result<()> {
    let layout = Layout::of(workspace);
    let build = Build::locate(workspace);
    if !layout.leftovers() {
        say("no cluster of this tool is there");
        return Ok(());
    }
    packages::ensure(&[Purpose::Cluster], false)?;
    let _lock = lock(&layout)?;
    step("stop the components", || {
        components::stop_all(&layout);
        Ok(())
    })?;
    step("remove containers, mounts and network", || teardown::run(&layout, &build))?;
    say(&format!("the cluster is down; its programs stay in {}", workspace.cache.join("cluster").display()));
    Ok(())
}

/// Prints each component and how to reach the cluster; false if it is not up.
///
/// # Errors
/// The cluster does not answer questions.
pub fn status(workspace: &Workspace) -> Result<bool> {
    let layout = Layout::of(workspace);
    let Some(cluster) = current(workspace) else {
        for name in COMPONENTS {
            let running = components::running(&layout).iter().any(|(other, _)| *other == name);
            say(&format!("  {name:<26}{}", if running { "running" } else { "stopped" }));
        }
        say("the cluster is not up: cargo xtask cluster up");
        return Ok(false);
    };
    if cluster.is_own() {
        for (name, daemon) in components::running(&layout) {
            say(&format!("  {name:<26}{:<10}running, process {}", version_of(name), daemon.pid));
        }
    } else {
        say("  the cluster that KUBECONFIG names; this tool did not start it");
    }
    if cluster.build.program("kubectl").exists() {
        write(&run(cluster.kubectl().args(["get", "nodes", "-o", "wide"]))?);
    }
    say(&format!("export KUBECONFIG={}", cluster.kubeconfig.display()));
    Ok(true)
}

fn version_of(component: &str) -> String {
    match PROGRAMS.iter().find(|program| program.name == component) {
        Some(program) => program.version.into(),
        None => run(Command::new(component).arg("--version"))
            .ok()
            .and_then(|said| {
                said.split_whitespace().nth(2).and_then(|version| version.split('~').next()).map(String::from)
            })
            .unwrap_or_default(),
    }
}

/// The file that `KUBECONFIG` names, if it is not our own and its cluster answers.
fn foreign_kubeconfig(layout: &Layout, build: &Build) -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty())?);
    if path == layout.kubeconfig() {
        return None;
    }
    let built = Some(build.program("kubectl")).filter(|kubectl| kubectl.exists());
    let answers = built.or_else(|| find("kubectl")).is_some_and(|kubectl| {
        run(Command::new(kubectl).env("KUBECONFIG", &path).args(["get", "--raw", "/readyz", "--request-timeout=5s"]))
            .is_ok()
    });
    if !answers {
        say(&format!("KUBECONFIG={} names no cluster that answers (or there is no kubectl to ask it)", path.display()));
    }
    answers.then_some(path)
}

fn lock(layout: &Layout) -> Result<File> {
    if let Some(folder) = layout.lock.parent() {
        fs::create_dir_all(folder)?;
    }
    let file = File::create(&layout.lock)?;
    if file.try_lock().is_err() {
        say("  waiting for another start or stop of the cluster");
        file.lock().context("cannot lock the cluster's folder")?;
    }
    Ok(file)
}

fn start(layout: &Layout, cluster: &Cluster) -> Result<()> {
    step("certificates", || pki::ensure(layout))?;
    config::write(layout)?;
    step("network", network::up)?;
    step("etcd, containerd, API server", || {
        for name in ["etcd", "containerd", "kube-apiserver"] {
            components::start(name, layout, &cluster.build)?;
        }
        wait(layout, &["etcd", "containerd", "kube-apiserver"], "the API server", || cluster.ready())
    })?;
    step("load images", || {
        for name in ["pause", "coredns"] {
            cluster.import(layout, &cluster.build.image(name))?;
        }
        Ok(())
    })?;
    step("controllers, scheduler, kubelet, proxy", || {
        for name in COMPONENTS {
            components::start(name, layout, &cluster.build)?;
        }
        wait(layout, &COMPONENTS, "the node", || cluster.node_ready())
    })?;
    step("cluster DNS", || {
        let manifest = layout.path("coredns.yaml");
        fs::write(&manifest, include_str!("../../assets/coredns.yaml"))?;
        run(cluster.kubectl().args(["apply", "-f"]).arg(&manifest))?;
        wait(layout, &COMPONENTS, "cluster DNS", || {
            cluster.says(&["-n", "kube-system", "get", "deploy/coredns", "-o", "jsonpath={.status.readyReplicas}"], "1")
        })?;
        // The first pod in a namespace needs its service account.
        wait(layout, &COMPONENTS, "service accounts", || {
            cluster.says(&["get", "sa/default", "-o", "name"], "serviceaccount/default")
        })
    })
}

fn wait(layout: &Layout, alive: &[&str], what: &str, mut ready: impl FnMut() -> bool) -> Result<()> {
    let mut ended = Ok(());
    let came = wait_until(START_LIMIT, || {
        ended = components::check(layout, alive);
        ended.is_err() || ready()
    });
    ended?;
    if came {
        return Ok(());
    }
    bail!("{what} is not ready after {} s; logs are in {}", START_LIMIT.as_secs(), layout.path("log").display())
}

impl Cluster {
    fn ready(&self) -> bool {
        run(self.kubectl().args(["get", "--raw", "/readyz", "--request-timeout=5s"])).is_ok()
    }

    fn node_ready(&self) -> bool {
        let query = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
        self.says(&["get", "node", NODE, "-o", query], "True")
    }

    fn says(&self, question: &[&str], answer: &str) -> bool {
        run(self.kubectl().args(question)).is_ok_and(|said| said.trim() == answer)
    }

    fn import(&self, layout: &Layout, archive: &Path) -> Result<()> {
        run(self.ctr(layout)?.args(["images", "import"]).arg(archive)).map(drop)
    }
}
