//! The pods of runs, and their end.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use rustix::process::{Pid, Signal, kill_process};

use super::{Scene, worker_processes};

impl Scene {
    /// Waits for a pod of a Sync that is as it should be.
    ///
    /// # Errors
    /// There is none.
    pub async fn pod_of(&self, sync: &str, what: &str, right: impl Fn(&Pod) -> bool) -> anyhow::Result<Pod> {
        let found = |pods: &[Arc<Pod>]| {
            let pod = pods.iter().find(|pod| is_of(pod, sync) && right(pod))?;
            Some(Pod::clone(pod))
        };
        self.namespace.until_all(what, found).await
    }

    /// How many pods of a Sync there are.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn pods_of(&self, sync: &str) -> anyhow::Result<usize> {
        Ok(self.namespace.list::<Pod>().await?.iter().filter(|pod| is_of(pod, sync)).count())
    }
}

fn is_of(pod: &Pod, sync: &str) -> bool {
    pod.labels().get("backflow.dev/run").is_some_and(|run| run == sync)
}

/// Whether its program runs.
#[must_use]
pub fn is_running(pod: &Pod) -> bool {
    pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Running"))
}

/// Kills a pod's worker, as a crash or the lack of memory would.
///
/// # Errors
/// There is no worker, or more than one process of it.
pub fn kill_worker(pod: &Pod) -> anyhow::Result<()> {
    let processes = worker_processes(&pod.uid().context("a pod without uid")?)?;
    ensure!(processes.len() == 1, "the worker is one process, not {processes:?}");
    let process = processes.first().and_then(|process| Pid::from_raw(*process)).context("no process")?;
    Ok(kill_process(process, Signal::KILL)?)
}
