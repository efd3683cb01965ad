use std::collections::BTreeMap;

use backflow_core::plan::{DestinationLimits, DestinationPlan};
use backflow_core::secret::{SecretRef, Secrets};
use backflow_core::selection::Operation;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// Secrets by key.
struct Fixed(&'static [(&'static str, &'static str)]);

impl Secrets for Fixed {
    fn read(&self, reference: &SecretRef) -> Result<SecretString, Failure> {
        let found = self.0.iter().find(|(key, _)| *key == reference.key);
        found.map(|(_, value)| SecretString::from(*value)).ok_or_else(|| reference.key_not_found())
    }
}

fn plan(settings: Value, secrets: &[&str]) -> DestinationPlan {
    let reference = |name: &&str| ((*name).to_owned(), SecretRef { name: "hook".into(), key: (*name).to_owned() });
    DestinationPlan {
        name: "hook".into(),
        kind: "webhook".into(),
        definition_version: 1,
        auth: "bearer".into(),
        settings: serde_json::from_value(settings).expect("an object"),
        secrets: secrets.iter().map(reference).collect::<BTreeMap<_, _>>(),
        limits: DestinationLimits::default(),
        allow_loopback: true,
    }
}

fn webhook(settings: Value, names: &[&str], secrets: &Fixed) -> Result<Webhook, Failure> {
    let definition = backflow_definitions::builtin("webhook").expect("built in");
    Webhook::new(Endpoint::new(definition, &plan(settings, names), secrets)?, 1)
}

fn record(id: &str, op: Operation, data: &str, key: &str) -> Record {
    Record { id: id.into(), op, memory: backflow_core::change::Memory::default(), data: data.into(), key: key.into() }
}

#[test]
fn a_batch_is_an_array_of_id_op_key_and_data() {
    let webhook = webhook(json!({"url": "http://localhost/"}), &[], &Fixed(&[])).expect("opens");
    let records = [
        record("7", Operation::Upsert, "{\"a\":1}", "k1"),
        record("[1,\"x\"]", Operation::Delete, "{}", "k2"),
        record("\"é\"", Operation::Insert, "{\"b\":null}", "k3"),
    ];
    let batch = webhook.encode(&records);
    let expected = json!([
        {"id": 7, "op": "upsert", "key": "k1", "data": {"a": 1}},
        {"id": [1, "x"], "op": "delete", "key": "k2", "data": {}},
        {"id": "é", "op": "insert", "key": "k3", "data": {"b": null}},
    ]);
    assert_eq!(serde_json::from_slice::<Value>(&batch.body).expect("JSON"), expected);
    assert_eq!(batch.ends.last(), Some(&batch.body.len()));
}

#[test]
fn a_request_key_is_made_of_its_records_keys() {
    let records = [record("1", Operation::Upsert, "{}", "a"), record("2", Operation::Upsert, "{}", "b")];
    // printf 'a\nb\n' | sha256sum, as base64url.
    assert_eq!(request_key(&records), "kRFp3arxRq_1OfWMJsSJrz");
    assert_ne!(request_key(&records[..1]), request_key(&records));
}

#[test]
fn signatures_are_what_the_readme_says() {
    // printf '1700000000.[]' | openssl dgst -sha256 -hmac secret
    let signature = sign::signature(&SecretString::from("secret"), 1_700_000_000, b"[]");
    assert_eq!(signature, "t=1700000000,v1=74f76d8933679a54d6be8c7560a5233b124658241ca5a3b0f09af80d3ea60d78");
}

#[test]
fn requests_carry_method_headers_token_and_signature_and_show_no_secret() {
    let secrets = Fixed(&[("authToken", "tok3n-canary"), ("signingKey", "key-canary")]);
    let settings =
        json!({"url": "http://localhost/a?q=query-canary", "method": "PUT", "headers": {"X-Team": "growth"}});
    let webhook = webhook(settings, &["authToken", "signingKey"], &secrets).expect("opens");
    let request = webhook.request(webhook.endpoint.method.clone(), Bytes::from_static(b"[]"));
    assert_eq!(request.method(), "PUT");
    assert_eq!(request.headers()["x-team"], "growth");
    assert_eq!(request.headers()["authorization"], "Bearer tok3n-canary");
    assert!(request.headers()["backflow-signature"].to_str().expect("text").starts_with("t="));
    assert!(!format!("{:?} {:?}", webhook.endpoint, request.headers()).contains("canary"));
    assert!(!webhook.shown().contains("canary"));
}

#[test]
fn unusable_secrets_are_named_and_not_repeated() {
    let open = |names: &[&str], secrets: &Fixed| {
        webhook(json!({"url": "http://localhost/"}), names, secrets).err().expect("fails")
    };
    let broken = open(&["authToken"], &Fixed(&[("authToken", "can\r\nary: x")]));
    assert_eq!(broken.code, Code::DestinationUnauthorized);
    assert!(broken.message.contains("authToken") && !broken.message.contains("ary: x"), "{broken}");
    assert_eq!(open(&["signingKey"], &Fixed(&[("signingKey", "")])).code, Code::DestinationUnauthorized);
    assert_eq!(open(&["authToken"], &Fixed(&[])).code, Code::SecretKeyNotFound);
}

#[test]
fn the_scheme_none_sends_no_token() {
    let definition = backflow_definitions::builtin("webhook").expect("built in");
    let mut plan = plan(json!({"url": "http://localhost/"}), &["authToken"]);
    plan.auth = "none".into();
    let endpoint = Endpoint::new(definition, &plan, &Fixed(&[("authToken", "x")])).expect("opens");
    assert!(!endpoint.authenticates && endpoint.headers.is_empty());
}

/// Accepts one connection, reads what comes first, and answers with `answer` (or never).
async fn server(answer: Option<&'static str>) -> (String, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let url = format!("http://{}/hook?token=query-canary", listener.local_addr().expect("address"));
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("accepts");
        let mut head = vec![0; 4096];
        let n = stream.read(&mut head).await.expect("reads");
        match answer {
            Some(answer) => {
                stream.write_all(answer.as_bytes()).await.expect("writes");
                stream.shutdown().await.expect("closes");
            }
            None => {
                // Nothing else happens, so paused time jumps to the client's timeout.
                tokio::time::pause();
                std::future::pending::<()>().await;
            }
        }
        String::from_utf8_lossy(&head[..n]).into_owned()
    });
    (url, task)
}

async fn check(url: &str, names: &[&str]) -> Result<String, Failure> {
    let secrets = Fixed(&[("authToken", "tok3n-canary"), ("signingKey", "key-canary")]);
    webhook(json!({ "url": url }), names, &secrets)?.check().await
}

#[tokio::test]
async fn a_check_asks_for_options_and_takes_what_receivers_of_post_say() {
    for answer in [
        "204 No Content",
        "404 Not Found",
        "405 Method Not Allowed",
        "403 Forbidden",
        "501 Not Implemented",
        "500 Oops",
    ] {
        let (url, task) =
            server(Some(Box::leak(format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n").into_boxed_str()))).await;
        let account = check(&url, &["authToken"]).await.expect(answer);
        assert!(account.starts_with("http://127.0.0.1:") && !account.contains("hook"), "{account}");
        let head = task.await.expect("served");
        assert!(head.starts_with("OPTIONS /hook?token=query-canary HTTP/1.1"), "{head}");
        assert!(head.contains("authorization: Bearer tok3n-canary"));
    }
}

#[tokio::test]
async fn a_check_says_what_is_wrong_without_secrets() {
    let answers = [
        ("HTTP/1.1 401 Unauthorized\r\ncontent-length: 3\r\n\r\nbad", Code::DestinationUnauthorized),
        (
            "HTTP/1.1 308 Permanent Redirect\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n",
            Code::DestinationMisconfigured,
        ),
        ("HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n", Code::DestinationMisconfigured),
        ("220 smtp.example.com ESMTP\r\n", Code::DestinationUnreachable),
    ];
    for (answer, code) in answers {
        for names in [&[][..], &["authToken", "signingKey"]] {
            let (url, _task) = server(Some(answer)).await;
            let failure = check(&url, names).await.expect_err(answer);
            assert_eq!(failure.code, code, "{failure}");
            assert!(!failure.message.contains("canary"), "{failure}");
        }
    }
    let (url, task) = server(None).await;
    task.abort();
    let _ = task.await;
    let refused = check(&url, &[]).await.expect_err("nobody listens");
    assert_eq!(refused.code, Code::DestinationUnreachable);
    assert!(refused.message.contains("refuses connections") && !refused.message.contains("canary"), "{refused}");
    let unknown = check("http://no-such-host.invalid/?a=query-canary", &[]).await.expect_err("no such host");
    assert_eq!(unknown.code, Code::DestinationUnreachable);
    assert!(!unknown.message.contains("canary"), "{unknown}");
    let (url, _task) = server(Some("HTTP/1.1 400 Bad Request\r\n\r\n")).await;
    let plain = check(&url.replace("http:", "https:"), &[]).await.expect_err("no TLS there");
    assert_eq!(plain.code, Code::TlsFailed, "{plain}");
}

#[tokio::test]
async fn a_silent_receiver_is_given_up_on() {
    let (url, _task) = server(None).await;
    let failure = check(&url, &[]).await.expect_err("no answer");
    assert_eq!(failure.code, Code::DestinationUnreachable);
    assert!(failure.message.ends_with(" did not answer within 30 s") && !failure.message.contains("hook"), "{failure}");
}

#[tokio::test]
async fn names_of_forbidden_addresses_are_refused_when_they_are_resolved() {
    let definition = backflow_definitions::builtin("webhook").expect("built in");
    for url in ["http://localhost:9/", "http://LOCALHOST:9/"] {
        let mut plan = plan(json!({ "url": url }), &[]);
        plan.allow_loopback = false;
        let webhook = Webhook::new(Endpoint::new(definition, &plan, &Fixed(&[])).expect("reads"), 1).expect("opens");
        assert_eq!(webhook.check().await.expect_err(url).code, Code::AddressForbidden, "{url}");
    }
}
