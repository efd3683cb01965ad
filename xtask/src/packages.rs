//! System programs that cargo cannot bring, and the Debian packages that have them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::process;
use crate::steps::step;
use crate::workspace::Workspace;

/// What somebody is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Compile the project.
    Build,
    /// Build kubectl, helm and the other programs that come as Go modules.
    Tools,
    /// Start the test cluster.
    Cluster,
    /// Run tests that start a Postgres of their own.
    Postgres,
    /// Run tests that start a MariaDB of their own.
    MariaDb,
    /// Run tests that make keys.
    Keys,
    /// Show the demo on a SQLite file.
    Sqlite,
    /// Install and run what the bench compares with.
    Peers,
    /// Install and run packages of npm.
    Npm,
    /// Run the fakes of warehouses, and their tests.
    Fakes,
    /// Run an API server without a cluster.
    ApiServer,
}

/// A program (by name or, if it has one fixed place, by path) and its Debian package.
struct Need {
    purpose: Purpose,
    program: &'static str,
    package: &'static str,
}

/// Python with the module that makes environments, which Debian has in a package of its own.
const VENV: &str = "python3 -m venv";

const fn need(purpose: Purpose, program: &'static str, package: &'static str) -> Need {
    Need { purpose, program, package }
}

const NEEDS: [Need; 25] = [
    need(Purpose::Build, "gcc", "gcc"),
    need(Purpose::Build, "make", "make"),
    need(Purpose::Build, "strip", "binutils"),
    need(Purpose::Build, "musl-gcc", "musl-tools"),
    need(Purpose::Cluster, "containerd", "containerd"),
    need(Purpose::Cluster, "runc", "runc"),
    need(Purpose::Cluster, "/usr/lib/cni/ptp", "containernetworking-plugins"),
    need(Purpose::Cluster, "iptables", "iptables"),
    need(Purpose::Cluster, "conntrack", "conntrack"),
    need(Purpose::Cluster, "ip", "iproute2"),
    need(Purpose::Cluster, "mount", "mount"),
    need(Purpose::Cluster, "setsid", "util-linux"),
    need(Purpose::Cluster, "openssl", "openssl"),
    need(Purpose::Cluster, "gcc", "gcc"),
    need(Purpose::Cluster, "/usr/include/stdlib.h", "libc6-dev"),
    need(Purpose::Postgres, "initdb", "postgresql"),
    // Without the package mariadb-server, which would start one.
    need(Purpose::MariaDb, "/usr/sbin/mariadbd", "mariadb-server-core"),
    need(Purpose::MariaDb, "mariadb", "mariadb-client-core"),
    need(Purpose::Keys, "openssl", "openssl"),
    need(Purpose::Sqlite, "sqlite3", "sqlite3"),
    need(Purpose::Peers, VENV, "python3-venv"),
    need(Purpose::Fakes, VENV, "python3-venv"),
    need(Purpose::Npm, "node", "nodejs"),
    need(Purpose::Npm, "npm", "npm"),
    need(Purpose::ApiServer, "openssl", "openssl"),
];

/// Checks that everything the purposes need is there; with `install`, gets what is missing.
///
/// # Errors
/// Something is missing and was not asked to be installed, or cannot be. The message says how to get it.
pub fn ensure(purposes: &[Purpose], install: bool) -> Result<()> {
    let mut packages = missing_packages(purposes);
    if install && !packages.is_empty() {
        if !can_install() {
            bail!("--install works as root on Debian only; install by hand: {}", packages.join(" "));
        }
        step(&format!("apt-get install {}", packages.join(" ")), || apt_install(&packages))?;
        packages = missing_packages(purposes);
    }
    let mut cures = Vec::new();
    if !packages.is_empty() {
        let list = packages.join(" ");
        cures.push(format!("system packages: apt-get install -y {list}   (or run this again as root with --install)"));
    }
    if purposes.contains(&Purpose::Build) && !has_target() {
        let add = ["target", "add", &Workspace::triple()].map(String::from);
        if !(install && process::run(Command::new("rustup").args(&add)).is_ok()) {
            cures.push(format!("the Rust target: rustup {}", add.join(" ")));
        }
    }
    if purposes.contains(&Purpose::Tools) && process::find("go").is_none() {
        cures.push("Go 1.26 or newer, which builds the test cluster: see https://go.dev/dl".into());
    }
    if purposes.contains(&Purpose::Cluster) && !is_root() {
        cures.push("root: starting and stopping a cluster changes the network. KUBECONFIG may name another one".into());
    }
    if cures.is_empty() {
        return Ok(());
    }
    bail!("this machine lacks\n  {}", cures.join("\n  "))
}

/// Postgres's own programs; Debian keeps them out of `PATH`, one folder for each version.
#[must_use]
pub fn postgres_bin() -> Option<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin")))
        })
        .filter(|(_, bin)| bin.join("initdb").is_file())
        .collect();
    versions.sort();
    let newest = versions.pop().map(|(_, bin)| bin);
    newest.or_else(|| process::find("initdb").and_then(|file| Some(file.parent()?.to_path_buf())))
}

fn missing_packages(purposes: &[Purpose]) -> Vec<&'static str> {
    let mut packages: Vec<&str> = NEEDS
        .iter()
        .filter(|need| purposes.contains(&need.purpose) && !present(need.program))
        .map(|need| need.package)
        .collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

fn present(program: &str) -> bool {
    match program {
        "initdb" => postgres_bin().is_some(),
        VENV => process::run(Command::new("python3").args(["-c", "import ensurepip, venv"])).is_ok(),
        path if path.starts_with('/') => Path::new(path).exists(),
        name => process::find(name).is_some(),
    }
}

/// Whether the compiler in use has the standard library for the project's target.
fn has_target() -> bool {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", &Workspace::triple()]);
    process::run(&mut rustc).is_ok_and(|folder| Path::new(folder.trim()).is_dir())
}

fn can_install() -> bool {
    is_root() && Path::new("/etc/debian_version").exists() && process::find("apt-get").is_some()
}

/// Whether this process may change the system.
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn apt_install(packages: &[&str]) -> Result<()> {
    let apt = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    process::run(apt().args(["update", "-qq"]))?;
    process::run(apt().args(["install", "-y", "-qq", "--no-install-recommends"]).args(packages))?;
    Ok(())
}
