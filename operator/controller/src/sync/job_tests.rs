use backflow_core::plan::{
    Connection, DiffEngine, DirectoryState, ForgetPlan, ModelPlan, ModelQuery, Postgres, PreviewPlan, S3State,
    SourcePlan, StateLocation, StateStorePlan, Task, Tls, TlsMode,
};
use backflow_core::secret::SecretRef;
use serde_json::json;

use super::*;

fn secret(name: &str, key: &str) -> Option<SecretRef> {
    Some(SecretRef { name: name.into(), key: key.into() })
}

fn plan(password: Option<SecretRef>, tls: Tls) -> Plan {
    Plan {
        version: 1,
        run: "crm-29920522".into(),
        namespace: "shop".into(),
        token: "0123".into(),
        owner: "cluster".into(),
        deadline_seconds: Some(21_600),
        task: Task::CheckSource(SourcePlan {
            name: "warehouse".into(),
            connection: Connection::Postgres(Box::new(Postgres {
                host: "db".into(),
                port: 5432,
                database: "shop".into(),
                user: "reader".into(),
                password,
                tls,
            })),
            state: StateLocation::Schema("_backflow".into()),
            diff: DiffEngine::Streaming,
        }),
    }
}

fn job_of(plan: &Plan, template: serde_json::Value, pull_secrets: &[&str]) -> Job {
    let image = Image {
        name: "localhost/backflow:1".into(),
        pull_policy: "IfNotPresent".into(),
        pull_secrets: pull_secrets.iter().map(|name| (*name).to_owned()).collect(),
    };
    let template: WorkerTemplate = serde_json::from_value(template).unwrap();
    build(&WorkerJob {
        plan,
        encoded: "cGxhbg==".into(),
        owner: OwnerReference {
            api_version: "backflow.dev/v1alpha1".into(),
            kind: "Sync".into(),
            name: "crm-29920522".into(),
            uid: "uid".into(),
            controller: Some(true),
            block_owner_deletion: Some(false),
        },
        kind: "Sync",
        mapping: Some("crm"),
        annotations: labels::map([(labels::IDENTITY, "cafe")]),
        template: &template,
        scratch_bytes: 10 << 30,
        deadline_seconds: 21_600,
        backoff_limit: 2,
        ttl_seconds: 86_400,
        image: &image,
        log: "info",
    })
}

fn pod_of(job: &Job) -> &PodSpec {
    job.spec.as_ref().unwrap().template.spec.as_ref().unwrap()
}

#[test]
fn a_run_with_a_password() {
    let plan = plan(secret("warehouse", "password"), Tls { mode: TlsMode::VerifyFull, ..Tls::default() });
    insta::assert_yaml_snapshot!(job_of(&plan, json!({}), &[]));
}

#[test]
fn a_run_with_a_client_certificate_and_all_settings() {
    let tls = Tls {
        mode: TlsMode::VerifyCa,
        ca: secret("ca.of.the-warehouse", "ca.crt"),
        client_certificate: secret("client", "tls.crt"),
        client_key: secret("client", "tls.key"),
    };
    let template = json!({
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
        "env": [
            {"name": "HTTPS_PROXY", "value": "http://proxy:3128"},
            {"name": "REGION", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}},
        ],
        "caBundle": {"configMapKeyRef": {"name": "corporate-ca", "key": "ca.crt"}},
        "nodeSelector": {"pool": "batch"},
        "tolerations": [{"key": "batch", "operator": "Exists", "effect": "NoSchedule"}],
        "serviceAccountName": "reader",
        "priorityClassName": "low",
        "podLabels": {"team": "data", "app.kubernetes.io/managed-by": "somebody"},
        "podAnnotations": {"example.com/owner": "data"},
        "imagePullSecrets": [{"name": "own-registry"}],
    });
    insta::assert_yaml_snapshot!(job_of(&plan(None, tls), template, &["registry"]));
}

#[test]
fn pull_secrets_of_the_operator_are_the_default() {
    let job = job_of(&plan(None, Tls::default()), json!({}), &["a", "b"]);
    let names: Vec<_> = pod_of(&job).image_pull_secrets.iter().flatten().map(|secret| secret.name.clone()).collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn authorities_may_be_kept_in_a_secret() {
    let template = json!({"caBundle": {"secretKeyRef": {"name": "corporate-ca", "key": "ca.crt"}}});
    let job = job_of(&plan(None, Tls::default()), template, &[]);
    let volume = pod_of(&job).volumes.iter().flatten().find(|volume| volume.name == "authorities").unwrap();
    let secret = volume.secret.as_ref().unwrap();
    assert_eq!((secret.secret_name.as_deref(), secret.optional), (Some("corporate-ca"), Some(true)));
}

#[test]
fn a_users_own_limit_of_local_disk_is_kept() {
    let template = json!({"resources": {"limits": {"ephemeral-storage": "1Gi"}}});
    let job = job_of(&plan(None, Tls::default()), template, &[]);
    let resources = pod_of(&job).containers[0].resources.clone().unwrap();
    assert_eq!(resources.limits.unwrap()[EPHEMERAL], Quantity("1Gi".into()));
}

/// Without the policy a force-deleted pod is replaced while it still runs, and its last message is lost.
#[test]
fn the_failure_policy_is_always_there() {
    let job = job_of(&plan(None, Tls::default()), json!({}), &[]);
    let rules = job.spec.unwrap().pod_failure_policy.unwrap().rules;
    let exits = |action: &str| -> Vec<i32> {
        let rules = rules.iter().filter(|rule| rule.action == action);
        rules.filter_map(|rule| rule.on_exit_codes.as_ref()).flat_map(|exits| exits.values.clone()).collect()
    };
    assert_eq!(exits("FailJob"), [10, 11]);
    assert_eq!(exits("Ignore"), [143]);
    assert!(rules.iter().any(|rule| {
        rule.action == "Ignore" && rule.on_pod_conditions.iter().flatten().any(|on| on.type_ == "DisruptionTarget")
    }));
}

#[test]
fn the_pod_has_no_token_and_no_rights() {
    let job = job_of(&plan(None, Tls::default()), json!({"serviceAccountName": "x"}), &[]);
    let pod = pod_of(&job);
    assert_eq!((pod.automount_service_account_token, pod.enable_service_links), (Some(false), Some(false)));
    assert_eq!(pod.security_context.as_ref().unwrap().run_as_non_root, Some(true));
    let container = pod.containers[0].security_context.as_ref().unwrap();
    assert_eq!(container.allow_privilege_escalation, Some(false));
    assert_eq!(container.read_only_root_filesystem, Some(true));
    assert_eq!(container.capabilities.as_ref().unwrap().drop.as_ref().unwrap(), &["ALL"]);
}

#[test]
fn a_volume_of_the_state_is_mounted_where_state_is_moved_or_proven() {
    let state = StateLocation::Store(StateStorePlan::Directory(DirectoryState {
        path: "/state/backflow".into(),
        claim: Some("backflow-state".into()),
    }));
    let mut plan = plan(None, Tls::default());
    let Task::CheckSource(source) = &mut plan.task else { panic!("it checks a Source") };
    source.state = state;
    let source = source.clone();
    let claims = |plan: &Plan| -> Vec<(String, String)> {
        let job = job_of(plan, json!({}), &[]);
        let pod = pod_of(&job);
        let mounts = pod.containers[0].volume_mounts.iter().flatten();
        let path = |name: &str| {
            let mount = mounts.clone().find(|mount| mount.name == name).unwrap();
            assert_eq!(mount.read_only, None);
            mount.mount_path.clone()
        };
        let volumes = pod.volumes.iter().flatten();
        volumes
            .filter_map(|volume| {
                Some((volume.persistent_volume_claim.as_ref()?.claim_name.clone(), path(&volume.name)))
            })
            .collect()
    };
    let mounted = [("backflow-state".to_owned(), "/state".to_owned())];
    assert_eq!(claims(&plan), mounted);
    let forget = ForgetPlan { state_key: "shop/crm".into(), adopt_state: false };
    assert_eq!(claims(&Plan { task: Task::Forget(source.clone(), forget), ..plan.clone() }), mounted);
    let model = ModelPlan { name: "m".into(), query: ModelQuery::Table("t".into()), primary_key: vec!["id".into()] };
    let preview = Task::Preview(source.clone(), model.clone(), PreviewPlan { limit: 1 });
    for task in [preview, Task::CheckModel(source, model)] {
        assert_eq!(claims(&Plan { task, ..plan.clone() }), [], "a volume that is busy elsewhere would hold it up");
    }
}

#[test]
fn keys_of_a_bucket_are_mounted() {
    let mut plan = plan(secret("warehouse", "password"), Tls::default());
    let Task::CheckSource(source) = &mut plan.task else { panic!("it checks a Source") };
    source.state = StateLocation::Store(StateStorePlan::S3(S3State {
        bucket: "states".into(),
        access_key_id: secret("bucket", "id"),
        secret_access_key: secret("bucket", "key"),
        ..S3State::default()
    }));
    let job = job_of(&plan, json!({}), &[]);
    let secrets: Vec<_> = pod_of(&job)
        .volumes
        .iter()
        .flatten()
        .filter_map(|volume| volume.secret.as_ref()?.secret_name.clone())
        .collect();
    assert_eq!(secrets, ["bucket", "warehouse"]);
}
