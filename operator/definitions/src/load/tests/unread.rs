//! What nothing would read, or what would fail only when it is read, is found before.

use super::*;

#[test]
fn what_is_not_there_when_tokens_and_signatures_are_made_is_found() {
    let bearer = "type: bearer, token: \"${settings.accessToken}\"";
    let login = "type: tokenRequest, expiresIn: 1h, request: {method: POST, path: /login, body: {key: \"${settings.accessToken}\"}}, ";
    let status = format!("{login}token: \"${{status == 200 ? body.token : ''}}\"");
    let settings = format!("{login}token: \"${{body.token}}\", capture: {{where: \"${{settings.region}}\"}}");
    let hmac = |signs: &str, format: &str| {
        let key = "${settings.accessToken}";
        format!("type: hmac, key: \"{key}\", header: X-Sign, signs: [\"{signs}\"], format: \"{format}\"")
    };
    let signs = hmac("${settings.region}", "${signature.hex}");
    let format = hmac("a", "${settings.region}${signature.hex}");
    let (part, hex) = (hmac("${request.bod}", "${signature.hex}"), hmac("a", "${signature.hexx}"));
    each_is_found(&[
        ("\"${token.shard}\"", "\"${token.shard + settings.region}\"", 30, "settings is not there"),
        (bearer, &status, 31, "status is not there"),
        (bearer, &settings, 31, "settings is not there"),
        (bearer, &signs, 31, "settings is not there"),
        (bearer, &format, 31, "settings is not there"),
        (bearer, &part, 31, "did you mean \"body\"?"),
        (bearer, &hex, 31, "did you mean \"hex\"?"),
    ]);
}

#[test]
fn what_a_scheme_would_not_use_is_found() {
    let bearer = "type: bearer, token: \"${settings.accessToken}\"";
    let client = "clientAuth: body\n      tokenUrl: https://api.example.com/token\n      clientId: \"${settings.clientId}\"\n      \
         clientSecret: \"${settings.clientSecret}\"\n";
    let always = "  always:\n    - {type: tokenRequest, request: {method: POST, path: /t}, token: \"${body.t}\", expiresIn: 1h}\nhttp:\n";
    each_is_found(&[
        (bearer, "type: none, optional: true", 31, "this scheme needs none"),
        ("grant: refreshToken", "grant: clientCredentials\n      rotates: true", 21, "goes with grant: refreshToken"),
        ("clientAuth: body", "clientAuth: none", 21, "sends no clientSecret"),
        (client, "clientAuth: basic\n      tokenUrl: https://api.example.com/token\n", 21, "needs a clientSecret"),
        ("http:\n", always, 20, "requests go with one token"),
        ("      capture:", "      headers: {\"A b\": c}\n      capture:", 30, "a header's name"),
    ]);
}

#[test]
fn what_a_connection_would_not_use_is_found() {
    let cursor = "type: cursor, next: \"${body.?next}\"";
    each_is_found(&[
        ("Accept: application/json", "Content-Type: application/json", 35, "contentType of the request"),
        ("Accept: application/json", "Accept: \"${cfg.list}\"", 35, "cfg is not there"),
        ("Accept: application/json", "Host: example.com", 35, "by the delivery itself"),
        ("match: {method: POST,", "match: {method: post,", 39, "must be one of GET"),
        ("{method: POST, path: \"/contacts*\"}", "{method: PUT, path: \"/contacts*\"}", 39, "nothing counts"),
        ("\"${batch.size}\"", "\"${batch.sise}\"", 39, "did you mean \"size\"?"),
        ("{remaining: X-Remaining}", "{remaining: X-Remaining, limit: X-Limit}", 41, "there is no key \"limit\""),
        ("retryAfterBody: \"${body.?retry_after}\"", "retry: {base: 10m}", 42, "base is more than max"),
        ("when: \"status == 429\"", "when: \"true\"", 45, "no answer comes here"),
        ("when: \"status == 429\"", "when: \"status >= 400\"", 45, "no answer comes here"),
        ("class: throttle, wait: 10s", "class: throttle, code: SLOW", 44, "for class: reject"),
        ("class: reject, code", "class: reject, wait: 10s, code", 45, "wait is for"),
        ("\"${body.?code}\"}", "\"${body.?code}\", reason: \"${body}\"}", 45, "there is no key \"reason\""),
        ("{method: GET, path: /me}", "{method: GET, path: /me, encoding: form}", 47, "there is none"),
        ("{method: GET, path: /me}", "{method: POST, path: /me, encoding: form, body: a}", 47, "is an object"),
        ("expect: \"has(body.id)\"", "errors: [{when: \"has(cfg.key)\", class: ok}]", 48, "cfg is not there"),
        ("next: \"${body.?next}\"", "next: \"${batch.size}\"", 56, "batch is not there"),
        ("param: after", "param: after, pageSize: 9", 56, "go together"),
        (cursor, "type: linkHeader", 56, "remove param"),
        ("type: cursor", "type: page, pageSize: 9", 56, "next is for type: cursor"),
    ]);
}

#[test]
fn what_an_action_would_not_use_is_found() {
    let batch = "    batch: {maxRecords: 100";
    let matched = format!("    matchBy: {{config: key}}\n{batch}");
    let failed = "code: \"${it.code}\"}]\n      - for";
    let by_index = "{mode: byIndex, from: \"${body}\", ok: \"${true}\", unaccounted: \"${'retry'}\"}";
    each_is_found(&[
        (batch, &matched, 59, "so that x-role does not"),
        ("default: email, desc", "format: field, desc", 59, "is for what matchBy or groupBy names"),
        ("maxRecordBytes: 10KB", "maxRecordBytes: 2MB", 76, "no request could take it"),
        ("batch: {maxRecords: 100,", "batch: {maxRecords: 1,", 76, "is for batches of several records"),
        ("- id: folder\n", "- id: folder\n            cache: 25h\n", 81, "say 24h or less"),
        ("from: \"${body.?id}\"", "from: \"${items[0]}\"", 81, "items is not there"),
        (failed, "code: \"${it.code}\", class: retry}]\n      - for", 92, "for class: reject"),
        ("for: [delete]", "for: []", 93, "names no operation"),
        ("for: [delete]\n", "for: [delete]\n        batch: {maxRecords: 101}\n", 94, "raise it there"),
        ("/contacts/search\n", "/contacts/search\n            headers: {content-type: a/b}\n", 98, "contentType"),
        ("dedupe: {key: \"${f.id}\", keep: last}", "mixedOps: true", 78, "put their names into its for"),
        ("item: \"${rec.remoteId}\"", "item: \"${rec.found.remotId}\"", 102, "did you mean \"remoteId\"?"),
        ("phone: \"${f.?phone}\"", "phone: \"${rec.?found.phone}\"", 87, "rec.found.phone"),
        ("every: 5s", "every: 2h", 130, "is more than max"),
        ("store: {remoteId: \"${it.id}\"}", "store: {id: \"${it.id}\"}", 102, "write rec.?remoteId"),
        ("onMissing: succeed\n", "onMissing: succeed\n          maxRecords: 101\n", 102, "from 1 to 100"),
        ("{mode: whole}", "{mode: whole, unaccounted: retry}", 103, "none is unaccounted"),
        ("{mode: whole}", "{mode: accepted, unaccounted: retry}", 103, "none is unaccounted"),
        ("{mode: whole}", "{mode: counts, failed: \"${0}\", unaccounted: retry}", 103, "none is unaccounted"),
        ("{mode: whole}", by_index, 103, "none is unaccounted"),
        ("csv: {\"null\": \"#N/A\"}", "csv: {\"null\": 0}", 126, "must be text"),
        ("\"/jobs/${job.id}\", body", "\"/jobs/${job.idd}\", body", 127, "did you mean \"id\"?"),
        ("results: [{id", "results: [{id: all, request: {method: GET, path: /all}}, {id", 121, "job.results \"all\""),
        ("decode: csv}]", "decode: csv}, {id: failed, request: {method: GET, path: /all}}]", 133, "is there twice"),
    ]);
}

#[test]
fn what_is_not_found_cannot_be_left_to_the_operation_that_did_not_find_it() {
    let mut itself = small(json!({}));
    itself["actions"]["send"]["operations"][0]["for"] = json!(["insert", "upsert"]);
    itself["actions"]["send"]["operations"][0]["lookup"] = json!({
        "request": {"method": "GET", "path": "/", "query": {"ids": "${items}"}, "item": "${rec.id}"},
        "match": {"from": "${body}", "key": "${it.key}", "equals": "${rec.id}", "store": {"remoteId": "${it.id}"}},
        "onMissing": "insert",
    });
    let found = said(load(&itself.to_string()));
    assert!(found.len() == 1 && found[0].contains("say onMissing: send"), "{found:?}");
}

#[test]
fn batches_of_one_record_are_not_halved() {
    let mut alone = small(json!({}));
    alone["actions"]["send"]["batch"]["maxRecords"] = json!(1);
    alone["actions"]["send"]["operations"][0]["results"]["bisectOnReject"] = json!(false);
    let found = said(load(&alone.to_string()));
    assert!(found.len() == 1 && found[0].contains("here there are none"), "{found:?}");
}

#[test]
fn a_credential_in_a_body_has_an_object_around_it() {
    let found = |pointer: &str, body: Value| {
        let mut itself = small(json!({}));
        itself["settings"]["properties"]["key"] = json!({"type": "string", "x-secret": true, "description": "A key."});
        itself["auth"] = json!({"choose": [
            {"id": "key", "description": "A key.", "type": "body", "pointer": pointer, "value": "${settings.key}"}
        ]});
        itself["actions"]["send"]["operations"][0]["request"]["body"] = body;
        match load(&itself.to_string()) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    };
    assert_eq!(found("/key", json!({"records": "$items"})), "");
    assert_eq!(found("/auth/key", json!({"records": "$items", "auth": {}})), "");
    assert_eq!(found("/auth/key", json!({"records": "$items", "...": "${settings}"})), "");
    assert!(found("/auth/key", json!({"records": "$items"})).contains("at /auth there is no object"));
    assert!(found("/auth/key", json!({"records": "$items", "auth": "none"})).contains("at /auth there is no object"));
    assert!(found("/records/key", json!({"records": "$items"})).contains("at /records there is no object"));
    assert!(found("/key", json!("$items")).contains("body must be one"));
}

#[test]
fn what_only_follows_from_a_mistake_is_not_told() {
    let texts = ", description: Of your own app.}\n    clientSecret";
    for (part, instead, words) in [
        ("grant: refreshToken", "grant: authorizationCode", "cannot be \"authorizationCode\""),
        ("rec.match}\", store", "rec.mtch}\", store", "did you mean \"match\"?"),
        ("${token.shard}\"}", "${tokn.shard}\"}", "there is no variable \"tokn\""),
        (texts, ", description: Of your app, if any.}\n    clientSecret", "put quotes around a text with a comma"),
    ] {
        assert!(SAMPLE.contains(part), "the sample has {part}");
        let shard = SAMPLE.replace("Accept: application/json", "X-Shard: \"${auth.shard}\"");
        let found = said(load(&shard.replacen(part, instead, 1)));
        assert!(found.len() == 1 && found[0].contains(words), "{found:#?}");
    }
}

#[test]
fn what_mixes_operations_has_several() {
    let mut alone = small(json!({}));
    alone["actions"]["send"]["batch"]["mixedOps"] = json!(true);
    let found = said(load(&alone.to_string()));
    assert!(found.len() == 1 && found[0].contains("and there is one"), "{found:?}");
}

#[test]
fn what_is_not_read_of_settings_and_config_is_found() {
    let key = "key: {type: string, default: email,";
    let list = "list: {type: string, x-choices: lists, x-identity: true,";
    each_is_found(&[
        (key, "key: {type: string, minimum: 1, default: email,", 68, "is for type: number or integer"),
        (key, "key: {type: integer, format: email,", 68, "is for type: string"),
        (key, "key: {type: number, multipleOf: 0,", 68, "multipleOf must be more than 0"),
        (key, "key: {type: string, enum: [],", 68, "has no value"),
        (key, "key: {type: string, enum: [email], const: email,", 68, "remove one of them"),
        (key, "key: {type: string, enum: [email, yes],", 68, "put quotes around"),
        (key, "key: {type: string, anyOf: [],", 68, "is empty"),
        (key, "key: {type: object, properties: {a: {type: string, default: b}},", 68, "and nowhere else"),
        (key, "key: {type: string, anyOf: [{type: string, title: Key}],", 68, "for a group of anyOf or oneOf"),
        ("settings:\n  type: object\n", "settings:\n  type: object\n  required: [accessToken]\n", 12, "is a secret"),
        (list, "list: {type: array, items: {type: string, x-choices: lists},", 67, "stands beside items"),
        (list, "list: {type: object, properties: {a: {type: string, x-identity: true}},", 67, "directly in properties"),
        (list, "list: {type: array, items: {type: string, format: field},", 67, "directly in properties of config"),
    ]);
}

#[test]
fn what_is_not_read_of_fields_is_found() {
    let all = "required: [id]\n      properties:\n        id: {type: string, x-role";
    let together = |line: &str| all.replacen("properties:", &format!("{line}\n      properties:"), 1);
    let (bounds, unknown) = (together("minProperties: 1"), together("anyOf: [{required: [fone]}]"));
    let (more, policy) = (together("oneOf: [{required: [phone], title: Phone}]"), together("x-onNull: omit"));
    let properties = "properties: {type: object, additionalProperties: true, x-onNull: send}";
    let others = "properties: {type: object, additionalProperties: {type: string, x-role: groupKey}}";
    each_is_found(&[
        (all, &bounds, 72, "use required or anyOf"),
        (all, &unknown, 72, "did you mean \"phone\"?"),
        (all, &more, 72, "a group says required alone"),
        (all, &policy, 70, "there are none"),
        (properties, others, 75, "by a path"),
        (properties, "properties: {type: array, items: {type: string, x-onNull: send}}", 75, "null is no item"),
        (properties, "properties: {type: object, additionalProperties: true, x-coerce: true}", 75, "and there is none"),
        (properties, "properties: {type: boolean, x-normalize: [trim]}", 75, "is for type: string or number"),
        ("{name: {type: string,", "{name: {type: string, x-requiredWhen: \"has(f.id)\",", 118, "by a path"),
        ("event: {type: string,", "event: {type: string, x-requiredWhen: \"has(f.nmae)\",", 111, "no field nmae"),
    ]);
}
