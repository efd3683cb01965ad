//! Processes of the node, which is this machine.

use std::path::Path;

use crate::until;

/// Ids of the processes whose command line, with NULs between its parts, is the right one.
///
/// # Errors
/// There is no `/proc`.
pub fn processes(right: impl Fn(&str) -> bool) -> anyhow::Result<Vec<i32>> {
    let ids = std::fs::read_dir("/proc")?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    Ok(ids.filter(|id| right(&read(*id, "cmdline"))).collect())
}

/// Ids of the worker processes of a pod.
///
/// # Errors
/// There is no `/proc`.
pub fn worker_processes(pod_uid: &str) -> anyhow::Result<Vec<i32>> {
    let workers = processes(|command| command.starts_with("/backflow-worker"))?;
    // Where systemd makes the names of control groups, they have no dashes.
    Ok(workers.into_iter().filter(|id| read(*id, "cgroup").replace('_', "-").contains(pod_uid)).collect())
}

/// Waits until a process is gone.
///
/// # Errors
/// It is still there after [`PATIENCE`](crate::PATIENCE).
pub async fn until_gone(id: i32) -> anyhow::Result<()> {
    let folder = Path::new("/proc").join(id.to_string());
    until(&format!("process {id} is still there"), async || !folder.exists()).await
}

/// A file about a process; empty if it ended in between.
fn read(id: i32, file: &str) -> String {
    std::fs::read_to_string(Path::new("/proc").join(id.to_string()).join(file)).unwrap_or_default()
}
