use std::collections::BTreeMap;

use serde_json::{Value, json};

use backflow_expressions::Json;

use crate::{Action, Definition, builtin, load};
use backflow_core::change::ChangeKind;
use backflow_core::plan::OnMappingChange;
use backflow_core::selection::{Selection, SyncMode};

fn webhook() -> &'static Definition {
    builtin("webhook").expect("built in")
}

fn settings(value: Value) -> BTreeMap<String, Value> {
    serde_json::from_value(value).expect("an object")
}

fn found(value: Value) -> Vec<(String, &'static str)> {
    webhook().check_settings(&settings(value)).into_iter().map(|finding| (finding.path, finding.code)).collect()
}

#[test]
fn good_settings_have_no_findings() {
    for url in [
        "https://example.com/hook",
        "http://receiver.shop.svc:8080",
        "http://10.0.0.7/a?b=c",
        "http://[fd00::1]:8080/",
        "https://bücher.example/",
    ] {
        assert_eq!(
            found(json!({"url": url, "method": "PUT", "headers": {"X-Team": "growth", "x-n": "a b\tc"}})),
            [],
            "{url}"
        );
    }
}

#[test]
fn each_wrong_setting_is_found_at_its_path() {
    assert_eq!(found(json!({})), [("settings.url".into(), "MissingSetting")]);
    for url in [
        json!(""),
        json!("example.com/hook"),
        json!("/hook"),
        json!("ftp://example.com"),
        json!("file:///etc/passwd"),
        json!("https://"),
        json!("https://user:pw@example.com/"),
        json!("https://example.com/#top"),
        json!("https://example.com/a b"),
        json!("https://example.com/\r\nX: y"),
        json!("http://example.com:99999/"),
        json!("http://example.com:0/"),
        json!(7),
    ] {
        let findings = found(json!({ "url": url }));
        assert!(
            !findings.is_empty() && findings.iter().all(|f| f == &("settings.url".into(), "InvalidSetting")),
            "{url}: {findings:?}"
        );
    }
    let url = "https://example.com";
    assert_eq!(found(json!({"url": url, "method": "GET"})), [("settings.method".into(), "InvalidSetting")]);
    assert_eq!(found(json!({"url": url, "headers": ["a"]})), [("settings.headers".into(), "InvalidSetting")]);
    assert_eq!(found(json!({"url": url, "authToken": "x"})), [("settings.authToken".into(), "SecretInSettings")]);
    let all = found(json!({"metod": "PUT", "method": 1, "headers": {"Host": "x", "a b": "y"}}));
    assert_eq!(all.len(), 5, "{all:?}");
}

#[test]
fn headers_cannot_be_injected_or_reserved() {
    for (name, value) in [
        ("X-A", json!("a\r\nX-B: c")),
        ("X-A", json!("a\nb")),
        ("X-A", json!("\0")),
        ("X-A", json!("é")),
        ("X-A", json!(5)),
        ("X-A", json!("a".repeat(5000))),
        ("X-A\r\nX-B", json!("c")),
        ("X A", json!("c")),
        ("", json!("c")),
        ("AUTHORIZATION", json!("Bearer x")),
        ("host", json!("x")),
        ("Content-Length", json!("1")),
        ("Transfer-Encoding", json!("chunked")),
        ("Idempotency-Key", json!("x")),
    ] {
        let findings = found(json!({"url": "https://example.com", "headers": {name: value}}));
        assert_eq!(findings.len(), 1, "{name:?}: {findings:?}");
        assert!(!findings[0].0.contains('\n'));
    }
}

#[test]
fn findings_suggest_and_never_repeat_a_url() {
    let findings = webhook().check_settings(&settings(json!({"ulr": "https://u:hunter2@example.com"})));
    assert!(findings.iter().any(|f| f.message.contains("did you mean \"url\"?")), "{findings:?}");
    let findings = webhook().check_settings(&settings(json!({"url": "https://u:hunter2@example.com/#hunter2"})));
    assert!(!format!("{findings:?}").contains("hunter2"));
}

#[test]
fn schemes_and_secrets_are_checked_together() {
    let webhook = webhook();
    assert_eq!(webhook.auth_scheme(None).map(|scheme| scheme.id.as_str()), Ok("bearer"));
    assert_eq!(webhook.auth_scheme(Some("barer")).unwrap_err().code, "UnknownAuth");
    assert_eq!(webhook.check_secrets(None, ["authToken", "signingKey"]), []);
    assert_eq!(webhook.check_secrets(Some("none"), ["signingKey"]), []);
    assert_eq!(webhook.check_secrets(Some("none"), ["authToken"])[0].code, "UnusedSecret");
    assert_eq!(webhook.check_secrets(None, ["token"])[0].code, "UnknownSecret");
}

#[test]
fn actions_say_what_they_can_do() {
    let webhook = webhook();
    let send = webhook.action("send").expect("there is one");
    assert_eq!(
        webhook.action("sned").unwrap_err().message,
        "webhook has no action \"sned\" (did you mean \"send\"? there are: send)"
    );
    assert_eq!(send.check_selection(&Selection::SyncMode(SyncMode::Mirror)), []);
    assert_eq!(send.check_config(&settings(json!({"list": 1})), &Json::Null)[0].path, "config.list");
    assert_eq!(send.on_mapping_change(), OnMappingChange::Resend);
    let events = events();
    let events = events.action("send").expect("there is one");
    assert_eq!(events.check_selection(&Selection::SyncMode(SyncMode::Upsert))[0].code, "UnsupportedSyncMode");
    let findings = events.check_selection(&Selection::Records(vec![ChangeKind::Added, ChangeKind::Deleted]));
    assert_eq!(findings.len(), 1);
    assert_eq!(events.on_mapping_change(), OnMappingChange::Keep);
}

#[test]
fn the_url_is_the_account() {
    let identity = webhook().identity(&settings(json!({"url": "https://example.com/a", "method": "PUT"})));
    assert_eq!(identity, BTreeMap::from([("url".to_owned(), "https://example.com/a".to_owned())]));
}

#[test]
fn an_action_names_the_fields_that_records_are_found_by() {
    let action = webhook().action("send").expect("there is one");
    let config = settings(json!({"matchBy": "email", "groupBy": "list"}));
    let nothing = |_: &str| false;
    assert_eq!(action.check_config(&config, &Json::Null), []);
    let found = (action.match_field(&config, &nothing), action.group_field(&config, &nothing));
    assert_eq!(found, (Some("email".into()), Some("list".into())));
    let named = |name: &str, field: &str| (name.to_owned(), field.to_owned());
    assert_eq!(action.identity(&config), BTreeMap::from([named("matchBy", "email"), named("groupBy", "list")]));
    let without = (action.match_field(&BTreeMap::new(), &nothing), action.identity(&BTreeMap::new()));
    assert_eq!(without, (None, BTreeMap::new()));
    for wrong in [json!({"matchBy": ""}), json!({"groupBy": ["a"]}), json!({"matchby": "email"})] {
        assert_eq!(action.check_config(&settings(wrong.clone()), &Json::Null).len(), 1, "{wrong}");
    }
}

/// The webhook's action with other modes, and with fields that have roles.
fn events() -> Definition {
    let webhook = include_str!("../builtin/webhook/definition.yaml");
    let changed = webhook
        .replace("syncModes: [Insert, Update, Upsert, Delete, Mirror]", "syncModes: []")
        .replace("records: [Added, Updated, Deleted]", "records: [Added]")
        .replace("idempotent: true", "idempotent: false")
        .replace("for: [insert, update, upsert, delete]", "for: [insert]")
        .replace("    matchBy: {config: matchBy}\n    groupBy: {config: groupBy}\n", "")
        .replace("          format: field\n", "")
        .replace(
            "fields: {type: object, additionalProperties: true}",
            "fields: {type: object, properties: {id: {type: string, x-role: matchKey}, user: {type: object, properties: \
             {email: {type: string, x-role: matchKey}}}}}",
        );
    load(&changed).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn of_the_fields_with_a_role_the_first_that_is_mapped_counts() {
    let events = events();
    let action: &Action = events.action("send").expect("there is one");
    let chosen = |mapped: &[&str]| action.match_field(&BTreeMap::new(), &|path| mapped.contains(&path));
    assert_eq!(chosen(&["user.email", "id"]).as_deref(), Some("id"));
    assert_eq!(chosen(&["user.email"]).as_deref(), Some("user.email"));
    assert_eq!(chosen(&["other"]), None);
    assert_eq!(action.group_field(&BTreeMap::new(), &|_| true), None);
}

#[test]
fn a_scheme_needs_the_settings_and_secrets_that_it_names() {
    let sample = load(include_str!("load/sample.yaml")).unwrap_or_else(|error| panic!("{error}"));
    let needs = |auth: Option<&str>, given: &[&str]| {
        let findings = sample.check_needs(auth, &|name| given.contains(&name));
        findings.into_iter().map(|finding| (finding.path, finding.code)).collect::<Vec<_>>()
    };
    let all = ["clientId", "clientSecret", "refreshToken"];
    assert_eq!(needs(None, &all), []);
    assert_eq!(needs(Some("token"), &all), [("secrets.accessToken".to_owned(), "MissingSecret")]);
    let none = needs(None, &[]);
    assert!(none.contains(&("settings.clientId".to_owned(), "MissingSetting")), "{none:?}");
    assert_eq!(none.len(), 3);
    assert_eq!(sample.check_secrets(Some("token"), ["refreshToken"])[0].code, "UnusedSecret");
    // The webhook's token and key are optional.
    assert_eq!(webhook().check_needs(None, &|_| false), []);
}

#[test]
fn hosts_are_compared_label_by_label() {
    let names = vec!["api.example.com".into(), "*.force.com".into()];
    let hosts = crate::Hosts::Allow { names, deny_private_networks: true };
    for host in ["api.example.com", "API.Example.com.", "na1.force.com", "a.b.force.com"] {
        assert!(hosts.allow(host), "{host}");
    }
    for host in
        ["example.com", "xapi.example.com", "force.com", ".force.com", "evilforce.com", "api.example.com.evil.org"]
    {
        assert!(!hosts.allow(host), "{host}");
    }
}

#[test]
fn words_of_destinations_become_codes() {
    for (word, code) in [
        ("VALIDATION_ERROR", Some("VALIDATION_ERROR")),
        ("invalid email!", Some("INVALID_EMAIL")),
        (" 4.1-x ", Some("4.1-X")),
        ("ada@example.com", Some("ADA_EXAMPLE.COM")),
        ("…", None),
        ("", None),
    ] {
        assert_eq!(crate::clean_code(word).as_deref(), code, "{word}");
    }
    assert_eq!(crate::clean_code(&"x".repeat(100)).map(|code| code.len()), Some(64));
}

#[test]
fn a_scheme_that_is_optional_does_nothing_without_its_secret() {
    let webhook = webhook();
    let given = |names: &[&str]| {
        let members = names.iter().map(|name| ((*name).to_owned(), backflow_expressions::Json::Text("x".into())));
        backflow_expressions::Json::Object(members.collect())
    };
    assert!(webhook.auth.choose[0].applies(&given(&["authToken"])) && !webhook.auth.choose[0].applies(&given(&[])));
    assert!(webhook.auth.choose[1].applies(&given(&[])) && !webhook.auth.always[0].applies(&given(&["authToken"])));
}

#[test]
fn the_webhooks_item_is_written_byte_for_byte_as_its_readme_says() {
    use backflow_core::change::Memory;
    use backflow_core::record::Record;
    use backflow_core::selection::Operation;

    use crate::{RecordScope, Scope};

    let action = webhook().action("send").expect("there is one");
    let request = &action.operation(Operation::Upsert).expect("there is one").request;
    let item = request.item.as_ref().expect("there is one").bind(&Scope::new()).expect("binds");
    let body = request.body.as_ref().expect("there is one").bind(&Scope::new()).expect("binds");
    let written = |memory: Memory, id: &str, op: Operation, data: &str| {
        let record = Record { id: id.into(), op, memory, data: data.into(), key: "k\"1".into() };
        let mut out = String::new();
        item.write(&Scope::new().with_record(RecordScope::new(&record)), &mut out).expect("has a value");
        out
    };
    assert_eq!(
        written(Memory::default(), "[42,\"x\"]", Operation::Upsert, "{\"b\":1.10,\"a\":null}"),
        r#"{"id":[42,"x"],"op":"upsert","key":"k\"1","data":{"b":1.10,"a":null}}"#
    );
    let found = Memory { match_key: Some("\"a@b.c\"".into()), group_key: Some("7".into()), remote_id: None };
    assert_eq!(
        written(found, "42", Operation::Delete, "{}"),
        r#"{"id":42,"op":"delete","key":"k\"1","match":"a@b.c","group":7,"data":{}}"#
    );
    assert_eq!(body.envelope(&Scope::new()).expect("has a value"), crate::Envelope::default());
}
