//! Everything that definitions can say of authentication, bodies and answers is said by one of them, built in or an example, and has a
//! test that fails when it breaks. A new kind without either fails here, or does not compile.

use std::collections::BTreeSet;

use backflow_definitions::{
    AuthKind, AuthScheme, Encoding, Operation as DefinedOperation, Request, ResultsKind, builtin, builtin_ids,
};

use super::*;

const EXAMPLES: [&str; 5] = [
    include_str!("examples/sigv4.yaml"),
    include_str!("examples/oauth1.yaml"),
    include_str!("examples/multipart.yaml"),
    include_str!("examples/token-request.yaml"),
    include_str!("examples/text.yaml"),
];

/// The test that fails when a kind of results breaks.
fn of_results(kind: ResultsKind) -> fn() {
    match kind {
        ResultsKind::Whole => faults::a_lost_answer_is_asked_for_again_with_the_same_keys,
        ResultsKind::Accepted => results::accepted_is_taken_whatever_the_body_says,
        ResultsKind::ByIndex => results::by_index_each_entry_is_its_record,
        ResultsKind::ErrorsByIndex => results::errors_by_index_name_the_failed,
        ResultsKind::IndexMaps => results::index_maps_name_fields_and_positions,
        ResultsKind::Correlate => results::correlated_entries_come_in_any_order_and_silence_is_no_success,
        ResultsKind::FailedKeys => results::failed_keys_are_found_among_the_records,
        ResultsKind::Counts => results::totals_are_halved_until_the_failed_are_alone,
    }
}

/// The test that fails when a way to authenticate breaks.
fn of_auth(kind: AuthKind) -> fn() {
    match kind {
        AuthKind::None | AuthKind::Bearer | AuthKind::Basic | AuthKind::Header | AuthKind::Query | AuthKind::Body => {
            auth::credentials_go_where_the_scheme_says
        }
        AuthKind::BaseUrl => auth::a_url_that_is_the_credential_is_where_requests_go,
        AuthKind::OAuth2 => auth::tokens_are_fetched_placed_and_captured_from,
        AuthKind::TokenRequest => a_session_is_begun_once_and_its_token_goes_with_each_request,
        AuthKind::Hmac => auth::sha1_signatures_are_what_openssl_makes,
        AuthKind::SigV4 => requests_are_signed_as_aws_wants_them,
        AuthKind::OAuth1 => requests_are_signed_as_oauth_1_wants_them,
        AuthKind::Native => what_is_native_goes_with_no_http,
    }
}

/// The test that fails when an encoding breaks.
fn of_encoding(encoding: Encoding) -> fn() {
    match encoding {
        Encoding::Json => requests::a_batch_is_one_document_with_headers_query_and_path,
        Encoding::Ndjson | Encoding::Form | Encoding::Csv => requests::bodies_are_lines_forms_tables_and_texts,
        Encoding::Text => a_text_is_one_template,
        Encoding::Multipart => files_go_in_parts_with_what_is_said_of_them,
    }
}

fn example(at: usize) -> &'static Definition {
    match load(EXAMPLES[at]) {
        Ok(definition) => Box::leak(Box::new(definition)),
        Err(error) => panic!("{error}"),
    }
}

fn all() -> Vec<&'static Definition> {
    let built_in = builtin_ids().filter_map(builtin);
    built_in.chain((0..EXAMPLES.len()).map(example)).collect()
}

fn operations(all: &[&'static Definition]) -> Vec<&'static DefinedOperation> {
    all.iter().flat_map(|definition| &definition.actions).flat_map(|(_, action)| &action.operations).collect()
}

fn of_operation(operation: &'static DefinedOperation) -> Vec<&'static Request> {
    let job = operation.job.iter().flat_map(|job| job.upload.iter().chain(&job.start));
    std::iter::once(&operation.request).chain(job).collect()
}

#[test]
fn every_kind_has_a_definition_that_uses_it_and_a_test_that_breaks_with_it() {
    let all = all();
    let operations = operations(&all);
    // By their debug forms: kinds have no order.
    let used: BTreeSet<String> =
        operations.iter().map(|operation| format!("{:?}", operation.results.mode.kind())).collect();
    for (name, kind) in ResultsKind::NAMES {
        let _: fn() = of_results(kind);
        assert!(used.contains(&format!("{kind:?}")), "no definition has results of mode {name}: add an example");
    }
    let schemes: Vec<&AuthScheme> =
        all.iter().flat_map(|definition| definition.auth.choose.iter().chain(&definition.auth.always)).collect();
    let used: BTreeSet<String> = schemes.iter().map(|scheme| format!("{:?}", scheme.method.kind())).collect();
    for (name, kind) in AuthKind::NAMES {
        let _: fn() = of_auth(kind);
        // Whose code delivers by itself, its definition is beside that code.
        let exempt = kind == AuthKind::Native;
        assert!(exempt || used.contains(&format!("{kind:?}")), "no definition has auth of type {name}: add an example");
    }
    let requests: Vec<&Request> = operations.iter().flat_map(|operation| of_operation(operation)).collect();
    for (name, encoding) in Encoding::NAMES {
        let _: fn() = of_encoding(encoding);
        let used = requests.iter().any(|request| request.encoding == encoding);
        assert!(used, "no definition has encoding: {name}: add an example");
    }
}

/// Delivers by an example.
async fn delivered(
    at: usize,
    server: &Server,
    settings: &[(&str, Value)],
    secrets: &'static [(&'static str, &'static str)],
    records: &[Record],
) -> Delivery {
    let definition = example(at);
    let mut plan = destination(definition, &server.url, secrets);
    plan.settings.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    let action = definition.actions.keys().next().expect("an action").clone();
    let mapping = MappingPlan { action, ..mapping() };
    let sink = open_with(definition, &plan, &mapping, &Fixed(secrets), None, watch::channel(None).1).expect("opens");
    let delivery = sink.deliver(records).await;
    assert!(!format!("{:?} {:?}", delivery.outcomes, delivery.stop).contains("canary"));
    delivery
}

#[tokio::test]
async fn requests_are_signed_as_aws_wants_them() {
    let server = Server::start(|_, request| {
        let entry = |at: usize| if at == 1 { json!({"ErrorCode": "Throttled"}) } else { json!({"EventId": "e"}) };
        let entries = request.json()["Entries"].as_array().map_or(0, Vec::len);
        Answer::json(200, &json!({"Entries": (0..entries).map(entry).collect::<Vec<_>>()}))
    })
    .await;
    let settings = [("region", json!("eu-central-1")), ("bus", json!("default"))];
    const KEYS: &[(&str, &str)] =
        &[("accessKeyId", "AKIDEXAMPLE"), ("secretAccessKey", "s3cret-canary"), ("sessionToken", "t0ken-canary")];
    for (secrets, signed) in [
        (KEYS, "content-type;host;x-amz-date;x-amz-security-token;x-amz-target"),
        (&KEYS[..2], "content-type;host;x-amz-date;x-amz-target"),
    ] {
        let inserts: Vec<Record> = (0..3).map(|n| record(n, Operation::Insert, &json!({"n": n}))).collect();
        let delivery = delivered(0, &server, &settings, secrets, &inserts).await;
        assert_eq!(marks(&delivery), "+ !THROTTLED +", "{:?}", delivery.stop);
        let request = server.received().pop().expect("a request");
        let header = request.header("authorization").expect("a signature").to_owned();
        let date = request.header("x-amz-date").expect("a date").to_owned();
        let scope = format!("AKIDEXAMPLE/{}/eu-central-1/events/aws4_request", &date[..8]);
        let begin = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={signed}, Signature=");
        assert!(header.starts_with(&begin), "{header}");
        assert_eq!(request.header("x-amz-security-token").is_some(), secrets.len() == 3);
        // What the service would compute of what arrived.
        let names: Vec<String> = signed.split(';').map(str::to_owned).collect();
        let value = |name: &String| request.header(name).unwrap_or_default().to_owned();
        let own = |name: &&String| !["host", "x-amz-date", "x-amz-security-token"].contains(&name.as_str());
        let headers: Vec<(String, String)> = names.iter().filter(own).map(|name| (name.clone(), value(name))).collect();
        let scheme = backflow_core::sigv4::SigV4 {
            service: "events".into(),
            region: "eu-central-1".into(),
            access_key_id: "AKIDEXAMPLE".into(),
            secret_access_key: SecretString::from("s3cret-canary"),
            session_token: request.header("x-amz-security-token").map(SecretString::from),
        };
        let (host, body) = (request.header("host").expect("a host").to_owned(), request.body.clone());
        let signable = backflow_core::sigv4::Signable {
            method: "POST",
            host: &host,
            path: "/",
            query: &[],
            headers: &headers,
            body: &body,
        };
        let at = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", &date).expect("a date");
        let at = at.to_zoned(jiff::tz::TimeZone::UTC).expect("UTC").timestamp();
        let expected = scheme.sign(&signable, at);
        assert_eq!(secrecy::ExposeSecret::expose_secret(&expected.authorization), header);
    }
}

#[tokio::test]
async fn requests_are_signed_as_oauth_1_wants_them() {
    let server = always(Answer::status(204)).await;
    const SECRETS: &[(&str, &str)] =
        &[("consumerKey", "ck"), ("consumerSecret", "cs-canary"), ("tokenId", "tk"), ("tokenSecret", "ts-canary")];
    let settings = [("account", json!("1234567_SB1"))];
    let records = [record(0, Operation::Upsert, &json!({"externalId": "a b", "email": "u"}))];
    assert_eq!(marks(&delivered(1, &server, &settings, SECRETS, &records).await), "+");
    let request = server.received().pop().expect("a request");
    assert_eq!((request.method.as_str(), request.target.as_str()), ("PUT", "/record/v1/customer/eid:a%20b"));
    let header = request.header("authorization").expect("a signature");
    let pairs: BTreeMap<&str, String> = header
        .strip_prefix("OAuth ")
        .expect("its scheme")
        .split(", ")
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name, value.trim_matches('"').to_owned()))
        .collect();
    assert_eq!((pairs["realm"].as_str(), pairs["oauth_signature_method"].as_str()), ("1234567_SB1", "HMAC-SHA256"));
    // RFC 5849, 3.4, over what arrived.
    let parameters = format!(
        "oauth_consumer_key=ck&oauth_nonce={}&oauth_signature_method=HMAC-SHA256&oauth_timestamp={}&oauth_token=tk&oauth_version=1.0",
        pairs["oauth_nonce"], pairs["oauth_timestamp"]
    );
    let encoded = |text: &str| backflow_core::sigv4::encoded(text, false);
    let address = format!("{}{}", server.url, request.target);
    let base = format!("PUT&{}&{}", encoded(&address), encoded(&parameters));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"cs-canary&ts-canary");
    let tag = aws_lc_rs::hmac::sign(&key, base.as_bytes());
    let expected = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, tag.as_ref());
    assert_eq!(pairs["oauth_signature"], encoded(&expected));
}

#[tokio::test]
async fn a_session_is_begun_once_and_its_token_goes_with_each_request() {
    let server = Server::start(|_, request| match request.target.as_str() {
        "/login" if request.json() == json!({"user": "ada", "password": "pw-canary"}) => {
            Answer::json(200, &json!({"session": "s-canary"}))
        }
        "/records" if request.header("x-session") == Some("s-canary") => Answer::status(200),
        _ => Answer::status(400),
    })
    .await;
    let settings = [("user", json!("ada"))];
    assert_eq!(marks(&delivered(3, &server, &settings, &[("password", "pw-canary")], &records(2)).await), "+ +");
    let targets: Vec<String> = server.received().iter().map(|request| request.target.clone()).collect();
    assert_eq!(targets, ["/login", "/records"]);
}

#[tokio::test]
async fn a_text_is_one_template() {
    let server = always(Answer::status(204)).await;
    let records = [record(0, Operation::Upsert, &json!({"name": "cpu", "value": 7}))];
    assert_eq!(marks(&delivered(4, &server, &[], &[], &records).await), "+");
    let request = server.received().pop().expect("a request");
    assert_eq!((request.target.as_str(), request.text().as_str()), ("/write", "cpu value=7"));
    assert!(request.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")));
}

#[tokio::test]
async fn files_go_in_parts_with_what_is_said_of_them() {
    let server = always(Answer::status(200)).await;
    assert_eq!(marks(&delivered(2, &server, &[], &[], &records(2)).await), "+ +");
    let request = server.received().pop().expect("a request");
    let kind = request.header("content-type").expect("a type");
    let boundary = kind.strip_prefix("multipart/form-data; boundary=").expect("a boundary");
    let text = request.text();
    let parts: Vec<&str> = text.split(&format!("--{boundary}")).collect();
    assert_eq!((parts.len(), parts[0], parts[4]), (5, "", "--\r\n"), "{text}");
    let part = |at: usize| parts[at].trim_matches(['\r', '\n']).split_once("\r\n\r\n").expect("head and content");
    assert_eq!(part(1), ("Content-Disposition: form-data; name=\"kind\"", "customers"));
    assert_eq!(part(2).1, r#"{"replace":false}"#);
    let (head, content) = part(3);
    assert!(head.contains("name=\"file\"; filename=\"") && head.ends_with("Content-Type: application/json"), "{head}");
    let content: Value = serde_json::from_str(content).expect("the records");
    assert_eq!(content[1]["n"], 1);
}

#[tokio::test]
async fn what_is_native_goes_with_no_http() {
    const NATIVE: &str = r#"
definition: native
version: 1
title: Native
description: Delivered by code.
category: warehouse
verification: fixture-verified
provenance: [{fact: all of it, source: these tests, checked: 2026-01-01}]
settings: {type: object, properties: {password: {type: string, x-secret: true, description: A password.}}}
auth: {choose: [{id: password, description: P., type: native, uses: [password]}]}
native: nothing
limits: {concurrency: {max: 1}}
actions:
  send:
    title: Send
    description: Sends.
    syncModes: [Upsert]
    idempotent: true
    fields: {type: object, additionalProperties: true}
    batch: {maxRecords: 10}
"#;
    let definition: &'static Definition = Box::leak(Box::new(load(NATIVE).unwrap_or_else(|error| panic!("{error}"))));
    let mut plan = destination(definition, "http://127.0.0.1:1", &[]);
    plan.settings.clear();
    let opened = open_with(definition, &plan, &mapping(), &Fixed(&[]), None, watch::channel(None).1);
    assert_eq!(opened.err().map(|failure| failure.code), Some(Code::PlanInvalid));
}
