//! The Argo CD scripts, run as Argo CD runs them: Lua 5.1 with the libraries base, package and table, and of `os` only
//! `time` and `date`. A script that takes `string` or `math` fails here as it fails there.

use std::{
    fs,
    path::{Path, PathBuf},
};

use backflow_crds::{
    conditions::ConditionType,
    reasons::{Reason, Scope},
    v1alpha1::{MAPPING_NAME_MAX, RunMode, SYNC_NAME_MAX, Sync, Trigger},
};
use mlua::{Lua, LuaOptions, LuaSerdeExt, StdLib, Table};
use serde_json::{Value, json};

const KINDS: [&str; 5] = ["Source", "Model", "Destination", "Mapping", "Sync"];
/// It has a health rule and no actions.
const DEFINITION: &str = "DestinationDefinition";

/// The kinds that have a health rule.
fn all() -> impl Iterator<Item = &'static str> {
    KINDS.into_iter().chain([DEFINITION])
}

/// Those of them that are Ready or not.
fn lasting() -> impl Iterator<Item = &'static str> {
    all().filter(|kind| *kind != "Sync")
}

#[test]
fn what_the_controller_has_not_seen_is_progressing() {
    for kind in all() {
        let unseen = object(kind, json!({}), json!({"observedGeneration": -1}));
        health(kind, &unseen, "Progressing", "waiting for the controller");
        let edited =
            object(kind, json!({}), json!({"observedGeneration": 1, "conditions": [ready("True", "Succeeded")]}));
        health(kind, &edited, "Progressing", "waiting for the controller");
        let mut bare = unseen;
        bare.as_object_mut().unwrap().remove("status");
        health(kind, &bare, "Progressing", "waiting for the controller");
        let silent = object(kind, json!({}), json!({"observedGeneration": 2}));
        health(kind, &silent, "Progressing", "waiting for the controller");
    }
}

#[test]
fn what_is_being_deleted_is_progressing() {
    for kind in all() {
        let mut leaving = seen(kind, json!({}), json!([ready("True", "Succeeded")]));
        leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        health(kind, &leaving, "Progressing", "being deleted");
    }
}

#[test]
fn a_wrong_manifest_is_degraded() {
    for kind in all() {
        let stalled = condition("Stalled", "True", "InvalidSpec", "field id: no such column");
        let conditions = json!([stalled, ready("False", "InvalidSpec")]);
        health(kind, &seen(kind, json!({}), conditions), "Degraded", "InvalidSpec: field id: no such column");
    }
}

#[test]
fn readiness_is_read_as_kstatus_reads_it() {
    for kind in lasting() {
        let of = |conditions: Value| seen(kind, json!({}), conditions);
        health(kind, &of(json!([ready("True", "Succeeded")])), "Healthy", "Succeeded: a sentence");
        health(kind, &of(json!([ready("Unknown", "CheckInProgress")])), "Progressing", "waiting for the controller");
        let checking = condition("Reconciling", "True", "CheckInProgress", "");
        health(kind, &of(json!([checking, ready("False", "CheckInProgress")])), "Progressing", "CheckInProgress");
    }
}

#[test]
fn a_wrong_world_is_degraded_unless_another_resource_says_what_is_wrong() {
    for reason in Reason::ALL.iter().filter(|reason| reason.scope() == Scope::World) {
        let name = reason.as_str();
        let of_a_definition = [Reason::UnknownDestinationType, Reason::DefinitionNotReady].contains(reason);
        let waits = of_a_definition
            || KINDS[..4]
                .iter()
                .any(|kind| [format!("{kind}NotFound"), format!("{kind}NotReady")].contains(&name.into()));
        let expected = if waits { "Progressing" } else { "Degraded" };
        for kind in lasting() {
            health(
                kind,
                &seen(kind, json!({}), json!([ready("False", name)])),
                expected,
                &format!("{name}: a sentence"),
            );
        }
    }
}

#[test]
fn the_scripts_ask_for_conditions_that_there_are() {
    let known = ConditionType::ALL.map(ConditionType::as_str);
    for kind in all() {
        let discovery = (kind != DEFINITION).then(|| scripts(kind).join("actions/discovery.lua"));
        for script in [health_script(kind)].into_iter().chain(discovery) {
            let text = fs::read_to_string(&script).expect("a script");
            let asked =
                ["condition(\"", "holds(\""].iter().flat_map(|call| text.split(call).skip(1).collect::<Vec<_>>());
            for name in asked.filter_map(|rest| rest.split('"').next()) {
                assert!(known.contains(&name), "{}: there is no condition {name}", script.display());
            }
        }
    }
}

#[test]
fn suspended_is_healthy_so_that_sync_waves_go_on() {
    for kind in &KINDS[..4] {
        let suspended = seen(kind, json!({"suspend": true}), json!([ready("True", "Suspended")]));
        health(kind, &suspended, "Healthy", "Suspended: no new Sync starts");
    }
}

#[test]
fn data_that_fails_is_told_but_fails_no_deployment() {
    let ready = ready("True", "Succeeded");
    let failed = condition("LastSyncSucceeded", "False", "Unreachable", "the destination is down");
    let rejected = condition("Healthy", "False", "RowsRejected", "3 rows");
    let withheld = condition("DeletesWithheld", "True", "AboveLimit", "1200 deletions");
    for (conditions, message) in [
        (json!([ready, failed, rejected]), "Unreachable: the destination is down"),
        (json!([ready, rejected]), "RowsRejected: 3 rows"),
        (json!([ready, failed, withheld]), "AboveLimit: 1200 deletions"),
    ] {
        health("Mapping", &seen("Mapping", json!({}), conditions), "Healthy", message);
    }
}

#[test]
fn a_sync_is_healthy_only_when_it_has_succeeded() {
    let status = |phase: &str| json!({"observedGeneration": 2, "phase": phase, "reason": "SomeReason"});
    let sync = |phase: &str| object("Sync", json!({}), status(phase));
    for (phase, expected, message) in [
        ("Running", "Progressing", "Running"),
        ("Canceling", "Progressing", "Canceling"),
        ("Succeeded", "Healthy", "SomeReason"),
        ("PartiallySucceeded", "Degraded", "SomeReason"),
        ("Failed", "Degraded", "SomeReason"),
        ("Canceled", "Degraded", "SomeReason"),
    ] {
        health("Sync", &sync(phase), expected, message);
    }
    let mut queued = sync("Queued");
    health("Sync", &queued, "Progressing", "Queued");
    queued["status"]["queuedBehind"] = json!("Source shop (4 of 4)");
    health("Sync", &queued, "Progressing", "Queued behind Source shop (4 of 4)");
}

#[test]
fn the_end_of_a_sync_is_final_whatever_was_edited_after_it() {
    let mut ended = object("Sync", json!({"cancel": true}), json!({"observedGeneration": 1, "phase": "Succeeded"}));
    ended["metadata"]["generation"] = json!(7);
    health("Sync", &ended, "Healthy", "Succeeded");
    ended["status"]["conditions"] = json!([condition("Succeeded", "True", "Delivered", "10 records")]);
    health("Sync", &ended, "Healthy", "Delivered: 10 records");
}

#[test]
fn suspend_and_resume_are_offered_one_at_a_time_and_do_what_they_say() {
    for kind in &KINDS[..4] {
        let running = seen(kind, json!({"keep": {"me": [1, 2]}}), json!([]));
        let suspended = run(&action(kind, "suspend"), &running);
        assert_eq!(suspended["spec"], json!({"keep": {"me": [1, 2]}, "suspend": true}), "{kind}");
        let resumed = run(&action(kind, "resume"), &suspended);
        assert_eq!(resumed["spec"]["suspend"], false, "{kind}");
        assert!(offered(kind, &running, "suspend") && !offered(kind, &running, "resume"), "{kind}");
        assert!(!offered(kind, &suspended, "suspend") && offered(kind, &suspended, "resume"), "{kind}");
    }
}

#[test]
fn run_now_leaves_a_token_and_keeps_other_annotations() {
    let mut mapping = seen("Mapping", json!({"suspend": true}), json!([]));
    let token =
        |mapping: &Value| mapping["metadata"]["annotations"]["backflow.dev/requestedAt"].as_str().map(str::to_owned);
    let asked = run(&action("Mapping", "run-now"), &mapping);
    let moment: jiff::Timestamp = token(&asked).expect("a token").parse().expect("a timestamp");
    assert!(moment.as_second() > 1_700_000_000);
    mapping["metadata"]["annotations"] = json!({"team": "growth"});
    let asked = run(&action("Mapping", "run-now"), &mapping);
    assert!(token(&asked).is_some());
    assert_eq!(asked["metadata"]["annotations"]["team"], "growth");
    assert!(offered("Mapping", &mapping, "run-now"), "a suspended Mapping can be run by hand");
}

#[test]
fn a_full_sync_is_created_below_its_mapping() {
    let mut mapping = seen("Mapping", json!({}), json!([]));
    mapping["metadata"]["name"] = json!("m".repeat(MAPPING_NAME_MAX));
    let sync = created(&run(&action("Mapping", "full-sync"), &mapping));
    let spec = &sync.spec;
    assert_eq!((spec.mode, spec.trigger), (RunMode::Full, Trigger::Manual));
    assert_eq!(spec.mapping_ref.as_ref().map(|reference| reference.name.len()), Some(MAPPING_NAME_MAX));
    let name = sync.metadata.name.expect("a name");
    assert!(name.len() <= SYNC_NAME_MAX, "{name}");
    let stamp = name.rsplit_once('-').expect("a stamp").1;
    assert!(i64::from_str_radix(stamp, 16).expect("hexadecimal") > 1_700_000_000);
    assert_eq!(sync.metadata.namespace.as_deref(), Some("growth"));
    let owner = &sync.metadata.owner_references.expect("an owner")[0];
    assert_eq!((owner.kind.as_str(), owner.uid.as_str()), ("Mapping", "u-1"));
    assert_eq!(owner.block_owner_deletion, Some(false));
}

#[test]
fn deletes_are_approved_only_as_many_as_were_withheld() {
    let withheld = condition("DeletesWithheld", "True", "AboveLimit", "1200 deletions");
    let mut mapping = seen("Mapping", json!({}), json!([withheld]));
    assert!(!offered("Mapping", &mapping, "approve-deletes"), "nobody knows how many");
    mapping["status"]["lastSync"] = json!({"withheld": 1200});
    assert!(offered("Mapping", &mapping, "approve-deletes"));
    let sync = created(&run(&action("Mapping", "approve-deletes"), &mapping));
    assert_eq!((sync.spec.mode, sync.spec.approve_deletes), (RunMode::Incremental, Some(1200)));
    mapping["status"]["conditions"] = json!([]);
    assert!(!offered("Mapping", &mapping, "approve-deletes"), "nothing is withheld");
}

#[test]
fn a_sync_can_be_cancelled_once_and_before_it_ended() {
    let running = object("Sync", json!({"mode": "Full"}), json!({"phase": "Running"}));
    assert!(offered("Sync", &running, "cancel"));
    let canceled = run(&action("Sync", "cancel"), &running);
    assert_eq!(canceled["spec"], json!({"mode": "Full", "cancel": true}));
    assert!(!offered("Sync", &canceled, "cancel"));
    for phase in ["Succeeded", "PartiallySucceeded", "Failed", "Canceled"] {
        assert!(!offered("Sync", &object("Sync", json!({}), json!({"phase": phase})), "cancel"), "{phase}");
    }
}

#[test]
fn every_offered_action_has_a_script_and_every_script_is_offered() {
    for kind in KINDS {
        let found = discovered(kind, &seen(kind, json!({}), json!([])));
        let mut offered: Vec<_> = found.as_object().expect("actions").keys().cloned().collect();
        offered.sort();
        assert_eq!(offered, actions(kind), "{kind}");
    }
}

#[test]
fn the_config_map_holds_the_scripts() {
    let text = fs::read_to_string(folder().join("argocd-cm.yaml")).expect("argocd-cm.yaml");
    let map: Value = serde_saphyr::from_str(&text).expect("YAML");
    let data = map["data"].as_object().expect("data");
    assert_eq!(data.len(), 2 * KINDS.len() + 1);
    let same = |kind: &str, held: &Value, path: &Path| {
        let script = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(held.as_str(), Some(script.as_str()), "{kind}: argocd-cm.yaml differs from {}", path.display());
    };
    for kind in all() {
        same(kind, &data[&format!("resource.customizations.health.backflow.dev_{kind}")], &health_script(kind));
    }
    for kind in KINDS {
        let held = data[&format!("resource.customizations.actions.backflow.dev_{kind}")].as_str().expect("a text");
        let held: Value = serde_saphyr::from_str(held).expect("YAML");
        same(kind, &held["discovery.lua"], &scripts(kind).join("actions/discovery.lua"));
        let definitions = held["definitions"].as_array().expect("definitions");
        let names: Vec<_> = definitions.iter().map(|action| action["name"].as_str().expect("a name")).collect();
        assert_eq!(names, actions(kind), "{kind}");
        for definition in definitions {
            let name = definition["name"].as_str().expect("a name");
            same(kind, &definition["action.lua"], &action(kind, name));
        }
    }
}

fn health(kind: &str, object: &Value, status: &str, message: &str) {
    let result = run(&health_script(kind), object);
    assert_eq!(result, json!({"status": status, "message": message}), "{kind}: {object}");
}

fn discovered(kind: &str, object: &Value) -> Value {
    run(&scripts(kind).join("actions/discovery.lua"), object)
}

fn offered(kind: &str, object: &Value, name: &str) -> bool {
    let found = discovered(kind, object);
    let action = found.get(name).unwrap_or_else(|| panic!("{kind} has no action {name}"));
    assert!(action["displayName"].is_string() && action["iconClass"].is_string(), "{kind} {name}");
    action["disabled"] != true
}

/// The one resource that an action asks Argo CD to create.
fn created(result: &Value) -> Sync {
    let resources = result.as_array().expect("a list of operations");
    assert_eq!(resources.len(), 1);
    assert_eq!(resources[0]["operation"], "create");
    let sync = &resources[0]["resource"];
    assert_eq!((&sync["apiVersion"], &sync["kind"]), (&json!("backflow.dev/v1alpha1"), &json!("Sync")));
    serde_json::from_value(sync.clone()).unwrap_or_else(|error| panic!("{error}: {sync}"))
}

/// Runs a script with `obj`, as Argo CD's resource customizations do.
fn run(script: &Path, object: &Value) -> Value {
    let text = fs::read_to_string(script).unwrap_or_else(|error| panic!("{}: {error}", script.display()));
    let lua = Lua::new_with(StdLib::PACKAGE | StdLib::TABLE | StdLib::OS, LuaOptions::default()).expect("Lua");
    let result: mlua::Result<Value> = (|| {
        let os: Table = lua.globals().get("os")?;
        for function in ["execute", "exit", "getenv", "remove", "rename", "setlocale", "tmpname", "clock", "difftime"] {
            os.set(function, mlua::Nil)?;
        }
        lua.globals().set("obj", lua.to_value(object)?)?;
        lua.from_value(lua.load(text).eval()?)
    })();
    result.unwrap_or_else(|error| panic!("{}: {error}", script.display()))
}

fn object(kind: &str, spec: Value, status: Value) -> Value {
    json!({
        "apiVersion": "backflow.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": "customers", "namespace": "growth", "uid": "u-1", "generation": 2},
        "spec": spec,
        "status": status,
    })
}

fn seen(kind: &str, spec: Value, conditions: Value) -> Value {
    object(kind, spec, json!({"observedGeneration": 2, "conditions": conditions}))
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message})
}

fn ready(status: &str, reason: &str) -> Value {
    condition("Ready", status, reason, "a sentence")
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/argocd")
}

fn scripts(kind: &str) -> PathBuf {
    folder().join("resource_customizations/backflow.dev").join(kind)
}

fn health_script(kind: &str) -> PathBuf {
    scripts(kind).join("health.lua")
}

fn action(kind: &str, name: &str) -> PathBuf {
    scripts(kind).join("actions").join(name).join("action.lua")
}

/// The names of a kind's actions, sorted.
fn actions(kind: &str) -> Vec<String> {
    let entries = fs::read_dir(scripts(kind).join("actions")).expect("a folder of actions");
    let folders = entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_dir());
    let mut names: Vec<_> = folders.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
