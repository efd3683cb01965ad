//! Jobs and pods, reduced to what is needed of them, while their run is on.
//!
//! Only runs that somebody waits for are kept: what a Sync has read is dropped when it has ended, so memory does not grow with the
//! history that lies in the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt as _};

use crate::labels;
use crate::store::Key;

/// A Job, without its template: that holds the plan, and is as large.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobMeta {
    /// Its uid.
    pub uid: String,
    /// The object that controls it.
    pub owner: Option<Owner>,
    /// Its version: a Job that has another one must be read again.
    pub version: Option<String>,
    /// Our annotations.
    pub annotations: BTreeMap<String, String>,
    /// When it was created.
    pub created_at: Option<Timestamp>,
    /// It is being deleted.
    pub deleting: bool,
}

/// Who controls a Job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// How far a Job is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobState {
    /// It ended well.
    pub complete: bool,
    /// It failed: the Job controller's reason.
    pub failed: Option<String>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// A pod, reduced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodView {
    /// Its name.
    pub name: String,
    /// The Job that it belongs to, by uid.
    pub job: Option<String>,
    /// The Mapping that it runs for.
    pub mapping: Option<String>,
    /// When it was created.
    pub created_at: Option<Timestamp>,
    /// It no longer exists.
    pub gone: bool,
    /// Where it listens.
    pub ip: Option<String>,
    /// What its progress port wants to hear.
    pub token: Option<String>,
    /// Since when no node takes it, and the scheduler's sentence.
    pub unschedulable: Option<(Timestamp, String)>,
    /// Why its container does not start: the kubelet's reason and sentence.
    pub waiting: Option<(String, String)>,
    /// Its container runs.
    pub running: bool,
    /// The pod is over, whatever became of its container.
    pub ended: bool,
    /// Its container has ended.
    pub terminated: Option<Terminated>,
    /// Why the pod itself failed, for example Evicted.
    pub reason: Option<String>,
}

/// The end of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terminated {
    /// Its exit code.
    pub exit_code: i32,
    /// The kubelet's reason, for example `OOMKilled`.
    pub reason: Option<String>,
    /// What the worker wrote.
    pub message: Option<String>,
    /// When.
    pub finished_at: Option<Timestamp>,
}

impl JobMeta {
    /// Reduces a Job's metadata.
    #[must_use]
    pub fn of(job: &impl Resource) -> Self {
        let annotations = job.annotations().iter().filter(|(key, _)| labels::is_ours(key));
        Self {
            uid: job.uid().unwrap_or_default(),
            owner: controller_of(job.owner_references()).map(|owner| Owner {
                kind: owner.kind.clone(),
                name: owner.name.clone(),
                uid: owner.uid.clone(),
            }),
            version: job.resource_version(),
            annotations: annotations.map(|(key, value)| (key.clone(), value.clone())).collect(),
            created_at: job.creation_timestamp().map(|time| time.0),
            deleting: job.meta().deletion_timestamp.is_some(),
        }
    }
}

impl JobState {
    /// Reads a Job. Only the terminal conditions count: `FailureTarget` still has a pod.
    #[must_use]
    pub fn of(job: &Job) -> Self {
        let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let mut state = Self::default();
        for condition in conditions.filter(|condition| condition.status == "True") {
            match condition.type_.as_str() {
                "Complete" => state.complete = true,
                "Failed" => state.failed = Some(condition.reason.clone().unwrap_or_default()),
                _ => continue,
            }
            state.finished_at = condition.last_transition_time.as_ref().map(|time| time.0);
        }
        state
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.complete || self.failed.is_some()
    }
}

impl PodView {
    /// Reduces a pod.
    #[must_use]
    pub fn of(pod: &Pod) -> Self {
        let status = pod.status.clone().unwrap_or_default();
        let state = status.container_statuses.iter().flatten().next().and_then(|container| container.state.clone());
        let state = state.unwrap_or_default();
        let unschedulable = status
            .conditions
            .iter()
            .flatten()
            .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
        Self {
            name: pod.name_any(),
            job: controller_of(pod.owner_references()).map(|owner| owner.uid.clone()),
            mapping: pod.labels().get(labels::MAPPING).cloned(),
            created_at: pod.creation_timestamp().map(|time| time.0),
            gone: false,
            ip: status.pod_ip.clone(),
            token: pod.annotations().get(labels::TOKEN).cloned(),
            unschedulable: unschedulable.map(|condition| {
                let since = condition.last_transition_time.as_ref().map(|time| time.0);
                let since = since.or_else(|| pod.creation_timestamp().map(|time| time.0)).unwrap_or_default();
                (since, condition.message.clone().unwrap_or_default())
            }),
            waiting: state
                .waiting
                .map(|waiting| (waiting.reason.unwrap_or_default(), waiting.message.unwrap_or_default())),
            running: state.running.is_some(),
            ended: matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")),
            terminated: state.terminated.map(|end| Terminated {
                exit_code: end.exit_code,
                reason: end.reason,
                message: end.message.filter(|message| !message.is_empty()),
                finished_at: end.finished_at.map(|time| time.0),
            }),
            reason: status.reason,
        }
    }
}

impl PodView {
    /// Whether its worker sends, or may begin to.
    #[must_use]
    pub fn may_send(&self) -> bool {
        !self.gone && !self.ended && self.terminated.is_none()
    }
}

fn controller_of(owners: &[OwnerReference]) -> Option<&OwnerReference> {
    owners.iter().find(|owner| owner.controller == Some(true))
}

/// The Jobs and pods of open runs, by the run's name: the Job's.
#[derive(Debug, Default)]
pub struct Runs(Mutex<BTreeMap<Key, Run>>);

#[derive(Debug, Default)]
struct Run {
    job: Option<Arc<JobMeta>>,
    /// The Job as it was last read, and which version that was.
    state: Option<(String, JobState)>,
    pods: BTreeMap<String, PodView>,
}

/// What a watch saw of one pod or Job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It is there.
    Present,
    /// It is gone; this is how it was last.
    Deleted,
}

impl Runs {
    /// The Job of a run.
    #[must_use]
    pub fn job(&self, run: &Key) -> Option<Arc<JobMeta>> {
        self.lock().get(run).and_then(|run| run.job.clone())
    }

    /// How far the Job is, if it was read in its present version.
    #[must_use]
    pub fn state(&self, run: &Key) -> Option<JobState> {
        let runs = self.lock();
        let run = runs.get(run)?;
        let version = run.job.as_ref()?.version.as_ref()?;
        run.state.as_ref().filter(|(read, _)| read == version).map(|(_, state)| state.clone())
    }

    /// Remembers how far the Job was in `version`.
    pub fn remember(&self, run: &Key, version: String, state: JobState) {
        if let Some(run) = self.lock().get_mut(run) {
            run.state = Some((version, state));
        }
    }

    /// The pods of a run, the oldest first. Of its Job, if that is given: not those of an earlier Job of the same name.
    #[must_use]
    pub fn pods(&self, run: &Key, job: Option<&str>) -> Vec<PodView> {
        let runs = self.lock();
        let pods = runs.get(run).into_iter().flat_map(|run| run.pods.values());
        let mut pods: Vec<PodView> = pods.filter(|pod| job.is_none() || pod.job.as_deref() == job).cloned().collect();
        pods.sort_by_key(|pod| pod.created_at);
        pods
    }

    /// All Jobs that `owner` controls.
    #[must_use]
    pub fn jobs_of(&self, namespace: &str, owner: &str) -> Vec<(Key, Arc<JobMeta>)> {
        let runs = self.lock();
        let from = Key::new(namespace, "");
        runs.range(from..)
            .take_while(|(key, _)| key.namespace == namespace)
            .filter_map(|(key, run)| Some((key.clone(), run.job.clone()?)))
            .filter(|(_, job)| job.owner.as_ref().is_some_and(|present| present.uid == owner))
            .collect()
    }

    /// Pods whose container runs, with their run.
    #[must_use]
    pub fn running(&self) -> Vec<(Key, PodView)> {
        let runs = self.lock();
        let pods = runs.iter().flat_map(|(key, run)| run.pods.values().map(move |pod| (key, pod)));
        pods.filter(|(_, pod)| pod.running && !pod.gone).map(|(key, pod)| (key.clone(), pod.clone())).collect()
    }

    /// A Job was seen.
    pub fn saw_job(&self, run: Key, job: JobMeta, seen: Seen) {
        let mut runs = self.lock();
        match seen {
            Seen::Present => runs.entry(run).or_default().job = Some(Arc::new(job)),
            // Its pods stay: what they wrote may still be wanted.
            Seen::Deleted => {
                if let Some(run) =
                    runs.get_mut(&run).filter(|run| run.job.as_ref().is_some_and(|known| known.uid == job.uid))
                {
                    run.job = None;
                }
            }
        }
    }

    /// A Job was created by us. What a watch has shown of it is newer.
    pub fn created(&self, run: Key, job: JobMeta, state: JobState) {
        let mut runs = self.lock();
        let run = runs.entry(run).or_default();
        if run.job.is_none() {
            run.state = job.version.clone().map(|version| (version, state));
            run.job = Some(Arc::new(job));
        }
    }

    /// A pod was seen. A pod that is gone is kept: its last message may exist nowhere else.
    pub fn saw_pod(&self, run: Key, mut pod: PodView, seen: Seen) {
        pod.gone |= seen == Seen::Deleted;
        let mut runs = self.lock();
        let pods = &mut runs.entry(run).or_default().pods;
        if pod.terminated.is_none()
            && let Some(known) = pods.get(&pod.name).filter(|known| known.terminated.is_some())
        {
            pod.terminated = known.terminated.clone();
        }
        pods.insert(pod.name.clone(), pod);
    }

    /// Known Jobs of `namespace` (or of all) that a complete list did not name.
    #[must_use]
    pub fn jobs_not_in(&self, namespace: Option<&str>, listed: &BTreeSet<Key>) -> Vec<(Key, Arc<JobMeta>)> {
        let runs = self.lock();
        runs.iter()
            .filter(|(key, _)| namespace.is_none_or(|namespace| key.namespace == namespace) && !listed.contains(key))
            .filter_map(|(key, run)| Some((key.clone(), run.job.clone()?)))
            .collect()
    }

    /// A complete list of pods was seen. Pods that it does not name are gone. Returns their runs.
    pub fn retain_pods(&self, namespace: Option<&str>, listed: &BTreeSet<Key>) -> Vec<Key> {
        let mut runs = self.lock();
        let mut gone = Vec::new();
        for (key, run) in runs.iter_mut() {
            if namespace.is_some_and(|namespace| key.namespace != namespace) {
                continue;
            }
            for pod in run.pods.values_mut() {
                if !pod.gone && !listed.contains(&Key::new(&key.namespace, &pod.name)) {
                    pod.gone = true;
                    gone.push(key.clone());
                }
            }
        }
        gone
    }

    /// Nobody waits for this run any more. Returns its pods.
    pub fn close(&self, run: &Key) -> Vec<PodView> {
        self.lock().remove(run).map(|run| run.pods.into_values().collect()).unwrap_or_default()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Key, Run>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
