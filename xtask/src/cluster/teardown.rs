//! Removes what a stopped cluster leaves: containers, mounts, cgroups, network, files. It needs none of the components
//! to be alive, so it also clears up after a crash.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::Signal;

use super::build::Build;
use super::layout::{Layout, NETWORK};
use super::network;
use crate::process::{Stat, all, kill, wait_until};

/// Folders whose place no component lets us choose; removed where nobody else has put anything.
const FIXED_FOLDERS: [&str; 6] = [
    "/var/lib/kubelet/device-plugins",
    "/var/lib/kubelet",
    "/var/lib/cni/results",
    "/var/lib/cni",
    "/var/log/containers",
    "/run/containerd/s",
];

/// Removes everything but the certificates and the logs.
///
/// # Errors
/// A mount or a file cannot be removed.
pub(super) fn run(layout: &Layout, build: &Build) -> Result<()> {
    let containers = containers(layout);
    kill_containers(layout);
    unmount_below(&layout.run)?;
    remove_cgroups();
    network::down(build)?;
    remove_fixed_files(&containers);
    remove_log_links(layout);
    for folder in FIXED_FOLDERS {
        let _in_use_or_absent = fs::remove_dir(folder);
    }
    remove_files(layout)
}

/// Ends each container and then the shim that held it. Shims are found by containerd's socket in their command line.
fn kill_containers(layout: &Layout) {
    let socket = layout.socket().display().to_string();
    let shims = || -> Vec<i32> {
        all()
            .into_iter()
            .filter(|(_, line)| line.contains("containerd-shim") && line.contains(&socket))
            .map(|(pid, _)| pid)
            .collect()
    };
    let told = shims();
    for pid in descendants(&told) {
        kill(pid, Signal::KILL);
    }
    for pid in told {
        kill(pid, Signal::KILL);
    }
    wait_until(Duration::from_secs(10), || shims().is_empty());
}

/// All processes below the given ones.
fn descendants(roots: &[i32]) -> Vec<i32> {
    let family: Vec<(i32, i32)> =
        all().into_iter().filter_map(|(pid, _)| Some((pid, Stat::read(pid)?.parent))).collect();
    let mut found: Vec<i32> = roots.to_vec();
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        found.extend(family.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found.split_off(roots.len())
}

/// A container that containerd knew of.
struct Container {
    id: String,
    /// The socket by which containerd spoke to its shim: in `/run/containerd/s`, whatever the state folder is.
    socket: Option<PathBuf>,
}

fn containers(layout: &Layout) -> Vec<Container> {
    let tasks = layout.path("containerd-state/io.containerd.runtime.v2.task/k8s.io");
    let entries = fs::read_dir(tasks).into_iter().flatten().flatten();
    entries
        .map(|entry| {
            let address = fs::read_to_string(entry.path().join("address")).unwrap_or_default();
            let socket = address.trim().strip_prefix("unix://").map(PathBuf::from);
            Container { id: entry.file_name().to_string_lossy().into_owned(), socket }
        })
        .collect()
}

fn unmount_below(folder: &Path) -> Result<()> {
    // Mounts may lie on top of each other, so the table is read again until it is empty.
    for _ in 0..10 {
        let points = mounts_below(folder);
        if points.is_empty() {
            return Ok(());
        }
        for point in points {
            unmount(&point, UnmountFlags::DETACH).with_context(|| format!("cannot unmount {}", point.display()))?;
        }
    }
    Ok(())
}

/// Mount points below a folder, the deepest first.
fn mounts_below(folder: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut points: Vec<PathBuf> = table
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .map(|point| PathBuf::from(point.replace("\\040", " ")))
        .filter(|point| point.starts_with(folder) && point != folder)
        .collect();
    points.sort_by_key(|point| std::cmp::Reverse(point.components().count()));
    points
}

/// Removes the kubelet's control groups, in every hierarchy. One that still has a process refuses, so nobody else's
/// can be lost.
fn remove_cgroups() {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(root).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    for hierarchy in hierarchies.chain([root.to_path_buf()]) {
        remove_cgroup(&hierarchy.join("kubepods"));
    }
}

fn remove_cgroup(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroup(&entry.path());
        }
    }
    let _in_use_or_absent = fs::remove_dir(folder);
}

/// Removes what libraries keep in folders that cannot be chosen: shims' sockets, the pod network's results, the
/// kubelet's socket for device plugins.
fn remove_fixed_files(containers: &[Container]) {
    for socket in containers.iter().filter_map(|container| container.socket.as_ref()) {
        let _gone_with_its_shim = fs::remove_file(socket);
    }
    for entry in fs::read_dir("/var/lib/cni/results").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(NETWORK) || containers.iter().any(|container| name.contains(&container.id)) {
            let _gone_already = fs::remove_file(entry.path());
        }
    }
    let _gone_already = fs::remove_file("/var/lib/kubelet/device-plugins/kubelet.sock");
}

/// The kubelet links every container's log from `/var/log/containers`.
fn remove_log_links(layout: &Layout) {
    for entry in fs::read_dir("/var/log/containers").into_iter().flatten().flatten() {
        if fs::read_link(entry.path()).is_ok_and(|target| target.starts_with(&layout.run)) {
            let _gone_already = fs::remove_file(entry.path());
        }
    }
}

fn remove_files(layout: &Layout) -> Result<()> {
    for entry in fs::read_dir(&layout.run).into_iter().flatten() {
        let entry = entry?;
        let path = entry.path();
        if entry.file_name() == "log" {
            continue;
        }
        let removed = if entry.file_type()?.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}
