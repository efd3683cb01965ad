//! Everything that is wrong, at once, each where it stands.

use backflow_core::cell::Column;
use backflow_core::change::ChangeKind;
use backflow_core::plan::OnMappingChange;
use backflow_core::selection::{Selection, SyncMode};
use backflow_crds::reasons::Reason;
use serde_json::{Value, json};

use super::manifests::{self, named, plan_destination, plan_mapping, plan_model, plan_source, read, with};
use crate::{Finding, Parts, fit};

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(path, code)| ((*path).to_owned(), (*code).to_owned())).collect()
}

fn key(name: &str) -> Value {
    json!({"secretKeyRef": {"name": name, "key": "k"}})
}

#[test]
fn everything_wrong_with_a_source_is_said_at_once() {
    let wrong = json!({
        "postgres": {"port": 70_000, "tls": {"mode": "Disable", "ca": key("ca"), "clientKey": key("k")}},
        "state": {"schema": null, "store": {"s3": {"bucket": "a/b", "prefix": "x/../y", "endpoint": "https://u:p@h",
            "accessKeyId": key("id")}}},
        "diff": "Pushdown",
        "worker": {"caBundle": {}, "scratch": "lots", "env": [{"name": "A"}, {"name": "BACKFLOW_LOG"}, {"name": "SSL_CERT_DIR"}],
            "podLabels": {"backflow.dev/run": "x"}, "podAnnotations": {"app.kubernetes.io/name": "y", "big": "b".repeat(40_000)}},
    });
    let expected = [
        ("spec.worker.caBundle", "InvalidSpec"),
        ("spec.worker.env[1].name", "InvalidSpec"),
        ("spec.worker.env[2].name", "InvalidSpec"),
        ("spec.worker.podAnnotations", "InvalidSpec"),
        ("spec.worker.podLabels.backflow.dev/run", "InvalidSpec"),
        ("spec.worker.podAnnotations.app.kubernetes.io/name", "InvalidSpec"),
        ("spec.worker.scratch", "InvalidQuantity"),
        ("spec.state.store.s3", "InvalidSpec"),
        ("spec.state.store.s3.bucket", "InvalidSpec"),
        ("spec.state.store.s3.prefix", "InvalidSpec"),
        ("spec.state.store.s3.endpoint", "InvalidSpec"),
        ("spec.postgres.port", "InvalidSpec"),
        ("spec.postgres.tls", "InvalidSpec"),
        ("spec.postgres.tls.mode", "InvalidSpec"),
        ("spec.diff", "InvalidSpec"),
    ];
    assert_eq!(named(plan_source(&with(manifests::source(), wrong))), pairs(&expected));
    let file = json!({"sqlite": {"path": "shop.db"}, "diff": "Pushdown"});
    let local = crate::source("warehouse", &manifests::read(&file), &crate::Place::Local(".".into()));
    assert_eq!(named(local), pairs(&[("spec.diff", "InvalidSpec")]));
    assert_eq!(named(plan_source(&json!({}))), pairs(&[("spec", "InvalidSpec")]));
    let two = with(manifests::source(), json!({"sqlite": {"path": "a"}}));
    assert_eq!(named(plan_source(&two)), pairs(&[("spec", "InvalidSpec")]));
}

#[test]
fn everything_wrong_with_a_model_is_said_at_once() {
    let wrong = with(manifests::model(), json!({"sql": " ", "primaryKey": ["id", "email", "id"]}));
    assert_eq!(named(plan_model(&wrong)), pairs(&[("spec.sql", "InvalidSpec"), ("spec.primaryKey[2]", "InvalidSpec")]));
    let both = with(manifests::model(), json!({"table": "t", "primaryKey": []}));
    assert_eq!(named(plan_model(&both)), pairs(&[("spec", "InvalidSpec"), ("spec.primaryKey", "InvalidSpec")]));
}

#[test]
fn everything_wrong_with_a_destination_is_said_at_once() {
    let wrong = json!({"auth": "dance", "settings": {"url": "ftp://x", "authToken": "plain", "colour": 1},
        "secrets": {"password": key("p")}, "limits": {"requestsPerSecond": 3}, "maxConcurrentSyncs": 4});
    let expected = [
        ("spec.auth", "UnknownAuth"),
        ("spec.settings.authToken", "SecretInSettings"),
        ("spec.settings.colour", "UnknownSetting"),
        ("spec.settings.url", "InvalidSetting"),
        ("spec.secrets.password", "UnknownSecret"),
        ("spec.limits.requestsPerSecond", "InvalidSpec"),
    ];
    let mut found = named(plan_destination(&with(manifests::destination(), wrong)));
    let mut expected = pairs(&expected);
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    let found = plan_destination(&json!({"type": "web-hook", "settings": {}})).unwrap_err();
    assert_eq!((found[0].path.as_str(), found[0].code.as_str()), ("spec.type", "UnknownDestinationType"));
    assert!(found[0].message.contains("did you mean \"webhook\"?"), "{found:?}");
    assert_eq!(named(plan_destination(&json!({"type": "webhook"}))), pairs(&[("spec.settings.url", "MissingSetting")]));
}

#[test]
fn everything_wrong_with_a_mapping_is_said_at_once() {
    let wrong = json!({
        "action": "dance", "syncMode": "Mirror", "records": ["Added"],
        "fields": {
            "id": null,
            "a": {"template": "{{ a"}, "b": {"cel": "a", "default": null}, "c": {"object": {"d": {}, "e": {"cel": "1", "value": 1}}},
            "e": {"items": {"of": {}, "each": {"f": {"column": "f"}}}, "map": {"x": 1}, "default": 1},
            "g": {"value": "g", "map": {"x": 1}, "parse": "Json", "default": 1}, "h": {"column": "h", "value": 1}, "i": {},
            "j": {"object": {}, "onNull": "Omit"}, "k": {"items": {"of": {"column": "k"}, "each": {}}},
        },
        "retry": {"window": "soon"}, "runs": {"deadline": "1m"}, "worker": {"caBundle": {}, "scratch": "1Mi"},
    });
    let mut found = named(plan_mapping(&with(manifests::mapping(), wrong)));
    let mut expected = pairs(&[
        ("spec.action", "UnknownAction"),
        ("spec.records", "InvalidSpec"),
        ("spec.fields.a.template", "InvalidTemplate"),
        ("spec.fields.b.cel", "InvalidExpression"),
        ("spec.fields.b.default", "InvalidField"),
        ("spec.fields.c.object.d", "InvalidField"),
        ("spec.fields.c.object.e", "InvalidField"),
        ("spec.fields.e.default", "InvalidField"),
        ("spec.fields.e.items.of", "InvalidField"),
        ("spec.fields.e.map", "InvalidField"),
        ("spec.fields.g.default", "InvalidField"),
        ("spec.fields.g.map", "InvalidField"),
        ("spec.fields.g.parse", "InvalidField"),
        ("spec.fields.j.object", "InvalidField"),
        ("spec.fields.j.onNull", "InvalidField"),
        ("spec.fields.k.items.each", "InvalidField"),
        ("spec.fields.h", "InvalidField"),
        ("spec.fields.i", "InvalidField"),
        ("spec.retry.window", "InvalidQuantity"),
        ("spec.runs.deadline", "InvalidQuantity"),
        ("spec.worker.caBundle", "InvalidSpec"),
        ("spec.worker.scratch", "InvalidQuantity"),
    ]);
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(
        named(plan_mapping(&with(manifests::mapping(), json!({"syncMode": null})))),
        pairs(&[("spec.syncMode", "InvalidSpec")])
    );
}

#[test]
fn columns_are_checked_when_they_are_known() {
    let manifest = with(manifests::mapping(), json!({"fields": {"mail": {"column": "emial"}, "a..b": {"value": 1}}}));
    let (source, model) = (plan_source(&manifests::source()).unwrap(), plan_model(&manifests::model()).unwrap());
    let destination = plan_destination(&manifests::destination()).unwrap();
    let columns = ["id", "email"].map(|name| Column { name: name.into(), kind: "text".into() });
    let plan = |columns| {
        let definitions = crate::Definitions::default();
        let parts =
            Parts { source: &source, model: &model, destination: &destination, definitions: &definitions, columns };
        named(crate::mapping("shop", "crm", &read(&manifest), parts))
    };
    let mut found = plan(Some(&columns[..]));
    found.sort();
    assert_eq!(found, pairs(&[("spec.fields.a..b", "InvalidPath"), ("spec.fields.mail", "UnknownColumn")]));
    assert_eq!(plan(None), pairs(&[("spec.fields.a..b", "InvalidPath")]));
}

#[test]
fn every_code_is_a_documented_reason() {
    let mut all: Vec<Finding> = Vec::new();
    all.extend(
        plan_source(&with(manifests::source(), json!({"worker": {"caBundle": {}}, "postgres": {"port": 0}})))
            .unwrap_err(),
    );
    all.extend(plan_source(&json!({"sqlite": {"path": "a"}})).unwrap_err());
    all.extend(
        plan_destination(&with(
            manifests::destination(),
            json!({"auth": "a", "settings": {"a": 1, "authToken": "x"}, "secrets": {"b": key("b")}}),
        ))
        .unwrap_err(),
    );
    all.extend(plan_destination(&json!({"type": "x"})).unwrap_err());
    all.extend(
        plan_mapping(&with(
            manifests::mapping(),
            json!({"action": "x", "fields": {"a": {}, "b": {"cel": "("}, "c": {"template": "{{"}}, "worker": {"scratch": "x"}}),
        ))
        .unwrap_err(),
    );
    all.extend(
        crate::schedule(&read(&json!({"cron": {"expressions": ["x"], "timeZone": "Mars/Olympus"}}))).unwrap_err(),
    );
    all.extend(fit(vec![Finding::default(); 60]).into_iter().skip(50));
    for finding in all {
        assert!(finding.code.parse::<Reason>().is_ok(), "{finding:?}");
        assert!(finding.path.starts_with("spec"), "{finding:?}");
        assert!(!finding.message.is_empty() && finding.message.len() < 1024, "{finding:?}");
    }
}

#[test]
fn findings_fit_a_status_and_none_goes_uncounted() {
    let finding = |length: usize| Finding {
        path: "spec.fields.a".into(),
        code: "NotSupported".into(),
        message: "é".repeat(length / 2),
    };
    for (count, length) in [(1, 10), (50, 10), (51, 10), (500, 10), (40, 900), (512, 4_000), (1, 9_000)] {
        let fitted = fit(vec![finding(length); count]);
        let bytes = serde_json::to_vec(&fitted).unwrap().len();
        assert!(bytes <= 8 * 1024, "{count} of {length}: {bytes}");
        let last = fitted.last().unwrap();
        let named = fitted.iter().filter(|finding| finding.code == "NotSupported").count();
        if named < count {
            assert_eq!(
                (last.code.as_str(), last.message.as_str()),
                ("MoreFindings", format!("and {} more findings; mend these first", count - named).as_str())
            );
        }
        assert!(named >= 1);
    }
}

#[test]
fn a_plan_has_all_findings_however_many() {
    let fields: serde_json::Map<String, Value> = (0..512).map(|at| (format!("f{at}"), json!({"cel": "a"}))).collect();
    let found = plan_mapping(&with(manifests::mapping(), json!({"fields": fields}))).unwrap_err();
    assert_eq!(found.len(), 512);
}

#[test]
fn each_sync_mode_and_each_kind_of_record_is_planned_as_it_is_written() {
    let selection = |changes: Value| plan_mapping(&with(manifests::mapping(), changes)).unwrap().selection;
    for (name, mode) in [
        ("Insert", SyncMode::Insert),
        ("Update", SyncMode::Update),
        ("Upsert", SyncMode::Upsert),
        ("Delete", SyncMode::Delete),
        ("Mirror", SyncMode::Mirror),
    ] {
        assert_eq!(selection(json!({"syncMode": name})), Selection::SyncMode(mode));
    }
    let records = json!({"syncMode": null, "records": ["Deleted", "Added", "Updated"]});
    let all = vec![ChangeKind::Deleted, ChangeKind::Added, ChangeKind::Updated];
    assert_eq!(selection(records), Selection::Records(all));
}

#[test]
fn what_an_edit_does_is_the_actions_unless_it_is_said() {
    let on_change = |changes: Value| plan_mapping(&with(manifests::mapping(), changes)).unwrap().on_change;
    assert_eq!(on_change(json!({})), OnMappingChange::Resend);
    assert_eq!(on_change(json!({"onMappingChange": "Keep"})), OnMappingChange::Keep);
}

#[test]
fn schedules_are_read_with_all_their_findings() {
    let found = |schedule: Value| named(crate::schedule(&read(&schedule)));
    let wrong = json!({"cron": {"expressions": ["0 * * * *", "61 * * * *", "0 0 31 2 *"], "timeZone": "Mars/Olympus"}, "jitter": "2d"});
    let expected = [
        ("spec.schedule.cron.timeZone", "UnknownTimeZone"),
        ("spec.schedule.cron.expressions[1]", "InvalidSchedule"),
        ("spec.schedule.cron.expressions[2]", "InvalidSchedule"),
        ("spec.schedule.jitter", "InvalidSchedule"),
    ];
    assert_eq!(found(wrong), pairs(&expected));
    assert_eq!(found(json!({})), pairs(&[("spec.schedule", "InvalidSchedule")]));
    assert_eq!(found(json!({"interval": "10s"})), pairs(&[("spec.schedule.interval", "InvalidSchedule")]));
    let week =
        json!({"dayAndTime": {"days": ["Mon", "Wed"], "times": ["08:00", "17:00"], "timeZone": "Europe/Berlin"}});
    let week = crate::schedule(&read(&week)).unwrap().describe(std::time::Duration::ZERO);
    assert!(week.contains("08:00") && week.contains("Europe/Berlin"), "{week}");
    assert_eq!(
        crate::schedule(&read(&json!({"after": {"mappingRef": {"name": "up"}}}))).unwrap().follows(),
        Some("up")
    );
}

#[test]
fn limits_of_an_account_are_shared_by_its_syncs() {
    let limits = |changes: Value| plan_destination(&with(manifests::destination(), changes)).unwrap().limits;
    let all = json!({"limits": {"requestsPerSecond": 9, "concurrency": 4}});
    assert_eq!((limits(all.clone()).requests_per_second, limits(all.clone()).concurrency), (Some(9), Some(4)));
    let shared = limits(with(all, json!({"maxConcurrentSyncs": 4})));
    assert_eq!((shared.requests_per_second, shared.concurrency), (Some(2), Some(1)));
    // The definition's own limit is one of the account, too.
    assert_eq!(limits(json!({"maxConcurrentSyncs": 2})).concurrency, Some(2));
    assert_eq!(limits(json!({})).concurrency, None);
}
