mod unread;

use backflow_yaml::{Node, read};
use serde_json::{Value, json};

use super::{load, load_supplied};
use crate::{AuthMethod, Definition, Grant, Hosts, LoadError};

const SAMPLE: &str = include_str!("sample.yaml");

/// The problems of the sample with a part of it replaced.
fn problems(part: &str, instead: &str) -> Vec<String> {
    assert!(SAMPLE.contains(part), "the sample has {part}");
    match load(&SAMPLE.replacen(part, instead, 1)) {
        Ok(_) => Vec::new(),
        Err(error) => error.0.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn a_definition_with_one_of_everything_loads() {
    let sample = load(SAMPLE).unwrap_or_else(|error| panic!("{error}"));
    let contact = sample.action("upsertContact").expect("there is one");
    assert_eq!(contact.operations.len(), 2);
    assert_eq!(contact.operations[0].batch.max_record_bytes, 10_000);
    assert!(contact.operations[1].demands("match") && !contact.operations[1].demands("group"));
    let needs: Vec<&str> = sample.auth.choose[0].needs.iter().map(|need| need.name.as_str()).collect();
    assert_eq!(needs, ["refreshToken", "clientId", "clientSecret"]);
    assert_eq!(sample.concurrency(), 8);
}

#[test]
fn every_mistake_is_found_at_its_line_with_its_cure() {
    each_is_found(&[
        // What is unknown, missing or twice.
        (
            "version: 1",
            "version: 1\nversoin: 2",
            4,
            "versoin: there is no key \"versoin\" here (did you mean \"version\"?",
        ),
        ("title: Sample", "", 2, "title: is missing"),
        ("version: 1", "version: 1\nversion: 2", 4, "is there twice"),
        ("definition: sample", "definition: Sample", 2, "lower-case"),
        ("category: crm", "category: crn", 7, "did you mean \"crm\"?"),
        ("checked: 2026-03-01", "checked: yesterday", 10, "must be a day"),
        ("version: 1", "version: \"1\"", 3, "must be a whole number"),
        // Settings.
        ("type: string, enum: [us, eu]", "type: text, enum: [us, eu]", 14, "cannot be \"text\""),
        ("default: us", "default: usa", 14, "cannot be \"usa\""),
        (", description: Where the account is.", "", 14, "description is missing"),
        (
            "x-identity: true, description: Where",
            "x-idenity: true, description: Where",
            14,
            "did you mean \"x-identity\"?",
        ),
        (
            "refreshToken: {type: string, x-secret: true",
            "refreshToken: {type: integer, x-secret: true",
            17,
            "x-secret is for",
        ),
        ("enum: [us, eu], default: us", "default: us", 33, "give it an enum or a pattern"),
        ("enum: [us, eu]", "pattern: \"(\"", 14, "is no regular expression"),
        ("default: email", "default: email, format: emial", 68, "did you mean \"email\"?"),
        // Auth.
        ("\"${settings.accessToken}\"", "\"${settings.acessToken}\"", 31, "did you mean \"accessToken\"?"),
        ("type: bearer", "type: barer", 31, "did you mean \"bearer\"?"),
        ("id: token, desc", "id: oauth, desc", 31, "is there twice"),
        ("grant: refreshToken", "grant: password", 21, "username: is missing"),
        (
            "type: bearer, token: \"${settings.accessToken}\"",
            "type: sigv4, service: s3, accessKeyId: a, secretAccessKey: \"${settings.accessToken}\"",
            31,
            "region: is missing",
        ),
        (
            "type: bearer, token: \"${settings.accessToken}\"",
            "type: oauth1, consumerKey: k, consumerSecret: \"${settings.accessToken}\", token: t",
            31,
            "go together",
        ),
        (
            "type: bearer, token: \"${settings.accessToken}\"",
            "type: oauth1, consumerKey: k, consumerSecret: \"${settings.accessToken}\", algorithm: md5",
            31,
            "sha256",
        ),
        ("token: \"${settings.accessToken}\"", "token: x", 18, "no scheme of auth uses this secret"),
        (
            "refreshToken: \"${settings.refreshToken}\"",
            "refreshToken: \"${secrets.refreshToken}\"",
            29,
            "no variable \"secrets\"",
        ),
        // The connection.
        ("baseUrl: \"https://", "baseUrl: \"http://", 33, "https://"),
        ("hosts: {allow: [\"*.example.com\"]}", "hosts: {}", 34, "which hosts may be called"),
        ("[\"*.example.com\"]", "[\"*.com\"]", 34, "must be a host"),
        ("Accept: application/json", "Accept: \"${settings.accessToken}\"", 35, "is a secret"),
        ("Accept: application/json", "\"A b\": x", 35, "a header's name"),
        ("per: 10s", "per: 10", 38, "must be a duration"),
        ("{id: writes", "{id: burst", 39, "is there twice"),
        ("concurrency: {max: 8}", "concurrency: {max: 0}", 40, "from 1 to 256"),
        ("class: throttle", "class: throtle", 44, "did you mean \"throttle\"?"),
        ("when: \"status == 429\"", "when: \"${status == 429}\"", 44, "take the ${ } away"),
        ("when: \"status == 429\"", "when: \"stauts == 429\"", 44, "did you mean \"status\"?"),
        ("from: \"${body.lists}\"", "from: body.lists", 53, "must be one expression"),
        ("next: \"${body.?next}\", ", "", 56, "needs next"),
        ("x-choices: lists", "x-choices: list", 63, "there is no discovery \"list\""),
    ]);
}

#[test]
fn every_mistake_of_an_action_is_found_at_its_line_with_its_cure() {
    each_is_found(&[
        (
            "syncModes: [Insert, Upsert, Delete, Mirror]",
            "syncModes: [Insert, Update, Upsert]",
            78,
            "there is no operation for update",
        ),
        (
            "syncModes: [Insert, Upsert, Delete, Mirror]",
            "syncModes: [Insert, Upsert]",
            78,
            "nothing leads to the operation for delete",
        ),
        ("for: [delete]", "for: [delete, upsert]", 78, "there are 2 operations for upsert"),
        ("    idempotent: true\n    config", "    config", 59, "idempotent: is missing"),
        ("required: [id]\n", "required: [ident]\n", 71, "\"ident\" is not among properties"),
        ("x-normalize: [phone]", "x-normalize: [fone]", 74, "there is no way to normalize"),
        ("x-hash: sha256", "x-hash: sha3", 74, "cannot be \"sha3\""),
        ("maxRecords: 100,", "maxRecords: 0,", 76, "from 1 to 100000"),
        ("maxBytes: 1MB", "maxBytes: 1M", 76, "must be a size"),
        ("trace: \"${rec.key}\"", "trace: \"${rec.ref}\"", 87, "there is no rec.ref"),
        ("\"${f.?phone}\"", "\"${f.phone}\"", 87, "write f.?phone"),
        ("\"${f.?phone}\"", "\"${f.?fone}\"", 87, "there is no f.fone"),
        ("\"${cfg.key}\": ", "\"${f.id}\": ", 87, "f is not there"),
        ("contacts: $items, ", "", 84, "write $items where"),
        ("contacts: $items, ", "contacts: $items, more: $items, ", 84, "$items is there twice"),
        ("batch: \"${batch.id}\"", "batch: \"${f.id}\"", 88, "a request has many records"),
        ("${ensure.folder}", "${ensure.floder}", 85, "did you mean \"folder\"?"),
        ("path: \"/folders/${ensure", "path: \"folders/${ensure", 85, "begins with /"),
        ("path: /contacts/search", "path: /contacts?search", 97, "holds ?"),
        ("onMissing: succeed", "onMissing: ignore", 101, "cannot be \"ignore\""),
        ("onMissing: succeed", "onMissing: send", 102, "write rec.?remoteId"),
        ("mode: correlate", "mode: corelate", 90, "did you mean \"correlate\"?"),
        ("ref: \"${it.trace}\", code", "code", 92, "ref: is missing"),
        ("of: failed", "of: faild", 136, "did you mean \"failed\"?"),
        ("state: \"${body.state", "state: \"${bdy.state", 132, "did you mean \"body\"?"),
        ("item: {id: \"${f.id}\", name: \"${f.?name}\"}", "body: {a: 1}", 121, "nothing of the records is sent"),
        ("method: DELETE", "method: REMOVE", 102, "must be one of GET"),
        ("method: DELETE", "encoding: multipart, contentType: a/b, method: DELETE", 102, "names its boundary"),
    ]);
}

/// A part of the sample, what stands in its place, the line of the problem and words of it.
type Mistake<'a> = (&'a str, &'a str, usize, &'a str);

fn each_is_found(mistakes: &[Mistake<'_>]) {
    let mut wrong = Vec::new();
    for (part, instead, line, words) in mistakes {
        let found = problems(part, instead);
        let place = format!("line {line}, ");
        if !found.iter().any(|problem| problem.starts_with(&place) && problem.contains(words)) {
            wrong.push(format!("{instead}: not at line {line} with \"{words}\", but {found:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_signed_as_it_is_sent_is_not_compressed() {
    let signed = "type: sigv4, service: s3, region: r, accessKeyId: a, secretAccessKey: \"${settings.accessToken}\"";
    let signed = SAMPLE.replace("type: bearer, token: \"${settings.accessToken}\"", signed);
    assert!(load(&signed).is_ok());
    let compressed = signed.replace("  headers: {Accept", "  compress: gzip\n  headers: {Accept");
    let error = load(&compressed).expect_err("compressed").to_string();
    assert!(error.contains("line 35, ") && error.contains("remove compress"), "{error}");
}

#[test]
fn all_mistakes_are_found_at_once_in_the_order_of_the_file() {
    let text = SAMPLE
        .replace("category: crm", "category: x")
        .replace("per: 10s", "per: soon")
        .replace("mode: whole", "mode: hole");
    let found = load(&text).expect_err("three mistakes").0;
    let lines: Vec<usize> = found.iter().map(|problem| problem.line).collect();
    assert_eq!(lines.len(), 3, "{found:#?}");
    assert!(lines.is_sorted());
}

#[test]
fn files_that_hold_no_definition_are_told_so() {
    for (text, words) in [
        ("", "is empty"),
        ("a: [", "not YAML"),
        ("- a", "must be an object"),
        ("definition: a\n---\ndefinition: b\n", "one definition"),
        (&*format!("title: \"{}\"", "x".repeat(1 << 20)), "longer than"),
    ] {
        let error = load(text).expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    }
}

/// The smallest definition that there is, with these members in place of its own; null takes one out.
fn small(changes: Value) -> Value {
    let mut definition = json!({
        "definition": "small", "version": 1, "title": "Small", "description": "D.", "category": "generic", "verification": "fixture-verified",
        "settings": {"type": "object"},
        "auth": {"choose": [{"id": "none", "description": "Without.", "type": "none"}]},
        "http": {"baseUrl": "https://api.example.com", "hosts": {"allow": ["api.example.com"]}},
        "limits": {"concurrency": {"max": 2}},
        "actions": {"send": {
            "title": "Send", "description": "Sends records.", "syncModes": ["Upsert"], "idempotent": true,
            "fields": {"type": "object", "additionalProperties": true}, "batch": {"maxRecords": 1000},
            "operations": [{
                "for": ["upsert"], "request": {"method": "POST", "path": "/", "item": "${f}", "body": "$items"}, "results": {"mode": "whole"},
            }],
        }},
    });
    for (name, change) in changes.as_object().expect("members") {
        let members = definition.as_object_mut().expect("an object");
        _ = if change.is_null() { members.remove(name) } else { members.insert(name.clone(), change.clone()) };
    }
    definition
}

/// As `load` says what is wrong.
fn said(loaded: Result<Definition, LoadError>) -> Vec<String> {
    loaded.err().map(|error| error.0.iter().map(ToString::to_string).collect()).unwrap_or_default()
}

#[test]
fn a_native_destination_says_no_request() {
    let mut rows = small(json!({}))["actions"]["send"].clone();
    rows.as_object_mut().expect("an action").remove("operations");
    let native = json!({
        "native": "postgres", "http": null, "actions": {"rows": rows},
        "settings": {"type": "object", "properties": {"password": {"type": "string", "x-secret": true, "description": "P."}}},
        "auth": {"choose": [{"id": "password", "description": "P.", "type": "native", "uses": ["password"]}]},
    });
    let definition = load(&small(native.clone()).to_string()).unwrap_or_else(|error| panic!("{error}"));
    assert!(definition.http().is_none() && definition.concurrency() == 2);
    let mut both = native.clone();
    both["http"] = json!({});
    let found = said(load(&small(both).to_string()));
    assert!(found.iter().any(|problem| problem.contains("there is no key \"http\"")), "{found:?}");
    let mut sorted = native;
    sorted["actions"]["rows"]["batch"]["groupBy"] = json!(["${f.id}"]);
    let found = said(load(&small(sorted).to_string()));
    assert!(found.len() == 1 && found[0].contains("maxRecords and maxBytes alone"), "{found:?}");
}

fn supplied(changes: Value) -> Result<Definition, LoadError> {
    load_supplied("small", &Node::from(&small(changes)))
}

#[test]
fn what_is_for_the_catalogue_may_be_left_out_of_a_definition_of_ones_own() {
    let bare = json!({"definition": null, "title": null, "description": null, "category": null, "verification": null});
    let definition = supplied(bare.clone()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((definition.id.as_str(), definition.title.as_str()), ("small", "small"));
    assert_eq!(said(load(&small(bare).to_string())).len(), 5, "a file says everything about itself");
    assert_eq!(said(supplied(json!({}))), [""; 0]);
}

#[test]
fn a_definition_of_ones_own_has_its_name_and_no_code_and_a_size() {
    let found = said(supplied(json!({"definition": "other", "native": "postgres"})));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("must be metadata.name, which is \"small\""), "{found:?}");
    assert!(found[1].contains("there is no key \"native\""), "{found:?}");
    let found = said(supplied(json!({"description": "x".repeat(300_000)})));
    assert!(found[0].contains("make two of it"), "{found:?}");
}

#[test]
fn a_definition_of_ones_own_is_found_wrong_at_its_place_in_the_manifest() {
    let manifest = "kind: DestinationDefinition\nspec:\n  version: 0\n  settings: {type: object}\n  title: [x]\n";
    let document = read(manifest).documents.remove(0);
    let found = said(load_supplied("small", document.get("spec").expect("a spec")));
    assert!(found[0].starts_with("line 3, column 3: actions: is missing"), "{found:?}");
    assert!(found.iter().any(|problem| problem.starts_with("line 3, column 12: version: must be")), "{found:?}");
    assert!(found.iter().any(|problem| problem.starts_with("line 5, column 10: title: must be text")), "{found:?}");
}

#[test]
fn private_networks_are_for_who_writes_the_definition_to_allow() {
    let denies = |definition: &Definition| definition.http().expect("http").hosts.deny_private_networks();
    for (hosts, built_in, own) in [
        (json!({"allow": ["crm.internal.example"]}), true, true),
        (json!({"allow": ["crm.internal.example"], "denyPrivateNetworks": false}), false, false),
        (json!({"userDefined": true}), false, true),
        (json!({"userDefined": true, "denyPrivateNetworks": false}), false, false),
        (json!({"userDefined": true, "denyPrivateNetworks": true}), true, true),
    ] {
        let with = || json!({"http": {"baseUrl": "https://crm.internal.example", "hosts": hosts}});
        assert_eq!(denies(&load(&small(with()).to_string()).expect("it loads")), built_in, "{hosts}");
        assert_eq!(denies(&supplied(with()).expect("it loads")), own, "{hosts}");
    }
    assert!(matches!(supplied(json!({})).expect("it loads").http().expect("http").hosts, Hosts::Allow { .. }));
}

#[test]
fn consent_gives_one_setting_and_shows_no_secret() {
    let text =
        |consent: &str| SAMPLE.replacen("capture: {shard", &format!("consent: {consent}\n      capture: {{shard"), 1);
    let sample = load(&text("{url: \"https://a.example.com/authorize\", scope: a b, params: {prompt: consent}}"));
    let sample = sample.unwrap_or_else(|error| panic!("{error}"));
    let AuthMethod::OAuth2(oauth2) = &sample.auth.choose[0].method else { panic!("it is OAuth 2") };
    let Grant::RefreshToken { consent: Some(consent), .. } = &oauth2.grant else { panic!("it has a consent") };
    assert_eq!(consent.setting, "refreshToken");
    for (consent, words) in [
        ("{}", "url: is missing"),
        ("{url: \"http://a.example.com\"}", "must begin with https://"),
        ("{url: \"https://a.example.com\", scope: \"${settings.clientSecret}\"}", "is a secret"),
        ("{url: \"https://a.example.com\", scopes: a}", "did you mean \"scope\"?"),
    ] {
        let found = said(load(&text(consent)));
        assert!(
            found.len() == 1 && found[0].starts_with("line 30, ") && found[0].contains(words),
            "{consent}: {found:?}"
        );
    }
    let found = said(load(
        &text("{url: \"https://a.example.com\"}")
            .replace("\"${settings.refreshToken}\"", "\"x${settings.refreshToken}\""),
    ));
    assert!(found[0].contains("one setting alone"), "{found:?}");
}
