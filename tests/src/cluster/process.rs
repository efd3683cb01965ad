//! Processes of pods, as the node sees them: the node is this machine.

use std::path::Path;

/// Ids of the worker processes of a pod.
///
/// # Errors
/// There is no `/proc`.
pub fn worker_processes(pod_uid: &str) -> anyhow::Result<Vec<i32>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        // Gone in between: not ours.
        let read = |file: &str| {
            std::fs::read_to_string(Path::new("/proc").join(id.to_string()).join(file)).unwrap_or_default()
        };
        let of_pod = read("cgroup").replace('_', "-").contains(pod_uid);
        if of_pod && read("cmdline").starts_with("/backflow-worker") {
            found.push(id);
        }
    }
    Ok(found)
}
