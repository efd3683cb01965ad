//! Syncs, and the secrets that a run needs.

use backflow_core::plan::{Mode, PLAN_VERSION, Plan, Replay, Task};
use backflow_crds::v1alpha1::SyncSpec;
use serde_json::{Value, json};

use super::manifests::{self, plan_between, plan_destination, plan_model, plan_source, read, with};
use crate::{Finding, Resolved, check_sync};

/// A Sync's task over the usual manifests.
pub(super) fn plan(manifest: &Value) -> Result<Task, Vec<Finding>> {
    between(&manifests::source(), &manifests::destination(), manifest)
}

fn between(source: &Value, destination: &Value, manifest: &Value) -> Result<Task, Vec<Finding>> {
    let spec: SyncSpec = read(manifest);
    let (of_source, model) = (plan_source(source).unwrap(), plan_model(&manifests::model()).unwrap());
    let resolved = if spec.forget.is_some() {
        Resolved::Source(of_source)
    } else if spec.model_ref.is_some() {
        Resolved::Model { source: of_source, model }
    } else {
        let mapping = Box::new(plan_between(source, destination, &manifests::mapping()).unwrap());
        Resolved::Mapping {
            source: of_source,
            model,
            mapping,
            destination: Box::new(plan_destination(destination).unwrap()),
        }
    };
    crate::sync(&spec, resolved)
}

fn mode(manifest: Value) -> Mode {
    match plan(&with(json!({"mappingRef": {"name": "crm"}}), manifest)).unwrap() {
        Task::Sync(sync) => sync.mode,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_mode_runs_as_it_says() {
    assert_eq!(mode(json!({})), Mode::Incremental);
    assert_eq!(mode(json!({"mode": "Full"})), Mode::Full);
    assert_eq!(mode(json!({"mode": "DryRun"})), Mode::DryRun);
    let replayed = |replay: Value| mode(json!({"mode": "Replay", "replay": replay}));
    assert_eq!(replayed(json!({"keys": ["1", "2"]})), Mode::Replay(Replay::Keys(vec!["1".into(), "2".into()])));
    assert_eq!(replayed(json!({"syncRef": {"name": "crm-1"}})), Mode::Replay(Replay::Run("crm-1".into())));
    assert_eq!(mode(json!({"mode": "Reset"})), Mode::Reset);
    assert_eq!(
        mode(json!({"mode": "Test", "test": {"key": "[\"eu\", 42]"}})),
        Mode::Test { key: "[\"eu\", 42]".into() }
    );
    let preview = json!({"modelRef": {"name": "customers"}, "mode": "Preview"});
    let Task::Preview(_, _, preview) = plan(&preview).unwrap() else { panic!() };
    assert_eq!(preview.limit, 10);
    let forget = json!({"mode": "Forget", "forget": {"sourceRef": {"name": "warehouse"}, "stateKey": "shop/old"}, "adoptState": true});
    let Task::Forget(_, forget) = plan(&forget).unwrap() else { panic!() };
    assert_eq!((forget.state_key.as_str(), forget.adopt_state), ("shop/old", true));
}

#[test]
fn pushdown_has_every_run() {
    let pushdown = with(manifests::source(), json!({"diff": "Pushdown"}));
    for asked in [
        json!({}),
        json!({"mode": "Full"}),
        json!({"mode": "Reset"}),
        json!({"mode": "DryRun"}),
        json!({"mode": "Replay", "replay": {"keys": ["1"]}}),
        json!({"mode": "Test", "test": {"key": "1"}}),
    ] {
        let manifest = with(json!({"mappingRef": {"name": "crm"}}), asked);
        between(&pushdown, &manifests::destination(), &manifest).unwrap();
    }
}

#[test]
fn a_mode_goes_with_what_it_works_on_and_with_nothing_else() {
    let references = [
        json!({"mappingRef": {"name": "a"}}),
        json!({"modelRef": {"name": "a"}}),
        json!({"forget": {"sourceRef": {"name": "a"}, "stateKey": "a/b"}}),
    ];
    for mode in ["Incremental", "Full", "Reset", "Replay", "DryRun", "Test", "Preview", "Forget"] {
        let right = match mode {
            "Preview" => 1,
            "Forget" => 2,
            _ => 0,
        };
        for (at, reference) in references.iter().enumerate() {
            let manifest =
                with(reference.clone(), json!({"mode": mode, "test": {"key": "1"}, "replay": {"keys": ["1"]}}));
            let found = check_sync(&read(&manifest));
            let misfit = found
                .iter()
                .any(|finding| (finding.path.as_str(), finding.code.as_str()) == ("spec.mode", "InvalidSpec"));
            assert_eq!(misfit, at != right, "{mode} with {reference}: {found:?}");
        }
    }
    let found = check_sync(&read(&json!({"mappingRef": {"name": "a"}, "mode": "Test"})));
    assert_eq!((found[0].path.as_str(), found[0].code.as_str()), ("spec.test", "InvalidSpec"));
    for replay in [json!(null), json!({}), json!({"keys": []}), json!({"keys": ["1"], "syncRef": {"name": "a"}})] {
        let found = check_sync(&read(&json!({"mappingRef": {"name": "a"}, "mode": "Replay", "replay": replay})));
        assert_eq!((found[0].path.as_str(), found[0].code.as_str()), ("spec.replay", "InvalidSpec"), "{replay}");
    }
}

#[test]
fn a_run_mounts_the_secrets_that_it_needs_and_no_others() {
    let key = |name: &str| json!({"secretKeyRef": {"name": name, "key": "k"}});
    let tls = json!({"ca": key("ca"), "clientCertificate": key("client"), "clientKey": {"secretKeyRef": {"name": "client", "key": "key"}}});
    let source = with(manifests::source(), json!({"postgres": {"password": key("password"), "tls": tls}}));
    let secrets = json!({"secrets": {"authToken": key("token"), "signingKey": key("signing")}});
    let destination = with(manifests::destination(), secrets);
    let of = |task: Task| {
        let plan = Plan {
            version: PLAN_VERSION,
            run: "run".into(),
            namespace: "shop".into(),
            token: String::new(),
            owner: String::new(),
            deadline_seconds: None,
            task,
        };
        let all = plan.secrets().into_iter().map(|secret| format!("{}/{}", secret.name, secret.key));
        all.collect::<Vec<_>>()
    };
    let of_source = ["ca/k", "client/k", "client/key", "password/k"];
    let run = between(&source, &destination, &json!({"mappingRef": {"name": "crm"}})).unwrap();
    assert_eq!(of(run), [&of_source[..], &["signing/k", "token/k"]].concat());
    let preview = between(&source, &destination, &json!({"modelRef": {"name": "m"}, "mode": "Preview"})).unwrap();
    assert_eq!(of(preview), of_source);
    let forget = json!({"mode": "Forget", "forget": {"sourceRef": {"name": "w"}, "stateKey": "a/b"}});
    assert_eq!(of(between(&source, &destination, &forget).unwrap()), of_source);
    assert_eq!(of(Task::CheckDestination(plan_destination(&destination).unwrap())), ["signing/k", "token/k"]);
    assert_eq!(of(Task::CheckSource(plan_source(&source).unwrap())), of_source);
}
