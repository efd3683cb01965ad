//! The Job of a run: pure functions from a plan and the settings of its pod.

use std::collections::BTreeMap;

use backflow_core::plan::{Plan, VOLUME_PATH};
use backflow_core::result::exit;
use backflow_crds::v1alpha1::WorkerTemplate;
use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyOnPodConditionsPattern,
    PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, DownwardAPIVolumeFile, DownwardAPIVolumeSource, EmptyDirVolumeSource,
    EnvVar, LocalObjectReference, ObjectFieldSelector, PersistentVolumeClaimVolumeSource, PodSecurityContext, PodSpec,
    PodTemplateSpec, ResourceRequirements, SeccompProfile, SecretVolumeSource, SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::authorities;
use crate::labels;

/// The worker's port.
pub const PORT: u16 = 8080;
/// Nobody: the image has no users.
const USER: i64 = 65_532;
/// Time between SIGTERM and SIGKILL in seconds: the batch in flight, a commit and the result.
const GRACE: i64 = 60;
const CONTAINER: &str = "worker";
const EPHEMERAL: &str = "ephemeral-storage";

/// The image that workers run, and how the kubelet gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its name.
    pub name: String,
    /// Always, `IfNotPresent` or Never.
    pub pull_policy: String,
    /// Secrets for its registry, in the run's namespace.
    pub pull_secrets: Vec<String>,
}

/// Everything that a worker's Job is made of.
#[derive(Clone, Debug)]
pub struct WorkerJob<'a> {
    /// What runs. Its `run` is the Job's name.
    pub plan: &'a Plan,
    /// The plan as the annotation holds it.
    pub encoded: String,
    /// Who owns the Job.
    pub owner: OwnerReference,
    /// Sync, or the kind that is checked.
    pub kind: &'a str,
    /// The Mapping that runs.
    pub mapping: Option<&'a str>,
    /// The Job's own annotations.
    pub annotations: BTreeMap<String, String>,
    /// Settings of the pod.
    pub template: &'a WorkerTemplate,
    /// Local disk in bytes.
    pub scratch_bytes: u64,
    /// Seconds from start to deadline.
    pub deadline_seconds: i64,
    /// Replacement pods after failures.
    pub backoff_limit: i32,
    /// Seconds that the finished Job is kept.
    pub ttl_seconds: i32,
    /// The image.
    pub image: &'a Image,
    /// The worker's log filter.
    pub log: &'a str,
}

/// Builds the Job.
#[must_use]
pub fn build(run: &WorkerJob<'_>) -> Job {
    let name = run.plan.run.clone();
    let mut own = labels::map([
        (labels::NAME, "backflow-worker"),
        (labels::COMPONENT, "worker"),
        (labels::MANAGED_BY, labels::BACKFLOW),
        (labels::RUN, &name),
        (labels::KIND, run.kind),
    ]);
    if let Some(mapping) = run.mapping {
        own.insert(labels::MAPPING.into(), mapping.into());
    }
    // Ours come last: the watches select by them.
    let mut pod_labels = run.template.pod_labels.clone();
    pod_labels.extend(own.clone());
    let mut pod_annotations = run.template.pod_annotations.clone();
    pod_annotations.insert(labels::PLAN.into(), run.encoded.clone());
    pod_annotations.insert(labels::TOKEN.into(), run.plan.token.clone());
    Job {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: Some(run.plan.namespace.clone()),
            labels: Some(own),
            annotations: Some(run.annotations.clone()).filter(|annotations| !annotations.is_empty()),
            owner_references: Some(vec![run.owner.clone()]),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            parallelism: Some(1),
            completions: Some(1),
            backoff_limit: Some(run.backoff_limit),
            active_deadline_seconds: Some(run.deadline_seconds),
            ttl_seconds_after_finished: Some(run.ttl_seconds),
            pod_failure_policy: Some(failure_policy()),
            pod_replacement_policy: Some("Failed".into()),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(pod_labels),
                    annotations: Some(pod_annotations),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod(run)),
            },
            ..JobSpec::default()
        }),
        status: None,
    }
}

/// A pod that configuration or mapping stop is not replaced. One that was only moved or asked to stop does not count as a failure.
/// The policy also makes the Job controller keep a force-deleted pod until its container has ended: without it, two could run.
fn failure_policy() -> PodFailurePolicy {
    let exits = |codes: &[u8]| PodFailurePolicyOnExitCodesRequirement {
        container_name: Some(CONTAINER.into()),
        operator: "In".into(),
        values: codes.iter().map(|code| i32::from(*code)).collect(),
    };
    let rule = |action: &str| PodFailurePolicyRule { action: action.into(), ..PodFailurePolicyRule::default() };
    PodFailurePolicy {
        rules: vec![
            PodFailurePolicyRule { on_exit_codes: Some(exits(&[exit::CONFIGURATION, exit::MODEL])), ..rule("FailJob") },
            PodFailurePolicyRule {
                on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
                    type_: "DisruptionTarget".into(),
                    status: "True".into(),
                }]),
                ..rule("Ignore")
            },
            PodFailurePolicyRule { on_exit_codes: Some(exits(&[exit::TERMINATED])), ..rule("Ignore") },
        ],
    }
}

fn pod(run: &WorkerJob<'_>) -> PodSpec {
    let template = run.template;
    let pull_secrets: Vec<LocalObjectReference> = if template.image_pull_secrets.is_empty() {
        run.image.pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() }).collect()
    } else {
        template.image_pull_secrets.iter().map(|secret| LocalObjectReference { name: secret.name.clone() }).collect()
    };
    let (volumes, mounts) = volumes(run);
    PodSpec {
        restart_policy: Some("Never".into()),
        termination_grace_period_seconds: Some(GRACE),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        service_account_name: template.service_account_name.clone(),
        priority_class_name: template.priority_class_name.clone(),
        node_selector: Some(template.node_selector.clone()).filter(|labels| !labels.is_empty()),
        tolerations: Some(template.tolerations.iter().cloned().map(Into::into).collect::<Vec<_>>())
            .filter(|tolerations| !tolerations.is_empty()),
        image_pull_secrets: Some(pull_secrets).filter(|secrets| !secrets.is_empty()),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            // The volume of the state may hold many files: they change hands once, and not at every run.
            fs_group_change_policy: run.plan.state_claim().map(|_| "OnRootMismatch".into()),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".into(), localhost_profile: None }),
            ..PodSecurityContext::default()
        }),
        containers: vec![container(run, mounts)],
        volumes: Some(volumes),
        ..PodSpec::default()
    }
}

fn container(run: &WorkerJob<'_>, mounts: Vec<VolumeMount>) -> Container {
    let own = |name: &str, value: &str| EnvVar { name: name.into(), value: Some(value.into()), value_from: None };
    let mut env = vec![own("BACKFLOW_LOG", run.log), own("BACKFLOW_RUN", &run.plan.run)];
    env.extend(run.template.ca_bundle.iter().flat_map(authorities::variables));
    env.extend(run.template.env.iter().cloned().map(Into::into));
    let mut resources: ResourceRequirements = run.template.resources.clone().unwrap_or_default().into();
    // Scratch is local disk: said as a request, so that a node without room is not chosen, and as a limit, so that it is bounded.
    for (amounts, bytes) in
        [(&mut resources.requests, run.scratch_bytes), (&mut resources.limits, with_margin(run.scratch_bytes))]
    {
        amounts.get_or_insert_default().entry(EPHEMERAL.into()).or_insert(Quantity(bytes.to_string()));
    }
    Container {
        name: CONTAINER.into(),
        image: Some(run.image.name.clone()),
        image_pull_policy: Some(run.image.pull_policy.clone()),
        command: Some(vec!["/backflow-worker".into()]),
        env: Some(env),
        ports: Some(vec![ContainerPort {
            name: Some("progress".into()),
            container_port: i32::from(PORT),
            protocol: Some("TCP".into()),
            ..ContainerPort::default()
        }]),
        resources: Some(resources),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            run_as_non_root: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), add: None }),
            ..SecurityContext::default()
        }),
        termination_message_path: Some("/dev/termination-log".into()),
        termination_message_policy: Some("File".into()),
        volume_mounts: Some(mounts),
        ..Container::default()
    }
}

/// What the volume may hold above the worker's own bound: the kubelet evicts a pod that fills its volume, and logs count too, while
/// the worker that reaches its bound ends in order.
const fn with_margin(scratch_bytes: u64) -> u64 {
    scratch_bytes + scratch_bytes / 16 + (64 << 20)
}

fn volumes(run: &WorkerJob<'_>) -> (Vec<Volume>, Vec<VolumeMount>) {
    let mount = |name: &str, path: &str, read_only: bool| VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        read_only: Some(read_only).filter(|read_only| *read_only),
        ..VolumeMount::default()
    };
    let mut volumes = vec![
        Volume {
            name: "plan".into(),
            downward_api: Some(DownwardAPIVolumeSource {
                items: Some(vec![DownwardAPIVolumeFile {
                    path: "plan".into(),
                    field_ref: Some(ObjectFieldSelector {
                        field_path: format!("metadata.annotations['{}']", labels::PLAN),
                        api_version: None,
                    }),
                    ..DownwardAPIVolumeFile::default()
                }]),
                default_mode: None,
            }),
            ..Volume::default()
        },
        Volume {
            name: "scratch".into(),
            empty_dir: Some(EmptyDirVolumeSource {
                size_limit: Some(Quantity(with_margin(run.scratch_bytes).to_string())),
                medium: None,
            }),
            ..Volume::default()
        },
    ];
    let mut mounts = vec![mount("plan", "/plan", true), mount("scratch", "/scratch", false)];
    let mut names: Vec<String> = run.plan.secrets().into_iter().map(|secret| secret.name).collect();
    names.dedup();
    for (at, secret) in names.into_iter().enumerate() {
        // A Secret's name may be longer than a volume's. Optional, and whole, so that the worker can tell an absent Secret from an
        // absent key: the kubelet would only wait.
        let name = format!("secret-{at}");
        mounts.push(mount(&name, &format!("/secrets/{secret}"), true));
        volumes.push(Volume {
            name,
            secret: Some(SecretVolumeSource {
                secret_name: Some(secret),
                optional: Some(true),
                default_mode: Some(0o440),
                items: None,
            }),
            ..Volume::default()
        });
    }
    if let Some((volume, mount)) = run.template.ca_bundle.as_ref().and_then(authorities::volume) {
        volumes.push(volume);
        mounts.push(mount);
    }
    if let Some(claim) = run.plan.state_claim() {
        mounts.push(mount("state", VOLUME_PATH, false));
        volumes.push(Volume {
            name: "state".into(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: claim.into(),
                read_only: None,
            }),
            ..Volume::default()
        });
    }
    (volumes, mounts)
}

#[cfg(test)]
#[path = "job_tests.rs"]
mod tests;
